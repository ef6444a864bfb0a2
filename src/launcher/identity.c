// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: a file is read whole into a bounded buffer and handed line by line to a
 * visitor, which sees rows that are already split and checked. The first malformed row ends the
 * walk with an error that names its line. identity_rows.c has that part; here is what rows mean.
 */
#include "launcher/identity.h"

#include "launcher/identity_rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One side of a spec: a name or a number. */
struct principal {
    bool is_number;
    unsigned id;
    char name[IDENTITY_NAME_MAX];
};

struct user_search {
    const struct principal *who;
    unsigned matches;
    uid_t uid;
    gid_t gid;
    struct identity *ret;
};

struct group_search {
    const struct principal *who; /* NULL: only memberships are looked for */
    unsigned matches;
    gid_t gid;
    const char *member; /* NULL: memberships do not matter */
    unsigned flags;
    struct identity *ret;
};

/* Letters, digits and a few marks; what useradd(8) of any distribution makes, and no more. */
static bool is_name(const char *text, size_t len)
{
    if (len == 0 || len >= IDENTITY_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '@';
        bool last = c == '$' && i == len - 1;
        if (!letter && !(i > 0 && (later || last)))
            return false;
    }
    return true;
}

static enum osa_code parse_principal(const char *text, size_t len, const char *field,
                                     struct principal *ret, struct osa_error *err)
{
    *ret = (struct principal){ 0 };
    if (identity_parse_id(text, len, &ret->id)) {
        ret->is_number = true;
        return OSA_OK;
    }
    if (!is_name(text, len)) {
        /* The text is the client's own and goes back to it alone; cut, and printable or not at all. */
        return osa_fail_field(err, field,
                              "is neither a name (a letter or '_', then letters, digits, '.', '-', "
                              "'_', '@') nor a number from 0 to 4294967294 without sign or "
                              "leading zero");
    }
    memcpy(ret->name, text, len);
    ret->name[len] = '\0';
    return OSA_OK;
}

static bool is_root_refused(unsigned id, unsigned flags)
{
    return id == 0 && (flags & IDENTITY_ALLOW_ROOT) == 0;
}

static enum osa_code refuse_root(struct osa_error *err, const char *field, const char *what)
{
    return osa_fail_field(err, field,
                          "%s 0 is refused: on the host it owns files and settings even without "
                          "capabilities; name another",
                          what);
}

static void copy_text(char *dest, size_t size, const char *text)
{
    (void)snprintf(dest, size, "%s", text);
}

/* A home or shell goes into the environment; what is not an absolute path is not taken. */
static void copy_path(char *dest, size_t size, const char *text)
{
    if (text[0] == '/')
        copy_text(dest, size, text);
}

static enum osa_code match_user(void *ctx, const struct identity_row *row, struct osa_error *err)
{
    struct user_search *search = ctx;
    unsigned uid = row->ids[0];
    bool same = search->who->is_number ? uid == search->who->id
                                       : strcmp(row->fields[0], search->who->name) == 0;
    if (!same)
        return OSA_OK;
    if (++search->matches > 1)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "/etc/passwd of the sandbox's root, line %u: a second row for '%s'",
                        row->line, row->fields[0]);
    search->uid = uid;
    search->gid = row->ids[1];
    copy_text(search->ret->name, sizeof(search->ret->name), row->fields[0]);
    copy_path(search->ret->home, sizeof(search->ret->home), row->fields[5]);
    copy_path(search->ret->shell, sizeof(search->ret->shell), row->fields[6]);
    return OSA_OK;
}

static enum osa_code add_group(struct identity *id, gid_t gid, struct osa_error *err)
{
    for (size_t i = 0; i < id->group_count; i++) {
        if (id->groups[i] == gid)
            return OSA_OK;
    }
    if (id->group_count == IDENTITY_GROUPS_MAX)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "user '%s' is in more than %d groups",
                        id->name, IDENTITY_GROUPS_MAX);
    id->groups[id->group_count++] = gid;
    return OSA_OK;
}

/* Is @name one of the comma-separated @members? */
static bool is_member(const char *members, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = members; *at != '\0';) {
        size_t span = strcspn(at, ",");
        if (span == len && memcmp(at, name, len) == 0)
            return true;
        at += span + (at[span] == ',');
    }
    return false;
}

static enum osa_code match_group(void *ctx, const struct identity_row *row, struct osa_error *err)
{
    struct group_search *search = ctx;
    gid_t gid = row->ids[0];
    if (search->who != NULL && !search->who->is_number &&
        strcmp(row->fields[0], search->who->name) == 0) {
        if (++search->matches > 1)
            return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                            "/etc/group of the sandbox's root, line %u: a second row for '%s'",
                            row->line, row->fields[0]);
        search->gid = gid;
    }
    if (search->member == NULL || !is_member(row->fields[3], search->member))
        return OSA_OK;
    if (is_root_refused(gid, search->flags))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "/etc/group of the sandbox's root, line %u: '%s' is a member of group 0, "
                        "which is refused; list the groups in spec.groups",
                        row->line, search->member);
    return add_group(search->ret, gid, err);
}

/* Fills uid, gid, name, home, shell. *ret_gid_known: the primary group came from a row. */
static enum osa_code find_user(int root_fd, const struct principal *who, struct identity *ret,
                               bool *ret_gid_known, struct osa_error *err)
{
    struct user_search search = { .who = who, .ret = ret };
    enum osa_code code = identity_each_row(root_fd, IDENTITY_PASSWD, match_user, &search, err);
    if (code == OSA_NOT_FOUND && who->is_number)
        code = OSA_OK; /* no file; the number may do by itself */
    else if (code == OSA_NOT_FOUND)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "the sandbox's root has no /etc/passwd; give the user as \"uid:gid\"");
    if (code != OSA_OK)
        return code;
    if (search.matches == 0 && !who->is_number)
        return osa_fail_field(err, "spec.user", "'%s' is not in /etc/passwd of the sandbox's root",
                              who->name);
    *ret_gid_known = search.matches != 0;
    ret->uid = who->is_number ? who->id : search.uid;
    ret->gid = search.gid;
    return OSA_OK;
}

/* Resolves one group and, when @member is set, collects memberships into ret->groups. */
static enum osa_code find_group(int root_fd, const struct principal *who, const char *field,
                                const char *member, unsigned flags, struct identity *ret,
                                gid_t *ret_gid, struct osa_error *err)
{
    bool by_name = who != NULL && !who->is_number;
    struct group_search search = { .who = who, .member = member, .flags = flags, .ret = ret };
    if (by_name || member != NULL) {
        enum osa_code code = identity_each_row(root_fd, IDENTITY_GROUP, match_group, &search, err);
        if (code == OSA_NOT_FOUND && by_name)
            return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                            "the sandbox's root has no /etc/group; give the group as a number");
        if (code != OSA_OK && code != OSA_NOT_FOUND)
            return code;
    }
    if (by_name && search.matches == 0)
        return osa_fail_field(err, field, "group '%s' is not in /etc/group of the sandbox's root",
                              who->name);
    if (who != NULL)
        *ret_gid = by_name ? search.gid : who->id;
    return OSA_OK;
}

static enum osa_code set_groups(int root_fd, const char *const *groups, unsigned flags,
                                struct identity *id, struct osa_error *err)
{
    for (size_t i = 0; groups[i] != NULL; i++) {
        struct principal who;
        gid_t gid = 0;
        enum osa_code code =
            parse_principal(groups[i], strlen(groups[i]), "spec.groups", &who, err);
        if (code == OSA_OK)
            code = find_group(root_fd, &who, "spec.groups", NULL, flags, id, &gid, err);
        if (code == OSA_OK && is_root_refused(gid, flags))
            code = refuse_root(err, "spec.groups", "group");
        if (code == OSA_OK)
            code = add_group(id, gid, err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

static void start(struct identity *id)
{
    *id = (struct identity){ 0 };
    copy_text(id->home, sizeof(id->home), "/");
    copy_text(id->shell, sizeof(id->shell), "/bin/sh");
}

static enum osa_code resolve(int root_fd, const struct principal *user,
                             const struct principal *group, const char *const *groups,
                             unsigned flags, struct identity *id, struct osa_error *err)
{
    bool gid_known = false;
    start(id);
    enum osa_code code = find_user(root_fd, user, id, &gid_known, err);
    if (code != OSA_OK)
        return code;
    if (id->name[0] == '\0')
        (void)snprintf(id->name, sizeof(id->name), "%u", id->uid);
    if (group == NULL && !gid_known)
        return osa_fail_field(err, "spec.user",
                              "user %u has no row in /etc/passwd of the sandbox's root and so no "
                              "primary group; give \"uid:gid\"",
                              id->uid);
    const char *member = user->is_number || groups != NULL ? NULL : id->name;
    code = find_group(root_fd, group, "spec.user", member, flags, id, &id->gid, err);
    if (code != OSA_OK)
        return code;
    if (is_root_refused(id->uid, flags))
        return refuse_root(err, "spec.user", "user");
    if (is_root_refused(id->gid, flags))
        return refuse_root(err, "spec.user", "group");
    if (groups != NULL)
        code = set_groups(root_fd, groups, flags, id, err);
    /* The primary group is part of the set: setgroups(2) knows no other place for it. */
    return code != OSA_OK ? code : add_group(id, id->gid, err);
}

enum osa_code identity_resolve(int root_fd, const char *spec, const char *const *groups,
                               unsigned flags, struct identity *ret, struct osa_error *err)
{
    struct principal user;
    struct principal group;
    const char *colon = strchr(spec, ':');
    size_t user_len = colon != NULL ? (size_t)(colon - spec) : strlen(spec);
    enum osa_code code = parse_principal(spec, user_len, "spec.user", &user, err);
    if (code == OSA_OK && colon != NULL)
        code = parse_principal(colon + 1, strlen(colon + 1), "spec.user", &group, err);
    if (code == OSA_OK)
        code = resolve(root_fd, &user, colon != NULL ? &group : NULL, groups, flags, ret, err);
    if (code != OSA_OK && err != NULL)
        err->stage = "user";
    return code;
}

/* Is there a user "sandbox" in the root? *ret_found is set on success. */
static enum osa_code has_sandbox_user(int root_fd, bool *ret_found, struct osa_error *err)
{
    const struct principal sandbox = { .name = "sandbox" };
    struct identity id;
    bool gid_known;
    *ret_found = false;
    if (identity_is_file_missing(root_fd, IDENTITY_PASSWD))
        return OSA_OK;
    enum osa_code code = find_user(root_fd, &sandbox, &id, &gid_known, err);
    *ret_found = code == OSA_OK;
    return code == OSA_INVALID_ARGUMENT ? OSA_OK : code; /* that is: no row */
}

enum osa_code identity_default(int root_fd, unsigned flags, struct identity *ret,
                               struct osa_error *err)
{
    unsigned uid = geteuid();
    unsigned gid = getegid();
    bool sandbox = false;
    enum osa_code code = OSA_OK;
    if (is_root_refused(uid, flags) || is_root_refused(gid, flags)) {
        uid = IDENTITY_NOBODY;
        gid = IDENTITY_NOBODY;
        code = has_sandbox_user(root_fd, &sandbox, err);
    }
    if (code == OSA_OK && sandbox) {
        code =
            resolve(root_fd, &(struct principal){ .name = "sandbox" }, NULL, NULL, flags, ret, err);
    } else if (code == OSA_OK) {
        const struct principal user = { .is_number = true, .id = uid };
        const struct principal group = { .is_number = true, .id = gid };
        code = resolve(root_fd, &user, &group, NULL, flags, ret, err);
    }
    if (code != OSA_OK && err != NULL)
        err->stage = "user";
    return code;
}
