// SPDX-License-Identifier: Apache-2.0
#include "rpc/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* Encrypted keys would make OpenSSL ask a terminal. */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static X509 *parse_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return certificate;
}

enum osa_code rpc_pem_check_certificate(const char *pem, const char *path, struct osa_error *err)
{
    X509 *certificate = parse_certificate(pem);
    X509_free(certificate);
    ERR_clear_error(); /* core would find it in its own next failure */
    if (certificate == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%s' holds no certificate in PEM form",
                        path);
    return OSA_OK;
}

enum osa_code rpc_pem_check_pair(const char *cert, const char *cert_path, const char *key,
                                 const char *key_path, struct osa_error *err)
{
    enum osa_code code = rpc_pem_check_certificate(cert, cert_path, err);
    if (code != OSA_OK)
        return code;
    BIO *bio = BIO_new_mem_buf(key, -1);
    EVP_PKEY *parsed = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    X509 *certificate = parse_certificate(cert);
    if (parsed == NULL)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%s' holds no private key in PEM form without a password", key_path);
    else if (X509_check_private_key(certificate, parsed) != 1)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "key '%s' does not belong to certificate '%s'", key_path, cert_path);
    X509_free(certificate);
    EVP_PKEY_free(parsed);
    ERR_clear_error();
    return code;
}
