// SPDX-License-Identifier: Apache-2.0
/* egress/hello: a prefix never says more than the whole, and names are host names. */
#include "fuzz/target.h"

#include "egress/hello.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello hello;
    struct hello part;
    uint8_t *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    enum hello_result whole = hello_parse(copy, size, &hello);
    if (whole == HELLO_GOOD) {
        require(strlen(hello.name) < sizeof(hello.name));
        require(strspn(hello.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
                strlen(hello.name));
    }
    if (size > 0) {
        uint8_t *cut = malloc(size - 1 + (size == 1));
        require(cut != NULL);
        memcpy(cut, data, size - 1);
        enum hello_result before = hello_parse(cut, size - 1, &part);
        if (whole == HELLO_GOOD)
            require(before == HELLO_MORE || before == HELLO_GOOD); /* early data may follow */
        free(cut);
    }
    free(copy);
    return 0;
}
