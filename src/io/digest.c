// SPDX-License-Identifier: Apache-2.0
#include "io/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

void io_sha256(const void *data, size_t len, uint8_t ret_digest[IO_SHA256_SIZE])
{
    if (EVP_Digest(data, len, ret_digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
}
