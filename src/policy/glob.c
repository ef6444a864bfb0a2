// SPDX-License-Identifier: Apache-2.0
#include "policy/glob.h"

#include "policy/pattern_internal.h"

#include <string.h>

const char *policy_glob_fault(const char *pattern)
{
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    struct pattern_program program;
    return pattern_parse(&arena, pattern, /* separator= */ '/', &program);
}

/* Past a class whose '[' is at @p; the pattern is good. */
static const char *skip_class(const char *p)
{
    p++;
    if (*p == '!' || *p == '^')
        p++;
    p++; /* a ']' here is one of the class */
    while (*p != ']' && *p != '\0')
        p++;
    return p + (*p == ']');
}

enum token_kind { TOKEN_END, TOKEN_BYTE, TOKEN_ONE, TOKEN_ANY, TOKEN_STAR, TOKEN_DOUBLE };

struct token {
    enum token_kind kind;
    char byte;
};

enum { OVERLAP_MAX_TOKENS = 256 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Return: number of tokens, or OVERLAP_MAX_TOKENS when the pattern is too long or has braces */
static size_t tokenize(const char *p, struct token *ret)
{
    size_t count = 0;
    while (*p != '\0' && count < OVERLAP_MAX_TOKENS) {
        struct token *token = &ret[count++];
        if (p[0] == '*') {
            token->kind = p[1] == '*' ? TOKEN_DOUBLE : TOKEN_STAR;
            p += strspn(p, "*");
        } else if (p[0] == '?') {
            token->kind = TOKEN_ONE;
            p++;
        } else if (p[0] == '[') {
            token->kind = TOKEN_ANY;
            p = skip_class(p);
        } else if (p[0] == '{') {
            return OVERLAP_MAX_TOKENS;
        } else {
            p += p[0] == '\\' && p[1] != '\0';
            *token = (struct token){ TOKEN_BYTE, lower(*p) };
            p++;
        }
    }
    return count;
}

static bool is_star(struct token t)
{
    return t.kind == TOKEN_STAR || t.kind == TOKEN_DOUBLE;
}

/* Whether one byte exists that both tokens can take. */
static bool share_byte(struct token a, struct token b, char separator)
{
    bool a_sep = a.kind == TOKEN_DOUBLE || a.kind == TOKEN_ANY || separator == '\0';
    bool b_sep = b.kind == TOKEN_DOUBLE || b.kind == TOKEN_ANY || separator == '\0';
    if (a.kind == TOKEN_BYTE && b.kind == TOKEN_BYTE)
        return a.byte == b.byte;
    if (a.kind == TOKEN_BYTE)
        return b_sep || a.byte != separator;
    if (b.kind == TOKEN_BYTE)
        return a_sep || b.byte != separator;
    return true;
}

/*
 * Row by row over the tokens of @a, reach[j] says that some text leads both patterns to (i, j).
 * A star may be left for nothing, or stay where it is while it takes a byte.
 */
static bool intersect(const struct token *a, size_t na, const struct token *b, size_t nb,
                      char separator)
{
    bool reach[OVERLAP_MAX_TOKENS + 1][2] = { { false } };
    reach[0][0] = true;
    for (size_t i = 0; i <= na; i++) {
        size_t now = i & 1;
        size_t then = now ^ 1;
        for (size_t j = 0; j <= nb; j++)
            reach[j][then] = false;
        for (size_t j = 0; j <= nb; j++) {
            if (!reach[j][now])
                continue;
            bool a_star = i < na && is_star(a[i]);
            bool b_star = j < nb && is_star(b[j]);
            if (a_star)
                reach[j][then] = true;
            if (b_star)
                reach[j + 1][now] = true;
            if (i == na || j == nb || !share_byte(a[i], b[j], separator))
                continue;
            /* Both take a byte; each star may stay. Staying in both is where we are already. */
            if (a_star && !b_star)
                reach[j + 1][now] = true;
            if (b_star && !a_star)
                reach[j][then] = true;
            if (!a_star && !b_star)
                reach[j + 1][then] = true;
        }
    }
    return reach[nb][na & 1];
}

bool policy_globs_overlap(const char *a, const char *b, char separator, size_t *budget)
{
    struct token ta[OVERLAP_MAX_TOKENS];
    struct token tb[OVERLAP_MAX_TOKENS];
    size_t na = tokenize(a, ta);
    size_t nb = tokenize(b, tb);
    if (na == OVERLAP_MAX_TOKENS || nb == OVERLAP_MAX_TOKENS)
        return true;
    size_t cost = (na + 1) * (nb + 1);
    if (cost > *budget) {
        *budget = 0;
        return true;
    }
    *budget -= cost;
    return intersect(ta, na, tb, nb, separator);
}
