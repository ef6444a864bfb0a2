// SPDX-License-Identifier: Apache-2.0
/* The shared folder of a sandbox, which is on this host: its files go into the box by themselves. */
#include "backends/boxlite/internal.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A bundle of the usual authorities has a quarter of this. */
#define FILE_MAX ((size_t)1 << 20)

static enum osa_code read_one(int folder, const char *name, struct shared_files *ret,
                              struct osa_error *err)
{
    char *data = NULL;
    size_t len = 0;
    if (ret->count == OSA_ARRAY_LEN(ret->files) || strlen(name) > GUEST_FILE_NAME_MAX)
        return osa_fail(err, OSA_INTERNAL, 0, "the sandbox's shared folder has too many files");
    enum osa_code code = osa_read_file(folder, name, FILE_MAX, &data, &len, err);
    if (code != OSA_OK)
        return code;
    char *copy = strdup(name);
    if (copy == NULL)
        abort();
    ret->files[ret->count++] = (struct guest_file){ .name = copy, .data = data, .len = len };
    return OSA_OK;
}

enum osa_code shared_files_read(const char *folder, struct shared_files *ret, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    const struct dirent *entry;
    if (folder == NULL || folder[0] == '\0')
        return OSA_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return osa_fail_errno(err, errno, "the sandbox's shared folder");
    while (code == OSA_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            code = read_one(dirfd(dir), entry->d_name, ret, err);
    }
    (void)closedir(dir);
    return code;
}

void shared_files_done(struct shared_files *shared)
{
    for (size_t i = 0; i < shared->count; i++) {
        free((char *)shared->files[i].name);
        free((char *)shared->files[i].data);
    }
    shared->count = 0;
}
