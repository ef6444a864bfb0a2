// SPDX-License-Identifier: Apache-2.0
/*
 * One image, from its name to what is kept.
 *
 *   kept under this name?  ── yes ──────────────────────────────┐
 *        │ no                                                   ▼
 *   skopeo copies it into a layout ─► checked, named ─► unpacked already, or not wanted? ─► done
 *                                                               │ no
 *                                              umoci unpacks ─► named ──────────────────► done
 *
 * The programs get no secret on their command line, an empty environment but for what they need, and
 * end with the job: killed when nobody waits any more, when time is up, or when the disk fills.
 */
#include "driver/images_internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define ARGS_MAX 16

static void next_step(struct image_job *job);

/* ---- who waits ---- */

static void tell(struct image_job *job, const char *reason, const char *text)
{
    struct image_wait *wait, *next;
    DL_FOREACH_SAFE(job->waits, wait, next)
    wait->event(wait, reason, text);
}

static void on_finish(struct osa_task *task)
{
    struct image_job *job = OSA_CONTAINER_OF(task, struct image_job, finish);
    struct images *images = job->images;
    while (job->waits != NULL) {
        struct image_wait *wait = job->waits;
        DL_DELETE(job->waits, wait);
        wait->job = NULL;
        wait->done(wait, job->error.code == OSA_OK ? &job->info : NULL,
                   job->error.code == OSA_OK ? NULL : &job->error);
    }
    if (job->temporary[0] != '\0') /* something was added, and whoever wanted it has it */
        images_trim(images);
    images_forget(images, job);
}

static void finish(struct image_job *job)
{
    struct images *images = job->images;
    job->step = IMAGE_DONE;
    if (job->temporary[0] != '\0')
        images_drop(images, job->temporary);
    if (job->error.code == OSA_OK) {
        images_used(images, job->digest);
    } else if (!job->given_up) {
        (void)osa_wrap(&job->error, "image '%.128s'", job->name);
        osa_log_error(OSA_LOG_WARN, "images", "an image cannot be had", &job->error);
    }
    job->finish.run = on_finish;
    osa_loop_post(images->loop, &job->finish);
    images_schedule(images);
}

static void fail(struct image_job *job, enum osa_code code, const char *text)
{
    (void)osa_fail(&job->error, code, 0, "%s", text);
    finish(job);
}

/* ---- a program ---- */

static void on_line(struct helper_program *program, const char *line)
{
    static const char blob[] = "Copying blob ";
    struct image_job *job = OSA_CONTAINER_OF(program, struct image_job, program);
    if (strncmp(line, blob, sizeof(blob) - 1) == 0)
        tell(job, "PullingLayer", line + sizeof(blob) - 1);
}

static void on_program(struct helper_program *program, const struct osa_error *error)
{
    struct image_job *job = OSA_CONTAINER_OF(program, struct image_job, program);
    if (error == NULL && !job->given_up) {
        next_step(job);
        return;
    }
    if (error != NULL) {
        job->error = *error;
        (void)osa_wrap(&job->error, job->step == IMAGE_COPYING ? "it cannot be pulled"
                                                               : "it cannot be unpacked");
    }
    finish(job);
}

/* ---- steps ---- */

struct command {
    const char *argv[ARGS_MAX];
    const char *envp[ARGS_MAX];
    size_t argc;
    size_t envc;
    struct osa_arena arena;
};

static void add_variable(struct command *command, const char *name, const char *value)
{
    if (value != NULL)
        command->envp[command->envc++] = osa_arena_printf(&command->arena, "%s=%s", name, value);
}

/* Nothing of a home directory counts: credentials are those that the operator names. */
static void fill_environment(struct command *command, const struct image_job *job)
{
    const struct driver_config *config = job->images->config;
    add_variable(command, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add_variable(command, "HOME", job->temporary);
    add_variable(command, "TMPDIR", job->temporary);
    add_variable(command, "XDG_RUNTIME_DIR", job->temporary);
    add_variable(command, "REGISTRY_AUTH_FILE", config->image_auth_file);
    add_variable(command, "HTTPS_PROXY", config->image_proxy);
    add_variable(command, "HTTP_PROXY", config->image_proxy);
}

static enum osa_code run(struct image_job *job, struct command *command, struct osa_error *err)
{
    const struct driver_config *config = job->images->config;
    const struct helper_limits limits = { config->image_timeout_ns, job->images->dir,
                                          config->image_min_free_bytes };
    enum osa_code code =
        helper_program_start(&job->program, command->argv, command->envp, &limits, err);
    osa_arena_done(&command->arena);
    return code;
}

static enum osa_code start_copy(struct image_job *job, struct osa_error *err)
{
    struct command command = { 0 };
    char source[IMAGE_NAME_BYTES + PATH_MAX + 16];
    bool insecure;
    enum osa_code code =
        image_source(job->images->config, job->name, source, sizeof(source), &insecure, err);
    if (code == OSA_OK)
        code = images_temporary(job->images, job, err);
    if (code != OSA_OK)
        return code;
    command.argv[command.argc++] = job->images->config->skopeo;
    command.argv[command.argc++] = "--override-os=linux";
    command.argv[command.argc++] = "copy";
    command.argv[command.argc++] = "--retry-times=1";
    if (insecure)
        command.argv[command.argc++] = "--src-tls-verify=false";
    command.argv[command.argc++] = "--";
    command.argv[command.argc++] = source;
    command.argv[command.argc++] =
        osa_arena_printf(&command.arena, "oci:%s/layout:image", job->temporary);
    fill_environment(&command, job);
    job->step = IMAGE_COPYING;
    tell(job, "Pulling", job->name);
    return run(job, &command, err);
}

/* The root of an image that does not say how it is to be; our umask would keep users out of it. */
static enum osa_code make_root(struct image_job *job, char *ret_path, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    if (job->temporary[0] == '\0')
        code = images_temporary(job->images, job, err);
    (void)snprintf(ret_path, PATH_MAX, "%s/root", job->temporary);
    if (code == OSA_OK && (mkdir(ret_path, 0755) < 0 || chmod(ret_path, 0755) < 0))
        code = osa_fail_errno(err, errno, "'%s' cannot be made", ret_path);
    return code;
}

static enum osa_code start_unpack(struct image_job *job, struct osa_error *err)
{
    struct command command = { 0 };
    char layout[PATH_MAX];
    char root[PATH_MAX];
    if (make_root(job, root, err) != OSA_OK)
        return err->code;
    images_path(job->images, job->digest, "layout", layout);
    command.argv[command.argc++] = job->images->config->umoci;
    command.argv[command.argc++] = "raw";
    command.argv[command.argc++] = "unpack";
    if (geteuid() != 0)
        command.argv[command.argc++] = "--rootless";
    command.argv[command.argc++] = "--image";
    command.argv[command.argc++] = osa_arena_printf(&command.arena, "%s:image", layout);
    command.argv[command.argc++] = root;
    fill_environment(&command, job);
    job->step = IMAGE_UNPACKING;
    tell(job, "Unpacking", job->digest);
    return run(job, &command, err);
}

/* Reads what is known of the image in @layout. */
static enum osa_code look(struct image_job *job, const char *layout, struct osa_error *err)
{
    enum osa_code code = image_read(layout, &job->arena, &job->info, err);
    if (code != OSA_OK)
        return code;
    if (job->wanted[0] != '\0' && strcmp(job->wanted, job->info.digest) != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "its name now means %.80s, and %.80s, which the sandbox was made of, is no "
                        "longer kept; create the sandbox anew",
                        job->info.digest, job->wanted);
    memcpy(job->digest, job->info.digest, sizeof(job->digest));
    return OSA_OK;
}

static void on_disk_work(struct worker_job *work)
{
    struct image_job *job = OSA_CONTAINER_OF(work, struct image_job, disk);
    if (job->step == IMAGE_INSTALLING)
        images_install(job);
    else
        images_root(job);
}

static void on_disk_done(struct worker_job *work)
{
    struct image_job *job = OSA_CONTAINER_OF(work, struct image_job, disk);
    job->on_disk = false;
    if (work->skipped)
        job->given_up = true;
    if (job->error.code != OSA_OK || job->given_up)
        finish(job);
    else
        next_step(job);
}

static void give_to_disk(struct image_job *job, enum image_step step)
{
    job->step = step;
    job->on_disk = true;
    job->disk = (struct worker_job){ .work = on_disk_work, .done = on_disk_done };
    worker_do(job->images->worker, &job->disk);
}

/* What was under way has succeeded. */
static void next_step(struct image_job *job)
{
    struct osa_error err = { 0 };
    char layout[PATH_MAX + 16];
    switch (job->step) {
    case IMAGE_COPYING:
        (void)snprintf(layout, sizeof(layout), "%s/layout", job->temporary);
        if (look(job, layout, &err) != OSA_OK)
            fail(job, err.code, err.text);
        else
            give_to_disk(job, IMAGE_INSTALLING);
        break;
    case IMAGE_INSTALLING:
        job->step = IMAGE_WAIT_UNPACK;
        images_schedule(job->images);
        break;
    case IMAGE_UNPACKING:
        give_to_disk(job, IMAGE_ROOTING);
        break;
    case IMAGE_ROOTING:
        finish(job);
        break;
    case IMAGE_WAIT_COPY:
    case IMAGE_WAIT_UNPACK:
    case IMAGE_DONE:
        break;
    }
}

/* ---- what can be started ---- */

static bool is_active(const struct image_job *job)
{
    return job->step == IMAGE_COPYING || job->step == IMAGE_UNPACKING;
}

static uint32_t count_active(const struct images *images)
{
    uint32_t count = 0;
    const struct image_job *job;
    DL_FOREACH(images->jobs, job)
    count += is_active(job);
    return count;
}

static bool is_unpacked_by_another(const struct image_job *self)
{
    const struct image_job *job;
    DL_FOREACH(self->images->jobs, job)
    {
        if (job != self && (job->step == IMAGE_UNPACKING || job->step == IMAGE_ROOTING) &&
            strcmp(job->digest, self->digest) == 0)
            return true;
    }
    return false;
}

/* Is it kept already? Fills the job then. */
static bool find_kept(struct image_job *job)
{
    struct osa_error err = { 0 };
    char layout[PATH_MAX];
    char digest[IMAGE_DIGEST_BYTES];
    if (job->wanted[0] != '\0') {
        memcpy(digest, job->wanted, sizeof(digest));
        if (!images_has(job->images, digest, "layout"))
            return false;
    } else if (job->pull == IMAGE_PULL_ALWAYS || !images_digest(job->images, job->name, digest)) {
        return false;
    }
    images_path(job->images, digest, "layout", layout);
    if (look(job, layout, &err) == OSA_OK)
        return true;
    osa_log_error(OSA_LOG_WARN, "images", "a kept image is pulled anew", &err);
    return false;
}

static enum osa_code schedule_copy(struct image_job *job, bool may_run, struct osa_error *err)
{
    if (find_kept(job)) {
        job->step = IMAGE_WAIT_UNPACK;
        return OSA_OK;
    }
    if (job->pull == IMAGE_PULL_NEVER)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "it is not kept here, and image_pull is never");
    return may_run ? start_copy(job, err) : OSA_OK;
}

static enum osa_code schedule_unpack(struct image_job *job, bool may_run, struct osa_error *err)
{
    if (!job->root || images_has(job->images, job->digest, "root")) {
        finish(job);
        return OSA_OK;
    }
    return may_run && !is_unpacked_by_another(job) ? start_unpack(job, err) : OSA_OK;
}

void images_schedule(struct images *images)
{
    struct image_job *job, *next;
    DL_FOREACH_SAFE(images->jobs, job, next)
    {
        struct osa_error err = { 0 };
        enum osa_code code = OSA_OK;
        bool may_run = count_active(images) < images->config->image_pulls;
        if (job->given_up)
            continue;
        if (job->step == IMAGE_WAIT_COPY)
            code = schedule_copy(job, may_run, &err);
        if (code == OSA_OK && job->step == IMAGE_WAIT_UNPACK)
            code = schedule_unpack(job, may_run, &err);
        if (code != OSA_OK)
            fail(job, err.code, err.text);
    }
}

/* ---- from outside ---- */

struct image_job *image_job_new(struct images *images, const struct image_want *want)
{
    struct image_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        abort();
    job->images = images;
    job->name = strdup(want->name);
    if (job->name == NULL)
        abort();
    job->pull = want->pull;
    job->root = want->root;
    (void)snprintf(job->wanted, sizeof(job->wanted), "%s", want->digest);
    job->program.line = on_line;
    job->program.done = on_program;
    helper_program_init(&job->program, images->loop);
    DL_APPEND(images->jobs, job);
    return job;
}

void image_job_give_up(struct image_job *job)
{
    if (job->given_up || job->step == IMAGE_DONE)
        return;
    job->given_up = true;
    if (helper_program_runs(&job->program))
        helper_program_kill(&job->program);
    else if (!job->on_disk)
        finish(job);
}

static bool is_same(const struct image_job *job, const struct image_want *want)
{
    /* What is later than the copy may have come too late for "always". */
    bool in_time = want->pull != IMAGE_PULL_ALWAYS || job->step <= IMAGE_COPYING;
    return !job->given_up && job->step != IMAGE_DONE && in_time &&
           strcmp(job->name, want->name) == 0 && strcmp(job->wanted, want->digest) == 0 &&
           (job->pull == want->pull || job->step == IMAGE_COPYING);
}

void images_get(struct images *images, struct image_wait *wait, const struct image_want *want)
{
    struct image_job *job;
    DL_FOREACH(images->jobs, job)
    if (is_same(job, want))
        break;
    if (job == NULL)
        job = image_job_new(images, want);
    job->root = job->root || want->root;
    wait->job = job;
    DL_APPEND(job->waits, wait);
    images_schedule(images);
}

void images_cancel(struct image_wait *wait)
{
    struct image_job *job = wait->job;
    if (job == NULL)
        return;
    wait->job = NULL;
    DL_DELETE(job->waits, wait);
    if (job->waits == NULL)
        image_job_give_up(job);
}
