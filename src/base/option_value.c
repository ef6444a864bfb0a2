// SPDX-License-Identifier: Apache-2.0
/* The value of an option, from text. */
#include "base/option_internal.h"
#include "base/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum osa_code fail(struct osa_error *err, const char *where, const char *why)
{
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: %s", where, why);
}

static enum osa_code convert_whole(const char *value, unsigned base, const char *where,
                                   uint64_t *ret_number, struct osa_error *err)
{
    const char *digits = base == 8 ? "01234567" : "0123456789";
    if (*value == '\0' || value[strspn(value, digits)] != '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is not %s", where, value,
                        base == 8 ? "a mode in octal such as 0660" : "a whole number");
    errno = 0;
    *ret_number = strtoull(value, NULL, (int)base);
    return errno == 0
               ? OSA_OK
               : osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is too large", where, value);
}

uint64_t osa_option_max(const struct osa_option *option)
{
    if (option->max != 0)
        return option->max;
    bool narrow = option->type == OSA_OPTION_U32 || option->type == OSA_OPTION_MODE;
    return narrow ? UINT32_MAX : UINT64_MAX;
}

bool osa_option_is_unbounded(const struct osa_option *option)
{
    return osa_option_max(option) >= INT64_MAX;
}

void osa_option_format(enum osa_option_type type, uint64_t bound, char *ret_text)
{
    if (type == OSA_OPTION_DURATION)
        osa_duration_format((int64_t)bound, ret_text);
    else if (type == OSA_OPTION_BYTES)
        osa_bytes_format(bound, ret_text);
    else if (type == OSA_OPTION_CPU)
        osa_cpu_format(bound, ret_text);
    else
        (void)snprintf(ret_text, OSA_QUANTITY_SIZE,
                       type == OSA_OPTION_MODE ? "%04" PRIo64 : "%" PRIu64, bound);
}

static enum osa_code check_range(const struct osa_option *option, uint64_t number,
                                 const char *value, const char *where, struct osa_error *err)
{
    uint64_t max = osa_option_max(option);
    if (number >= option->min && number <= max)
        return OSA_OK;
    char low[OSA_QUANTITY_SIZE];
    char high[OSA_QUANTITY_SIZE];
    osa_option_format(option->type, option->min, low);
    if (osa_option_is_unbounded(option))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s: '%.64s' is out of range; allowed: %s and more", where, value, low);
    osa_option_format(option->type, max, high);
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is out of range; allowed: %s to %s",
                    where, value, low, high);
}

static enum osa_code convert_number(const struct osa_option *option, const char *value,
                                    const char *where, union osa_option_cell *ret_cell,
                                    struct osa_error *err)
{
    uint64_t number = 0;
    int64_t duration = 0;
    enum osa_code code;
    if (option->type == OSA_OPTION_DURATION)
        code = osa_duration_parse(value, &duration, err);
    else if (option->type == OSA_OPTION_BYTES)
        code = osa_bytes_parse(value, &number, err);
    else if (option->type == OSA_OPTION_CPU)
        code = osa_cpu_parse(value, &number, err);
    else
        code = convert_whole(value, option->type == OSA_OPTION_MODE ? 8 : 10, where, &number, err);
    if (code != OSA_OK)
        return option->type == OSA_OPTION_DURATION || option->type == OSA_OPTION_BYTES ||
                       option->type == OSA_OPTION_CPU
                   ? osa_wrap(err, "%s", where)
                   : code;
    if (option->type == OSA_OPTION_DURATION)
        number = (uint64_t)duration;
    code = check_range(option, number, value, where, err);
    if (code != OSA_OK)
        return code;
    if (option->type == OSA_OPTION_DURATION)
        ret_cell->i64 = duration;
    else if (option->type == OSA_OPTION_U32 || option->type == OSA_OPTION_MODE)
        ret_cell->u32 = (uint32_t)number;
    else
        ret_cell->u64 = number;
    return OSA_OK;
}

static enum osa_code convert_bool(const char *value, const char *where,
                                  union osa_option_cell *ret_cell, struct osa_error *err)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is neither true nor false",
                        where, value);
    ret_cell->boolean = value[0] == 't';
    return OSA_OK;
}

static enum osa_code convert_enum(const struct osa_option *option, const char *value,
                                  const char *where, union osa_option_cell *ret_cell,
                                  struct osa_error *err)
{
    char known[256] = "";
    size_t used = 0;
    for (const struct osa_option_name *name = option->names; name->name != NULL; name++) {
        if (strcmp(name->name, value) == 0) {
            ret_cell->number = name->value;
            return OSA_OK;
        }
        int len =
            snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "", name->name);
        used = OSA_MIN(used + (size_t)OSA_MAX(len, 0), sizeof(known) - 1);
    }
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is not one of %s", where, value,
                    known);
}

enum osa_code osa_option_convert(const struct osa_option *option, const char *value,
                                 const char *where, union osa_option_cell *ret_cell,
                                 struct osa_error *err)
{
    switch (option->type) {
    case OSA_OPTION_PATH:
    case OSA_OPTION_LIST:
        if (*value == '\0')
            return fail(err, where, "is empty");
        ret_cell->string = value;
        return OSA_OK;
    case OSA_OPTION_STRING:
        ret_cell->string = value;
        return OSA_OK;
    case OSA_OPTION_BOOL:
        return convert_bool(value, where, ret_cell, err);
    case OSA_OPTION_ENUM:
        return convert_enum(option, value, where, ret_cell, err);
    case OSA_OPTION_U32:
    case OSA_OPTION_U64:
    case OSA_OPTION_MODE:
    case OSA_OPTION_DURATION:
    case OSA_OPTION_BYTES:
    case OSA_OPTION_CPU:
        return convert_number(option, value, where, ret_cell, err);
    }
    return OSA_INTERNAL;
}
