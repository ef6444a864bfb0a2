// SPDX-License-Identifier: Apache-2.0
/* base/quantity: any text is refused by name or comes back as the same amount when written out. */
#include "fuzz/target.h"

#include "base/quantity.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_code(enum osa_code code, const struct osa_error *err)
{
    require(code == OSA_OK || (code == OSA_INVALID_ARGUMENT && err->text[0] == '\''));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char written[OSA_QUANTITY_SIZE];
    uint64_t value = 0;
    uint64_t again = 0;
    int64_t ns = 0;
    int64_t ns_again = 0;
    struct osa_error err = { 0 };
    char *text = calloc(1, size + 1);
    require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);

    enum osa_code code = osa_cpu_parse(text, &value, &err);
    check_code(code, &err);
    if (code == OSA_OK) {
        osa_cpu_format(value, written);
        require(osa_cpu_parse(written, &again, &err) == OSA_OK && again == value);
    }
    code = osa_bytes_parse(text, &value, &err);
    check_code(code, &err);
    if (code == OSA_OK) {
        osa_bytes_format(value, written);
        require(osa_bytes_parse(written, &again, &err) == OSA_OK && again == value);
    }
    code = osa_duration_parse(text, &ns, &err);
    check_code(code, &err);
    if (code == OSA_OK) {
        osa_duration_format(ns, written);
        require(osa_duration_parse(written, &ns_again, &err) == OSA_OK && ns_again == ns);
    }
    free(text);
    return 0;
}
