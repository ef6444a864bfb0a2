// SPDX-License-Identifier: Apache-2.0
#include "cli/wire.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

Google__Protobuf__Duration *cli_wire_duration(struct cli_arena *arena, int64_t ns)
{
    Google__Protobuf__Duration *wire =
        CLI_NEW(arena, Google__Protobuf__Duration, GOOGLE__PROTOBUF__DURATION__INIT);
    wire->seconds = ns / OSA_NS_PER_SEC;
    wire->nanos = (int32_t)(ns % OSA_NS_PER_SEC);
    return wire;
}

static int64_t to_ns(int64_t seconds, int32_t nanos)
{
    int64_t ns = 0;
    if (__builtin_mul_overflow(seconds, (int64_t)OSA_NS_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, (int64_t)nanos, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

int64_t cli_duration_ns(const Google__Protobuf__Duration *wire)
{
    return wire != NULL ? to_ns(wire->seconds, wire->nanos) : 0;
}

int64_t cli_timestamp_ns(const Google__Protobuf__Timestamp *wire)
{
    return wire != NULL ? to_ns(wire->seconds, wire->nanos) : 0;
}

API(Resources) * cli_wire_resources(struct cli_arena *arena, uint64_t cpu_millis,
                                    uint64_t memory_bytes, uint64_t pids_max, uint64_t disk_bytes)
{
    if (cpu_millis == 0 && memory_bytes == 0 && pids_max == 0 && disk_bytes == 0)
        return NULL;
    API(Resources) *wire = CLI_NEW(arena, API(Resources), API_INIT(RESOURCES));
    wire->cpu_millis = cpu_millis;
    wire->memory_bytes = memory_bytes;
    wire->pids_max = pids_max;
    wire->disk_bytes = disk_bytes;
    return wire;
}

static void put_pair(struct cli_arena *arena, struct cli_pair *pairs, size_t *count,
                     const char *key, size_t key_len, const char *value)
{
    size_t i = 0;
    while (i < *count &&
           (strlen(pairs[i].key) != key_len || strncmp(pairs[i].key, key, key_len) != 0))
        i++;
    if (i == *count)
        pairs[(*count)++].key = cli_copy(arena, key, key_len);
    pairs[i].value = cli_string(arena, value);
}

enum osa_code cli_pairs(struct cli_arena *arena, const char *flag, bool inherit,
                        const struct osa_strings *options, struct cli_pair **ret_pairs,
                        size_t *ret_count, struct osa_error *err)
{
    struct cli_pair *pairs = cli_alloc(arena, options->count + 1, sizeof(*pairs));
    size_t count = 0;
    for (size_t i = 0; i < options->count; i++) {
        const char *text = options->items[i];
        const char *equals = strchr(text, '=');
        if (equals == text)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "%s: '%.64s' has no key before the =", flag, text);
        if (equals == NULL && !inherit)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%.64s' is not KEY=VALUE", flag,
                            text);
        const char *value = equals != NULL ? equals + 1 : getenv(text);
        if (value != NULL)
            put_pair(arena, pairs, &count, text,
                     equals != NULL ? (size_t)(equals - text) : strlen(text), value);
    }
    *ret_pairs = pairs;
    *ret_count = count;
    return OSA_OK;
}

/* A number or "unlimited" that ends at @end. */
static bool limit_value(const char *text, const char *end, uint64_t *ret_value)
{
    size_t len = (size_t)(end - text);
    if (len == strlen("unlimited") && strncmp(text, "unlimited", len) == 0) {
        *ret_value = UINT64_MAX;
        return true;
    }
    if (len == 0 || len > 20 || strspn(text, "0123456789") != len)
        return false;
    errno = 0;
    *ret_value = strtoull(text, NULL, 10);
    return errno == 0;
}

enum osa_code cli_rlimits(struct cli_arena *arena, const struct osa_strings *options,
                          API(Rlimit) * **ret_limits, size_t *ret_count, struct osa_error *err)
{
    API(Rlimit) **limits = cli_alloc(arena, options->count + 1, sizeof(*limits));
    for (size_t i = 0; i < options->count; i++) {
        const char *text = options->items[i];
        const char *end = text + strlen(text);
        const char *equals = strchr(text, '=');
        const char *colon = equals != NULL ? strchr(equals, ':') : NULL;
        API(Rlimit) *limit = CLI_NEW(arena, API(Rlimit), API_INIT(RLIMIT));
        if (equals == NULL || equals == text ||
            !limit_value(equals + 1, colon != NULL ? colon : end, &limit->soft) ||
            !limit_value(colon != NULL ? colon + 1 : equals + 1, end, &limit->hard))
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "--rlimit: '%.64s' is not TYPE=SOFT or TYPE=SOFT:HARD, numbers or "
                            "unlimited",
                            text);
        limit->type = cli_copy(arena, text, (size_t)(equals - text));
        limits[i] = limit;
    }
    *ret_limits = limits;
    *ret_count = options->count;
    return OSA_OK;
}
