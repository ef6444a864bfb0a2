// SPDX-License-Identifier: Apache-2.0
/* Ranges of addresses; private to src/policy. */
#pragma once

#include "policy/guard.h"

/** struct policy_range - @base with its first @bits bits */
struct policy_range {
    struct policy_address base;
    uint8_t bits;
};

/**
 * struct policy_ranges - A list of allowed_ips
 * @bad: text of the first entry that is no range or covers an address that is never allowed; such a
 *       list allows nothing. NULL: all are good
 */
struct policy_ranges {
    struct policy_range *items;
    size_t count;
    const char *bad;
};

/** policy_range_parse() - "10.0.0.0/8", "fd00::1". Return: false when it is neither */
bool policy_range_parse(const char *text, struct policy_range *ret);

/** policy_range_has() - Whether the range has the address; families are kept apart */
bool policy_range_has(const struct policy_range *range, const struct policy_address *address);

/** policy_range_blocked() - Whether it covers an address that is never allowed */
bool policy_range_blocked(const struct policy_range *range);
