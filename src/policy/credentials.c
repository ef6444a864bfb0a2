// SPDX-License-Identifier: Apache-2.0
/* Exchanging placeholders, each place with its own encoding. */
#include "base/base64.h"
#include "base/json.h"
#include "policy/placeholder.h"
#include "policy/query.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/**
 * struct exchange - One run over one place
 * @put:   appends bytes in the encoding of the place; false without out->failed: they cannot be there
 * @where: for messages
 */
struct exchange {
    struct policy_credentials *credentials;
    struct osa_buf *out;
    bool (*put)(struct osa_buf *out, struct policy_text value);
    const char *where;
    struct osa_error *err;
};

static enum osa_code unresolved(const struct exchange *x, const char *why)
{
    return osa_fail(x->err, OSA_NOT_FOUND, 0, "a credential placeholder in the %s %s", x->where,
                    why);
}

static enum osa_code add(const struct exchange *x, const char *data, size_t len)
{
    if (len == 0 || osa_buf_add(x->out, data, len))
        return OSA_OK;
    return osa_fail(x->err, OSA_RESOURCE_EXHAUSTED, 0, "the %s is too long with its credentials",
                    x->where);
}

static bool has_control(struct policy_text value)
{
    return memchr(value.data, '\r', value.len) != NULL ||
           memchr(value.data, '\n', value.len) != NULL ||
           memchr(value.data, '\0', value.len) != NULL;
}

static enum osa_code put(const struct exchange *x, struct policy_text bytes, const char *why)
{
    if (x->put(x->out, bytes))
        return OSA_OK;
    if (!x->out->failed)
        return unresolved(x, why);
    return osa_fail(x->err, OSA_RESOURCE_EXHAUSTED, 0, "the %s is too long with its credentials",
                    x->where);
}

static enum osa_code put_value(const struct exchange *x, const struct policy_placeholder *what)
{
    static const char shown[] = POLICY_CREDENTIAL_SHOWN;
    struct policy_text value = { shown, sizeof(shown) - 1 };
    if (x->credentials == NULL)
        return add(x, value.data, value.len);
    enum osa_code code = x->credentials->find(x->credentials, what, &value);
    if (code == OSA_PERMISSION_DENIED)
        return osa_fail(x->err, code, 0, "a credential in the %s is bound to another endpoint",
                        x->where);
    if (code != OSA_OK)
        return unresolved(x, "stands for nothing that is known, or has expired");
    if (value.len == 0 || has_control(value))
        return unresolved(x, "stands for a value that cannot be sent");
    return put(x, value, "stands for a value that would change its meaning");
}

/* Text without any encoding of its own. */
static enum osa_code exchange(const struct exchange *x, struct policy_text text)
{
    size_t at = 0;
    for (;;) {
        struct policy_placeholder what;
        enum policy_placeholder_find found = policy_placeholder_next(text, at, &what);
        if (found == POLICY_PLACEHOLDER_BROKEN)
            return unresolved(x, "is not whole");
        if (found == POLICY_PLACEHOLDER_NONE)
            return add(x, text.data + at, text.len - at);
        size_t start = (size_t)(what.token.data - text.data);
        enum osa_code code = add(x, text.data + at, start - at);
        if (code == OSA_OK)
            code = put_value(x, &what);
        if (code != OSA_OK)
            return code;
        at = start + what.token.len;
    }
}

/* ---- encodings ---- */

static bool put_plain(struct osa_buf *out, struct policy_text value)
{
    return osa_buf_add(out, value.data, value.len);
}

static bool put_json(struct osa_buf *out, struct policy_text value)
{
    OSA_AUTO(osa_buf_done) struct osa_buf quoted;
    struct osa_json json;
    osa_buf_init(&quoted, 6 * value.len + 2);
    osa_json_init(&json, &quoted, /* pretty= */ false);
    osa_json_string(&json, value.data, value.len);
    return !quoted.failed && osa_buf_add(out, quoted.data + 1, quoted.len - 2);
}

static bool put_encoded(struct osa_buf *out, struct policy_text value, const char *plain)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool good = letter || (c != '\0' && strchr(plain, c) != NULL)
                        ? osa_buf_add(out, value.data + i, 1)
                        : osa_buf_addf(out, "%%%02X", c);
        if (!good)
            return false;
    }
    return true;
}

static bool put_query(struct osa_buf *out, struct policy_text value)
{
    return put_encoded(out, value, "-._~");
}

/* What would end a segment, or the path, is not encoded but refused: servers decode too early. */
static bool put_segment(struct osa_buf *out, struct policy_text value)
{
    bool dots = true;
    for (size_t i = 0; i < value.len; i++) {
        dots = dots && value.data[i] == '.';
        if (strchr("/\\?#", value.data[i]) != NULL)
            return false;
    }
    return !dots && put_encoded(out, value, "-._~!$&'()*+,;=:@");
}

/* A value may make a marker together with what stands beside it; that one must not leave either. */
static enum osa_code check_result(const struct exchange *x, size_t start, enum osa_code code)
{
    if (code != OSA_OK || x->out->len == start)
        return code;
    struct policy_text result = { x->out->data + start, x->out->len - start };
    return policy_placeholder_seen(result) ? unresolved(x, "makes another one") : OSA_OK;
}

/* ---- places ---- */

enum osa_code policy_credentials_text(struct policy_text text, enum policy_escape escape,
                                      struct policy_credentials *credentials, struct osa_buf *out,
                                      struct osa_error *err)
{
    const struct exchange x = { credentials, out,
                                escape == POLICY_ESCAPE_JSON ? put_json : put_plain, "text", err };
    size_t start = out->len;
    return check_result(&x, start, exchange(&x, text));
}

/* Decoded text, encoded again; what stands beside placeholders goes the same way as values. */
static enum osa_code exchange_decoded(const struct exchange *x, struct policy_text text)
{
    static const char beside[] = "stands beside bytes that cannot be there";
    for (size_t at = 0;;) {
        struct policy_placeholder what;
        enum policy_placeholder_find found = policy_placeholder_next(text, at, &what);
        if (found == POLICY_PLACEHOLDER_BROKEN)
            return unresolved(x, "is not whole");
        bool last = found == POLICY_PLACEHOLDER_NONE;
        size_t end = last ? text.len : (size_t)(what.token.data - text.data);
        enum osa_code code = OSA_OK;
        if (end > at)
            code = put(x, (struct policy_text){ text.data + at, end - at }, beside);
        if (code == OSA_OK && !last)
            code = put_value(x, &what);
        if (code != OSA_OK || last)
            return code;
        at = end + what.token.len;
    }
}

/* A piece that has no marker stays as it was sent. @plus: a '+' is a blank. */
static enum osa_code exchange_encoded(const struct exchange *x, struct policy_text piece, bool plus)
{
    if (!policy_placeholder_seen(piece))
        return add(x, piece.data, piece.len);
    OSA_AUTO(osa_free) char *decoded = malloc(piece.len + 1);
    if (decoded == NULL)
        return osa_fail(x->err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for the %s", x->where);
    size_t len = 0;
    for (size_t i = 0; i < piece.len; i++) {
        int c = (unsigned char)piece.data[i];
        if (c == '%') {
            c = policy_percent(piece.data + i, piece.len - i);
            if (c < 0)
                return unresolved(x, "stands beside a bad escape");
            i += 2;
        }
        decoded[len++] = plus && piece.data[i] == '+' ? ' ' : (char)c;
    }
    return exchange_decoded(x, (struct policy_text){ decoded, len });
}

static enum osa_code exchange_path(const struct exchange *x, struct policy_text path)
{
    for (size_t at = 0; at <= path.len;) {
        const char *slash = at < path.len ? memchr(path.data + at, '/', path.len - at) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.len;
        struct policy_text segment = { path.data + at, end - at };
        enum osa_code code = exchange_encoded(x, segment, /* plus= */ false);
        if (code == OSA_OK && slash != NULL)
            code = add(x, "/", 1);
        if (code != OSA_OK)
            return code;
        at = end + 1;
    }
    return OSA_OK;
}

static enum osa_code exchange_form(const struct exchange *x, struct policy_text pairs)
{
    for (size_t at = 0; at <= pairs.len;) {
        const char *mark = at < pairs.len ? memchr(pairs.data + at, '&', pairs.len - at) : NULL;
        size_t end = mark != NULL ? (size_t)(mark - pairs.data) : pairs.len;
        const char *equals = end > at ? memchr(pairs.data + at, '=', end - at) : NULL;
        size_t value = equals != NULL ? (size_t)(equals - pairs.data) + 1 : end;
        struct policy_text name = { pairs.data + at, value - at };
        if (policy_placeholder_seen(name))
            return unresolved(x, "stands in a name, not in a value");
        enum osa_code code = add(x, name.data, name.len);
        if (code == OSA_OK)
            code = exchange_encoded(x, (struct policy_text){ pairs.data + value, end - value },
                                    /* plus= */ true);
        if (code == OSA_OK && mark != NULL)
            code = add(x, "&", 1);
        if (code != OSA_OK)
            return code;
        at = end + 1;
    }
    return OSA_OK;
}

enum osa_code policy_credentials_path(struct policy_text path,
                                      struct policy_credentials *credentials, struct osa_buf *out,
                                      struct osa_error *err)
{
    const struct exchange x = { credentials, out, put_segment, "path", err };
    size_t start = out->len;
    return check_result(&x, start, exchange_path(&x, path));
}

enum osa_code policy_credentials_form(struct policy_text pairs,
                                      struct policy_credentials *credentials, struct osa_buf *out,
                                      struct osa_error *err)
{
    const struct exchange x = { credentials, out, put_query, "query", err };
    size_t start = out->len;
    return check_result(&x, start, exchange_form(&x, pairs));
}

/* ---- headers ---- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648, 4, padded. Return: false when it is not that, or does not fit */
static bool decode_base64(struct policy_text text, struct osa_buf *out)
{
    if (text.len % 4 != 0)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool pad = i >= text.len - padding;
        const char *digit = pad || text.data[i] == '\0' ? NULL : strchr(base64, text.data[i]);
        if (digit == NULL && !pad)
            return false;
        bits = bits << 6 | (digit != NULL ? (uint32_t)(digit - base64) : 0);
        if (i % 4 != 3)
            continue;
        char bytes[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
        size_t count = i + 1 == text.len ? 3 - padding : 3;
        if (!osa_buf_add(out, bytes, count))
            return false;
    }
    return true;
}

static struct policy_text trim(struct policy_text text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Whether all of @text is one placeholder. */
static bool is_placeholder(struct policy_text text, struct policy_placeholder *ret)
{
    return policy_placeholder_next(text, 0, ret) == POLICY_PLACEHOLDER_FOUND &&
           ret->token.data == text.data && ret->token.len == text.len;
}

/* Return: whether there was something to exchange in "Basic @token"; *ret_code says how it went */
static bool exchange_basic(const struct exchange *x, struct policy_text token,
                           enum osa_code *ret_code)
{
    OSA_AUTO(osa_buf_done) struct osa_buf plain;
    OSA_AUTO(osa_buf_done) struct osa_buf filled;
    osa_buf_init(&plain, x->out->max);
    osa_buf_init(&filled, x->out->max);
    if (!decode_base64(token, &plain) || plain.len == 0)
        return false;
    struct policy_text text = { plain.data, plain.len };
    if (!policy_placeholder_seen(text))
        return false;
    const struct exchange inner = { x->credentials, &filled, put_plain, x->where, x->err };
    *ret_code = check_result(&inner, 0, exchange(&inner, text));
    if (*ret_code == OSA_OK)
        *ret_code = add(x, "Basic ", 6);
    if (*ret_code == OSA_OK && !osa_base64_add(x->out, filled.data, filled.len))
        *ret_code = osa_fail(x->err, OSA_RESOURCE_EXHAUSTED, 0,
                             "the header is too long with its credentials");
    return true;
}

static enum osa_code exchange_header(const struct exchange *x, struct policy_text value)
{
    struct policy_placeholder what;
    value = trim(value);
    if (value.len == 0)
        return OSA_OK;
    if (is_placeholder(value, &what))
        return put_value(x, &what);
    const char *blank = memchr(value.data, ' ', value.len);
    if (blank != NULL) {
        struct policy_text scheme = { value.data, (size_t)(blank - value.data) };
        struct policy_text token = trim((struct policy_text){ blank, value.len - scheme.len });
        enum osa_code code = OSA_OK;
        if (scheme.len == 5 && strncasecmp(scheme.data, "Basic", 5) == 0 &&
            exchange_basic(x, token, &code))
            return code;
        if (!policy_placeholder_seen(scheme) && is_placeholder(token, &what)) {
            code = add(x, scheme.data, scheme.len);
            if (code == OSA_OK)
                code = add(x, " ", 1);
            return code != OSA_OK ? code : put_value(x, &what);
        }
    }
    if (policy_placeholder_seen(value))
        return unresolved(x, "stands where none is exchanged");
    return add(x, value.data, value.len);
}

enum osa_code policy_credentials_header(struct policy_text value,
                                        struct policy_credentials *credentials, struct osa_buf *out,
                                        struct osa_error *err)
{
    const struct exchange x = { credentials, out, put_plain, "header", err };
    size_t start = out->len;
    return check_result(&x, start, exchange_header(&x, value));
}
