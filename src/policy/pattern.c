// SPDX-License-Identifier: Apache-2.0
/*
 * Matching. A program becomes a table: a state of the table is a set of steps that the program may
 * be at, and a column is a class of bytes that no step tells apart. Where the table would have too
 * many states, the sets are walked while matching, which is slower and still linear.
 */
#include "policy/pattern_internal.h"

#include <string.h>

enum { MAX_STATES = 200, WORDS = (POLICY_MAX_PATTERN_STEPS + 63) / 64 };

/* Steps that the program may be at; only those that take a byte, and the last. */
struct positions {
    uint64_t bits[WORDS];
};

/**
 * struct policy_pattern
 * @literal: the pattern has no special bytes: it is the text; NULL: it has
 * @classes, @next, @accepts: the table; next[state * class_count + class], state 0 is the dead one.
 *           NULL: walk
 */
struct policy_pattern {
    const char *literal;
    size_t literal_len;
    struct pattern_program program;
    uint8_t classes[256];
    size_t class_count;
    const uint8_t *next;
    const uint8_t *accepts;
    uint8_t start;
};

static bool has(const struct positions *set, size_t step)
{
    return set->bits[step >> 6] >> (step & 63) & 1;
}

/*
 * Add @step and all that is reached from it without a byte. No more is pending than there are
 * steps: only a split leaves two where one was, once, and has two steps or more behind it.
 */
static void add(const struct pattern_program *program, struct positions *set, size_t step)
{
    uint16_t pending[POLICY_MAX_PATTERN_STEPS];
    size_t count = 0;
    pending[count++] = (uint16_t)step;
    while (count > 0) {
        size_t at = pending[--count];
        if (has(set, at))
            continue;
        set->bits[at >> 6] |= (uint64_t)1 << (at & 63);
        const struct pattern_step *s = &program->steps[at];
        if (s->op == PATTERN_JUMP)
            pending[count++] = s->to;
        if (s->op == PATTERN_SPLIT) {
            pending[count++] = s->to;
            pending[count++] = (uint16_t)(at + 1);
        }
    }
}

static size_t words(const struct pattern_program *program)
{
    return (program->step_count + 63) / 64;
}

static bool is_empty(const struct pattern_program *program, const struct positions *set)
{
    for (size_t i = 0; i < words(program); i++)
        if (set->bits[i] != 0)
            return false;
    return true;
}

static void clear(const struct pattern_program *program, struct positions *set)
{
    memset(set->bits, 0, words(program) * sizeof(set->bits[0]));
}

/* One byte of the matcher's own spelling. */
static void advance(const struct pattern_program *program, const struct positions *from,
                    uint8_t byte, struct positions *to)
{
    clear(program, to);
    for (size_t i = 0; i < words(program); i++) {
        for (uint64_t left = from->bits[i]; left != 0; left &= left - 1) {
            size_t at = i * 64 + (size_t)__builtin_ctzll(left);
            const struct pattern_step *s = &program->steps[at];
            if ((s->op == PATTERN_BYTE && s->byte == byte) ||
                (s->op == PATTERN_SET && pattern_set_has(&program->sets[s->set], byte)))
                add(program, to, at + 1);
        }
    }
}

/* One byte of the text, which '.' as separator spells as three; see pattern_parse.c. */
static void advance_text(const struct pattern_program *program, const struct positions *from,
                         uint8_t byte, struct positions *to)
{
    if (program->separator != '.' || (byte != '.' && byte != '/')) {
        advance(program, from, byte, to);
    } else if (byte == '/') {
        advance(program, from, '\0', to);
    } else {
        struct positions between;
        advance(program, from, '/', to);
        advance(program, to, '.', &between);
        advance(program, &between, '/', to);
    }
}

/* ---- the table ---- */

static void split_classes(struct policy_pattern *pattern, const struct pattern_set *set)
{
    int renamed[256][2];
    memset(renamed, -1, sizeof(renamed));
    size_t count = 0;
    for (size_t b = 0; b < 256; b++) {
        int *name = &renamed[pattern->classes[b]][pattern_set_has(set, (uint8_t)b)];
        if (*name < 0)
            *name = (int)count++;
        pattern->classes[b] = (uint8_t)*name;
    }
    pattern->class_count = count;
}

/* Return: false when the pattern writes out more bytes than classes have names */
static bool find_classes(struct policy_pattern *pattern)
{
    const struct pattern_program *program = &pattern->program;
    struct pattern_set bytes = { { 0 } };
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].op == PATTERN_BYTE)
            pattern_set_add(&bytes, program->steps[i].byte);
    if (program->separator != '\0') {
        pattern_set_add(&bytes, '.');
        pattern_set_add(&bytes, '/');
        pattern_set_add(&bytes, '\0');
    }
    /* A class for each byte that is written out, and one for all others; then by sets. */
    pattern->class_count = 1;
    for (size_t b = 0; b < 256; b++) {
        if (!pattern_set_has(&bytes, (uint8_t)b))
            continue;
        if (pattern->class_count == UINT8_MAX)
            return false;
        pattern->classes[b] = (uint8_t)pattern->class_count++;
    }
    for (size_t i = 0; i < program->set_count; i++)
        split_classes(pattern, &program->sets[i]);
    return true;
}

/* States while the table grows. @takers: all steps but splits and jumps, which are not of a state. */
struct table {
    struct positions takers;
    struct positions states[MAX_STATES];
    uint64_t hashes[MAX_STATES];
    uint8_t next[MAX_STATES * 256];
    size_t count;
};

/* Return: the state of a set, a new one if need be; 0 for the empty set; MAX_STATES: no more room */
static size_t find_state(const struct pattern_program *program, struct table *table,
                         const struct positions *set)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < words(program); i++)
        hash = (hash ^ set->bits[i]) * 0x9e3779b97f4a7c15u;
    if (is_empty(program, set))
        return 0;
    for (size_t i = 1; i < table->count; i++)
        if (table->hashes[i] == hash &&
            memcmp(table->states[i].bits, set->bits, words(program) * sizeof(set->bits[0])) == 0)
            return i;
    if (table->count == MAX_STATES)
        return MAX_STATES;
    memcpy(table->states[table->count].bits, set->bits, words(program) * sizeof(set->bits[0]));
    table->hashes[table->count] = hash;
    return table->count++;
}

static void keep_takers(const struct pattern_program *program, const struct table *table,
                        struct positions *set)
{
    for (size_t i = 0; i < words(program); i++)
        set->bits[i] &= table->takers.bits[i];
}

static bool fill_table(struct policy_pattern *pattern, struct table *table)
{
    const struct pattern_program *program = &pattern->program;
    int sample[256];
    for (int b = 255; b >= 0; b--)
        sample[pattern->classes[b]] = b;
    clear(program, &table->takers);
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].op != PATTERN_SPLIT && program->steps[i].op != PATTERN_JUMP)
            table->takers.bits[i >> 6] |= (uint64_t)1 << (i & 63);
    struct positions set;
    clear(program, &set);
    add(program, &set, 0);
    keep_takers(program, table, &set);
    table->count = 1;
    pattern->start = (uint8_t)find_state(program, table, &set);
    memset(table->next, 0, pattern->class_count);
    for (size_t s = 1; s < table->count; s++) {
        for (size_t c = 0; c < pattern->class_count; c++) {
            advance_text(program, &table->states[s], (uint8_t)sample[c], &set);
            keep_takers(program, table, &set);
            size_t to = find_state(program, table, &set);
            if (to == MAX_STATES)
                return false;
            table->next[s * pattern->class_count + c] = (uint8_t)to;
        }
    }
    return true;
}

static void tabulate(struct osa_arena *arena, struct policy_pattern *pattern)
{
    /* Each byte that is written out is a state of its own, so a long pattern has no chance. */
    if (pattern->program.step_count > 2 * MAX_STATES || !find_classes(pattern))
        return;
    OSA_AUTO(osa_free) struct table *table = malloc(sizeof(*table));
    if (table == NULL || !fill_table(pattern, table))
        return;
    uint8_t *accepts = osa_arena_alloc(arena, table->count);
    for (size_t s = 1; s < table->count; s++)
        accepts[s] = has(&table->states[s], pattern->program.step_count - 1);
    pattern->accepts = accepts;
    pattern->next = osa_arena_copy(arena, table->next, table->count * pattern->class_count);
}

static enum osa_code finish(struct osa_arena *arena, const char *glob, const char *fault,
                            const struct pattern_program *program,
                            const struct policy_pattern **ret, struct osa_error *err)
{
    if (fault != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the pattern '%.80s' has %s", glob, fault);
    struct policy_pattern *pattern = osa_arena_alloc(arena, sizeof(*pattern));
    *ret = pattern;
    if (glob[strcspn(glob, "*?[]{}\\")] == '\0') {
        pattern->literal = osa_arena_strdup(arena, glob);
        pattern->literal_len = strlen(glob);
        return OSA_OK;
    }
    pattern->program = *program;
    pattern->program.steps =
        osa_arena_copy(arena, program->steps, sizeof(*program->steps) * program->step_count);
    pattern->program.sets =
        osa_arena_copy(arena, program->sets, sizeof(*program->sets) * program->set_count);
    tabulate(arena, pattern);
    return OSA_OK;
}

enum osa_code policy_pattern_compile(struct osa_arena *arena, const char *glob, char separator,
                                     const struct policy_pattern **ret, struct osa_error *err)
{
    OSA_AUTO(osa_arena_done) struct osa_arena scratch = { 0 };
    struct pattern_program program;
    const char *fault = pattern_parse(&scratch, glob, separator, &program);
    return finish(arena, glob, fault, &program, ret, err);
}

enum osa_code policy_pattern_compile_route(struct osa_arena *arena, const char *glob,
                                           const struct policy_pattern **ret, struct osa_error *err)
{
    OSA_AUTO(osa_arena_done) struct osa_arena scratch = { 0 };
    struct pattern_program program;
    const char *fault = pattern_parse_route(&scratch, glob, &program);
    return finish(arena, glob, fault, &program, ret, err);
}

/* ---- matching ---- */

static bool walk(const struct policy_pattern *pattern, const char *text, size_t len)
{
    const struct pattern_program *program = &pattern->program;
    struct positions sets[2];
    clear(program, &sets[0]);
    add(program, &sets[0], 0);
    size_t now = 0;
    for (size_t i = 0; i < len && !is_empty(program, &sets[now]); i++, now ^= 1)
        advance_text(program, &sets[now], (uint8_t)text[i], &sets[now ^ 1]);
    return has(&sets[now], program->step_count - 1);
}

bool policy_pattern_match(const struct policy_pattern *pattern, const char *text, size_t len)
{
    if (pattern->literal != NULL)
        return len == pattern->literal_len && memcmp(text, pattern->literal, len) == 0;
    if (pattern->next == NULL)
        return walk(pattern, text, len);
    size_t state = pattern->start;
    for (size_t i = 0; i < len && state != 0; i++)
        state = pattern->next[state * pattern->class_count + pattern->classes[(uint8_t)text[i]]];
    return pattern->accepts[state] != 0;
}
