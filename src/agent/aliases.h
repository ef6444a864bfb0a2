// SPDX-License-Identifier: Apache-2.0
/*
 * Other names of executables: a policy may list /usr/bin/python3, which is a link to what the kernel
 * reports as running. Links are followed once, when the policy comes in force, in the root that the
 * sandbox sees; what the listed name leads to is then as good as the name.
 */
#pragma once

#include "policy/document.h"

#include <stddef.h>

/** struct aliases - Pairs of a path without links and a name in the policy that leads to it; all zero is none */
struct aliases {
    struct alias *items; /* owned */
    size_t count;
};

/**
 * aliases_resolve() - Follow the links of all binaries of @doc that are no patterns
 * @root: directory that the sandbox has as root; "" for the agent's own
 * @doc:  borrowed until aliases_done()
 * Names that lead nowhere have no alias.
 */
void aliases_resolve(const struct policy_document *doc, const char *root, struct aliases *ret);

/**
 * aliases_names() - The names that aliases_resolve() would follow
 * Return: NULL-terminated, owned (one free); the names are @doc's
 */
const char **aliases_names(const struct policy_document *doc);

/** aliases_done() - All zero again */
void aliases_done(struct aliases *aliases);

/** aliases_of() - The next name of @path after the first *@at ones. Return: NULL when there is none left */
const char *aliases_of(const struct aliases *aliases, const char *path, size_t *at);
