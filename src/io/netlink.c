// SPDX-License-Identifier: Apache-2.0
#include "io/netlink.h"

#include "base/buf.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The longest message: a rule is below 1 KiB. */
#define MESSAGE_MAX 4096
/* All messages of one commit. */
#define COMMIT_MAX (64u * 1024)
/* The kernel fills dumps in pieces of at most 32 KiB (netlink_dump() in af_netlink.c). */
#define RECEIVE_SIZE (32u * 1024)
/* Not in the headers of Debian 12's libc: linux/netlink.h */
#define OPTION_CAP_ACK 10
#define OPTION_EXT_ACK 11
#define ERROR_TEXT 1        /* NLMSGERR_ATTR_MSG */
#define FLAG_CAPPED 0x100   /* NLM_F_CAPPED */
#define FLAG_ACK_TLVS 0x200 /* NLM_F_ACK_TLVS */

struct netlink {
    struct nl_sock *sock;
    struct osa_buf gathered; /* finished messages */
    struct nl_msg *current;  /* the one that is being filled */
    uint32_t seq_first;      /* of what was gathered */
    uint32_t seq_next;
    uint32_t acks_wanted;
    bool failed; /* a message did not fit */
    char *inbox;
};

enum osa_code netlink_adopt(int protocol, int fd, struct netlink **ret_netlink,
                            struct osa_error *err)
{
    struct netlink *nl = calloc(1, sizeof(*nl));
    char *inbox = malloc(RECEIVE_SIZE);
    struct nl_sock *sock = nl_socket_alloc();
    int rc = nl == NULL || inbox == NULL || sock == NULL ? -NLE_NOMEM
                                                         : nl_socket_set_fd(sock, protocol, fd);
    if (rc < 0) {
        free(nl);
        free(inbox);
        nl_socket_free(sock);
        osa_close_fd(&fd);
        return osa_fail(err, rc == -NLE_NOMEM ? OSA_RESOURCE_EXHAUSTED : OSA_INTERNAL, 0,
                        "netlink socket: %s", nl_geterror(rc));
    }
    const int on = 1; /* short and explained errors; without them ours are only less telling */
    (void)setsockopt(fd, SOL_NETLINK, OPTION_CAP_ACK, &on, sizeof(on));
    (void)setsockopt(fd, SOL_NETLINK, OPTION_EXT_ACK, &on, sizeof(on));
    nl->sock = sock;
    nl->inbox = inbox;
    nl->seq_first = nl->seq_next = 1;
    osa_buf_init(&nl->gathered, COMMIT_MAX);
    *ret_netlink = nl;
    return OSA_OK;
}

enum osa_code netlink_open(int protocol, struct netlink **ret_netlink, struct osa_error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return osa_fail_errno(err, errno, "netlink socket %d", protocol);
    return netlink_adopt(protocol, fd, ret_netlink, err);
}

void netlink_free(struct netlink *nl)
{
    if (nl == NULL)
        return;
    nlmsg_free(nl->current);
    nl_socket_free(nl->sock); /* closes the descriptor */
    osa_buf_done(&nl->gathered);
    free(nl->inbox);
    free(nl);
}

int netlink_fd(const struct netlink *nl)
{
    return nl_socket_get_fd(nl->sock);
}

/* ---- gathering ---- */

static void finish_current(struct netlink *nl)
{
    if (nl->current == NULL)
        return;
    const struct nlmsghdr *header = nlmsg_hdr(nl->current);
    static const char padding[NLMSG_ALIGNTO];
    if (!osa_buf_add(&nl->gathered, header, header->nlmsg_len) ||
        !osa_buf_add(&nl->gathered, padding, NLMSG_ALIGN(header->nlmsg_len) - header->nlmsg_len))
        nl->failed = true;
    nlmsg_free(nl->current);
    nl->current = NULL;
}

static void begin(struct netlink *nl, uint16_t type, int flags, const void *header,
                  size_t header_len)
{
    finish_current(nl);
    nl->current = nlmsg_alloc_size(MESSAGE_MAX);
    if (nl->current == NULL ||
        nlmsg_put(nl->current, NL_AUTO_PORT, nl->seq_next++, type, 0, flags) == NULL ||
        nlmsg_append(nl->current, (void *)header, header_len, NLMSG_ALIGNTO) < 0)
        nl->failed = true;
}

void netlink_message(struct netlink *nl, uint16_t type, uint16_t flags, const void *header,
                     size_t header_len)
{
    begin(nl, type, NLM_F_REQUEST | NLM_F_ACK | flags, header, header_len);
    nl->acks_wanted++;
}

void netlink_bracket(struct netlink *nl, uint16_t type, const void *header, size_t header_len)
{
    begin(nl, type, NLM_F_REQUEST, header, header_len);
}

void netlink_put(struct netlink *nl, uint16_t attribute, const void *data, size_t len)
{
    if (nl->failed || nla_put(nl->current, attribute, (int)len, data) < 0)
        nl->failed = true;
}

void netlink_put_u8(struct netlink *nl, uint16_t attribute, uint8_t value)
{
    netlink_put(nl, attribute, &value, sizeof(value));
}

void netlink_put_u32(struct netlink *nl, uint16_t attribute, uint32_t value)
{
    netlink_put(nl, attribute, &value, sizeof(value));
}

void netlink_put_be16(struct netlink *nl, uint16_t attribute, uint16_t value)
{
    value = htons(value);
    netlink_put(nl, attribute, &value, sizeof(value));
}

void netlink_put_be32(struct netlink *nl, uint16_t attribute, uint32_t value)
{
    netlink_put_u32(nl, attribute, htonl(value));
}

void netlink_put_be64(struct netlink *nl, uint16_t attribute, uint64_t value)
{
    const uint32_t halves[2] = { htonl((uint32_t)(value >> 32)), htonl((uint32_t)value) };
    netlink_put(nl, attribute, halves, sizeof(halves));
}

void netlink_put_string(struct netlink *nl, uint16_t attribute, const char *text)
{
    netlink_put(nl, attribute, text, strlen(text) + 1);
}

void *netlink_nest(struct netlink *nl, uint16_t attribute)
{
    void *nest = nl->failed ? NULL : nla_nest_start(nl->current, attribute | NLA_F_NESTED);
    if (nest == NULL)
        nl->failed = true;
    return nest;
}

void *netlink_nest_with(struct netlink *nl, uint16_t attribute, const void *header,
                        size_t header_len)
{
    void *nest = netlink_nest(nl, attribute);
    if (!nl->failed && nlmsg_append(nl->current, (void *)header, header_len, NLMSG_ALIGNTO) < 0)
        nl->failed = true;
    return nest;
}

void netlink_nest_end(struct netlink *nl, void *nest)
{
    if (!nl->failed)
        (void)nla_nest_end_keep_empty(nl->current, nest);
}

/* ---- answers ---- */

struct answers {
    struct netlink *nl;
    netlink_fn fn; /* NULL: only acknowledgements are of interest */
    void *ctx;
    const char *what;
    uint32_t acks;
    bool done;
    struct osa_error *err;
    enum osa_code code;
};

static void take_error(struct answers *a, const struct nlmsghdr *header)
{
    const struct nlmsgerr *body = nlmsg_data(header);
    if (body->error == 0) {
        a->acks++;
        return;
    }
    const char *text = NULL;
    if ((header->nlmsg_flags & FLAG_ACK_TLVS) != 0) {
        size_t skip = sizeof(*body);
        if ((header->nlmsg_flags & FLAG_CAPPED) == 0)
            skip += body->msg.nlmsg_len - sizeof(body->msg);
        size_t len;
        const char *found =
            netlink_attribute(body, (size_t)nlmsg_datalen(header), skip, ERROR_TEXT, &len);
        if (found != NULL && len > 0 && found[len - 1] == '\0')
            text = found;
    }
    a->code = osa_fail_errno(a->err, -body->error, "%s%s%s", a->what, text != NULL ? ": " : "",
                             text != NULL ? text : "");
    a->done = true;
}

static void take_message(struct answers *a, const struct nlmsghdr *header)
{
    const struct netlink *nl = a->nl;
    if (header->nlmsg_seq - nl->seq_first >= nl->seq_next - nl->seq_first)
        return; /* the rest of an earlier commit that failed */
    if (header->nlmsg_type == NLMSG_ERROR)
        take_error(a, header);
    else if (header->nlmsg_type == NLMSG_DONE)
        a->done = true;
    else if (a->fn != NULL)
        a->fn(header->nlmsg_type, nlmsg_data(header), (size_t)nlmsg_datalen(header), a->ctx);
}

/* The kernel has answered by the time that sendmsg(2) returns; nothing to wait for. */
static ssize_t receive(struct netlink *nl)
{
    ssize_t got;
    do
        got = recv(netlink_fd(nl), nl->inbox, RECEIVE_SIZE, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got;
}

static enum osa_code collect(struct netlink *nl, struct answers *a, bool until_done)
{
    while (!a->done && (until_done || a->acks < nl->acks_wanted)) {
        ssize_t got = receive(nl);
        if (got < 0)
            return osa_fail_errno(a->err, errno, "%s: no answer from the kernel", a->what);
        int rest = (int)got;
        for (struct nlmsghdr *header = (struct nlmsghdr *)nl->inbox;
             nlmsg_ok(header, rest) && !a->done; header = nlmsg_next(header, &rest))
            take_message(a, header);
    }
    return a->code;
}

static enum osa_code send_gathered(struct netlink *nl, const char *what, struct osa_error *err)
{
    finish_current(nl);
    if (nl->failed)
        return osa_fail(err, OSA_INTERNAL, 0, "%s: the netlink message is too long", what);
    int rc = nl_sendto(nl->sock, nl->gathered.data, nl->gathered.len);
    if (rc < 0)
        return osa_fail_errno(err, errno, "%s: send", what);
    return OSA_OK;
}

static void start_anew(struct netlink *nl)
{
    osa_buf_reset(&nl->gathered);
    nl->failed = false;
    nl->acks_wanted = 0;
    nl->seq_first = nl->seq_next;
}

enum osa_code netlink_commit(struct netlink *nl, const char *what, struct osa_error *err)
{
    struct answers a = { .nl = nl, .what = what, .err = err };
    enum osa_code code = send_gathered(nl, what, err);
    if (code == OSA_OK)
        code = collect(nl, &a, /* until_done= */ false);
    start_anew(nl);
    return code;
}

enum osa_code netlink_query(struct netlink *nl, netlink_fn fn, void *ctx, const char *what,
                            struct osa_error *err)
{
    struct answers a = { .nl = nl, .fn = fn, .ctx = ctx, .what = what, .err = err };
    enum osa_code code = send_gathered(nl, what, err);
    if (code == OSA_OK)
        code = collect(nl, &a, /* until_done= */ false);
    start_anew(nl);
    return code;
}

enum osa_code netlink_dump(struct netlink *nl, uint16_t type, const void *request,
                           size_t request_len, netlink_fn fn, void *ctx, struct osa_error *err)
{
    struct answers a = { .nl = nl, .fn = fn, .ctx = ctx, .what = "netlink dump", .err = err };
    begin(nl, type, NLM_F_REQUEST | NLM_F_DUMP, request, request_len);
    enum osa_code code = send_gathered(nl, a.what, err);
    if (code == OSA_OK)
        code = collect(nl, &a, /* until_done= */ true);
    start_anew(nl);
    return code;
}

unsigned netlink_receive(struct netlink *nl, netlink_fn fn, void *ctx)
{
    unsigned seen = 0;
    for (ssize_t got; (got = receive(nl)) > 0;) {
        int rest = (int)got;
        for (struct nlmsghdr *header = (struct nlmsghdr *)nl->inbox; nlmsg_ok(header, rest);
             header = nlmsg_next(header, &rest)) {
            if (header->nlmsg_type < NLMSG_MIN_TYPE)
                continue;
            fn(header->nlmsg_type, nlmsg_data(header), (size_t)nlmsg_datalen(header), ctx);
            seen++;
        }
    }
    return seen;
}

const void *netlink_attribute(const void *body, size_t len, size_t header_len, uint16_t attribute,
                              size_t *ret_len)
{
    header_len = NLMSG_ALIGN(header_len);
    if (len < header_len)
        return NULL;
    const struct nlattr *head = (const struct nlattr *)((const char *)body + header_len);
    const struct nlattr *found = nla_find(head, (int)(len - header_len), attribute);
    if (found == NULL)
        return NULL;
    *ret_len = (size_t)nla_len(found);
    return nla_data(found);
}
