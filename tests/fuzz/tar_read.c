// SPDX-License-Identifier: Apache-2.0
/*
 * tar/read: any bytes are refused or give entries, the same ones in whatever pieces they come. Each
 * entry's data are as long as it said, and a path that passes the check only leads down.
 */
#include "fuzz/target.h"

#include "tar/path.h"
#include "tar/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A sum over all that the reader tells. */
struct sum {
    struct tar_sink sink;
    uint64_t value;
    uint64_t left;
    bool open;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void mix(struct sum *sum, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum->value = (sum->value ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

static enum osa_code on_entry(struct tar_sink *sink, const struct tar_entry *entry,
                              struct osa_error *err)
{
    static char path[TAR_PATH_MAX + 1];
    struct sum *sum = (struct sum *)sink;
    char quoted[TAR_QUOTED_SIZE];
    (void)err;
    require(!sum->open);
    sum->open = true;
    sum->left = entry->size;
    require(strlen(entry->path) <= TAR_PATH_MAX && strlen(entry->link) <= TAR_PATH_MAX);
    require(entry->type == TAR_FILE || entry->size == 0);
    require(entry->mtime_ns < 1000000000 && entry->mode <= 07777);
    require(strlen(tar_quote(entry->path, quoted)) < TAR_QUOTED_SIZE);
    mix(sum, entry->path, strlen(entry->path));
    mix(sum, entry->link, strlen(entry->link));
    mix(sum, &entry->mtime_s, sizeof(entry->mtime_s));
    if (tar_path_check(entry->path, path, NULL) == OSA_OK) {
        char fenced[TAR_PATH_MAX + 3];
        (void)snprintf(fenced, sizeof(fenced), "/%s/", path);
        require(strstr(fenced, "/../") == NULL && strstr(fenced, "/./") == NULL);
        require(path[0] != '/' && strstr(path, "//") == NULL);
    }
    return OSA_OK;
}

static enum osa_code on_data(struct tar_sink *sink, const void *data, size_t len,
                             struct osa_error *err)
{
    struct sum *sum = (struct sum *)sink;
    (void)err;
    require(sum->open && len <= sum->left);
    sum->left -= len;
    mix(sum, data, len);
    return OSA_OK;
}

static enum osa_code on_end(struct tar_sink *sink, struct osa_error *err)
{
    struct sum *sum = (struct sum *)sink;
    (void)err;
    require(sum->open && sum->left == 0);
    sum->open = false;
    return OSA_OK;
}

static enum osa_code run(const uint8_t *data, size_t size, size_t piece, uint64_t *ret)
{
    struct osa_error err = { 0 };
    struct sum sum = { .sink = { .entry = on_entry, .data = on_data, .end = on_end } };
    struct tar_reader *reader = tar_reader_new(&sum.sink);
    require(reader != NULL);
    enum osa_code code = OSA_OK;
    for (size_t at = 0; code == OSA_OK && at < size; at += piece)
        code = tar_reader_feed(reader, data + at, OSA_MIN(piece, size - at), &err);
    if (code == OSA_OK)
        code = tar_reader_finish(reader, &err);
    require(code == OSA_OK || code == OSA_INVALID_ARGUMENT);
    require(code != OSA_OK || !sum.open);
    require((code == OSA_OK) == (err.text[0] == '\0'));
    tar_reader_free(reader);
    *ret = sum.value;
    return code;
}

/* Checksums are made right, or hardly an input would get past the first header. */
static void seal(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 0;
        if (memcmp(data + at + 148, "seal", 4) != 0)
            continue;
        memset(data + at + 148, ' ', 8);
        for (unsigned i = 0; i < 512; i++)
            sum += data[at + i];
        (void)snprintf((char *)data + at + 148, 8, "%06o", sum);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole;
    uint64_t pieces;
    uint8_t *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    seal(copy, size);
    enum osa_code code = run(copy, size, size + 1, &whole);
    require(run(copy, size, 7, &pieces) == code && pieces == whole);
    free(copy);
    return 0;
}
