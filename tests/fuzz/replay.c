// SPDX-License-Identifier: Apache-2.0
/*
 * The driver of fuzz targets in builds without libFuzzer: runs every file below the directories of
 * the command line through the target once, so that a past finding stays found in every build.
 */
#include "fuzz/target.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static int replayed;

/* nftw(3) callback; anything but 0 ends the walk. */
static int replay(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F)
        return 0;
    FILE *file = fopen(path, "rbe");
    size_t size = (size_t)st->st_size;
    uint8_t *data = malloc(size + 1);
    if (!file || !data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read '%s'\n", path);
        return 1;
    }
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last line names the culprit when the target crashes */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], replay, /* nopenfd= */ 8, FTW_PHYS)) {
            fprintf(stderr, "cannot replay '%s'\n", argv[i]);
            return 1;
        }
    }
    printf("%d inputs\n", replayed);
    return replayed ? 0 : 1;
}
