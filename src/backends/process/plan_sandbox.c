// SPDX-License-Identifier: Apache-2.0
/* From a sandbox's spec and policy to what its init carries out: user, root, Landlock. */
#include "backends/process/carve.h"
#include "backends/process/landlock_plan.h"
#include "backends/process/plan_build.h"
#include "launcher/mounts_plan.h"
#include "policy/paths.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert((unsigned)PLAN_NS_USER == NAMESPACE_USER && (unsigned)PLAN_NS_MNT == NAMESPACE_MNT &&
                  (unsigned)PLAN_NS_PID == NAMESPACE_PID &&
                  (unsigned)PLAN_NS_NET == NAMESPACE_NET &&
                  (unsigned)PLAN_NS_IPC == NAMESPACE_IPC &&
                  (unsigned)PLAN_NS_UTS == NAMESPACE_UTS &&
                  (unsigned)PLAN_NS_CGROUP == NAMESPACE_CGROUP,
              "plans and backends number namespaces alike");

/* Paths of the policy; the text is the document's and the spec's. */
struct paths {
    struct policy_path *items; /* owned */
    size_t count;
};

static void paths_done(const struct paths *paths)
{
    free(paths->items);
}

void isolation_add_degraded(struct isolation *isolation, const char *sentence)
{
    size_t used = 0;
    while (isolation->degraded[used] != '\0')
        used += strlen(isolation->degraded + used) + 1;
    size_t len = strlen(sentence);
    if (used + len + 2 > sizeof(isolation->degraded))
        return;
    memcpy(isolation->degraded + used, sentence, len + 1);
    isolation->degraded[used + len + 1] = '\0';
}

static bool lists_root(const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->filesystem.read_only.count; i++) {
        if (strcmp(doc->filesystem.read_only.items[i], "/") == 0)
            return true;
    }
    return false;
}

/*
 * A document never makes "/" writable, but a working directory that it includes would: "/" is where
 * processes start when nobody says otherwise. There the inclusion means nothing.
 */
static void keep_root_from_being_writable(struct paths *paths, const struct policy_document *doc)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (strcmp(paths->items[i].path, "/") != 0)
            continue;
        paths->items[i].writable = false;
        if (!lists_root(doc))
            paths->items[i--] = paths->items[--paths->count];
    }
}

/*
 * Could a process of the sandbox open what belongs to the agent's user? Root's agent has other users
 * for its processes, unless a request asks for root.
 */
static bool may_be_agent_user(const char *user)
{
    size_t len = strcspn(user, ":");
    return geteuid() != 0 || (len == 4 && strncmp(user, "root", len) == 0) ||
           (len > 0 && strspn(user, "0") == len);
}

/*
 * Without a mount namespace Landlock alone keeps the agent's files from a sandbox. What is below a
 * writable path it cannot; a token or a key there ends it, everything else is told.
 */
static enum osa_code hide_by_landlock(const struct paths *paths, const struct plan_host *host,
                                      const char *user, struct isolation *isolation,
                                      struct carved *ret, struct osa_error *err)
{
    const char *shown = NULL;
    const char *secret = host->secrets != NULL && may_be_agent_user(user) ? host->secrets[0] : NULL;
    if (secret != NULL && host->landlock_abi != 0)
        secret = carve_find(paths->items, paths->count, host->secrets, &shown);
    if (secret != NULL) {
        (void)osa_fail(
            err, OSA_FAILED_PRECONDITION, 0,
            shown != NULL
                ? "landlock: the agent's own '%.128s' cannot be kept from a process of its "
                  "user, for the policy makes '%.128s' writable; move the file elsewhere, or "
                  "run the agent where it can make mount namespaces"
                : "landlock: the agent's own '%.128s' cannot be kept from a process of its "
                  "user: this kernel has neither Landlock nor mount namespaces for us%s",
            secret, shown != NULL ? shown : "");
        if (err != NULL)
            err->stage = "landlock";
        return OSA_FAILED_PRECONDITION;
    }
    const char *hidden = carve_find(paths->items, paths->count, host->hidden, &shown);
    if (hidden != NULL) {
        char sentence[256];
        (void)snprintf(sentence, sizeof(sentence),
                       "the agent's own '%.100s' is not hidden: the policy shows '%.80s'", hidden,
                       shown);
        isolation_add_degraded(isolation, sentence);
    }
    return carve_paths(paths->items, paths->count, host->hidden, ret, err);
}

static enum osa_code add_mounts(struct osa_buf *buf, const struct sandbox_spec *spec,
                                const struct paths *paths, const char *const *hidden,
                                struct isolation *isolation, struct sandbox_plan *plan,
                                struct osa_error *err)
{
    OSA_AUTO(osa_free) struct mounts_path *list = calloc(paths->count + 1, sizeof(*list));
    if (list == NULL)
        return osa_fail_errno(err, ENOMEM, "policy paths");
    for (size_t i = 0; i < paths->count; i++)
        list[i] = (struct mounts_path){ paths->items[i].path, paths->items[i].writable };
    const struct mounts_spec mounts = {
        .root = spec->root,
        .root_fd = -1,
        .changes = spec->changes,
        .paths = list,
        .path_count = paths->count,
        .hidden = spec->root[0] == '\0' ? hidden : NULL,
        .shared = isolation->network == NETWORK_PROXY ? spec->shared : NULL,
        .workspace = spec->workdir,
        .scratch_bytes = spec->resources.disk_bytes,
        .own_pid_namespace = (isolation->namespaces & NAMESPACE_PID) != 0,
        .own_net_namespace = (isolation->namespaces & NAMESPACE_NET) != 0,
    };
    struct osa_buf bytes;
    osa_buf_init(&bytes, PLAN_MAX_BYTES);
    enum osa_code code = mounts_plan_write(&mounts, &bytes, err);
    if (code == OSA_OK)
        plan->rootfs = plan_add_bytes(buf, bytes.data, bytes.len);
    osa_buf_done(&bytes);
    return code;
}

static enum osa_code add_landlock(struct osa_buf *buf, const struct sandbox_spec *spec,
                                  const struct policy_path *paths, size_t path_count,
                                  const struct plan_host *host, struct isolation *isolation,
                                  struct sandbox_plan *plan, struct osa_error *err)
{
    const struct policy_landlock *wanted = &spec->policy->landlock;
    bool own_network = (isolation->namespaces & NAMESPACE_NET) != 0;
    const struct landlock_spec rules = {
        .abi = host->landlock_abi,
        .log = host->landlock_log,
        .paths = paths,
        .path_count = path_count,
        .hard = wanted->hard_requirement,
        .opted_out = wanted->given && !wanted->hard_requirement,
        .private_root = (isolation->namespaces & NAMESPACE_MNT) != 0,
        .tcp = own_network ? LANDLOCK_TCP_OPEN : LANDLOCK_TCP_CLOSED,
    };
    struct osa_buf bytes;
    struct osa_buf degraded;
    osa_buf_init(&bytes, LANDLOCK_PLAN_MAX_BYTES);
    osa_buf_init(&degraded, sizeof(isolation->degraded));
    enum osa_code code = landlock_compile(&rules, &bytes, &degraded, err);
    if (code == OSA_OK) {
        plan->landlock = plan_add_bytes(buf, bytes.data, bytes.len);
        isolation->landlock_abi =
            bytes.len > 0 ? ((struct landlock_plan *)(void *)bytes.data)->abi : 0;
        isolation->landlock_hard = wanted->hard_requirement;
        if (degraded.len > 0)
            isolation_add_degraded(isolation, degraded.data);
    }
    osa_buf_done(&bytes);
    osa_buf_done(&degraded);
    return code;
}

/* The spec's user; else the policy's, whose fields are one word or number each; else nothing. */
static void choose_user(const struct sandbox_spec *spec, char *ret, size_t size)
{
    const struct policy_process *process = &spec->policy->process;
    if (spec->user[0] != '\0')
        (void)snprintf(ret, size, "%s", spec->user);
    else if (process->run_as_user[0] != '\0' && process->run_as_group[0] != '\0')
        (void)snprintf(ret, size, "%s:%s", process->run_as_user, process->run_as_group);
    else
        (void)snprintf(ret, size, "%s", process->run_as_user);
}

enum osa_code plan_build_sandbox(struct plan_builder *ret, const struct sandbox_spec *spec,
                                 const struct plan_host *host, const struct osa_buf *filter,
                                 struct isolation *isolation, struct osa_error *err)
{
    struct osa_buf *buf = &ret->buf;
    struct sandbox_plan plan = { .magic = SANDBOX_PLAN_MAGIC,
                                 .level = isolation->level,
                                 .namespaces = isolation->namespaces,
                                 .seccomp_flags = host->seccomp_flags };
    OSA_AUTO(paths_done) struct paths paths = { 0 };
    OSA_AUTO(carved_done) struct carved carved = { 0 };
    char user[512];
    osa_buf_init(buf, PLAN_MAX_BYTES);
    enum osa_code code =
        policy_paths(spec->policy, spec->workdir, strcmp(spec->seccomp_profile, "gpu") == 0,
                     &paths.items, &paths.count, err);
    if (code != OSA_OK)
        return code;
    keep_root_from_being_writable(&paths, spec->policy);
    choose_user(spec, user, sizeof(user));
    plan.flags =
        SANDBOX_PLAN_NO_NEW_PRIVS | (geteuid() != 0 ? (unsigned)SANDBOX_PLAN_KEEP_IDS : 0u);
    if (isolation->network == NETWORK_PROXY) {
        plan.proxy_port = SANDBOX_PROXY_PORT;
        plan.names_port = spec->names ? SANDBOX_NAMES_PORT : 0;
        plan.tcp_port = spec->names ? SANDBOX_TCP_PORT : 0;
        plan.flags |= host->veth ? (unsigned)SANDBOX_PLAN_SHOW_NET : 0u;
    }
    (void)osa_buf_add(buf, &plan, sizeof(plan));
    plan.seccomp = plan_add_bytes(buf, filter->data, filter->len);
    plan.user = plan_add_text(buf, user);
    if ((isolation->namespaces & NAMESPACE_UTS) != 0)
        plan.hostname = plan_add_text(buf, spec->id);
    bool mounts = (isolation->namespaces & NAMESPACE_MNT) != 0;
    code = mounts ? add_mounts(buf, spec, &paths, host->hidden, isolation, &plan, err)
                  : hide_by_landlock(&paths, host, user, isolation, &carved, err);
    if (code == OSA_OK)
        code = add_landlock(buf, spec, mounts ? paths.items : carved.items,
                            mounts ? paths.count : carved.count, host, isolation, &plan, err);
    if (code != OSA_OK)
        return code;
    if (buf->failed)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "the policy is too large for a plan");
    plan.size = (uint32_t)buf->len;
    memcpy(buf->data, &plan, sizeof(plan));
    return OSA_OK;
}
