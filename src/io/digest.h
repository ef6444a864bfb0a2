// SPDX-License-Identifier: Apache-2.0
/* Message digests, from OpenSSL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IO_SHA256_SIZE 32

/** io_sha256() - SHA-256 of @len bytes; aborts when OpenSSL cannot, which needs memory alone. Thread: any */
void io_sha256(const void *data, size_t len, uint8_t ret_digest[IO_SHA256_SIZE]);

/** io_sha256_file() - SHA-256 of a whole file, which is read from its start; aborts likewise. Thread: any; blocks. Return: 0 or -errno of pread(2) */
int io_sha256_file(int fd, uint8_t ret_digest[IO_SHA256_SIZE]);
