// SPDX-License-Identifier: Apache-2.0
#include "egress/resolver.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/peer.h"
#include "egress/address.h"
#include "egress/names.h"
#include "egress/question.h"
#include "egress/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Questions that wait for an answer from outside, and TCP connections, at one time. */
#define ASKED_MAX 64u
#define LINES_MAX 16u
#define LINE_IDLE_NS (10 * OSA_NS_PER_SEC)
/* One sandbox's rush does not keep the loop from the others for longer. */
#define QUESTIONS_AT_ONCE 32u
/* Without descriptors the listener would report itself ready for ever. */
#define RETRY_NS (100 * OSA_NS_PER_MS)
/* What clients may keep, and for how long a name is taken to exist. */
#define TTL_S 30u
/* A name that nobody has asked for so long gives up its place when all are taken. */
#define REST_NS (600 * OSA_NS_PER_SEC)

struct asked;

/* A client's TCP connection; one question of it at a time. */
struct line {
    struct resolver *resolver;
    struct line *prev, *next;
    struct stream stream;
    struct osa_timer timer;
    struct asked *asked; /* NULL: none waits */
};

/* Whom an answer goes to. */
struct asker {
    struct line *line; /* NULL: UDP, to @from */
    struct sockaddr_storage from;
    socklen_t from_len;
};

/* A question that waits. */
struct asked {
    struct resolver *resolver;
    struct asked *prev, *next;
    struct dns_query *query;
    struct asker asker;
    struct question question;
    uint8_t wire[]; /* what the question borrows */
};

struct resolver {
    struct resolver_config config;
    struct osa_source udp;
    struct osa_source tcp;
    struct osa_timer retry;
    struct names *names;
    struct asked *asked;
    unsigned asked_count;
    struct line *lines;
    unsigned line_count;
    uint8_t room[QUESTION_MAX_BYTES + 1];
};

static void line_free(struct line *line);

/* ---- what is said ---- */

static void answer(struct resolver *resolver, const struct asker *asker,
                   const struct question *question, enum question_code code, uint32_t address)
{
    uint8_t text[2 + QUESTION_ANSWER_MAX_BYTES];
    const uint8_t bytes[4] = { (uint8_t)(address >> 24), (uint8_t)(address >> 16),
                               (uint8_t)(address >> 8), (uint8_t)address };
    size_t len = question_answer(question, code, address != 0 ? bytes : NULL, TTL_S, text + 2);
    text[0] = (uint8_t)(len >> 8);
    text[1] = (uint8_t)len;
    if (asker->line != NULL)
        (void)osa_buf_add(&asker->line->stream.out, text, len + 2);
    else /* one that does not fit is lost, as datagrams are */
        (void)sendto(resolver->udp.fd, text + 2, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&asker->from, asker->from_len);
}

static void refuse(struct resolver *resolver, const char *name, enum policy_reason reason,
                   const char *detail)
{
    const struct gate_record record = { .allowed = false,
                                        .kind = "dns",
                                        .target = name,
                                        .host = name,
                                        .method = "",
                                        .path = "",
                                        .exe = "",
                                        .rule = "",
                                        .reason = policy_reason_name(reason),
                                        .detail = detail };
    resolver->config.events->record(resolver->config.events, &record);
}

static bool is_listed(const struct resolver *resolver, const char *name)
{
    OSA_AUTO(policy_engine_unrefp)
    const struct policy_engine *engine = policy_live_take(resolver->config.policy);
    return policy_host_known(engine, name, /* port= */ 0, POLICY_PROTOCOL_TCP);
}

/* Addresses that no policy opens do not count; the rest is checked when a connection is made. */
static bool leads_out(const struct sockaddr_storage *addresses, size_t count)
{
    struct policy_address address;
    for (size_t i = 0; i < count; i++) {
        if (address_from(&addresses[i], &address) &&
            policy_address_class(&address) != POLICY_ADDRESS_BLOCKED)
            return true;
    }
    return false;
}

/* ---- from outside ---- */

static void line_step(struct line *line);

static void asked_free(struct asked *asked)
{
    struct resolver *resolver = asked->resolver;
    DL_DELETE(resolver->asked, asked);
    resolver->asked_count--;
    dns_cancel(asked->query);
    free(asked);
}

static enum question_code judge(struct resolver *resolver, const char *name,
                                const struct sockaddr_storage *addresses, size_t count,
                                const struct osa_error *error, uint32_t *ret_address)
{
    *ret_address = 0;
    if (!is_listed(resolver, name)) /* any more */
        return QUESTION_REFUSED;
    if (error != NULL)
        return error->code == OSA_NOT_FOUND ? QUESTION_NXDOMAIN : QUESTION_SERVFAIL;
    if (!leads_out(addresses, count)) {
        refuse(resolver, name, POLICY_REASON_INTERNAL,
               "the name leads to addresses alone that are never dialled");
        return QUESTION_SERVFAIL;
    }
    *ret_address = names_confirm(resolver->names, name, osa_now_ns(), REST_NS);
    if (*ret_address != 0)
        return QUESTION_NOERROR;
    refuse(resolver, name, POLICY_REASON_EVALUATION,
           "the sandbox uses as many names as it can have at one time");
    return QUESTION_SERVFAIL;
}

static void on_resolved(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                        const struct osa_error *error)
{
    struct asked *asked = ctx;
    struct line *line = asked->asker.line;
    uint32_t address;
    asked->query = NULL;
    enum question_code code =
        judge(asked->resolver, asked->question.name, addresses, count, error, &address);
    answer(asked->resolver, &asked->asker, &asked->question, code, address);
    asked_free(asked);
    if (line == NULL)
        return;
    line->asked = NULL;
    line_step(line);
}

static void ask(struct resolver *resolver, const struct asker *asker,
                const struct question *question)
{
    struct asked *asked =
        resolver->asked_count < ASKED_MAX ? calloc(1, sizeof(*asked) + question->wire_len) : NULL;
    if (asked == NULL) {
        answer(resolver, asker, question, QUESTION_SERVFAIL, 0);
        return;
    }
    asked->resolver = resolver;
    asked->asker = *asker;
    asked->question = *question;
    asked->question.wire = asked->wire;
    memcpy(asked->wire, question->wire, question->wire_len);
    DL_APPEND(resolver->asked, asked);
    resolver->asked_count++;
    if (asker->line != NULL)
        asker->line->asked = asked;
    asked->query = dns_resolve(resolver->config.dns, asked->question.name, on_resolved, asked);
}

/* ---- what is asked ---- */

static void take_question(struct resolver *resolver, const struct asker *asker, const uint8_t *data,
                          size_t len)
{
    struct question question;
    enum question_code code;
    char detail[320];
    if (!question_parse(data, len, &question, &code))
        return;
    /* Nothing is reached over IPv6 by name alone: a client is told so without a look at the policy. */
    if (code != QUESTION_NOERROR || question.type == QUESTION_TYPE_AAAA) {
        answer(resolver, asker, &question, code, 0);
        return;
    }
    if (!is_listed(resolver, question.name)) {
        (void)snprintf(detail, sizeof(detail), "no endpoint of protocol tcp lists '%s'",
                       question.name);
        refuse(resolver, question.name, POLICY_REASON_ENDPOINT_MISS, detail);
        answer(resolver, asker, &question, QUESTION_REFUSED, 0);
        return;
    }
    uint32_t address =
        names_fresh(resolver->names, question.name, osa_now_ns(), (int64_t)TTL_S * OSA_NS_PER_SEC);
    if (address != 0)
        answer(resolver, asker, &question, QUESTION_NOERROR, address);
    else
        ask(resolver, asker, &question);
}

static void on_udp(struct osa_source *source, unsigned events)
{
    struct resolver *resolver = OSA_CONTAINER_OF(source, struct resolver, udp);
    (void)events;
    for (unsigned i = 0; i < QUESTIONS_AT_ONCE; i++) {
        struct asker asker = { .from_len = sizeof(asker.from) };
        ssize_t n = recvfrom(source->fd, resolver->room, sizeof(resolver->room), MSG_DONTWAIT,
                             (struct sockaddr *)&asker.from, &asker.from_len);
        if (n < 0)
            return;
        take_question(resolver, &asker, resolver->room, (size_t)n);
    }
}

/* ---- TCP: RFC 1035, 4.2.2, two bytes of length before each message ---- */

/* Takes the next whole message. Return: false when there is none, or a question waits already. */
static bool take_message(struct line *line)
{
    struct osa_buf *in = &line->stream.in;
    const uint8_t *data = (const uint8_t *)(const void *)in->data;
    size_t len = in->len >= 2 ? (size_t)(data[0] << 8 | data[1]) : 0;
    const struct asker asker = { .line = line };
    if (line->asked != NULL || in->len < 2 + len || in->len < 2)
        return false;
    take_question(line->resolver, &asker, data + 2, len);
    osa_buf_consume(in, 2 + len);
    return true;
}

static void line_step(struct line *line)
{
    struct stream *stream = &line->stream;
    ssize_t n = 0;
    do {
        while (take_message(line))
            osa_timer_arm(line->resolver->config.loop, &line->timer,
                          osa_deadline_after(LINE_IDLE_NS));
        n = line->asked == NULL ? stream_fill(stream) : -EAGAIN;
    } while (n > 0 && stream->out.len < STREAM_ROOM);
    bool ended = n == 0 || (n < 0 && n != -EAGAIN);
    n = stream_flush(stream);
    if (ended || stream->out.failed || (n < 0 && n != -EAGAIN) ||
        !stream_want(stream, (line->asked == NULL ? (unsigned)OSA_READ : 0u) |
                                 (stream_waits(stream) ? (unsigned)OSA_WRITE : 0u)))
        line_free(line);
}

static void on_line(struct osa_source *source, unsigned events)
{
    (void)events;
    line_step(OSA_CONTAINER_OF(source, struct line, stream.source));
}

static void on_line_idle(struct osa_timer *timer)
{
    line_free(OSA_CONTAINER_OF(timer, struct line, timer));
}

static void line_free(struct line *line)
{
    DL_DELETE(line->resolver->lines, line);
    line->resolver->line_count--;
    if (line->asked != NULL)
        asked_free(line->asked);
    osa_timer_disarm(&line->timer);
    stream_close(&line->stream);
    free(line);
}

static void line_new(struct resolver *resolver, int fd)
{
    struct line *line = resolver->line_count < LINES_MAX ? calloc(1, sizeof(*line)) : NULL;
    if (line == NULL) {
        osa_close_fd(&fd);
        return;
    }
    line->resolver = resolver;
    line->timer.fire = on_line_idle;
    stream_init(&line->stream, resolver->config.loop, on_line);
    stream_open(&line->stream, fd);
    DL_APPEND(resolver->lines, line);
    resolver->line_count++;
    osa_timer_arm(resolver->config.loop, &line->timer, osa_deadline_after(LINE_IDLE_NS));
    line_step(line);
}

static void on_retry(struct osa_timer *timer)
{
    struct resolver *resolver = OSA_CONTAINER_OF(timer, struct resolver, retry);
    if (osa_source_add(resolver->config.loop, &resolver->tcp, OSA_READ, NULL) != OSA_OK)
        osa_timer_arm(resolver->config.loop, timer, osa_deadline_after(RETRY_NS));
}

static void on_tcp(struct osa_source *source, unsigned events)
{
    struct resolver *resolver = OSA_CONTAINER_OF(source, struct resolver, tcp);
    (void)events;
    for (unsigned i = 0; i < QUESTIONS_AT_ONCE; i++) {
        int fd = osa_accept(source->fd);
        if (fd >= 0) {
            line_new(resolver, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            osa_source_remove(source);
            osa_timer_arm(resolver->config.loop, &resolver->retry, osa_deadline_after(RETRY_NS));
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- life ---- */

enum osa_code resolver_new(const struct resolver_config *config, struct resolver **ret_resolver,
                           struct osa_error *err)
{
    int fds[2] = { config->udp, config->tcp };
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL) {
        osa_close_fd(&fds[0]);
        osa_close_fd(&fds[1]);
        return osa_fail_errno(err, ENOMEM, "resolver");
    }
    resolver->config = *config;
    resolver->names = names_new(config->net, config->prefix);
    resolver->retry.fire = on_retry;
    resolver->udp = (struct osa_source){ .fd = fds[0], .ready = on_udp };
    resolver->tcp = (struct osa_source){ .fd = fds[1], .ready = on_tcp };
    enum osa_code code = osa_source_add(config->loop, &resolver->udp, OSA_READ, err);
    if (code == OSA_OK)
        code = osa_source_add(config->loop, &resolver->tcp, OSA_READ, err);
    if (code != OSA_OK) {
        resolver_free(resolver);
        return code;
    }
    *ret_resolver = resolver;
    return OSA_OK;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    while (resolver->lines != NULL)
        line_free(resolver->lines);
    while (resolver->asked != NULL)
        asked_free(resolver->asked);
    osa_timer_disarm(&resolver->retry);
    osa_source_remove(&resolver->udp);
    osa_source_remove(&resolver->tcp);
    osa_close_fd(&resolver->udp.fd);
    osa_close_fd(&resolver->tcp.fd);
    names_free(resolver->names);
    free(resolver);
}

const char *resolver_name(struct resolver *resolver, uint32_t address)
{
    return names_of(resolver->names, address, osa_now_ns());
}

static bool still_listed(void *ctx, const char *name)
{
    return is_listed(ctx, name);
}

void resolver_policy_changed(struct resolver *resolver)
{
    names_sweep(resolver->names, still_listed, resolver);
}
