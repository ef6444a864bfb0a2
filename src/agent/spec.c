// SPDX-License-Identifier: Apache-2.0
#include "agent/spec.h"

#include "base/clock.h"
#include "policy/document.h"

#include <string.h>
#include <sys/resource.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_TERM "xterm-256color"

static const struct {
    const char *name;
    int number;
} rlimit_names[] = {
    { "as", RLIMIT_AS },
    { "core", RLIMIT_CORE },
    { "cpu", RLIMIT_CPU },
    { "data", RLIMIT_DATA },
    { "fsize", RLIMIT_FSIZE },
#ifdef __linux__
    { "locks", RLIMIT_LOCKS },
#endif
    { "memlock", RLIMIT_MEMLOCK },
#ifdef __linux__
    { "msgqueue", RLIMIT_MSGQUEUE },
    { "nice", RLIMIT_NICE },
#endif
    { "nofile", RLIMIT_NOFILE },
    { "nproc", RLIMIT_NPROC },
    { "rss", RLIMIT_RSS },
#ifdef __linux__
    { "rtprio", RLIMIT_RTPRIO },
    { "rttime", RLIMIT_RTTIME },
    { "sigpending", RLIMIT_SIGPENDING },
#endif
    { "stack", RLIMIT_STACK },
};

int spec_rlimit_number(const char *type)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(rlimit_names); i++) {
        if (strcmp(type, rlimit_names[i].name) == 0)
            return rlimit_names[i].number;
    }
    return -1;
}

static const char *const no_strings[1] = { NULL };

struct sandbox_request *sandbox_request_new(void)
{
    struct osa_arena arena = { 0 };
    struct sandbox_request *request = osa_arena_alloc(&arena, sizeof(*request));
    *request = (struct sandbox_request){
        .arena = arena,
        .id = "",
        .image = "",
        .root = "",
        .changes = "",
        .workdir = "",
        .user = "",
        .seccomp_profile = "",
        .idempotency.key = "",
    };
    return request;
}

void sandbox_request_free(struct sandbox_request *request)
{
    if (request == NULL)
        return;
    policy_document_unref(request->policy);
    struct osa_arena arena = request->arena; /* which holds the request itself */
    osa_arena_done(&arena);
}

struct process_request *process_request_new(void)
{
    struct osa_arena arena = { 0 };
    struct process_request *request = osa_arena_alloc(&arena, sizeof(*request));
    *request = (struct process_request){
        .arena = arena,
        .sandbox_id = "",
        .argv = (const char **)no_strings,
        .cwd = "",
        .user = "",
        .groups = (const char **)no_strings,
        .term = "",
        .image = "",
        .root = "",
        .seccomp_profile = "",
        .idempotency.key = "",
    };
    return request;
}

void process_request_free(struct process_request *request)
{
    if (request == NULL)
        return;
    policy_document_unref(request->policy);
    struct osa_arena arena = request->arena;
    osa_arena_done(&arena);
}

bool spec_labels_match(const struct spec_pairs *have, const struct spec_pairs *want)
{
    for (size_t i = 0; i < want->count; i++) {
        bool found = false;
        for (size_t k = 0; k < have->count && !found; k++)
            found = strcmp(have->items[k].key, want->items[i].key) == 0 &&
                    strcmp(have->items[k].value, want->items[i].value) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool has_key(const struct spec_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].key, key) == 0)
            return true;
    }
    return false;
}

strlist spec_environment(struct osa_arena *arena, const struct spec_pairs *defaults,
                         const struct spec_pairs *sandbox_env,
                         const struct process_request *process)
{
    const struct spec_pairs *own = &process->env;
    size_t room = defaults->count + sandbox_env->count + own->count + 3;
    const char **list = osa_arena_alloc(arena, room * sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < defaults->count; i++) {
        const struct spec_pair *pair = &defaults->items[i];
        if (!has_key(own, pair->key) && !has_key(sandbox_env, pair->key))
            list[n++] = osa_arena_printf(arena, "%s=%s", pair->key, pair->value);
    }
    for (size_t i = 0; i < sandbox_env->count; i++) {
        const struct spec_pair *pair = &sandbox_env->items[i];
        if (!has_key(own, pair->key))
            list[n++] = osa_arena_printf(arena, "%s=%s", pair->key, pair->value);
    }
    for (size_t i = 0; i < own->count; i++)
        list[n++] = osa_arena_printf(arena, "%s=%s", own->items[i].key, own->items[i].value);
    if (!has_key(own, "PATH") && !has_key(sandbox_env, "PATH"))
        list[n++] = "PATH=" DEFAULT_PATH;
    if (process->tty && !has_key(own, "TERM")) {
        const char *term = process->term[0] != '\0' ? process->term : DEFAULT_TERM;
        if (process->term[0] != '\0' || !has_key(sandbox_env, "TERM"))
            list[n++] = osa_arena_printf(arena, "TERM=%s", term);
    }
    list[n] = NULL;
    return list;
}
