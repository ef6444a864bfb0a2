// SPDX-License-Identifier: Apache-2.0
/*
 * The BoxLite backend on the agent's side: one box for each sandbox, one exec and one WebSocket for
 * each process. Every call to the server is libcurl's, in the agent's loop; nothing blocks.
 */
#include "backends/boxlite/boxlite.h"

#include "backends/boxlite/helper.h"
#include "backends/boxlite/internal.h"
#include "backends/defer.h"
#include "base/fd.h"
#include "io/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAX 4096

static struct boxlite *boxlite_of(const struct backend *b)
{
    return OSA_CONTAINER_OF(b, struct boxlite, base);
}

static const struct backend_info *info_op(struct backend *b)
{
    probe_look(boxlite_of(b));
    return &boxlite_of(b)->info;
}

static void close_op(struct backend *base)
{
    if (base == NULL)
        return;
    struct boxlite *b = boxlite_of(base);
    probe_stop(b);
    http_client_free(b->api.http);
    channel_hub_close(b->hub);
    server_close(b->server);
    free(b->image);
    free(b);
}

bool boxlite_backend_probed(const struct backend *b)
{
    return boxlite_of(b)->probed;
}

/* ---- what the helper does, and a box cannot over REST alone ---- */

static void lacks(struct osa_error *err, const char *what)
{
    (void)osa_fail(err, OSA_UNIMPLEMENTED, 0, "a boxlite sandbox cannot %s", what);
}

static struct box *box_of(struct backend_sandbox *s)
{
    return OSA_CONTAINER_OF(s, struct box, base);
}

static struct osa_loop *loop_of(struct backend_sandbox *s)
{
    return box_of(s)->backend->loop;
}

static bool has_helper(struct backend_sandbox *s)
{
    const struct box *box = box_of(s);
    return box->state == BOX_READY && box->helper != NULL;
}

static void pause_op(struct backend_sandbox *s, bool pause, done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    struct osa_buf body;
    if (has_helper(s)) {
        osa_buf_init(&body, 16);
        codec_u64(&body, pause);
        helper_ask(box_of(s)->helper, GUEST_PAUSE, &body,
                   &(struct helper_answer){ .done = done, .ctx = ctx });
        return;
    }
    lacks(&err, pause ? "be paused" : "be resumed");
    defer_done(loop_of(s), done, ctx, &err);
}

/* Within what the machine has: its CPUs and memory stay what they were. */
static enum osa_code check_update(const struct box *box, const struct resources *limits,
                                  struct osa_error *err)
{
    const struct resources *made = &box->limits;
    if (limits->disk_bytes != made->disk_bytes)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "resources.disk_bytes: the disk of a box cannot be changed");
    if (limits->memory_bytes > made->memory_bytes && made->memory_bytes != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "resources.memory_bytes: a box cannot have more than it was made with");
    if (limits->cpu_millis > (made->cpu_millis + 999) / 1000 * 1000 && made->cpu_millis != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "resources.cpu_millis: a box cannot have more CPUs than it was made with");
    return OSA_OK;
}

static void update_op(struct backend_sandbox *s, const struct resources *limits, done_fn done,
                      void *ctx)
{
    struct osa_error err = { 0 };
    struct osa_buf body;
    if (!has_helper(s))
        lacks(&err, "change its limits");
    else if (check_update(box_of(s), limits, &err) == OSA_OK) {
        struct resources inside = *limits;
        inside.disk_bytes = 0;
        osa_buf_init(&body, 256);
        guest_write_resources(&body, &inside);
        helper_ask(box_of(s)->helper, GUEST_UPDATE, &body,
                   &(struct helper_answer){ .done = done, .ctx = ctx });
        return;
    }
    defer_done(loop_of(s), done, ctx, &err);
}

static void stats_op(struct backend_sandbox *s, stats_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (has_helper(s)) {
        helper_ask(box_of(s)->helper, GUEST_STATS, NULL,
                   &(struct helper_answer){ .stats = done, .ctx = ctx });
        return;
    }
    lacks(&err, "tell its usage");
    defer_stats(loop_of(s), done, ctx, &err);
}

/* The server drops what is not read, without a word: output is always taken. */
static void hold_op(struct backend_process *p, bool hold)
{
    (void)p;
    (void)hold;
}

static void process_update_op(struct backend_process *p, const struct resources *limits,
                              done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    (void)limits;
    lacks(&err, "limit a single process");
    defer_done(OSA_CONTAINER_OF(p, struct box_process, base)->loop, done, ctx, &err);
}

static void process_stats_op(struct backend_process *p, stats_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    lacks(&err, "tell a process's usage");
    defer_stats(OSA_CONTAINER_OF(p, struct box_process, base)->loop, done, ctx, &err);
}

#define BACKEND_SLOTS                                                                              \
    .kind = RUNTIME_KIND_BOXLITE, .name = "boxlite", .close = close_op, .info = info_op,           \
    .sandbox_create = box_create_op, .sandbox_destroy = box_destroy_op, .sandbox_pause = pause_op, \
    .sandbox_update = update_op, .sandbox_stats = stats_op, .sandbox_connect = guest_connect_op,   \
    .sandbox_door = guest_door_op, .sandbox_owner = guest_owner_op, .sandbox_copy = guest_copy_op, \
    .spawn = box_spawn_op

static const struct backend_ops boxlite_ops = {
    BACKEND_SLOTS,
    .process_free = box_process_free_op,
    .signal = box_signal_op,
    .kill_tree = box_kill_tree_op,
    .hold_output = hold_op,
    .write_stdin = box_write_stdin_op,
    .close_stdin = box_close_stdin_op,
    .resize = box_resize_op,
    .process_update = process_update_op,
    .process_stats = process_stats_op,
};

const struct backend_ops boxlite_guest_ops = {
    BACKEND_SLOTS,
    .process_free = guest_free_op,
    .signal = guest_signal_op,
    .kill_tree = guest_kill_tree_op,
    .hold_output = guest_hold_op,
    .write_stdin = guest_write_stdin_op,
    .close_stdin = guest_close_stdin_op,
    .resize = guest_resize_op,
    .process_update = guest_update_op,
    .process_stats = guest_stats_op,
};

/* ---- opening ---- */

static void fill_info(struct boxlite *b)
{
    struct backend_info *info = &b->info;
    (void)snprintf(info->reason, sizeof(info->reason), "the server has not answered yet");
    (void)snprintf(info->server_url, sizeof(info->server_url), "%s", http_client_url(b->api.http));
    info->isolation = (struct isolation){
        .level = ISOLATION_VM,
        .namespaces = NAMESPACE_MNT | NAMESPACE_PID | NAMESPACE_IPC | NAMESPACE_UTS,
        .network = NETWORK_NONE,
        .tree_kill = TREE_KILL_VM,
    };
    info->capabilities = BACKEND_CAP_TTY | BACKEND_CAP_CPU_LIMIT | BACKEND_CAP_MEMORY_LIMIT |
                         BACKEND_CAP_DISK_LIMIT | BACKEND_CAP_IMAGE;
    if (b->plain)
        return;
    /* Of the helper wherever it runs; what depends on the guest's kernel the first box tells. */
    info->isolation.no_new_privs = true;
    info->isolation.capabilities_dropped = true;
    info->capabilities |= BACKEND_CAP_USER | BACKEND_CAP_RLIMITS | BACKEND_CAP_ANY_SIGNAL |
                          BACKEND_CAP_GROUP_SIGNAL | BACKEND_CAP_TREE_SIGNAL |
                          BACKEND_CAP_TREE_KILL | BACKEND_CAP_RUSAGE | BACKEND_CAP_POLICY |
                          BACKEND_CAP_COPY | BACKEND_CAP_PORT_FORWARD |
                          BACKEND_CAP_PIDS_LIMIT; /* refused by name where the guest has none */
}

/* Names of boxes begin with what only agents with the same state directory share. */
static void make_prefix(struct boxlite *b, const char *state_dir)
{
    uint8_t digest[IO_SHA256_SIZE];
    io_sha256(state_dir, strlen(state_dir), digest);
    (void)snprintf(b->name_prefix, sizeof(b->name_prefix), "openshell-%02x%02x%02x%02x%02x%02x-",
                   digest[0], digest[1], digest[2], digest[3], digest[4], digest[5]);
}

static enum osa_code read_key(const char *path, char **ret_key, struct osa_error *err)
{
    size_t len = 0;
    if (path == NULL)
        return OSA_OK;
    enum osa_code code = osa_read_file(AT_FDCWD, path, KEY_FILE_MAX, ret_key, &len, err);
    if (code != OSA_OK)
        return osa_wrap(err, "--boxlite-key-file");
    (*ret_key)[strcspn(*ret_key, "\r\n")] = '\0';
    if ((*ret_key)[0] == '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "--boxlite-key-file: '%s' has no key", path);
    return OSA_OK;
}

static enum osa_code find_server(struct boxlite *b, const struct boxlite_config *config,
                                 struct osa_error *err)
{
    char *key = NULL;
    enum osa_code code = read_key(config->key_file, &key, err);
    if (code == OSA_OK) {
        const struct http_config http = { .url = config->url, .token = key };
        code = http_client_new(b->loop, &http, &b->api.http, err);
        if (code != OSA_OK)
            (void)osa_wrap(err, "--boxlite-url");
    }
    if (key != NULL)
        osa_wipe(key, strlen(key));
    free(key);
    return code;
}

static int open_socket(void *ctx, int domain, int type, int protocol)
{
    return server_socket(ctx, domain, type, protocol);
}

static enum osa_code open_server(struct boxlite *b, const struct boxlite_config *config,
                                 struct osa_error *err)
{
    OSA_AUTO(osa_free) char *home = NULL;
    if (asprintf(&home, "%s/boxlite", config->state_dir) < 0)
        abort();
    const struct server_config server = {
        .program = config->serve, .home = home, .user = config->serve_user, .env = config->serve_env
    };
    enum osa_code code = server_open(b->loop, &server, &b->server, err);
    if (code != OSA_OK)
        return code;
    if (server_is_apart(b->server))
        code = channel_hub_open(b->loop, b->server, &b->hub, err);
    if (code != OSA_OK)
        return code;
    const struct http_config http = { .url = server_url(b->server),
                                      .token = server_key(b->server),
                                      .open_socket = open_socket,
                                      .ctx = b->server };
    return http_client_new(b->loop, &http, &b->api.http, err);
}

enum osa_code boxlite_backend_open(struct osa_loop *loop, const struct boxlite_config *config,
                                   struct backend **ret, struct osa_error *err)
{
    struct boxlite *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return osa_fail_errno(err, ENOMEM, "boxlite backend");
    b->base.ops = &boxlite_ops;
    b->loop = loop;
    b->start_timeout_ns = config->start_timeout_ns;
    b->wanted = config->wanted;
    b->plain = config->plain;
    b->image = strdup(config->image);
    enum osa_code code = OSA_OK;
    if (b->image == NULL)
        code = osa_fail_errno(err, ENOMEM, "boxlite backend");
    if (code == OSA_OK)
        code = config->serve != NULL ? open_server(b, config, err) : find_server(b, config, err);
    if (code != OSA_OK) {
        close_op(&b->base);
        return code;
    }
    make_prefix(b, config->state_dir);
    fill_info(b);
    probe_begin(b);
    *ret = &b->base;
    return OSA_OK;
}
