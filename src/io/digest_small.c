// SPDX-License-Identifier: Apache-2.0
/*
 * Digests of executables, for the helper: OpenSSL's SHA-256 by itself. The way that the agent takes
 * to it would bring all of OpenSSL's algorithms into each box.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "io/digest.h"

#include <errno.h>
#include <openssl/sha.h>
#include <unistd.h>

int io_sha256_file(int fd, uint8_t ret_digest[IO_SHA256_SIZE])
{
    static _Thread_local uint8_t chunk[64 << 10];
    SHA256_CTX sha;
    off_t at = 0;
    ssize_t got;
    (void)SHA256_Init(&sha);
    while ((got = pread(fd, chunk, sizeof(chunk), at)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        (void)SHA256_Update(&sha, chunk, (size_t)got);
        at += got;
    }
    (void)SHA256_Final(ret_digest, &sha);
    return 0;
}
