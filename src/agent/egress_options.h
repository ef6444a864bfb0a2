// SPDX-License-Identifier: Apache-2.0
/* What an operator says about the way out of all sandboxes. */
#pragma once

#include "base/option.h"
#include "egress/parent.h"
#include "policy/live.h"

/**
 * struct egress_options - All zero is the default of each; filled by the table in config_egress.c
 * @policy_strict: network policies are read strictly, as policy/engine.h has it
 * @failure_mode: what becomes of a sandbox whose newer policy cannot be used
 * @ca:   file with further authorities that servers outside are believed by; NULL: none
 * @ocsf_file: where decisions are written as OCSF events; NULL: nowhere
 * @parent: a proxy in front, as egress/parent.h has it
 * @dns:  name servers to ask in place of the host's; none: the host's
 */
struct egress_options {
    bool policy_strict;
    enum policy_failure_mode failure_mode;
    const char *ca;
    const char *ocsf_file;
    struct osa_strings dns;
    struct parent_config parent;
};

/* Rows of the table in config_egress.c. */
#define EGRESS_OPTION_COUNT 10

/** egress_option_rows - Of struct agent_config's member `egress` */
extern const struct osa_option egress_option_rows[EGRESS_OPTION_COUNT];
