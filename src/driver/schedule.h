// SPDX-License-Identifier: Apache-2.0
/*
 * Which kind of runtime a sandbox gets, and whether there is room for it.
 *
 * In order: driver_config.runtime; the first rule that matches; the class name, where it is the name
 * of a kind; the configured kind; the agents' own. What was chosen and cannot be had is an error: a
 * rule that names several kinds is the only way to a second choice.
 */
#pragma once

#include "driver/config.h"
#include "driver/spec.h"

/**
 * struct host_report - What agents on this host say of themselves
 * @available, @reason: of each kind
 * @default_kind: the one that they take by themselves
 * @level: of isolation, as its number in the API
 * @roots: it can give a sandbox another root than the host's
 */
struct host_report {
    struct {
        bool known;
        bool available;
        char reason[256];
        int level;
        bool roots;
    } kinds[RUNTIME_KIND_COUNT];
    enum runtime_kind default_kind;
    uint32_t cpus;
    uint64_t memory_bytes;
    char version[32];
};

/**
 * struct placement - A decision
 * @why: for people: "rule 2: image=*kata* -> boxlite"
 */
struct placement {
    enum runtime_kind kind;
    char why[256];
};

struct schedule;

/**
 * schedule_new() - Read the rules
 * @config: borrowed until schedule_free()
 * Return: OSA_OK; INVALID_ARGUMENT that begins with the number of the rule.
 */
OSA_MUST_CHECK enum osa_code schedule_new(const struct driver_config *config,
                                          struct schedule **ret_schedule, struct osa_error *err);

/** schedule_free() - NULL is fine */
void schedule_free(struct schedule *schedule);

/**
 * schedule_place() - Decide
 * @used: reserved by what runs already
 * Return: OSA_OK; FAILED_PRECONDITION with what is missing and what to change.
 */
OSA_MUST_CHECK enum osa_code schedule_place(const struct schedule *schedule,
                                            const struct host_report *host,
                                            const struct driver_spec *spec,
                                            const struct resources *used,
                                            struct placement *ret_placement, struct osa_error *err);

/** schedule_reservation() - What a sandbox counts for while it runs: its requests, else its limits */
struct resources schedule_reservation(const struct driver_spec *spec);
