// SPDX-License-Identifier: Apache-2.0
/* What a workload put into a packet is parsed here: every length, with the sanitizers watching. */
#include "cmocka_all.h"

#include "backends/process/network_internal.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER sizeof(struct nlattr)
#define PACKET_TYPE (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)

static const uint8_t tcp4[] = {
    0x45, 0,    0,    40,   0, 0, 0x40, 0, 64, IPPROTO_TCP,
    0,    0,    10,   0,    0, 1, 192,  0, 2,  1, /* IP */
    0x9c, 0x40, 0x01, 0xbb, 0, 0, 0,    0, 0,  0,
    0,    0,    0x50, 2,    0, 0, 0,    0, 0,  0, /* TCP to 443 */
};
static const uint8_t udp6[] = {
    0x60,        0,    0,    0,    0,  16, IPPROTO_HOPOPTS,
    64, /* IPv6 */
    0xfd,        0,    0,    0,    0,  0,  0,
    0,           0,    0,    0,    0,  0,  0,
    0,           1, /* from */
    0x20,        0x01, 0x0d, 0xb8, 0,  0,  0,
    0,           0,    0,    0,    0,  0,  0,
    0,           0x53, /* to */
    IPPROTO_UDP, 0,    1,    4,    0,  0,  0,
    0,           0x9c, 0x40, 0,    53, 0,  8,
    0,           0, /* an option; UDP to 53 */
};

/* The message that the kernel would send, in a block of exactly its size. */
static bool parse(const uint8_t *packet, size_t len, const uint32_t *uid,
                  struct network_denial *ret_denial)
{
    size_t room = sizeof(struct nfgenmsg) + HEADER + ((len + 3) & ~(size_t)3) +
                  (uid != NULL ? HEADER + sizeof(*uid) : 0);
    char *body = calloc(1, room);
    char *at = body + sizeof(struct nfgenmsg);
    if (uid != NULL) {
        const uint32_t wire = htonl(*uid);
        *(struct nlattr *)at = (struct nlattr){ HEADER + sizeof(*uid), NFULA_UID };
        memcpy(at + HEADER, &wire, sizeof(wire));
        at += HEADER + sizeof(*uid);
    }
    *(struct nlattr *)at = (struct nlattr){ (uint16_t)(HEADER + len), NFULA_PAYLOAD };
    memcpy(at + HEADER, packet, len);
    bool known = network_log_parse(PACKET_TYPE, body, room, ret_denial);
    free(body);
    return known;
}

static void reads_both_families(void **state)
{
    (void)state;
    const uint32_t uid = 1000;
    struct network_denial denial;
    assert_true(parse(tcp4, sizeof(tcp4), &uid, &denial));
    assert_int_equal(denial.family, AF_INET);
    assert_int_equal(denial.protocol, IPPROTO_TCP);
    assert_string_equal(denial.address, "192.0.2.1");
    assert_int_equal(denial.port, 443);
    assert_int_equal(denial.uid, 1000);
    assert_true(parse(udp6, sizeof(udp6), NULL, &denial));
    assert_int_equal(denial.family, AF_INET6);
    assert_int_equal(denial.protocol, IPPROTO_UDP);
    assert_string_equal(denial.address, "2001:db8::53");
    assert_int_equal(denial.port, 53);
    assert_int_equal(denial.uid, UINT32_MAX);
}

static void cut_packets_tell_what_is_there(void **state)
{
    (void)state;
    struct network_denial denial;
    for (size_t len = 1; len <= sizeof(tcp4); len++) {
        assert_int_equal(parse(tcp4, len, NULL, &denial), len >= 20);
        if (len >= 20)
            assert_int_equal(denial.port, len >= 24 ? 443 : 0);
    }
    for (size_t len = 1; len <= sizeof(udp6); len++) {
        assert_int_equal(parse(udp6, len, NULL, &denial), len >= 40);
        if (len >= 40)
            assert_int_equal(denial.port, len >= 52 ? 53 : 0);
    }
    assert_false(parse(tcp4, 0, NULL, &denial));
}

static void hostile_packets_do_no_harm(void **state)
{
    (void)state;
    struct network_denial denial;
    uint8_t packet[sizeof(udp6)];
    memcpy(packet, tcp4, sizeof(tcp4));
    packet[0] = 0x4f; /* a header longer than the packet */
    assert_true(parse(packet, sizeof(tcp4), NULL, &denial));
    assert_int_equal(denial.port, 0);
    packet[0] = 0x41; /* and one shorter than a header */
    assert_true(parse(packet, sizeof(tcp4), NULL, &denial));
    assert_int_equal(denial.port, 0);
    packet[0] = 0x45;
    packet[7] = 1; /* a later fragment has no ports, only what looks like them */
    assert_true(parse(packet, sizeof(tcp4), NULL, &denial));
    assert_int_equal(denial.port, 0);
    packet[0] = 0x55;
    assert_false(parse(packet, sizeof(tcp4), NULL, &denial));
    memcpy(packet, udp6, sizeof(udp6));
    packet[41] = 255; /* an extension header far longer than the packet */
    assert_true(parse(packet, sizeof(udp6), NULL, &denial));
    assert_int_equal(denial.port, 0);
    packet[40] = IPPROTO_HOPOPTS; /* without end */
    packet[41] = 0;
    assert_true(parse(packet, sizeof(udp6), NULL, &denial));
    assert_false(network_log_parse(0, udp6, sizeof(udp6), &denial));
    assert_false(network_log_parse(PACKET_TYPE, udp6, 0, &denial));
    assert_false(network_log_parse(PACKET_TYPE, udp6, 3, &denial));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_families),
        cmocka_unit_test(cut_packets_tell_what_is_there),
        cmocka_unit_test(hostile_packets_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
