// SPDX-License-Identifier: Apache-2.0
#include "tar/path.h"

#include <string.h>

enum osa_code tar_path_check(const char *path, char *ret, struct osa_error *err)
{
    char quoted[TAR_QUOTED_SIZE];
    const char *wrong = path[0] == '\0'  ? "is no name"
                        : path[0] == '/' ? "is an absolute path; write the archive without them"
                        : strlen(path) > TAR_PATH_MAX ? "is too long"
                                                      : NULL;
    size_t used = 0;
    for (const char *at = path; wrong == NULL && *at != '\0';) {
        size_t len = strcspn(at, "/");
        if (len == 2 && memcmp(at, "..", 2) == 0)
            wrong = "has a '..', which could lead out of the directory";
        if (len > 0 && !(len == 1 && at[0] == '.')) {
            if (used > 0)
                ret[used++] = '/';
            memcpy(ret + used, at, len);
            used += len;
        }
        at += len;
        at += *at == '/' ? 1 : 0;
    }
    ret[used] = '\0';
    return wrong == NULL
               ? OSA_OK
               : osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s %s", tar_quote(path, quoted), wrong);
}
