// SPDX-License-Identifier: Apache-2.0
#include "agent/output_hold.h"
#include "agent/service/service_internal.h"

#include "io/digest.h"
#include "wire/policy_wire.h"

#include <string.h>

enum osa_code duration_from_wire(const Google__Protobuf__Duration *wire, const char *field,
                                 int64_t absent, int64_t *ret_ns, struct osa_error *err)
{
    if (wire == NULL) {
        *ret_ns = absent;
        return OSA_OK;
    }
    if (wire->nanos <= -OSA_NS_PER_SEC || wire->nanos >= OSA_NS_PER_SEC || wire->seconds < 0 ||
        wire->nanos < 0)
        return osa_fail_field(err, field, "is negative or has too many nanoseconds");
    if (wire->seconds > SPEC_DURATION_MAX_NS / OSA_NS_PER_SEC - 1)
        return osa_fail_field(err, field, "is longer than ten years");
    *ret_ns = wire->seconds * OSA_NS_PER_SEC + wire->nanos;
    return OSA_OK;
}

struct resources resources_from_wire(const V1(Resources) * wire)
{
    if (wire == NULL)
        return (struct resources){ 0 };
    return (struct resources){
        .cpu_millis = wire->cpu_millis,
        .memory_bytes = wire->memory_bytes,
        .pids_max = wire->pids_max,
        .disk_bytes = wire->disk_bytes,
    };
}

/* Every map<string, string> has entries of this form, under its own name. */
typedef V1(ProcessSpec__EnvEntry) Pair;

struct spec_pairs pairs_from_wire(struct osa_arena *arena, const void *entries, size_t count)
{
    const Pair *const *wire = entries;
    struct spec_pair *items = osa_arena_alloc(arena, (count + 1) * sizeof(*items));
    for (size_t i = 0; i < count; i++)
        items[i] = (struct spec_pair){ osa_arena_strdup(arena, wire[i]->key),
                                       osa_arena_strdup(arena, wire[i]->value) };
    return (struct spec_pairs){ items, count };
}

static const char **strings_from_wire(struct osa_arena *arena, char *const *strings, size_t count)
{
    const char **list = osa_arena_alloc(arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < count; i++)
        list[i] = osa_arena_strdup(arena, strings[i]);
    return list;
}

/* Packs a spec with empty values in its environment: secrets travel there. */
static struct spec_blob keep(struct osa_arena *arena, const ProtobufCMessage *spec,
                             size_t env_offset, size_t env_count)
{
    struct osa_arena scratch = { 0 };
    ProtobufCMessage *copy = osa_arena_copy(&scratch, spec, spec->descriptor->sizeof_message);
    Pair ***env = (Pair ***)((char *)copy + env_offset);
    Pair **blank = osa_arena_alloc(&scratch, (env_count + 1) * sizeof(Pair *));
    for (size_t i = 0; i < env_count; i++) {
        blank[i] = osa_arena_copy(&scratch, (*env)[i], sizeof(Pair));
        blank[i]->value = (char *)protobuf_c_empty_string;
    }
    *env = blank;
    struct spec_blob blob = { .len = protobuf_c_message_get_packed_size(copy) };
    uint8_t *data = osa_arena_alloc(arena, blob.len);
    (void)protobuf_c_message_pack(copy, data);
    blob.data = data;
    osa_arena_done(&scratch);
    return blob;
}

static enum osa_code level_from_wire(V1(IsolationLevel) wire, enum isolation_level *ret_level,
                                     struct osa_error *err)
{
    if ((int)wire < ISOLATION_ANY || (int)wire > ISOLATION_VM)
        return osa_fail_field(err, "spec.min_isolation", "%d is not a known level", (int)wire);
    *ret_level = (enum isolation_level)wire;
    return OSA_OK;
}

static enum osa_code kind_from_wire(V1(RuntimeKind) wire, enum runtime_kind *ret_kind,
                                    struct osa_error *err)
{
    if ((int)wire < RUNTIME_KIND_DEFAULT || (int)wire >= RUNTIME_KIND_COUNT)
        return osa_fail_field(err, "spec.runtime", "%d is not a known runtime kind", (int)wire);
    *ret_kind = (enum runtime_kind)wire;
    return OSA_OK;
}

static struct spec_idempotency idempotency_from_wire(struct osa_arena *arena, const char *key,
                                                     const ProtobufCMessage *request)
{
    struct spec_idempotency result = { .key = osa_arena_strdup(arena, key) };
    if (key[0] != '\0')
        request_digest(request, result.digest);
    return result;
}

static enum osa_code fill_sandbox(struct sandbox_request *request, const V1(SandboxSpec) * spec,
                                  struct osa_error *err)
{
    struct osa_arena *arena = &request->arena;
    if (kind_from_wire(spec->runtime, &request->kind, err) != OSA_OK ||
        level_from_wire(spec->min_isolation, &request->min_isolation, err) != OSA_OK ||
        duration_from_wire(spec->idle_timeout, "spec.idle_timeout", 0, &request->idle_timeout_ns,
                           err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (spec->idle_timeout != NULL && request->idle_timeout_ns == 0)
        return osa_fail_field(err, "spec.idle_timeout", "is 0; leave it out for none");
    request->image = osa_arena_strdup(arena, spec->image);
    request->root = osa_arena_strdup(arena, spec->root);
    request->resources = resources_from_wire(spec->resources);
    request->labels = pairs_from_wire(arena, spec->labels, spec->n_labels);
    request->workdir = osa_arena_strdup(arena, spec->workdir);
    request->env = pairs_from_wire(arena, spec->env, spec->n_env);
    request->user = osa_arena_strdup(arena, spec->user);
    request->seccomp_profile = osa_arena_strdup(arena, spec->seccomp_profile);
    request->wire = keep(arena, &spec->base, offsetof(V1(SandboxSpec), env), spec->n_env);
    if (spec->policy != NULL)
        return policy_from_wire(spec->policy, "spec.policy", &request->policy, err);
    return OSA_OK;
}

enum osa_code sandbox_request_from_wire(const V1(CreateSandboxRequest) * wire,
                                        struct sandbox_request **ret_request, struct osa_error *err)
{
    const V1(SandboxSpec) none = V1_INIT(SANDBOX_SPEC);
    struct sandbox_request *request = sandbox_request_new();
    enum osa_code code = fill_sandbox(request, wire->spec != NULL ? wire->spec : &none, err);
    if (code != OSA_OK) {
        sandbox_request_free(request);
        return code;
    }
    request->id = osa_arena_strdup(&request->arena, wire->sandbox_id);
    request->idempotency =
        idempotency_from_wire(&request->arena, wire->idempotency_key, &wire->base);
    *ret_request = request;
    return OSA_OK;
}

/* The first field that only a Spawn without sandbox may carry. */
static const char *sandbox_field(const V1(ProcessSpec) * spec)
{
    if (spec->runtime != V1_ENUM(RUNTIME_KIND__RUNTIME_KIND_UNSPECIFIED))
        return "spec.runtime";
    if (spec->image[0] != '\0')
        return "spec.image";
    if (spec->policy != NULL)
        return "spec.policy";
    if (spec->seccomp_profile[0] != '\0')
        return "spec.seccomp_profile";
    if (spec->min_isolation != V1_ENUM(ISOLATION_LEVEL__ISOLATION_LEVEL_UNSPECIFIED))
        return "spec.min_isolation";
    if (spec->root[0] != '\0')
        return "spec.root";
    return NULL;
}

static enum osa_code fill_terminal(struct process_request *request, const V1(Terminal) * tty,
                                   struct osa_error *err)
{
    if (tty == NULL)
        return OSA_OK;
    request->tty = true;
    request->term = osa_arena_strdup(&request->arena, tty->term);
    if (tty->size == NULL)
        return OSA_OK;
    if (tty->size->rows > UINT16_MAX || tty->size->columns > UINT16_MAX)
        return osa_fail_field(err, "spec.tty.size", "rows and columns are 1 to 65535");
    request->tty_size =
        (struct terminal_size){ (uint16_t)tty->size->rows, (uint16_t)tty->size->columns };
    return OSA_OK;
}

static void fill_rlimits(struct process_request *request, const V1(ProcessSpec) * spec)
{
    request->rlimit_count = spec->n_rlimits;
    request->rlimits =
        osa_arena_alloc(&request->arena, (spec->n_rlimits + 1) * sizeof(*request->rlimits));
    for (size_t i = 0; i < spec->n_rlimits; i++)
        request->rlimits[i] = (struct spec_rlimit){
            .type = osa_arena_strdup(&request->arena, spec->rlimits[i]->type),
            .soft = spec->rlimits[i]->soft,
            .hard = spec->rlimits[i]->hard,
        };
}

static enum osa_code fill_process(struct process_request *request, const V1(ProcessSpec) * spec,
                                  struct osa_error *err)
{
    struct osa_arena *arena = &request->arena;
    if (kind_from_wire(spec->runtime, &request->kind, err) != OSA_OK ||
        level_from_wire(spec->min_isolation, &request->min_isolation, err) != OSA_OK ||
        duration_from_wire(spec->timeout, "spec.timeout", 0, &request->timeout_ns, err) != OSA_OK ||
        duration_from_wire(spec->hold_output, "spec.hold_output", 0, &request->hold_output_ns,
                           err) != OSA_OK ||
        fill_terminal(request, spec->tty, err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (spec->timeout != NULL && request->timeout_ns == 0)
        return osa_fail_field(err, "spec.timeout", "is 0; leave it out for none");
    if (spec->hold_output != NULL &&
        (request->hold_output_ns == 0 || request->hold_output_ns > OUTPUT_HOLD_FIRST_MAX_NS))
        return osa_fail_field(err, "spec.hold_output",
                              "is above 0 and at most an hour; leave it out for none");
    request->argv = strings_from_wire(arena, spec->argv, spec->n_argv);
    request->argc = spec->n_argv;
    request->env = pairs_from_wire(arena, spec->env, spec->n_env);
    request->cwd = osa_arena_strdup(arena, spec->cwd);
    request->user = osa_arena_strdup(arena, spec->user);
    request->groups = strings_from_wire(arena, spec->groups, spec->n_groups);
    request->group_count = spec->n_groups;
    request->stdin_open = spec->stdin;
    fill_rlimits(request, spec);
    request->resources = resources_from_wire(spec->resources);
    request->labels = pairs_from_wire(arena, spec->labels, spec->n_labels);
    request->output_retain_bytes = spec->output_retain_bytes;
    request->image = osa_arena_strdup(arena, spec->image);
    request->root = osa_arena_strdup(arena, spec->root);
    request->seccomp_profile = osa_arena_strdup(arena, spec->seccomp_profile);
    request->sandbox_fields = sandbox_field(spec);
    request->wire = keep(arena, &spec->base, offsetof(V1(ProcessSpec), env), spec->n_env);
    if (spec->policy != NULL)
        return policy_from_wire(spec->policy, "spec.policy", &request->policy, err);
    return OSA_OK;
}

enum osa_code process_request_from_wire(const V1(SpawnRequest) * wire,
                                        struct process_request **ret_request, struct osa_error *err)
{
    const V1(ProcessSpec) none = V1_INIT(PROCESS_SPEC);
    struct process_request *request = process_request_new();
    enum osa_code code = fill_process(request, wire->spec != NULL ? wire->spec : &none, err);
    if (code != OSA_OK) {
        process_request_free(request);
        return code;
    }
    request->sandbox_id = osa_arena_strdup(&request->arena, wire->sandbox_id);
    request->idempotency =
        idempotency_from_wire(&request->arena, wire->idempotency_key, &wire->base);
    *ret_request = request;
    return OSA_OK;
}
