// SPDX-License-Identifier: Apache-2.0
/* Stores of authorities, read back with OpenSSL as another program would. */
#include "cmocka_all.h"

#include "io/tls.h"
#include "io/tls_store.h"

#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

static struct tls_authority *make(const char *name)
{
    struct osa_error err = { 0 };
    struct tls_authority *authority = NULL;
    assert_int_equal(tls_authority_new("Org", name, &authority, &err), OSA_OK);
    return authority;
}

/* How many certificates there are in it; -1 when it cannot be opened with @password. */
static int count(const struct osa_buf *data, const char *password)
{
    const unsigned char *at = (const unsigned char *)data->data;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    STACK_OF(X509) *others = NULL;
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)data->len);
    assert_non_null(p12);
    int found = -1;
    if (PKCS12_parse(p12, password, &key, &cert, &others) == 1)
        found = sk_X509_num(others);
    assert_null(key);
    assert_null(cert);
    sk_X509_pop_free(others, X509_free);
    PKCS12_free(p12);
    return found;
}

static void test_store(void **state)
{
    struct osa_error err = { 0 };
    struct tls_store *store = NULL;
    struct tls_authority *host = make("host");
    struct tls_authority *own = make("own");
    (void)state;
    assert_int_equal(tls_store_new(tls_authority_pem(host), &store, &err), OSA_OK);
    for (unsigned i = 0; i < 2; i++) { /* what is common is not used up */
        struct osa_buf data;
        osa_buf_init(&data, 1 << 20);
        assert_int_equal(tls_store_write(store, tls_authority_pem(own), "secret", &data, &err),
                         OSA_OK);
        assert_int_equal(count(&data, "secret"), 2);
        assert_int_equal(count(&data, "other"), -1);
        /* Java takes them for authorities by this attribute. */
        static const unsigned char trusted[] = { 0x60, 0x86, 0x48, 0x01, 0x86, 0xf9,
                                                 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01 };
        assert_non_null(memmem(data.data, data.len, trusted, sizeof(trusted)));
        osa_buf_done(&data);
    }
    tls_store_free(store);
    tls_authority_free(host);
    tls_authority_free(own);
}

static void test_nothing(void **state)
{
    struct osa_error err = { 0 };
    struct tls_store *store = NULL;
    (void)state;
    assert_int_equal(tls_store_new("no certificate", &store, &err), OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "no certificate of an authority"));
    tls_store_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
