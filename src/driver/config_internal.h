// SPDX-License-Identifier: Apache-2.0
/* What config.c (reading) and config_table.c (the table) share. */
#pragma once

#include "driver/config.h"

extern const struct osa_option_group driver_option_groups[];
extern const size_t driver_option_group_count;
