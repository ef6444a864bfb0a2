// SPDX-License-Identifier: Apache-2.0
/* Answers of the proxy's own: a status and a JSON body that a program can read. */
#include "egress/conn.h"

#include "base/clock.h"
#include "base/json.h"

#include <string.h>

#define REPLY_NS (10 * OSA_NS_PER_SEC)
#define BODY_MAX_BYTES 8192u

static const char *phrase(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

static void member(struct osa_json *json, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    osa_json_key(json, key);
    osa_json_text(json, value);
}

void conn_reply(struct conn *conn, unsigned status, const char *error, const char *detail,
                const char *reason)
{
    struct osa_buf body;
    struct osa_json json;
    osa_buf_init(&body, BODY_MAX_BYTES);
    osa_json_init(&json, &body, /* pretty= */ false);
    osa_json_open(&json, '{');
    member(&json, "error", error);
    member(&json, "detail", detail);
    member(&json, "reason", reason);
    member(&json, "host", conn->target.host);
    if (conn->target.host[0] != '\0') {
        osa_json_key(&json, "port");
        osa_json_u64(&json, conn->target.port);
    }
    member(&json, "binary", conn->peer != NULL ? conn->peer->exe : NULL);
    osa_json_close(&json, '}');
    bool ok = !body.failed &&
              osa_buf_addf(&conn->client.out,
                           "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                           status, phrase(status), body.len) &&
              osa_buf_add(&conn->client.out, body.data, body.len);
    osa_buf_done(&body);
    dns_cancel(OSA_TAKE(conn->query));
    stream_close(&conn->server);
    if (!ok)
        osa_buf_reset(&conn->client.out); /* no answer but the end */
    conn->state = CONN_REPLY;
    conn_arm(conn, REPLY_NS);
}

void conn_refuse(struct conn *conn, unsigned status, const char *error, const char *reason,
                 const char *detail)
{
    conn_record(conn, conn->tunnel ? "connect" : "forward", exchange_head(conn),
                (struct head_span){ NULL, 0 }, reason, detail);
    conn_reply(conn, status, error, detail, reason);
}
