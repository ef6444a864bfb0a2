// SPDX-License-Identifier: Apache-2.0
#include "io/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_BYTES 16384

struct tls {
    SSL *ssl;
    BIO *in; /* owned by ssl */
    BIO *out;
    enum tls_protocol protocol; /* of a server's end */
    char fault[200];
};

struct tls_trust {
    SSL_CTX *ctx;
};

/* ---- contexts ---- */

/* A name in the form of RFC 7301, 3.1. */
struct alpn {
    const unsigned char *text;
    unsigned len;
};

static struct alpn alpn_of(enum tls_protocol protocol)
{
    static const unsigned char http1[] = "\x08http/1.1";
    static const unsigned char http2[] = "\x02h2";
    return protocol == TLS_HTTP2 ? (struct alpn){ http2, sizeof(http2) - 1 }
                                 : (struct alpn){ http1, sizeof(http1) - 1 };
}

/* A client that does not offer what is spoken goes without ALPN, and finds out by itself. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls *tls = SSL_get_app_data(ssl);
    const struct alpn wanted = alpn_of(tls->protocol);
    (void)arg;
    for (unsigned at = 0; at < in_len && at + 1 + in[at] <= in_len; at += 1u + in[at]) {
        if (in[at] == wanted.text[0] && memcmp(in + at, wanted.text, wanted.len) == 0) {
            *out = in + at + 1;
            *out_len = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

SSL_CTX *tls_context_new(bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL)
        abort();
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    if (server) {
        (void)SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    } else {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    return ctx;
}

static size_t add_authorities(X509_STORE *store, const char *pem)
{
    size_t count = 0;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;
    while (bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        count += X509_STORE_add_cert(store, cert) == 1;
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text is one */
    return count;
}

enum osa_code tls_trust_new(const char *bundle, const char *extra, struct tls_trust **ret,
                            struct osa_error *err)
{
    struct tls_trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL)
        abort();
    trust->ctx = tls_context_new(/* server= */ false);
    X509_STORE *store = SSL_CTX_get_cert_store(trust->ctx);
    size_t count = add_authorities(store, bundle);
    size_t more = extra != NULL ? add_authorities(store, extra) : 1;
    if (count == 0 || more == 0) {
        tls_trust_free(trust);
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "no certificate of an authority in the text");
    }
    *ret = trust;
    return OSA_OK;
}

void tls_trust_free(struct tls_trust *trust)
{
    if (trust == NULL)
        return;
    SSL_CTX_free(trust->ctx);
    free(trust);
}

/* ---- connections ---- */

struct tls *tls_new(SSL_CTX *ctx, enum tls_protocol protocol)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        abort();
    tls->ssl = SSL_new(ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL)
        abort();
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    tls->protocol = protocol;
    if (SSL_set_app_data(tls->ssl, tls) != 1)
        abort();
    return tls;
}

SSL *tls_ssl(struct tls *tls)
{
    return tls->ssl;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

bool tls_ready(const struct tls *tls)
{
    return SSL_is_init_finished(tls->ssl) == 1;
}

const char *tls_fault(const struct tls *tls)
{
    return tls->fault;
}

/* Keeps the reason. Return: true when more bytes are all that is needed. */
static bool go_on(struct tls *tls, int rc)
{
    int error = SSL_get_error(tls->ssl, rc);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
        error == SSL_ERROR_ZERO_RETURN) {
        ERR_clear_error();
        return true;
    }
    long verified = SSL_get_verify_result(tls->ssl);
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (verified != X509_V_OK)
        (void)snprintf(tls->fault, sizeof(tls->fault), "its certificate: %s",
                       X509_verify_cert_error_string(verified));
    else
        (void)snprintf(tls->fault, sizeof(tls->fault), "TLS: %s",
                       reason != NULL ? reason : "the connection broke off");
    ERR_clear_error();
    return false;
}

/* The newer one first, for servers that take the client's order. */
static void offer(struct tls *tls, unsigned protocols)
{
    unsigned char text[16];
    unsigned len = 0;
    for (unsigned one = TLS_HTTP2; one >= TLS_HTTP1; one >>= 1) {
        const struct alpn alpn = alpn_of((enum tls_protocol)one);
        if ((protocols & one) == 0)
            continue;
        memcpy(text + len, alpn.text, alpn.len);
        len += alpn.len;
    }
    if (SSL_set_alpn_protos(tls->ssl, text, len) != 0)
        abort();
}

enum tls_protocol tls_spoken(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0 ? TLS_HTTP2 : TLS_HTTP1;
}

enum osa_code tls_connect(struct tls_trust *trust, const char *host, unsigned protocols,
                          struct tls **ret, struct osa_error *err)
{
    unsigned char address[16];
    struct tls *tls = tls_new(trust->ctx, TLS_HTTP1);
    bool is_ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int named = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                      : (SSL_set1_host(tls->ssl, host) == 1 &&
                         SSL_set_tlsext_host_name(tls->ssl, host) == 1);
    if (named != 1) {
        ERR_clear_error();
        tls_free(tls);
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%s' cannot be the name of a TLS server",
                        host);
    }
    offer(tls, protocols);
    SSL_set_connect_state(tls->ssl);
    (void)go_on(tls, SSL_do_handshake(tls->ssl));
    *ret = tls;
    return OSA_OK;
}

bool tls_receive(struct tls *tls, const void *wire, size_t len, struct osa_buf *plain,
                 bool *ret_end)
{
    if (len > 0 && BIO_write(tls->in, wire, (int)len) != (int)len)
        return false;
    for (;;) {
        char *room = osa_buf_reserve(plain, PLAIN_BYTES);
        if (room == NULL)
            return false;
        int n = SSL_read(tls->ssl, room, PLAIN_BYTES);
        if (n > 0) {
            plain->len += (size_t)n;
            plain->data[plain->len] = '\0';
            continue;
        }
        plain->data[plain->len] = '\0';
        *ret_end = (SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
        return go_on(tls, n);
    }
}

bool tls_write(struct tls *tls, const void *plain, size_t len)
{
    while (len > 0) {
        int part = (int)OSA_MIN(len, (size_t)PLAIN_BYTES);
        int n = SSL_write(tls->ssl, plain, part);
        if (n <= 0) {
            (void)go_on(tls, n);
            return false;
        }
        plain = (const char *)plain + n;
        len -= (size_t)n;
    }
    return true;
}

void tls_end(struct tls *tls)
{
    if (tls_ready(tls))
        (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

bool tls_send(struct tls *tls, struct osa_buf *wire)
{
    size_t waiting = BIO_ctrl_pending(tls->out);
    if (waiting == 0)
        return true;
    char *room = osa_buf_reserve(wire, waiting);
    if (room == NULL)
        return false;
    int n = BIO_read(tls->out, room, (int)waiting);
    if (n > 0) {
        wire->len += (size_t)n;
        wire->data[wire->len] = '\0';
    }
    return true;
}
