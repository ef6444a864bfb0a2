// SPDX-License-Identifier: Apache-2.0
/* The rules of requests. Everything here runs before anything is started. */
#include "agent/spec.h"

#include "base/clock.h"
#include "base/id.h"

#include <stdio.h>
#include <string.h>

#define MIN_CPU_MILLIS 10
#define MAX_CPU_MILLIS 1000000000u
#define MIN_MEMORY_BYTES (1u << 20)
#define MAX_PIDS 4194304 /* Linux PID_MAX_LIMIT */

/*
 * Variables that make the dynamic loader or the C library run or write what the client names, in
 * every program of the sandbox. They gain nothing outside; refused since they are a common way to
 * subvert what a policy trusts by its path.
 */
static const char *const loader_names[] = {
    "GCONV_PATH", "GLIBC_TUNABLES", "LD_AUDIT",          "LD_DEBUG_OUTPUT",
    "LD_PRELOAD", "LD_PROFILE",     "LD_PROFILE_OUTPUT",
};

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const struct spec_pair *const *)a)->key,
                  (*(const struct spec_pair *const *)b)->key);
}

/* Return: a key that occurs twice, NULL when there is none. */
static const char *duplicate_key(const struct spec_pairs *pairs)
{
    const char *found = NULL;
    if (pairs->count < 2)
        return NULL;
    const struct spec_pair **sorted = malloc(pairs->count * sizeof(*sorted));
    if (sorted == NULL)
        abort();
    for (size_t i = 0; i < pairs->count; i++)
        sorted[i] = &pairs->items[i];
    qsort(sorted, pairs->count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < pairs->count && found == NULL; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            found = sorted[i]->key;
    }
    free(sorted);
    return found;
}

enum osa_code spec_check_labels(const struct spec_pairs *labels, const char *field,
                                struct osa_error *err)
{
    if (labels->count > SPEC_LABELS_MAX)
        return osa_fail_field(err, field, "%zu labels, at most %d are allowed", labels->count,
                              SPEC_LABELS_MAX);
    for (size_t i = 0; i < labels->count; i++) {
        const struct spec_pair *pair = &labels->items[i];
        size_t key_len = strlen(pair->key);
        if (key_len == 0 || key_len > SPEC_LABEL_BYTES || strlen(pair->value) > SPEC_LABEL_BYTES)
            return osa_fail_field(err, field,
                                  "key '%.64s': keys have 1 to %d bytes, values up to %d",
                                  pair->key, SPEC_LABEL_BYTES, SPEC_LABEL_BYTES);
        if (has_control(pair->key) || has_control(pair->value))
            return osa_fail_field(err, field, "a label holds a control character");
    }
    const char *twice = duplicate_key(labels);
    if (twice != NULL)
        return osa_fail_field(err, field, "key '%.64s' is given twice", twice);
    return OSA_OK;
}

static enum osa_code check_env(const struct spec_pairs *env, const struct spec_rules *rules,
                               bool reserved_names, struct osa_error *err)
{
    for (size_t i = 0; i < env->count; i++) {
        const char *key = env->items[i].key;
        if (key[0] == '\0' || strchr(key, '=') != NULL || has_control(key))
            return osa_fail_field(err, "spec.env",
                                  "name '%.64s' is empty or holds '=' or a control character", key);
        if (strlen(key) + strlen(env->items[i].value) + 1 > SPEC_ARG_BYTES)
            return osa_fail_field(err, "spec.env", "'%.64s' is longer than %d bytes", key,
                                  SPEC_ARG_BYTES);
        if (!reserved_names && strncmp(key, "OPENSHELL_", 10) == 0)
            return osa_fail_field(err, "spec.env",
                                  "'%.64s': names that begin OPENSHELL_ are reserved", key);
        for (size_t k = 0; !rules->allow_loader_env && k < OSA_ARRAY_LEN(loader_names); k++) {
            if (strcmp(key, loader_names[k]) == 0)
                return osa_fail_field(
                    err, "spec.env",
                    "%s changes what every program loads and is refused; set it in the program's "
                    "own start script, or start the agent with --allow-loader-env",
                    key);
        }
    }
    const char *twice = duplicate_key(env);
    if (twice != NULL)
        return osa_fail_field(err, "spec.env", "'%.64s' is given twice", twice);
    return OSA_OK;
}

enum osa_code spec_check_path(const char *path, const char *field, struct osa_error *err)
{
    if (path[0] != '/')
        return osa_fail_field(err, field, "'%.64s' is not an absolute path", path);
    if (strlen(path) > SPEC_PATH_BYTES)
        return osa_fail_field(err, field, "longer than %d bytes", SPEC_PATH_BYTES);
    return OSA_OK;
}

/* A decimal uid or gid. 4294967295 is (uid_t)-1, which means "leave as it is" to setresuid(2). */
static bool is_id_number(const char *text, size_t len)
{
    uint64_t value = 0;
    if (len == 0 || len > 10 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return value < UINT32_MAX;
}

/* POSIX portable user name: letters, digits, '.', '_', '-'; here not beginning with a digit, '-' or '.'. */
static bool is_id_name(const char *text, size_t len)
{
    if (len == 0 || len > SPEC_USER_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!letter && (i == 0 || !later))
            return false;
    }
    return true;
}

enum osa_code spec_check_user(const char *user, const char *field, struct osa_error *err)
{
    if (user[0] == '\0')
        return OSA_OK;
    const char *colon = strchr(user, ':');
    size_t len = colon == NULL ? strlen(user) : (size_t)(colon - user);
    bool number = is_id_number(user, len);
    bool ok = number || is_id_name(user, len);
    if (ok && colon != NULL) {
        const char *group = colon + 1;
        ok = number ? is_id_number(group, strlen(group)) : is_id_name(group, strlen(group));
    }
    if (!ok)
        return osa_fail_field(err, field,
                              "'%.64s' is not 'name', 'uid', 'name:group' or 'uid:gid' with "
                              "decimal numbers of 0 to 4294967294",
                              user);
    return OSA_OK;
}

static enum osa_code check_seccomp_profile(const char *profile, struct osa_error *err)
{
    static const char *const known[] = { "", "default", "strict", "gpu" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(known); i++) {
        if (strcmp(profile, known[i]) == 0)
            return OSA_OK;
    }
    return osa_fail_field(err, "spec.seccomp_profile",
                          "'%.64s' is not known; use default, strict or gpu", profile);
}

static enum osa_code check_image_and_root(const char *image, const char *root, const char *profile,
                                          enum isolation_level level, struct osa_error *err)
{
    if (strlen(image) > SPEC_IMAGE_BYTES || has_control(image))
        return osa_fail_field(err, "spec.image", "longer than %d bytes, or a control character",
                              SPEC_IMAGE_BYTES);
    if (root[0] != '\0' && spec_check_path(root, "spec.root", err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (root[0] != '\0' && image[0] != '\0')
        return osa_fail_field(err, "spec.root", "give either an image or a root, not both");
    if (level < ISOLATION_ANY || level > ISOLATION_VM)
        return osa_fail_field(err, "spec.min_isolation", "%d is not a known level", (int)level);
    return check_seccomp_profile(profile, err);
}

static enum osa_code check_idempotency_key(const char *key, struct osa_error *err)
{
    if (strlen(key) > SPEC_KEY_BYTES)
        return osa_fail_field(err, "idempotency_key", "longer than %d bytes", SPEC_KEY_BYTES);
    return OSA_OK;
}

enum osa_code sandbox_request_check(const struct sandbox_request *request,
                                    const struct spec_rules *rules, struct osa_error *err)
{
    if (request->id[0] != '\0' && !osa_id_is_valid(request->id))
        return osa_fail_field(err, "sandbox_id",
                              "'%.64s' is not a name of a-z, 0-9 and '-' with at most 63 bytes",
                              request->id);
    if (check_image_and_root(request->image, request->root, request->seccomp_profile,
                             request->min_isolation, err) != OSA_OK ||
        spec_check_labels(&request->labels, "spec.labels", err) != OSA_OK ||
        check_env(&request->env, rules, /* reserved_names= */ false, err) != OSA_OK ||
        spec_check_user(request->user, "spec.user", err) != OSA_OK ||
        check_idempotency_key(request->idempotency.key, err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (request->workdir[0] != '\0')
        return spec_check_path(request->workdir, "spec.workdir", err);
    return OSA_OK;
}

static enum osa_code check_argv(const struct process_request *request, struct osa_error *err)
{
    if (request->argc == 0 || request->argv[0][0] == '\0')
        return osa_fail_field(err, "spec.argv", "empty; the first element names the program");
    const char *program = request->argv[0];
    if (strlen(program) > SPEC_PATH_BYTES)
        return osa_fail_field(err, "spec.argv", "the program's path is longer than %d bytes",
                              SPEC_PATH_BYTES);
    bool relative = program[0] != '/' && strchr(program, '/') != NULL;
    if (relative && (strncmp(program, "../", 3) == 0 || strstr(program, "/../") != NULL))
        return osa_fail_field(err, "spec.argv",
                              "'%.64s' is relative and holds '..'; give an absolute path", program);
    return OSA_OK;
}

static enum osa_code check_exec_size(const struct process_request *request,
                                     const struct spec_rules *rules, struct osa_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < request->argc; i++) {
        size_t len = strlen(request->argv[i]);
        if (len > SPEC_ARG_BYTES)
            return osa_fail_field(err, "spec.argv", "argument %zu is longer than %d bytes", i,
                                  SPEC_ARG_BYTES);
        total += len + 1 + sizeof(char *);
    }
    for (size_t i = 0; i < request->env.count; i++)
        total += strlen(request->env.items[i].key) + strlen(request->env.items[i].value) + 2 +
                 sizeof(char *);
    if (total > rules->max_exec_bytes)
        return osa_fail_field(err, "spec.argv",
                              "argv and env have %zu bytes, at most %zu are allowed; pass big data "
                              "by stdin or a file",
                              total, rules->max_exec_bytes);
    return OSA_OK;
}

static enum osa_code check_rlimits(const struct process_request *request, struct osa_error *err)
{
    for (size_t i = 0; i < request->rlimit_count; i++) {
        const struct spec_rlimit *limit = &request->rlimits[i];
        if (spec_rlimit_number(limit->type) < 0)
            return osa_fail_field(err, "spec.rlimits",
                                  "type '%.32s' is not known; use names as nofile, core or stack",
                                  limit->type);
        if (limit->soft > limit->hard)
            return osa_fail_field(err, "spec.rlimits", "%s: soft is above hard", limit->type);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(request->rlimits[k].type, limit->type) == 0)
                return osa_fail_field(err, "spec.rlimits", "%s is given twice", limit->type);
        }
    }
    return OSA_OK;
}

static enum osa_code check_groups(const struct process_request *request, struct osa_error *err)
{
    if (request->group_count > SPEC_GROUPS_MAX)
        return osa_fail_field(err, "spec.groups", "%zu groups, at most %d are allowed",
                              request->group_count, SPEC_GROUPS_MAX);
    for (size_t i = 0; i < request->group_count; i++) {
        const char *group = request->groups[i];
        size_t len = strlen(group);
        if (!is_id_number(group, len) && !is_id_name(group, len))
            return osa_fail_field(err, "spec.groups",
                                  "'%.64s' is neither a name nor a number of 0 to 4294967294",
                                  group);
    }
    return OSA_OK;
}

enum osa_code process_request_check(const struct process_request *request,
                                    const struct spec_rules *rules, struct osa_error *err)
{
    if (check_argv(request, err) != OSA_OK ||
        check_env(&request->env, rules, request->reserved_names, err) != OSA_OK ||
        check_exec_size(request, rules, err) != OSA_OK ||
        spec_check_user(request->user, "spec.user", err) != OSA_OK ||
        check_groups(request, err) != OSA_OK || check_rlimits(request, err) != OSA_OK ||
        spec_check_labels(&request->labels, "spec.labels", err) != OSA_OK ||
        check_image_and_root(request->image, request->root, request->seccomp_profile,
                             request->min_isolation, err) != OSA_OK ||
        check_idempotency_key(request->idempotency.key, err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (request->cwd[0] != '\0' && spec_check_path(request->cwd, "spec.cwd", err) != OSA_OK)
        return OSA_INVALID_ARGUMENT;
    if (has_control(request->term) || strlen(request->term) > 64)
        return osa_fail_field(err, "spec.tty.term", "not the name of a terminal type");
    if (request->output_retain_bytes > rules->output_retain_bytes * 16)
        return osa_fail_field(err, "spec.output_retain_bytes", "at most %llu bytes are kept here",
                              (unsigned long long)rules->output_retain_bytes * 16);
    return OSA_OK;
}

static enum osa_code lacks(struct osa_error *err, const char *field, enum runtime_kind kind,
                           const char *what)
{
    enum osa_code code = osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                                  "%s: a %s sandbox cannot %s here; leave it out or see GetInfo",
                                  field, runtime_kind_name(kind), what);
    if (err != NULL)
        (void)snprintf(err->field, sizeof(err->field), "%s", field);
    return code;
}

enum osa_code spec_check_limits(const struct resources *limits, enum runtime_kind kind,
                                uint32_t capabilities, const char *field, struct osa_error *err)
{
    const struct {
        const char *name;
        uint64_t value;
        uint64_t min;
        uint64_t max;
        uint32_t capability;
    } rows[] = {
        { "cpu_millis", limits->cpu_millis, MIN_CPU_MILLIS, MAX_CPU_MILLIS, BACKEND_CAP_CPU_LIMIT },
        { "memory_bytes", limits->memory_bytes, MIN_MEMORY_BYTES, INT64_MAX,
          BACKEND_CAP_MEMORY_LIMIT },
        { "pids_max", limits->pids_max, 1, MAX_PIDS, BACKEND_CAP_PIDS_LIMIT },
        { "disk_bytes", limits->disk_bytes, 4096, INT64_MAX, BACKEND_CAP_DISK_LIMIT },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s.%s", field, rows[i].name);
        if (rows[i].value == 0)
            continue;
        if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
            return osa_fail_field(err, name, "%llu is not between %llu and %llu",
                                  (unsigned long long)rows[i].value,
                                  (unsigned long long)rows[i].min, (unsigned long long)rows[i].max);
        if ((capabilities & rows[i].capability) == 0)
            return lacks(err, name, kind, "enforce this limit");
    }
    return OSA_OK;
}

struct wish {
    bool given;
    uint32_t capability;
    const char *field;
    const char *what;
};

static enum osa_code check_wishes(const struct wish *wishes, size_t count, enum runtime_kind kind,
                                  uint32_t capabilities, struct osa_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (wishes[i].given && (capabilities & wishes[i].capability) == 0)
            return lacks(err, wishes[i].field, kind, wishes[i].what);
    }
    return OSA_OK;
}

enum osa_code sandbox_request_check_backend(const struct sandbox_request *request,
                                            enum runtime_kind kind, const struct backend_info *info,
                                            struct osa_error *err)
{
    if (!info->available)
        return osa_fail(err, OSA_UNAVAILABLE, 0, "runtime %s is not available here: %s",
                        runtime_kind_name(kind), info->reason);
    if (request->min_isolation > info->isolation.level)
        return lacks(err, "spec.min_isolation", kind, "reach this level");
    const struct wish wishes[] = {
        { request->image[0] != '\0', BACKEND_CAP_IMAGE, "spec.image", "use an image" },
        { request->root[0] != '\0', BACKEND_CAP_ROOT, "spec.root", "have a root of its own" },
        { request->user[0] != '\0', BACKEND_CAP_USER, "spec.user", "change the user" },
        { request->policy != NULL, BACKEND_CAP_POLICY, "spec.policy", "enforce a policy" },
    };
    if (check_wishes(wishes, OSA_ARRAY_LEN(wishes), kind, info->capabilities, err) != OSA_OK)
        return OSA_FAILED_PRECONDITION;
    return spec_check_limits(&request->resources, kind, info->capabilities, "spec.resources", err);
}

enum osa_code process_request_check_backend(const struct process_request *request, bool inside,
                                            enum runtime_kind kind, const struct backend_info *info,
                                            struct osa_error *err)
{
    const struct resources *r = &request->resources;
    bool limits = (r->cpu_millis | r->memory_bytes | r->pids_max | r->disk_bytes) != 0;
    const struct wish wishes[] = {
        { request->user[0] != '\0' || request->group_count > 0, BACKEND_CAP_USER, "spec.user",
          "change user or groups" },
        { request->rlimit_count > 0, BACKEND_CAP_RLIMITS, "spec.rlimits", "set rlimits" },
        { request->tty, BACKEND_CAP_TTY, "spec.tty", "give a terminal" },
        { inside && limits, BACKEND_CAP_PROCESS_LIMITS, "spec.resources",
          "limit a single process" },
    };
    if (check_wishes(wishes, OSA_ARRAY_LEN(wishes), kind, info->capabilities, err) != OSA_OK)
        return OSA_FAILED_PRECONDITION;
    return inside ? spec_check_limits(r, kind, info->capabilities, "spec.resources", err) : OSA_OK;
}
