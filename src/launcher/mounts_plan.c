// SPDX-License-Identifier: Apache-2.0
#include "launcher/mounts_plan.h"

#include <string.h>

/* The head; then the root, the directory of its changes, the shared directory, the workspace, each path with 'r' or 'w' before it, and each hidden path, as strings. */
struct head {
    uint32_t magic;
    uint32_t path_count;
    uint32_t hidden_count;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t flags;
    uint64_t scratch_bytes;
};

#define HEAD_MAGIC 0x544e4d4fu /* "OMNT" */
enum { HEAD_OWN_PID_NAMESPACE = 1u << 0, HEAD_OWN_NET_NAMESPACE = 1u << 1 };

static bool add_string(struct osa_buf *buf, const char *text)
{
    return osa_buf_add(buf, text, strlen(text) + 1);
}

enum osa_code mounts_plan_write(const struct mounts_spec *spec, struct osa_buf *buf,
                                struct osa_error *err)
{
    size_t hidden = 0;
    while (spec->hidden != NULL && spec->hidden[hidden] != NULL)
        hidden++;
    if (spec->path_count > MOUNTS_PLAN_PATHS_MAX || hidden > MOUNTS_PLAN_HIDDEN_MAX)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "%zu paths and %zu hidden ones are more than %d and %d", spec->path_count,
                        hidden, MOUNTS_PLAN_PATHS_MAX, MOUNTS_PLAN_HIDDEN_MAX);
    struct head head = {
        .magic = HEAD_MAGIC,
        .path_count = (uint32_t)spec->path_count,
        .hidden_count = (uint32_t)hidden,
        .owner_uid = spec->owner_uid,
        .owner_gid = spec->owner_gid,
        .flags = (spec->own_pid_namespace ? HEAD_OWN_PID_NAMESPACE : 0u) |
                 (spec->own_net_namespace ? HEAD_OWN_NET_NAMESPACE : 0u),
        .scratch_bytes = spec->scratch_bytes,
    };
    bool fits = osa_buf_add(buf, &head, sizeof(head)) && add_string(buf, spec->root) &&
                add_string(buf, spec->changes != NULL ? spec->changes : "") &&
                add_string(buf, spec->shared != NULL ? spec->shared : "") &&
                add_string(buf, spec->workspace != NULL ? spec->workspace : "");
    for (size_t i = 0; fits && i < spec->path_count; i++)
        fits = osa_buf_add(buf, spec->paths[i].writable ? "w" : "r", 1) &&
               add_string(buf, spec->paths[i].path);
    for (size_t i = 0; fits && i < hidden; i++)
        fits = add_string(buf, spec->hidden[i]);
    return fits ? OSA_OK
                : osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "the policy's paths do not fit");
}

/* The next string, or NULL when the bytes end before its NUL. */
static const char *take_string(const char **at, const char *end)
{
    const char *text = *at;
    const char *nul = memchr(text, '\0', (size_t)(end - text));
    if (nul == NULL)
        return NULL;
    *at = nul + 1;
    return text;
}

bool mounts_plan_parse(const void *data, size_t len, struct mounts_plan *ret_plan)
{
    struct head head;
    const char *at = data;
    const char *end = at + len;
    if (len < sizeof(head))
        return false;
    memcpy(&head, data, sizeof(head));
    at += sizeof(head);
    if (head.magic != HEAD_MAGIC || head.path_count > MOUNTS_PLAN_PATHS_MAX ||
        head.hidden_count > MOUNTS_PLAN_HIDDEN_MAX)
        return false;
    const char *root = take_string(&at, end);
    const char *changes = root == NULL ? NULL : take_string(&at, end);
    const char *shared = changes == NULL ? NULL : take_string(&at, end);
    const char *workspace = shared == NULL ? NULL : take_string(&at, end);
    if (workspace == NULL)
        return false;
    for (uint32_t i = 0; i < head.path_count; i++) {
        const char *text = take_string(&at, end);
        if (text == NULL || (text[0] != 'r' && text[0] != 'w'))
            return false;
        ret_plan->paths[i] = (struct mounts_path){ .path = text + 1, .writable = text[0] == 'w' };
    }
    for (uint32_t i = 0; i < head.hidden_count; i++) {
        ret_plan->hidden[i] = take_string(&at, end);
        if (ret_plan->hidden[i] == NULL)
            return false;
    }
    ret_plan->hidden[head.hidden_count] = NULL;
    ret_plan->spec = (struct mounts_spec){
        .root = root,
        .root_fd = -1,
        .changes = changes,
        .paths = ret_plan->paths,
        .path_count = head.path_count,
        .hidden = ret_plan->hidden,
        .shared = shared,
        .workspace = workspace,
        .scratch_bytes = head.scratch_bytes,
        .owner_uid = head.owner_uid,
        .owner_gid = head.owner_gid,
        .own_pid_namespace = (head.flags & HEAD_OWN_PID_NAMESPACE) != 0,
        .own_net_namespace = (head.flags & HEAD_OWN_NET_NAMESPACE) != 0,
    };
    return at == end;
}
