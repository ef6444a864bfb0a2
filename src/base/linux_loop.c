// SPDX-License-Identifier: Apache-2.0
/*
 * The loop on epoll(7) and eventfd(2).
 *
 * Sources sit in a slot table; an event carries slot and generation, so that an event of a source
 * removed earlier in the same batch is recognised as stale. Timers are a binary heap, whose top
 * gives epoll_pwait2's timeout. Posted tasks form a lock-free stack that the loop takes whole and
 * turns around, so that wake-ups coalesce.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 64
#define WAKE_SLOT UINT32_MAX

struct slot {
    struct osa_source *source; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct osa_loop {
    int epoll_fd; /* owned */
    int wake_fd;  /* owned */
    struct slot *slots;
    uint32_t slot_count;
    uint32_t first_free;     /* 0: none; slot 0 is never used */
    struct osa_timer **heap; /* heap[1] is the earliest */
    uint32_t heap_len;
    uint32_t heap_size;
    _Atomic(struct osa_task *) posted;
    atomic_bool stop;
    _Atomic(pthread_t) thread;
};

/* ---- timers: a binary heap, index 0 unused ---- */

static void heap_put(struct osa_loop *loop, uint32_t i, struct osa_timer *timer)
{
    loop->heap[i] = timer;
    timer->heap_index = i;
}

static void heap_up(struct osa_loop *loop, uint32_t i)
{
    struct osa_timer *timer = loop->heap[i];
    for (; i > 1 && loop->heap[i / 2]->deadline_ns > timer->deadline_ns; i /= 2)
        heap_put(loop, i, loop->heap[i / 2]);
    heap_put(loop, i, timer);
}

static void heap_down(struct osa_loop *loop, uint32_t i)
{
    struct osa_timer *timer = loop->heap[i];
    for (;;) {
        uint32_t child = i * 2;
        if (child > loop->heap_len)
            break;
        if (child < loop->heap_len &&
            loop->heap[child + 1]->deadline_ns < loop->heap[child]->deadline_ns)
            child++;
        if (loop->heap[child]->deadline_ns >= timer->deadline_ns)
            break;
        heap_put(loop, i, loop->heap[child]);
        i = child;
    }
    heap_put(loop, i, timer);
}

void osa_timer_disarm(struct osa_timer *self)
{
    if (self->heap_index == 0)
        return;
    struct osa_loop *loop = self->loop;
    uint32_t i = self->heap_index;
    struct osa_timer *last = loop->heap[loop->heap_len--];
    self->heap_index = 0;
    if (last == self)
        return;
    heap_put(loop, i, last);
    heap_up(loop, i);
    heap_down(loop, last->heap_index);
}

void osa_timer_arm(struct osa_loop *loop, struct osa_timer *self, int64_t deadline_ns)
{
    osa_timer_disarm(self);
    if (deadline_ns == OSA_NEVER)
        return;
    if (loop->heap_len + 1 >= loop->heap_size) {
        uint32_t size = OSA_MAX(loop->heap_size * 2, 64u);
        struct osa_timer **heap = realloc(loop->heap, size * sizeof(struct osa_timer *));
        if (heap == NULL)
            abort(); /* eight bytes a timer: when they are missing, nothing else works either */
        loop->heap = heap;
        loop->heap_size = size;
    }
    self->loop = loop;
    self->deadline_ns = deadline_ns;
    loop->heap[++loop->heap_len] = self;
    heap_up(loop, loop->heap_len);
}

static bool run_timers(struct osa_loop *loop)
{
    if (loop->heap_len == 0)
        return false;
    bool ran = false;
    int64_t now = osa_now_ns();
    while (loop->heap_len > 0 && loop->heap[1]->deadline_ns <= now) {
        struct osa_timer *timer = loop->heap[1];
        osa_timer_disarm(timer);
        timer->fire(timer);
        ran = true;
    }
    return ran;
}

/* ---- sources ---- */

static uint32_t to_epoll(unsigned events)
{
    return ((events & OSA_READ) != 0 ? (uint32_t)EPOLLIN : 0u) |
           ((events & OSA_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
}

static unsigned from_epoll(uint32_t events)
{
    return ((events & EPOLLIN) != 0 ? (unsigned)OSA_READ : 0u) |
           ((events & EPOLLOUT) != 0 ? (unsigned)OSA_WRITE : 0u) |
           ((events & (EPOLLHUP | EPOLLERR)) != 0 ? (unsigned)OSA_HUP : 0u);
}

static uint64_t slot_key(const struct osa_loop *loop, uint32_t slot)
{
    return (uint64_t)loop->slots[slot].generation << 32 | slot;
}

static bool grow_slots(struct osa_loop *loop)
{
    uint32_t count = OSA_MAX(loop->slot_count * 2, 64u);
    struct slot *slots = realloc(loop->slots, count * sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = OSA_MAX(loop->slot_count, 1u); i < count; i++) {
        slots[i] = (struct slot){ .next_free = loop->first_free };
        loop->first_free = i;
    }
    loop->slots = slots;
    loop->slot_count = count;
    return true;
}

enum osa_code osa_source_add(struct osa_loop *loop, struct osa_source *self, unsigned events,
                             struct osa_error *err)
{
    if (loop->first_free == 0 && !grow_slots(loop))
        return osa_fail_errno(err, ENOMEM, "event loop");
    uint32_t slot = loop->first_free;
    struct epoll_event ev = { .events = to_epoll(events), .data.u64 = slot_key(loop, slot) };
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, self->fd, &ev) < 0) {
        int saved = errno;
        if (saved == EPERM)
            return osa_fail(err, OSA_INVALID_ARGUMENT, saved, "descriptor cannot be polled");
        return osa_fail_errno(err, saved, "epoll_ctl(EPOLL_CTL_ADD)");
    }
    loop->first_free = loop->slots[slot].next_free;
    loop->slots[slot].source = self;
    self->loop = loop;
    self->events = events;
    self->slot = slot;
    return OSA_OK;
}

void osa_source_set(struct osa_source *self, unsigned events)
{
    if (self->slot == 0 || events == self->events)
        return;
    struct epoll_event ev = { .events = to_epoll(events),
                              .data.u64 = slot_key(self->loop, self->slot) };
    int rc = epoll_ctl(self->loop->epoll_fd, EPOLL_CTL_MOD, self->fd, &ev);
    assert(rc == 0); /* only a descriptor closed before its removal can fail here: our bug */
    (void)rc;
    self->events = events;
}

static void free_slot(struct osa_source *self)
{
    struct osa_loop *loop = self->loop;
    struct slot *slot = &loop->slots[self->slot];
    slot->source = NULL;
    slot->generation++;
    slot->next_free = loop->first_free;
    loop->first_free = self->slot;
    self->slot = 0;
    self->events = 0;
}

void osa_source_remove(struct osa_source *self)
{
    if (self->slot == 0)
        return;
    int rc = epoll_ctl(self->loop->epoll_fd, EPOLL_CTL_DEL, self->fd, NULL);
    assert(rc == 0);
    (void)rc;
    free_slot(self);
}

void osa_source_forget(struct osa_source *self)
{
    if (self->slot == 0)
        return;
    (void)epoll_ctl(self->loop->epoll_fd, EPOLL_CTL_DEL, self->fd,
                    NULL); /* which closing did, else */
    free_slot(self);
}

/* ---- posted tasks ---- */

static void wake(struct osa_loop *loop)
{
    const uint64_t one = 1;
    ssize_t put;
    do
        put = write(loop->wake_fd, &one, sizeof(one));
    while (put < 0 && errno == EINTR);
}

void osa_loop_post(struct osa_loop *loop, struct osa_task *task)
{
    struct osa_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task, memory_order_release,
                                                  memory_order_relaxed));
    /* Else a wake-up is under way already, or the loop itself looks before it sleeps. */
    if (head == NULL && !osa_loop_is_current(loop))
        wake(loop);
}

static bool run_tasks(struct osa_loop *loop)
{
    struct osa_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct osa_task *oldest = NULL;
    while (newest != NULL) {
        struct osa_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool ran = oldest != NULL;
    while (oldest != NULL) {
        struct osa_task *task = oldest;
        oldest = task->next;
        task->run(task);
    }
    return ran;
}

/* ---- the loop ---- */

enum osa_code osa_loop_new(struct osa_loop **ret_loop, struct osa_error *err)
{
    struct osa_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return osa_fail_errno(err, ENOMEM, "event loop");
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = WAKE_SLOT };
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
        int saved = errno;
        osa_loop_free(loop);
        return osa_fail_errno(err, saved, "event loop");
    }
    *ret_loop = loop;
    return OSA_OK;
}

void osa_loop_free(struct osa_loop *loop)
{
    if (loop == NULL)
        return;
    osa_close_fd(&loop->epoll_fd);
    osa_close_fd(&loop->wake_fd);
    free(loop->slots);
    free(loop->heap);
    free(loop);
}

static int wait_events(struct osa_loop *loop, struct epoll_event *events, int64_t deadline_ns)
{
    if (loop->heap_len > 0)
        deadline_ns = OSA_MIN(deadline_ns, loop->heap[1]->deadline_ns);
    if (atomic_load_explicit(&loop->posted, memory_order_relaxed) != NULL)
        deadline_ns = 0;
    int timeout_ms = -1;
    if (deadline_ns != OSA_NEVER) {
        /* Rounded up: a timer may be late by less than a millisecond, never early and spinning. */
        int64_t left = deadline_ns - osa_now_ns();
        int64_t left_ms = left <= 0 ? 0 : (left + OSA_NS_PER_MS - 1) / OSA_NS_PER_MS;
        timeout_ms = (int)OSA_MIN(left_ms, (int64_t)INT32_MAX);
    }
    return epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);
}

static bool run_sources(struct osa_loop *loop, const struct epoll_event *events, int count)
{
    bool ran = false;
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        uint32_t generation = (uint32_t)(events[i].data.u64 >> 32);
        if (index == WAKE_SLOT) {
            uint64_t drained;
            (void)!read(loop->wake_fd, &drained, sizeof(drained));
            continue;
        }
        const struct slot *slot = &loop->slots[index];
        if (slot->source == NULL || slot->generation != generation)
            continue; /* removed by an earlier callback of this batch */
        slot->source->ready(slot->source, from_epoll(events[i].events));
        ran = true;
    }
    return ran;
}

bool osa_loop_run_once(struct osa_loop *loop, int64_t deadline_ns)
{
    atomic_store_explicit(&loop->thread, pthread_self(), memory_order_relaxed);
    struct epoll_event events[BATCH];
    int count = wait_events(loop, events, deadline_ns);
    bool ran = run_sources(loop, events, OSA_MAX(count, 0));
    ran |= run_tasks(loop);
    ran |= run_timers(loop);
    return ran;
}

void osa_loop_run(struct osa_loop *loop)
{
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire))
        (void)osa_loop_run_once(loop, OSA_NEVER);
    atomic_store_explicit(&loop->stop, false, memory_order_relaxed);
}

void osa_loop_stop(struct osa_loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    wake(loop);
}

bool osa_loop_is_current(const struct osa_loop *loop)
{
    pthread_t owner = atomic_load_explicit(&loop->thread, memory_order_relaxed);
    return owner != 0 && pthread_equal(owner, pthread_self()) != 0;
}
