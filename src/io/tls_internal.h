// SPDX-License-Identifier: Apache-2.0
/* What tls.c and tls_authority.c share; for them alone. */
#pragma once

#include "io/tls.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/** tls_context_new() - With what all connections have in common; aborts without memory */
SSL_CTX *tls_context_new(bool server);

/** tls_new() - A connection of @ctx between two empty buffers; @protocol: that a server speaks */
struct tls *tls_new(SSL_CTX *ctx, enum tls_protocol protocol);

/** tls_ssl() - OpenSSL's side of it; borrowed */
SSL *tls_ssl(struct tls *tls);
