// SPDX-License-Identifier: Apache-2.0
/*
 * The images of sandboxes: pulled by skopeo(1), unpacked by umoci(1), kept by digest.
 *
 *   DIR/images/refs/HASH              digest that an image's name had when it was last pulled
 *   DIR/images/sha256-HEX/layout      OCI layout with this one image; a microVM's server takes it
 *   DIR/images/sha256-HEX/root        unpacked, once somebody wants it: the lower half of overlays
 *   DIR/images/sha256-HEX/bytes       what both occupy
 *   DIR/images/.…                     halves of what is being made or removed
 *
 * What has its name is whole and on the disk: it is made under another one, made durable, renamed.
 * A name that several wait for is pulled once. When the kept images together outgrow their bound, the
 * ones that no sandbox has go, those first that were used longest ago.
 *
 * Thread: loop. The programs run beside it, and what waits for the disk does so on a thread.
 */
#pragma once

#include "driver/image_ref.h"
#include "driver/worker.h"

#include "base/loop.h"

/**
 * struct image_wait - Somebody who waits for an image; embedded in its owner
 * @event: something happens; @reason is "Pulling", "PullingLayer" or "Unpacking", @text for people
 * @done:  last call, never from inside images_get(). Either @info, borrowed, or @error
 * The rest is private.
 */
struct image_wait {
    void (*event)(struct image_wait *self, const char *reason, const char *text);
    void (*done)(struct image_wait *self, const struct image_info *info,
                 const struct osa_error *error);
    struct image_job *job;
    struct image_wait *prev, *next;
};

/**
 * struct image_want - What is waited for
 * @name:   the image's
 * @digest: it must be this one; "" for whatever the name stands for
 * @pull:   IMAGE_PULL_MISSING is the rule; with @digest, a kept one is never asked for again
 * @root:   unpacked as well
 */
struct image_want {
    const char *name;
    const char *digest;
    enum image_pull pull;
    bool root;
};

struct images;

/**
 * images_open() - Make the directories and remove what a crash has left
 * @config, @trash: borrowed; @trash removes trees
 * @in_use: does a sandbox have this digest?
 */
OSA_MUST_CHECK enum osa_code images_open(struct osa_loop *loop, const struct driver_config *config,
                                         struct worker *trash,
                                         bool (*in_use)(void *ctx, const char *digest), void *ctx,
                                         struct images **ret_images, struct osa_error *err);

/** images_check() - Could it be had at all? Asks nobody. Return: as image_source(); FAILED_PRECONDITION */
OSA_MUST_CHECK enum osa_code images_check(const struct images *images,
                                          const struct image_want *want, struct osa_error *err);

/** images_get() - Wait for an image. @wait's functions are set */
void images_get(struct images *images, struct image_wait *wait, const struct image_want *want);

/** images_cancel() - Do not wait any more; what nobody waits for is given up. Not waiting is fine */
void images_cancel(struct image_wait *wait);

/** images_path() - "DIR/images/sha256-HEX/PART" */
void images_path(const struct images *images, const char *digest, const char *part, char *ret_path);

/** images_close() - Kill what is pulled; @closed is the last callback. Nobody waits any more */
void images_close(struct images *images, void (*closed)(void *ctx), void *ctx);
