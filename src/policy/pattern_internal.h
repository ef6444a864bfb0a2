// SPDX-License-Identifier: Apache-2.0
/* Between the parser and the matcher of patterns: a program of a nondeterministic automaton. */
#pragma once

#include "policy/pattern.h"

#include <stdint.h>

/* A set of bytes. */
struct pattern_set {
    uint64_t bits[4];
};

enum pattern_op {
    PATTERN_BYTE,  /* take @byte, go on behind */
    PATTERN_SET,   /* take a byte of sets[@set], go on behind */
    PATTERN_SPLIT, /* go on behind and at @to */
    PATTERN_JUMP,  /* go on at @to */
    PATTERN_MATCH
};

struct pattern_step {
    uint8_t op;
    uint8_t byte;
    uint16_t set;
    uint16_t to;
};

/**
 * struct pattern_program - What the parser makes
 * @separator: '/' or '.', or 0 when none counts
 * @steps: POLICY_MAX_PATTERN_STEPS at most, the last a PATTERN_MATCH
 */
struct pattern_program {
    char separator;
    struct pattern_step *steps;
    size_t step_count;
    struct pattern_set *sets;
    size_t set_count;
};

/** pattern_parse() - A glob as a program in @arena. Return: NULL, or what is wrong with it (a constant) */
const char *pattern_parse(struct osa_arena *arena, const char *glob, char separator,
                          struct pattern_program *ret);

/** pattern_parse_route() - As pattern_parse(), in the language of policy_pattern_compile_route() */
const char *pattern_parse_route(struct osa_arena *arena, const char *glob,
                                struct pattern_program *ret);

/** pattern_set_has() - Whether @byte is in @set */
static inline bool pattern_set_has(const struct pattern_set *set, uint8_t byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

/** pattern_set_add() - Put @byte into @set */
static inline void pattern_set_add(struct pattern_set *set, uint8_t byte)
{
    set->bits[byte >> 6] |= (uint64_t)1 << (byte & 63);
}
