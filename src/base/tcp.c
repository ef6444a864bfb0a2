// SPDX-License-Identifier: Apache-2.0
#include "base/tcp.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool parse_host(const char *host, uint16_t port, struct osa_tcp_address *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&ret->any;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->any;
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        ret->len = sizeof(*in);
        ret->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
        (void)snprintf(ret->text, sizeof(ret->text), "%s:%u", host, port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        ret->len = sizeof(*in6);
        ret->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        (void)snprintf(ret->text, sizeof(ret->text), "[%s]:%u", host, port);
        return true;
    }
    return false;
}

enum osa_code osa_tcp_parse(const char *text, struct osa_tcp_address *ret, struct osa_error *err)
{
    *ret = (struct osa_tcp_address){ 0 };
    char host[48];
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    char *end = NULL;
    unsigned long port = colon != NULL && colon[1] >= '0' && colon[1] <= '9'
                             ? strtoul(colon + 1, &end, 10)
                             : ULONG_MAX;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        len = 0; /* an IPv6 address without brackets cannot be told from its port */
    }
    (void)snprintf(host, sizeof(host), "%.*s", (int)len, text);
    if (len == 0 || len >= sizeof(host) || port > UINT16_MAX || end == NULL || *end != '\0' ||
        !parse_host(host, (uint16_t)port, ret))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%s' is not IPV4:PORT, [IPV6]:PORT or localhost:PORT", text);
    return OSA_OK;
}

enum osa_code osa_tcp_listen(const struct osa_tcp_address *address, int *ret_fd, uint16_t *ret_port,
                             struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int fd = socket(address->any.ss_family, SOCK_STREAM, 0);
    const int on = 1;
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address->any, address->len) < 0 ||
        listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "%s cannot be listened on",
                        address->text);
    enum osa_code code = osa_set_nonblocking(fd, /* on= */ true, err);
    if (code != OSA_OK)
        return code;
    *ret_port = ntohs(bound.ss_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
                                                 : ((struct sockaddr_in6 *)&bound)->sin6_port);
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}
