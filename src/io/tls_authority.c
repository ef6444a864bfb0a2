// SPDX-License-Identifier: Apache-2.0
/* Certificates on demand. All leaves of an authority share one key, which is as secret as theirs would be. */
#include "io/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define LEAVES_MAX 256u
#define DAY_SECONDS (24L * 3600)
/* Clocks differ, and sandboxes do not live for years. */
#define EARLY_DAYS 2L
#define AUTHORITY_DAYS 3650L
#define LEAF_DAYS 90L

struct leaf {
    UT_hash_handle hh; /* by host */
    X509 *cert;
    char host[];
};

struct tls_authority {
    EVP_PKEY *key;
    EVP_PKEY *leaf_key;
    X509 *cert;
    SSL_CTX *ctx;
    struct leaf *leaves; /* the oldest first */
    char *pem;
};

/* OpenSSL fails here for want of memory or entropy alone, or for a mistake of ours. */
static void must(int ok)
{
    if (ok <= 0)
        abort();
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void add_name(X509_NAME *name, const char *field, const char *text)
{
    must(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1,
                                    0));
}

/* A certificate with what both kinds have. */
static X509 *begin_certificate(EVP_PKEY *key, long days)
{
    unsigned char serial[16];
    X509 *cert = X509_new();
    must(cert != NULL && RAND_bytes(serial, sizeof(serial)) == 1);
    serial[0] &= 0x7f; /* positive, RFC 5280, 4.1.2.2 */
    serial[0] |= 0x40; /* and of full length */
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    must(number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL);
    BN_free(number);
    must(X509_set_version(cert, X509_VERSION_3));
    must(X509_gmtime_adj(X509_getm_notBefore(cert), -EARLY_DAYS * DAY_SECONDS) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(cert), days * DAY_SECONDS) != NULL);
    must(X509_set_pubkey(cert, key));
    return cert;
}

static char *to_pem(X509 *cert)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    must(bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    must(text != NULL);
    BIO_free(bio);
    return text;
}

enum osa_code tls_authority_new(const char *organization, const char *name,
                                struct tls_authority **ret, struct osa_error *err)
{
    struct tls_authority *authority = calloc(1, sizeof(*authority));
    if (authority == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "no memory for an authority");
    authority->key = EVP_EC_gen("P-256");
    authority->leaf_key = EVP_EC_gen("P-256");
    if (authority->key == NULL || authority->leaf_key == NULL) {
        tls_authority_free(authority);
        return osa_fail(err, OSA_INTERNAL, 0, "OpenSSL makes no P-256 keys here");
    }
    X509 *cert = begin_certificate(authority->key, AUTHORITY_DAYS);
    X509_NAME *subject = X509_get_subject_name(cert);
    add_name(subject, "O", organization);
    add_name(subject, "CN", name);
    must(X509_set_issuer_name(cert, subject));
    add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(cert, cert, NID_subject_key_identifier, "hash");
    must(X509_sign(cert, authority->key, EVP_sha256()));
    authority->cert = cert;
    authority->pem = to_pem(cert);
    authority->ctx = tls_context_new(/* server= */ true);
    *ret = authority;
    return OSA_OK;
}

static void leaf_free(struct tls_authority *authority, struct leaf *leaf)
{
    HASH_DEL(authority->leaves, leaf);
    X509_free(leaf->cert);
    free(leaf);
}

void tls_authority_free(struct tls_authority *authority)
{
    if (authority == NULL)
        return;
    while (authority->leaves != NULL)
        leaf_free(authority, authority->leaves);
    SSL_CTX_free(authority->ctx);
    X509_free(authority->cert);
    EVP_PKEY_free(authority->key);
    EVP_PKEY_free(authority->leaf_key);
    free(authority->pem);
    free(authority);
}

const char *tls_authority_pem(const struct tls_authority *authority)
{
    return authority->pem;
}

static X509 *make_leaf(struct tls_authority *authority, const char *host)
{
    unsigned char address[16];
    char alternative[320];
    bool is_ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    size_t len = strlen(host);
    X509 *cert = begin_certificate(authority->leaf_key, LEAF_DAYS);
    X509_NAME *subject = X509_get_subject_name(cert);
    len -= len > 0 && host[len - 1] == '.'; /* certificates know no final dot */
    /* A subject that is empty, the name being too long for it, makes the other one critical. */
    bool named = len <= 64; /* ub-common-name, RFC 5280, appendix A.1 */
    (void)snprintf(alternative, sizeof(alternative), "%s%s:%.*s", named ? "" : "critical,",
                   is_ip ? "IP" : "DNS", (int)len, host);
    if (named)
        add_name(subject, "CN", strchr(alternative, ':') + 1);
    must(X509_set_issuer_name(cert, X509_get_subject_name(authority->cert)));
    add_extension(cert, authority->cert, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, authority->cert, NID_key_usage, "critical,digitalSignature");
    add_extension(cert, authority->cert, NID_ext_key_usage, "serverAuth");
    add_extension(cert, authority->cert, NID_subject_key_identifier, "hash");
    add_extension(cert, authority->cert, NID_authority_key_identifier, "keyid:always");
    add_extension(cert, authority->cert, NID_subject_alt_name, alternative);
    must(X509_sign(cert, authority->key, EVP_sha256()));
    return cert;
}

static X509 *leaf_for(struct tls_authority *authority, const char *host)
{
    struct leaf *leaf;
    HASH_FIND_STR(authority->leaves, host, leaf);
    if (leaf != NULL)
        return leaf->cert;
    size_t len = strlen(host);
    if (HASH_COUNT(authority->leaves) >= LEAVES_MAX)
        leaf_free(authority, authority->leaves);
    leaf = calloc(1, sizeof(*leaf) + len + 1);
    must(leaf != NULL);
    memcpy(leaf->host, host, len + 1);
    leaf->cert = make_leaf(authority, host);
    HASH_ADD_KEYPTR(hh, authority->leaves, leaf->host, len, leaf);
    return leaf->cert;
}

enum osa_code tls_accept(struct tls_authority *authority, const char *host,
                         enum tls_protocol protocol, struct tls **ret, struct osa_error *err)
{
    if (strlen(host) > 255)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the host is too long for a certificate");
    struct tls *tls = tls_new(authority->ctx, protocol);
    SSL *ssl = tls_ssl(tls);
    must(SSL_use_certificate(ssl, leaf_for(authority, host)));
    must(SSL_use_PrivateKey(ssl, authority->leaf_key));
    must((int)SSL_add1_chain_cert(ssl, authority->cert));
    SSL_set_accept_state(ssl);
    *ret = tls;
    return OSA_OK;
}
