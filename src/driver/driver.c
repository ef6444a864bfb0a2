// SPDX-License-Identifier: Apache-2.0
/* The table of boxes, and how one is added. */
#include "driver/driver.h"
#include "base/log.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- work ---- */

/* Posts go through the loop in order, so whatever came meanwhile has its turn before the next work. */
static void on_turn(struct osa_task *task)
{
    struct driver *driver = OSA_CONTAINER_OF(task, struct driver, turn);
    struct driver_work *work = driver->work;
    driver->turning = false;
    if (work == NULL)
        return;
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(work->trace);
    driver_unqueue(driver, work);
    if (driver->work != NULL) {
        driver->turning = true;
        osa_loop_post(driver->loop, &driver->turn);
    }
    work->run(work);
}

void driver_queue(struct driver *driver, struct driver_work *work)
{
    if (work->queued)
        return;
    work->queued = true;
    work->trace = osa_trace_ref(osa_trace_current());
    DL_APPEND(driver->work, work);
    driver->turn.run = on_turn;
    if (!driver->turning)
        osa_loop_post(driver->loop, &driver->turn);
    driver->turning = true;
}

void driver_unqueue(struct driver *driver, struct driver_work *work)
{
    if (!work->queued)
        return;
    work->queued = false;
    DL_DELETE(driver->work, work);
    osa_trace_unref(OSA_TAKE(work->trace));
}

/* ---- the table ---- */

static enum osa_code adopt(void *ctx, const char *id, struct record *record, struct osa_error *err)
{
    return box_adopt(ctx, id, record, err);
}

static bool has_digest(void *ctx, const char *digest)
{
    const struct driver *driver = ctx;
    for (const struct box *box = driver->boxes; box != NULL; box = box->by_id.next) {
        if (box->state != BOX_GONE && strcmp(box->record.image_digest, digest) == 0)
            return true;
    }
    return false;
}

enum osa_code driver_open(struct driver *driver, struct osa_error *err)
{
    char *colon;
    driver->uid = (uint32_t)strtoul(driver->config->user, &colon, 10);
    driver->gid = (uint32_t)strtoul(colon + 1, NULL, 10);
    if (schedule_new(driver->config, &driver->schedule, err) != OSA_OK ||
        store_open(driver->config->state_dir, &driver->store, err) != OSA_OK ||
        worker_new(driver->loop, "osa-trash", &driver->trash, err) != OSA_OK ||
        images_open(driver->loop, driver->config, driver->trash, has_digest, driver,
                    &driver->images, err) != OSA_OK)
        return err->code;
    return OSA_OK;
}

enum osa_code driver_adopt(struct driver *driver, struct osa_error *err)
{
    return store_each(driver->store, adopt, driver, err);
}

/* What the threads had left to tell has been told, for posts go through the loop in order. */
static void on_last(struct osa_task *task)
{
    struct driver *driver = OSA_CONTAINER_OF(task, struct driver, last);
    void (*closed)(void *ctx) = driver->closed;
    driver->closed = NULL;
    store_close(driver->store);
    schedule_free(driver->schedule);
    driver->store = NULL;
    driver->schedule = NULL;
    closed(driver->closed_ctx);
}

static void on_images_closed(void *ctx)
{
    struct driver *driver = ctx;
    worker_free(driver->trash);
    driver->trash = NULL;
    driver->images = NULL;
    driver->last.run = on_last;
    osa_loop_post(driver->loop, &driver->last);
}

void driver_finish_close(struct driver *driver)
{
    images_close(driver->images, on_images_closed, driver);
}

void driver_close(struct driver *driver, void (*closed)(void *ctx), void *ctx)
{
    driver->closed = closed;
    driver->closed_ctx = ctx;
    struct box *box, *next;
    HASH_ITER(by_id, driver->boxes, box, next)
    box_free(box);
    while (driver->work != NULL) { /* creations, which are refused now */
        struct driver_work *work = driver->work;
        driver_unqueue(driver, work);
        work->run(work);
    }
    if (driver->closing == 0)
        driver_finish_close(driver);
}

struct box *driver_find(struct driver *driver, const char *id, struct osa_error *err)
{
    struct box *box;
    if (id[0] == '\0') {
        (void)osa_fail(err, OSA_INVALID_ARGUMENT, 0, "sandbox_id: is empty");
        return NULL;
    }
    HASH_FIND(by_id, driver->boxes, id, strlen(id), box);
    if (box == NULL || box->state == BOX_GONE) {
        (void)osa_fail(err, OSA_NOT_FOUND, 0, "sandbox '%.128s' is not known here", id);
        return NULL;
    }
    return box;
}

struct resources driver_used(const struct driver *driver)
{
    struct resources used = { 0 };
    for (const struct box *box = driver->boxes; box != NULL; box = box->by_id.next) {
        if (box->state != BOX_STARTING && box->state != BOX_RUNNING && box->state != BOX_ENDING)
            continue;
        const struct resources need = schedule_reservation(box->spec);
        used.cpu_millis += need.cpu_millis;
        used.memory_bytes += need.memory_bytes;
    }
    return used;
}

/* ---- creation ---- */

static enum osa_code check_image(const struct driver *driver, const struct driver_spec *spec,
                                 enum runtime_kind kind, struct osa_error *err)
{
    bool process = kind == RUNTIME_KIND_PROCESS;
    const struct image_want want = box_image_want(driver, spec, kind, "");
    if (image_is_host(spec->image) || (!process && !driver->config->boxlite_layout))
        return OSA_OK;
    if (process && !driver->host.kinds[kind].roots)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "image '%.128s': no sandbox can have a root of its own on this machine; "
                        "give the image 'host'",
                        spec->image);
    if (process && spec->limits.disk_bytes != 0 && !spec->discard_changes)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "driver_config.disk: what is changed in an image is kept on this machine's "
                        "disk, where nothing bounds it; set image_changes to discard, or leave "
                        "disk out");
    return images_check(driver->images, &want, err);
}

/* Those that are gone wait for a gateway only. */
static uint32_t count_boxes(const struct driver *driver)
{
    uint32_t count = 0;
    for (const struct box *box = driver->boxes; box != NULL; box = box->by_id.next)
        count += box->state != BOX_GONE;
    return count;
}

/* @ret_spec is returned also where @ret_placement says no. */
static enum osa_code judge(const struct driver *driver, const COMPUTE(DriverSandbox) * wire,
                           struct driver_spec **ret_spec, struct placement *ret_placement,
                           struct osa_error *err)
{
    const struct resources used = driver_used(driver);
    enum osa_code code = driver_spec_from_wire(wire, ret_spec, err);
    if (code != OSA_OK)
        return code;
    if ((*ret_spec)->image[0] == '\0')
        (*ret_spec)->image = driver->config->default_image;
    if (count_boxes(driver) >= driver->config->max_sandboxes)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "this driver keeps %u sandboxes already (max-sandboxes); delete one",
                        driver->config->max_sandboxes);
    code = schedule_place(driver->schedule, &driver->host, *ret_spec, &used, ret_placement, err);
    return code == OSA_OK ? check_image(driver, *ret_spec, ret_placement->kind, err) : code;
}

enum osa_code driver_validate(const struct driver *driver, const COMPUTE(DriverSandbox) * wire,
                              struct osa_error *err)
{
    struct driver_spec *spec = NULL;
    struct placement placement;
    enum osa_code code = judge(driver, wire, &spec, &placement, err);
    driver_spec_free(spec);
    return code;
}

static enum osa_code check_token(const COMPUTE(DriverSandbox) * wire, struct osa_error *err)
{
    size_t len = strlen(wire->spec->sandbox_token);
    if (len == 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "the gateway sent no token for the sandbox, without which it can never "
                        "become ready; configure gateway_jwt");
    if (len > DRIVER_TOKEN_BYTES)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "the sandbox's token is longer than %d bytes", DRIVER_TOKEN_BYTES);
    return OSA_OK;
}

/* Packs @wire as it goes to disk: without its secret, with the image that was decided on. */
static void pack(const COMPUTE(DriverSandbox) * wire, const struct driver_spec *spec,
                 struct record *record)
{
    COMPUTE(DriverSandbox) copy = *wire;
    COMPUTE(DriverSandboxSpec) body = *wire->spec;
    COMPUTE(DriverSandboxTemplate) template = COMPUTE_INIT(DRIVER_SANDBOX_TEMPLATE);
    if (body.template_ != NULL)
        template = *body.template_;
    template.image = (char *)(uintptr_t)spec->image;
    body.template_ = &template;
    body.sandbox_token = (char *)protobuf_c_empty_string;
    copy.spec = &body;
    record->wire_len = protobuf_c_message_get_packed_size(&copy.base);
    record->wire = malloc(record->wire_len + 1);
    if (record->wire == NULL)
        abort();
    (void)protobuf_c_message_pack(&copy.base, record->wire);
}

enum osa_code driver_create(struct driver *driver, const COMPUTE(DriverSandbox) * wire,
                            struct osa_error *err)
{
    struct driver_spec *spec = NULL;
    struct placement placement;
    struct box *known = NULL;
    enum osa_code code = judge(driver, wire, &spec, &placement, err);
    if (wire != NULL)
        HASH_FIND(by_id, driver->boxes, wire->id, strlen(wire->id), known);
    if (known != NULL)
        code = osa_fail(err, OSA_ALREADY_EXISTS, 0, "sandbox '%s' exists already", known->id);
    if (code == OSA_OK)
        code = check_token(wire, err);
    if (code != OSA_OK) {
        driver_spec_free(spec);
        return code;
    }
    struct record record = {
        .wanted = WANTED_RUN,
        .runtime = placement.kind,
        .created_ms = osa_wall_ns() / OSA_NS_PER_MS,
        .changed_ms = osa_wall_ns() / OSA_NS_PER_MS,
    };
    memcpy(record.placement, placement.why, sizeof(record.placement));
    pack(wire, spec, &record);
    code = store_create(driver->store, spec->id, &record, wire->spec->sandbox_token, driver->uid,
                        driver->gid, err);
    if (code != OSA_OK) {
        record_done(&record);
        driver_spec_free(spec);
        if (code != OSA_ALREADY_EXISTS)
            err->code = OSA_FAILED_PRECONDITION; /* of which the gateway hands on the text */
        return err->code;
    }
    /* The image is the configuration's, or lies in the spec: both outlive the box. */
    struct box *box = box_new(driver, spec->id, &record, spec);
    osa_log(OSA_LOG_INFO, "driver", "sandbox created", OSA_S("sandbox", box->id),
            OSA_S("name", spec->name), OSA_S("runtime", spec_runtime_name(placement.kind)),
            OSA_S("by", placement.why));
    box_launch(box);
    watch_changed(box);
    return OSA_OK;
}
