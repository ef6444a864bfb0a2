// SPDX-License-Identifier: Apache-2.0
/* Requests of the agent as bodies of the server; what a box cannot keep to exactly is refused by name. */
#include "backends/boxlite/internal.h"

#include "policy/document.h"

#include <string.h>

#define MIB (1024ull * 1024)
#define GIB (1024ull * MIB)
#define MAX_CPUS 16u

bool reserved_variable(const char *entry)
{
    return strncmp(entry, "BOXLITE_", 8) == 0;
}

static enum osa_code not_text(struct osa_error *err, const char *field)
{
    return osa_fail_field(err, field, "holds bytes that are not UTF-8, which BoxLite cannot carry");
}

static enum osa_code write_cpus(struct osa_json *json, uint64_t millis, bool rounds,
                                struct osa_error *err)
{
    uint64_t whole = (millis + 999) / 1000;
    if (millis == 0)
        return OSA_OK;
    if ((millis % 1000 != 0 && !rounds) || whole > MAX_CPUS)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.resources.cpu_millis: a box has 1000 to %u000 in whole thousands; "
                        "%llu is not such a number",
                        MAX_CPUS, (unsigned long long)millis);
    osa_json_key(json, "cpus");
    osa_json_u64(json, whole);
    return OSA_OK;
}

static enum osa_code write_multiple(struct osa_json *json, const char *key, const char *field,
                                    uint64_t bytes, uint64_t unit, const char *unit_name,
                                    struct osa_error *err)
{
    if (bytes == 0)
        return OSA_OK;
    if (bytes % unit != 0 || bytes / unit > UINT32_MAX)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "%s: a box is measured in whole %s; %llu is not a multiple", field,
                        unit_name, (unsigned long long)bytes);
    osa_json_key(json, key);
    osa_json_u64(json, bytes / unit);
    return OSA_OK;
}

static enum osa_code write_resources(struct osa_json *json, const struct resources *limits,
                                     bool helper, struct osa_error *err)
{
    enum osa_code code = write_cpus(json, limits->cpu_millis, helper, err);
    uint64_t memory = limits->memory_bytes;
    if (helper && memory != 0) /* the helper bounds the workload; the machine has room for itself */
        memory = (memory + BOX_MEMORY_OVERHEAD + MIB - 1) / MIB * MIB;
    if (code == OSA_OK)
        code = write_multiple(json, "memory_mib", "spec.resources.memory_bytes", memory, MIB, "MiB",
                              err);
    if (code == OSA_OK)
        code = write_multiple(json, "disk_size_gb", "spec.resources.disk_bytes", limits->disk_bytes,
                              GIB, "GiB", err);
    if (code == OSA_OK && limits->pids_max != 0 && !helper)
        code = osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.resources.pids_max: a box cannot count processes");
    return code;
}

/* An absolute path is a folder with an OCI layout on the server's host; all else is a reference. */
static enum osa_code write_image(struct osa_json *json, const struct boxlite *b,
                                 const struct sandbox_spec *spec, struct osa_error *err)
{
    const char *image = spec->image[0] != '\0' ? spec->image : b->image;
    osa_json_key(json, image[0] == '/' ? "rootfs_path" : "image");
    return api_json_text(json, image) ? OSA_OK : not_text(err, "spec.image");
}

/*
 * No card at all: neither neighbours nor the host can be reached, DNS included. Where the server has
 * a namespace to itself, there is one for the helper's channel: what it reaches is that namespace.
 */
static void write_network(struct osa_json *json, bool channel)
{
    osa_json_key(json, "network");
    osa_json_open(json, '{');
    osa_json_key(json, "outbound");
    osa_json_open(json, '{');
    osa_json_key(json, "mode");
    osa_json_text(json, channel ? "enabled" : "disabled");
    if (channel) {
        osa_json_key(json, "allow_net");
        osa_json_open(json, '[');
        osa_json_text(json, BOX_HOST_ALIAS);
        osa_json_close(json, ']');
    }
    osa_json_close(json, '}');
    osa_json_close(json, '}');
}

/* The box lives as long as its main command: one that does nothing, whatever the image would run. */
static void write_main_command(struct osa_json *json)
{
    osa_json_key(json, "entrypoint");
    osa_json_open(json, '[');
    osa_json_text(json, "sleep");
    osa_json_close(json, ']');
    osa_json_key(json, "cmd");
    osa_json_open(json, '[');
    osa_json_text(json, "2147483647");
    osa_json_close(json, ']');
}

/*
 * What the helper gets for itself in the guest and gives up before a workload runs: namespaces,
 * cgroups and mounts of its own. The machine, not the container in it, is the wall.
 */
static void write_capabilities(struct osa_json *json)
{
    static const char *const wanted[] = { "SYS_ADMIN", "NET_ADMIN", "SYS_RESOURCE", "SYS_PTRACE" };
    osa_json_key(json, "advanced");
    osa_json_open(json, '{');
    osa_json_key(json, "capabilities");
    osa_json_open(json, '{');
    osa_json_key(json, "add");
    osa_json_open(json, '[');
    for (size_t i = 0; i < OSA_ARRAY_LEN(wanted); i++)
        osa_json_text(json, wanted[i]);
    osa_json_close(json, ']');
    osa_json_close(json, '}');
    osa_json_close(json, '}');
}

static enum osa_code check_sandbox(const struct sandbox_spec *spec, bool helper,
                                   struct osa_error *err)
{
    for (size_t i = 0; spec->env[i] != NULL; i++) {
        if (reserved_variable(spec->env[i]))
            return osa_fail_field(err, "spec.env",
                                  "names that begin with BOXLITE_ are the server's");
    }
    if (spec->root[0] != '\0')
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.root: a box has an image; name one, or a folder with an OCI layout, "
                        "in spec.image");
    if (!helper && spec->policy->landlock.hard_requirement)
        return osa_fail(
            err, OSA_FAILED_PRECONDITION, 0,
            "spec.policy: landlock.compatibility is hard_requirement, and a box without "
            "the helper enforces no file-system policy");
    return OSA_OK;
}

enum osa_code box_spec_write(const struct boxlite *b, const struct sandbox_spec *spec,
                             const char *name, bool helper, struct osa_buf *body,
                             struct osa_error *err)
{
    struct osa_json json;
    enum osa_code code = check_sandbox(spec, helper, err);
    if (code != OSA_OK)
        return code;
    osa_json_init(&json, body, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "name");
    osa_json_text(&json, name);
    code = write_image(&json, b, spec, err);
    if (code == OSA_OK)
        code = write_resources(&json, &spec->resources, helper, err);
    if (code != OSA_OK)
        return code;
    write_main_command(&json);
    write_network(&json, helper && b->hub != NULL);
    if (helper && b->api.capabilities)
        write_capabilities(&json);
    const char *user = helper ? "0:0" : spec->user;
    if (user[0] != '\0') {
        osa_json_key(&json, "user");
        if (!api_json_text(&json, user))
            return not_text(err, "spec.user");
    }
    osa_json_key(&json, "detach");
    osa_json_bool(&json, true);
    osa_json_close(&json, '}');
    return body->failed ? osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "the request is too long")
                        : OSA_OK;
}

static enum osa_code write_environment(struct osa_json *json, strlist env, struct osa_error *err)
{
    char name[256];
    osa_json_key(json, "env");
    osa_json_open(json, '{');
    for (size_t i = 0; env[i] != NULL; i++) {
        size_t len = strcspn(env[i], "=");
        if (reserved_variable(env[i]))
            return osa_fail_field(err, "spec.env",
                                  "names that begin with BOXLITE_ are the server's");
        if (len >= sizeof(name))
            return osa_fail_field(err, "spec.env", "a name is longer than %zu bytes",
                                  sizeof(name) - 1);
        memcpy(name, env[i], len);
        name[len] = '\0';
        osa_json_key(json, name);
        if (!api_json_text(json, env[i][len] == '=' ? env[i] + len + 1 : ""))
            return not_text(err, "spec.env");
    }
    osa_json_close(json, '}');
    return OSA_OK;
}

enum osa_code exec_spec_write(const struct box *box, const struct process_spec *spec,
                              struct osa_buf *body, struct osa_error *err)
{
    struct osa_json json;
    (void)box;
    osa_json_init(&json, body, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "command");
    bool text = api_json_text(&json, spec->argv[0]);
    osa_json_key(&json, "args");
    osa_json_open(&json, '[');
    for (size_t i = 1; spec->argv[i] != NULL && text; i++)
        text = api_json_text(&json, spec->argv[i]);
    osa_json_close(&json, ']');
    if (!text)
        return not_text(err, "spec.argv");
    enum osa_code code = write_environment(&json, spec->env, err);
    if (code != OSA_OK)
        return code;
    osa_json_key(&json, "working_dir");
    if (!api_json_text(&json, spec->cwd))
        return not_text(err, "spec.cwd");
    osa_json_key(&json, "tty");
    osa_json_bool(&json, spec->tty);
    osa_json_close(&json, '}');
    return body->failed
               ? osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                          "spec.argv and spec.env: longer than the 2 MiB that BoxLite takes")
               : OSA_OK;
}
