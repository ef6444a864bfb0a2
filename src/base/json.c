// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void osa_json_init(struct osa_json *json, struct osa_buf *out, bool pretty)
{
    *json = (struct osa_json){ .out = out, .pretty = pretty, .empty = true };
}

static void newline(struct osa_json *json)
{
    if (json->pretty)
        (void)osa_buf_addf(json->out, "\n%*s", (int)(json->depth * 2), "");
}

/* What stands before a value or key: a comma unless it is the first, a new line inside brackets. */
static void begin(struct osa_json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (!json->empty)
        (void)osa_buf_add(json->out, ",", 1);
    if (json->depth > 0)
        newline(json);
    json->empty = false;
}

void osa_json_open(struct osa_json *json, char bracket)
{
    begin(json);
    (void)osa_buf_add(json->out, &bracket, 1);
    json->depth++;
    json->empty = true;
}

void osa_json_close(struct osa_json *json, char bracket)
{
    json->depth--;
    if (!json->empty)
        newline(json);
    (void)osa_buf_add(json->out, &bracket, 1);
    json->empty = false;
}

static void add_character(struct osa_buf *out, const char *p, size_t len)
{
    unsigned char c = (unsigned char)*p;
    if (len == 0)
        (void)osa_buf_add(out, "\\ufffd", 6);
    else if (c == '"' || c == '\\')
        (void)osa_buf_addf(out, "\\%c", c);
    else if (c == '\n')
        (void)osa_buf_add(out, "\\n", 2);
    else if (c == '\t')
        (void)osa_buf_add(out, "\\t", 2);
    else if (osa_utf8_is_obeyed(osa_utf8_point(p, len))) /* people read JSON on terminals, too */
        (void)osa_buf_addf(out, "\\u%04x", (unsigned)osa_utf8_point(p, len));
    else
        (void)osa_buf_add(out, p, len);
}

static void quote(struct osa_buf *out, const char *text, size_t len)
{
    (void)osa_buf_add(out, "\"", 1);
    for (size_t i = 0; i < len;) {
        size_t step = osa_utf8_length(text + i, len - i);
        add_character(out, text + i, step);
        i += step > 0 ? step : 1;
    }
    (void)osa_buf_add(out, "\"", 1);
}

void osa_json_key(struct osa_json *json, const char *key)
{
    begin(json);
    quote(json->out, key, strlen(key));
    (void)osa_buf_addf(json->out, "%s", json->pretty ? ": " : ":");
    json->after_key = true;
}

void osa_json_string(struct osa_json *json, const char *text, size_t len)
{
    begin(json);
    quote(json->out, text, len);
}

void osa_json_text(struct osa_json *json, const char *text)
{
    osa_json_string(json, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

void osa_json_i64(struct osa_json *json, int64_t value)
{
    begin(json);
    (void)osa_buf_addf(json->out, "%" PRId64, value);
}

void osa_json_u64(struct osa_json *json, uint64_t value)
{
    begin(json);
    (void)osa_buf_addf(json->out, "%" PRIu64, value);
}

void osa_json_double(struct osa_json *json, double value)
{
    if (!isfinite(value)) {
        osa_json_text(json, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    begin(json);
    (void)osa_buf_addf(json->out, "%.17g", value);
}

void osa_json_bool(struct osa_json *json, bool value)
{
    begin(json);
    (void)osa_buf_addf(json->out, "%s", value ? "true" : "false");
}

void osa_json_null(struct osa_json *json)
{
    begin(json);
    (void)osa_buf_add(json->out, "null", 4);
}
