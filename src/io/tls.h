// SPDX-License-Identifier: Apache-2.0
/*
 * TLS between buffers, from OpenSSL: who owns a connection moves its bytes, this turns them into
 * text and back. And an authority that makes certificates as they are asked for, for a proxy that
 * looks into its clients' TLS.
 *
 * TLS 1.2 and 1.3, HTTP by ALPN, no tickets: a session never outlives its connection, so
 * that none is resumed under another name.
 *
 * Threads: one at a time for each object.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_authority;
struct tls_trust;
struct tls;

/** enum tls_protocol - What is spoken inside (ALPN), as a set or one of it */
enum tls_protocol {
    TLS_HTTP1 = 1u << 0,
    TLS_HTTP2 = 1u << 1,
};

/**
 * tls_authority_new() - A new authority: ECDSA P-256, its key in memory only
 * @organization, @name: of its certificate's subject
 */
OSA_MUST_CHECK enum osa_code tls_authority_new(const char *organization, const char *name,
                                               struct tls_authority **ret, struct osa_error *err);

/** tls_authority_free() - Connections that it made certificates for may go on. NULL is fine */
void tls_authority_free(struct tls_authority *authority);

/** tls_authority_pem() - Its certificate, as PEM text; borrowed */
const char *tls_authority_pem(const struct tls_authority *authority);

/**
 * tls_trust_new() - Whom to believe as a client
 * @bundle: PEM text of authorities
 * @extra:  more of them; NULL for none
 * Return: OSA_OK; INVALID_ARGUMENT: no certificate in the text.
 */
OSA_MUST_CHECK enum osa_code tls_trust_new(const char *bundle, const char *extra,
                                           struct tls_trust **ret, struct osa_error *err);

/** tls_trust_free() - NULL is fine */
void tls_trust_free(struct tls_trust *trust);

/**
 * tls_accept() - The server's end of a connection
 * @host: name or address that the certificate is for; the authority keeps the last 256
 * @protocol: the one that is spoken, if the client offers it; else none is named
 */
OSA_MUST_CHECK enum osa_code tls_accept(struct tls_authority *authority, const char *host,
                                        enum tls_protocol protocol, struct tls **ret,
                                        struct osa_error *err);

/**
 * tls_connect() - The client's end. Writes its first message
 * @host: what the server's certificate must be for
 * @protocols: set of enum tls_protocol that is offered
 */
OSA_MUST_CHECK enum osa_code tls_connect(struct tls_trust *trust, const char *host,
                                         unsigned protocols, struct tls **ret,
                                         struct osa_error *err);

/** tls_spoken() - What both ends agreed on, after tls_ready(); HTTP/1.1 when they named none */
enum tls_protocol tls_spoken(const struct tls *tls);

/** tls_free() - NULL is fine */
void tls_free(struct tls *tls);

/** tls_ready() - Is the handshake over? */
bool tls_ready(const struct tls *tls);

/** tls_fault() - What went wrong, in a sentence; "" when nothing did. Borrowed */
const char *tls_fault(const struct tls *tls);

/**
 * tls_receive() - Take bytes from the wire
 * @plain: what they say is appended
 * @ret_end: the peer has said that it will send no more
 * Return: false when the connection is of no use any more; tls_send() may still have an alert.
 */
bool tls_receive(struct tls *tls, const void *wire, size_t len, struct osa_buf *plain,
                 bool *ret_end);

/** tls_write() - Take text, after tls_ready(). Return: false as tls_receive() */
bool tls_write(struct tls *tls, const void *plain, size_t len);

/** tls_end() - Say that nothing more will be sent */
void tls_end(struct tls *tls);

/** tls_send() - Append what is to go over the wire now. Return: false when @wire refuses */
bool tls_send(struct tls *tls, struct osa_buf *wire);
