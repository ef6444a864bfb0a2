// SPDX-License-Identifier: Apache-2.0
#include "io/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

void io_sha256(const void *data, size_t len, uint8_t ret_digest[IO_SHA256_SIZE])
{
    if (EVP_Digest(data, len, ret_digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
}

int io_sha256_file(int fd, uint8_t ret_digest[IO_SHA256_SIZE])
{
    char chunk[64 << 10];
    ssize_t n;
    int rc = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
        abort();
    for (off_t at = 0; (n = pread(fd, chunk, sizeof(chunk), at)) != 0; at += n) {
        if (n < 0) {
            rc = -errno;
            break;
        }
        if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
            abort();
    }
    if (rc == 0 && EVP_DigestFinal_ex(ctx, ret_digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    return rc;
}
