// SPDX-License-Identifier: Apache-2.0
#include "agent/service/service_internal.h"

#include "base/signal_name.h"
#include "base/utf8.h"

#include <string.h>

Google__Protobuf__Duration *duration_to_wire(struct osa_arena *arena, int64_t ns)
{
    Google__Protobuf__Duration value = GOOGLE__PROTOBUF__DURATION__INIT;
    ns = OSA_MAX(ns, (int64_t)0);
    value.seconds = ns / OSA_NS_PER_SEC;
    value.nanos = (int32_t)(ns % OSA_NS_PER_SEC);
    return osa_arena_copy(arena, &value, sizeof(value));
}

Google__Protobuf__Timestamp *timestamp_to_wire(struct osa_arena *arena, int64_t wall_ns)
{
    Google__Protobuf__Timestamp value = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    if (wall_ns <= 0)
        return NULL;
    value.seconds = wall_ns / OSA_NS_PER_SEC;
    value.nanos = (int32_t)(wall_ns % OSA_NS_PER_SEC);
    return osa_arena_copy(arena, &value, sizeof(value));
}

V1(Resources) * resources_to_wire(struct osa_arena *arena, const struct resources *limits)
{
    V1(Resources) *wire = V1_NEW(arena, Resources, RESOURCES);
    wire->cpu_millis = limits->cpu_millis;
    wire->memory_bytes = limits->memory_bytes;
    wire->pids_max = limits->pids_max;
    wire->disk_bytes = limits->disk_bytes;
    return wire;
}

/* Names of the bits that are set, in the order of the table. */
static char **names_of(struct osa_arena *arena, unsigned bits, const char *const *names,
                       size_t count, size_t *ret_count)
{
    char **list = osa_arena_alloc(arena, count * sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if ((bits & 1u << i) != 0)
            list[n++] = (char *)names[i];
    }
    *ret_count = n;
    return list;
}

char **namespaces_to_wire(struct osa_arena *arena, unsigned bits, size_t *ret_count)
{
    static const char *const names[] = { "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" };
    return names_of(arena, bits, names, OSA_ARRAY_LEN(names), ret_count);
}

char **words_to_wire(struct osa_arena *arena, const char *text, size_t *ret_count)
{
    char *rest = (char *)osa_arena_strdup(arena, text);
    char **list = osa_arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof(*list));
    size_t n = 0;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        list[n++] = word;
    *ret_count = n;
    return list;
}

char **sentences_to_wire(struct osa_arena *arena, const char *text, size_t size, size_t *ret_count)
{
    const char *at = text;
    const char *end = at + size;
    char **list = osa_arena_alloc(arena, size / 2 * sizeof(*list));
    size_t n = 0;
    while (at < end && *at != '\0') {
        size_t len = strnlen(at, (size_t)(end - at));
        list[n++] = (char *)osa_arena_printf(arena, "%.*s", (int)len, at);
        at += len + 1;
    }
    *ret_count = n;
    return list;
}

V1(Isolation) * isolation_to_wire(struct osa_arena *arena, const struct isolation *isolation)
{
    static const char *const networks[] = { "host", "none", "proxy" };
    static const char *const kills[] = { "sweep", "cgroup", "pid_namespace", "vm" };
    static const char *const limits[] = { "cpu", "memory", "pids", "disk" };
    V1(Isolation) *wire = V1_NEW(arena, Isolation, ISOLATION);
    wire->level = (V1(IsolationLevel))isolation->level;
    wire->namespaces = namespaces_to_wire(arena, isolation->namespaces, &wire->n_namespaces);
    wire->landlock = V1_NEW(arena, LandlockStatus, LANDLOCK_STATUS);
    wire->landlock->abi = isolation->landlock_abi;
    wire->landlock->rules_applied = isolation->landlock_applied;
    wire->landlock->rules_skipped = isolation->landlock_skipped;
    wire->landlock->compatibility =
        (char *)(isolation->landlock_hard ? "hard_requirement" : "best_effort");
    wire->seccomp_profile =
        (char *)(isolation->seccomp_profile != NULL ? isolation->seccomp_profile : "");
    wire->no_new_privs = isolation->no_new_privs;
    wire->capabilities_dropped = isolation->capabilities_dropped;
    wire->network = (char *)networks[isolation->network];
    wire->cgroup_version = isolation->cgroup_version;
    wire->enforced_limits = names_of(arena, isolation->enforced_limits, limits,
                                     OSA_ARRAY_LEN(limits), &wire->n_enforced_limits);
    wire->degraded = sentences_to_wire(arena, isolation->degraded, sizeof(isolation->degraded),
                                       &wire->n_degraded);
    wire->tree_kill = (char *)kills[isolation->tree_kill];
    return wire;
}

static V1(Usage) * usage_to_wire(struct osa_arena *arena, const struct process_usage *usage)
{
    V1(Usage) *wire = V1_NEW(arena, Usage, USAGE);
    wire->wall = duration_to_wire(arena, usage->wall_ns);
    wire->user = duration_to_wire(arena, usage->user_ns);
    wire->system = duration_to_wire(arena, usage->system_ns);
    wire->peak_memory_bytes = usage->peak_memory_bytes;
    wire->read_bytes = usage->read_bytes;
    wire->write_bytes = usage->write_bytes;
    wire->voluntary_switches = usage->voluntary_switches;
    wire->involuntary_switches = usage->involuntary_switches;
    wire->minor_faults = usage->minor_faults;
    wire->major_faults = usage->major_faults;
    return wire;
}

V1(Exit) * exit_to_wire(struct osa_arena *arena, const struct process_exit *exit)
{
    V1(Exit) *wire = V1_NEW(arena, Exit, EXIT);
    char *name = osa_arena_alloc(arena, OSA_SIGNAL_NAME_SIZE);
    osa_signal_name(exit->signal, name);
    wire->reason = (V1(Exit__Reason))exit->reason;
    wire->code = exit->code;
    wire->signal = exit->signal;
    wire->signal_name = name;
    wire->core_dumped = exit->core_dumped;
    wire->usage = usage_to_wire(arena, &exit->usage);
    wire->exited_at = timestamp_to_wire(arena, exit->exited_wall_ns);
    wire->oom_kills = exit->oom_kills;
    return wire;
}

static void *arena_allocator(void *arena, size_t size)
{
    return osa_arena_alloc(arena, size);
}

static void arena_no_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

/* What fill_sandbox() or fill_process() packed; it was a message before, so it unpacks. */
static ProtobufCMessage *spec_to_wire(struct osa_arena *arena,
                                      const ProtobufCMessageDescriptor *type,
                                      const struct spec_blob *blob)
{
    ProtobufCAllocator allocator = { arena_allocator, arena_no_free, arena };
    return protobuf_c_message_unpack(type, &allocator, blob->len, blob->data);
}

V1(Sandbox) * sandbox_to_wire(struct osa_arena *arena, const struct sandbox *sandbox)
{
    V1(Sandbox) *wire = V1_NEW(arena, Sandbox, SANDBOX);
    wire->sandbox_id = (char *)sandbox->id;
    wire->state = (V1(Sandbox__State))sandbox->state;
    wire->spec = (V1(SandboxSpec) *)spec_to_wire(
        arena, &openshell__agent__v1__sandbox_spec__descriptor, &sandbox->request->wire);
    if (wire->spec == NULL)
        wire->spec = V1_NEW(arena, SandboxSpec, SANDBOX_SPEC);
    wire->spec->runtime = (V1(RuntimeKind))sandbox->kind;
    wire->isolation = isolation_to_wire(arena, &sandbox->isolation);
    wire->effective_resources = resources_to_wire(arena, &sandbox->limits);
    wire->created_at = timestamp_to_wire(arena, sandbox->created_wall_ns);
    wire->processes = sandbox->live;
    wire->ephemeral = sandbox->ephemeral;
    wire->message = (char *)sandbox->message;
    return wire;
}

/* Command lines of sessions are bytes; a message's strings are not. */
static char *text_to_wire(struct osa_arena *arena, const char *text)
{
    char *copy = osa_arena_copy(arena, text, strlen(text) + 1);
    for (char *p = copy; *p != '\0';) {
        size_t len = osa_utf8_length(p, strlen(p));
        if (len == 0)
            *p = '?';
        p += len > 0 ? len : 1;
    }
    return copy;
}

/* The spec of a process that the agent itself started, which no message asked for. */
static void own_spec_to_wire(struct osa_arena *arena, const struct process_request *request,
                             V1(ProcessSpec) * spec)
{
    spec->argv = osa_arena_alloc(arena, (request->argc + 1) * sizeof(*spec->argv));
    for (size_t i = 0; i < request->argc; i++)
        spec->argv[spec->n_argv++] = text_to_wire(arena, request->argv[i]);
    spec->cwd = text_to_wire(arena, request->cwd);
    spec->stdin = request->stdin_open;
    if (request->tty)
        spec->tty = V1_NEW(arena, Terminal, TERMINAL);
}

V1(Process) * process_to_wire(struct osa_arena *arena, const struct process *process)
{
    V1(Process) *wire = V1_NEW(arena, Process, PROCESS);
    bool exited = process->state == PROCESS_EXITED;
    wire->process_id = (char *)process->id;
    wire->sandbox_id = (char *)process->sandbox_id;
    wire->state =
        exited ? V1_ENUM(PROCESS__STATE__STATE_EXITED) : V1_ENUM(PROCESS__STATE__STATE_RUNNING);
    wire->spec = (V1(ProcessSpec) *)spec_to_wire(
        arena, &openshell__agent__v1__process_spec__descriptor, &process->request->wire);
    if (process->request->wire.data == NULL && wire->spec != NULL)
        own_spec_to_wire(arena, process->request, wire->spec);
    wire->started_at = timestamp_to_wire(arena, process->started_wall_ns);
    wire->exit = exited ? exit_to_wire(arena, &process->exit) : NULL;
    wire->effective_resources = resources_to_wire(arena, &process->limits);
    wire->runtime = (V1(RuntimeKind))process->kind;
    wire->output_bytes = process->log.end;
    wire->output_first = process->log.first;
    wire->output_held = process->held;
    wire->isolation = isolation_to_wire(arena, &process->isolation);
    return wire;
}

V1(Event) *
    event_to_wire(struct osa_arena *arena, const struct event *event, const char *instance_id)
{
    V1(Event) *wire = V1_NEW(arena, Event, EVENT);
    wire->sequence = event->sequence;
    wire->at = timestamp_to_wire(arena, event->wall_ns);
    wire->type = (V1(Event__Type))event->type;
    wire->sandbox_id = (char *)event->sandbox_id;
    wire->process_id = (char *)event->process_id;
    wire->exit = event->exit != NULL ? exit_to_wire(arena, event->exit) : NULL;
    wire->message = (char *)event->message;
    wire->instance_id = (char *)instance_id;
    if (event->control[0] != '\0') {
        V1(Event__AttributesEntry) *pair =
            V1_NEW(arena, Event__AttributesEntry, EVENT__ATTRIBUTES_ENTRY);
        pair->key = (char *)"control";
        pair->value = (char *)event->control;
        wire->attributes = osa_arena_copy(arena, &pair, sizeof(pair));
        wire->n_attributes = 1;
    }
    return wire;
}
