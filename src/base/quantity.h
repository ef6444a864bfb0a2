// SPDX-License-Identifier: Apache-2.0
/*
 * Amounts as people write them: Kubernetes quantities and durations. Parsed once, at the edge, and
 * exactly: what has no exact value in our unit is refused, never rounded.
 *
 * Quantity: an optional sign, digits with an optional point, then one suffix: none, n u m k M G T P
 * E (powers of 1000), Ki Mi Gi Ti Pi Ei (powers of 1024), or e or E and a decimal exponent. Zero is
 * parsed; what it means is for the caller to say.
 * Source: Kubernetes API reference, "Quantity".
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes that the texts below need at most, the NUL included. */
#define OSA_QUANTITY_SIZE 32

/**
 * osa_cpu_parse() - CPUs as thousandths: "500m" → 500, "1.5" → 1500
 * Return: OSA_OK; INVALID_ARGUMENT whose text begins with the quoted input and says what is wrong
 * with it: no number, unknown suffix, negative, finer than 1/1000, over INT64_MAX.
 */
OSA_MUST_CHECK enum osa_code osa_cpu_parse(const char *text, uint64_t *ret_millis,
                                           struct osa_error *err);

/** osa_bytes_parse() - Bytes: "128Mi", "0.5Gi", "1e3", "1E"; errors as osa_cpu_parse() */
OSA_MUST_CHECK enum osa_code osa_bytes_parse(const char *text, uint64_t *ret_bytes,
                                             struct osa_error *err);

/** osa_count_parse() - A whole number of things: "1k", "4096"; errors as osa_cpu_parse() */
OSA_MUST_CHECK enum osa_code osa_count_parse(const char *text, uint64_t *ret_count,
                                             struct osa_error *err);

/**
 * osa_duration_parse() - A length of time in nanoseconds
 * Numbers with units, largest first and each once: "10s", "500ms", "1.5s", "1h30m"; units h, m, s,
 * ms, us, ns. "0" alone needs none.
 * Return: OSA_OK; INVALID_ARGUMENT: no or unknown unit, negative, finer than 1 ns, over INT64_MAX.
 */
OSA_MUST_CHECK enum osa_code osa_duration_parse(const char *text, int64_t *ret_ns,
                                                struct osa_error *err);

/**
 * osa_cpu_format() - The shortest quantity that parses to the same value: "500m", "2"
 * @ret_text: at least OSA_QUANTITY_SIZE bytes; likewise below
 */
void osa_cpu_format(uint64_t millis, char *ret_text);

/** osa_bytes_format() - As osa_cpu_format(): "128Mi", "1000k", "1025" */
void osa_bytes_format(uint64_t bytes, char *ret_text);

/** osa_duration_format() - As osa_cpu_format(): "1m30s", "500ms", "0s" */
void osa_duration_format(int64_t ns, char *ret_text);
