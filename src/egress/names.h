// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses that stand for names inside one sandbox: what its resolver answers, and what a connection
 * to such an address is for. An address means one name for the sandbox's life; it is never given to
 * another.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names at one time; more are refused until one has rested. */
#define NAMES_MAX 1024u

struct names;

/** names_new() - No names yet. Addresses are taken from @net (host order) with @prefix bits */
struct names *names_new(uint32_t net, unsigned prefix);

/** names_free() - NULL is fine */
void names_free(struct names *names);

/**
 * names_fresh() - The address of a name that was confirmed not long ago
 * @max_age_ns: since names_confirm()
 * Return: in host order; 0: there is none, or it is too old.
 */
uint32_t names_fresh(struct names *names, const char *name, int64_t now_ns, int64_t max_age_ns);

/**
 * names_confirm() - The name leads somewhere: give it its address
 * @rest_ns: a name that nobody has asked for since makes room for a new one when all places are taken
 * Return: as names_fresh(); 0 when there is no room.
 */
uint32_t names_confirm(struct names *names, const char *name, int64_t now_ns, int64_t rest_ns);

/** names_of() - What @address (host order) stands for; counts as a use. Return: borrowed until the next names_confirm() or names_sweep(); NULL for nothing */
const char *names_of(struct names *names, uint32_t address, int64_t now_ns);

/** names_sweep() - Forget the names that @keep does not want to keep */
void names_sweep(struct names *names, bool (*keep)(void *ctx, const char *name), void *ctx);
