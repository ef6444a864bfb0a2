// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/clock.h"
#include "base/trace.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192

static const char *const level_names[OSA_LOG_LEVEL_COUNT] = {
    [OSA_LOG_DEBUG] = "debug",
    [OSA_LOG_INFO] = "info",
    [OSA_LOG_WARN] = "warn",
    [OSA_LOG_ERROR] = "error",
};

/* Written once by osa_log_setup() before threads exist, read-only afterwards. */
static struct {
    enum osa_log_level level;
    enum osa_log_format format;
    int fd;
} sink = { .level = OSA_LOG_INFO, .format = OSA_LOG_TEXT, .fd = STDERR_FILENO };

static atomic_uint_fast64_t dropped;

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
    bool cut;
};

/* Room is kept for the mark of a cut line and its end: at most 32 bytes. */
static void put(struct line *line, const char *data, size_t len)
{
    size_t room = sizeof(line->text) - 32 - line->len;
    if (line->cut || len > room) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->len, data, len);
    line->len += len;
}

static void puts_line(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void putf(struct line *line, const char *fmt, ...) OSA_PRINTF(2, 3);
static void putf(struct line *line, const char *fmt, ...)
{
    char piece[64];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(piece, sizeof(piece), fmt, args);
    va_end(args);
    if (len > 0)
        put(line, piece, OSA_MIN((size_t)len, sizeof(piece) - 1));
}

/* JSON string escapes, which the text format uses too; broken sequences become \u00xx, byte by byte. */
static void put_escaped(struct line *line, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t step = osa_utf8_length(text + i, len - i);
        uint32_t point =
            step > 0 ? osa_utf8_point(text + i, step) : (uint32_t)(unsigned char)text[i];
        if (point == '"' || point == '\\')
            putf(line, "\\%c", (int)point);
        else if (point == '\n')
            puts_line(line, "\\n");
        else if (step == 0 || osa_utf8_is_obeyed(point))
            putf(line, "\\u%04x", (unsigned)point);
        else
            put(line, text + i, step);
        i += step > 0 ? step : 1;
    }
}

static bool is_plain(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
                     (*text >= 'A' && *text <= 'Z') || strchr("-_./:@+%,", *text) != NULL;
        if (!plain)
            return false;
    }
    return true;
}

static void put_string(struct line *line, const char *text)
{
    bool quote = sink.format == OSA_LOG_JSON || !is_plain(text);
    if (quote)
        puts_line(line, "\"");
    put_escaped(line, text);
    if (quote)
        puts_line(line, "\"");
}

static void put_value(struct line *line, const struct osa_kv *kv)
{
    switch (kv->type) {
    case OSA_KV_STR:
        put_string(line, kv->str);
        break;
    case OSA_KV_I64:
        putf(line, "%lld", (long long)kv->i64);
        break;
    case OSA_KV_U64:
        putf(line, "%llu", (unsigned long long)kv->u64);
        break;
    case OSA_KV_BOOL:
        puts_line(line, kv->boolean ? "true" : "false");
        break;
    }
}

static void put_time(struct line *line)
{
    int64_t wall = osa_wall_ns();
    time_t seconds = (time_t)(wall / OSA_NS_PER_SEC);
    struct tm utc;
    char text[32];
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    putf(line, "%s.%06dZ", text, (int)(wall % OSA_NS_PER_SEC / OSA_NS_PER_US));
}

static void put_pairs(struct line *line, const struct osa_kv *kv)
{
    bool json = sink.format == OSA_LOG_JSON;
    for (; kv->key != NULL; kv++) {
        if (kv->type == OSA_KV_STR && kv->str == NULL)
            continue;
        size_t before_pair = line->len;
        putf(line, json ? ",\"%s\":" : " %s=", kv->key);
        put_value(line, kv);
        if (line->cut) { /* drop the pair that does not fit whole, so that JSON stays JSON */
            line->len = before_pair;
            return;
        }
    }
}

/* Whose call the line follows from; the names are those of OpenTelemetry's log records. */
static void put_trace(struct line *line)
{
    const struct osa_trace *trace = osa_trace_current();
    if (trace == NULL || line->cut)
        return;
    put_pairs(line, (const struct osa_kv[]){ OSA_S("trace_id", trace->trace_id),
                                             OSA_S("span_id", trace->span_id),
                                             { 0 } });
}

void osa_log_kv(enum osa_log_level level, const char *area, const char *msg,
                const struct osa_kv *kv)
{
    int saved_errno = errno;
    struct line line;
    line.len = 0;
    line.cut = false;
    bool json = sink.format == OSA_LOG_JSON;

    puts_line(&line, json ? "{\"time\":\"" : "");
    put_time(&line);
    putf(&line, json ? "\",\"level\":\"%s\"" : " %-5s", level_names[level]);
    putf(&line, json ? ",\"area\":\"%s\"" : " %s:", area);
    puts_line(&line, json ? ",\"msg\":\"" : " ");
    put_escaped(&line, msg);
    puts_line(&line, json ? "\"" : "");
    put_pairs(&line, kv);
    put_trace(&line);

    if (line.cut) {
        const char *mark = json ? ",\"cut\":true" : " cut=true";
        memcpy(line.text + line.len, mark, strlen(mark));
        line.len += strlen(mark);
    }
    if (json)
        line.text[line.len++] = '}';
    line.text[line.len++] = '\n';
    ssize_t put_bytes;
    do
        put_bytes = write(sink.fd, line.text, line.len);
    while (put_bytes < 0 && errno == EINTR);
    if (put_bytes != (ssize_t)line.len)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = saved_errno;
}

void osa_log_setup(enum osa_log_level level, enum osa_log_format format, int fd)
{
    sink.level = level;
    sink.format = format;
    sink.fd = fd;
}

bool osa_log_enabled(enum osa_log_level level)
{
    return level >= sink.level;
}

uint64_t osa_log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

bool osa_log_level_parse(const char *name, enum osa_log_level *ret_level)
{
    for (unsigned i = 0; i < OSA_LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum osa_log_level)i;
            return true;
        }
    }
    return false;
}
