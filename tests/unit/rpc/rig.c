// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include "base/fd.h"
#include "base/trace.h"
#include "cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the service ---- */

/* Text "fail" ends the call with FAILED_PRECONDITION and a detail. */
static bool fail_on_request(struct rpc_call *call, const RpcTest__Item *item)
{
    if (strcmp(item->text, "fail") != 0)
        return false;
    struct osa_error err = { 0 };
    RpcTest__Item detail = RPC_TEST__ITEM__INIT;
    detail.text = (char *)"the detail";
    (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0, "asked to fail: ÄÖ %%");
    rpc_call_fail(call, &err, &detail.base);
    return true;
}

static void on_start(struct rpc_call *call)
{
    ((struct rig *)rpc_call_service(call))->starts++;
}

static void on_done(struct rpc_call *call)
{
    struct rig *rig = rpc_call_service(call);
    rig->dones++;
    rig->cancelled += rpc_call_is_cancelled(call) ? 1 : 0;
    if (rig->hanging == call)
        rig->hanging = NULL;
}

static void on_unary(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = rpc_call_service(call);
    RpcTest__Item reply = *(const RpcTest__Item *)request;
    rig->messages++;
    if (fail_on_request(call, &reply))
        return;
    reply.number++;
    rpc_call_reply(call, &reply.base);
}

static void on_inline(struct rpc_call *call, const ProtobufCMessage *request)
{
    RpcTest__Item reply = *(const RpcTest__Item *)request;
    if (strcmp(reply.text, "silent") == 0)
        return;
    reply.number++;
    rpc_call_reply(call, &reply.base);
}

/* Sends `number` items of as many bytes as `data` has, as the queue admits. */
struct download {
    int64_t left;
    size_t size;
    size_t most_queued;
};

static void download_more(struct rpc_call *call)
{
    struct download *self = rpc_call_data(call);
    bool more = true;
    while (more && self->left > 0) {
        RpcTest__Item item = RPC_TEST__ITEM__INIT;
        uint8_t *filler = calloc(1, self->size + 1);
        item.data = (ProtobufCBinaryData){ self->size, filler };
        item.number = self->left--;
        more = rpc_call_send(call, &item.base);
        free(filler);
        self->most_queued = OSA_MAX(self->most_queued, rpc_call_queued_bytes(call));
    }
    if (self->left == 0)
        rpc_call_finish(call);
}

static void on_download(struct rpc_call *call, const ProtobufCMessage *request)
{
    const RpcTest__Item *item = (const RpcTest__Item *)request;
    struct rig *rig = rpc_call_service(call);
    rig->messages++;
    struct download *self = calloc(1, sizeof(*self));
    assert_non_null(self);
    self->left = item->number;
    self->size = item->data.len;
    rpc_call_set_data(call, self);
    download_more(call);
}

static void on_download_done(struct rpc_call *call)
{
    struct download *self = rpc_call_data(call);
    assert_true(self->most_queued <= (size_t)64 * 1024 + self->size + 64);
    free(self);
    on_done(call);
}

static void on_stream_start(struct rpc_call *call)
{
    on_start(call);
    rpc_call_read(call);
}

static void on_upload(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = rpc_call_service(call);
    rig->messages++;
    rpc_call_set_data(call, (char *)rpc_call_data(call) + ((const RpcTest__Item *)request)->number);
    rpc_call_read(call);
}

static void on_upload_end(struct rpc_call *call)
{
    ((struct rig *)rpc_call_service(call))->half_closes++;
    RpcTest__Item reply = RPC_TEST__ITEM__INIT;
    reply.number = (int64_t)(intptr_t)rpc_call_data(call);
    rpc_call_reply(call, &reply.base);
}

static void on_chat(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = rpc_call_service(call);
    const RpcTest__Item *item = (const RpcTest__Item *)request;
    rig->messages++;
    if (fail_on_request(call, item))
        return;
    (void)rpc_call_send(call, request);
    rpc_call_read(call);
}

static void on_chat_end(struct rpc_call *call)
{
    ((struct rig *)rpc_call_service(call))->half_closes++;
    rpc_call_finish(call);
}

static void on_hang(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct rig *rig = rpc_call_service(call);
    (void)request;
    rig->messages++;
    rig->hanging = call;
    rig->deadline_ns = rpc_call_deadline_ns(call);
}

#define ITEM .request = &rpc_test__item__descriptor, .response = &rpc_test__item__descriptor
static const struct rpc_method methods[] = {
    { .name = "Unary",
      .kind = RPC_UNARY,
      ITEM,
      .role = RPC_ROLE_OPERATOR,
      .start = on_start,
      .message = on_unary,
      .done = on_done },
    { .name = "Quick",
      .kind = RPC_UNARY,
      ITEM,
      .role = RPC_ROLE_ANYONE,
      .inline_ok = true,
      .message = on_inline },
    { .name = "Download",
      .kind = RPC_SERVER_STREAM,
      ITEM,
      .role = RPC_ROLE_VIEWER,
      .start = on_start,
      .message = on_download,
      .writable = download_more,
      .done = on_download_done },
    { .name = "Upload",
      .kind = RPC_CLIENT_STREAM,
      ITEM,
      .role = RPC_ROLE_OPERATOR,
      .start = on_stream_start,
      .message = on_upload,
      .half_close = on_upload_end,
      .done = on_done },
    { .name = "Chat",
      .kind = RPC_BIDI_STREAM,
      ITEM,
      .role = RPC_ROLE_OPERATOR,
      .start = on_stream_start,
      .message = on_chat,
      .half_close = on_chat_end,
      .done = on_done },
    { .name = "Hang",
      .kind = RPC_UNARY,
      ITEM,
      .role = RPC_ROLE_OPERATOR,
      .start = on_start,
      .message = on_hang,
      .done = on_done },
    { .name = "Look", .kind = RPC_UNARY, ITEM, .role = RPC_ROLE_VIEWER, .message = on_unary },
};

const struct rpc_service rig_service = { .name = "rpc_test.Echo",
                                         .methods = methods,
                                         .method_count = OSA_ARRAY_LEN(methods) };

/* ---- the rig ---- */

static void on_audit(void *ctx, const struct rpc_audit *record)
{
    struct rig *rig = ctx;
    rig->audit = *record;
    rig->audit_peer = *record->peer;
    (void)snprintf(rig->audit_method, sizeof(rig->audit_method), "%s", record->method);
    (void)snprintf(rig->audit_text, sizeof(rig->audit_text), "%s", record->text);
    const struct osa_trace *trace = osa_trace_current();
    (void)snprintf(rig->audit_trace, sizeof(rig->audit_trace), "%s",
                   trace != NULL ? trace->parent : "");
    rig->audits++;
}

void rig_init(struct rig *rig)
{
    *rig = (struct rig){ 0 };
    assert_int_equal(osa_loop_new(&rig->loop, NULL), OSA_OK);
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/osa-rpc-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->socket, sizeof(rig->socket), "unix:%s/s", rig->dir);
    (void)snprintf(rig->token_file, sizeof(rig->token_file), "%s/token", rig->dir);
}

void rig_done(struct rig *rig)
{
    rpc_channel_free(rig->channel);
    if (rig->server != NULL && !rig->drained)
        rig_shutdown(rig, 0);
    rpc_server_free(rig->server);
    osa_loop_free(rig->loop);
    DIR *dir = opendir(rig->dir);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
    assert_int_equal(rmdir(rig->dir), 0);
}

enum osa_code rig_serve(struct rig *rig, struct rpc_server_config config, struct osa_error *err)
{
    struct rpc_listen listen = { .address = rig->socket };
    config.loop = rig->loop;
    config.audit = on_audit;
    config.audit_ctx = rig;
    if (config.listens == NULL) {
        config.listens = &listen;
        config.listen_count = 1;
    }
    struct rpc_server *server;
    enum osa_code code = rpc_server_new(&config, &server, err);
    if (code != OSA_OK)
        return code;
    assert_int_equal(rpc_server_add_service(server, &rig_service, rig, err), OSA_OK);
    code = rpc_server_start(server, err);
    if (code != OSA_OK)
        rpc_server_free(server);
    else
        rig->server = server;
    return code;
}

void rig_connect(struct rig *rig, struct rpc_channel_config config)
{
    struct osa_error err = { 0 };
    config.loop = rig->loop;
    if (config.target == NULL)
        config.target = rig->socket;
    rpc_channel_free(rig->channel);
    enum osa_code code = rpc_channel_new(&config, &rig->channel, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, OSA_OK);
}

static void on_drained(void *ctx)
{
    ((struct rig *)ctx)->drained = true;
}

void rig_shutdown(struct rig *rig, int64_t grace_ns)
{
    rpc_server_shutdown(rig->server, osa_deadline_after(grace_ns), on_drained, rig);
    for (int64_t end = osa_deadline_after(10 * OSA_NS_PER_SEC); !rig->drained;) {
        assert_true(osa_now_ns() < end);
        (void)osa_loop_run_once(rig->loop, end);
    }
}

void rig_write(const char *path, const char *text, unsigned mode)
{
    (void)unlink(path);
    OSA_AUTO(osa_close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, (mode_t)mode), 0);
    assert_int_equal(osa_write_all(fd, text, strlen(text)), 0);
}

void rig_wait(struct rig *rig, const int *value, int wanted)
{
    for (int64_t end = osa_deadline_after(10 * OSA_NS_PER_SEC); *value < wanted;) {
        assert_true(osa_now_ns() < end);
        (void)osa_loop_run_once(rig->loop, end);
    }
}

void rig_run_for(struct rig *rig, int64_t ns)
{
    for (int64_t end = osa_deadline_after(ns); osa_now_ns() < end;)
        (void)osa_loop_run_once(rig->loop, end);
}

/* ---- the probe ---- */

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct probe *probe = OSA_CONTAINER_OF(events, struct probe, events);
    const RpcTest__Item *item = (const RpcTest__Item *)response;
    probe->messages++;
    probe->bytes += item->data.len;
    probe->last_number = item->number;
    (void)snprintf(probe->last_text, sizeof(probe->last_text), "%s", item->text);
    if (probe->pause_after_first)
        rpc_client_pause(probe->call, true);
}

static void on_writable(struct rpc_client_events *events)
{
    OSA_CONTAINER_OF(events, struct probe, events)->writables++;
}

static void on_probe_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct probe *probe = OSA_CONTAINER_OF(events, struct probe, events);
    probe->done = true;
    probe->error = status->error;
    probe->details_len = OSA_MIN(status->details_len, sizeof(probe->details));
    if (probe->details_len > 0)
        memcpy(probe->details, status->details, probe->details_len);
}

void probe_start(struct rig *rig, struct probe *probe, const char *method, int64_t deadline_ns)
{
    bool pause = probe->pause_after_first;
    *probe = (struct probe){ .events = { on_message, on_writable, on_probe_done },
                             .pause_after_first = pause };
    probe->call = rpc_client_start(rig->channel, method, &rpc_test__item__descriptor, deadline_ns,
                                   /* wait_for_ready= */ false, &probe->events);
}

void probe_send(struct probe *probe, const char *text, int64_t number)
{
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    item.text = (char *)text;
    item.number = number;
    (void)rpc_client_send(probe->call, &item.base);
}

void probe_wait(struct rig *rig, struct probe *probe)
{
    for (int64_t end = osa_deadline_after(10 * OSA_NS_PER_SEC); !probe->done;) {
        assert_true(osa_now_ns() < end);
        (void)osa_loop_run_once(rig->loop, end);
    }
}

void probe_unary(struct rig *rig, struct probe *probe, const char *method, const char *text,
                 int64_t number)
{
    probe_start(rig, probe, method, OSA_NEVER);
    probe_send(probe, text, number);
    rpc_client_half_close(probe->call);
    probe_wait(rig, probe);
}
