// SPDX-License-Identifier: Apache-2.0
/* The first message of TLS, read without a TLS library: whom the client says it wants to reach. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest ClientHello that is waited for: four records' worth, post-quantum keys and all. */
#define HELLO_MAX_BYTES 65536u

enum hello_result {
    HELLO_MORE,    /* it may become one */
    HELLO_NOT_TLS, /* the first bytes are something else */
    HELLO_BAD,     /* begins like TLS and is none, or is too long, or says two things */
    HELLO_GOOD,
};

/**
 * struct hello - What a ClientHello says
 * @name:  its server_name, lower case; "" when it sends none
 * @alpn:  it names protocols
 * @http1, @http2: and http/1.1, h2 is one of them
 */
struct hello {
    char name[256];
    bool alpn;
    bool http1;
    bool http2;
};

/**
 * hello_parse() - Look at the first bytes that a client sent
 * The name is that of the outer hello; an encrypted one inside (ECH) is not looked at, and need not
 * be: the server that the outer name means is the one that is reached.
 * Source: RFC 8446, 4.1.2 and 5.1; RFC 6066, 3; RFC 7301, 3.1.
 */
enum hello_result hello_parse(const uint8_t *data, size_t len, struct hello *ret);
