// SPDX-License-Identifier: Apache-2.0
#include "io/tls_store.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Java takes a certificate without a key for an authority if it has this attribute: any purpose. */
#define TRUSTED_KEY_USAGE "2.16.840.1.113894.746875.1.1"

/** struct tls_store - @common: encoded once, in every store */
struct tls_store {
    STACK_OF(PKCS7) * common;
};

static void free_bags(STACK_OF(PKCS12_SAFEBAG) * bags)
{
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

static void free_safes(STACK_OF(PKCS7) * safes)
{
    sk_PKCS7_pop_free(safes, PKCS7_free);
}

/* Entries need names that differ. */
static bool add_one(STACK_OF(PKCS12_SAFEBAG) * *bags, X509 *cert, const char *name)
{
    ASN1_OBJECT *any = OBJ_nid2obj(NID_anyExtendedKeyUsage);
    PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, cert);
    return bag != NULL && PKCS12_add_friendlyname_utf8(bag, name, -1) == 1 &&
           PKCS12_add1_attr_by_txt(bag, TRUSTED_KEY_USAGE, V_ASN1_OBJECT,
                                   (const unsigned char *)any, -1) == 1;
}

/* Adds the authorities of @pem as one part. Return: false when there are none, or no memory */
static bool add_part(const char *pem, const char *prefix, STACK_OF(PKCS7) * *safes)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;
    unsigned count = 0;
    bool ok = bio != NULL;
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s-%u", prefix, count++);
        ok = add_one(&bags, cert, name);
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text is one */
    ok = ok && count > 0 && PKCS12_add_safe(safes, bags, /* nid_safe= */ -1, 0, NULL) == 1;
    free_bags(bags);
    return ok;
}

enum osa_code tls_store_new(const char *bundle, struct tls_store **ret, struct osa_error *err)
{
    struct tls_store *store = calloc(1, sizeof(*store));
    if (store == NULL || !add_part(bundle, "host", &store->common)) {
        tls_store_free(store);
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "no certificate of an authority in the text");
    }
    *ret = store;
    return OSA_OK;
}

void tls_store_free(struct tls_store *store)
{
    if (store == NULL)
        return;
    free_safes(store->common);
    free(store);
}

static bool encode(STACK_OF(PKCS7) * safes, const char *password, struct osa_buf *out)
{
    PKCS12 *p12 = PKCS12_add_safes(safes, NID_pkcs7_data);
    /* Keeps nobody from anything, so it need not take long: one round. */
    bool ok = p12 != NULL && PKCS12_set_mac(p12, password, -1, NULL, 0, 1, EVP_sha256()) == 1;
    int len = ok ? i2d_PKCS12(p12, NULL) : -1;
    unsigned char *room = len > 0 ? (void *)osa_buf_reserve(out, (size_t)len) : NULL;
    ok = room != NULL && i2d_PKCS12(p12, &room) == len;
    if (ok)
        out->len += (size_t)len;
    PKCS12_free(p12);
    return ok;
}

enum osa_code tls_store_write(const struct tls_store *store, const char *extra,
                              const char *password, struct osa_buf *out, struct osa_error *err)
{
    STACK_OF(PKCS7) *own = NULL;
    STACK_OF(PKCS7) *all = sk_PKCS7_dup(store->common); /* borrows what it holds */
    bool ok = all != NULL && add_part(extra, "sandbox", &own);
    for (int i = 0; ok && i < sk_PKCS7_num(own); i++)
        ok = sk_PKCS7_push(all, sk_PKCS7_value(own, i)) > 0;
    ok = ok && encode(all, password, out);
    sk_PKCS7_free(all);
    free_safes(own);
    ERR_clear_error();
    return ok ? OSA_OK
              : osa_fail(err, OSA_INTERNAL, 0, "OpenSSL makes no store of these certificates");
}
