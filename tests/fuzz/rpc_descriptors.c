// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a descriptor set, and any text as what is looked for in it. The first byte is the text's length. */
#include "fuzz/target.h"

#include "rpc/descriptors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct osa_error err = { 0 };
    struct rpc_descriptors descriptors;
    if (size == 0 || size - 1 < data[0])
        return 0;
    size_t len = data[0];
    /* Exactly as large as they are, so that a byte too far is one too many. */
    char *symbol = malloc(len + 1);
    uint8_t *set = malloc(size - 1 - len + 1);
    if (symbol == NULL || set == NULL)
        abort();
    memcpy(symbol, data + 1, len);
    symbol[len] = '\0';
    memcpy(set, data + 1 + len, size - 1 - len);
    enum osa_code code = rpc_descriptors_init(&descriptors, set, size - 1 - len, &err);
    if (code == OSA_OK) {
        (void)rpc_descriptors_by_symbol(&descriptors, symbol);
        ptrdiff_t found = rpc_descriptors_by_name(&descriptors, symbol, strlen(symbol));
        size_t *indexes = calloc(descriptors.count + 1, sizeof(*indexes));
        if (indexes == NULL)
            abort();
        for (size_t i = 0; i < descriptors.count && i < 16; i++)
            if (rpc_descriptors_closure(&descriptors, i, indexes) > descriptors.count)
                abort();
        if (found >= (ptrdiff_t)descriptors.count)
            abort();
        free(indexes);
        rpc_descriptors_done(&descriptors);
    } else if (code != OSA_INVALID_ARGUMENT || err.text[0] == '\0') {
        abort();
    }
    free(symbol);
    free(set);
    return 0;
}
