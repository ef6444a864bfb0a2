// SPDX-License-Identifier: Apache-2.0
#include "backends/boxlite/api.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool api_id_is_valid(const char *id)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    if (id == NULL)
        return false;
    size_t len = strlen(id);
    return len > 0 && len <= 128 && strspn(id, allowed) == len;
}

static struct http_call *call(struct api *api, const char *method, const char *path,
                              const struct osa_buf *body, int64_t timeout_ns, size_t max_bytes,
                              http_done_fn done, void *ctx)
{
    char whole[API_PATH_MAX];
    (void)snprintf(whole, sizeof(whole), "%s%s", api->base, path);
    const struct http_request request = { .method = method,
                                          .path = whole,
                                          .body = body != NULL ? body->data : NULL,
                                          .body_len = body != NULL ? body->len : 0,
                                          .timeout_ns = timeout_ns,
                                          .max_bytes = max_bytes };
    return http_send(api->http, &request, done, ctx);
}

struct http_call *api_get(struct api *api, const char *path, size_t max_bytes, http_done_fn done,
                          void *ctx)
{
    return call(api, "GET", path, NULL, API_CALL_NS, max_bytes, done, ctx);
}

struct http_call *api_post(struct api *api, const char *path, const struct osa_buf *body,
                           int64_t timeout_ns, http_done_fn done, void *ctx)
{
    return call(api, "POST", path, body, timeout_ns, API_REPLY_MAX, done, ctx);
}

struct http_call *api_delete(struct api *api, const char *path, http_done_fn done, void *ctx)
{
    return call(api, "DELETE", path, NULL, API_CALL_NS, API_REPLY_MAX, done, ctx);
}

/* Rows by the error's code; statuses for those that have none, or one that is not known here. */
static const struct {
    const char *code;
    unsigned status;
    enum osa_code means;
    const char *text;
} rows[] = {
    { "unauthenticated", 401, OSA_FAILED_PRECONDITION,
      "the server wants another API key; see --boxlite-key-file" },
    { "permission_denied", 403, OSA_FAILED_PRECONDITION, "the API key may not do this" },
    { "invalid_argument", 400, OSA_INVALID_ARGUMENT, "the server refuses a value" },
    { "unsupported", 0, OSA_FAILED_PRECONDITION, "the server cannot do this" },
    { "not_found", 404, OSA_NOT_FOUND, "the server does not know it (any more)" },
    { "already_exists", 0, OSA_ALREADY_EXISTS, "it exists on the server" },
    { "invalid_state", 409, OSA_FAILED_PRECONDITION, "the box is in no state for this" },
    { "stopped", 0, OSA_ABORTED, "the box has stopped" },
    { "conflict", 0, OSA_ABORTED, "the box has stopped" },
    { "session_reaped", 410, OSA_ABORTED, "the server has given the process up" },
    { "image_pull_failed", 0, OSA_FAILED_PRECONDITION, "the image cannot be had" },
    { "storage_error", 0, OSA_FAILED_PRECONDITION,
      "the image cannot be had, or the server's disk is full" },
    { "resource_exhausted", 429, OSA_RESOURCE_EXHAUSTED, "the server has no room" },
    { "execution_failed", 0, OSA_FAILED_PRECONDITION, "the program cannot be started" },
    { "engine_unavailable", 0, OSA_UNAVAILABLE, "the virtual machine did not start" },
    { "upstream_unavailable", 0, OSA_UNAVAILABLE, "the box does not answer" },
    { "network_unavailable", 0, OSA_UNAVAILABLE, "the box's network cannot be set" },
    { "timeout", 504, OSA_DEADLINE_EXCEEDED, "the box did not answer in time" },
    { NULL, 413, OSA_INVALID_ARGUMENT, "the request is longer than the 2 MiB that it may have" },
    { NULL, 502, OSA_UNAVAILABLE, "the server is not reached" },
    { NULL, 503, OSA_UNAVAILABLE, "the server is not ready" },
};

enum osa_code api_error(const struct http_reply *reply, const char *what, struct osa_error *err)
{
    struct json_t *body = NULL;
    struct osa_error ignored;
    const char *code = NULL;
    const char *message = reply->body;
    if (io_json_parse(reply->body, reply->len, &body, &ignored) == OSA_OK) {
        const struct json_t *error = io_json_member(body, "error");
        code = io_json_text(error, "code");
        if (io_json_text(error, "message") != NULL)
            message = io_json_text(error, "message");
    }
    char shown[256];
    (void)snprintf(shown, sizeof(shown), "%s", message);
    osa_log(OSA_LOG_WARN, "boxlite", "the server refuses", OSA_S("what", what),
            OSA_U("status", reply->status), OSA_S("code", code), OSA_S("message", shown));
    size_t found = OSA_ARRAY_LEN(rows);
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows) && found == OSA_ARRAY_LEN(rows); i++) {
        if (code != NULL && rows[i].code != NULL && strcmp(rows[i].code, code) == 0)
            found = i;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows) && found == OSA_ARRAY_LEN(rows); i++) {
        if (rows[i].status == reply->status)
            found = i;
    }
    io_json_free(body);
    if (found < OSA_ARRAY_LEN(rows))
        return osa_fail(err, rows[found].means, 0, "%s: %s (status %u)", what, rows[found].text,
                        reply->status);
    return osa_fail(err, reply->status >= 500 ? OSA_UNAVAILABLE : OSA_INTERNAL, 0,
                    "%s: the server answers with status %u; its log says more", what,
                    reply->status);
}

enum osa_code api_parse(const struct http_reply *reply, const struct osa_error *error,
                        const char *what, struct json_t **ret, struct osa_error *err)
{
    struct osa_error problem;
    if (error != NULL) {
        *err = *error;
        return osa_wrap(err, "%s", what);
    }
    if (reply->status < 200 || reply->status > 299)
        return api_error(reply, what, err);
    if (io_json_parse(reply->body, reply->len, ret, &problem) != OSA_OK)
        return osa_fail(err, OSA_INTERNAL, 0, "%s: the server's answer is %s", what, problem.text);
    return OSA_OK;
}

bool api_json_text(struct osa_json *json, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t bytes = osa_utf8_length(text + at, len - at);
        if (bytes == 0)
            return false;
        at += bytes;
    }
    osa_json_string(json, text, len);
    return true;
}
