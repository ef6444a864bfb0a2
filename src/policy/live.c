// SPDX-License-Identifier: Apache-2.0
#include "policy/live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * struct policy_live
 * @good:       last version that could be used; NULL: none yet
 * @quarantine: refuses everything, and is in force; NULL: @good is
 * @rejected:   text of the rejection that the mode decides about; "" for none
 * @number:     of the engine in force; written under @lock, read without
 */
struct policy_live {
    pthread_mutex_t lock;
    enum policy_failure_mode mode;          /* guarded by lock, and so are the next four */
    const struct policy_engine *good;       /* owned */
    const struct policy_engine *quarantine; /* owned */
    char rejected[sizeof(((struct osa_error *)0)->text) + 64];
    struct policy_engine_options options;
    _Atomic uint64_t number;
    void (*changed)(void *ctx, uint64_t generation); /* guarded by lock */
    void *ctx;
};

enum policy_failure_mode policy_failure_mode_parse(const char *text)
{
    return strcmp(text, "retain_last_valid") == 0 ? POLICY_RETAIN_VALID : POLICY_FAIL_CLOSED;
}

/* Called with the lock held. */
static void enter_quarantine(struct policy_live *live, const char *why)
{
    policy_engine_unref(live->quarantine);
    live->quarantine = policy_engine_quarantine(why, ++live->options.generation);
    atomic_store(&live->number, live->options.generation);
}

struct policy_live *policy_live_new(enum policy_failure_mode mode,
                                    const struct policy_engine_options *options)
{
    struct policy_live *live = calloc(1, sizeof(*live));
    if (live == NULL || pthread_mutex_init(&live->lock, NULL) != 0)
        abort();
    live->mode = mode;
    if (options != NULL)
        live->options = *options;
    live->options.generation = 0;
    enter_quarantine(live, "no policy is in force yet");
    return live;
}

void policy_live_free(struct policy_live *live)
{
    if (live == NULL)
        return;
    policy_engine_unref(live->good);
    policy_engine_unref(live->quarantine);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

static void unlock_and_tell(struct policy_live *live, bool change)
{
    void (*changed)(void *, uint64_t) = change ? live->changed : NULL;
    void *ctx = live->ctx;
    uint64_t number = live->options.generation;
    pthread_mutex_unlock(&live->lock);
    if (changed != NULL)
        changed(ctx, number);
}

/*
 * Compiled under the lock, for its generation must be the next one; that keeps takers waiting for
 * as long: some ten milliseconds for a thousand rules. Called with the lock held.
 */
static enum osa_code replace(struct policy_live *live, const struct policy_document *doc,
                             struct osa_error *err)
{
    struct policy_engine_options options = live->options;
    options.generation++;
    const struct policy_engine *engine = NULL;
    enum osa_code code = policy_engine_compile(doc, &options, &engine, err);
    if (code != OSA_OK)
        return code;
    policy_engine_unref(live->good);
    policy_engine_unref(live->quarantine);
    live->good = engine;
    live->quarantine = NULL;
    live->options.generation = options.generation;
    atomic_store(&live->number, options.generation);
    return OSA_OK;
}

enum osa_code policy_live_publish(struct policy_live *live, const struct policy_document *doc,
                                  uint32_t version, struct osa_error *err)
{
    struct osa_error local = { 0 };
    err = err != NULL ? err : &local;
    pthread_mutex_lock(&live->lock);
    enum osa_code code = replace(live, doc, err);
    if (code == OSA_OK)
        live->rejected[0] = '\0';
    unlock_and_tell(live, code == OSA_OK);
    if (code != OSA_OK)
        (void)policy_live_reject(live, version, err->text);
    return code;
}

bool policy_live_reject(struct policy_live *live, uint32_t version, const char *why)
{
    pthread_mutex_lock(&live->lock);
    snprintf(live->rejected, sizeof(live->rejected), "version %u was refused: %s", version, why);
    bool closed = live->mode == POLICY_FAIL_CLOSED || live->good == NULL;
    if (closed)
        enter_quarantine(live, live->rejected);
    unlock_and_tell(live, closed);
    return closed;
}

void policy_live_set_mode(struct policy_live *live, enum policy_failure_mode mode)
{
    pthread_mutex_lock(&live->lock);
    live->mode = mode;
    bool change = live->rejected[0] != '\0' && live->good != NULL &&
                  (mode == POLICY_FAIL_CLOSED) == (live->quarantine == NULL);
    if (change && mode == POLICY_FAIL_CLOSED)
        enter_quarantine(live, live->rejected);
    else if (change) /* it compiled before; if that fails for want of memory, nothing changes */
        change = replace(live, policy_engine_document(live->good), NULL) == OSA_OK;
    unlock_and_tell(live, change);
}

const struct policy_engine *policy_live_take(struct policy_live *live)
{
    pthread_mutex_lock(&live->lock);
    const struct policy_engine *engine =
        policy_engine_ref(live->quarantine != NULL ? live->quarantine : live->good);
    pthread_mutex_unlock(&live->lock);
    return engine;
}

uint64_t policy_live_generation(const struct policy_live *live)
{
    return atomic_load(&live->number);
}

void policy_live_watch(struct policy_live *live, void (*changed)(void *ctx, uint64_t generation),
                       void *ctx)
{
    pthread_mutex_lock(&live->lock);
    live->changed = changed;
    live->ctx = ctx;
    pthread_mutex_unlock(&live->lock);
}
