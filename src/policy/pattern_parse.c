// SPDX-License-Identifier: Apache-2.0
/*
 * From a glob to a program, in two steps: tokens in branches, for braces nest and a ** may swallow
 * the token before it; then steps.
 *
 * With '.' as separator the pattern is read as if each dot were "/./" and each slash a NUL, which
 * is how upstream gives its matcher, whose separator is always '/', another one. The matcher reads
 * texts in the same way.
 */
#include "policy/pattern_internal.h"

#include <string.h>

enum token_kind {
    TOKEN_BYTE,
    TOKEN_SET,
    TOKEN_ONE,    /* a byte that is no separator */
    TOKEN_STAR,   /* any number of them */
    TOKEN_PREFIX, /* ** and / at the start */
    TOKEN_SUFFIX, /* / and ** at the end */
    TOKEN_MIDDLE, /* / and ** and / */
    TOKEN_CHOICE  /* one of some branches */
};

struct token {
    enum token_kind kind;
    uint8_t byte;
    struct pattern_set set;
    struct branch *choices; /* linked by next */
    struct token *previous; /* in its branch */
};

/* A sequence, its last token first. */
struct branch {
    struct token *last;
    size_t count;
    struct branch *next;
};

enum { MAX_NESTING = 32, MAX_TOKENS = 4096 };

/**
 * struct parser
 * @before: the byte before the one that is being read, -1 at the start
 * @open:   branches from the outermost to the one that grows; groups[i] is the first branch of the
 *          i-th open brace, chained over next to the one that grows
 */
struct parser {
    struct osa_arena *arena;
    const uint8_t *at;
    const uint8_t *end;
    int before;
    struct branch *growing[MAX_NESTING + 1];
    struct branch *groups[MAX_NESTING + 1];
    size_t depth;
    size_t tokens;
    const char *fault;
};

static struct token *push(struct parser *p, enum token_kind kind)
{
    struct branch *branch = p->growing[p->depth];
    struct token *token = osa_arena_alloc(p->arena, sizeof(*token));
    if (++p->tokens > MAX_TOKENS)
        p->fault = "too many parts";
    token->kind = kind;
    token->previous = branch->last;
    branch->last = token;
    branch->count++;
    return token;
}

static void push_byte(struct parser *p, uint8_t byte)
{
    push(p, TOKEN_BYTE)->byte = byte;
}

static void open_group(struct parser *p)
{
    if (p->depth == MAX_NESTING) {
        p->fault = "too many { inside each other";
        return;
    }
    p->depth++;
    p->groups[p->depth] = osa_arena_alloc(p->arena, sizeof(struct branch));
    p->growing[p->depth] = p->groups[p->depth];
}

static void next_branch(struct parser *p)
{
    struct branch *branch = osa_arena_alloc(p->arena, sizeof(*branch));
    p->growing[p->depth]->next = branch;
    p->growing[p->depth] = branch;
}

static void close_group(struct parser *p)
{
    if (p->depth == 0) {
        p->fault = "a } without {";
        return;
    }
    struct branch *choices = p->groups[p->depth--];
    push(p, TOKEN_CHOICE)->choices = choices;
}

static void add_range(struct pattern_set *set, int low, int high)
{
    for (int b = low; b >= 0 && b <= high; b++)
        pattern_set_add(set, (uint8_t)b);
}

/*
 * Behind '['. A class matches the separator too when it lists it, or is negated. The last range
 * stays open, for another '-' moves its upper end.
 */
static void read_class(struct parser *p)
{
    struct pattern_set set = { { 0 } };
    bool negated = p->at < p->end && (*p->at == '!' || *p->at == '^');
    p->at += negated;
    int low = -1;
    int high = -1;
    bool range = false;
    for (bool first = true;; first = false, p->at++) {
        if (p->at == p->end) {
            p->fault = "a [ without ]";
            return;
        }
        uint8_t c = *p->at;
        if (c == ']' && !first)
            break;
        if (c == '-' && !first && !range) {
            range = true;
            continue;
        }
        if (range && c < low) {
            p->fault = "a range in [ ] that runs backwards";
            return;
        }
        if (!range) {
            add_range(&set, low, high);
            low = c;
        }
        high = c;
        range = false;
    }
    add_range(&set, low, high);
    if (range)
        pattern_set_add(&set, '-');
    for (size_t i = 0; negated && i < 4; i++)
        set.bits[i] = ~set.bits[i];
    p->at++;
    p->before = ']';
    push(p, TOKEN_SET)->set = set;
}

/* Two stars that are no component of their own are a star. */
static void push_stars(struct parser *p)
{
    push(p, TOKEN_STAR);
}

/* At the byte behind "**". @before is the byte before them. */
static void read_double_star(struct parser *p, int before)
{
    bool ends = p->at == p->end;
    bool slash = !ends && *p->at == '/';
    struct branch *branch = p->growing[p->depth];
    if (branch->count == 0) {
        if (!ends && !slash) {
            push_stars(p);
            return;
        }
        push(p, TOKEN_PREFIX);
        p->at += slash;
        return;
    }
    bool after_bracket = p->depth > 0 && (before == ',' || before == '{');
    bool suffix = ends || (p->depth > 0 && (*p->at == ',' || *p->at == '}'));
    if ((before != '/' && !after_bracket) || (!suffix && !slash)) {
        push_stars(p);
        return;
    }
    p->at += slash;
    struct token *last = branch->last; /* the separator, or a ** that took it */
    if (last->kind == TOKEN_PREFIX || last->kind == TOKEN_SUFFIX)
        return;
    last->kind = suffix ? TOKEN_SUFFIX : TOKEN_MIDDLE;
}

static void read_one(struct parser *p)
{
    int before = p->before;
    uint8_t c = *p->at++;
    p->before = c;
    if (c == '?') {
        push(p, TOKEN_ONE);
    } else if (c == '*' && p->at < p->end && *p->at == '*') {
        p->at++;
        read_double_star(p, before);
        p->before = p->at[-1];
    } else if (c == '*') {
        push(p, TOKEN_STAR);
    } else if (c == '[') {
        read_class(p);
    } else if (c == '{') {
        open_group(p);
    } else if (c == '}') {
        close_group(p);
    } else if (c == ',' && p->depth > 0) {
        next_branch(p);
    } else if (c == '\\' && p->at == p->end) {
        p->fault = "a \\ at its end";
    } else if (c == '\\') {
        p->before = *p->at;
        push_byte(p, *p->at++);
    } else {
        push_byte(p, c);
    }
}

/* ---- steps ---- */

/* Once @full, what is emitted goes astray in step 0, and the whole is refused. */
struct emitter {
    struct pattern_program *program;
    bool full;
};

static size_t emit(struct emitter *e, enum pattern_op op)
{
    struct pattern_program *program = e->program;
    if (program->step_count == POLICY_MAX_PATTERN_STEPS) {
        e->full = true;
        return 0;
    }
    program->steps[program->step_count] = (struct pattern_step){ .op = (uint8_t)op };
    return program->step_count++;
}

static void emit_byte(struct emitter *e, uint8_t byte)
{
    size_t at = emit(e, PATTERN_BYTE);
    e->program->steps[at].byte = byte;
}

static void emit_set(struct emitter *e, const struct pattern_set *set)
{
    struct pattern_program *program = e->program;
    size_t index = 0;
    while (index < program->set_count && memcmp(&program->sets[index], set, sizeof(*set)) != 0)
        index++;
    if (index == program->set_count)
        program->sets[program->set_count++] = *set;
    size_t at = emit(e, PATTERN_SET);
    program->steps[at].set = (uint16_t)index;
}

static const struct pattern_set any_byte = { { ~0ull, ~0ull, ~0ull, ~0ull } };
/* Without '/', which is byte 47. */
static const struct pattern_set no_slash = { { ~(1ull << '/'), ~0ull, ~0ull, ~0ull } };

static void emit_loop(struct emitter *e, const struct pattern_set *set)
{
    size_t split = emit(e, PATTERN_SPLIT);
    emit_set(e, set);
    size_t jump = emit(e, PATTERN_JUMP);
    e->program->steps[jump].to = (uint16_t)split;
    e->program->steps[split].to = (uint16_t)e->program->step_count;
}

/* Nothing, or anything up to a separator. */
static void emit_components(struct emitter *e)
{
    size_t split = emit(e, PATTERN_SPLIT);
    emit_loop(e, &any_byte);
    emit_byte(e, '/');
    e->program->steps[split].to = (uint16_t)e->program->step_count;
}

static void emit_branch(struct emitter *e, const struct branch *branch);

/* Whether steps come of it; a branch without any is no choice. */
static bool is_visible(const struct branch *branch)
{
    for (const struct token *token = branch->last; token != NULL; token = token->previous) {
        if (token->kind != TOKEN_CHOICE)
            return true;
        for (const struct branch *choice = token->choices; choice != NULL; choice = choice->next)
            if (is_visible(choice))
                return true;
    }
    return false;
}

static void emit_choice(struct emitter *e, const struct branch *choice)
{
    size_t jumps = 0; /* chained over @to, 0 ends: a jump is never the first step */
    while (choice != NULL && !is_visible(choice))
        choice = choice->next;
    while (choice != NULL && !e->full) {
        const struct branch *next = choice->next;
        while (next != NULL && !is_visible(next))
            next = next->next;
        size_t split = next != NULL ? emit(e, PATTERN_SPLIT) : 0;
        emit_branch(e, choice);
        if (next != NULL) {
            size_t jump = emit(e, PATTERN_JUMP);
            e->program->steps[jump].to = (uint16_t)jumps;
            jumps = jump;
            e->program->steps[split].to = (uint16_t)e->program->step_count;
        }
        choice = next;
    }
    while (jumps != 0 && !e->full) {
        size_t before = e->program->steps[jumps].to;
        e->program->steps[jumps].to = (uint16_t)e->program->step_count;
        jumps = before;
    }
}

static void emit_token(struct emitter *e, const struct token *token)
{
    switch (token->kind) {
    case TOKEN_BYTE:
        emit_byte(e, token->byte);
        break;
    case TOKEN_SET:
        emit_set(e, &token->set);
        break;
    case TOKEN_ONE:
        emit_set(e, e->program->separator != '\0' ? &no_slash : &any_byte);
        break;
    case TOKEN_STAR:
        emit_loop(e, e->program->separator != '\0' ? &no_slash : &any_byte);
        break;
    case TOKEN_PREFIX:
        emit_components(e);
        break;
    case TOKEN_SUFFIX:
        emit_byte(e, '/');
        emit_loop(e, &any_byte);
        break;
    case TOKEN_MIDDLE:
        emit_byte(e, '/');
        emit_components(e);
        break;
    case TOKEN_CHOICE:
        emit_choice(e, token->choices);
        break;
    }
}

/* Tokens hang together from the last; turned round in place first, which is done once for each. */
static void emit_branch(struct emitter *e, const struct branch *branch)
{
    struct token *first = NULL;
    for (struct token *token = branch->last; token != NULL;) {
        struct token *previous = token->previous;
        token->previous = first;
        first = token;
        token = previous;
    }
    for (const struct token *token = first; token != NULL && !e->full; token = token->previous)
        emit_token(e, token);
}

static const char *emit_program(struct parser *p, char separator, struct pattern_program *ret)
{
    const struct branch *branch = p->growing[0];
    struct pattern_step steps[POLICY_MAX_PATTERN_STEPS];
    struct pattern_program program = { .separator = separator, .steps = steps };
    program.sets = osa_arena_alloc(p->arena, sizeof(*program.sets) * (p->tokens + 2));
    struct emitter e = { .program = &program };
    if (branch->count == 1 && branch->last->kind == TOKEN_PREFIX)
        emit_loop(&e, &any_byte);
    else
        emit_branch(&e, branch);
    (void)emit(&e, PATTERN_MATCH);
    if (e.full)
        return "too many parts";
    program.steps = osa_arena_copy(p->arena, steps, sizeof(*steps) * program.step_count);
    *ret = program;
    return NULL;
}

/* Return: the pattern as the matcher of upstream gets it; *ret_len bytes */
static uint8_t *respell(struct osa_arena *arena, const char *glob, char separator, size_t *ret_len)
{
    size_t len = strlen(glob);
    uint8_t *spelt = osa_arena_alloc(arena, 3 * len + 1);
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        bool dot = separator == '.' && glob[i] == '.';
        if (dot)
            spelt[at++] = '/';
        spelt[at++] = separator == '.' && glob[i] == '/' ? '\0' : (uint8_t)glob[i];
        if (dot)
            spelt[at++] = '/';
    }
    *ret_len = at;
    return spelt;
}

const char *pattern_parse(struct osa_arena *arena, const char *glob, char separator,
                          struct pattern_program *ret)
{
    size_t len = 0;
    uint8_t *spelt = respell(arena, glob, separator, &len);
    struct parser p = { .arena = arena, .at = spelt, .end = spelt + len, .before = -1 };
    p.growing[0] = osa_arena_alloc(arena, sizeof(struct branch));
    while (p.at < p.end && p.fault == NULL)
        read_one(&p);
    if (p.fault != NULL)
        return p.fault;
    if (p.depth > 0)
        return "a { without }";
    return emit_program(&p, separator, ret);
}

/* ---- the language of routes ---- */

/* Behind "**", which must be a whole component; at the end or the separator behind it. */
static void read_route_stars(struct parser *p, bool component)
{
    bool ends = p->at == p->end;
    if (!component || (!ends && *p->at != '/')) {
        p->fault = "a ** that is not a whole component";
        return;
    }
    p->at += !ends;
    push(p, ends ? TOKEN_STAR : TOKEN_PREFIX);
}

static void read_route_one(struct parser *p, const uint8_t *start)
{
    const uint8_t *here = p->at;
    uint8_t c = *p->at++;
    if (c == '?') {
        push(p, TOKEN_SET)->set = any_byte;
    } else if (c == '*') {
        while (p->at < p->end && *p->at == '*')
            p->at++;
        size_t stars = (size_t)(p->at - here);
        if (stars > 2)
            p->fault = "more than two * together";
        else if (stars == 2)
            read_route_stars(p, here == start || here[-1] == '/');
        else
            push(p, TOKEN_STAR);
    } else if (c == '[') {
        /* ']' and '-' behave as in the other language; only '!' negates, so a '^' is plain. */
        if (p->at < p->end && *p->at == '^')
            p->fault = "a [ with ^";
        else
            read_class(p);
    } else {
        push_byte(p, c);
    }
}

const char *pattern_parse_route(struct osa_arena *arena, const char *glob,
                                struct pattern_program *ret)
{
    const uint8_t *start = (const uint8_t *)glob;
    struct parser p = { .arena = arena, .at = start, .end = start + strlen(glob), .before = -1 };
    p.growing[0] = osa_arena_alloc(arena, sizeof(struct branch));
    while (p.at < p.end && p.fault == NULL)
        read_route_one(&p, start);
    return p.fault != NULL ? p.fault : emit_program(&p, /* separator= */ '\0', ret);
}
