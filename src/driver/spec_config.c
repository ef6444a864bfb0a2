// SPDX-License-Identifier: Apache-2.0
/* The two free-form parts of a sandbox's template: what other platforms understand, and what is ours. */
#include "driver/spec.h"

#include "base/quantity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef Google__Protobuf__Value Value;

static const char *value_kind(const Value *value)
{
    switch (value->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
        return "null";
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return "a number";
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return "a string";
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return "a boolean";
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return "an object";
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return "a list";
    default:
        return "nothing";
    }
}

static enum osa_code get_string(const Value *value, const char *field, const char **ret_text,
                                struct osa_error *err)
{
    if (value == NULL || value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
        return osa_fail_field(err, field, "must be a string, not %s",
                              value != NULL ? value_kind(value) : "nothing");
    *ret_text = value->string_value;
    return OSA_OK;
}

/* One of a list of words; @ret_text is a copy. */
static enum osa_code get_word(struct driver_spec *spec, const Value *value, const char *field,
                              const char *const *words, const char **ret_text,
                              struct osa_error *err)
{
    char list[128] = "";
    const char *text;
    if (get_string(value, field, &text, err) != OSA_OK)
        return err->code;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_text = osa_arena_strdup(&spec->arena, text);
            return OSA_OK;
        }
        size_t len = strlen(list);
        (void)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return osa_fail_field(err, field, "'%.64s' is not one of %s", text, list);
}

/* ---- driver_config: one function for each key ---- */

typedef enum osa_code (*read_fn)(struct driver_spec *spec, const Value *value, const char *field,
                                 struct osa_error *err);

static enum osa_code read_runtime(struct driver_spec *spec, const Value *value, const char *field,
                                  struct osa_error *err)
{
    static const char *const words[] = { "process", "boxlite", "auto", NULL };
    const char *text;
    if (get_word(spec, value, field, words, &text, err) != OSA_OK)
        return err->code;
    (void)spec_runtime_parse(text, &spec->runtime);
    return OSA_OK;
}

/* JSON has no integers, so they come as doubles. */
static enum osa_code read_pids(struct driver_spec *spec, const Value *value, const char *field,
                               struct osa_error *err)
{
    if (value == NULL || value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE)
        return osa_fail_field(err, field, "must be a number, not %s",
                              value != NULL ? value_kind(value) : "nothing");
    double number = value->number_value;
    if (!(number >= 1 && number <= 4194304) || number != floor(number))
        return osa_fail_field(err, field, "must be a whole number of 1 to 4194304");
    spec->limits.pids_max = (uint64_t)number;
    return OSA_OK;
}

static enum osa_code read_disk(struct driver_spec *spec, const Value *value, const char *field,
                               struct osa_error *err)
{
    struct osa_error why = { 0 };
    const char *text;
    if (get_string(value, field, &text, err) != OSA_OK)
        return err->code;
    if (osa_bytes_parse(text, &spec->limits.disk_bytes, &why) != OSA_OK)
        return osa_fail_field(err, field, "%s", why.text);
    if (spec->limits.disk_bytes == 0)
        return osa_fail_field(err, field, "is 0; leave it out for no limit");
    return OSA_OK;
}

static enum osa_code read_seccomp(struct driver_spec *spec, const Value *value, const char *field,
                                  struct osa_error *err)
{
    static const char *const words[] = { "default", "strict", "gpu", NULL };
    return get_word(spec, value, field, words, &spec->seccomp_profile, err);
}

static enum osa_code read_isolation(struct driver_spec *spec, const Value *value, const char *field,
                                    struct osa_error *err)
{
    static const char *const words[] = { "restricted", "rootless", "full", "vm", NULL };
    return get_word(spec, value, field, words, &spec->min_isolation, err);
}

static enum osa_code read_workdir(struct driver_spec *spec, const Value *value, const char *field,
                                  struct osa_error *err)
{
    const char *text;
    if (get_string(value, field, &text, err) != OSA_OK)
        return err->code;
    if (text[0] != '/' || strlen(text) > 4095)
        return osa_fail_field(err, field, "'%.64s' is not an absolute path", text);
    spec->workdir = osa_arena_strdup(&spec->arena, text);
    return OSA_OK;
}

static enum osa_code read_pull(struct driver_spec *spec, const Value *value, const char *field,
                               struct osa_error *err)
{
    static const char *const words[] = { "missing", "always", "never", NULL };
    static const enum image_pull values[] = { IMAGE_PULL_MISSING, IMAGE_PULL_ALWAYS,
                                              IMAGE_PULL_NEVER };
    const char *text;
    if (get_word(spec, value, field, words, &text, err) != OSA_OK)
        return err->code;
    for (size_t i = 0; i < OSA_ARRAY_LEN(values); i++) {
        if (strcmp(text, words[i]) == 0)
            spec->image_pull = values[i];
    }
    return OSA_OK;
}

static enum osa_code read_changes(struct driver_spec *spec, const Value *value, const char *field,
                                  struct osa_error *err)
{
    static const char *const words[] = { "keep", "discard", NULL };
    const char *text;
    if (get_word(spec, value, field, words, &text, err) != OSA_OK)
        return err->code;
    spec->discard_changes = strcmp(text, "discard") == 0;
    return OSA_OK;
}

static const struct {
    const char *key;
    read_fn read;
} config_keys[] = {
    { "runtime", read_runtime }, { "pids_limit", read_pids },
    { "disk", read_disk },       { "seccomp_profile", read_seccomp },
    { "workdir", read_workdir }, { "min_isolation", read_isolation },
    { "image_pull", read_pull }, { "image_changes", read_changes },
};

enum osa_code driver_spec_config(const Google__Protobuf__Struct *wire, struct driver_spec *spec,
                                 struct osa_error *err)
{
    for (size_t i = 0; i < wire->n_fields; i++) {
        const char *key = wire->fields[i]->key;
        char field[sizeof(err->field)];
        size_t at = 0;
        while (at < OSA_ARRAY_LEN(config_keys) && strcmp(config_keys[at].key, key) != 0)
            at++;
        (void)snprintf(field, sizeof(field), "driver_config.%.40s", key);
        if (at == OSA_ARRAY_LEN(config_keys))
            return osa_fail_field(
                err, field,
                "is not known; known are runtime, pids_limit, disk, "
                "seccomp_profile, workdir, min_isolation, image_pull, image_changes");
        if (config_keys[at].read(spec, wire->fields[i]->value, field, err) != OSA_OK)
            return err->code;
    }
    return OSA_OK;
}

/* ---- platform_config ---- */

enum osa_code driver_spec_platform(const Google__Protobuf__Struct *wire, struct driver_spec *spec,
                                   struct osa_error *err)
{
    for (size_t i = 0; i < wire->n_fields; i++) {
        const char *key = wire->fields[i]->key;
        const char *text;
        if (strcmp(key, "runtime_class_name") != 0)
            return osa_fail(
                err, OSA_FAILED_PRECONDITION, 0,
                "platform_config.%.40s: this driver has nothing for it; of this kind it "
                "takes runtime_class_name alone",
                key);
        if (get_string(wire->fields[i]->value, "platform_config.runtime_class_name", &text, err) !=
            OSA_OK)
            return err->code;
        spec->runtime_class = osa_arena_strdup(&spec->arena, text);
    }
    return OSA_OK;
}
