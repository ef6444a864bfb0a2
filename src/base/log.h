// SPDX-License-Identifier: Apache-2.0
/*
 * Structured logs: one line per event, a short message and typed key=value pairs, as text or JSON.
 *
 * Low layers return errors and do not log. Untrusted text is escaped. Secrets and environment
 * values are never passed in.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum osa_log_level {
    OSA_LOG_DEBUG,
    OSA_LOG_INFO,
    OSA_LOG_WARN,
    OSA_LOG_ERROR,
    OSA_LOG_LEVEL_COUNT
};
enum osa_log_format { OSA_LOG_TEXT, OSA_LOG_JSON };

/** struct osa_kv - One key and its value; build them with the macros below */
struct osa_kv {
    const char *key; /* a constant of [a-z0-9_]+; NULL ends a list */
    enum { OSA_KV_STR, OSA_KV_I64, OSA_KV_U64, OSA_KV_BOOL } type;
    union {
        const char *str; /* NULL leaves the pair out; escaped when written */
        int64_t i64;
        uint64_t u64;
        bool boolean;
    };
};

#define OSA_S(k, v) ((struct osa_kv){ .key = (k), .type = OSA_KV_STR, .str = (v) })
#define OSA_I(k, v) ((struct osa_kv){ .key = (k), .type = OSA_KV_I64, .i64 = (v) })
#define OSA_U(k, v) ((struct osa_kv){ .key = (k), .type = OSA_KV_U64, .u64 = (v) })
#define OSA_B(k, v) ((struct osa_kv){ .key = (k), .type = OSA_KV_BOOL, .boolean = (v) })

/**
 * osa_log_setup() - Choose level, format and descriptor; before the first thread starts
 * @fd: borrowed for the life of the process; standard error unless set
 */
void osa_log_setup(enum osa_log_level level, enum osa_log_format format, int fd);

/** osa_log_enabled() - Would a line of @level be written? */
bool osa_log_enabled(enum osa_log_level level);

/**
 * osa_log_kv() - Write one line with a single write(2); lines over 8 KiB are cut and marked
 * @area: short name of the module ("rpc", "process")
 * @msg:  constant text; trouble says what happens next ("… retry in 200 ms")
 * @kv:   pairs, ended by one whose key is NULL; trace_id and span_id of the current trace follow them
 * Thread: any. A line that cannot be written is dropped and counted (osa_log_dropped()).
 */
void osa_log_kv(enum osa_log_level level, const char *area, const char *msg,
                const struct osa_kv *kv);

/** osa_log_dropped() - Lines lost since the start because the descriptor would not take them */
uint64_t osa_log_dropped(void);

/** osa_log_level_parse() - "debug", "info", "warn", "error". Return: false for anything else */
bool osa_log_level_parse(const char *name, enum osa_log_level *ret_level);

/* osa_log(OSA_LOG_INFO, "agent", "serving", OSA_S("listen", address)); at least one pair */
#define osa_log(level, area, msg, ...)                                                             \
    do {                                                                                           \
        if (osa_log_enabled(level))                                                                \
            osa_log_kv((level), (area), (msg), (const struct osa_kv[]){ __VA_ARGS__, { 0 } });     \
    } while (0)

/* Logs a failed call: its text, code and stage, with more pairs if wanted. */
#define osa_log_error(level, area, msg, err, ...)                                                  \
    osa_log(level, area, msg, OSA_S("code", osa_code_name((err)->code)),                           \
            OSA_S("error", (err)->text), ##__VA_ARGS__)
