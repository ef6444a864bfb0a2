// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: every step is a system call followed by its proof. The kernel takes several
 * of these calls and does something else (setresuid with an unmapped id, capset with a set that a
 * security module trims), and a sandbox that believes in a drop that did not happen is worse than
 * none. The proofs read the kernel's own view: getresuid, capget, prctl.
 */
#include "launcher/privileges.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Each right that a securebit takes away, and its lock. KEEP_CAPS itself stays off. */
#define SECUREBITS_ALL                                                                             \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                               \
     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |       \
     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Capabilities end where the kernel says EINVAL; two words of 32 bits are all that capset(2) takes. */
enum { CAPABILITY_END = 64 };

struct capabilities {
    struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
};

static enum osa_code staged(struct osa_error *err, enum osa_code code, const char *stage)
{
    if (err != NULL)
        err->stage = stage;
    return code;
}

static int capabilities_get(struct capabilities *ret)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    return (int)syscall(SYS_capget, &head, ret->words);
}

static int capabilities_set(const struct capabilities *caps)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    return (int)syscall(SYS_capset, &head, caps->words);
}

/* Takes every capability out of the bounding set and reads it back. Return: 0, or the errno of the first refusal. */
static int empty_bounding_set(void)
{
    for (unsigned long cap = 0; cap < CAPABILITY_END; cap++) {
        int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (held < 0)
            return errno == EINVAL ? 0 : errno; /* past the last capability */
        if (held == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno;
        if (held == 1 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return EUCLEAN;
    }
    return 0;
}

int privileges_empty_bounding_set(void)
{
    return -empty_bounding_set();
}

static bool is_among(gid_t gid, const gid_t *set, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (set[i] == gid)
            return true;
    }
    return false;
}

static enum osa_code drop_groups(const struct identity *id, struct osa_error *err)
{
    if (setgroups(id->group_count, id->groups) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                        "setgroups(%zu groups) of user %u: give the agent CAP_SETGID, or run it as "
                        "an ordinary user and leave user and groups out",
                        id->group_count, id->uid);
    gid_t seen[IDENTITY_GROUPS_MAX];
    int count = getgroups(IDENTITY_GROUPS_MAX, seen);
    if (count < 0 || (size_t)count != id->group_count)
        return osa_fail(err, OSA_INTERNAL, 0, "setgroups left %d groups in place of %zu", count,
                        id->group_count);
    for (int i = 0; i < count; i++) {
        if (!is_among(seen[i], id->groups, id->group_count))
            return osa_fail(err, OSA_INTERNAL, 0, "setgroups left group %u", seen[i]);
    }
    return OSA_OK;
}

static enum osa_code check_ids(const struct identity *id, struct osa_error *err)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return osa_fail_errno(err, errno, "getresuid");
    for (int i = 0; i < 3; i++) {
        if (uids[i] != id->uid || gids[i] != id->gid)
            return osa_fail(err, OSA_INTERNAL, 0,
                            "user is %u:%u after the change to %u:%u was accepted", uids[i],
                            gids[i], id->uid, id->gid);
    }
    /* An invalid id changes nothing and returns what is set: setfsuid(2). */
    if ((uid_t)setfsuid((uid_t)-1) != id->uid || (gid_t)setfsgid((gid_t)-1) != id->gid)
        return osa_fail(err, OSA_INTERNAL, 0, "file system ids did not follow to %u:%u", id->uid,
                        id->gid);
    return OSA_OK;
}

static enum osa_code change_ids(const struct identity *id, struct osa_error *err)
{
    enum osa_code code = drop_groups(id, err);
    if (code != OSA_OK)
        return code;
    if (setresgid(id->gid, id->gid, id->gid) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                        "setresgid(%u): give the agent CAP_SETGID, or run it as an ordinary user",
                        id->gid);
    if (setresuid(id->uid, id->uid, id->uid) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                        "setresuid(%u): give the agent CAP_SETUID, or run it as an ordinary user",
                        id->uid);
    return check_ids(id, err);
}

/* The groups cannot be changed. Wanted ones must be there; others that are there are reported. */
static enum osa_code keep_groups(const struct identity *id, unsigned *leftover,
                                 struct osa_error *err)
{
    gid_t seen[IDENTITY_GROUPS_MAX];
    int count = getgroups(IDENTITY_GROUPS_MAX, seen);
    size_t seen_count = count < 0 ? 0 : (size_t)count;
    if (count < 0) /* more than fit */
        *leftover |= PRIVILEGES_LEFT_GROUPS;
    for (size_t i = 0; i < id->group_count; i++) {
        if (id->groups[i] != id->gid && !is_among(id->groups[i], seen, seen_count))
            return osa_fail(err, OSA_FAILED_PRECONDITION, EPERM,
                            "group %u cannot be given without privileges; run the agent as root, "
                            "or leave the groups out",
                            id->groups[i]);
    }
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i] != id->gid && !is_among(seen[i], id->groups, id->group_count))
            *leftover |= PRIVILEGES_LEFT_GROUPS;
    }
    return OSA_OK;
}

/* KEEP_IDS: proves that the caller is @id already. Groups go where the kernel lets them. */
static enum osa_code keep_ids(const struct identity *id, unsigned *leftover, struct osa_error *err)
{
    if (geteuid() != id->uid || getegid() != id->gid)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "user %u:%u was asked for, but without privileges processes run as %u:%u; "
                        "run the agent as root, or leave the user out",
                        id->uid, id->gid, geteuid(), getegid());
    enum osa_code code = OSA_OK;
    if (setgroups(id->group_count, id->groups) < 0)
        code = keep_groups(id, leftover, err);
    if (code != OSA_OK)
        return code;
    if (setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return osa_fail(err, OSA_INTERNAL, errno, "cannot settle on the own ids %u:%u", id->uid,
                        id->gid);
    return check_ids(id, err);
}

static enum osa_code empty_capabilities(struct osa_error *err)
{
    /* Gone with the first ids already as a rule; a kernel before 4.3 has no ambient set. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return osa_fail_errno(err, errno, "PR_CAP_AMBIENT_CLEAR_ALL");
    struct capabilities caps = { 0 };
    if (capabilities_set(&caps) < 0)
        return osa_fail_errno(err, errno, "capset to nothing");
    return OSA_OK;
}

/* What is ambient is permitted and inheritable, too: capabilities(7). */
static enum osa_code check_capabilities(struct osa_error *err)
{
    struct capabilities caps;
    if (capabilities_get(&caps) < 0)
        return osa_fail_errno(err, errno, "capget");
    for (size_t i = 0; i < OSA_ARRAY_LEN(caps.words); i++) {
        if ((caps.words[i].effective | caps.words[i].permitted | caps.words[i].inheritable) != 0)
            return osa_fail(err, OSA_INTERNAL, 0,
                            "capabilities remain: effective %08x permitted %08x inheritable %08x",
                            caps.words[i].effective, caps.words[i].permitted,
                            caps.words[i].inheritable);
    }
    return OSA_OK;
}

static enum osa_code forbid_new_privileges(struct osa_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return osa_fail_errno(err, errno, "PR_SET_NO_NEW_PRIVS");
    return OSA_OK;
}

/* With the capabilities gone, asking for user 0 must fail; for who is not user 0 itself. */
static enum osa_code check_no_way_back(const struct identity *id, struct osa_error *err)
{
    if (id->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0))
        return osa_fail(err, OSA_INTERNAL, 0, "user 0 can be taken back after the drop to %u",
                        id->uid);
    if (id->gid != 0 && (setgid(0) == 0 || setresgid(0, 0, 0) == 0))
        return osa_fail(err, OSA_INTERNAL, 0, "group 0 can be taken back after the drop to %u",
                        id->gid);
    return OSA_OK;
}

enum osa_code privileges_drop(const struct identity *id, unsigned flags, unsigned *ret_leftover,
                              struct osa_error *err)
{
    unsigned leftover = 0;
    if (id->uid == (uid_t)-1 || id->gid == (gid_t)-1 || id->group_count > IDENTITY_GROUPS_MAX)
        return staged(err, osa_fail(err, OSA_INTERNAL, 0, "identity is not resolved"), "user");

    /* Both need CAP_SETPCAP, which the change of ids takes away. Whoever lacks it has mostly
     * nothing to drop, and what would be regained through an exec no_new_privs keeps away. */
    int refused = empty_bounding_set();
    if (refused == EPERM)
        leftover |= PRIVILEGES_LEFT_BOUNDING;
    else if (refused != 0)
        return staged(err, osa_fail_errno(err, refused, "PR_CAPBSET_DROP"), "capabilities");
    if (prctl(PR_SET_SECUREBITS, SECUREBITS_ALL, 0, 0, 0) < 0) {
        if (errno != EPERM)
            return staged(err, osa_fail_errno(err, errno, "PR_SET_SECUREBITS"), "capabilities");
        leftover |= PRIVILEGES_LEFT_SECUREBITS;
    }

    enum osa_code code =
        (flags & PRIVILEGES_KEEP_IDS) != 0 ? keep_ids(id, &leftover, err) : change_ids(id, err);
    if (code != OSA_OK)
        return staged(err, code, "user");
    code = empty_capabilities(err);
    if (code == OSA_OK)
        code = forbid_new_privileges(err);
    if (code == OSA_OK)
        code = check_capabilities(err);
    if (code != OSA_OK)
        return staged(err, code, "capabilities");
    code = check_no_way_back(id, err);
    if (code != OSA_OK)
        return staged(err, code, "user");
    if (ret_leftover != NULL)
        *ret_leftover = leftover;
    return OSA_OK;
}

enum osa_code privileges_set_rlimits(const struct privileges_rlimit *limits, size_t count,
                                     struct osa_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct privileges_rlimit *limit = &limits[i];
        if (limit->resource < 0 || limit->resource >= (int)RLIM_NLIMITS ||
            limit->soft > limit->hard)
            return staged(err,
                          osa_fail_field(err, "spec.rlimits",
                                         "limit %d with soft %llu and hard %llu is not one",
                                         limit->resource, (unsigned long long)limit->soft,
                                         (unsigned long long)limit->hard),
                          "rlimit");
        struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };
        if (setrlimit((__rlimit_resource_t)limit->resource, &value) < 0) {
            enum osa_code code = errno == EPERM ? OSA_FAILED_PRECONDITION : OSA_INTERNAL;
            code = osa_fail(
                err, code, errno,
                "limit %d cannot become %llu:%llu; the hard limit of the agent is lower",
                limit->resource, (unsigned long long)limit->soft, (unsigned long long)limit->hard);
            if (err != NULL)
                (void)snprintf(err->field, sizeof(err->field), "spec.rlimits");
            return staged(err, code, "rlimit");
        }
    }
    return OSA_OK;
}

void privileges_empty_core_dumps(void)
{
    (void)osa_write_file(AT_FDCWD, "/proc/self/coredump_filter", "0");
}

enum osa_code privileges_disable_core_dumps(bool *ret_piped_open, struct osa_error *err)
{
    struct rlimit limit = { .rlim_cur = 1, .rlim_max = 1 };
    bool piped_open = false;
    if (setrlimit(RLIMIT_CORE, &limit) < 0) {
        if (errno != EPERM)
            return staged(err, osa_fail_errno(err, errno, "RLIMIT_CORE"), "rlimit");
        limit = (struct rlimit){ 0 }; /* the hard limit is 0 and stays */
        if (setrlimit(RLIMIT_CORE, &limit) < 0)
            return staged(err, osa_fail_errno(err, errno, "RLIMIT_CORE"), "rlimit");
        piped_open = true;
    }
    if (ret_piped_open != NULL)
        *ret_piped_open = piped_open;
    return OSA_OK;
}

enum osa_code privileges_new_session_keyring(struct osa_error *err)
{
    if (osa_sys_keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) >= 0 || errno == ENOSYS)
        return OSA_OK;
    int saved = errno;
    /* A seccomp filter around the agent (every container runtime has one) refuses keyctl with
     * EPERM. The workload is then refused as well, but by somebody else's filter: ours does it. */
    if (saved == EPERM)
        return OSA_OK;
    return staged(err, osa_fail_errno(err, saved, "new session keyring"), "keyring");
}

enum osa_code privileges_set_hostname(const char *name, struct osa_error *err)
{
    size_t len = strnlen(name, 65);
    if (len == 0 || len > 64)
        return staged(
            err,
            osa_fail(err, OSA_INVALID_ARGUMENT, 0, "a host name has 1 to 64 bytes, not %zu", len),
            "namespace");
    if (sethostname(name, len) < 0)
        return staged(err, osa_fail(err, OSA_FAILED_PRECONDITION, errno, "sethostname"),
                      "namespace");
    return OSA_OK;
}
