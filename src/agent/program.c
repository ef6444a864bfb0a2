// SPDX-License-Identifier: Apache-2.0
/*
 * The order of the phases is the point of this file:
 *   1 configuration, logs           nothing is open, a mistake costs nothing: the caller's
 *     service manager               its descriptors, before a child could inherit them
 *   2 launcher                      forked while the process has one thread and no secret
 *   3 hardening, signals            before the first thread, which inherits both
 *   4 token, backends, policy, agent  on the loop, still one thread; what hides the agent's own
 *                                   files from sandboxes must know them
 *   5 gRPC, listening               threads exist from here; nothing forks any more
 *   6 first sandbox, serving        whoever connected before waits, and finds everything ready
 * and the way back on SIGTERM: drain, let calls end, close the server, delete sandboxes.
 */
#include "agent/program.h"
#include "agent/authority.h"

#include "agent/config.h"
#include "agent/hidden_paths.h"
#include "agent/ocsf.h"
#include "agent/sandbox.h"
#include "agent/service/commands.h"
#include "agent/service/metrics.h"
#include "agent/service/service.h"
#include "agent/token_file.h"
#include "backends/boxlite/boxlite.h"
#include "backends/process/process.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/harden.h"
#include "base/linux_host.h"
#include "base/paths.h"
#include "base/service_manager.h"
#include "base/signals.h"
#include "io/http_server.h"
#include "policy/document.h"
#include "rpc/rpc.h"
#include "rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLICY_FILE_BYTES POLICY_MAX_TEXT_BYTES
/* Calls that outlive all processes, such as Events, are cancelled so long after the drain. */
#define CLOSE_GRACE_NS (2 * OSA_NS_PER_SEC)
/* Unsent output of one call, above which nothing is added: a chunk of Attach is more. */
#define SEND_QUEUE_BYTES ((size_t)128 << 10)
/* Then what calls have mapped of our own code is given back; the next one pays some 0.1 ms for it. */
#define IDLE_NS (5 * OSA_NS_PER_SEC)
#define MAX_STREAMS 4096u

/* Descriptors of all services, for reflection; made by the build. */
extern const unsigned char osa_descriptor_set[];
extern const size_t osa_descriptor_set_size;

static const char service_name[] = "openshell.agent.v1.SandboxAgent";

/* ---- the way back ---- */

static void on_agent_stopped(void *ctx)
{
    struct program *program = ctx;
    program->stopped = true;
    osa_loop_stop(program->loop);
}

static void on_server_closed(void *ctx)
{
    struct program *program = ctx;
    agent_shutdown(program->agent, on_agent_stopped, program);
}

static void on_drained(void *ctx, uint32_t ended, uint32_t killed)
{
    struct program *program = ctx;
    osa_log(OSA_LOG_INFO, "agent", "drained; closing", OSA_U("ended", ended),
            OSA_U("killed", killed));
    rpc_server_shutdown(program->server, osa_deadline_after(CLOSE_GRACE_NS), on_server_closed,
                        program);
}

pid_t program_launcher(void)
{
    return process_backend_launcher();
}

void program_end(struct program *program)
{
    agent_drain(program->agent, 0, on_drained, program);
}

static void on_draining(void *ctx)
{
    struct program *program = ctx;
    osa_service_tell(&program->manager, "STOPPING=1\nSTATUS=draining");
    if (program->server == NULL)
        return;
    rpc_server_set_serving(program->server, "", false);
    rpc_server_set_serving(program->server, service_name, false);
}

static void on_signal(struct osa_signals *signals, int signo)
{
    struct program *program = OSA_CONTAINER_OF(signals, struct program, signals);
    if (signo == SIGHUP) {
        osa_log(OSA_LOG_INFO, "agent", "SIGHUP ignored: files are read again when they change",
                OSA_I("signal", signo));
        return;
    }
    program->terms++;
    if (program->signalled != NULL && program->signalled(program))
        return;
    osa_log(OSA_LOG_INFO, "agent",
            program->terms == 1 ? "draining; a second signal ends it at once" : "ending at once",
            OSA_I("signal", signo));
    if (program->terms == 1)
        agent_drain(program->agent, -1, on_drained, program);
    else
        agent_drain(program->agent, 0, NULL, NULL);
}

/* ---- the way up ---- */

static void on_audit(void *ctx, const struct rpc_audit *record)
{
    struct program *program = ctx;
    metrics_call(program->metrics, record);
    idle_touch(&program->idle);
    osa_log(OSA_LOG_INFO, "audit", "call", OSA_S("method", record->method),
            OSA_S("caller", record->peer->name), OSA_S("from", record->peer->address),
            OSA_S("code", osa_code_name(record->code)),
            OSA_S("error", record->code == OSA_OK ? NULL : record->text),
            OSA_I("us", record->duration_ns / OSA_NS_PER_US));
}

static enum osa_code load_policy(struct program *program, struct osa_error *err)
{
    const char *path = program->config->policy;
    if (path == NULL)
        return policy_document_default(&program->policy, err);
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    enum osa_code code = osa_read_file(AT_FDCWD, path, POLICY_FILE_BYTES, &text, &len, err);
    if (code != OSA_OK)
        return osa_wrap(err, "--policy");
    return policy_document_parse_yaml(text, len, path, &program->policy, err);
}

static void fill_host(struct service_host *host, const struct backend_info *process)
{
    struct host_info info;
    host_info_probe(&info);
    (void)snprintf(host->os, sizeof(host->os), "linux");
    memcpy(host->kernel, info.kernel, sizeof(host->kernel));
    memcpy(host->machine, info.machine, sizeof(host->machine));
    host->cpus = info.cpus;
    host->memory_bytes = info.memory_bytes;
    host->kvm = info.kvm;
    memcpy(host->denial_sources, process->denial_sources, sizeof(host->denial_sources));
    memcpy(host->denial_gaps, process->denial_gaps, sizeof(host->denial_gaps));
    host->landlock_abi = process->isolation.landlock_abi;
    host->seccomp = process->isolation.seccomp_profile != NULL;
    host->namespaces = process->isolation.namespaces;
    host->cgroup_version = process->isolation.cgroup_version;
    (void)snprintf(host->controllers, sizeof(host->controllers), "%s%s%s",
                   (process->capabilities & BACKEND_CAP_CPU_LIMIT) != 0 ? "cpu " : "",
                   (process->capabilities & BACKEND_CAP_MEMORY_LIMIT) != 0 ? "memory " : "",
                   (process->capabilities & BACKEND_CAP_PIDS_LIMIT) != 0 ? "pids" : "");
}

/* Where boxes are what requests get, whoever comes first finds the server probed. */
static enum osa_code open_boxlite(struct program *program, struct osa_error *err)
{
#ifdef OSA_BOXLITE
    const struct agent_config *config = program->config;
    bool by_default = config->runtime == RUNTIME_KIND_BOXLITE;
    const struct boxlite_config boxlite = {
        .url = config->boxlite_url != NULL ? config->boxlite_url : "http://localhost:8100",
        .key_file = config->boxlite_key_file,
        .serve = config->boxlite_serve,
        .serve_user = config->boxlite_serve_user,
        .serve_env = config->boxlite_serve_env.items,
        .image = config->boxlite_image,
        .state_dir = config->state_dir,
        .wanted = by_default || config->boxlite_url != NULL || config->boxlite_serve != NULL,
        .start_timeout_ns = config->boxlite_start_timeout_ns,
    };
    enum osa_code code =
        boxlite_backend_open(program->loop, &boxlite, &program->boxlite_backend, err);
    while (code == OSA_OK && by_default && !boxlite_backend_probed(program->boxlite_backend))
        (void)osa_loop_run_once(program->loop, OSA_NEVER);
    return code;
#else
    (void)program;
    (void)err;
    return OSA_OK;
#endif
}

static void make_agent(struct program *program)
{
    const struct agent_config *config = program->config;
    struct agent_setup setup = {
        .loop = program->loop,
        .backends[RUNTIME_KIND_PROCESS] = program->process_backend,
        .backends[RUNTIME_KIND_BOXLITE] = program->boxlite_backend,
        .default_kind = config->runtime,
        .limits = agent_limits_default(),
        .capacity = config->capacity,
        .policy = program->policy,
        .min_isolation = config->min_isolation,
        .allow_loader_env = config->allow_loader_env,
        .state_dir = config->state_dir,
        .egress = &config->egress,
        .parent = program->parent,
        .draining = on_draining,
        .ctx = program,
    };
    setup.limits.max_sandboxes = config->max_sandboxes;
    setup.limits.max_processes = config->max_processes;
    setup.limits.output_retain_bytes = config->output_retain_bytes;
    setup.limits.output_total_bytes = config->output_retain_total_bytes;
    setup.limits.exit_retain_ns = config->exit_retain_ns;
    setup.limits.exit_retain_count = config->exit_retain_count;
    setup.limits.max_message_bytes = (uint32_t)config->max_message_bytes;
    setup.limits.drain_timeout_ns = config->drain_timeout_ns;
    program->agent = agent_new(&setup);
    program->service.loop = program->loop;
    program->service.agent = program->agent;
    program->service.version = OSA_VERSION;
}

/* A path of TCP without TLS needs a token; when none was named, one is made where clients look. */
static enum osa_code make_token(struct program *program, struct osa_error *err)
{
    const struct agent_config *config = program->config;
    bool tcp = false;
    bool made = false;
    for (size_t i = 0; i < config->listen.count; i++)
        tcp |= strncmp(config->listen.items[i], "unix:", 5) != 0 &&
               strncmp(config->listen.items[i], "fd:", 3) != 0;
    if (config->token_file != NULL)
        (void)snprintf(program->token_file, sizeof(program->token_file), "%s", config->token_file);
    else if (tcp && config->tls_client_ca == NULL) {
        char dir[PATH_MAX - 8];
        osa_runtime_dir(dir, sizeof(dir));
        (void)snprintf(program->token_file, sizeof(program->token_file), "%s/token", dir);
    } else
        return OSA_OK;
    enum osa_code code = token_file_make(program->token_file, &made, err);
    if (made)
        osa_log(OSA_LOG_INFO, "agent", "made a token", OSA_S("file", program->token_file));
    return code;
}

/* Sockets by default lie in a directory of the agent's own, which may not be there yet. */
static void make_runtime_dir(void)
{
    char dir[PATH_MAX];
    osa_runtime_dir(dir, sizeof(dir));
    (void)mkdir(dir, 0700); /* listening says what is wrong with it */
}

/* fd:NAME is a socket of the service manager; all others the server makes. */
static enum osa_code make_listens(struct program *program, struct osa_error *err)
{
    const struct osa_strings *listen = &program->config->listen;
    const struct osa_strings *health = &program->config->health_listen;
    program->listen_count = listen->count + health->count;
    program->listens = calloc(program->listen_count, sizeof(*program->listens));
    if (program->listens == NULL)
        return osa_fail_errno(err, ENOMEM, "listen");
    for (size_t i = 0; i < listen->count; i++) {
        const char *address = listen->items[i];
        program->listens[i] =
            (struct rpc_listen){ .address = address, .unix_mode = program->config->unix_mode };
        if (strncmp(address, "fd:", 3) != 0)
            continue;
        program->listens[i].fd = osa_service_take_socket(&program->manager, address + 3);
        if (program->listens[i].fd < 0)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "listen: %.64s: the service manager passed no socket of that name; set "
                            "FileDescriptorName= in the .socket unit",
                            address);
    }
    for (size_t i = 0; i < health->count; i++)
        program->listens[listen->count + i] =
            (struct rpc_listen){ .address = health->items[i], .health_only = true };
    return OSA_OK;
}

static unsigned on_http(void *ctx, const char *path, struct osa_buf *body, const char **ret_type)
{
    struct program *program = ctx;
    if (strcmp(path, "/metrics") != 0)
        return 404;
    metrics_write(program->metrics, body);
    *ret_type = METRICS_TYPE;
    return 200;
}

static enum osa_code make_metrics(struct program *program, struct osa_error *err)
{
    program->metrics = metrics_new(program->agent, &service_sandbox_agent);
    if (program->metrics == NULL)
        return osa_fail_errno(err, ENOMEM, "metrics");
    if (program->config->metrics_listen == NULL)
        return OSA_OK;
    enum osa_code code = http_server_new(program->loop, program->config->metrics_listen, on_http,
                                         program, &program->http, err);
    if (code != OSA_OK)
        return osa_wrap(err, "metrics-listen");
    osa_log(OSA_LOG_INFO, "agent", "metrics", OSA_S("listen", program->config->metrics_listen),
            OSA_U("port", http_server_port(program->http)));
    return OSA_OK;
}

static enum osa_code make_server(struct program *program, struct osa_error *err)
{
    const struct agent_config *config = program->config;
    enum osa_code made = make_listens(program, err);
    if (made != OSA_OK)
        return made;
    static struct rpc_server_config server; /* borrowed until rpc_server_free() */
    server = (struct rpc_server_config){
        .loop = program->loop,
        .listens = program->listens,
        .listen_count = program->listen_count,
        .credentials = { .cert = config->tls_cert,
                         .key = config->tls_key,
                         .client_ca = config->tls_client_ca,
                         .token_file = program->token_file[0] != '\0' ? program->token_file : NULL,
                         .viewer_token_file = config->viewer_token_file },
        .uids = config->unix_uids,
        .uid_count = config->unix_uid_count,
        .keep_out = process_backend_is_workload,
        .reflection = config->reflection,
        .health = config->health_access,
        .descriptor_set = osa_descriptor_set,
        .descriptor_set_len = osa_descriptor_set_size,
        .max_message_bytes = (size_t)config->max_message_bytes,
        .send_queue_bytes = SEND_QUEUE_BYTES,
        .max_streams = MAX_STREAMS,
        .audit = on_audit,
        .audit_ctx = program,
    };
    enum osa_code code = rpc_server_new(&server, &program->server, err);
    if (code == OSA_OK)
        code =
            rpc_server_add_service(program->server, &service_sandbox_agent, &program->service, err);
    return code;
}

struct first_sandbox {
    bool done;
    struct osa_error error;
    char id[64];
};

static void on_first_sandbox(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    struct first_sandbox *first = ctx;
    first->done = true;
    if (error != NULL)
        first->error = *error;
    else
        (void)snprintf(first->id, sizeof(first->id), "%s", sandbox->id);
}

enum osa_code program_first_sandbox(struct program *program, struct sandbox_request *request,
                                    struct osa_error *err)
{
    struct first_sandbox first = { 0 };
    sandbox_create(program->agent, request, on_first_sandbox, &first);
    while (!first.done)
        (void)osa_loop_run_once(program->loop, OSA_NEVER);
    if (program->terms > 0)
        return osa_fail(err, OSA_CANCELLED, 0, "ended by a signal before it served");
    if (first.error.code != OSA_OK) {
        *err = first.error;
        return err->code;
    }
    agent_set_default_sandbox(program->agent, first.id);
    return OSA_OK;
}

static void log_serving(const struct program *program)
{
    for (size_t i = 0; i < program->listen_count; i++)
        osa_log(OSA_LOG_INFO, "agent",
                program->listens[i].health_only ? "answering health checks" : "serving",
                OSA_S("listen", program->listens[i].address),
                OSA_U("port", rpc_server_port(program->server, i)), OSA_S("version", OSA_VERSION));
}

static enum osa_code open_process_backend(struct program *program, struct osa_error *err)
{
    struct hidden_paths hidden;
    struct hidden_paths secrets;
    hidden_paths_init(&hidden, program->config, program->token_file);
    hidden_paths_secrets(&secrets, program->config, program->token_file);
    const struct process_backend_config config = {
        .cgroup_parent = program->config->cgroup_parent,
        .state_dir = program->config->state_dir,
        .veth_pool = program->config->veth_pool,
        .hidden_paths = (const char *const *)hidden.items,
        .secret_paths = (const char *const *)secrets.items,
    };
    enum osa_code code =
        process_backend_open(program->loop, &config, &program->process_backend, err);
    hidden_paths_done(&hidden);
    hidden_paths_done(&secrets);
    return code;
}

static enum osa_code open_events(struct program *program, struct osa_error *err)
{
    const char *path = program->config->egress.ocsf_file;
    return path != NULL ? ocsf_open(program->agent, path, &program->ocsf, err) : OSA_OK;
}

enum osa_code program_start(struct program *program, struct osa_error *err)
{
    sigset_t signals;
    enum osa_code code;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    program->signals.received = on_signal;

    if ((code = osa_service_open(&program->manager, err)) != OSA_OK ||
        (code = process_backend_start_launcher(err)) != OSA_OK ||
        (code = osa_harden_self(err)) != OSA_OK || (code = osa_loop_new(&program->loop, err)) ||
        (code = osa_signals_open(program->loop, &program->signals, &signals, err)) != OSA_OK ||
        (code = load_policy(program, err)) != OSA_OK ||
        (code = parent_new(&program->config->egress.parent, &program->parent, err)) != OSA_OK)
        return code;
    make_runtime_dir();
    if ((code = make_token(program, err)) != OSA_OK ||
        (code = open_process_backend(program, err)) != OSA_OK ||
        (code = open_boxlite(program, err)) != OSA_OK)
        return code;
    (void)osa_raise_nofile();
    fill_host(&program->service.host,
              program->process_backend->ops->info(program->process_backend));
    make_agent(program);
    if ((code = open_events(program, err)) != OSA_OK)
        return code;
    authority_sweep(program->config->state_dir);
    rpc_init();
    if ((code = make_metrics(program, err)) != OSA_OK ||
        (code = make_server(program, err)) != OSA_OK ||
        (code = rpc_server_open(program->server, err)) != OSA_OK ||
        (code = program->prepare(program, err)) != OSA_OK)
        return code;
    code = rpc_server_start(program->server, err);
    if (code != OSA_OK)
        return code;
    osa_trim_memory();
    idle_start(&program->idle, program->loop, IDLE_NS, osa_trim_memory);
    log_serving(program);
    return OSA_OK;
}

/* After a start that failed: what was made so far goes in order, without waiting for anybody. */
void program_stop_quickly(struct program *program)
{
    if (program->agent != NULL && !program->stopped) {
        agent_shutdown(program->agent, on_agent_stopped, program);
        while (!program->stopped)
            (void)osa_loop_run_once(program->loop, OSA_NEVER);
    }
}

void program_done(struct program *program)
{
    idle_stop(&program->idle);
    rpc_server_free(program->server);
    free(program->listens);
    http_server_free(program->http);
    metrics_free(program->metrics);
    ocsf_close(program->ocsf);
    agent_free(program->agent);
    if (program->process_backend != NULL)
        program->process_backend->ops->close(program->process_backend);
    if (program->boxlite_backend != NULL)
        program->boxlite_backend->ops->close(program->boxlite_backend);
    parent_free(program->parent);
    policy_document_unref(program->policy);
    osa_signals_close(&program->signals);
    osa_service_close(&program->manager);
    osa_loop_free(program->loop);
    agent_config_free(program->config);
}
