// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop. One thread runs it and owns every object that is registered with it; other
 * threads may only post work to it. Sources and timers live inside their owner's struct.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct osa_loop;

/* Readiness, as poll(2) names it. HUP and ERR are always reported. */
enum {
    OSA_READ = 1u << 0,
    OSA_WRITE = 1u << 1,
    OSA_HUP = 1u << 2, /* peer closed or error: read until end of file, then remove */
};

/**
 * struct osa_source - One watched descriptor; embedded in its owner
 * @fd:     borrowed; the owner closes it after osa_source_remove()
 * @ready:  called on the loop thread with the OSA_* bits that are set; may remove any source or
 *          timer, this one included, and may free its owner after removing it
 * @loop, @events, @slot: private to the loop
 */
struct osa_source {
    int fd;
    void (*ready)(struct osa_source *self, unsigned events);
    struct osa_loop *loop;
    unsigned events;
    uint32_t slot;
};

/**
 * struct osa_timer - One-shot timer; embedded in its owner
 * @fire: called on the loop thread, the timer being disarmed already; may arm it again or free the owner
 * @loop, @deadline_ns, @heap_index: private to the loop; heap_index is 0 while disarmed
 */
struct osa_timer {
    void (*fire)(struct osa_timer *self);
    struct osa_loop *loop;
    int64_t deadline_ns;
    uint32_t heap_index;
};

/**
 * struct osa_task - A piece of work posted to the loop from any thread; embedded in its owner
 * @run:  called once on the loop thread; the task may be posted again from there or be freed
 * @next: private to the loop
 */
struct osa_task {
    void (*run)(struct osa_task *self);
    struct osa_task *next;
};

/** osa_loop_new() - A loop with nothing in it. Return: OSA_OK or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code osa_loop_new(struct osa_loop **ret_loop, struct osa_error *err);

/** osa_loop_free() - Free a stopped loop; every source must be removed before. NULL is fine */
void osa_loop_free(struct osa_loop *loop);

/** osa_loop_run() - Run callbacks until osa_loop_stop(); the calling thread becomes the loop thread */
void osa_loop_run(struct osa_loop *loop);

/**
 * osa_loop_run_once() - Wait at most until @deadline_ns (monotonic), run what is ready, return
 * Return: true when at least one callback ran. For tests and for synchronous clients.
 */
bool osa_loop_run_once(struct osa_loop *loop, int64_t deadline_ns);

/** osa_loop_stop() - Make osa_loop_run() return after the current callbacks. Thread: any */
void osa_loop_stop(struct osa_loop *loop);

/** osa_loop_post() - Queue @task to run on the loop thread, in order. Never blocks or allocates. Thread: any */
void osa_loop_post(struct osa_loop *loop, struct osa_task *task);

/** osa_loop_is_current() - Is the caller the thread that runs @loop? */
bool osa_loop_is_current(const struct osa_loop *loop);

/**
 * osa_source_add() - Watch @self->fd for @events (OSA_READ | OSA_WRITE), level-triggered
 * Return: OSA_OK; RESOURCE_EXHAUSTED; INVALID_ARGUMENT for a descriptor that cannot be polled (EPERM).
 * Thread: loop, or before the loop runs.
 */
OSA_MUST_CHECK enum osa_code osa_source_add(struct osa_loop *loop, struct osa_source *self,
                                            unsigned events, struct osa_error *err);

/** osa_source_set() - Change the watched events; 0 keeps only HUP. Cheap when nothing changes. Thread: loop */
void osa_source_set(struct osa_source *self, unsigned events);

/** osa_source_remove() - Stop watching; no callback afterwards. A source never added is fine. Thread: loop */
void osa_source_remove(struct osa_source *self);

/**
 * osa_source_forget() - osa_source_remove() where the descriptor may be closed already, by a library
 * that tells afterwards. Nobody else may have watched a new one of that number meanwhile.
 */
void osa_source_forget(struct osa_source *self);

/** osa_timer_arm() - (Re)arm for an absolute monotonic deadline; OSA_NEVER disarms. Thread: loop */
void osa_timer_arm(struct osa_loop *loop, struct osa_timer *self, int64_t deadline_ns);

/** osa_timer_disarm() - No callback afterwards. A timer never armed is fine. Thread: loop */
void osa_timer_disarm(struct osa_timer *self);
