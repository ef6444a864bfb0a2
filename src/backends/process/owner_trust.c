// SPDX-License-Identifier: Apache-2.0
/* Executables as they were at their first use, and the sockets that the kernel knows. */
#include "backends/process/owner_internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "io/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(OWNER_DIGEST_SIZE == IO_SHA256_SIZE, "digests are SHA-256");

/* ---- executables ---- */

static int64_t in_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * OSA_NS_PER_SEC + t.tv_nsec;
}

/* Nothing of it has changed since its digest was taken, as far as the file system tells. */
static bool unchanged(const struct trusted *known, const struct stat *st)
{
    return known->device == st->st_dev && known->inode == st->st_ino &&
           known->size == (uint64_t)st->st_size && known->modified_ns == in_ns(st->st_mtim) &&
           known->changed_ns == in_ns(st->st_ctim);
}

static void note_file(struct trusted *known, const struct stat *st)
{
    known->device = st->st_dev;
    known->inode = st->st_ino;
    known->size = (uint64_t)st->st_size;
    known->modified_ns = in_ns(st->st_mtim);
    known->changed_ns = in_ns(st->st_ctim);
}

static void first_use(struct trusted **trusted, const char *path, const struct stat *st,
                      const uint8_t digest[OWNER_DIGEST_SIZE])
{
    size_t len = strlen(path);
    struct trusted *known = calloc(1, sizeof(*known) + len + 1);
    if (known == NULL)
        abort();
    memcpy(known->path, path, len + 1);
    memcpy(known->digest, digest, OWNER_DIGEST_SIZE);
    note_file(known, st);
    HASH_ADD_KEYPTR(hh, *trusted, known->path, len, known);
}

enum osa_code owner_trust(struct trusted **trusted, int proc_fd, const char *path,
                          uint8_t ret_digest[OWNER_DIGEST_SIZE], struct osa_error *err)
{
    struct stat st;
    struct trusted *known;
    HASH_FIND_STR(*trusted, path, known);
    OSA_AUTO(osa_close_fd) int fd = openat(proc_fd, "exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return osa_fail(err, OSA_NOT_FOUND, errno, "executable %s cannot be read", path);
    if (known != NULL && unchanged(known, &st)) {
        memcpy(ret_digest, known->digest, OWNER_DIGEST_SIZE);
        return OSA_OK;
    }
    int rc = io_sha256_file(fd, ret_digest);
    if (rc < 0)
        return osa_fail(err, OSA_NOT_FOUND, -rc, "executable %s cannot be read", path);
    if (known == NULL)
        first_use(trusted, path, &st, ret_digest);
    else if (memcmp(known->digest, ret_digest, OWNER_DIGEST_SIZE) != 0)
        return osa_fail(err, OSA_DATA_LOSS, 0,
                        "executable %s has changed since its first use in this sandbox", path);
    else
        note_file(known, &st);
    return OSA_OK;
}

void owner_trust_free(struct trusted **trusted)
{
    struct trusted *known;
    struct trusted *next;
    HASH_ITER(hh, *trusted, known, next)
    {
        HASH_DEL(*trusted, known);
        free(known);
    }
}

/* ---- sockets ---- */

struct request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

static void fill_ids(const struct door_visit *visit, struct inet_diag_sockid *id)
{
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (visit->client.ss_family == AF_INET) {
        struct sockaddr_in ends[2];
        memcpy(&ends[0], &visit->client, sizeof(ends[0]));
        memcpy(&ends[1], &visit->proxy, sizeof(ends[1]));
        id->idiag_sport = ends[0].sin_port;
        id->idiag_dport = ends[1].sin_port;
        memcpy(id->idiag_src, &ends[0].sin_addr, sizeof(ends[0].sin_addr));
        memcpy(id->idiag_dst, &ends[1].sin_addr, sizeof(ends[1].sin_addr));
    } else {
        struct sockaddr_in6 ends[2];
        memcpy(&ends[0], &visit->client, sizeof(ends[0]));
        memcpy(&ends[1], &visit->proxy, sizeof(ends[1]));
        id->idiag_sport = ends[0].sin6_port;
        id->idiag_dport = ends[1].sin6_port;
        memcpy(id->idiag_src, &ends[0].sin6_addr, sizeof(ends[0].sin6_addr));
        memcpy(id->idiag_dst, &ends[1].sin6_addr, sizeof(ends[1].sin6_addr));
    }
}

/*
 * One socket by both its ends, which the kernel looks up in its table of connections; it answers
 * before sendto(2) returns.
 */
enum osa_code owner_inode(int diag_fd, const struct door_visit *visit, uint64_t *ret_inode,
                          struct osa_error *err)
{
    static uint32_t sequence;
    struct request request = {
        .head = { .nlmsg_len = sizeof(request),
                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                  .nlmsg_flags = NLM_F_REQUEST,
                  .nlmsg_seq = ++sequence },
        .body = { .sdiag_family = (uint8_t)visit->client.ss_family,
                  .sdiag_protocol = IPPROTO_TCP,
                  .idiag_states = ~0u },
    };
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    _Alignas(struct nlmsghdr) char answer[4096];
    fill_ids(visit, &request.body.id);
    if (sendto(diag_fd, &request, sizeof(request), 0, (const struct sockaddr *)&kernel,
               sizeof(kernel)) < 0)
        return osa_fail(err, OSA_NOT_FOUND, errno, "sock_diag does not answer");
    for (;;) {
        ssize_t n = recv(diag_fd, answer, sizeof(answer), MSG_DONTWAIT);
        if (n < (ssize_t)sizeof(struct nlmsghdr))
            return osa_fail(err, OSA_NOT_FOUND, n < 0 ? errno : 0, "sock_diag does not answer");
        const struct nlmsghdr *head = (const void *)answer;
        if (head->nlmsg_seq != request.head.nlmsg_seq)
            continue; /* of an earlier question */
        if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
            n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return osa_fail(err, OSA_NOT_FOUND, 0, "the client's socket is gone");
        const struct inet_diag_msg *found = NLMSG_DATA(answer);
        if (found->idiag_inode == 0)
            return osa_fail(err, OSA_NOT_FOUND, 0, "nobody holds the client's socket any more");
        *ret_inode = found->idiag_inode;
        return OSA_OK;
    }
}
