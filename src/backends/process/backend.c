// SPDX-License-Identifier: Apache-2.0
/*
 * The process backend on the agent's side.
 *
 * A sandbox is an init that the launcher forks; agent and init talk over a socket of their own. The
 * agent holds pidfds of inits, keepers and processes, so that it signals without asking and never
 * by a number that may have been reused. Output is read here, straight from the pipes.
 *
 * Which process holds a tree together: init itself for one process at a time (the usual sandbox has
 * one), a keeper of its own for each other; see launcher/init.c.
 */
#include "backends/process/internal.h"
#include "backends/process/landlock_log.h"
#include "backends/process/landlock_plan.h"
#include "backends/process/launcher.h"
#include "backends/process/process.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct process_backend *backend_of(struct backend *b)
{
    return OSA_CONTAINER_OF(b, struct process_backend, base);
}

static void on_zygote_packet(struct channel *channel, struct wire_packet *packet)
{
    struct process_backend *b = OSA_CONTAINER_OF(channel, struct process_backend, zygote);
    struct sandbox *s;
    HASH_FIND(hh, b->sandboxes, &packet->head.key, sizeof(packet->head.key), s);
    if (s == NULL)
        return;
    switch (packet->head.type) {
    case LAUNCHER_CREATED:
        sandbox_on_created(s, wire_take_fd(packet, 0));
        break;
    case LAUNCHER_FAILED:
        sandbox_on_refused(s, &packet->head);
        break;
    case LAUNCHER_GONE:
        sandbox_on_gone(s);
        break;
    default:
        break;
    }
}

/* Without a zygote nobody would collect what an init leaves behind: everything ends. */
static void on_zygote_lost(struct channel *channel, const char *reason)
{
    struct process_backend *b = OSA_CONTAINER_OF(channel, struct process_backend, zygote);
    osa_log(OSA_LOG_ERROR, "process", "launcher lost; every sandbox ends", OSA_S("reason", reason));
    b->info.available = false;
    (void)snprintf(b->info.reason, sizeof(b->info.reason),
                   "the launcher was killed; restart the agent");
    struct sandbox *s;
    struct sandbox *next;
    HASH_ITER(hh, b->sandboxes, s, next)
    {
        sandbox_end(s, "the launcher was killed");
        sandbox_on_gone(s);
    }
}

/* What the launcher gave as reason in its probe. */
static void probe_error(const struct launcher_probe *probe, struct osa_error *ret)
{
    const struct launcher_message head = { .stage = probe->stage,
                                           .sys_errno = probe->sys_errno,
                                           .code = probe->code };
    stage_error(&head, probe->detail, ret);
}

/*
 * The level that holds here whole, for the launcher has built such a sandbox. FULL means that the
 * agent is root and may change users. What keeps it from more than RESTRICTED stands in the info,
 * and so in every reply; that the operator wanted no more does not.
 */
static void choose_level(struct process_backend *b, enum isolation_level max)
{
    struct isolation *isolation = &b->info.isolation;
    const enum isolation_level best = geteuid() == 0 ? ISOLATION_FULL : ISOLATION_ROOTLESS;
    isolation->level = ISOLATION_RESTRICTED;
    if (max != ISOLATION_ANY && max < best)
        return;
    if (b->probe.namespaces != 0) {
        isolation->level = best;
        isolation->namespaces = b->probe.namespaces;
        return;
    }
    struct osa_error why;
    char sentence[256];
    probe_error(&b->probe, &why);
    (void)snprintf(sentence, sizeof(sentence), "level %s is out of reach: %.200s",
                   best == ISOLATION_FULL ? "full" : "rootless", why.text);
    isolation_add_degraded(isolation, sentence);
}

/* Return: false, with the reason in the info, where every start would be refused. */
static bool can_confine(struct process_backend *b)
{
    struct backend_info *info = &b->info;
    struct osa_error why;
    if (b->probe.confined == 0) {
        probe_error(&b->probe, &why);
        (void)snprintf(info->reason, sizeof(info->reason), "no process can be confined: %.200s",
                       why.text);
    } else if (b->probe.seccomp == 0) {
        (void)snprintf(info->reason, sizeof(info->reason),
                       "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
    }
    return info->reason[0] == '\0';
}

static void fill_info(struct process_backend *b, enum isolation_level max)
{
    struct backend_info *info = &b->info;
    info->available = can_confine(b);
    struct isolation *isolation = &info->isolation;
    choose_level(b, max);
    isolation->no_new_privs = true;
    isolation->capabilities_dropped = true;
    isolation->landlock_abi = OSA_MIN(b->probe.landlock_abi, LANDLOCK_NEWEST_ABI);
    bool own_network = (isolation->namespaces & NAMESPACE_NET) != 0;
    /* Without a network namespace the filter denies IPv4 and IPv6 sockets altogether. */
    bool filters = b->probe.seccomp != 0;
    isolation->network = own_network || filters ? NETWORK_NONE : NETWORK_HOST;
    isolation->seccomp_profile = filters ? seccomp_profile_name(SECCOMP_PROFILE_DEFAULT) : NULL;
    bool own_pids = (isolation->namespaces & NAMESPACE_PID) != 0;
    isolation->tree_kill = own_pids ? TREE_KILL_PID_NAMESPACE : TREE_KILL_SWEEP;
    info->capabilities = BACKEND_CAP_RLIMITS | BACKEND_CAP_TTY | BACKEND_CAP_ANY_SIGNAL |
                         BACKEND_CAP_GROUP_SIGNAL | BACKEND_CAP_TREE_SIGNAL |
                         BACKEND_CAP_TREE_KILL | BACKEND_CAP_RUSAGE | BACKEND_CAP_COPY;
    if (geteuid() == 0)
        info->capabilities |= BACKEND_CAP_USER;
    if (isolation->landlock_abi > 0 || isolation->level > ISOLATION_RESTRICTED)
        info->capabilities |= BACKEND_CAP_POLICY;
    if ((isolation->namespaces & NAMESPACE_MNT) != 0)
        info->capabilities |= BACKEND_CAP_ROOT;
    if (own_network)
        info->capabilities |= BACKEND_CAP_PORT_FORWARD;
    denials_probe(b);
}

static const struct backend_info *info_op(struct backend *b)
{
    return &backend_of(b)->info;
}

static void free_paths(char **paths)
{
    for (size_t i = 0; paths != NULL && paths[i] != NULL; i++)
        free(paths[i]);
    free(paths);
}

static void close_op(struct backend *base)
{
    if (base == NULL)
        return;
    struct process_backend *b = backend_of(base);
    channel_close(&b->zygote);
    launcher_reap();
    owner_worker_free(b->owner_worker);
    network_close(b->network);
    cgroup_tree_close(b->cgroups);
    landlock_log_close(b->landlock_log);
    osa_close_fd(&b->null_fd);
    free_paths(b->hidden);
    free_paths(b->secrets);
    for (unsigned i = 0; i < SECCOMP_PROFILE_COUNT; i++)
        osa_buf_done(&b->filters[i]);
    free(b);
}

static const struct backend_ops process_ops = {
    .kind = RUNTIME_KIND_PROCESS,
    .name = "process",
    .close = close_op,
    .info = info_op,
    .sandbox_create = sandbox_create_op,
    .sandbox_destroy = sandbox_destroy_op,
    .sandbox_pause = sandbox_pause_op,
    .sandbox_update = sandbox_update_op,
    .sandbox_stats = sandbox_stats_op,
    .sandbox_connect = sandbox_connect_op,
    .sandbox_door = sandbox_door_op,
    .sandbox_owner = sandbox_owner_op,
    .sandbox_copy = sandbox_copy_op,
    .spawn = spawn_op,
    .process_free = process_free_op,
    .signal = signal_op,
    .kill_tree = kill_tree_op,
    .hold_output = hold_output_op,
    .write_stdin = write_stdin_op,
    .close_stdin = close_stdin_op,
    .resize = resize_op,
    .process_update = process_update_op,
    .process_stats = process_stats_op,
};

static enum osa_code receive_probe(struct process_backend *b, int sock, struct osa_error *err)
{
    struct wire_packet packet;
    int rc = wire_recv(sock, &b->packets, &packet, 0);
    if (rc < 0)
        return osa_fail(err, OSA_UNAVAILABLE, -rc, "the launcher does not answer");
    if (rc == 0)
        return osa_fail(err, OSA_UNAVAILABLE, 0,
                        "the launcher ended while it was probing the host");
    bool good = packet.head.type == LAUNCHER_PROBED && packet.head.length == sizeof(b->probe);
    if (good)
        memcpy(&b->probe, packet.body, sizeof(b->probe));
    wire_packet_done(&packet);
    return good ? OSA_OK : osa_fail(err, OSA_INTERNAL, 0, "the launcher speaks nonsense");
}

static enum osa_code copy_paths(char ***ret, const char *const *paths, struct osa_error *err)
{
    size_t count = 0;
    while (paths != NULL && paths[count] != NULL)
        count++;
    *ret = calloc(count + 1, sizeof(**ret));
    if (*ret == NULL)
        return osa_fail_errno(err, ENOMEM, "process backend");
    for (size_t i = 0; i < count; i++) {
        (*ret)[i] = strdup(paths[i]);
        if ((*ret)[i] == NULL)
            return osa_fail_errno(err, ENOMEM, "process backend");
    }
    return OSA_OK;
}

static enum osa_code open_network(struct process_backend *b, const char *pool,
                                  struct osa_error *err)
{
    const struct network_config config = { .loop = b->loop, .ipv4_pool = pool };
    if (pool == NULL)
        return OSA_OK;
    if (b->info.isolation.level < ISOLATION_FULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "veth pairs (%s) can be had at level full only", pool);
    return network_open(&config, &b->network, err);
}

enum osa_code process_backend_open(struct osa_loop *loop,
                                   const struct process_backend_config *config,
                                   struct backend **ret, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int sock = launcher_take_socket();
    if (sock < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the launcher was not started");
    struct process_backend *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return osa_fail_errno(err, ENOMEM, "process backend");
    b->base.ops = &process_ops;
    b->loop = loop;
    for (unsigned i = 0; i < SECCOMP_PROFILE_COUNT; i++)
        osa_buf_init(&b->filters[i], 64u << 10); /* 4096 instructions of 8 bytes, and room */
    b->zygote = (struct channel){
        .loop = loop, .buffer = &b->packets, .packet = on_zygote_packet, .lost = on_zygote_lost
    };
    b->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    enum osa_code code = OSA_OK;
    if (b->null_fd < 0)
        code = osa_fail_errno(err, errno, "/dev/null");
    if (code == OSA_OK)
        code = copy_paths(&b->hidden, config->hidden_paths, err);
    if (code == OSA_OK)
        code = copy_paths(&b->secrets, config->secret_paths, err);
    if (code == OSA_OK)
        code = receive_probe(b, sock, err);
    if (code == OSA_OK)
        code = channel_open(&b->zygote, osa_take_fd(&sock), err);
    if (code != OSA_OK) {
        osa_replace_fd(&sock, -1); /* else the launcher would not end */
        close_op(&b->base);
        return code;
    }
    fill_info(b, config->max_isolation);
    code = open_network(b, config->veth_pool, err);
    if (code == OSA_OK)
        code = resources_probe(b, config->cgroup_parent, config->state_dir, err);
    if (code != OSA_OK) {
        close_op(&b->base);
        return code;
    }
    *ret = &b->base;
    return OSA_OK;
}
