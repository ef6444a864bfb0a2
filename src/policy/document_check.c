// SPDX-License-Identifier: Apache-2.0
/* The way to a field, messages about it, and the sections that are fixed for a sandbox's life. */
#include "policy/document_internal.h"

#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool policy_is_wire(const struct policy_check *check)
{
    return check->origin != NULL && check->origin->wire;
}

const char *policy_printable(const char *text, char *buf, size_t size)
{
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool plain = *c >= ' ' && *c < 0x7f;
        size_t more = plain ? 1 : 4;
        if (used + more + 4 > size) { /* "..." and the NUL */
            (void)snprintf(buf + used, size - used, "...");
            return buf;
        }
        if (plain)
            buf[used] = (char)*c;
        else
            (void)snprintf(buf + used, size - used, "\\x%02x", *c);
        used += more;
    }
    buf[used] = '\0';
    return buf;
}

void policy_enter(struct policy_check *check, const char *name)
{
    assert(check->depth < POLICY_MAX_STEPS);
    check->steps[check->depth++] = (struct policy_step){ .name = name };
}

void policy_enter_index(struct policy_check *check, size_t index)
{
    assert(check->depth < POLICY_MAX_STEPS);
    check->steps[check->depth++] = (struct policy_step){ .index = index };
}

void policy_leave(struct policy_check *check)
{
    assert(check->depth > 0);
    check->depth--;
}

static bool is_plain_key(const char *key)
{
    for (const char *c = key; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
        if (!plain)
            return false;
    }
    return key[0] != '\0';
}

static void print_path(const struct policy_check *check, const char *prefix, struct osa_buf *out)
{
    if (prefix != NULL)
        osa_buf_addf(out, "%s", prefix);
    for (size_t i = 0; i < check->depth; i++) {
        const struct policy_step *step = &check->steps[i];
        if (step->name == NULL)
            osa_buf_addf(out, "[%zu]", step->index);
        else if (is_plain_key(step->name))
            osa_buf_addf(out, "%s%s", out->len > 0 ? "." : "", step->name);
        else
            osa_buf_addf(out, "[\"%s\"]", POLICY_SHOW(step->name));
    }
}

/* "source:line:column: path: text"; the path alone goes to @field when that is not NULL. */
static void print_message(struct policy_check *check, const char *name, const char *fmt,
                          va_list args, struct osa_buf *out, char *field, size_t field_size)
{
    if (name != NULL)
        policy_enter(check, name);
    char position[160] = "";
    if (check->origin != NULL && check->origin->locate != NULL)
        check->origin->locate(check->origin->ctx, check->steps, check->depth, position,
                              sizeof(position));
    OSA_AUTO(osa_buf_done) struct osa_buf path;
    osa_buf_init(&path, 512);
    print_path(check, check->origin != NULL ? check->origin->field_prefix : NULL, &path);
    const char *path_text = path.data != NULL ? path.data : "";
    if (field != NULL)
        (void)snprintf(field, field_size, "%s", path_text);
    if (position[0] != '\0')
        osa_buf_addf(out, "%s: ", position);
    if (path_text[0] != '\0')
        osa_buf_addf(out, "%s: ", path_text);
    osa_buf_vaddf(out, fmt, args);
    if (name != NULL)
        policy_leave(check);
}

enum osa_code policy_reject(struct policy_check *check, const char *name, const char *fmt, ...)
{
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    osa_buf_init(&text, 2048);
    char field[sizeof(check->err->field)] = "";
    va_list args;
    va_start(args, fmt);
    print_message(check, name, fmt, args, &text, field, sizeof(field));
    va_end(args);
    (void)osa_fail(check->err, OSA_INVALID_ARGUMENT, 0, "%s",
                   text.data != NULL ? text.data : "invalid policy");
    memcpy(check->err->field, field, sizeof(field));
    return OSA_INVALID_ARGUMENT;
}

void policy_warn(struct policy_check *check, const char *name, const char *fmt, ...)
{
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    osa_buf_init(&text, 2048);
    va_list args;
    va_start(args, fmt);
    print_message(check, name, fmt, args, &text, NULL, 0);
    va_end(args);
    if (text.data != NULL)
        policy_add_warning(check->doc, policy_copy(check->doc, text.data, text.len));
}

static bool has_dot_dot(const char *path)
{
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += part[0] == '/';
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0'))
            return true;
    }
    return false;
}

/* "/", "//", "/./" … */
static bool is_root(const char *path)
{
    for (const char *c = path; *c != '\0'; c++) {
        bool dot = *c == '.' && c[-1] == '/' && (c[1] == '/' || c[1] == '\0');
        if (*c != '/' && !dot)
            return false;
    }
    return true;
}

static enum osa_code check_path(struct policy_check *check, const char *path, bool writable)
{
    if (path[0] != '/')
        return policy_reject(check, NULL, "'%s' is not absolute; start it with '/'",
                             POLICY_SHOW(path));
    if (strlen(path) > POLICY_MAX_PATH_BYTES)
        return policy_reject(check, NULL, "is longer than %d bytes", POLICY_MAX_PATH_BYTES);
    if (has_dot_dot(path))
        return policy_reject(check, NULL, "'%s' has a '..' component; write the path that is meant",
                             POLICY_SHOW(path));
    if (writable && is_root(path))
        return policy_reject(check, NULL,
                             "'/' would make everything writable; list the directories that "
                             "the workload changes");
    return OSA_OK;
}

static enum osa_code check_paths(struct policy_check *check, const char *name,
                                 const struct policy_strings *paths, bool writable)
{
    policy_enter(check, name);
    for (size_t i = 0; i < paths->count; i++) {
        policy_enter_index(check, i);
        enum osa_code code = check_path(check, paths->items[i], writable);
        policy_leave(check);
        if (code != OSA_OK)
            return code;
    }
    policy_leave(check);
    return OSA_OK;
}

static void warn_of_both(struct policy_check *check)
{
    const struct policy_filesystem *files = &check->doc->filesystem;
    policy_enter(check, "read_only");
    for (size_t i = 0; i < files->read_only.count; i++)
        for (size_t k = 0; k < files->read_write.count; k++) {
            if (strcmp(files->read_only.items[i], files->read_write.items[k]) != 0)
                continue;
            policy_enter_index(check, i);
            policy_warn(check, NULL, "'%s' is in read_write too and so can be changed",
                        POLICY_SHOW(files->read_only.items[i]));
            policy_leave(check);
        }
    policy_leave(check);
}

static enum osa_code check_filesystem(struct policy_check *check)
{
    const struct policy_filesystem *files = &check->doc->filesystem;
    policy_enter(check, policy_is_wire(check) ? "filesystem" : "filesystem_policy");
    enum osa_code code = OSA_OK;
    size_t count = files->read_only.count + files->read_write.count;
    if (count > POLICY_MAX_PATHS)
        return policy_reject(check, NULL, "lists %zu paths; at most %d are allowed", count,
                             POLICY_MAX_PATHS);
    code = check_paths(check, "read_only", &files->read_only, /* writable= */ false);
    if (code == OSA_OK)
        code = check_paths(check, "read_write", &files->read_write, /* writable= */ true);
    if (code != OSA_OK)
        return code;
    warn_of_both(check);
    policy_leave(check);
    return OSA_OK;
}

/* 1 to 4294967294, without sign, blanks or leading zeros. */
static bool is_id(const char *text)
{
    uint64_t value = 0;
    if (text[0] < '1' || text[0] > '9')
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || c - text >= 10)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    return value <= UINT32_MAX - 1;
}

static enum osa_code check_identity(struct policy_check *check, const char *name, const char *text)
{
    if (text[0] == '\0' || strcmp(text, "sandbox") == 0 || is_id(text))
        return OSA_OK;
    return policy_reject(check, name,
                         "'%s' is not accepted; write sandbox or a number of 1 to 4294967294",
                         POLICY_SHOW(text));
}

enum osa_code policy_check_static(struct policy_check *check)
{
    struct policy_document *doc = check->doc;
    if (doc->version == 0 && policy_is_wire(check))
        doc->version = 1; /* gateways that leave it out mean the only version there is */
    if (doc->version != 1)
        return policy_reject(check, "version", "%u is not known here; write 1", doc->version);
    enum osa_code code = check_filesystem(check);
    if (code != OSA_OK)
        return code;
    policy_enter(check, "landlock");
    if (!doc->landlock.hard_requirement && strcmp(doc->landlock.compatibility, "best_effort") != 0)
        policy_warn(check, "compatibility",
                    "'%s' is not known and means best_effort; write best_effort or "
                    "hard_requirement",
                    POLICY_SHOW(doc->landlock.compatibility));
    policy_leave(check);
    policy_enter(check, "process");
    code = check_identity(check, "run_as_user", doc->process.run_as_user);
    if (code == OSA_OK)
        code = check_identity(check, "run_as_group", doc->process.run_as_group);
    policy_leave(check);
    return code;
}
