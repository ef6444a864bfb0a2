// SPDX-License-Identifier: Apache-2.0
/* The directory of images: names, sizes, what goes. Pulls themselves: image_job.c. */
#include "driver/images_internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "driver/record_internal.h"
#include "driver/tree.h"
#include "io/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define KEPT_PREFIX "sha256-"
#define KEPT_MAX 4096

/* ---- names ---- */

/* A digest as the name of a directory: a colon would end a path in some options. */
static void kept_path(const struct images *images, const char *digest, char *ret_path)
{
    (void)snprintf(ret_path, PATH_MAX, "%s/" KEPT_PREFIX "%s", images->dir,
                   digest + strlen("sha256:"));
}

void images_path(const struct images *images, const char *digest, const char *part, char *ret_path)
{
    char kept[PATH_MAX];
    kept_path(images, digest, kept);
    (void)snprintf(ret_path, PATH_MAX, "%s/%s", kept, part);
}

static void ref_path(const struct images *images, const char *name, char *ret_path)
{
    uint8_t sum[IO_SHA256_SIZE];
    io_sha256(name, strlen(name), sum);
    int len = snprintf(ret_path, PATH_MAX, "%s/refs/", images->dir);
    for (size_t i = 0; i < sizeof(sum); i++)
        len += snprintf(ret_path + len, PATH_MAX - (size_t)len, "%02x", sum[i]);
}

bool images_has(const struct images *images, const char *digest, const char *part)
{
    char path[PATH_MAX];
    images_path(images, digest, part, path);
    return access(path, F_OK) == 0;
}

bool images_digest(const struct images *images, const char *name, char *ret_digest)
{
    char path[PATH_MAX];
    OSA_AUTO(osa_free) char *text = NULL;
    ref_path(images, name, path);
    if (osa_read_file(AT_FDCWD, path, IMAGE_DIGEST_BYTES, &text, NULL, NULL) != OSA_OK ||
        !image_digest_is(text))
        return false;
    memcpy(ret_digest, text, IMAGE_DIGEST_BYTES);
    return images_has(images, ret_digest, "layout");
}

void images_used(const struct images *images, const char *digest)
{
    char path[PATH_MAX];
    kept_path(images, digest, path);
    (void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

enum osa_code images_temporary(struct images *images, struct image_job *job, struct osa_error *err)
{
    (void)snprintf(job->temporary, sizeof(job->temporary), "%s/.new-%d-%llu", images->dir,
                   (int)getpid(), (unsigned long long)images->next++);
    if (mkdir(job->temporary, 0700) == 0)
        return OSA_OK;
    enum osa_code code = osa_fail_errno(err, errno, "'%s' cannot be made", job->temporary);
    job->temporary[0] = '\0';
    return code;
}

/* ---- removal ---- */

struct dropped {
    struct worker_job job;
    char path[PATH_MAX];
    bool failed;
    struct osa_error error;
};

static void drop(struct worker_job *job)
{
    struct dropped *dropped = OSA_CONTAINER_OF(job, struct dropped, job);
    if (tree_remove(dropped->path, &dropped->error) != OSA_OK)
        dropped->failed = true;
}

static void on_dropped(struct worker_job *job)
{
    struct dropped *dropped = OSA_CONTAINER_OF(job, struct dropped, job);
    if (dropped->failed)
        osa_log_error(OSA_LOG_WARN, "images", "what is of no use stays until the next start",
                      &dropped->error);
    free(dropped);
}

void images_drop(struct images *images, const char *path)
{
    struct dropped *dropped = calloc(1, sizeof(*dropped));
    if (dropped == NULL)
        abort();
    dropped->job = (struct worker_job){ .work = drop, .done = on_dropped };
    (void)snprintf(dropped->path, sizeof(dropped->path), "%s/.gone-%d-%llu", images->dir,
                   (int)getpid(), (unsigned long long)images->next++);
    if (rename(path, dropped->path) < 0)
        free(dropped);
    else
        worker_do(images->trash, &dropped->job);
}

/* ---- what is kept, and how much of it ---- */

struct kept {
    char digest[IMAGE_DIGEST_BYTES];
    uint64_t bytes;
    struct timespec used;
};

static bool is_wanted(const struct images *images, const char *digest)
{
    const struct image_job *job;
    DL_FOREACH(images->jobs, job)
    if (strcmp(job->digest, digest) == 0 || strcmp(job->wanted, digest) == 0)
        return true;
    return images->in_use(images->in_use_ctx, digest);
}

static bool read_kept(const struct images *images, const char *name, struct kept *ret)
{
    char path[PATH_MAX];
    struct stat st;
    OSA_AUTO(osa_free) char *text = NULL;
    if (strncmp(name, KEPT_PREFIX, 7) != 0 || strlen(name) != IMAGE_DIGEST_BYTES - 1)
        return false;
    (void)snprintf(ret->digest, sizeof(ret->digest), "sha256:%s", name + 7);
    if (!image_digest_is(ret->digest))
        return false;
    kept_path(images, ret->digest, path);
    if (lstat(path, &st) < 0)
        return false;
    ret->used = OSA_STAT_MTIME(&st);
    images_path(images, ret->digest, "bytes", path);
    ret->bytes = osa_read_file(AT_FDCWD, path, 64, &text, NULL, NULL) == OSA_OK
                     ? strtoull(text, NULL, 10)
                     : 0;
    return true;
}

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const struct kept *)a)->used;
    const struct timespec *y = &((const struct kept *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static size_t list_kept(const struct images *images, struct kept *list)
{
    size_t count = 0;
    DIR *dir = opendir(images->dir);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; count < KEPT_MAX && (entry = readdir(dir)) != NULL;)
        count += read_kept(images, entry->d_name, &list[count]);
    (void)closedir(dir);
    qsort(list, count, sizeof(*list), by_use);
    return count;
}

void images_trim(struct images *images)
{
    OSA_AUTO(osa_free) struct kept *list = calloc(KEPT_MAX, sizeof(*list));
    if (list == NULL)
        return; /* next time, then */
    size_t count = list_kept(images, list);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += list[i].bytes;
    for (size_t i = 0; i < count && total > images->config->image_cache_bytes; i++) {
        char path[PATH_MAX];
        if (is_wanted(images, list[i].digest))
            continue;
        osa_log(OSA_LOG_INFO, "images", "an image that was long not used is removed",
                OSA_S("digest", list[i].digest), OSA_U("bytes", list[i].bytes));
        kept_path(images, list[i].digest, path);
        images_drop(images, path);
        total -= list[i].bytes;
    }
}

/* ---- names that last; on the worker's thread ---- */

/* What a program wrote may be in memory only, and a name must not outlive it in a power cut. */
static enum osa_code give_name(struct image_job *job, const char *from, const char *to,
                               struct osa_error *err)
{
    struct images *images = job->images;
    char path[PATH_MAX];
    char text[32];
    uint64_t bytes = 0;
    uint64_t before = 0;
    OSA_AUTO(osa_free) char *written = NULL;
    enum osa_code code = tree_bytes(from, &bytes, err);
    images_path(images, job->digest, "bytes", path);
    if (osa_read_file(AT_FDCWD, path, 64, &written, NULL, NULL) == OSA_OK)
        before = strtoull(written, NULL, 10);
    int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)(before + bytes));
    sync();
    if (code == OSA_OK)
        code = store_write_file(path, text, (size_t)len, /* durable= */ true, err);
    if (code == OSA_OK && rename(from, to) < 0)
        code = osa_fail_errno(err, errno, "'%s' cannot be named", to);
    kept_path(images, job->digest, path);
    if (code == OSA_OK)
        code = store_sync_dir(path, err);
    return code == OSA_OK ? store_sync_dir(images->dir, err) : code;
}

void images_install(struct image_job *job)
{
    struct images *images = job->images;
    char from[PATH_MAX + 16];
    char path[PATH_MAX];
    kept_path(images, job->digest, path);
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        (void)osa_fail_errno(&job->error, errno, "'%s' cannot be made", path);
        job->disk_failed = true;
        return;
    }
    (void)snprintf(from, sizeof(from), "%s/layout", job->temporary);
    images_path(images, job->digest, "layout", path);
    /* The same image under another name is as good. */
    job->disk_failed = access(path, F_OK) < 0 && give_name(job, from, path, &job->error) != OSA_OK;
    if (job->disk_failed)
        return;
    ref_path(images, job->name, path);
    job->disk_failed = store_write_file(path, job->digest, strlen(job->digest), /* durable= */ true,
                                        &job->error) != OSA_OK;
}

void images_root(struct image_job *job)
{
    char from[PATH_MAX + 16];
    char path[PATH_MAX];
    (void)snprintf(from, sizeof(from), "%s/root", job->temporary);
    images_path(job->images, job->digest, "root", path);
    job->disk_failed = give_name(job, from, path, &job->error) != OSA_OK;
}

/* ---- life ---- */

static enum osa_code make_dirs(const struct images *images, struct osa_error *err)
{
    char refs[PATH_MAX];
    (void)snprintf(refs, sizeof(refs), "%s/refs", images->dir);
    /* Its own directory alone: an image has set-user-ID programs, which are none of this machine. */
    if ((mkdir(images->dir, 0700) < 0 && errno != EEXIST) || chmod(images->dir, 0700) < 0 ||
        (mkdir(refs, 0700) < 0 && errno != EEXIST))
        return osa_fail_errno(err, errno, "'%s' cannot be made", images->dir);
    return OSA_OK;
}

static enum osa_code sweep(struct images *images, struct osa_error *err)
{
    DIR *dir = opendir(images->dir);
    if (dir == NULL)
        return osa_fail_errno(err, errno, "'%s'", images->dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX + 256];
        bool half =
            strncmp(entry->d_name, ".new-", 5) == 0 || strncmp(entry->d_name, ".gone-", 6) == 0;
        (void)snprintf(path, sizeof(path), "%s/%s", images->dir, entry->d_name);
        if (half)
            images_drop(images, path);
    }
    (void)closedir(dir);
    return OSA_OK;
}

enum osa_code images_open(struct osa_loop *loop, const struct driver_config *config,
                          struct worker *trash, bool (*in_use)(void *ctx, const char *digest),
                          void *ctx, struct images **ret_images, struct osa_error *err)
{
    struct images *images = calloc(1, sizeof(*images));
    if (images == NULL)
        return osa_fail_errno(err, ENOMEM, "images");
    images->loop = loop;
    images->config = config;
    images->trash = trash;
    images->in_use = in_use;
    images->in_use_ctx = ctx;
    (void)snprintf(images->dir, sizeof(images->dir), "%s/images", config->state_dir);
    enum osa_code code = make_dirs(images, err);
    if (code == OSA_OK)
        code = worker_new(loop, "osa-images", &images->worker, err);
    if (code == OSA_OK)
        code = sweep(images, err);
    if (code != OSA_OK) {
        worker_free(images->worker);
        free(images);
        return code;
    }
    *ret_images = images;
    return OSA_OK;
}

enum osa_code images_check(const struct images *images, const struct image_want *want,
                           struct osa_error *err)
{
    const struct driver_config *config = images->config;
    char source[IMAGE_NAME_BYTES + PATH_MAX + 16];
    char digest[IMAGE_DIGEST_BYTES];
    bool insecure;
    if (image_source(config, want->name, source, sizeof(source), &insecure, err) != OSA_OK)
        return err->code;
    if (want->pull == IMAGE_PULL_NEVER && !images_digest(images, want->name, digest))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "image '%.128s' is not kept here, and image_pull is never", want->name);
    if (access(config->skopeo, X_OK) < 0 || (want->root && access(config->umoci, X_OK) < 0))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "image '%.128s': skopeo and umoci must be installed (%.128s, %.128s)",
                        want->name, config->skopeo, config->umoci);
    return OSA_OK;
}

static void on_close(struct osa_task *task)
{
    struct images *images = OSA_CONTAINER_OF(task, struct images, close);
    void (*closed)(void *ctx) = images->closed;
    void *ctx = images->closed_ctx;
    free(images);
    closed(ctx);
}

static void finish_close(struct images *images)
{
    worker_free(images->worker);
    images->worker = NULL;
    images->close.run = on_close;
    osa_loop_post(images->loop, &images->close);
}

void images_forget(struct images *images, struct image_job *job)
{
    DL_DELETE(images->jobs, job);
    osa_arena_done(&job->arena);
    free(job->name);
    free(job);
    if (images->closed != NULL && images->jobs == NULL)
        finish_close(images);
}

void images_close(struct images *images, void (*closed)(void *ctx), void *ctx)
{
    struct image_job *job, *next;
    images->closed = closed;
    images->closed_ctx = ctx;
    if (images->jobs == NULL) {
        finish_close(images);
        return;
    }
    DL_FOREACH_SAFE(images->jobs, job, next)
    image_job_give_up(job);
}
