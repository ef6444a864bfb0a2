// SPDX-License-Identifier: Apache-2.0
/*
 * What the server is, found out from its answers, for it has no version route: /config tells what it
 * can do, /me the slot of its paths, /images 0.10.0 from its followers. Then the boxes that a crashed
 * agent left behind are deleted, and only then is the backend there.
 */
#include "backends/boxlite/internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_DELAY_NS (500 * OSA_NS_PER_MS)
#define YOUNG_DELAY_NS (100 * OSA_NS_PER_MS)
#define LAST_DELAY_NS (30 * OSA_NS_PER_SEC)
#define LOOK_NS (5 * OSA_NS_PER_SEC)
#define SLOT_MAX 128

struct orphan {
    struct orphan *next;
    char id[129];
};

static void ask(struct boxlite *b, enum probe_step step);

static void drop_orphans(struct boxlite *b)
{
    struct orphan *orphan, *next;
    LL_FOREACH_SAFE(b->orphans, orphan, next)
    free(orphan);
    b->orphans = NULL;
}

static void fail(struct boxlite *b, const char *why)
{
    if (b->server != NULL && server_is_young(b->server) && !b->info.available) {
        osa_timer_arm(b->loop, &b->probe_timer, osa_deadline_after(YOUNG_DELAY_NS));
        return;
    }
    if (!b->probed || b->info.available || strcmp(why, b->info.reason) != 0)
        osa_log(b->wanted ? OSA_LOG_WARN : OSA_LOG_DEBUG, "boxlite",
                "no BoxLite server; asked again later", OSA_S("url", b->info.server_url),
                OSA_S("reason", why));
    b->probed = true;
    b->info.available = false;
    (void)snprintf(b->info.reason, sizeof(b->info.reason), "%s", why);
    drop_orphans(b);
    b->probed_ns = osa_now_ns();
    if (b->wanted)
        osa_timer_arm(b->loop, &b->probe_timer, osa_deadline_after(b->probe_delay_ns));
    b->probe_delay_ns = OSA_MIN(b->probe_delay_ns * 2, LAST_DELAY_NS);
}

static void succeed(struct boxlite *b)
{
    b->probed = true;
    b->orphans_deleted = true;
    b->info.available = true;
    b->info.reason[0] = '\0';
    b->probe_delay_ns = FIRST_DELAY_NS;
    (void)snprintf(b->info.server_version, sizeof(b->info.server_version), "%s", b->api.version);
    osa_log(OSA_LOG_INFO, "boxlite", "server found", OSA_S("url", b->info.server_url),
            OSA_S("version", b->api.version));
}

/* ---- orphans ---- */

static void delete_next_orphan(struct boxlite *b);

static void on_orphan_deleted(void *ctx, const struct http_reply *reply,
                              const struct osa_error *error)
{
    struct boxlite *b = ctx;
    struct orphan *orphan = b->orphans;
    struct osa_error err;
    b->probe_call = NULL;
    if (error != NULL)
        osa_log_error(OSA_LOG_WARN, "boxlite", "a box of a former agent stays", error,
                      OSA_S("box", orphan->id));
    else if (reply->status > 299 && reply->status != 404)
        (void)api_error(reply, "deleting a box of a former agent", &err);
    else
        osa_log(OSA_LOG_INFO, "boxlite", "deleted a box of a former agent",
                OSA_S("box", orphan->id));
    LL_DELETE(b->orphans, orphan);
    free(orphan);
    delete_next_orphan(b);
}

static void delete_next_orphan(struct boxlite *b)
{
    char path[API_PATH_MAX];
    if (b->orphans == NULL) {
        succeed(b);
        return;
    }
    (void)snprintf(path, sizeof(path), "/boxes/%s?force=true", b->orphans->id);
    b->probe_call = api_delete(&b->api, path, on_orphan_deleted, b);
}

static bool is_ours(const struct boxlite *b, const char *name)
{
    const struct box *box;
    DL_FOREACH(b->boxes, box)
    {
        if (strcmp(box->name, name) == 0)
            return true;
    }
    return false;
}

static void take_boxes(struct boxlite *b, const struct json_t *body)
{
    const struct json_t *list = io_json_member(body, "boxes");
    for (size_t i = 0; i < io_json_count(list); i++) {
        const struct json_t *box = io_json_element(list, i);
        const char *name = io_json_text(box, "name");
        const char *id = io_json_text(box, "box_id");
        if (name == NULL || !api_id_is_valid(id) || is_ours(b, name) ||
            strncmp(name, b->name_prefix, strlen(b->name_prefix)) != 0)
            continue;
        struct orphan *orphan = calloc(1, sizeof(*orphan));
        if (orphan == NULL)
            abort();
        (void)snprintf(orphan->id, sizeof(orphan->id), "%s", id);
        LL_PREPEND(b->orphans, orphan);
    }
    delete_next_orphan(b);
}

/* ---- steps ---- */

/* NULL: go on. Else why this is no server to use. */
static const char *take_config(struct boxlite *b, const struct json_t *body)
{
    const struct json_t *capabilities = io_json_member(body, "capabilities");
    if (capabilities == NULL && io_json_member(body, "defaults") != NULL)
        return "the server is BoxLite 0.7 or older, which asks nobody for a key and streams no "
               "input; 0.10 or newer is needed";
    if (capabilities == NULL)
        return "what answers there does not look like BoxLite 0.10 or newer: its /v1/config has no "
               "capabilities";
    b->api.capabilities = io_json_true(capabilities, "linux_capabilities_enabled");
    b->api.exec_user = io_json_true(capabilities, "exec_user_enabled");
    (void)snprintf(b->api.version, sizeof(b->api.version), "%s",
                   b->api.exec_user ? "0.11 or newer" : "0.10");
    return NULL;
}

/* The slot is opaque and may have several parts, but it stays what a path may hold. */
static const char *take_me(struct boxlite *b, const struct json_t *body)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./~%";
    const char *slot = io_json_text(body, "path_prefix");
    if (slot == NULL)
        slot = io_json_text(body, "prefix");
    if (slot == NULL || slot[0] == '\0')
        return NULL;
    size_t len = strlen(slot);
    if (len > SLOT_MAX || strspn(slot, allowed) != len || slot[0] == '/' || slot[len - 1] == '/' ||
        strstr(slot, "..") != NULL || strstr(slot, "//") != NULL)
        return "the server names a path prefix that no URL can hold";
    (void)snprintf(b->api.base, sizeof(b->api.base), "/v1/%s", slot);
    return NULL;
}

static void on_answer(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct boxlite *b = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    const char *problem = NULL;
    b->probe_call = NULL;
    if (b->step == PROBE_IMAGES && error == NULL && reply->status == 404) {
        (void)snprintf(b->api.version, sizeof(b->api.version), "0.10.0");
        ask(b, PROBE_BOXES);
        return;
    }
    if (api_parse(reply, error, "probing the server", &body, &err) != OSA_OK) {
        fail(b, err.text);
        return;
    }
    switch (b->step) {
    case PROBE_CONFIG:
        problem = take_config(b, body);
        break;
    case PROBE_ME:
        problem = take_me(b, body);
        break;
    case PROBE_IMAGES:
        break;
    case PROBE_BOXES:
        take_boxes(b, body);
        io_json_free(body);
        return;
    }
    io_json_free(body);
    if (problem != NULL)
        fail(b, problem);
    else if (b->step == PROBE_IMAGES && b->orphans_deleted)
        succeed(b);
    else
        ask(b, b->step + 1);
}

static void ask(struct boxlite *b, enum probe_step step)
{
    static const char *const paths[] = { "/config", "/me", "/images", "/boxes" };
    b->step = step;
    if (step == PROBE_CONFIG)
        (void)snprintf(b->api.base, sizeof(b->api.base), "/v1");
    b->probe_call = api_get(&b->api, paths[step], API_LIST_MAX, on_answer, b);
}

static void on_timer(struct osa_timer *timer)
{
    struct boxlite *b = OSA_CONTAINER_OF(timer, struct boxlite, probe_timer);
    if (b->probe_call == NULL)
        ask(b, PROBE_CONFIG);
}

void probe_begin(struct boxlite *b)
{
    b->probe_timer.fire = on_timer;
    b->probe_delay_ns = FIRST_DELAY_NS;
    ask(b, PROBE_CONFIG);
}

void probe_look(struct boxlite *b)
{
    if (!b->info.available && !b->wanted && b->probe_call == NULL &&
        osa_now_ns() - b->probed_ns > LOOK_NS)
        ask(b, PROBE_CONFIG);
}

void probe_stop(struct boxlite *b)
{
    osa_timer_disarm(&b->probe_timer);
    http_cancel(OSA_TAKE(b->probe_call));
    drop_orphans(b);
}

void probe_server_lost(struct boxlite *b, const struct osa_error *why)
{
    if (b->info.available && why->code == OSA_UNAVAILABLE)
        fail(b, why->text);
}
