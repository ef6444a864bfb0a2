// SPDX-License-Identifier: Apache-2.0
/*
 *   state     waits for                        left by
 *   HEADER    a header block                   entry → DATA; extended header → EXTENDED; zeros → ENDING
 *   EXTENDED  the data of an extended header   its last byte → PADDING
 *   DATA      the data of an entry             its last byte → PADDING
 *   PADDING   zeros up to a whole block        → HEADER
 *   ENDING    the second block of zeros        → ENDED
 *   ENDED     nothing; all is ignored          –
 *
 * Extended headers (pax 'x', GNU 'L' and 'K') say things of the entry that follows. One of each is
 * the most that a writer has reason for; more are refused, so that no chain of them keeps us busy.
 */
#include "tar/read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum state { HEADER, EXTENDED, DATA, PADDING, ENDING, ENDED };

/* What extended headers have said. */
enum {
    HAS_PATH = 1u << 0,
    HAS_LINK = 1u << 1,
    HAS_SIZE = 1u << 2,
    HAS_MTIME = 1u << 3,
    SEEN_PAX = 1u << 4,
    SEEN_LONG_PATH = 1u << 5,
    SEEN_LONG_LINK = 1u << 6,
};

struct extension {
    unsigned has;
    char path[TAR_PATH_MAX + 1];
    char link[TAR_PATH_MAX + 1];
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
};

struct tar_reader {
    struct tar_sink *sink; /* borrowed */
    enum state state;
    uint8_t block[TAR_BLOCK];
    size_t have; /* bytes in block; ENDING, EXTENDED: bytes seen */
    uint64_t left;
    uint32_t padding;
    char extended_type;
    char *extended; /* owned; NUL-terminated */
    size_t extended_size;
    struct extension next;       /* for the entry to come */
    struct tar_header header;    /* of the entry under way */
    char path[TAR_PATH_MAX + 1]; /* of the entry under way, for messages */
    struct osa_error failure;
};

struct tar_reader *tar_reader_new(struct tar_sink *sink)
{
    struct tar_reader *reader = calloc(1, sizeof(*reader));
    if (reader != NULL)
        reader->sink = sink;
    return reader;
}

void tar_reader_free(struct tar_reader *reader)
{
    if (reader != NULL)
        free(reader->extended);
    free(reader);
}

static enum osa_code malformed(struct osa_error *err, const char *what)
{
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s", what);
}

/* ---- extended headers ---- */

static enum osa_code take_text(const char *value, size_t len, char *ret, struct osa_error *err)
{
    if (len > TAR_PATH_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "an extended header holds a path of more than %u bytes", TAR_PATH_MAX);
    if (memchr(value, '\0', len) != NULL)
        return malformed(err, "an extended header holds a path with a NUL byte");
    memcpy(ret, value, len);
    ret[len] = '\0';
    return OSA_OK;
}

/* Digits alone. Return: what follows them; NULL: no digit, or more than 63 bits. */
static const char *parse_digits(const char *text, int64_t *ret)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        if (value > (INT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    *ret = value;
    return at == text ? NULL : at;
}

static bool parse_size(const char *value, uint64_t *ret)
{
    int64_t size;
    const char *end = parse_digits(value, &size);
    if (end == NULL || *end != '\0' || size > INT64_MAX - (int64_t)TAR_BLOCK)
        return false;
    *ret = (uint64_t)size;
    return true;
}

/* "-12.5" is 12.5 seconds before 1970: -13 s and half a second more. */
static bool parse_time(const char *value, int64_t *ret_s, uint32_t *ret_ns)
{
    bool negative = *value == '-';
    int64_t seconds;
    int64_t ns = 0;
    const char *at = parse_digits(value + (negative ? 1 : 0), &seconds);
    if (at == NULL || seconds == INT64_MAX)
        return false;
    if (*at == '.') {
        int64_t unit = 100000000;
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            ns += (*at - '0') * unit; /* unit ends as 0: what is finer is cut */
    }
    if (*at != '\0')
        return false;
    *ret_s = !negative ? seconds : ns > 0 ? -seconds - 1 : -seconds;
    *ret_ns = (uint32_t)(negative && ns > 0 ? 1000000000 - ns : ns);
    return true;
}

/* @value is NUL-terminated at @len. An empty one takes back what a global header may have said. */
static enum osa_code take_record(struct extension *next, bool global, const char *key,
                                 const char *value, size_t len, struct osa_error *err)
{
    if (strncmp(key, "GNU.sparse.", 11) == 0)
        return malformed(err, "sparse files are not supported; write the archive without --sparse");
    bool is_path = strcmp(key, "path") == 0;
    bool is_link = strcmp(key, "linkpath") == 0;
    bool is_size = strcmp(key, "size") == 0;
    if ((!is_path && !is_link && !is_size && strcmp(key, "mtime") != 0) || len == 0)
        return OSA_OK; /* owners, attributes, comments: not taken over */
    if (global)
        return is_path || is_link || is_size
                   ? malformed(err, "a global header gives every entry one path, link or size")
                   : OSA_OK;
    if (is_path || is_link) {
        next->has |= is_path ? HAS_PATH : HAS_LINK;
        return take_text(value, len, is_path ? next->path : next->link, err);
    }
    next->has |= is_size ? HAS_SIZE : HAS_MTIME;
    bool good = is_size ? parse_size(value, &next->size)
                        : parse_time(value, &next->mtime_s, &next->mtime_ns);
    return good ? OSA_OK : malformed(err, "an extended header holds a malformed size or time");
}

/* Records are cut out in place: '=' and the newline become NULs. */
static enum osa_code take_pax(struct extension *next, bool global, char *text, size_t size,
                              struct osa_error *err)
{
    static const char bad[] = "an extended header is malformed";
    for (size_t at = 0; at < size;) {
        int64_t length;
        const char *after = parse_digits(text + at, &length);
        if (after == NULL || *after != ' ' || length <= 0 || (uint64_t)length > size - at)
            return malformed(err, bad);
        char *record = text + at;
        size_t key_at = (size_t)(after - record) + 1;
        size_t last = (size_t)length - 1;
        if (key_at >= last || record[last] != '\n')
            return malformed(err, bad);
        record[last] = '\0';
        char *equals = memchr(record + key_at, '=', last - key_at);
        if (equals == NULL || equals == record + key_at)
            return malformed(err, bad);
        *equals = '\0';
        size_t value_len = (size_t)(record + last - (equals + 1));
        enum osa_code code = take_record(next, global, record + key_at, equals + 1, value_len, err);
        if (code != OSA_OK)
            return code;
        at += (size_t)length;
    }
    return OSA_OK;
}

static enum osa_code take_extended(struct tar_reader *r, struct osa_error *err)
{
    struct extension *next = &r->next;
    char *text = r->extended;
    switch (r->extended_type) {
    case 'x':
    case 'g':
        return take_pax(next, r->extended_type == 'g', text, r->extended_size, err);
    case 'L':
        if ((next->has & HAS_PATH) != 0) /* pax knows better */
            return OSA_OK;
        next->has |= HAS_PATH;
        return take_text(text, strlen(text), next->path, err);
    default: /* 'K' */
        if ((next->has & HAS_LINK) != 0)
            return OSA_OK;
        next->has |= HAS_LINK;
        return take_text(text, strlen(text), next->link, err);
    }
}

static enum osa_code begin_extended(struct tar_reader *r, struct osa_error *err)
{
    unsigned seen = r->header.type == 'x'   ? SEEN_PAX
                    : r->header.type == 'L' ? SEEN_LONG_PATH
                    : r->header.type == 'K' ? SEEN_LONG_LINK
                                            : 0u;
    if ((r->next.has & seen) != 0)
        return malformed(err, "an entry has two extended headers of one kind");
    if (r->header.size > TAR_EXTENDED_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "an extended header has %" PRIu64 " bytes; at most %u are read",
                        r->header.size, TAR_EXTENDED_MAX);
    r->next.has |= seen;
    r->extended_type = r->header.type;
    r->extended_size = (size_t)r->header.size;
    r->have = 0;
    r->left = r->header.size;
    r->padding = tar_padding(r->header.size);
    r->extended = malloc(r->extended_size + 1);
    if (r->extended == NULL)
        return osa_fail_errno(err, ENOMEM, "extended header");
    r->state = EXTENDED;
    return OSA_OK;
}

/* ---- entries ---- */

/* Return: false for a kind that is not supported. */
static bool type_of(char flag, enum tar_type *ret)
{
    static const char flags[] = "0123456";
    if (flag == '\0' || flag == '7') { /* before POSIX; "contiguous" */
        *ret = TAR_FILE;
        return true;
    }
    const char *found = strchr(flags, flag);
    if (found == NULL)
        return false;
    *ret = (enum tar_type)(found - flags);
    return true;
}

static enum osa_code begin_entry(struct tar_reader *r, struct osa_error *err)
{
    const struct extension *next = &r->next;
    struct tar_header *header = &r->header;
    struct tar_entry entry = {
        .path = (next->has & HAS_PATH) != 0 ? next->path : header->path,
        .link = (next->has & HAS_LINK) != 0 ? next->link : header->link,
        .mode = header->mode,
        .uid = header->uid,
        .gid = header->gid,
        .mtime_s = (next->has & HAS_MTIME) != 0 ? next->mtime_s : header->mtime_s,
        .mtime_ns = (next->has & HAS_MTIME) != 0 ? next->mtime_ns : 0,
        .size = (next->has & HAS_SIZE) != 0 ? next->size : header->size,
    };
    char quoted[TAR_QUOTED_SIZE];
    size_t len = strlen(entry.path);
    memcpy(r->path, entry.path, len + 1);
    if (!type_of(header->type, &entry.type))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s is of a kind that is not supported (type flag 0x%02x)",
                        tar_quote(r->path, quoted), (uint8_t)header->type);
    /* Before POSIX, directories were files whose names end in a slash. */
    if (entry.type == TAR_FILE && len > 0 && entry.path[len - 1] == '/' && entry.size == 0)
        entry.type = TAR_DIRECTORY;
    if (entry.type != TAR_FILE)
        entry.size = 0;
    if (entry.type != TAR_SYMLINK && entry.type != TAR_HARD_LINK)
        entry.link = "";
    r->left = entry.size;
    r->padding = tar_padding(entry.size);
    r->state = DATA;
    enum osa_code code = r->sink->entry(r->sink, &entry, err);
    r->next.has = 0;
    if (code == OSA_OK && r->left == 0) {
        r->state = HEADER;
        code = r->sink->end(r->sink, err);
    }
    return code;
}

static enum osa_code take_block(struct tar_reader *r, struct osa_error *err)
{
    r->have = 0;
    if (tar_block_is_zero(r->block)) {
        if (r->next.has != 0)
            return malformed(err, "an extended header is followed by no entry");
        r->state = r->state == ENDING ? ENDED : ENDING;
        return OSA_OK;
    }
    if (r->state == ENDING)
        return malformed(err, "something follows half of an end mark");
    enum osa_code code = tar_header_parse(r->block, &r->header, err);
    if (code != OSA_OK)
        return code;
    switch (r->header.type) {
    case 'x':
    case 'g':
    case 'L':
    case 'K':
        return begin_extended(r, err);
    default:
        return begin_entry(r, err);
    }
}

/* ---- the stream ---- */

static enum osa_code step(struct tar_reader *r, const uint8_t *data, size_t len, size_t *ret_used,
                          struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    size_t used = len;
    switch (r->state) {
    case HEADER:
    case ENDING:
        used = OSA_MIN(len, TAR_BLOCK - r->have);
        memcpy(r->block + r->have, data, used);
        r->have += used;
        if (r->have == TAR_BLOCK)
            code = take_block(r, err);
        break;
    case EXTENDED:
        used = (size_t)OSA_MIN((uint64_t)len, r->left);
        memcpy(r->extended + r->have, data, used);
        r->have += used;
        r->left -= used;
        if (r->left == 0) {
            r->extended[r->extended_size] = '\0';
            r->state = PADDING;
            r->have = 0;
            code = take_extended(r, err);
            free(OSA_TAKE(r->extended));
        }
        break;
    case DATA:
        used = (size_t)OSA_MIN((uint64_t)len, r->left);
        r->left -= used;
        code = r->sink->data(r->sink, data, used, err);
        if (code == OSA_OK && r->left == 0) {
            r->state = PADDING;
            code = r->sink->end(r->sink, err);
        }
        break;
    case PADDING:
        used = OSA_MIN(len, (size_t)r->padding);
        r->padding -= (uint32_t)used;
        if (r->padding == 0)
            r->state = HEADER;
        break;
    case ENDED:
        break;
    }
    *ret_used = used;
    return code;
}

enum osa_code tar_reader_feed(struct tar_reader *reader, const void *data, size_t len,
                              struct osa_error *err)
{
    const uint8_t *at = data;
    if (reader->failure.code != OSA_OK) {
        *err = reader->failure;
        return err->code;
    }
    while (len > 0) {
        size_t used;
        if (step(reader, at, len, &used, err) != OSA_OK) {
            reader->failure = *err;
            return err->code;
        }
        at += used;
        len -= used;
    }
    return OSA_OK;
}

enum osa_code tar_reader_finish(struct tar_reader *reader, struct osa_error *err)
{
    char quoted[TAR_QUOTED_SIZE];
    if (reader->failure.code != OSA_OK) {
        *err = reader->failure;
        return err->code;
    }
    if (reader->state == ENDED || (reader->state == ENDING && reader->have == 0))
        return OSA_OK;
    if (reader->state == DATA)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "the archive ends inside of %s: %" PRIu64 " bytes of it are missing",
                        tar_quote(reader->path, quoted), reader->left);
    return malformed(err, "the archive ends without its end mark: a part of it is missing");
}
