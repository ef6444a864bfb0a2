// SPDX-License-Identifier: Apache-2.0
/* Rows of a hostile passwd or group file: what is accepted has all its fields and ids in range. */
#include "launcher/identity.h"
#include "launcher/identity_rows.h"

#include "fuzz/target.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

struct seen {
    enum identity_file file;
    unsigned last_line;
};

static enum osa_code visit(void *ctx, const struct identity_row *row, struct osa_error *err)
{
    struct seen *seen = ctx;
    size_t fields = seen->file == IDENTITY_PASSWD ? 7 : 4;
    (void)err;
    require(row->line > seen->last_line);
    seen->last_line = row->line;
    require(row->fields[0][0] != '\0' && strlen(row->fields[0]) < IDENTITY_NAME_MAX);
    for (size_t i = 0; i < fields; i++) {
        require(strlen(row->fields[i]) <= IDENTITY_LINE_MAX);
        require(strpbrk(row->fields[i], ":\n") == NULL);
    }
    require(row->ids[0] != 0xffffffffu && row->ids[1] != 0xffffffffu);
    return OSA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int file = IDENTITY_PASSWD; file <= IDENTITY_GROUP; file++) {
        struct seen seen = { .file = (enum identity_file)file };
        struct osa_error err = { 0 };
        enum osa_code code =
            identity_parse((enum identity_file)file, (const char *)data, size, visit, &seen, &err);
        require(code == OSA_OK || code == OSA_FAILED_PRECONDITION);
        require((code == OSA_OK) == (err.text[0] == '\0'));
    }
    return 0;
}
