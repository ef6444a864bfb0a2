// SPDX-License-Identifier: Apache-2.0
#include "egress/address.h"

#include <netinet/in.h>
#include <string.h>

/* Copies, not casts: the compiler may take differently typed structs for different memory. */
bool address_from(const struct sockaddr_storage *from, struct policy_address *ret)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (from->ss_family == AF_INET) {
        memcpy(&v4, from, sizeof(v4));
        ret->size = 4;
        memcpy(ret->bytes, &v4.sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        memcpy(&v6, from, sizeof(v6));
        ret->size = 16;
        memcpy(ret->bytes, &v6.sin6_addr, 16);
    }
    return from->ss_family == AF_INET || from->ss_family == AF_INET6;
}

void address_to(const struct policy_address *address, struct sockaddr_storage *ret)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    memset(ret, 0, sizeof(*ret));
    if (address->size == 4) {
        memcpy(&v4.sin_addr, address->bytes, 4);
        memcpy(ret, &v4, sizeof(v4));
    } else {
        memcpy(&v6.sin6_addr, address->bytes, 16);
        memcpy(ret, &v6, sizeof(v6));
    }
}
