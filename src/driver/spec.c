// SPDX-License-Identifier: Apache-2.0
#include "driver/spec.h"

#include "base/quantity.h"

#include <stdio.h>
#include <string.h>

static const char reserved_prefix[] = "OPENSHELL_";

const char *spec_runtime_name(enum runtime_kind kind)
{
    return kind == RUNTIME_KIND_DEFAULT ? "auto" : runtime_kind_name(kind);
}

bool spec_runtime_parse(const char *name, enum runtime_kind *ret_kind)
{
    if (strcmp(name, "auto") != 0)
        return runtime_kind_parse(name, ret_kind);
    *ret_kind = RUNTIME_KIND_DEFAULT;
    return true;
}

/* Identifiers become names of files, so they hold nothing that could be a path. */
static enum osa_code check_id(const char *id, struct osa_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(id);
    if (len == 0)
        return osa_fail_field(err, "sandbox.id", "is empty");
    if (len > DRIVER_ID_BYTES || strspn(id, allowed) != len || id[0] == '.')
        return osa_fail_field(err, "sandbox.id",
                              "must be 1 to %d of A-Z a-z 0-9 . _ - and not begin with a point",
                              DRIVER_ID_BYTES);
    return OSA_OK;
}

static enum osa_code check_text(const char *text, size_t max, const char *field,
                                struct osa_error *err)
{
    if (strlen(text) > max)
        return osa_fail_field(err, field, "is longer than %zu bytes", max);
    return OSA_OK;
}

static enum osa_code fill_names(struct driver_spec *spec, const COMPUTE(DriverSandbox) * wire,
                                struct osa_error *err)
{
    if (check_id(wire->id, err) != OSA_OK ||
        check_text(wire->name, DRIVER_NAME_BYTES, "sandbox.name", err) != OSA_OK ||
        check_text(wire->workspace, DRIVER_NAME_BYTES, "sandbox.workspace", err) != OSA_OK)
        return err->code;
    if (wire->name[0] == '\0')
        return osa_fail_field(err, "sandbox.name", "is empty");
    spec->id = osa_arena_strdup(&spec->arena, wire->id);
    spec->name = osa_arena_strdup(&spec->arena, wire->name);
    spec->workspace = osa_arena_strdup(&spec->arena, wire->workspace);
    return OSA_OK;
}

static enum osa_code fill_command(struct driver_spec *spec, const COMPUTE(DriverSandboxSpec) * wire,
                                  struct osa_error *err)
{
    static const char *const shell[] = { "/bin/bash", "-l" };
    size_t count = wire->n_command;
    if (count > DRIVER_ARGS_MAX)
        return osa_fail_field(err, "command", "has %zu words, at most %d are allowed", count,
                              DRIVER_ARGS_MAX);
    spec->command = osa_arena_alloc(&spec->arena, (count + 3) * sizeof(*spec->command));
    for (size_t i = 0; i < count; i++) {
        if (check_text(wire->command[i], DRIVER_TEXT_BYTES, "command", err) != OSA_OK)
            return err->code;
        spec->command[i] = osa_arena_strdup(&spec->arena, wire->command[i]);
    }
    if (count > 0 && spec->command[0][0] == '\0')
        return osa_fail_field(err, "command", "names an empty program");
    spec->tty = wire->tty;
    if (count == 0) { /* as the gateway and its supervisors have it */
        memcpy(spec->command, shell, sizeof(shell));
        count = OSA_ARRAY_LEN(shell);
        spec->tty = true;
    }
    spec->command_count = count;
    return OSA_OK;
}

/* Every map<string, string> has entries of this form, under its own name. */
typedef COMPUTE(DriverSandboxSpec__EnvironmentEntry) Pair;

static enum osa_code add_env(struct driver_spec *spec, const void *entries, size_t count,
                             struct osa_error *err)
{
    const Pair *const *wire = entries;
    for (size_t i = 0; i < count; i++) {
        const char *key = wire[i]->key;
        if (key[0] == '\0' || strchr(key, '=') != NULL)
            return osa_fail_field(err, "environment", "'%.64s' is not a name", key);
        if (strncmp(key, reserved_prefix, sizeof(reserved_prefix) - 1) == 0)
            return osa_fail_field(err, "environment", "'%.64s': names that begin %s are reserved",
                                  key, reserved_prefix);
        if (check_text(key, DRIVER_TEXT_BYTES, "environment", err) != OSA_OK ||
            check_text(wire[i]->value, DRIVER_TEXT_BYTES, "environment", err) != OSA_OK)
            return err->code;
        size_t at = 0;
        while (at < spec->env_count && strcmp(spec->env[at].key, key) != 0)
            at++;
        if (at == DRIVER_ENV_MAX)
            return osa_fail_field(err, "environment", "has more than %d entries", DRIVER_ENV_MAX);
        spec->env[at] = (struct driver_pair){ osa_arena_strdup(&spec->arena, key),
                                              osa_arena_strdup(&spec->arena, wire[i]->value) };
        spec->env_count = OSA_MAX(spec->env_count, at + 1);
    }
    return OSA_OK;
}

static void fill_labels(struct driver_spec *spec, const COMPUTE(DriverSandboxTemplate) * wire)
{
    spec->labels = osa_arena_alloc(&spec->arena, (wire->n_labels + 1) * sizeof(*spec->labels));
    for (size_t i = 0; i < wire->n_labels; i++)
        spec->labels[i] =
            (struct driver_pair){ osa_arena_strdup(&spec->arena, wire->labels[i]->key),
                                  osa_arena_strdup(&spec->arena, wire->labels[i]->value) };
    spec->label_count = wire->n_labels;
}

struct quantity_row {
    const char *field;
    const char *text;
    enum osa_code (*parse)(const char *text, uint64_t *ret, struct osa_error *err);
    uint64_t *value;
};

static enum osa_code fill_resources(struct driver_spec *spec,
                                    const COMPUTE(DriverResourceRequirements) * wire,
                                    struct osa_error *err)
{
    const struct quantity_row rows[] = {
        { "resources.limits.cpu", wire->cpu_limit, osa_cpu_parse, &spec->limits.cpu_millis },
        { "resources.requests.cpu", wire->cpu_request, osa_cpu_parse, &spec->requests.cpu_millis },
        { "resources.limits.memory", wire->memory_limit, osa_bytes_parse,
          &spec->limits.memory_bytes },
        { "resources.requests.memory", wire->memory_request, osa_bytes_parse,
          &spec->requests.memory_bytes },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        if (rows[i].text[0] == '\0')
            continue;
        struct osa_error why = { 0 };
        if (rows[i].parse(rows[i].text, rows[i].value, &why) != OSA_OK)
            return osa_fail_field(err, rows[i].field, "%s", why.text);
        if (*rows[i].value == 0)
            return osa_fail_field(err, rows[i].field, "is 0; leave it out for no limit");
    }
    if (spec->limits.cpu_millis != 0 && spec->requests.cpu_millis > spec->limits.cpu_millis)
        return osa_fail_field(err, "resources.requests.cpu", "is more than the limit '%s'",
                              wire->cpu_limit);
    if (spec->limits.memory_bytes != 0 && spec->requests.memory_bytes > spec->limits.memory_bytes)
        return osa_fail_field(err, "resources.requests.memory", "is more than the limit '%s'",
                              wire->memory_limit);
    return OSA_OK;
}

static enum osa_code fill_template(struct driver_spec *spec,
                                   const COMPUTE(DriverSandboxTemplate) * wire,
                                   struct osa_error *err)
{
    if (wire->agent_socket_path[0] != '\0')
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "agent_socket_path: this driver has no use for it; leave it out");
    if (check_text(wire->image, DRIVER_TEXT_BYTES, "image", err) != OSA_OK)
        return err->code;
    spec->image = osa_arena_strdup(&spec->arena, wire->image);
    fill_labels(spec, wire);
    if (add_env(spec, wire->environment, wire->n_environment, err) != OSA_OK)
        return err->code;
    if (wire->resources != NULL && fill_resources(spec, wire->resources, err) != OSA_OK)
        return err->code;
    if (wire->platform_config != NULL &&
        driver_spec_platform(wire->platform_config, spec, err) != OSA_OK)
        return err->code;
    if (wire->driver_config != NULL && driver_spec_config(wire->driver_config, spec, err) != OSA_OK)
        return err->code;
    return OSA_OK;
}

static enum osa_code fill(struct driver_spec *spec, const COMPUTE(DriverSandbox) * wire,
                          struct osa_error *err)
{
    const COMPUTE(DriverSandboxSpec) *body = wire->spec;
    if (fill_names(spec, wire, err) != OSA_OK)
        return err->code;
    if (body == NULL)
        return osa_fail_field(err, "sandbox.spec", "is missing");
    if (body->resource_requirements != NULL && body->resource_requirements->gpu != NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "gpu: sandboxes of this driver get no GPU; create it without one");
    if (check_text(body->log_level, 32, "log_level", err) != OSA_OK)
        return err->code;
    spec->log_level = osa_arena_strdup(&spec->arena, body->log_level);
    if (fill_command(spec, body, err) != OSA_OK)
        return err->code;
    if (body->template_ != NULL && fill_template(spec, body->template_, err) != OSA_OK)
        return err->code;
    return add_env(spec, body->environment, body->n_environment, err);
}

static struct driver_spec *spec_new(void)
{
    struct osa_arena arena = { 0 };
    struct driver_spec *spec = osa_arena_alloc(&arena, sizeof(*spec));
    spec->env = osa_arena_alloc(&arena, (DRIVER_ENV_MAX + 1) * sizeof(*spec->env));
    const char **texts[] = { &spec->image,           &spec->log_level, &spec->runtime_class,
                             &spec->seccomp_profile, &spec->workdir,   &spec->min_isolation };
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++)
        *texts[i] = "";
    spec->arena = arena;
    return spec;
}

enum osa_code driver_spec_from_wire(const COMPUTE(DriverSandbox) * wire,
                                    struct driver_spec **ret_spec, struct osa_error *err)
{
    if (wire == NULL)
        return osa_fail_field(err, "sandbox", "is missing");
    struct driver_spec *spec = spec_new();
    if (fill(spec, wire, err) != OSA_OK) {
        driver_spec_free(spec);
        return err->code;
    }
    *ret_spec = spec;
    return OSA_OK;
}

void driver_spec_free(struct driver_spec *spec)
{
    if (spec == NULL)
        return;
    struct osa_arena arena = spec->arena; /* the struct lies inside */
    osa_arena_done(&arena);
}
