// SPDX-License-Identifier: Apache-2.0
#include "policy/graphql_lexer.h"

#include <string.h>

static bool is_name_start(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Past blanks, line ends, commas, comments and a byte order mark. */
static size_t skip_ignored(struct policy_text doc, size_t at)
{
    if (at == 0 && doc.len >= 3 && memcmp(doc.data, "\xef\xbb\xbf", 3) == 0)
        at = 3;
    while (at < doc.len) {
        char c = doc.data[at];
        if (c == '#') {
            while (at < doc.len && doc.data[at] != '\n' && doc.data[at] != '\r')
                at++;
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
            at++;
        } else {
            break;
        }
    }
    return at;
}

/* Return: end of a number; 0 when it is malformed */
static size_t end_of_number(struct policy_text doc, size_t at)
{
    at += doc.data[at] == '-';
    size_t digits = at;
    while (at < doc.len && is_digit(doc.data[at]))
        at++;
    if (at == digits || (doc.data[digits] == '0' && at - digits > 1))
        return 0;
    if (at < doc.len && doc.data[at] == '.') {
        size_t fraction = ++at;
        while (at < doc.len && is_digit(doc.data[at]))
            at++;
        if (at == fraction)
            return 0;
    }
    if (at < doc.len && (doc.data[at] == 'e' || doc.data[at] == 'E')) {
        at++;
        at += at < doc.len && (doc.data[at] == '+' || doc.data[at] == '-');
        size_t exponent = at;
        while (at < doc.len && is_digit(doc.data[at]))
            at++;
        if (at == exponent)
            return 0;
    }
    bool glued = at < doc.len && (is_name_start(doc.data[at]) || doc.data[at] == '.');
    return glued ? 0 : at;
}

static size_t end_of_block(struct policy_text doc, size_t at)
{
    for (at += 3; at + 3 <= doc.len; at++) {
        if (doc.data[at] == '\\' && at + 4 <= doc.len && memcmp(doc.data + at, "\\\"\"\"", 4) == 0)
            at += 3;
        else if (memcmp(doc.data + at, "\"\"\"", 3) == 0)
            return at + 3;
    }
    return 0;
}

/* Return: end of a string; 0 when it does not end, or has a bad escape */
static size_t end_of_string(struct policy_text doc, size_t at)
{
    if (at + 3 <= doc.len && memcmp(doc.data + at, "\"\"\"", 3) == 0)
        return end_of_block(doc, at);
    for (at++; at < doc.len; at++) {
        char c = doc.data[at];
        if (c == '"')
            return at + 1;
        if ((unsigned char)c < ' ' && c != '\t')
            return 0;
        if (c != '\\')
            continue;
        if (++at == doc.len || doc.data[at] == '\0' || strchr("\"\\/bfnrtu", doc.data[at]) == NULL)
            return 0;
    }
    return 0;
}

struct graphql_token graphql_next_token(struct policy_text document, size_t *at)
{
    size_t start = skip_ignored(document, *at);
    size_t end = start;
    struct graphql_token token = { .kind = GRAPHQL_END };
    if (start < document.len) {
        char c = document.data[start];
        if (is_name_start(c)) {
            token.kind = GRAPHQL_NAME;
            while (end < document.len &&
                   (is_name_start(document.data[end]) || is_digit(document.data[end])))
                end++;
        } else if (c == '-' || is_digit(c)) {
            token.kind = GRAPHQL_NUMBER;
            end = end_of_number(document, start);
        } else if (c == '"') {
            token.kind = GRAPHQL_STRING;
            end = end_of_string(document, start);
        } else if (c == '.') {
            token.kind = GRAPHQL_SPREAD;
            bool three = document.len - start >= 3 && memcmp(document.data + start, "...", 3) == 0;
            end = three ? start + 3 : 0;
        } else {
            token.kind = GRAPHQL_PUNCTUATOR;
            end = c != '\0' && strchr("!$&():=@[]{|}", c) != NULL ? start + 1 : 0;
        }
        if (end == 0) {
            token.kind = GRAPHQL_BAD;
            end = start + 1;
        }
    }
    token.text = (struct policy_text){ document.data + start, end - start };
    *at = end;
    return token;
}
