// SPDX-License-Identifier: Apache-2.0
/* The image of a box: asked for before its agent is started, and told to those who watch. */
#include "base/log.h"
#include "driver/driver.h"

#include <stdio.h>
#include <string.h>

bool box_has_image(const struct box *box)
{
    bool kept = box->record.runtime == RUNTIME_KIND_PROCESS || box->driver->config->boxlite_layout;
    return kept && !image_is_host(box->spec->image);
}

static void on_event(struct image_wait *wait, const char *reason, const char *text)
{
    struct box *box = OSA_CONTAINER_OF(wait, struct box, image_wait);
    const struct watch_event event = { "Normal", reason, text, NULL, "pulling_image", text };
    box->pulled = true;
    watch_event(box, &event);
}

/* @info lives as long as the wait; a launch comes later. */
static void keep_info(struct box *box, const struct image_info *info)
{
    osa_arena_done(&box->image_arena);
    box->image_arena = (struct osa_arena){ 0 };
    box->image = *info;
    box->image.user = osa_arena_strdup(&box->image_arena, info->user);
    box->image.workdir = osa_arena_strdup(&box->image_arena, info->workdir);
    box->image.env = osa_arena_alloc(&box->image_arena, (info->env_count + 1) * sizeof(char *));
    for (size_t i = 0; i < info->env_count; i++)
        box->image.env[i] = osa_arena_strdup(&box->image_arena, info->env[i]);
}

static void on_done(struct image_wait *wait, const struct image_info *info,
                    const struct osa_error *error)
{
    struct box *box = OSA_CONTAINER_OF(wait, struct box, image_wait);
    char text[256];
    if (error != NULL) {
        box_fail(box, "ImagePullFailed", error->text);
        return;
    }
    keep_info(box, info);
    memcpy(box->record.image_digest, info->digest, sizeof(box->record.image_digest));
    (void)snprintf(text, sizeof(text), "%.128s, %s", box->spec->image, info->digest);
    const struct watch_event event = { "Normal",
                                       box->pulled ? "Pulled" : "ImagePresent",
                                       text,
                                       "pulling_image",
                                       "starting_sandbox",
                                       NULL };
    watch_event(box, &event);
    box->image_ready = true;
    driver_queue(box->driver, &box->launch);
}

void box_image_get(struct box *box)
{
    const struct image_want want =
        box_image_want(box->driver, box->spec, box->record.runtime, box->record.image_digest);
    box->pulled = false;
    box->image_wait.event = on_event;
    box->image_wait.done = on_done;
    images_get(box->driver->images, &box->image_wait, &want);
}

struct image_want box_image_want(const struct driver *driver, const struct driver_spec *spec,
                                 enum runtime_kind kind, const char *digest)
{
    return (struct image_want){
        .name = spec->image,
        .digest = digest,
        .pull =
            spec->image_pull != IMAGE_PULL_DEFAULT ? spec->image_pull : driver->config->image_pull,
        .root = kind == RUNTIME_KIND_PROCESS,
    };
}

void box_image_done(struct box *box)
{
    images_cancel(&box->image_wait);
    osa_arena_done(&box->image_arena);
}
