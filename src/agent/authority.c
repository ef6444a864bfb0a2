// SPDX-License-Identifier: Apache-2.0
#include "agent/authority.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system's bundle has some 250 KiB. */
#define BUNDLE_MAX_BYTES (4u << 20)
/* state-dir/egress-PID/SANDBOX/FILE: so that leftovers can be told from what another agent uses. */
#define PARENT_PREFIX "egress-"

static const char *const files[] = { "openshell-ca.pem", "ca-bundle.pem", "ca-bundle.p12" };

struct authority {
    struct tls_authority *tls;
    char dir[PATH_MAX];
};

static enum osa_code read_system_bundle(char **ret, struct osa_error *err)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(places); i++) {
        size_t len = 0;
        if (osa_read_file(AT_FDCWD, places[i], BUNDLE_MAX_BYTES, ret, &len, NULL) != OSA_OK)
            continue;
        if (len > 0)
            return OSA_OK;
        free(OSA_TAKE(*ret));
    }
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                    "this host has no bundle of certificate authorities, such as %s", places[0]);
}

static enum osa_code write_new(int dir_fd, const char *name, const char *data, size_t len,
                               struct osa_error *err)
{
    OSA_AUTO(osa_close_fd)
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int rc = fd < 0 ? -errno : osa_write_all(fd, data, len);
    if (rc == 0 && fchmod(fd, 0644) < 0) /* whatever our umask is */
        rc = -errno;
    return rc < 0 ? osa_fail_errno(err, -rc, "%s", name) : OSA_OK;
}

/* The host's authorities and ours. */
static enum osa_code write_bundle(int dir_fd, const char *own, struct osa_error *err)
{
    OSA_AUTO(osa_free) char *system = NULL;
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    osa_buf_init(&text, BUNDLE_MAX_BYTES + 65536);
    if (read_system_bundle(&system, NULL) == OSA_OK)
        (void)osa_buf_add(&text, system, strlen(system));
    if (!osa_buf_add(&text, own, strlen(own)))
        return osa_fail_errno(err, ENOMEM, "%s", files[1]);
    return write_new(dir_fd, files[1], text.data, text.len, err);
}

static enum osa_code write_store(int dir_fd, const struct tls_store *store, const char *own,
                                 struct osa_error *err)
{
    OSA_AUTO(osa_buf_done) struct osa_buf data;
    osa_buf_init(&data, BUNDLE_MAX_BYTES + 65536);
    if (store == NULL)
        return OSA_OK;
    enum osa_code code = tls_store_write(store, own, AUTHORITY_STORE_PASSWORD, &data, err);
    return code == OSA_OK ? write_new(dir_fd, files[2], data.data, data.len, err) : code;
}

static enum osa_code write_files(const struct authority *authority, const struct tls_store *store,
                                 struct osa_error *err)
{
    const char *own = tls_authority_pem(authority->tls);
    OSA_AUTO(osa_close_fd) int fd = open(authority->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return osa_fail_errno(err, errno, "%s", authority->dir);
    enum osa_code code = write_new(fd, files[0], own, strlen(own), err);
    if (code == OSA_OK)
        code = write_bundle(fd, own, err);
    return code == OSA_OK ? write_store(fd, store, own, err) : code;
}

struct tls_store *authority_store(void)
{
    OSA_AUTO(osa_free) char *system = NULL;
    struct tls_store *store = NULL;
    if (read_system_bundle(&system, NULL) != OSA_OK ||
        tls_store_new(system, &store, NULL) != OSA_OK)
        return NULL;
    return store;
}

enum osa_code authority_new(const char *state_dir, const char *sandbox_id,
                            const struct tls_store *store, struct authority **ret,
                            struct osa_error *err)
{
    struct authority *authority = calloc(1, sizeof(*authority));
    if (authority == NULL)
        return osa_fail_errno(err, ENOMEM, "certificate authority");
    (void)snprintf(authority->dir, sizeof(authority->dir), "%s/" PARENT_PREFIX "%d", state_dir,
                   (int)getpid());
    (void)mkdir(state_dir, 0700); /* the next one says what is wrong with it */
    int made = mkdir(authority->dir, 0700);
    size_t used = strlen(authority->dir);
    (void)snprintf(authority->dir + used, sizeof(authority->dir) - used, "/%s", sandbox_id);
    enum osa_code code = OSA_OK;
    if ((made < 0 && errno != EEXIST) || mkdir(authority->dir, 0755) < 0)
        code = osa_fail_errno(err, errno, "%s", authority->dir);
    if (code == OSA_OK)
        code = tls_authority_new("OpenShell", "OpenShell Sandbox CA", &authority->tls, err);
    if (code == OSA_OK)
        code = write_files(authority, store, err);
    if (code != OSA_OK) {
        authority_free(authority);
        return osa_wrap(err, "certificate authority");
    }
    *ret = authority;
    return OSA_OK;
}

static void remove_sandbox(const char *dir)
{
    OSA_AUTO(osa_close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && i < OSA_ARRAY_LEN(files); i++)
        (void)unlinkat(fd, files[i], 0);
    (void)rmdir(dir);
}

void authority_free(struct authority *authority)
{
    if (authority == NULL)
        return;
    tls_authority_free(authority->tls);
    remove_sandbox(authority->dir);
    char *slash = strrchr(authority->dir, '/');
    if (slash != NULL) {
        *slash = '\0';
        (void)rmdir(authority->dir); /* with the last one */
    }
    free(authority);
}

struct tls_authority *authority_tls(const struct authority *authority)
{
    return authority != NULL ? authority->tls : NULL;
}

const char *authority_dir(const struct authority *authority)
{
    return authority != NULL ? authority->dir : "";
}

static bool is_leftover(const char *name)
{
    int pid;
    char after;
    if (sscanf(name, PARENT_PREFIX "%d%c", &pid, &after) != 1 || pid <= 0 || pid == getpid())
        return false;
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static void sweep_parent(const char *parent)
{
    char path[PATH_MAX];
    DIR *dir = opendir(parent);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
        remove_sandbox(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(parent);
}

void authority_sweep(const char *state_dir)
{
    char path[PATH_MAX];
    DIR *dir = opendir(state_dir);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!is_leftover(entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", state_dir, entry->d_name);
        sweep_parent(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

enum osa_code authority_trust(const char *extra_path, struct tls_trust **ret, struct osa_error *err)
{
    OSA_AUTO(osa_free) char *system = NULL;
    OSA_AUTO(osa_free) char *extra = NULL;
    enum osa_code code = read_system_bundle(&system, err);
    if (code != OSA_OK && extra_path != NULL) {
        code = OSA_OK; /* then these are all */
        system = NULL;
    }
    if (code == OSA_OK && extra_path != NULL)
        code = osa_read_file(AT_FDCWD, extra_path, BUNDLE_MAX_BYTES, &extra, NULL, err);
    if (code == OSA_OK)
        code =
            tls_trust_new(system != NULL ? system : extra, system != NULL ? extra : NULL, ret, err);
    return code != OSA_OK && extra_path != NULL ? osa_wrap(err, "%s", extra_path) : code;
}
