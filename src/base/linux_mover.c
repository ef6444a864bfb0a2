// SPDX-License-Identifier: Apache-2.0
/*
 * splice(2) moves between a descriptor and a pipe, so each transfer needs one. A mover borrows it
 * for as long as it holds bytes; pipes that come back empty wait in a small pool of the thread.
 */
#include "base/mover.h"

#include "base/fd.h"
#include "base/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK_BYTES (64u << 10)
#define POOL_MAX 16u

struct pair {
    int fds[2]; /* reading end first */
    struct pair *next;
};

static _Thread_local struct pair *pool;
static _Thread_local unsigned pooled;

static void pair_free(struct pair *pair)
{
    osa_close_fd(&pair->fds[0]);
    osa_close_fd(&pair->fds[1]);
    free(pair);
}

static struct pair *take(void)
{
    struct pair *pair = pool;
    if (pair != NULL) {
        pool = pair->next;
        pooled--;
        return pair;
    }
    pair = calloc(1, sizeof(*pair));
    if (pair != NULL && pipe2(pair->fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        free(pair);
        return NULL;
    }
    return pair;
}

/* Only an empty pipe may serve another: bytes of one connection must never meet those of the next. */
static void give_back(struct osa_mover *mover)
{
    struct pair *pair = OSA_TAKE(mover->store);
    if (pair == NULL)
        return;
    if (mover->held > 0 || pooled >= POOL_MAX) {
        pair_free(pair);
        mover->held = 0;
        return;
    }
    pair->next = pool;
    pool = pair;
    pooled++;
}

ssize_t osa_mover_pull(struct osa_mover *mover, int from)
{
    if (mover->store == NULL && (mover->store = take()) == NULL)
        return -EMFILE;
    const struct pair *pair = mover->store;
    ssize_t n;
    do
        n = splice(from, NULL, pair->fds[1], NULL, CHUNK_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        mover->held = (size_t)n;
        return n;
    }
    int saved = errno;
    give_back(mover);
    return n < 0 ? -saved : 0;
}

ssize_t osa_mover_push(struct osa_mover *mover, int to)
{
    const struct pair *pair = mover->store;
    ssize_t n;
    if (pair == NULL)
        return 0;
    do
        n = splice(pair->fds[0], NULL, to, NULL, mover->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    mover->held -= (size_t)n;
    if (mover->held == 0)
        give_back(mover);
    return n;
}

void osa_mover_done(struct osa_mover *mover)
{
    give_back(mover);
}

void osa_mover_trim(void)
{
    while (pool != NULL) {
        struct pair *pair = pool;
        pool = pair->next;
        pair_free(pair);
    }
    pooled = 0;
}
