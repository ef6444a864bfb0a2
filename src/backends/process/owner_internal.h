// SPDX-License-Identifier: Apache-2.0
/* What owner.c, owner_find.c and owner_trust.c share; for them alone. */
#pragma once

#include "backends/process/owner.h"
#include "base/arena.h"

#include <limits.h>
#include <uthash.h>

/* An executable as it was when it was first seen. */
struct trusted {
    UT_hash_handle hh; /* by path */
    uint64_t device, inode, size;
    int64_t modified_ns, changed_ns;
    uint8_t digest[OWNER_DIGEST_SIZE];
    char path[];
};

/**
 * struct owner_answer - What a search found
 * @arena: holds the strings
 */
struct owner_answer {
    struct door_owner owner;
    const char *ancestors[OWNER_ANCESTORS_MAX + 1];
    struct osa_arena arena;
};

/**
 * owner_search() - Find the process; blocking
 * @diag_fd: see owners_new()
 * @trusted: the table of the sandbox; grows
 * Thread: worker. Return: see owner_fn
 */
OSA_MUST_CHECK enum osa_code owner_search(int diag_fd, struct trusted **trusted, pid_t init,
                                          const struct door_visit *visit,
                                          struct owner_answer *ret_answer, struct osa_error *err);

/**
 * owner_trust() - Check an executable against its first use
 * @proc_fd: directory of the process in /proc
 * @path:    as shown to people and to the policy
 * Return: OSA_OK; DATA_LOSS: its bytes differ from those of its first use; NOT_FOUND: it cannot be read.
 */
OSA_MUST_CHECK enum osa_code owner_trust(struct trusted **trusted, int proc_fd, const char *path,
                                         uint8_t ret_digest[OWNER_DIGEST_SIZE],
                                         struct osa_error *err);

/** owner_trust_free() - The whole table */
void owner_trust_free(struct trusted **trusted);

/** owner_inode() - Number of the client's socket of a connection. Return: OSA_OK; NOT_FOUND */
OSA_MUST_CHECK enum osa_code owner_inode(int diag_fd, const struct door_visit *visit,
                                         uint64_t *ret_inode, struct osa_error *err);
