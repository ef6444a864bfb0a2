// SPDX-License-Identifier: Apache-2.0
/*
 * What the ABIs brought (Documentation/userspace-api/landlock.rst):
 *   1  files            5  ioctl on devices
 *   2  + moving files between directories (refused altogether before)
 *   3  + truncating     6  abstract Unix sockets and signals to outside
 *   4  TCP ports        7  audit of denials
 *   8  (threads)        9  connecting to Unix sockets by path, of servers outside
 * What a kernel lacks is denied by something else or listed as degraded; never silently allowed.
 */
#include "backends/process/landlock_plan.h"

#include <string.h>

enum {
    FS_EXECUTE = 1u << 0,
    FS_WRITE_FILE = 1u << 1,
    FS_READ_FILE = 1u << 2,
    FS_READ_DIR = 1u << 3,
    FS_ABI_1 = (1u << 13) - 1,
    FS_REFER = 1u << 13,
    FS_TRUNCATE = 1u << 14,
    FS_IOCTL_DEV = 1u << 15,
    FS_RESOLVE_UNIX = 1u << 16,
    NET_BIND_TCP = 1u << 0,
    NET_CONNECT_TCP = 1u << 1,
    SCOPE_ABSTRACT_UNIX_SOCKET = 1u << 0,
    SCOPE_SIGNAL = 1u << 1,
    RESTRICT_LOG_SAME_EXEC_OFF = 1u << 0, /* init and what it does before an exec */
    RESTRICT_LOG_NEW_EXEC = 1u << 1,
};

/*
 * Devices that programs take for granted and that tell or change nothing of the host. Terminals and
 * shared memory only where they are the sandbox's own: elsewhere they are other people's.
 */
static const struct device {
    const char *path;
    bool writable;
    bool only_private;
} devices[] = {
    { "/dev/full", true, false }, { "/dev/null", true, false }, { "/dev/openshell", false, true },
    { "/dev/ptmx", true, true },  { "/dev/pts", true, true },   { "/dev/random", false, false },
    { "/dev/shm", true, true },   { "/dev/tty", true, false },  { "/dev/urandom", false, false },
    { "/dev/zero", true, false },
};

static uint64_t handled_fs(uint32_t abi)
{
    uint64_t access = FS_ABI_1;
    access |= abi >= 2 ? FS_REFER : 0;
    access |= abi >= 3 ? FS_TRUNCATE : 0;
    access |= abi >= 5 ? FS_IOCTL_DEV : 0;
    access |= abi >= 9 ? FS_RESOLVE_UNIX : 0;
    return access;
}

/* Return: what to do without Landlock: OSA_OK is "go on, degraded". */
static enum osa_code without_landlock(const struct landlock_spec *spec, struct osa_buf *degraded,
                                      struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    if (spec->hard)
        code = osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "this kernel has no Landlock, which the policy's hard_requirement needs; "
                        "enable it (boot with lsm=landlock,…) or write best_effort");
    else if (!spec->private_root && !spec->opted_out)
        code =
            osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                     "this kernel has no Landlock and no mount namespace can be made, so nothing "
                     "would hold the filesystem policy; enable one of them, or accept it by "
                     "landlock: {compatibility: best_effort} in the policy");
    if (code != OSA_OK) {
        if (err != NULL)
            err->stage = "landlock";
        return code;
    }
    static const char missing[] = "Landlock is missing in this kernel: mounts alone hold the "
                                  "filesystem policy";
    static const char nothing[] = "Landlock is missing in this kernel: nothing holds the "
                                  "filesystem policy, which the policy accepts by best_effort";
    osa_buf_addf(degraded, "%s", spec->private_root ? missing : nothing);
    osa_buf_add(degraded, "", 1);
    return OSA_OK;
}

static void list_degraded(const struct landlock_spec *spec, struct osa_buf *degraded)
{
    const char *missing = spec->abi < 3   ? "truncating, ioctl on devices, Unix sockets and signals"
                          : spec->abi < 5 ? "ioctl on devices, Unix sockets and signals"
                          : spec->abi < 6 ? "Unix sockets and signals"
                                          : "Unix sockets that have a path";
    /* A root of the sandbox's own has no path to a socket outside. */
    if (spec->abi >= 9 || (spec->abi >= 6 && spec->private_root))
        return;
    osa_buf_addf(degraded, "Landlock of this kernel (ABI %u) does not control %s", spec->abi,
                 missing);
    osa_buf_add(degraded, "", 1);
}

static bool is_listed(const struct landlock_spec *spec, const char *path)
{
    for (size_t i = 0; i < spec->path_count; i++)
        if (strcmp(spec->paths[i].path, path) == 0)
            return true;
    return false;
}

/* Rules are collected in one buffer and text in another, for offsets depend on all of the rules. */
struct compiler {
    struct landlock_plan head;
    struct osa_buf rules;
    struct osa_buf text;
};

static void add_path(struct compiler *c, const char *path, bool writable, uint32_t flags)
{
    const uint64_t read_only = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    const struct landlock_path_rule rule = {
        .access = writable ? c->head.handled_fs : read_only,
        .path = (uint32_t)c->text.len, /* from the start of the text until all is known */
        .flags = flags,
    };
    osa_buf_add(&c->rules, &rule, sizeof(rule));
    osa_buf_add(&c->text, path, strlen(path) + 1);
    c->head.path_count++;
}

static void add_paths(struct compiler *c, const struct landlock_spec *spec)
{
    for (size_t i = 0; i < spec->path_count; i++) {
        const struct policy_path *path = &spec->paths[i];
        uint32_t flags = path->optional ? LANDLOCK_RULE_SILENT
                         : spec->hard   ? LANDLOCK_RULE_REQUIRED
                                        : 0;
        add_path(c, path->path, path->writable, flags);
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(devices); i++)
        if ((spec->private_root || !devices[i].only_private) && !is_listed(spec, devices[i].path))
            add_path(c, devices[i].path, devices[i].writable, LANDLOCK_RULE_SILENT);
}

static void add_ports(struct compiler *c, const struct landlock_spec *spec)
{
    for (size_t i = 0; i < spec->connect_port_count; i++) {
        const struct landlock_port_rule rule = { NET_CONNECT_TCP, spec->connect_ports[i] };
        osa_buf_add(&c->rules, &rule, sizeof(rule));
        c->head.port_count++;
    }
}

static bool assemble(struct compiler *c, struct osa_buf *out)
{
    size_t text_at = sizeof(c->head) + c->rules.len;
    size_t size = text_at + c->text.len;
    if (c->rules.failed || c->text.failed || size > LANDLOCK_PLAN_MAX_BYTES)
        return false;
    c->head.size = (uint32_t)size;
    for (uint32_t i = 0; i < c->head.path_count; i++) {
        struct landlock_path_rule *rule = (struct landlock_path_rule *)(void *)c->rules.data + i;
        rule->path += (uint32_t)text_at;
    }
    return osa_buf_add(out, &c->head, sizeof(c->head)) &&
           (c->rules.len == 0 || osa_buf_add(out, c->rules.data, c->rules.len)) &&
           (c->text.len == 0 || osa_buf_add(out, c->text.data, c->text.len));
}

static enum osa_code need_ports(const struct landlock_spec *spec, struct osa_error *err)
{
    enum osa_code code =
        osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                 "Landlock of this kernel (ABI %u) cannot hold TCP ports, which takes ABI 4 (Linux "
                 "6.7), and nothing else would hold them here",
                 spec->abi);
    if (err != NULL)
        err->stage = "landlock";
    return code;
}

enum osa_code landlock_compile(const struct landlock_spec *spec, struct osa_buf *out,
                               struct osa_buf *degraded, struct osa_error *err)
{
    bool tcp = spec->tcp == LANDLOCK_TCP_CLOSED;
    if (tcp && spec->need_tcp && spec->abi < 4)
        return need_ports(spec, err);
    if (spec->abi == 0)
        return without_landlock(spec, degraded, err);
    struct compiler c = { 0 };
    osa_buf_init(&c.rules, LANDLOCK_PLAN_MAX_BYTES);
    osa_buf_init(&c.text, LANDLOCK_PLAN_MAX_BYTES);
    tcp = tcp && spec->abi >= 4;
    c.head = (struct landlock_plan){
        .magic = LANDLOCK_PLAN_MAGIC,
        .abi = OSA_MIN(spec->abi, LANDLOCK_NEWEST_ABI),
        .handled_fs = handled_fs(spec->abi),
        .handled_net = tcp ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = spec->abi >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
        .restrict_flags =
            spec->log && spec->abi >= 7 ? RESTRICT_LOG_SAME_EXEC_OFF | RESTRICT_LOG_NEW_EXEC : 0,
    };
    add_paths(&c, spec);
    if (tcp)
        add_ports(&c, spec);
    bool done = assemble(&c, out);
    osa_buf_done(&c.rules);
    osa_buf_done(&c.text);
    if (!done)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "the policy's paths make a Landlock plan "
                        "of more than %u bytes",
                        LANDLOCK_PLAN_MAX_BYTES);
    list_degraded(spec, degraded);
    return OSA_OK;
}
