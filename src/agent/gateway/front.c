// SPDX-License-Identifier: Apache-2.0
/*
 * From start to end of the front. Nothing of the workload runs before the gateway has said what it may
 * do; the session comes after the main process, because it is what makes the sandbox ready.
 */
#include "agent/gateway/front.h"

#include "agent/gateway/debug_rpc.h"
#include "agent/gateway/gateway.h"
#include "agent/gateway/ssh.h"
#include "agent/gateway/validate_workspace.h"

#include "base/child.h"
#include "base/fd.h"
#include "base/harden.h"
#include "base/id.h"
#include "base/log.h"
#include "base/trace.h"
#include "policy/document.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct gateway *gateway_of(struct program *program)
{
    return OSA_CONTAINER_OF(program, struct gateway, program);
}

/* ---- the end ---- */

static void finish(struct gateway *gateway)
{
    if (gateway->finishing)
        return;
    gateway->finishing = true;
    program_end(&gateway->program);
}

/* For whoever starts agents and has not asked this one in time, or was not there. */
static void tell_outcome(const struct gateway *gateway)
{
    struct osa_error err = { 0 };
    if (gateway->run_fd >= 0 &&
        osa_run_file_ended(gateway->run_fd, gateway->status, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "gateway", "who started this agent is not told of the end",
                      &err);
}

static void on_main_exit(struct process_waiter *waiter, struct process *process)
{
    struct gateway *gateway = OSA_CONTAINER_OF(waiter, struct gateway, main_exit);
    gateway->ended = true;
    gateway->status = workload_status(&process->exit);
    osa_log(OSA_LOG_INFO, "gateway", "the main process has ended",
            OSA_I("status", gateway->status));
    if (gateway->program.terms == 0)
        tell_outcome(gateway);
    /* Who stops a sandbox knows that it ends; the gateway would take the report for a failure. */
    if (gateway->channel == NULL || gateway->finishing || gateway->program.terms > 0) {
        finish(gateway);
        return;
    }
    session_end(gateway);
    report_exit(gateway, finish);
}

/*
 * The first TERM is for the main process. Interactive shells ignore it and end of HUP, as at the loss
 * of their terminal. The second kills; nobody is told then, for who sends it knows.
 */
static bool on_signalled(struct program *program)
{
    struct gateway *gateway = gateway_of(program);
    struct osa_error err = { 0 };
    if (gateway->main == NULL)
        return true; /* the start looks at terms */
    if (program->terms > 1 || gateway->ended) {
        process_kill(gateway->main, 0, NULL);
        finish(gateway);
        return true;
    }
    (void)process_signal(gateway->main, SIGTERM, SIGNAL_GROUP, &err);
    if (gateway->main_spec.tty)
        (void)process_signal(gateway->main, SIGHUP, SIGNAL_GROUP, &err);
    return true;
}

/* ---- the start ---- */

/* Hundreds of these may run on a machine, and most wait most of the time. */
#define TRIM_NS (5 * OSA_NS_PER_SEC)

static void on_trim(struct osa_timer *timer)
{
    (void)timer;
    osa_trim_memory();
}

void gateway_rest(struct gateway *gateway)
{
    gateway->trim.fire = on_trim;
    osa_timer_arm(gateway->program.loop, &gateway->trim, osa_deadline_after(TRIM_NS));
}

static enum osa_code fetch_policy(struct gateway *gateway, const struct policy_document **ret,
                                  struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    if (config->policy_data != NULL) {
        enum osa_code code =
            osa_read_file(AT_FDCWD, config->policy_data, POLICY_MAX_TEXT_BYTES, &text, &len, err);
        return code == OSA_OK ? policy_document_parse_yaml(text, len, config->policy_data, ret, err)
                              : osa_wrap(err, "policy-data");
    }
    if (gateway->channel == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "Sandbox policy required: set OPENSHELL_SANDBOX_ID and OPENSHELL_ENDPOINT, "
                        "or OPENSHELL_POLICY_RULES and OPENSHELL_POLICY_DATA");
    return settings_fetch(gateway, ret, err);
}

static enum osa_code make_sandbox(struct gateway *gateway, struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    const struct policy_document *policy = NULL;
    providers_begin(gateway);
    if (fetch_policy(gateway, &policy, err) != OSA_OK || gateway->program.terms > 0) {
        policy_document_unref(policy);
        return gateway->program.terms > 0 ? osa_fail(err, OSA_CANCELLED, 0, "ended by a signal")
                                          : err->code;
    }
    if (workload_user(gateway, policy, err) != OSA_OK) {
        policy_document_unref(policy);
        return err->code;
    }
    struct sandbox_request *request = sandbox_request_new();
    struct osa_arena *arena = &request->arena;
    request->policy = policy;
    request->providers = providers_env(gateway);
    request->kind = config->runtime;
    request->image = osa_arena_strdup(arena, config->image);
    request->root = osa_arena_strdup(arena, config->root);
    request->changes = osa_arena_strdup(arena, config->changes);
    request->resources = config->limits;
    request->workdir = osa_arena_strdup(arena, gateway->workdir);
    request->user = osa_arena_strdup(arena, gateway->user);
    request->seccomp_profile = osa_arena_strdup(arena, config->seccomp_profile);
    request->min_isolation = config->min_isolation;
    enum osa_code code = program_first_sandbox(&gateway->program, request, err);
    if (code == OSA_OK)
        providers_wait(gateway);
    return code;
}

static enum osa_code tell_helper(const struct gateway *gateway, struct osa_error *err)
{
    struct osa_child_mark helper = { 0 };
    if (gateway->run_fd < 0 || !osa_child_mark_of(program_launcher(), &helper))
        return OSA_OK;
    return osa_run_file_helper(gateway->run_fd, &helper, err);
}

static enum osa_code prepare(struct program *program, struct osa_error *err)
{
    struct gateway *gateway = gateway_of(program);
    bool alone = gateway->config->endpoint == NULL || gateway->config->sandbox_id == NULL;
    enum osa_code code;
    if ((code = tell_helper(gateway, err)) != OSA_OK ||
        (!alone && (code = gateway_connect(gateway, err)) != OSA_OK) ||
        (code = make_sandbox(gateway, err)) != OSA_OK ||
        (code = workload_start(gateway, err)) != OSA_OK)
        return code;
    gateway->main_exit.exited = on_main_exit;
    process_wait(gateway->main, &gateway->main_exit);
    gateway_rest(gateway);
    if ((code = sshd_listen(gateway, err)) != OSA_OK)
        return code;
    if (gateway->channel != NULL && !gateway->ended) {
        session_start(gateway);
        settings_watch(gateway);
        tokens_watch(gateway);
        logs_start(gateway);
        analysis_start(gateway);
    }
    return OSA_OK;
}

static void make_instance_id(struct gateway *gateway)
{
    uint8_t b[16];
    osa_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 4122, section 4.4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    char *out = gateway->instance_id;
    for (int i = 0; i < 16; i++) {
        bool group = i == 4 || i == 6 || i == 8 || i == 10;
        out += snprintf(out, 4, "%s%02x", group ? "-" : "", b[i]);
    }
}

static enum osa_code start(struct gateway *gateway, struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    OSA_AUTO(osa_trace_free)
    struct osa_trace *trace = osa_trace_new(config->trace_parent, config->trace_state);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(trace);
    enum osa_code code = OSA_OK;
    make_instance_id(gateway);
    workload_user_env(gateway);
    gateway->workdir = config->workdir != NULL ? config->workdir : "/";
    if (config->run_file != NULL)
        code = osa_run_file_take(config->run_file, &gateway->run_fd, err);
    if (code == OSA_OK)
        code = workload_main_spec(gateway, err);
    return code == OSA_OK ? program_start(&gateway->program, err) : code;
}

static void done(struct gateway *gateway)
{
    /* Cancels what is under way, whose callbacks still find everything there. */
    rpc_channel_free(gateway->channel);
    sshd_unlisten(gateway);
    sshd_end(gateway);
    osa_timer_disarm(&gateway->trim);
    session_free(gateway);
    settings_free(gateway);
    tokens_free(gateway);
    logs_free(gateway);
    analysis_free(gateway);
    report_free(gateway);
    if (gateway->main != NULL)
        process_wait_cancel(gateway->main, &gateway->main_exit);
    process_unref(gateway->main);
    program_done(&gateway->program);
    providers_free(gateway);
    osa_close_fd(&gateway->run_fd);
    osa_arena_done(&gateway->arena);
    gateway_config_free(gateway->config);
}

static int usage(struct gateway_config *config)
{
    struct osa_buf text;
    osa_buf_init(&text, 65536);
    if (config->version)
        (void)osa_buf_addf(&text, "openshell-sandbox %s (openshell-agent)\n", OSA_VERSION);
    else {
        (void)osa_buf_addf(&text, "usage: openshell-sandbox [OPTIONS] [COMMAND…]\n"
                                  "       openshell-sandbox copy-self PATH\n"
                                  "       openshell-sandbox debug-rpc COMMAND\n"
                                  "       openshell-agent sandbox [OPTIONS] [COMMAND…]\n\n");
        gateway_config_help(80, &text);
    }
    (void)fputs(text.data != NULL ? text.data : "", stdout);
    osa_buf_done(&text);
    gateway_config_free(config);
    return 0;
}

int gateway_main(int argc, const char *const *argv)
{
    static struct gateway gateway = { .program = { .prepare = prepare, .signalled = on_signalled },
                                      .run_fd = -1 };
    struct osa_error err = { 0 };
    if (argc > 0 && strcmp(argv[0], "debug-rpc") == 0)
        return debug_rpc(argc - 1, argv + 1);
    if (argc > 0 && strcmp(argv[0], "validate-workspace") == 0)
        return validate_workspace(argc - 1, argv + 1);
    if (gateway_config_load(argc, argv, &gateway.config, &err) != OSA_OK) {
        (void)fprintf(stderr, "openshell-sandbox: %s\n", err.text);
        return 2;
    }
    if (gateway.config->help || gateway.config->version)
        return usage(gateway.config);
    if (gateway_config_agent(gateway.config, &gateway.program.config, &err) != OSA_OK) {
        (void)fprintf(stderr, "openshell-sandbox: %s\n", err.text);
        return 2;
    }
    (void)umask(077);
    osa_log_setup(gateway.program.config->log_level, gateway.program.config->log_format,
                  STDERR_FILENO);
    osa_log(OSA_LOG_INFO, "gateway", "Starting sandbox",
            OSA_S("sandbox", gateway.config->sandbox_id), OSA_S("version", OSA_VERSION));
    enum osa_code code = start(&gateway, &err);
    int status = 1;
    bool unknown = false;
    if (code == OSA_OK) {
        osa_loop_run(gateway.program.loop);
        status = gateway.status;
    } else {
        (void)fprintf(stderr, "openshell-sandbox: %s\n", err.text);
        program_stop_quickly(&gateway.program);
        /* A driver of ours, which gives us the run file, wants to know whether it is kept for nobody. */
        unknown = code == OSA_NOT_FOUND && gateway.unknown && gateway.run_fd >= 0;
    }
    done(&gateway);
    if (unknown) { /* every exit status can be the main process's */
        const struct sigaction fatal = { .sa_handler = SIG_DFL };
        (void)sigaction(GATEWAY_SIGNAL_UNKNOWN, &fatal, NULL);
        (void)raise(GATEWAY_SIGNAL_UNKNOWN);
    }
    return status;
}
