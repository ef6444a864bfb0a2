// SPDX-License-Identifier: Apache-2.0
/* Movers for systems without splice(2): through a buffer that exists while it holds bytes. */
#include "base/mover.h"

#include "base/macros.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES (64u << 10)

struct chunk {
    size_t at;
    char bytes[CHUNK_BYTES];
};

ssize_t osa_mover_pull(struct osa_mover *mover, int from)
{
    struct chunk *chunk = mover->store;
    if (chunk == NULL && (mover->store = chunk = malloc(sizeof(*chunk))) == NULL)
        return -ENOMEM;
    ssize_t n;
    do
        n = read(from, chunk->bytes, sizeof(chunk->bytes));
    while (n < 0 && errno == EINTR);
    chunk->at = 0;
    if (n > 0) {
        mover->held = (size_t)n;
        return n;
    }
    int saved = errno;
    free(OSA_TAKE(mover->store));
    return n < 0 ? -saved : 0;
}

ssize_t osa_mover_push(struct osa_mover *mover, int to)
{
    struct chunk *chunk = mover->store;
    ssize_t n;
    if (chunk == NULL)
        return 0;
    do
        n = write(to, chunk->bytes + chunk->at, mover->held);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    chunk->at += (size_t)n;
    mover->held -= (size_t)n;
    if (mover->held == 0)
        free(OSA_TAKE(mover->store));
    return n;
}

void osa_mover_done(struct osa_mover *mover)
{
    free(OSA_TAKE(mover->store));
    mover->held = 0;
}

void osa_mover_trim(void)
{
}
