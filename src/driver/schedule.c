// SPDX-License-Identifier: Apache-2.0
#include "driver/schedule.h"

#include "base/quantity.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONDITIONS_MAX = 8, RULES_MAX = 256, RULE_BYTES = 512 };

enum condition_type { COND_ANY, COND_IMAGE, COND_CLASS, COND_LABEL, COND_CPU, COND_MEMORY };

struct condition {
    enum condition_type type;
    const char *key;  /* of a label */
    const char *glob; /* of texts */
    uint64_t least;   /* of amounts */
};

struct rule {
    const char *text; /* as written */
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    enum runtime_kind kinds[RUNTIME_KIND_COUNT];
    size_t kind_count;
};

struct schedule {
    const struct driver_config *config;
    struct rule *rules;
    size_t count;
    struct osa_arena arena;
};

/* ---- rules ---- */

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

static enum osa_code parse_amount(const char *text, bool cpu, struct condition *ret,
                                  struct osa_error *err)
{
    ret->type = cpu ? COND_CPU : COND_MEMORY;
    return cpu ? osa_cpu_parse(text, &ret->least, err) : osa_bytes_parse(text, &ret->least, err);
}

static enum osa_code parse_condition(char *text, struct condition *ret, struct osa_error *err)
{
    *ret = (struct condition){ .type = COND_ANY };
    if (strcmp(text, "*") == 0)
        return OSA_OK;
    if (strncmp(text, "cpu>=", 5) == 0)
        return parse_amount(text + 5, true, ret, err);
    if (strncmp(text, "memory>=", 8) == 0)
        return parse_amount(text + 8, false, ret, err);
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s' is no condition", text);
    *equals = '\0';
    ret->glob = trim(equals + 1);
    text = trim(text);
    if (strcmp(text, "image") == 0)
        ret->type = COND_IMAGE;
    else if (strcmp(text, "class") == 0)
        ret->type = COND_CLASS;
    else if (strncmp(text, "label:", 6) == 0 && text[6] != '\0') {
        ret->type = COND_LABEL;
        ret->key = text + 6;
    } else
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s=' is no condition", text);
    return OSA_OK;
}

static enum osa_code parse_kinds(char *text, struct rule *rule, struct osa_error *err)
{
    char *rest = text;
    for (char *word; (word = strsep(&rest, "|")) != NULL;) {
        enum runtime_kind kind;
        word = trim(word);
        if (!spec_runtime_parse(word, &kind) || kind == RUNTIME_KIND_DEFAULT)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.32s' is neither process nor boxlite",
                            word);
        if (rule->kind_count == OSA_ARRAY_LEN(rule->kinds))
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "names a kind twice");
        rule->kinds[rule->kind_count++] = kind;
    }
    return OSA_OK;
}

static enum osa_code parse_rule(struct schedule *schedule, const char *written, struct rule *rule,
                                struct osa_error *err)
{
    if (strlen(written) > RULE_BYTES)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "is longer than %d bytes", RULE_BYTES);
    rule->text = osa_arena_strdup(&schedule->arena, written);
    char *copy = osa_arena_copy(&schedule->arena, written, strlen(written) + 1);
    char *arrow = strstr(copy, "->");
    if (arrow == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s' has no '->'", written);
    *arrow = '\0';
    char *rest = copy;
    for (char *word; (word = strsep(&rest, "&")) != NULL;) {
        if (rule->condition_count == CONDITIONS_MAX)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "has more than %d conditions",
                            CONDITIONS_MAX);
        if (parse_condition(trim(word), &rule->conditions[rule->condition_count++], err) != OSA_OK)
            return err->code;
    }
    return parse_kinds(arrow + 2, rule, err);
}

enum osa_code schedule_new(const struct driver_config *config, struct schedule **ret_schedule,
                           struct osa_error *err)
{
    struct schedule *schedule = calloc(1, sizeof(*schedule));
    if (schedule == NULL)
        return osa_fail_errno(err, ENOMEM, "rules");
    schedule->config = config;
    schedule->count = config->rules.count;
    enum osa_code code = OSA_OK;
    if (schedule->count > RULES_MAX)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0, "rule: there are more than %d", RULES_MAX);
    else
        schedule->rules =
            osa_arena_alloc(&schedule->arena, (schedule->count + 1) * sizeof(*schedule->rules));
    for (size_t i = 0; code == OSA_OK && i < schedule->count; i++) {
        code = parse_rule(schedule, config->rules.items[i], &schedule->rules[i], err);
        if (code != OSA_OK)
            (void)osa_wrap(err, "rule %zu", i + 1);
    }
    if (code != OSA_OK) {
        schedule_free(schedule);
        return code;
    }
    *ret_schedule = schedule;
    return OSA_OK;
}

void schedule_free(struct schedule *schedule)
{
    if (schedule == NULL)
        return;
    osa_arena_done(&schedule->arena);
    free(schedule);
}

/* ---- decisions ---- */

static bool label_matches(const struct condition *condition, const struct driver_spec *spec)
{
    for (size_t i = 0; i < spec->label_count; i++) {
        if (strcmp(spec->labels[i].key, condition->key) == 0 &&
            fnmatch(condition->glob, spec->labels[i].value, 0) == 0)
            return true;
    }
    return false;
}

static bool holds(const struct condition *condition, const struct driver_spec *spec)
{
    const struct resources need = schedule_reservation(spec);
    switch (condition->type) {
    case COND_ANY:
        return true;
    case COND_IMAGE:
        return fnmatch(condition->glob, spec->image, 0) == 0;
    case COND_CLASS:
        return fnmatch(condition->glob, spec->runtime_class, 0) == 0;
    case COND_LABEL:
        return label_matches(condition, spec);
    case COND_CPU:
        return need.cpu_millis >= condition->least;
    case COND_MEMORY:
        return need.memory_bytes >= condition->least;
    }
    return false;
}

static bool rule_matches(const struct rule *rule, const struct driver_spec *spec)
{
    for (size_t i = 0; i < rule->condition_count; i++) {
        if (!holds(&rule->conditions[i], spec))
            return false;
    }
    return true;
}

/* Takes the first of @kinds that can be had. */
static enum osa_code choose(const struct host_report *host, const enum runtime_kind *kinds,
                            size_t count, struct placement *ret, struct osa_error *err)
{
    char reasons[256] = "";
    for (size_t i = 0; i < count; i++) {
        enum runtime_kind kind = kinds[i];
        if (host->kinds[kind].available) {
            ret->kind = kind;
            return OSA_OK;
        }
        size_t len = strlen(reasons);
        (void)snprintf(reasons + len, sizeof(reasons) - len, "%s%s: %s", i > 0 ? "; " : "",
                       spec_runtime_name(kind),
                       host->kinds[kind].known ? host->kinds[kind].reason
                                               : "agents of this build do not have it");
    }
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "no runtime for this sandbox (%.160s): %s",
                    ret->why, reasons);
}

static enum osa_code choose_kind(const struct schedule *schedule, const struct host_report *host,
                                 const struct driver_spec *spec, struct placement *ret,
                                 struct osa_error *err)
{
    enum runtime_kind kind = spec->runtime;
    if (kind != RUNTIME_KIND_DEFAULT) {
        (void)snprintf(ret->why, sizeof(ret->why), "driver_config.runtime is %s",
                       spec_runtime_name(kind));
        return choose(host, &kind, 1, ret, err);
    }
    for (size_t i = 0; i < schedule->count; i++) {
        const struct rule *rule = &schedule->rules[i];
        if (!rule_matches(rule, spec))
            continue;
        (void)snprintf(ret->why, sizeof(ret->why), "rule %zu: %s", i + 1, rule->text);
        return choose(host, rule->kinds, rule->kind_count, ret, err);
    }
    if (spec->runtime_class[0] != '\0') {
        if (!spec_runtime_parse(spec->runtime_class, &kind) || kind == RUNTIME_KIND_DEFAULT)
            return osa_fail(
                err, OSA_FAILED_PRECONDITION, 0,
                "runtime_class_name '%.64s' is neither process nor boxlite, and no rule "
                "of the driver is for it",
                spec->runtime_class);
        (void)snprintf(ret->why, sizeof(ret->why), "runtime_class_name is %s",
                       spec_runtime_name(kind));
        return choose(host, &kind, 1, ret, err);
    }
    bool configured = schedule->config->runtime != RUNTIME_KIND_DEFAULT;
    kind = configured ? schedule->config->runtime : host->default_kind;
    (void)snprintf(ret->why, sizeof(ret->why), "%s",
                   configured ? "the driver's own choice" : "the agents' own choice");
    return choose(host, &kind, 1, ret, err);
}

struct resources schedule_reservation(const struct driver_spec *spec)
{
    struct resources need = spec->limits;
    if (spec->requests.cpu_millis != 0)
        need.cpu_millis = spec->requests.cpu_millis;
    if (spec->requests.memory_bytes != 0)
        need.memory_bytes = spec->requests.memory_bytes;
    return need;
}

static enum osa_code check_room(const struct resources *capacity, const struct resources *used,
                                const struct resources *need, struct osa_error *err)
{
    char wanted[OSA_QUANTITY_SIZE];
    char left[OSA_QUANTITY_SIZE];
    uint64_t cpu_left = capacity->cpu_millis - OSA_MIN(used->cpu_millis, capacity->cpu_millis);
    uint64_t memory_left =
        capacity->memory_bytes - OSA_MIN(used->memory_bytes, capacity->memory_bytes);
    if (capacity->cpu_millis != 0 && need->cpu_millis > cpu_left) {
        osa_cpu_format(need->cpu_millis, wanted);
        osa_cpu_format(cpu_left, left);
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "no room: %s CPUs are asked for and %s are left; stop another sandbox or "
                        "ask for less",
                        wanted, left);
    }
    if (capacity->memory_bytes != 0 && need->memory_bytes > memory_left) {
        osa_bytes_format(need->memory_bytes, wanted);
        osa_bytes_format(memory_left, left);
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "no room: %s of memory are asked for and %s are left; stop another sandbox "
                        "or ask for less",
                        wanted, left);
    }
    return OSA_OK;
}

/* What a sandbox insists on must exist at all, whoever else runs. */
static enum osa_code check_host(const struct host_report *host, const struct driver_spec *spec,
                                struct osa_error *err)
{
    const struct resources all = { .cpu_millis = (uint64_t)host->cpus * 1000,
                                   .memory_bytes = host->memory_bytes };
    const struct resources none = { 0 };
    return check_room(&all, &none, &spec->requests, err);
}

enum osa_code schedule_place(const struct schedule *schedule, const struct host_report *host,
                             const struct driver_spec *spec, const struct resources *used,
                             struct placement *ret_placement, struct osa_error *err)
{
    const struct resources need = schedule_reservation(spec);
    *ret_placement = (struct placement){ 0 };
    enum osa_code code = choose_kind(schedule, host, spec, ret_placement, err);
    if (code == OSA_OK)
        code = check_host(host, spec, err);
    if (code == OSA_OK)
        code = check_room(&schedule->config->capacity, used, &need, err);
    return code;
}
