// SPDX-License-Identifier: Apache-2.0
/* Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block". */
#include "tar/format.h"

#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Offset and length of the fields. */
enum {
    NAME_AT = 0,
    NAME_LEN = 100,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    ID_LEN = 8,
    SIZE_AT = 124,
    MTIME_AT = 136,
    NUMBER_LEN = 12,
    CHECKSUM_AT = 148,
    CHECKSUM_LEN = 8,
    TYPE_AT = 156,
    LINK_AT = 157,
    LINK_LEN = 100,
    MAGIC_AT = 257,
    VERSION_AT = 263,
    PREFIX_AT = 345,
    PREFIX_LEN = 155,
};

/* The largest numbers that seven and eleven octal digits hold. */
#define ID_MAX 07777777u
#define NUMBER_MAX 077777777777u

/* ---- reading ---- */

bool tar_block_is_zero(const uint8_t block[TAR_BLOCK])
{
    static const uint8_t zero[TAR_BLOCK];
    return memcmp(block, zero, TAR_BLOCK) == 0;
}

/* GNU's base 256: the first bit marks it, the second is the sign of a two's complement. */
static bool parse_binary(const uint8_t *field, size_t len, int64_t *ret)
{
    int64_t value = (field[0] & 0x40) != 0 ? -1 : 0;
    value = value * 64 + (field[0] & 0x3f);
    for (size_t i = 1; i < len; i++) {
        if (value > INT64_MAX / 256 - 1 || value < INT64_MIN / 256)
            return false;
        value = value * 256 + field[i];
    }
    *ret = value;
    return true;
}

/* Octal digits, blanks before, blanks and NULs behind; an empty field is 0. */
static bool parse_number(const uint8_t *field, size_t len, int64_t *ret)
{
    size_t at = 0;
    int64_t value = 0;
    if ((field[0] & 0x80) != 0)
        return parse_binary(field, len, ret);
    while (at < len && field[at] == ' ')
        at++;
    for (; at < len && field[at] >= '0' && field[at] <= '7'; at++)
        value = value * 8 + (field[at] - '0'); /* 12 digits of 3 bits */
    for (; at < len; at++) {
        if (field[at] != ' ' && field[at] != '\0')
            return false;
    }
    *ret = value;
    return true;
}

/* Some old writers summed signed bytes. */
static bool checksum_holds(const uint8_t *block)
{
    int64_t wanted;
    int64_t plain = 0;
    int64_t with_sign = 0;
    if (!parse_number(block + CHECKSUM_AT, CHECKSUM_LEN, &wanted))
        return false;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        bool own = i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_LEN;
        plain += own ? ' ' : block[i];
        with_sign += own ? ' ' : (int8_t)block[i];
    }
    return wanted == plain || wanted == with_sign;
}

static void copy_text(char *to, const uint8_t *field, size_t len)
{
    size_t used = strnlen((const char *)field, len);
    memcpy(to, field, used);
    to[used] = '\0';
}

enum osa_code tar_header_parse(const uint8_t block[TAR_BLOCK], struct tar_header *ret,
                               struct osa_error *err)
{
    int64_t mode;
    int64_t uid;
    int64_t gid;
    int64_t size;
    if (!checksum_holds(block))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "not a tar archive, or a damaged one: a header's checksum is wrong");
    *ret = (struct tar_header){ .type = (char)block[TYPE_AT] };
    if (!parse_number(block + MODE_AT, ID_LEN, &mode) ||
        !parse_number(block + UID_AT, ID_LEN, &uid) ||
        !parse_number(block + GID_AT, ID_LEN, &gid) ||
        !parse_number(block + SIZE_AT, NUMBER_LEN, &size) ||
        !parse_number(block + MTIME_AT, NUMBER_LEN, &ret->mtime_s) || mode < 0 || uid < 0 ||
        gid < 0 || size < 0 || size > INT64_MAX - (int64_t)TAR_BLOCK)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "a header holds a number that is malformed, negative or too large");
    ret->mode = (uint32_t)mode & 07777u;
    ret->uid = (uint64_t)uid;
    ret->gid = (uint64_t)gid;
    ret->size = (uint64_t)size;
    copy_text(ret->link, block + LINK_AT, LINK_LEN);
    /* GNU's own magic, "ustar  ", has other things where the prefix would be. */
    if (memcmp(block + MAGIC_AT, "ustar", 6) == 0 && block[PREFIX_AT] != '\0') {
        copy_text(ret->path, block + PREFIX_AT, PREFIX_LEN);
        size_t len = strlen(ret->path);
        ret->path[len] = '/';
        copy_text(ret->path + len + 1, block + NAME_AT, NAME_LEN);
    } else {
        copy_text(ret->path, block + NAME_AT, NAME_LEN);
    }
    return OSA_OK;
}

/* ---- writing ---- */

static void put_octal(uint8_t *field, size_t len, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%0*" PRIo64, (int)len - 1, value);
    memcpy(field, text, len - 1);
}

static void put_block(uint8_t *block, const struct tar_entry *entry, char type, uint64_t size)
{
    put_octal(block + MODE_AT, ID_LEN, entry->mode & 07777u);
    put_octal(block + UID_AT, ID_LEN, entry->uid > ID_MAX ? 0 : entry->uid);
    put_octal(block + GID_AT, ID_LEN, entry->gid > ID_MAX ? 0 : entry->gid);
    put_octal(block + SIZE_AT, NUMBER_LEN, size > NUMBER_MAX ? 0 : size);
    bool in_range = entry->mtime_s >= 0 && (uint64_t)entry->mtime_s <= NUMBER_MAX;
    put_octal(block + MTIME_AT, NUMBER_LEN, in_range ? (uint64_t)entry->mtime_s : 0);
    block[TYPE_AT] = (uint8_t)type;
    memcpy(block + MAGIC_AT, "ustar", 6);
    memcpy(block + VERSION_AT, "00", 2);
    memset(block + CHECKSUM_AT, ' ', CHECKSUM_LEN);
    uint64_t sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    put_octal(block + CHECKSUM_AT, CHECKSUM_LEN - 1, sum); /* six digits, NUL, blank */
    block[CHECKSUM_AT + 6] = '\0';
}

/* Name, or prefix and name parted at a slash. Return: false when neither fits. */
static bool put_path(uint8_t *block, const char *path)
{
    size_t len = strlen(path);
    if (len <= NAME_LEN) {
        memcpy(block + NAME_AT, path, len);
        return true;
    }
    for (size_t at = len - NAME_LEN - 1; at <= PREFIX_LEN && at + 1 < len; at++) {
        if (at > 0 && path[at] == '/') {
            memcpy(block + PREFIX_AT, path, at);
            memcpy(block + NAME_AT, path + at + 1, len - at - 1);
            return true;
        }
    }
    return false;
}

/* "LENGTH KEY=VALUE\n", where the length counts its own digits. */
static void add_record(struct osa_buf *out, const char *key, const char *value)
{
    size_t rest = 1 + strlen(key) + 1 + strlen(value) + 1;
    size_t digits = 1;
    for (size_t total = rest + digits, bound = 10; total >= bound; bound *= 10) {
        digits++;
        total = rest + digits;
    }
    (void)osa_buf_addf(out, "%zu %s=%s\n", rest + digits, key, value);
}

static void add_number(struct osa_buf *out, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    add_record(out, key, text);
}

static bool is_utf8(const char *text)
{
    size_t len = strlen(text);
    for (size_t step; len > 0; text += step, len -= step) {
        step = osa_utf8_length(text, len);
        if (step == 0)
            return false;
    }
    return true;
}

static void add_records(struct osa_buf *out, const struct tar_entry *entry, bool path_fits)
{
    bool link_fits = strlen(entry->link) <= LINK_LEN;
    if ((!path_fits && !is_utf8(entry->path)) || (!link_fits && !is_utf8(entry->link)))
        add_record(out, "hdrcharset", "BINARY");
    if (!path_fits)
        add_record(out, "path", entry->path);
    if (!link_fits)
        add_record(out, "linkpath", entry->link);
    if (entry->size > NUMBER_MAX)
        add_number(out, "size", entry->size);
    if (entry->uid > ID_MAX)
        add_number(out, "uid", entry->uid);
    if (entry->gid > ID_MAX)
        add_number(out, "gid", entry->gid);
    if (entry->mtime_s < 0 || (uint64_t)entry->mtime_s > NUMBER_MAX) {
        char text[24];
        (void)snprintf(text, sizeof(text), "%" PRId64, entry->mtime_s);
        add_record(out, "mtime", text);
    }
}

/* The pax header: a member of its own, whose data are the records. */
static void add_extended(struct osa_buf *out, const struct tar_entry *entry,
                         const struct osa_buf *records)
{
    static const uint8_t zero[TAR_BLOCK];
    uint8_t block[TAR_BLOCK] = { 0 };
    const struct tar_entry head = { .mode = 0644, .mtime_s = entry->mtime_s };
    memcpy(block + NAME_AT, "PaxHeader", 9);
    put_block(block, &head, 'x', records->len);
    (void)osa_buf_add(out, block, sizeof(block));
    (void)osa_buf_add(out, records->data, records->len);
    (void)osa_buf_add(out, zero, tar_padding(records->len));
}

enum osa_code tar_header_write(const struct tar_entry *entry, struct osa_buf *out,
                               struct osa_error *err)
{
    static const char types[] = "0123456";
    uint8_t block[TAR_BLOCK] = { 0 };
    char quoted[TAR_QUOTED_SIZE];
    if (strlen(entry->path) > TAR_PATH_MAX || strlen(entry->link) > TAR_PATH_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: the path is longer than %u bytes",
                        tar_quote(entry->path, quoted), TAR_PATH_MAX);
    bool path_fits = put_path(block, entry->path);
    if (!path_fits) /* what programs that do not know pax will see */
        memcpy(block + NAME_AT, entry->path, NAME_LEN);
    memcpy(block + LINK_AT, entry->link, OSA_MIN(strlen(entry->link), (size_t)LINK_LEN));
    put_block(block, entry, types[entry->type], entry->size);
    OSA_AUTO(osa_buf_done) struct osa_buf records;
    osa_buf_init(&records, 16384);
    add_records(&records, entry, path_fits);
    if (records.len > 0)
        add_extended(out, entry, &records);
    (void)osa_buf_add(out, block, sizeof(block));
    if (records.failed || out->failed)
        return osa_fail_errno(err, ENOMEM, "tar header");
    return OSA_OK;
}

/* ---- messages ---- */

const char *tar_quote(const char *path, char *ret)
{
    static const char cut[] = "…";
    size_t at = 0;
    size_t len = strlen(path);
    ret[at++] = '\'';
    while (len > 0) {
        size_t step = osa_utf8_length(path, len);
        bool c1 = step == 2 && (uint8_t)path[0] == 0xc2 && (uint8_t)path[1] < 0xa0;
        bool plain = (step > 1 && !c1) || (step == 1 && *path >= ' ' && *path != 0x7f);
        char piece[8];
        size_t piece_len = plain ? step : 4;
        if (plain)
            memcpy(piece, path, step);
        else
            (void)snprintf(piece, sizeof(piece), "\\x%02x", (uint8_t)*path);
        if (at + piece_len + sizeof(cut) + 1 > TAR_QUOTED_SIZE) {
            memcpy(ret + at, cut, sizeof(cut) - 1);
            at += sizeof(cut) - 1;
            break;
        }
        memcpy(ret + at, piece, piece_len);
        at += piece_len;
        step = plain ? step : 1;
        path += step;
        len -= step;
    }
    ret[at++] = '\'';
    ret[at] = '\0';
    return ret;
}

static enum osa_code code_of(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
        return OSA_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return OSA_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case EMLINK:
        return OSA_RESOURCE_EXHAUSTED;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EEXIST:
    case ENOTEMPTY:
    case EXDEV:
    case EBUSY:
    case ETXTBSY:
        return OSA_FAILED_PRECONDITION;
    case ENAMETOOLONG:
    case EINVAL:
    case EILSEQ:
        return OSA_INVALID_ARGUMENT;
    default:
        return OSA_INTERNAL;
    }
}

enum osa_code tar_fail_path(struct osa_error *err, int sys_errno, const char *path,
                            const char *what)
{
    char quoted[TAR_QUOTED_SIZE];
    return osa_fail(err, code_of(sys_errno), sys_errno, "%s %s", tar_quote(path, quoted), what);
}
