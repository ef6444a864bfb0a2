// SPDX-License-Identifier: Apache-2.0
/* policy/table: any table is refused or runs; a decision always has a reason and an explanation. */
#include "fuzz/target.h"

#include "policy/table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_table *table = NULL;
    struct osa_error err = { 0 };
    if (policy_table_parse((const char *)data, size, "fuzz", &table, &err) != OSA_OK) {
        if (err.code != OSA_INVALID_ARGUMENT && err.code != OSA_RESOURCE_EXHAUSTED)
            abort();
        return 0;
    }
    for (size_t i = 0; i < policy_table_count(table) && i < 200; i++) {
        OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
        OSA_AUTO(osa_buf_done) struct osa_buf diff;
        struct policy_trial_result result;
        osa_buf_init(&diff, 65536);
        if (policy_table_run(table, i, &arena, &result, &diff) == POLICY_CASE_PASSED &&
            ((result.verdict == POLICY_ALLOW) != (result.reason == POLICY_REASON_NONE) ||
             result.explanation[0] == '\0'))
            abort();
    }
    policy_table_free(table);
    return 0;
}
