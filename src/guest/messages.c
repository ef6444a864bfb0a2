// SPDX-License-Identifier: Apache-2.0
#include "guest/messages.h"

#include "base/json.h"
#include "policy/document.h"

#include <stdlib.h>
#include <string.h>

void guest_write_resources(struct osa_buf *buf, const struct resources *limits)
{
    codec_bytes(buf, limits, sizeof(*limits));
}

struct resources guest_read_resources(struct codec_reader *reader)
{
    struct resources limits;
    codec_read_bytes(reader, &limits, sizeof(limits));
    return limits;
}

/* ---- isolation ---- */

/* Field by field: what an untrusted peer sends is never a bool or a pointer of ours. */
void guest_write_isolation(struct osa_buf *buf, const struct isolation *isolation)
{
    const uint64_t numbers[] = {
        isolation->level,
        isolation->namespaces,
        isolation->landlock_abi,
        isolation->landlock_applied,
        isolation->landlock_skipped,
        isolation->landlock_hard,
        isolation->no_new_privs,
        isolation->capabilities_dropped,
        isolation->network,
        isolation->cgroup_version,
        isolation->enforced_limits,
        isolation->tree_kill,
    };
    codec_bytes(buf, numbers, sizeof(numbers));
    codec_text(buf, isolation->seccomp_profile);
    codec_bytes(buf, isolation->degraded, sizeof(isolation->degraded));
}

void guest_read_isolation(struct codec_reader *reader, struct isolation *ret)
{
    static const char *const profiles[] = { "default", "strict", "gpu" };
    uint64_t numbers[12];
    codec_read_bytes(reader, numbers, sizeof(numbers));
    if (numbers[0] > ISOLATION_VM || numbers[8] > NETWORK_PROXY || numbers[11] > TREE_KILL_VM)
        reader->failed = true;
    *ret = (struct isolation){ .namespaces = (unsigned)numbers[1],
                               .landlock_abi = (uint32_t)numbers[2],
                               .landlock_applied = (uint32_t)numbers[3],
                               .landlock_skipped = (uint32_t)numbers[4],
                               .landlock_hard = numbers[5] != 0,
                               .no_new_privs = numbers[6] != 0,
                               .capabilities_dropped = numbers[7] != 0,
                               .cgroup_version = (uint32_t)numbers[9],
                               .enforced_limits = (unsigned)numbers[10] };
    if (!reader->failed) {
        ret->level = (enum isolation_level)numbers[0];
        ret->network = (enum network_mode)numbers[8];
        ret->tree_kill = (enum tree_kill)numbers[11];
    }
    const char *profile = codec_read_text(reader);
    for (size_t i = 0; i < OSA_ARRAY_LEN(profiles); i++) {
        if (strcmp(profile, profiles[i]) == 0)
            ret->seccomp_profile = profiles[i];
    }
    codec_read_bytes(reader, ret->degraded, sizeof(ret->degraded));
    /* Two NULs end the sentences, whatever came. */
    ret->degraded[sizeof(ret->degraded) - 2] = '\0';
    ret->degraded[sizeof(ret->degraded) - 1] = '\0';
}

/* ---- exits ---- */

void guest_write_exit(struct osa_buf *buf, const struct process_exit *exit)
{
    const uint64_t numbers[] = { exit->reason, (uint64_t)exit->code, (uint64_t)exit->signal,
                                 exit->core_dumped, exit->oom_kills };
    codec_bytes(buf, numbers, sizeof(numbers));
    codec_bytes(buf, &exit->usage, sizeof(exit->usage));
}

void guest_read_exit(struct codec_reader *reader, struct process_exit *ret)
{
    uint64_t numbers[5];
    codec_read_bytes(reader, numbers, sizeof(numbers));
    *ret =
        (struct process_exit){ .core_dumped = numbers[3] != 0, .oom_kills = (uint32_t)numbers[4] };
    codec_read_bytes(reader, &ret->usage, sizeof(ret->usage));
    bool known = numbers[0] == EXIT_REASON_EXITED || numbers[0] == EXIT_REASON_SIGNALED ||
                 numbers[0] == EXIT_REASON_OOM_KILLED || numbers[0] == EXIT_REASON_SANDBOX_LOST;
    if (!known || numbers[1] > 255 || numbers[2] > 64 || reader->failed) {
        reader->failed = true;
        ret->reason = EXIT_REASON_SANDBOX_LOST;
        return;
    }
    ret->reason = (enum exit_reason)numbers[0];
    ret->code = (int)numbers[1];
    ret->signal = (int)numbers[2];
}

/* ---- sandboxes ---- */

static void write_list(struct osa_json *json, const char *key, const char *const *items,
                       size_t count)
{
    osa_json_key(json, key);
    osa_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        osa_json_text(json, items[i]);
    osa_json_close(json, ']');
}

/*
 * The parts of a policy that the inside of a box keeps to; JSON is YAML, too. Its network part is
 * the box's own business, which has no card.
 */
static void write_policy(struct osa_buf *buf, const struct policy_document *doc)
{
    struct osa_buf text;
    struct osa_json json;
    osa_buf_init(&text, POLICY_MAX_TEXT_BYTES);
    osa_json_init(&json, &text, /* pretty= */ true);
    osa_json_open(&json, '{');
    osa_json_key(&json, "version");
    osa_json_u64(&json, doc->version);
    osa_json_key(&json, "filesystem_policy");
    osa_json_open(&json, '{');
    osa_json_key(&json, "include_workdir");
    osa_json_bool(&json, doc->filesystem.include_workdir);
    write_list(&json, "read_only", doc->filesystem.read_only.items,
               doc->filesystem.read_only.count);
    write_list(&json, "read_write", doc->filesystem.read_write.items,
               doc->filesystem.read_write.count);
    osa_json_close(&json, '}');
    if (doc->landlock.given) {
        osa_json_key(&json, "landlock");
        osa_json_open(&json, '{');
        osa_json_key(&json, "compatibility");
        osa_json_text(&json, doc->landlock.hard_requirement ? "hard_requirement" : "best_effort");
        osa_json_close(&json, '}');
    }
    if (doc->process.given) {
        osa_json_key(&json, "process");
        osa_json_open(&json, '{');
        osa_json_key(&json, "run_as_user");
        osa_json_text(&json, doc->process.run_as_user);
        osa_json_key(&json, "run_as_group");
        osa_json_text(&json, doc->process.run_as_group);
        osa_json_close(&json, '}');
    }
    osa_json_close(&json, '}');
    if (text.failed)
        buf->failed = true;
    codec_text(buf, text.data);
    osa_buf_done(&text);
}

void guest_write_sandbox(struct osa_buf *buf, const struct sandbox_spec *spec,
                         const struct guest_file *files, size_t count)
{
    codec_text(buf, spec->id);
    codec_text(buf, spec->workdir);
    codec_text(buf, spec->user);
    codec_text(buf, spec->seccomp_profile);
    codec_list(buf, spec->env);
    write_policy(buf, spec->policy);
    codec_u64(buf, spec->proxy);
    codec_u64(buf, count);
    for (size_t i = 0; i < count; i++) {
        codec_text(buf, files[i].name);
        codec_bytes(buf, files[i].data, files[i].len);
    }
}

static void read_files(struct codec_reader *reader, struct guest_sandbox_spec *ret)
{
    uint64_t count = codec_read_u64(reader);
    if (count > OSA_ARRAY_LEN(ret->files))
        reader->failed = true;
    for (; ret->file_count < count && !reader->failed; ret->file_count++) {
        struct guest_file *file = &ret->files[ret->file_count];
        file->name = codec_read_text(reader);
        file->data = codec_read_block(reader, &file->len);
        if (file->name[0] == '.' || strchr(file->name, '/') != NULL ||
            strlen(file->name) > GUEST_FILE_NAME_MAX)
            reader->failed = true;
    }
}

void guest_read_sandbox(struct codec_reader *reader, struct guest_sandbox_spec *ret)
{
    *ret = (struct guest_sandbox_spec){ 0 };
    struct sandbox_spec *spec = &ret->spec;
    spec->id = codec_read_text(reader);
    spec->image = "";
    spec->root = "";
    spec->workdir = codec_read_text(reader);
    spec->user = codec_read_text(reader);
    spec->seccomp_profile = codec_read_text(reader);
    ret->env = codec_read_list(reader);
    spec->env = ret->env;
    ret->policy = codec_read_text(reader);
    spec->proxy = codec_read_u64(reader) != 0;
    spec->shared = "";
    read_files(reader, ret);
    if (spec->env == NULL)
        reader->failed = true;
}

void guest_sandbox_done(const struct guest_sandbox_spec *spec)
{
    free(spec->env);
}

/* ---- processes ---- */

void guest_write_process(struct osa_buf *buf, const struct process_spec *spec)
{
    codec_text(buf, spec->id);
    codec_list(buf, spec->argv);
    codec_list(buf, spec->env);
    codec_list(buf, spec->groups);
    codec_text(buf, spec->cwd);
    codec_text(buf, spec->user);
    codec_u64(buf, (spec->tty ? 1u : 0u) | (spec->stdin_open ? 2u : 0u));
    codec_bytes(buf, &spec->tty_size, sizeof(spec->tty_size));
    guest_write_resources(buf, &spec->resources);
    codec_u64(buf, spec->rlimit_count);
    for (size_t i = 0; i < spec->rlimit_count; i++)
        codec_bytes(buf, &spec->rlimits[i], sizeof(spec->rlimits[i]));
}

void guest_read_process(struct codec_reader *reader, struct guest_process_spec *ret)
{
    *ret = (struct guest_process_spec){ 0 };
    struct process_spec *spec = &ret->spec;
    spec->id = codec_read_text(reader);
    for (size_t i = 0; i < OSA_ARRAY_LEN(ret->lists); i++)
        ret->lists[i] = codec_read_list(reader);
    spec->argv = ret->lists[0];
    spec->env = ret->lists[1];
    spec->groups = ret->lists[2];
    spec->cwd = codec_read_text(reader);
    spec->user = codec_read_text(reader);
    uint64_t flags = codec_read_u64(reader);
    spec->tty = (flags & 1) != 0;
    spec->stdin_open = (flags & 2) != 0;
    codec_read_bytes(reader, &spec->tty_size, sizeof(spec->tty_size));
    spec->resources = guest_read_resources(reader);
    uint64_t count = codec_read_u64(reader);
    spec->rlimits = ret->rlimits;
    spec->rlimit_count = (size_t)OSA_MIN(count, (uint64_t)OSA_ARRAY_LEN(ret->rlimits));
    for (size_t i = 0; i < spec->rlimit_count; i++)
        codec_read_bytes(reader, &ret->rlimits[i], sizeof(ret->rlimits[i]));
    if (spec->argv == NULL || spec->argv[0] == NULL || spec->env == NULL ||
        count > OSA_ARRAY_LEN(ret->rlimits))
        reader->failed = true;
}

void guest_process_done(const struct guest_process_spec *spec)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(spec->lists); i++)
        free(spec->lists[i]);
}

/* ---- visitors of the egress proxy ---- */

void guest_write_visit(struct osa_buf *buf, const struct door_visit *visit)
{
    codec_bytes(buf, &visit->client, sizeof(visit->client));
    codec_bytes(buf, &visit->proxy, sizeof(visit->proxy));
}

static bool is_tcp(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET || address->ss_family == AF_INET6;
}

void guest_read_visit(struct codec_reader *reader, struct door_visit *ret)
{
    codec_read_bytes(reader, &ret->client, sizeof(ret->client));
    codec_read_bytes(reader, &ret->proxy, sizeof(ret->proxy));
    if (!is_tcp(&ret->client) || !is_tcp(&ret->proxy))
        reader->failed = true;
}

void guest_write_owner(struct osa_buf *buf, const struct door_owner *owner)
{
    codec_u64(buf, (uint64_t)owner->pid);
    codec_text(buf, owner->exe);
    codec_bytes(buf, owner->digest, sizeof(owner->digest));
    codec_list(buf, owner->ancestors);
    codec_list(buf, owner->names);
}

void guest_read_owner(struct codec_reader *reader, struct guest_owner *ret)
{
    struct door_owner *owner = &ret->owner;
    *ret = (struct guest_owner){ 0 };
    uint64_t pid = codec_read_u64(reader);
    owner->pid = (pid_t)OSA_MIN(pid, (uint64_t)INT32_MAX);
    owner->exe = codec_read_text(reader);
    codec_read_bytes(reader, owner->digest, sizeof(owner->digest));
    for (size_t i = 0; i < OSA_ARRAY_LEN(ret->lists); i++)
        ret->lists[i] = codec_read_list(reader);
    owner->ancestors = ret->lists[0];
    owner->names = ret->lists[1];
    if (pid == 0 || pid > INT32_MAX || owner->exe[0] != '/' || owner->ancestors == NULL)
        reader->failed = true;
}

void guest_owner_done(const struct guest_owner *owner)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(owner->lists); i++)
        free(owner->lists[i]);
}
