// SPDX-License-Identifier: Apache-2.0
/* launcher/mounts_plan: any bytes are refused, or give a plan that is the same after another trip. */
#include "fuzz/target.h"

#include "launcher/mounts_plan.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mounts_plan first;
    static struct mounts_plan second;
    struct osa_buf buf;
    if (!mounts_plan_parse(data, size, &first))
        return 0;
    osa_buf_init(&buf, size + 1);
    require(mounts_plan_write(&first.spec, &buf, NULL) == OSA_OK && buf.len == size);
    require(mounts_plan_parse(buf.data, buf.len, &second));
    require(strcmp(first.spec.root, second.spec.root) == 0);
    require(strcmp(first.spec.changes, second.spec.changes) == 0);
    require(first.spec.path_count == second.spec.path_count);
    for (size_t i = 0; i < first.spec.path_count; i++) {
        require(strcmp(first.paths[i].path, second.paths[i].path) == 0);
        require(first.paths[i].writable == second.paths[i].writable);
    }
    for (size_t i = 0; first.hidden[i] != NULL; i++)
        require(strcmp(first.hidden[i], second.hidden[i]) == 0);
    osa_buf_done(&buf);
    return 0;
}
