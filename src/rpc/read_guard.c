// SPDX-License-Identifier: Apache-2.0
/*
 * Core reads sockets with recvmsg(2), and what TLS has decrypted with SSL_read(3); the linker puts
 * functions of ours between (--wrap), as in accept_guard.c. The bytes go through the HTTP/2 guard,
 * and a connection that is to go reads an error, upon which core closes it.
 *
 * Why: core 1.51 keeps a header block of any length until its end, before it compares it with its
 * limit (CVE-2024-27316 is the same in other servers), and takes any number of calls that are reset
 * at once (CVE-2023-44487): 200,000 of them made 2 GiB, within three seconds, without a token. Those
 * who have shown who they are may reset more, for a client that gives up what it waits for is no
 * attack; all the others together have one allowance, so that to connect anew gains nothing.
 *
 * A connection of TLS is known by its client certificate. Without one it stays a stranger for its
 * life, since nothing tells whose calls it carries, but has a little of its own, so that attackers
 * cannot use up what an honest client needs. The number of such connections is bounded by
 * descriptors alone (accept_guard.c). A client CA keeps strangers out.
 */
#include "rpc/read_guard.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/rate.h"
#include "rpc/http2_guard.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

/* A known client: resets it may send at once, and how fast they come back; then all strangers. */
#define KNOWN_BURST 8192
#define KNOWN_EACH_NS (1 * OSA_NS_PER_MS)
#define STRANGERS_BURST 1000
#define STRANGERS_EACH_NS (5 * OSA_NS_PER_MS)
#define STRANGERS_MAX 256u /* connections, of one process */
#define TLS_OWN_BURST 16
#define TLS_OWN_EACH_NS OSA_NS_PER_SEC

#define CUTS_BURST 20 /* that are told; then one a second */

#define PAGE_SLOTS 1024
#define PAGES 1024 /* a million descriptors, which is Linux's fs.nr_open */

struct watched {
    struct http2_guard guard; /* of the thread that reads, one at a time */
    struct osa_rate resets;   /* the same; for known ones */
    atomic_bool known;
    int fd;
    struct watched *prev,
        *next; /* strangers, oldest first; guarded by lock; prev NULL: not in it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watched *strangers;       /* guarded by lock */
static unsigned stranger_count;         /* guarded by lock */
static struct osa_rate stranger_resets; /* guarded by lock */
static struct osa_rate cuts;            /* guarded by lock; those that are told */
static uint64_t cuts_untold;            /* guarded by lock */
static _Atomic(_Atomic(struct watched *) *) pages[PAGES];

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_SSL_read(SSL *ssl, void *out, int len);
int __wrap_SSL_read(SSL *ssl, void *out, int len);

/* ---- by descriptor ---- */

static _Atomic(struct watched *) *slot_of(int fd, bool make)
{
    if (fd < 0 || fd >= PAGES * PAGE_SLOTS)
        return NULL;
    _Atomic(_Atomic(struct watched *) *) *page = &pages[fd / PAGE_SLOTS];
    _Atomic(struct watched *) *slots = atomic_load_explicit(page, memory_order_acquire);
    if (slots == NULL && make) {
        _Atomic(struct watched *) *fresh = calloc(PAGE_SLOTS, sizeof(*fresh));
        if (fresh == NULL)
            abort(); /* core does the same */
        if (atomic_compare_exchange_strong(page, &slots, fresh))
            slots = fresh;
        else
            free(fresh);
    }
    return slots == NULL ? NULL : &slots[fd % PAGE_SLOTS];
}

static struct watched *find(int fd)
{
    _Atomic(struct watched *) *slot = slot_of(fd, /* make= */ false);
    return slot == NULL ? NULL : atomic_load_explicit(slot, memory_order_acquire);
}

/* With the lock held. */
static void leave_strangers(struct watched *watched)
{
    if (watched->prev == NULL)
        return;
    DL_DELETE(strangers, watched);
    watched->prev = NULL;
    stranger_count--;
}

void rpc_read_guard_watch(int fd, bool known)
{
    _Atomic(struct watched *) *slot = slot_of(fd, /* make= */ true);
    struct watched *watched = slot == NULL ? NULL : calloc(1, sizeof(*watched));
    if (watched == NULL)
        return;
    http2_guard_init(&watched->guard);
    atomic_init(&watched->known, known);
    watched->fd = fd;
    atomic_store_explicit(slot, watched, memory_order_release);
    if (known)
        return;
    (void)pthread_mutex_lock(&lock);
    DL_APPEND(strangers, watched);
    stranger_count++;
    if (stranger_count > STRANGERS_MAX) {
        struct watched *oldest =
            strangers; /* not closed: it would have left the list, under the lock */
        (void)shutdown(oldest->fd, SHUT_RDWR);
        leave_strangers(oldest);
    }
    (void)pthread_mutex_unlock(&lock);
}

void rpc_read_guard_known(int fd)
{
    struct watched *watched = find(fd);
    if (watched == NULL || atomic_exchange_explicit(&watched->known, true, memory_order_relaxed))
        return;
    (void)pthread_mutex_lock(&lock);
    leave_strangers(watched);
    (void)pthread_mutex_unlock(&lock);
}

int __wrap_close(int fd)
{
    _Atomic(struct watched *) *slot = slot_of(fd, /* make= */ false);
    struct watched *watched =
        slot == NULL ? NULL : atomic_exchange_explicit(slot, NULL, memory_order_acq_rel);
    if (watched != NULL) {
        (void)pthread_mutex_lock(&lock);
        leave_strangers(watched);
        (void)pthread_mutex_unlock(&lock);
        free(watched);
    }
    return __real_close(fd);
}

/* ---- by byte ---- */

static bool take_stranger_reset(int64_t now_ns)
{
    (void)pthread_mutex_lock(&lock);
    bool taken = osa_rate_take(&stranger_resets, now_ns, STRANGERS_BURST, STRANGERS_EACH_NS);
    (void)pthread_mutex_unlock(&lock);
    return taken;
}

/* Of a connection: its own allowance first, then, for strangers, the common one. */
struct allowance {
    struct osa_rate *own;
    int64_t each_ns;
    unsigned burst; /* 0: nothing of its own */
    bool common;
};

static bool take_reset(const struct allowance *allowance, int64_t now_ns)
{
    return (allowance->burst > 0 &&
            osa_rate_take(allowance->own, now_ns, allowance->burst, allowance->each_ns)) ||
           (allowance->common && take_stranger_reset(now_ns));
}

static void tell_cut(const char *why, bool stranger)
{
    (void)pthread_mutex_lock(&lock);
    bool told = osa_rate_take(&cuts, osa_now_ns(), CUTS_BURST, OSA_NS_PER_SEC);
    uint64_t untold = cuts_untold;
    cuts_untold = told ? 0 : cuts_untold + 1;
    (void)pthread_mutex_unlock(&lock);
    if (told)
        osa_log(OSA_LOG_WARN, "rpc", "connection cut off", OSA_S("reason", why),
                OSA_S("from", stranger ? "a stranger" : "a known client"), OSA_U("untold", untold));
}

/* Return: the connection may go on. */
static bool feed(struct http2_guard *guard, const struct allowance *allowance, const void *data,
                 size_t len)
{
    uint32_t resets;
    const char *wrong = http2_guard_feed(guard, data, len, &resets);
    int64_t now = resets > 0 ? osa_now_ns() : 0;
    for (; resets > 0 && wrong == NULL; resets--)
        if (!take_reset(allowance, now))
            wrong = "it resets calls faster than they can be answered";
    if (wrong != NULL)
        tell_cut(wrong, allowance->common);
    return wrong == NULL;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t got = __real_recvmsg(fd, message, flags);
    struct watched *watched = got > 0 ? find(fd) : NULL;
    if (watched == NULL)
        return got;
    bool known = atomic_load_explicit(&watched->known, memory_order_relaxed);
    const struct allowance allowance = { &watched->resets, KNOWN_EACH_NS, known ? KNOWN_BURST : 0,
                                         !known };
    size_t left = (size_t)got;
    for (size_t i = 0; left > 0; i++) {
        size_t len = OSA_MIN(left, message->msg_iov[i].iov_len);
        if (!feed(&watched->guard, &allowance, message->msg_iov[i].iov_base, len)) {
            errno = ECONNRESET;
            return -1;
        }
        left -= len;
    }
    return got;
}

/* ---- TLS ---- */

struct watched_tls {
    struct http2_guard guard;
    struct osa_rate resets;
    bool known;
};

static int guard_index;

static void free_guard(void *parent, void *guard, CRYPTO_EX_DATA *data, int index, long argl,
                       void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    free(guard);
}

void rpc_read_guard_init(void)
{
    guard_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_guard);
}

static struct watched_tls *watched_of(SSL *ssl)
{
    struct watched_tls *watched = SSL_get_ex_data(ssl, guard_index);
    if (watched != NULL)
        return watched;
    watched = calloc(1, sizeof(*watched));
    if (watched == NULL)
        abort();
    http2_guard_init(&watched->guard);
    X509 *certificate = SSL_get1_peer_certificate(ssl); /* verified, or there were no session */
    watched->known = certificate != NULL;
    X509_free(certificate);
    if (SSL_set_ex_data(ssl, guard_index, watched) == 1)
        return watched;
    free(watched);
    return NULL;
}

int __wrap_SSL_read(SSL *ssl, void *out, int len)
{
    int got = __real_SSL_read(ssl, out, len);
    struct watched_tls *watched = got > 0 && SSL_is_server(ssl) == 1 ? watched_of(ssl) : NULL;
    if (watched == NULL)
        return got;
    const struct allowance allowance = {
        .own = &watched->resets,
        .each_ns = watched->known ? KNOWN_EACH_NS : TLS_OWN_EACH_NS,
        .burst = watched->known ? KNOWN_BURST : TLS_OWN_BURST,
        .common = !watched->known,
    };
    if (feed(&watched->guard, &allowance, out, (size_t)got))
        return got;
    ERR_raise(ERR_LIB_USER, ERR_R_OPERATION_FAIL); /* which SSL_get_error() finds */
    return -1;
}
