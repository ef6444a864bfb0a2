// SPDX-License-Identifier: Apache-2.0
#include "egress/head.h"

#include "base/utf8.h"

#include <string.h>
#include <strings.h>

static bool is_token(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr(others, c) != NULL);
}

static bool all_tokens(struct head_span span)
{
    for (size_t i = 0; i < span.len; i++) {
        if (!is_token((unsigned char)span.at[i]))
            return false;
    }
    return span.len > 0;
}

bool span_is(struct head_span span, const char *text)
{
    return span.len == strlen(text) && strncasecmp(span.at, text, span.len) == 0;
}

static struct head_span trim(struct head_span span)
{
    while (span.len > 0 && (span.at[0] == ' ' || span.at[0] == '\t')) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && (span.at[span.len - 1] == ' ' || span.at[span.len - 1] == '\t'))
        span.len--;
    return span;
}

/* The next element of a comma-separated list, taken off @rest. Return: false at its end. */
static bool next_element(struct head_span *rest, struct head_span *ret)
{
    if (rest->at == NULL)
        return false;
    const char *comma = rest->len > 0 ? memchr(rest->at, ',', rest->len) : NULL;
    size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->at);
    *ret = trim((struct head_span){ rest->at, len });
    if (comma == NULL)
        *rest = (struct head_span){ NULL, 0 };
    else
        *rest = (struct head_span){ comma + 1, rest->len - len - 1 };
    return true;
}

size_t head_end(const char *data, size_t len)
{
    const char *end = len >= 4 ? memmem(data, len, "\r\n\r\n", 4) : NULL;
    return end == NULL ? 0 : (size_t)(end - data) + 4;
}

/* Bytes that a line may hold: text in UTF-8, blanks and tabs. */
static const char *check_line(struct head_span line)
{
    for (size_t i = 0; i < line.len;) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return "a control character";
        size_t width = osa_utf8_length(line.at + i, line.len - i);
        if (width == 0)
            return "text that is not UTF-8";
        i += width;
    }
    return NULL;
}

static const char *parse_version(struct head_span span, unsigned *ret_minor)
{
    if (span.len != 8 || memcmp(span.at, "HTTP/1.", 7) != 0 || span.at[7] < '0' || span.at[7] > '1')
        return "a version other than HTTP/1.0 and HTTP/1.1";
    *ret_minor = (unsigned)(span.at[7] - '0');
    return NULL;
}

static const char *parse_request_line(struct head_span line, struct head *ret)
{
    const char *first = memchr(line.at, ' ', line.len);
    const char *last = line.at + line.len;
    while (last > line.at && *--last != ' ') {
    }
    if (first == NULL || first == last)
        return "a request line without method, target and version";
    const char *end = line.at + line.len;
    ret->method = (struct head_span){ line.at, (size_t)(first - line.at) };
    ret->target = (struct head_span){ first + 1, (size_t)(last - first - 1) };
    if (!all_tokens(ret->method))
        return "a method that is no token";
    if (ret->target.len == 0 || memchr(ret->target.at, ' ', ret->target.len) != NULL ||
        memchr(line.at, '\t', line.len) != NULL)
        return "blanks in the request line";
    return parse_version((struct head_span){ last + 1, (size_t)(end - last - 1) }, &ret->minor);
}

static const char *parse_status_line(struct head_span line, struct head *ret)
{
    if (line.len < 12 || line.at[8] != ' ' || (line.len > 12 && line.at[12] != ' '))
        return "a malformed status line";
    for (unsigned i = 9; i < 12; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return "a malformed status line";
        ret->status = ret->status * 10 + (unsigned)(line.at[i] - '0');
    }
    if (ret->status < 100)
        return "a malformed status line";
    return parse_version((struct head_span){ line.at, 8 }, &ret->minor);
}

static const char *parse_length(struct head_span value, struct head *ret)
{
    if (ret->has_length)
        return "Content-Length twice";
    if (value.len == 0 || value.len > 18)
        return "a malformed Content-Length";
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return "a malformed Content-Length";
        ret->length = ret->length * 10 + (uint64_t)(value.at[i] - '0');
    }
    ret->has_length = true;
    return NULL;
}

static const char *parse_connection(struct head_span value, struct head *ret)
{
    struct head_span option;
    while (next_element(&value, &option)) {
        if (!all_tokens(option))
            return "a malformed Connection field";
        if (span_is(option, "host") || span_is(option, "content-length") ||
            span_is(option, "transfer-encoding"))
            return "a Connection field that names the framing";
        ret->wants_close |= span_is(option, "close");
        ret->wants_upgrade |= span_is(option, "upgrade");
    }
    return NULL;
}

static const char *note_field(const struct head_field *field, struct head *ret)
{
    if (span_is(field->name, "content-length"))
        return parse_length(field->value, ret);
    if (span_is(field->name, "connection"))
        return parse_connection(field->value, ret);
    if (span_is(field->name, "expect"))
        ret->expects_continue = span_is(field->value, "100-continue");
    if (span_is(field->name, "transfer-encoding")) {
        if (ret->chunked || !span_is(field->value, "chunked"))
            return "a Transfer-Encoding other than chunked";
        ret->chunked = true;
    }
    if (span_is(field->name, "host")) {
        if (ret->host.at != NULL)
            return "Host twice";
        ret->host = field->value;
    }
    return NULL;
}

static const char *parse_field(struct head_span line, struct head *ret)
{
    const char *colon = memchr(line.at, ':', line.len);
    if (line.at[0] == ' ' || line.at[0] == '\t')
        return "a folded line";
    if (colon == NULL)
        return "a line without a colon";
    size_t name_len = (size_t)(colon - line.at);
    const struct head_field field = {
        .name = { line.at, name_len },
        .value = trim((struct head_span){ colon + 1, line.len - name_len - 1 }),
    };
    if (!all_tokens(field.name))
        return "a field name that is no token";
    if (ret->count == HEAD_MAX_FIELDS)
        return "too many fields";
    ret->fields[ret->count++] = field;
    return note_field(&field, ret);
}

static const char *check_whole(const struct head *head, bool response)
{
    if (head->chunked && head->has_length)
        return "Transfer-Encoding together with Content-Length";
    if (head->chunked && head->minor == 0)
        return "Transfer-Encoding in HTTP/1.0";
    if (!response && head->minor == 1 && head->host.at == NULL)
        return "no Host";
    return NULL;
}

const char *head_parse(const char *data, size_t len, bool response, struct head *ret)
{
    memset(ret, 0, offsetof(struct head, fields));
    if (len > HEAD_MAX_BYTES)
        return "too long";
    for (size_t at = 0; at + 2 < len;) {
        const char *end = memchr(data + at, '\r', len - at);
        if (end == NULL || end + 1 >= data + len || end[1] != '\n')
            return "a line that does not end with CR LF";
        const struct head_span line = { data + at, (size_t)(end - data) - at };
        const char *fault = line.len == 0 ? "an empty line" : check_line(line);
        if (fault == NULL && at > 0)
            fault = parse_field(line, ret);
        else if (fault == NULL)
            fault = response ? parse_status_line(line, ret) : parse_request_line(line, ret);
        if (fault != NULL)
            return fault;
        at += line.len + 2;
    }
    return check_whole(ret, response);
}

const struct head_field *head_find(const struct head *head, const char *name)
{
    for (unsigned i = 0; i < head->count; i++) {
        if (span_is(head->fields[i].name, name))
            return &head->fields[i];
    }
    return NULL;
}

bool head_is_hop_field(const struct head *head, const struct head_field *field)
{
    static const char *const names[] = { "connection",        "keep-alive", "te",
                                         "transfer-encoding", "trailer",    "upgrade",
                                         "content-length" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(names); i++) {
        if (span_is(field->name, names[i]))
            return true;
    }
    if (field->name.len >= 6 && strncasecmp(field->name.at, "proxy-", 6) == 0)
        return true;
    for (unsigned i = 0; i < head->count; i++) {
        struct head_span rest = head->fields[i].value;
        struct head_span option;
        if (!span_is(head->fields[i].name, "connection"))
            continue;
        while (next_element(&rest, &option)) {
            if (option.len == field->name.len &&
                strncasecmp(option.at, field->name.at, option.len) == 0)
                return true;
        }
    }
    return false;
}
