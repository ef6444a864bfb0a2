// SPDX-License-Identifier: Apache-2.0
#include "pki.h"

#include "cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static void add_extension(X509 *certificate, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, (X509 *)issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* @issuer NULL: an authority that signs itself */
static struct identity make(const char *name, const struct identity *issuer)
{
    static long serial = 1;
    struct identity self = { .key = EVP_EC_gen("P-256"), .certificate = X509_new() };
    if (issuer == NULL)
        issuer = &self;
    X509 *certificate = self.certificate;
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, self.key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate));
    if (issuer == &self) {
        add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign");
    } else {
        add_extension(certificate, issuer->certificate, NID_subject_alt_name, "IP:127.0.0.1");
    }
    assert_true(X509_sign(certificate, issuer->key, EVP_sha256()) > 0);
    return self;
}

static FILE *create(const char *dir, const char *name, const char *suffix)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s.%s", dir, name, suffix);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    return file;
}

static void save(const char *dir, const char *name, const struct identity *identity)
{
    FILE *file = create(dir, name, "pem");
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    (void)fclose(file);
    file = create(dir, name, "key");
    assert_int_equal(PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
}

void pki_write(const char *dir)
{
    static const char *const leaves[2][2][2] = {
        { { "server", "a server" }, { "client", "a client" } },
        { { "other-server", "a server" }, { "stranger", "a stranger" } },
    };
    static const char *const authorities[] = { "ca", "other-ca" };
    for (int i = 0; i < 2; i++) {
        struct identity ca = make(authorities[i], NULL);
        save(dir, authorities[i], &ca);
        for (int k = 0; k < 2; k++) {
            struct identity leaf = make(leaves[i][k][1], &ca);
            save(dir, leaves[i][k][0], &leaf);
            EVP_PKEY_free(leaf.key);
            X509_free(leaf.certificate);
        }
        EVP_PKEY_free(ca.key);
        X509_free(ca.certificate);
    }
}

void pki_connect(int fd, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

int pki_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    pki_connect(fd, port);
    return fd;
}
