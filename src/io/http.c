// SPDX-License-Identifier: Apache-2.0
/*
 * libcurl's multi interface tells which descriptors and which time it waits for; both become sources
 * and a timer of the loop (libcurl-multi(3), "multi_socket"). Results are read after each turn,
 * outside of libcurl's own callbacks, so that what a result starts or cancels is allowed.
 */
#include "io/http.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/trace.h"
#include "io/http_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 1024

struct watched {
    struct osa_source source;
    struct http_client *client;
};

struct http_call {
    struct http_transfer transfer;
    struct http_client *client;
    struct curl_slist *headers; /* owned */
    struct osa_trace *trace;    /* owned; sent along, and current in @done */
    char *body;                 /* owned; NULL: none */
    struct osa_buf reply;
    size_t head_bytes;
    bool too_long;
    http_done_fn done;
    void *ctx;
    char what[160]; /* "GET /v1/boxes", for errors */
    struct osa_task failure;
    bool failed; /* never reached the multi handle */
};

/* ---- the loop's side of the multi handle ---- */

static void finish_transfers(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->ended(transfer, result);
    }
}

static void turn(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(client->multi, fd, events, &running);
    finish_transfers(client);
}

static void on_timer(struct osa_timer *timer)
{
    turn(OSA_CONTAINER_OF(timer, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct watched *watched = OSA_CONTAINER_OF(source, struct watched, source);
    int flags = 0;
    if ((events & (OSA_READ | OSA_HUP)) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & OSA_WRITE) != 0)
        flags |= CURL_CSELECT_OUT;
    turn(watched->client, source->fd, flags);
}

static int set_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *client = ctx;
    (void)multi;
    osa_timer_arm(client->loop, &client->timer,
                  timeout_ms < 0 ? OSA_NEVER : osa_deadline_after(timeout_ms * OSA_NS_PER_MS));
    return 0;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *per_socket)
{
    struct http_client *client = ctx;
    struct watched *watched = per_socket;
    struct osa_error err;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        /* While it still connects, libcurl 7.88 closes a socket first and tells then. */
        if (watched != NULL)
            osa_source_forget(&watched->source);
        free(watched);
        (void)curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    unsigned events = ((what & CURL_POLL_IN) != 0 ? OSA_READ : 0u) |
                      ((what & CURL_POLL_OUT) != 0 ? OSA_WRITE : 0u);
    if (watched != NULL) {
        osa_source_set(&watched->source, events);
        return 0;
    }
    watched = calloc(1, sizeof(*watched));
    if (watched == NULL)
        return -1;
    watched->source = (struct osa_source){ .fd = fd, .ready = on_socket };
    watched->client = client;
    if (osa_source_add(client->loop, &watched->source, events, &err) != OSA_OK) {
        free(watched);
        return -1;
    }
    (void)curl_multi_assign(client->multi, fd, watched);
    return 0;
}

/* ---- the client ---- */

static enum osa_code check_url(const char *url, struct osa_error *err)
{
    const char *rest = strstr(url, "://");
    bool known = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    if (rest == NULL || !known)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%.200s' is not http://HOST[:PORT] or https://HOST[:PORT]", url);
    rest += 3;
    if (strchr(rest, '@') != NULL) /* what stands before it is not shown: it may be a password */
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "the URL holds a user or password; put the key into a file");
    if (strpbrk(rest, "?#") != NULL || rest[strcspn(rest, " \t\r\n\"\\<>")] != '\0' ||
        strlen(url) > URL_MAX || rest[0] == '\0' || rest[0] == '/')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%.200s' is not a plain URL with a host and no query", url);
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        return osa_fail_errno(err, ENOMEM, "URL");
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
    curl_url_cleanup(parsed);
    if (code != CURLUE_OK)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.200s': %s", url, curl_url_strerror(code));
    return OSA_OK;
}

static enum osa_code keep_token(struct http_client *client, const char *token,
                                struct osa_error *err)
{
    static const char name[] = "Authorization: Bearer ";
    if (token == NULL)
        return OSA_OK;
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        if (token[i] <= ' ' || token[i] > '~')
            return osa_fail(
                err, OSA_INVALID_ARGUMENT, 0,
                "the key holds a byte that no header may: one printable word is wanted");
    }
    client->authorization = malloc(sizeof(name) + len);
    if (client->authorization == NULL)
        return osa_fail_errno(err, ENOMEM, "HTTP client");
    memcpy(client->authorization, name, sizeof(name) - 1);
    memcpy(client->authorization + sizeof(name) - 1, token, len + 1);
    return OSA_OK;
}

enum osa_code http_client_new(struct osa_loop *loop, const struct http_config *config,
                              struct http_client **ret, struct osa_error *err)
{
    enum osa_code code = check_url(config->url, err);
    if (code != OSA_OK)
        return code;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "libcurl cannot start");
    struct http_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return osa_fail_errno(err, ENOMEM, "HTTP client");
    client->loop = loop;
    client->open_socket = config->open_socket;
    client->ctx = config->ctx;
    client->timer.fire = on_timer;
    client->multi = curl_multi_init();
    client->url = strdup(config->url);
    if (client->multi == NULL || client->url == NULL)
        code = osa_fail_errno(err, ENOMEM, "HTTP client");
    if (code == OSA_OK)
        code = keep_token(client, config->token, err);
    if (code != OSA_OK) {
        http_client_free(client);
        return code;
    }
    for (size_t len = strlen(client->url); len > 0 && client->url[len - 1] == '/'; len--)
        client->url[len - 1] = '\0';
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    *ret = client;
    return OSA_OK;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    if (client->multi != NULL)
        (void)curl_multi_cleanup(client->multi); /* closes idle connections */
    osa_timer_disarm(&client->timer);
    if (client->authorization != NULL)
        osa_wipe(client->authorization, strlen(client->authorization));
    free(client->authorization);
    free(client->url);
    free(client);
}

const char *http_client_url(const struct http_client *client)
{
    return client->url;
}

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct http_client *client = ctx;
    (void)purpose;
    return client->open_socket(client->ctx, address->family, address->socktype, address->protocol);
}

bool http_transfer_open(struct http_client *client, struct http_transfer *transfer,
                        const char *path, int64_t timeout_ns)
{
    struct osa_buf url;
    CURL *easy = curl_easy_init();
    osa_buf_init(&url, URL_MAX * 3);
    if (easy == NULL || !osa_buf_addf(&url, "%s%s", client->url, path)) {
        curl_easy_cleanup(easy);
        osa_buf_done(&url);
        return false;
    }
    transfer->easy = easy;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, url.data);
    osa_buf_done(&url);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* not even one of the environment */
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(OSA_MIN(timeout_ns, HTTP_CONNECT_NS) / OSA_NS_PER_MS));
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(timeout_ns / OSA_NS_PER_MS));
    if (client->open_socket != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, client);
    }
    return code == CURLE_OK;
}

void http_transfer_close(struct http_client *client, struct http_transfer *transfer)
{
    if (transfer->easy == NULL)
        return;
    (void)curl_multi_remove_handle(client->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

enum osa_code http_transfer_error(const struct http_client *client, CURLcode result,
                                  const char *what, struct osa_error *err)
{
    enum osa_code code = OSA_UNAVAILABLE;
    if (result == CURLE_OPERATION_TIMEDOUT)
        code = OSA_DEADLINE_EXCEEDED;
    else if (result == CURLE_OUT_OF_MEMORY)
        code = OSA_RESOURCE_EXHAUSTED;
    return osa_fail(err, code, 0, "%s at %s: %s", what, client->url, curl_easy_strerror(result));
}

/* ---- calls ---- */

static void call_free(struct http_call *call)
{
    http_transfer_close(call->client, &call->transfer);
    curl_slist_free_all(call->headers);
    osa_trace_unref(call->trace);
    osa_buf_done(&call->reply);
    free(call->body);
    free(call);
}

static size_t on_body(char *data, size_t one, size_t len, void *ctx)
{
    struct http_call *call = ctx;
    (void)one;
    if (osa_buf_add(&call->reply, data, len))
        return len;
    call->too_long = true;
    return 0;
}

static size_t on_head(char *data, size_t one, size_t len, void *ctx)
{
    struct http_call *call = ctx;
    (void)data;
    (void)one;
    call->head_bytes += len;
    if (call->head_bytes <= HTTP_HEAD_MAX)
        return len;
    call->too_long = true;
    return 0;
}

static void on_ended(struct http_transfer *transfer, CURLcode result)
{
    struct http_call *call = OSA_CONTAINER_OF(transfer, struct http_call, transfer);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    struct osa_error err = { 0 };
    long status = 0;
    if (call->too_long)
        (void)osa_fail(&err, OSA_RESOURCE_EXHAUSTED, 0,
                       "%s at %s: the answer is longer than the %zu bytes that it may have",
                       call->what, call->client->url, call->reply.max);
    else if (result != CURLE_OK)
        (void)http_transfer_error(call->client, result, call->what, &err);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    const struct http_reply reply = { (unsigned)status,
                                      call->reply.data != NULL ? call->reply.data : "",
                                      call->reply.len };
    call->done(call->ctx, err.code == OSA_OK ? &reply : NULL, err.code == OSA_OK ? NULL : &err);
    call_free(call);
}

static void on_failed(struct osa_task *task)
{
    struct http_call *call = OSA_CONTAINER_OF(task, struct http_call, failure);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_RESOURCE_EXHAUSTED, 0, "%s: no memory for the call", call->what);
    if (call->done != NULL)
        call->done(call->ctx, NULL, &err);
    call_free(call);
}

static bool add_header(struct http_call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->headers, line);
    if (more != NULL)
        call->headers = more;
    return more != NULL;
}

/* @value: NULL: no such header */
static bool add_field(struct http_call *call, const char *name, const char *value)
{
    char line[OSA_TRACE_STATE_SIZE + 32];
    if (value == NULL)
        return true;
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    return add_header(call, line);
}

static bool fill_call(struct http_call *call, const struct http_request *request)
{
    struct http_client *client = call->client;
    if (!http_transfer_open(client, &call->transfer, request->path, request->timeout_ns))
        return false;
    CURL *easy = call->transfer.easy;
    const struct osa_trace *trace = call->trace;
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    if (curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) != CURLE_OK ||
        !add_header(call, "Accept: application/json") || !add_header(call, "Expect:") ||
        (client->authorization != NULL && !add_header(call, client->authorization)) ||
        !add_field(call, "traceparent", trace != NULL ? trace->parent : NULL) ||
        !add_field(call, "tracestate", trace != NULL ? trace->state : NULL))
        return false;
    /* On a connection that it used before, libcurl sends a request again when no answer comes: that
     * would start a process twice. */
    if (strcmp(request->method, "POST") == 0)
        (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    bool posts = strcmp(request->method, "POST") == 0 || request->body != NULL;
    if (posts) {
        size_t len = request->body != NULL ? request->body_len : 0;
        call->body = malloc(len + 1);
        if (call->body == NULL)
            return false;
        memcpy(call->body, request->body != NULL ? request->body : "", len);
        if (!add_header(call, "Content-Type: application/json"))
            return false;
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    }
    return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK &&
           curl_multi_add_handle(client->multi, easy) == CURLM_OK;
}

struct http_call *http_send(struct http_client *client, const struct http_request *request,
                            http_done_fn done, void *ctx)
{
    struct http_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        abort();
    call->client = client;
    call->trace = osa_trace_ref(osa_trace_current());
    call->done = done;
    call->ctx = ctx;
    call->transfer.ended = on_ended;
    call->failure.run = on_failed;
    osa_buf_init(&call->reply, request->max_bytes);
    (void)snprintf(call->what, sizeof(call->what), "%s %s", request->method, request->path);
    if (!fill_call(call, request)) {
        call->failed = true;
        osa_loop_post(client->loop, &call->failure);
    }
    return call;
}

void http_cancel(struct http_call *call)
{
    if (call == NULL)
        return;
    if (call->failed)
        call->done = NULL; /* the task frees it */
    else
        call_free(call);
}
