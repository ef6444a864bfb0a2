// SPDX-License-Identifier: Apache-2.0
/*
 * egress/streams: a client's bytes and a server's, by turns, through both ends of HTTP/2 with a
 * policy between them. Input: pieces, each with a byte for its side (odd: the server's) and two for
 * its length, the higher one first. The client's preface and settings come by themselves.
 */
#include "fuzz/target.h"

#include "egress/conn.h"
#include "egress/streams.h"
#include "policy/document.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static const char rules[] =
    "version: 1\n"
    "network_policies:\n"
    "  a:\n"
    "    endpoints:\n"
    "    - {host: a.test, port: 80, protocol: rest, enforcement: enforce,\n"
    "       rules: [{allow: {method: '*', path: '/v1/**'}}]}\n"
    "    - {host: a.test, port: 80, path: /rpc, protocol: json-rpc, enforcement: enforce,\n"
    "       rules: [{allow: {method: report.list}}]}\n"
    "    binaries: [{path: /bin/app}]\n";

static struct osa_loop *loop;
static const struct policy_engine *engine;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void on_record(struct gate_events *events, const struct gate_record *record)
{
    (void)events;
    require(record->reason != NULL && record->detail != NULL);
}

static void begin(void)
{
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    require(policy_document_parse_yaml(rules, strlen(rules), "fuzz", &doc, &err) == OSA_OK &&
            policy_live_publish(live, doc, 1, &err) == OSA_OK &&
            osa_loop_new(&loop, &err) == OSA_OK);
    engine = policy_live_take(live);
    policy_document_unref(doc);
    policy_live_free(live);
}

/* What one end has to say goes nowhere; what it reads, it reads. */
static void drain(struct http2 *h)
{
    struct osa_buf wire;
    osa_buf_init(&wire, 8 << 20);
    (void)http2_send(h, &wire, 1 << 20);
    osa_buf_done(&wire);
}

static void feed(struct streams *s, const uint8_t *data, size_t size)
{
    bool alive[2] = { true, true };
    while (size > 3 && alive[0] && alive[1]) {
        unsigned side = data[0] & 1;
        size_t len = OSA_MIN((size_t)data[1] << 8 | data[2], size - 3);
        alive[side] = http2_receive(side == 0 ? s->near : s->far, data + 3, len);
        drain(s->far);
        drain(s->near);
        data += 3 + len;
        size -= 3 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    static struct gate_events events = { .record = on_record };
    if (loop == NULL)
        begin();
    struct gate gate = { .config = {
                             .loop = loop, .events = &events, .limits = gate_limits_default() } };
    struct conn_peer *peer = calloc(1, sizeof(*peer) + 1);
    struct conn conn = { .gate = &gate, .peer = peer, .engine = engine };
    struct policy_connection connection;
    require(peer != NULL);
    peer->exe = "/bin/app";
    memcpy(conn.target.host, "a.test", 7);
    conn.target.port = 80;
    conn_describe(&conn, &connection);
    require(policy_connect(engine, &connection, &conn.grant));
    streams_begin(&conn);
    require(http2_receive(conn.streams->near, preface, sizeof(preface)));
    feed(conn.streams, data, size);
    struct lane *lane;
    DL_FOREACH(conn.streams->lanes, lane)
    require(lane->near != 0 || lane->far != 0);
    streams_free(conn.streams);
    osa_timer_disarm(&conn.timer);
    free(peer);
    return 0;
}
