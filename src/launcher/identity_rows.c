// SPDX-License-Identifier: Apache-2.0
#include "launcher/identity_rows.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *path;
    size_t fields;
    size_t id_fields[2]; /* positions of numbers; 0 for none */
} files[] = {
    [IDENTITY_PASSWD] = { "etc/passwd", 7, { 2, 3 } },
    [IDENTITY_GROUP] = { "etc/group", 4, { 2, 0 } },
};

bool identity_parse_id(const char *text, size_t len, unsigned *ret_id)
{
    if (len == 0 || len > 10 || (len > 1 && text[0] == '0'))
        return false;
    unsigned long long value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value >= 0xffffffffull)
        return false;
    *ret_id = (unsigned)value;
    return true;
}

static enum osa_code malformed(enum identity_file file, unsigned line, const char *what,
                               struct osa_error *err)
{
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                    "/%s of the sandbox's root, line %u: %s; mend the image or directory",
                    files[file].path, line, what);
}

/* Splits one terminated line. */
static enum osa_code parse_row(enum identity_file file, char *text, struct identity_row *row,
                               struct osa_error *err)
{
    size_t count = 0;
    for (char *at = text; at != NULL; count++) {
        if (count == files[file].fields)
            return malformed(file, row->line, "a field too many", err);
        char *colon = strchr(at, ':');
        if (colon != NULL)
            *colon++ = '\0';
        /* A group's list of members may fill the line; the other fields are short. */
        if (strlen(at) >= IDENTITY_FIELD_MAX && !(file == IDENTITY_GROUP && count == 3))
            return malformed(file, row->line, "a field is longer than 1023 bytes", err);
        row->fields[count] = at;
        at = colon;
    }
    if (count != files[file].fields)
        return malformed(file, row->line, "a field is missing", err);
    if (row->fields[0][0] == '\0' || strlen(row->fields[0]) >= IDENTITY_NAME_MAX)
        return malformed(file, row->line, "the name is empty or longer than 255 bytes", err);
    for (size_t i = 0; i < 2 && files[file].id_fields[i] != 0; i++) {
        const char *id = row->fields[files[file].id_fields[i]];
        if (!identity_parse_id(id, strlen(id), &row->ids[i]))
            return malformed(file, row->line, "an id is not a number from 0 to 4294967294", err);
    }
    return OSA_OK;
}

enum osa_code identity_parse(enum identity_file file, const char *data, size_t len,
                             identity_visit_fn visit, void *ctx, struct osa_error *err)
{
    char text[IDENTITY_LINE_MAX + 1];
    struct identity_row row = { 0 };
    for (size_t at = 0; at < len;) {
        const char *start = data + at;
        const char *end = memchr(start, '\n', len - at);
        size_t span = end != NULL ? (size_t)(end - start) : len - at;
        at += span + 1;
        row.line++;
        if (span > IDENTITY_LINE_MAX)
            return malformed(file, row.line, "longer than 8192 bytes", err);
        if (memchr(start, '\0', span) != NULL)
            return malformed(file, row.line, "a NUL byte", err);
        if (span == 0 || start[0] == '#')
            continue;
        memcpy(text, start, span);
        text[span] = '\0';
        enum osa_code code = parse_row(file, text, &row, err);
        if (code == OSA_OK)
            code = visit(ctx, &row, err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

/* Init's; -1: not kept. */
static int kept[] = { [IDENTITY_PASSWD] = -1, [IDENTITY_GROUP] = -1 };

/* RESOLVE_IN_ROOT keeps links of the path's directories inside; the last part may not be one. */
static int open_file(int root_fd, enum identity_file file, unsigned flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    OSA_AUTO(osa_close_fd) int own_root = -1;
    if (root_fd == AT_FDCWD) {
        own_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (own_root < 0)
            return -1;
        root_fd = own_root;
    }
    return osa_sys_openat2(root_fd, files[file].path, &how, sizeof(how));
}

/* A FIFO must not hold us up, a device must not act; the type is checked once it is open. */
static int open_for_reading(int root_fd, enum identity_file file)
{
    int fd = open_file(root_fd, file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    bool hidden = fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES);
    if (!hidden || root_fd != AT_FDCWD || kept[file] < 0)
        return fd;
    fd = fcntl(kept[file], F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

void identity_keep_files(int root_fd)
{
    for (unsigned file = 0; file < OSA_ARRAY_LEN(kept); file++)
        osa_replace_fd(&kept[file], open_file(root_fd, (enum identity_file)file,
                                              O_RDONLY | O_NONBLOCK | O_NOCTTY));
}

bool identity_is_file_missing(int root_fd, enum identity_file file)
{
    OSA_AUTO(osa_close_fd) int fd = open_file(root_fd, file, O_PATH);
    return fd < 0 && (errno == ENOENT || errno == ENOTDIR);
}

enum osa_code identity_each_row(int root_fd, enum identity_file file, identity_visit_fn visit,
                                void *ctx, struct osa_error *err)
{
    /* Not on the stack, and not from the heap: init is single-threaded and has one of these. */
    static char data[IDENTITY_FILE_MAX + 1];
    const char *path = files[file].path;
    OSA_AUTO(osa_close_fd) int fd = open_for_reading(root_fd, file);
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT || saved == ENOTDIR)
            return osa_fail(err, OSA_NOT_FOUND, saved, "/%s of the sandbox's root", path);
        if (saved == ELOOP)
            return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                            "/%s of the sandbox's root is a symbolic link; make it a file", path);
        return osa_fail(err, OSA_FAILED_PRECONDITION, saved, "/%s of the sandbox's root", path);
    }
    struct stat st;
    if (fstat(fd, &st) < 0)
        return osa_fail_errno(err, errno, "fstat /%s", path);
    if (!S_ISREG(st.st_mode))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "/%s of the sandbox's root is not a regular file", path);
    ssize_t len = osa_read_full(fd, data, sizeof(data));
    if (len < 0)
        return osa_fail_errno(err, (int)-len, "read /%s", path);
    if ((size_t)len > IDENTITY_FILE_MAX)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "/%s of the sandbox's root is larger than %d bytes", path,
                        IDENTITY_FILE_MAX);
    return identity_parse(file, data, (size_t)len, visit, ctx, err);
}
