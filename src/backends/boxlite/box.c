// SPDX-License-Identifier: Apache-2.0
#include "backends/boxlite/helper.h"
#include "backends/boxlite/internal.h"
#include "backends/defer.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time between two looks at a box that nothing else is heard of. */
#define CHECK_NS (30 * OSA_NS_PER_SEC)
#define DELETE_TRIES 6u
#define DELETE_DELAY_NS (500 * OSA_NS_PER_MS)

static struct box *box_of(struct backend_sandbox *base)
{
    return OSA_CONTAINER_OF(base, struct box, base);
}

/* ---- the end ---- */

static void box_free(struct box *box)
{
    struct box_process *p, *next;
    DL_FOREACH_SAFE(box->processes, p, next)
    {
        DL_DELETE(box->processes, p);
        p->box = NULL;
    }
    osa_timer_disarm(&box->timer);
    http_cancel(box->call);
    http_cancel(box->check);
    helper_free(box->helper);
    osa_buf_done(&box->inside);
    osa_buf_done(&box->plain);
    DL_DELETE(box->backend->boxes, box);
    free(box);
}

static void end_processes(struct box *box)
{
    struct box_process *p, *next;
    helper_abandon(box->helper, &box->failure);
    DL_FOREACH_SAFE(box->processes, p, next)
    box_process_lost(p);
}

static void make(struct box *box, const struct osa_buf *body);

/* The server has said that nothing is left, or was asked often enough. */
static void deleted(struct box *box)
{
    end_processes(box);
    if (box->begin_again) {
        box->begin_again = false;
        helper_free(OSA_TAKE(box->helper));
        box->id[0] = '\0';
        box->delete_tries = 0;
        box->failure = (struct osa_error){ 0 };
        box->state = BOX_CREATING;
        make(box, &box->plain);
        return;
    }
    sandbox_created_fn created = box->created;
    done_fn destroyed = box->destroyed;
    void *ctx = box->ctx;
    struct osa_error failure = box->failure;
    box_free(box);
    if (created != NULL)
        created(ctx, NULL, NULL, NULL, &failure);
    else
        destroyed(ctx, NULL);
}

static void delete_now(struct box *box);

static void on_deleted(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box *box = ctx;
    struct osa_error err = { 0 };
    box->call = NULL;
    if (error == NULL && (reply->status < 300 || reply->status == 404)) {
        deleted(box);
        return;
    }
    if (error != NULL)
        err = *error;
    else
        (void)api_error(reply, "deleting a box", &err);
    if (++box->delete_tries < DELETE_TRIES) {
        osa_timer_arm(box->backend->loop, &box->timer,
                      osa_deadline_after(DELETE_DELAY_NS << box->delete_tries));
        return;
    }
    osa_log_error(OSA_LOG_ERROR, "boxlite",
                  "a box stays; the next agent with this state directory deletes it", &err,
                  OSA_S("box", box->name));
    deleted(box);
}

static void delete_now(struct box *box)
{
    char path[API_PATH_MAX];
    /* Without an answer to create there is only the name. */
    (void)snprintf(path, sizeof(path), "/boxes/%s?force=true",
                   box->id[0] != '\0' ? box->id : box->name);
    box->call = api_delete(&box->backend->api, path, on_deleted, box);
}

static void begin_delete(struct box *box)
{
    box->state = BOX_DELETING;
    http_cancel(OSA_TAKE(box->check));
    osa_timer_disarm(&box->timer);
    delete_now(box);
}

void box_destroy_op(struct backend_sandbox *base, done_fn done, void *ctx)
{
    struct box *box = box_of(base);
    box->destroyed = done;
    box->ctx = ctx;
    if (box->failure.code == OSA_OK)
        (void)osa_fail(&box->failure, OSA_ABORTED, 0, "sandbox was deleted");
    begin_delete(box);
}

/* ---- is it alive? ---- */

static void lose(struct box *box, const char *why)
{
    (void)osa_fail(&box->failure, OSA_ABORTED, 0, "sandbox ended: %s", why);
    box->state = BOX_LOST;
    osa_timer_disarm(&box->timer);
    end_processes(box);
    box->events->lost(box->events, box->failure.text);
}

static void on_checked(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box *box = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    box->check = NULL;
    osa_timer_arm(box->backend->loop, &box->timer, osa_deadline_after(CHECK_NS));
    enum osa_code code = api_parse(reply, error, "looking at a box", &body, &err);
    if (code == OSA_NOT_FOUND) {
        lose(box, "the server does not know its box any more");
        return;
    }
    if (code != OSA_OK) { /* the machine goes on without its server */
        if (error != NULL)
            probe_server_lost(box->backend, &err);
        return;
    }
    const char *status = io_json_text(body, "status");
    bool ended =
        status != NULL && (strcmp(status, "stopped") == 0 || strcmp(status, "failed") == 0);
    io_json_free(body);
    if (ended)
        lose(box, "its virtual machine has stopped");
}

void box_check(struct box *box)
{
    char path[API_PATH_MAX];
    if (box->state != BOX_READY || box->check != NULL)
        return;
    (void)snprintf(path, sizeof(path), "/boxes/%s", box->id);
    box->check = api_get(&box->backend->api, path, API_REPLY_MAX, on_checked, box);
}

static void on_timer(struct osa_timer *timer)
{
    struct box *box = OSA_CONTAINER_OF(timer, struct box, timer);
    if (box->state == BOX_DELETING)
        delete_now(box);
    else
        box_check(box);
}

/* ---- the beginning ---- */

/* @left: the server may have made the box all the same */
static void create_failed(struct box *box, const struct osa_error *error, bool left)
{
    box->failure = *error;
    box->failure.stage = "box";
    if (left)
        begin_delete(box);
    else
        deleted(box);
}

static void add_degraded(struct isolation *isolation, const char *text)
{
    size_t used = 0;
    while (isolation->degraded[used] != '\0')
        used += strlen(isolation->degraded + used) + 1;
    size_t len = strlen(text) + 1;
    if (used + len + 1 <= sizeof(isolation->degraded)) {
        memcpy(isolation->degraded + used, text, len);
        isolation->degraded[used + len] = '\0';
    }
}

/* What the server's exec, used as it is, does not give. */
static void tell_missing(struct isolation *isolation, bool proxy)
{
    if (proxy)
        add_degraded(isolation, "no network: nothing that network_policies allow is reached");
    add_degraded(isolation, "output is text: bytes that are not UTF-8 arrive as U+FFFD");
    add_degraded(isolation, "an exit is told once all that hold the output have ended");
    add_degraded(isolation, "the file-system policy is not enforced inside of the box");
    add_degraded(isolation, "signals reach the process alone; escaped children end with the box");
}

static void ready(struct box *box)
{
    box->state = BOX_READY;
    osa_timer_arm(box->backend->loop, &box->timer, osa_deadline_after(CHECK_NS));
    sandbox_created_fn created = box->created;
    box->created = NULL;
    created(box->ctx, &box->base, &box->isolation, &box->limits, NULL);
}

static void on_started(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box *box = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    box->call = NULL;
    if (api_parse(reply, error, "starting the box", &body, &err) != OSA_OK) {
        create_failed(box, &err, /* left= */ true);
        return;
    }
    io_json_free(body);
    if (box->inside.len > 0) {
        box->helper = helper_begin(box, &box->inside);
        return;
    }
    tell_missing(&box->isolation, box->proxy);
    ready(box);
}

static void on_made(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box *box = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    char path[API_PATH_MAX];
    box->call = NULL;
    if (api_parse(reply, error, "making the box", &body, &err) != OSA_OK) {
        bool refused = reply != NULL && reply->status >= 400 && reply->status < 500;
        if (error != NULL)
            probe_server_lost(box->backend, &err);
        create_failed(box, &err, !refused);
        return;
    }
    const char *id = io_json_text(body, "box_id");
    if (!api_id_is_valid(id)) {
        io_json_free(body);
        (void)osa_fail(&err, OSA_INTERNAL, 0, "making the box: the server's answer has no box_id");
        create_failed(box, &err, /* left= */ true);
        return;
    }
    (void)snprintf(box->id, sizeof(box->id), "%s", id);
    io_json_free(body);
    (void)snprintf(path, sizeof(path), "/boxes/%s/start", box->id);
    box->call =
        api_post(&box->backend->api, path, NULL, box->backend->start_timeout_ns, on_started, box);
}

/* ---- the helper ---- */

static unsigned limit_bits(const struct resources *limits)
{
    return (limits->cpu_millis != 0 ? LIMIT_CPU : 0u) |
           (limits->memory_bytes != 0 ? LIMIT_MEMORY : 0u) |
           (limits->disk_bytes != 0 ? LIMIT_DISK : 0u);
}

static bool is_degraded(const struct isolation *isolation, const char *sentence)
{
    const char *text = isolation->degraded;
    while (*text != '\0' && strcmp(text, sentence) != 0)
        text += strlen(text) + 1;
    return *text != '\0';
}

void box_merge_isolation(const struct box *box, struct isolation *isolation)
{
    const struct isolation *outside = &box->backend->info.isolation;
    isolation->level = outside->level;
    if (isolation->network !=
        NETWORK_PROXY) /* the helper's namespace; around it there is no card */
        isolation->network = outside->network;
    isolation->tree_kill = outside->tree_kill;
    isolation->namespaces |= outside->namespaces;
    isolation->enforced_limits |= box->isolation.enforced_limits;
    const char *text = box->isolation.degraded;
    for (; box->helper != NULL && *text != '\0'; text += strlen(text) + 1) {
        if (!is_degraded(isolation, text))
            add_degraded(isolation, text);
    }
}

/* What depends on the guest's kernel. A box speaks for all here, so it is heard on nothing else. */
#define OF_THE_GUEST                                                                               \
    (BACKEND_CAP_PAUSE | BACKEND_CAP_UPDATE_RESOURCES | BACKEND_CAP_PROCESS_LIMITS |               \
     BACKEND_CAP_CPU_LIMIT | BACKEND_CAP_MEMORY_LIMIT | BACKEND_CAP_PIDS_LIMIT |                   \
     BACKEND_CAP_STATS | BACKEND_CAP_OOM)

enum osa_code box_limits_inside(struct box *box, uint32_t capabilities, struct resources *ret,
                                struct osa_error *err)
{
    const struct resources *wanted = &box->limits;
    *ret = (struct resources){ 0 };
    box->backend->info.capabilities |= capabilities & OF_THE_GUEST;
    if ((capabilities & BACKEND_CAP_CPU_LIMIT) != 0)
        ret->cpu_millis = wanted->cpu_millis;
    else if (wanted->cpu_millis % 1000 != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.resources.cpu_millis: the box has no cgroup for a part of a CPU; ask "
                        "for whole thousands");
    if ((capabilities & BACKEND_CAP_PIDS_LIMIT) != 0)
        ret->pids_max = wanted->pids_max;
    else if (wanted->pids_max != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.resources.pids_max: the box has no cgroup to count processes with");
    if ((capabilities & BACKEND_CAP_MEMORY_LIMIT) != 0)
        ret->memory_bytes = wanted->memory_bytes;
    else if (wanted->memory_bytes != 0)
        add_degraded(&box->isolation, "memory is bounded by the machine, which has 128 MiB more");
    return OSA_OK;
}

void box_on_helper_ready(struct box *box, const struct isolation *isolation,
                         const struct resources *limits)
{
    struct isolation merged = *isolation;
    (void)limits; /* those that were asked for, or it would have failed */
    box_merge_isolation(box, &merged);
    box->isolation = merged;
    ready(box);
}

void box_on_helper_failed(struct box *box, const struct osa_error *why, bool speaks)
{
    bool lacking = why->code == OSA_ABORTED || why->code == OSA_FAILED_PRECONDITION;
    if (!speaks && lacking && box->refusal.code == OSA_OK) {
        osa_log(OSA_LOG_WARN, "boxlite",
                "no helper can run in this image; the plain exec has to do",
                OSA_S("box", box->name), OSA_S("reason", why->text));
        box->begin_again = true;
    } else if (!speaks && lacking) {
        struct osa_error both = { 0 };
        (void)osa_fail(&both, box->refusal.code, 0, "%s; and no helper can run in it: %s",
                       box->refusal.text, why->text);
        create_failed(box, &both, /* left= */ true);
        return;
    }
    create_failed(box, why, /* left= */ true);
}

void box_on_helper_lost(struct box *box, const struct osa_error *why)
{
    if (box->state == BOX_READY)
        lose(box, why->text);
}

/* Certificates that programs in the box are to believe; the proxy that has their key is outside. */
static enum osa_code write_inside(struct box *box, const struct sandbox_spec *spec,
                                  struct osa_error *err)
{
    struct shared_files shared = { 0 };
    enum osa_code code = shared_files_read(spec->shared, &shared, err);
    if (code == OSA_OK)
        guest_write_sandbox(&box->inside, spec, shared.files, shared.count);
    shared_files_done(&shared);
    return code;
}

static enum osa_code write_bodies(struct box *box, const struct sandbox_spec *spec,
                                  struct osa_buf *body, struct osa_error *err)
{
    const struct boxlite *b = box->backend;
    if (!b->info.available)
        return osa_fail(err, OSA_UNAVAILABLE, 0, "%s", b->info.reason);
    if (b->plain)
        return box_spec_write(b, spec, box->name, /* helper= */ false, body, err);
    if (write_inside(box, spec, err) != OSA_OK)
        return err->code;
    if (box->inside.failed)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "the policy is too large for a box");
    (void)!box_spec_write(b, spec, box->name, /* helper= */ false, &box->plain, &box->refusal);
    return box_spec_write(b, spec, box->name, /* helper= */ true, body, err);
}

static void make(struct box *box, const struct osa_buf *body)
{
    box->call = api_post(&box->backend->api, "/boxes", body, API_CALL_NS, on_made, box);
}

void box_create_op(struct backend *base, const struct sandbox_spec *spec,
                   struct sandbox_events *events, sandbox_created_fn done, void *ctx)
{
    struct boxlite *b = OSA_CONTAINER_OF(base, struct boxlite, base);
    struct osa_error err = { 0 };
    struct osa_buf body;
    osa_buf_init(&body, API_BODY_MAX);
    struct box *box = calloc(1, sizeof(*box));
    if (box == NULL) {
        (void)osa_fail_errno(&err, ENOMEM, "sandbox");
        defer_created(b->loop, done, ctx, &err);
        return;
    }
    (void)snprintf(box->name, sizeof(box->name), "%s%s", b->name_prefix, spec->id);
    box->backend = b;
    osa_buf_init(&box->inside, API_BODY_MAX);
    osa_buf_init(&box->plain, API_BODY_MAX);
    if (write_bodies(box, spec, &body, &err) != OSA_OK) {
        osa_buf_done(&body);
        osa_buf_done(&box->inside);
        osa_buf_done(&box->plain);
        free(box);
        defer_created(b->loop, done, ctx, &err);
        return;
    }
    box->base.ops = base->ops;
    box->events = events;
    box->created = done;
    box->ctx = ctx;
    box->timer.fire = on_timer;
    box->limits = spec->resources;
    box->isolation = b->info.isolation;
    box->isolation.enforced_limits = limit_bits(&spec->resources);
    box->proxy = spec->proxy;
    DL_APPEND(b->boxes, box);
    make(box, &body);
    osa_buf_done(&body);
}
