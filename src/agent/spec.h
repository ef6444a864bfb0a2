// SPDX-License-Identifier: Apache-2.0
/*
 * What a client asked for, as domain structs that own their memory, and the rules that they obey.
 *
 * The service fills them from the wire; these functions judge them. Text is never NULL; lists are
 * NULL-terminated. The messages of failures begin with the request field and say what to change.
 */
#pragma once

#include "backends/backend.h"
#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of what a client may send. */
enum {
    SPEC_LABELS_MAX = 64,
    SPEC_LABEL_BYTES = 253,  /* as a Kubernetes label's prefix */
    SPEC_KEY_BYTES = 255,    /* idempotency keys */
    SPEC_PATH_BYTES = 4095,  /* PATH_MAX without its NUL */
    SPEC_ARG_BYTES = 131071, /* Linux MAX_ARG_STRLEN without its NUL: one string of argv or env */
    SPEC_GROUPS_MAX = 64,
    SPEC_IMAGE_BYTES = 1024,
    SPEC_USER_BYTES = 256,
};
/* Longest time that a client may name: ten years. Keeps sums of deadlines inside int64_t. */
#define SPEC_DURATION_MAX_NS (10 * 366 * 86400 * OSA_NS_PER_SEC)

struct spec_pair {
    const char *key;
    const char *value;
};

struct spec_pairs {
    struct spec_pair *items;
    size_t count;
};

/* The request as sent, for replies: opaque here, the service's to read. */
struct spec_blob {
    const void *data;
    size_t len;
};

/**
 * struct spec_idempotency - A client's key and what it stands for
 * @key:    "" for none
 * @digest: of the request's canonical bytes
 */
struct spec_idempotency {
    const char *key;
    uint8_t digest[32];
};

struct provider_env;

/**
 * struct sandbox_request - CreateSandbox, or the sandbox half of a Spawn without one
 * @arena:  holds this struct itself and all that it points to
 * @id:     "" for one that the agent makes
 * @changes: as in struct sandbox_spec; never from a client
 * @policy: owned reference; NULL for the agent's default
 * @providers: what its proxy may exchange placeholders for; borrowed, outlives the sandbox; NULL
 * @idle_timeout_ns: 0 for none
 */
struct sandbox_request {
    struct osa_arena arena;
    const char *id;
    enum runtime_kind kind;
    const char *image;
    const char *root;
    const char *changes;
    const struct policy_document *policy;
    const struct provider_env *providers;
    struct resources resources;
    struct spec_pairs labels;
    const char *workdir;
    struct spec_pairs env;
    const char *user;
    const char *seccomp_profile;
    enum isolation_level min_isolation;
    int64_t idle_timeout_ns;
    struct spec_idempotency idempotency;
    struct spec_blob wire;
};

struct spec_rlimit {
    const char *type;
    uint64_t soft;
    uint64_t hard;
};

/**
 * struct process_request - Spawn
 * @arena:      as above
 * @sandbox_id: "" as in the .proto
 * @tty_size:   only with @tty
 * @timeout_ns: 0 for none
 * @hold_output_ns: how long output waits for the first follower; 0: not at all
 * @reserved_names: names in @env may begin OPENSHELL_: it is the agent's own process
 * @sandbox_fields: one of the fields below it was given, which only a Spawn without sandbox may;
 *              names the first such field, NULL when there is none
 */
struct process_request {
    struct osa_arena arena;
    const char *sandbox_id;
    const char **argv;
    size_t argc;
    struct spec_pairs env;
    bool reserved_names;
    const char *cwd;
    const char *user;
    const char **groups;
    size_t group_count;
    bool tty;
    struct terminal_size tty_size;
    const char *term;
    bool stdin_open;
    struct spec_rlimit *rlimits;
    size_t rlimit_count;
    int64_t timeout_ns;
    struct resources resources;
    struct spec_pairs labels;
    uint64_t output_retain_bytes;
    int64_t hold_output_ns;
    const char *sandbox_fields;
    enum runtime_kind kind;
    const char *image;
    const char *root;
    const struct policy_document *policy; /* owned reference */
    const char *seccomp_profile;
    enum isolation_level min_isolation;
    struct spec_idempotency idempotency;
    struct spec_blob wire;
};

/**
 * struct spec_rules - Bounds that are the agent's configuration
 * @max_exec_bytes:      argv and env together, pointers counted as the kernel does
 * @output_retain_bytes: default; a request may have 16 times that
 * @allow_loader_env:    let LD_PRELOAD and its like through
 */
struct spec_rules {
    size_t max_exec_bytes;
    uint64_t output_retain_bytes;
    bool allow_loader_env;
};

/** sandbox_request_new() - An empty one: every text "", every list empty */
struct sandbox_request *sandbox_request_new(void);
/** sandbox_request_free() - NULL is fine */
void sandbox_request_free(struct sandbox_request *request);
/** process_request_new() - As sandbox_request_new() */
struct process_request *process_request_new(void);
/** process_request_free() - NULL is fine */
void process_request_free(struct process_request *request);

/** sandbox_request_check() - INVALID_ARGUMENT with the field ("spec.workdir") unless it can be tried */
OSA_MUST_CHECK enum osa_code sandbox_request_check(const struct sandbox_request *request,
                                                   const struct spec_rules *rules,
                                                   struct osa_error *err);

/** process_request_check() - As sandbox_request_check() */
OSA_MUST_CHECK enum osa_code process_request_check(const struct process_request *request,
                                                   const struct spec_rules *rules,
                                                   struct osa_error *err);

/**
 * sandbox_request_check_backend() - Can this backend honour what is asked?
 * Return: OSA_OK; UNAVAILABLE; FAILED_PRECONDITION with the field: nothing is dropped silently.
 */
OSA_MUST_CHECK enum osa_code sandbox_request_check_backend(const struct sandbox_request *request,
                                                           enum runtime_kind kind,
                                                           const struct backend_info *info,
                                                           struct osa_error *err);

/** process_request_check_backend() - The same for a process; @inside: in a sandbox that exists */
OSA_MUST_CHECK enum osa_code process_request_check_backend(const struct process_request *request,
                                                           bool inside, enum runtime_kind kind,
                                                           const struct backend_info *info,
                                                           struct osa_error *err);

/** spec_check_limits() - Are the limits in range for the kind and enforceable? @field: "resources" */
OSA_MUST_CHECK enum osa_code spec_check_limits(const struct resources *limits,
                                               enum runtime_kind kind, uint32_t capabilities,
                                               const char *field, struct osa_error *err);

/** spec_check_user() - "", "name", "uid", "name:group" or "uid:gid"? */
OSA_MUST_CHECK enum osa_code spec_check_user(const char *user, const char *field,
                                             struct osa_error *err);

/** spec_check_path() - Absolute, no longer than a path may be? */
OSA_MUST_CHECK enum osa_code spec_check_path(const char *path, const char *field,
                                             struct osa_error *err);

/** spec_check_labels() - Counts, lengths, no control characters, no key twice? */
OSA_MUST_CHECK enum osa_code spec_check_labels(const struct spec_pairs *labels, const char *field,
                                               struct osa_error *err);

/** spec_rlimit_number() - RLIMIT_* of "nofile" and so on; -1 for an unknown name */
int spec_rlimit_number(const char *type);

/** spec_labels_match() - Does @have hold every pair of @want? */
bool spec_labels_match(const struct spec_pairs *have, const struct spec_pairs *want);

/**
 * spec_environment() - "KEY=VALUE" strings of a process, complete
 * A process's own entries win over the sandbox's, which win over @defaults; PATH, and TERM on a
 * terminal, get defaults too.
 * @arena: holds the result
 */
strlist spec_environment(struct osa_arena *arena, const struct spec_pairs *defaults,
                         const struct spec_pairs *sandbox_env,
                         const struct process_request *process);
