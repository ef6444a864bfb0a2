// SPDX-License-Identifier: Apache-2.0
#include "rpc/token.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN                                                                                  \
    16 /* 128 bits in hexadecimal would be 32; what is shorter than this can be guessed */
#define TOKEN_MAX 4096
#define GROUPS_MAX 256 /* more than a pod gets; who has more is told to chmod */
/* For "%s%s%s". */
#define TOKEN_NAME(token)                                                                          \
    (token)->path != NULL ? "token file '" : "token", (token)->path != NULL ? (token)->path : "",  \
        (token)->path != NULL ? "'" : ""

void rpc_token_init(struct rpc_token *token, const char *path)
{
    *token = (struct rpc_token){ .path = path != NULL && path[0] != '\0' ? path : NULL };
}

void rpc_token_done(struct rpc_token *token)
{
    if (token->text != NULL)
        osa_wipe(token->text, TOKEN_MAX);
    free(token->text);
    token->text = NULL;
    token->len = 0;
}

static bool is_our_group(gid_t group)
{
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return group == getegid();
}

/*
 * A Kubernetes Secret in a pod without root is root's file that only the pod's group may read
 * (fsGroup, mode 0440): we could not read one of mode 0400.
 */
static bool is_pod_secret(const struct stat *st)
{
    return (st->st_mode & 0077) == 0040 && st->st_uid == 0 && geteuid() != 0 &&
           is_our_group(st->st_gid);
}

static enum osa_code check_permission(const char *path, const struct stat *st,
                                      struct osa_error *err)
{
    if (!S_ISREG(st->st_mode))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "token file '%s' is not a regular file",
                        path);
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "token file '%s' belongs to user %u; it must be root's or your own", path,
                        (unsigned)st->st_uid);
    if ((st->st_mode & 0077) != 0 && !is_pod_secret(st))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "token file '%s' is open to others (mode %04o); chmod it to 0600", path,
                        (unsigned)(st->st_mode & 07777));
    return OSA_OK;
}

static enum osa_code check_text(struct rpc_token *token, struct osa_error *err)
{
    while (token->len > 0 && strchr(" \t\r\n", token->text[token->len - 1]) != NULL)
        token->text[--token->len] = '\0';
    if (token->len < TOKEN_MIN)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s%s%s holds %zu characters; at least %d are needed", TOKEN_NAME(token),
                        token->len, TOKEN_MIN);
    for (size_t i = 0; i < token->len; i++)
        if (token->text[i] <= ' ' || token->text[i] > '~')
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "%s%s%s holds a character that no header can carry", TOKEN_NAME(token));
    return OSA_OK;
}

enum osa_code rpc_token_read(struct rpc_token *token, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd)
    int fd = open(token->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return osa_fail(err, errno == ENOENT ? OSA_NOT_FOUND : OSA_FAILED_PRECONDITION, errno,
                        "token file '%s' cannot be read", token->path);
    enum osa_code code = check_permission(token->path, &st, err);
    if (code != OSA_OK)
        return code;
    struct rpc_token fresh = { .path = token->path,
                               .mtime = OSA_STAT_MTIME(&st),
                               .inode = st.st_ino,
                               .size = st.st_size,
                               .text = calloc(1, TOKEN_MAX + 1) };
    if (fresh.text == NULL)
        return osa_fail_errno(err, ENOMEM, "token file '%s'", token->path);
    ssize_t got = osa_read_full(fd, fresh.text, TOKEN_MAX);
    fresh.len = got > 0 ? (size_t)got : 0;
    code = check_text(&fresh, err);
    if (code != OSA_OK) {
        rpc_token_done(&fresh);
        return code;
    }
    rpc_token_done(token);
    *token = fresh;
    return OSA_OK;
}

enum osa_code rpc_token_set(struct rpc_token *token, const char *text, struct osa_error *err)
{
    struct rpc_token fresh = { .text = calloc(1, TOKEN_MAX + 1) };
    if (fresh.text == NULL)
        return osa_fail_errno(err, ENOMEM, "token");
    fresh.len = strnlen(text, TOKEN_MAX);
    memcpy(fresh.text, text, fresh.len);
    enum osa_code code = text[fresh.len] == '\0'
                             ? check_text(&fresh, err)
                             : osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                                        "token holds more than %d characters", TOKEN_MAX);
    if (code != OSA_OK) {
        rpc_token_done(&fresh);
        return code;
    }
    rpc_token_done(token);
    *token = fresh;
    return OSA_OK;
}

bool rpc_token_changed(const struct rpc_token *token)
{
    struct stat st;
    if (stat(token->path, &st) < 0)
        return false;
    return st.st_ino != token->inode || st.st_size != token->size ||
           OSA_STAT_MTIME(&st).tv_sec != token->mtime.tv_sec ||
           OSA_STAT_MTIME(&st).tv_nsec != token->mtime.tv_nsec;
}
