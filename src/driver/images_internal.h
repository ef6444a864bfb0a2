// SPDX-License-Identifier: Apache-2.0
/* What images.c (the directory) and image_job.c (one pull) share. */
#pragma once

#include "driver/images.h"

#include "driver/program.h"

#include <limits.h>

/* In order; a job that failed, or was given up, goes to DONE from anywhere. */
enum image_step {
    IMAGE_WAIT_COPY,
    IMAGE_COPYING, /* skopeo runs */
    IMAGE_INSTALLING,
    IMAGE_WAIT_UNPACK,
    IMAGE_UNPACKING, /* umoci runs */
    IMAGE_ROOTING,   /* what it unpacked gets its name */
    IMAGE_DONE,
};

/**
 * struct image_job - One name that is had; owned by its list
 * @temporary: directory of what is being made; "" for none
 * @digest: once known
 * @info: with its text in @arena
 */
struct image_job {
    struct images *images;
    enum image_step step;
    char *name;
    enum image_pull pull;
    char wanted[IMAGE_DIGEST_BYTES];
    bool root;
    struct image_wait *waits;
    struct image_job *prev, *next;

    char temporary[PATH_MAX];
    char digest[IMAGE_DIGEST_BYTES];
    struct osa_arena arena;
    struct image_info info;
    struct osa_error error;
    struct helper_program program;
    struct worker_job disk;
    bool on_disk; /* the worker has it */
    bool disk_failed;
    struct osa_task finish;
    bool given_up;
};

struct images {
    struct osa_loop *loop;
    const struct driver_config *config;
    bool (*in_use)(void *ctx, const char *digest);
    void *in_use_ctx;
    char dir[PATH_MAX];
    uint64_t next; /* number of the next temporary directory */
    struct image_job *jobs;
    struct worker *worker;
    struct worker *trash; /* borrowed */
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct osa_task close;
};

/* ---- images.c ---- */

/** images_digest() - What @name stood for when it was last pulled. Return: false when that is not known, or not kept */
bool images_digest(const struct images *images, const char *name, char *ret_digest);

/** images_has() - Is this part of that digest there? */
bool images_has(const struct images *images, const char *digest, const char *part);

/** images_used() - Remember that it was used now */
void images_used(const struct images *images, const char *digest);

/** images_trim() - Remove what is beyond the bound. Blocks for names and sizes only: trees go by the worker */
void images_trim(struct images *images);

/** images_temporary() - A new directory for @job */
OSA_MUST_CHECK enum osa_code images_temporary(struct images *images, struct image_job *job,
                                              struct osa_error *err);

/** images_drop() - Remove what @path names, by the worker; it has another name at once */
void images_drop(struct images *images, const char *path);

/** images_forget() - @job is done: free it, or end the closing */
void images_forget(struct images *images, struct image_job *job);

/* For the worker's thread. */

/** images_install() - Give @job's layout its name, durably. Thread: worker */
void images_install(struct image_job *job);

/** images_root() - Likewise what was unpacked. Thread: worker */
void images_root(struct image_job *job);

/* ---- image_job.c ---- */

/** image_job_new() - In the list; images_schedule() does the rest */
struct image_job *image_job_new(struct images *images, const struct image_want *want);

/** images_schedule() - Start whatever can be started */
void images_schedule(struct images *images);

/** image_job_give_up() - Nobody waits */
void image_job_give_up(struct image_job *job);
