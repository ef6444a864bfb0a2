// SPDX-License-Identifier: Apache-2.0
/*
 * openshell-driver: OpenShell's gateway has sandboxes made through it; each gets an openshell-agent.
 *
 * The order of the start: the state is locked and the host asked about before any box is touched;
 * boxes are as their records say before the gateway can ask. On SIGTERM the driver leaves, and agents
 * stay: the next driver finds them.
 */
#include "base/harden.h"
#include "base/service_manager.h"
#include "base/signals.h"
#include "driver/driver.h"
#include "driver/probe.h"
#include "rpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One watcher may have this much unsent before the driver cuts it off by itself (watch.c). */
#define SEND_QUEUE_BYTES ((size_t)1 << 20)
#define MESSAGE_BYTES ((size_t)4 << 20)
#define MAX_STREAMS 4096u
#define CLOSE_GRACE_NS OSA_NS_PER_SEC

struct program {
    struct osa_service manager;
    struct osa_loop *loop;
    struct driver_config *config;
    struct driver driver;
    struct rpc_server *server;
    struct osa_signals signals;
    char listen[128];
    bool stopping;
};

static void on_driver_closed(void *ctx)
{
    struct program *program = ctx;
    osa_loop_stop(program->loop);
}

static void on_server_closed(void *ctx)
{
    struct program *program = ctx;
    driver_close(&program->driver, on_driver_closed, program);
}

static void on_signal(struct osa_signals *signals, int signo)
{
    struct program *program = OSA_CONTAINER_OF(signals, struct program, signals);
    if (program->stopping)
        return;
    program->stopping = true;
    osa_service_tell(&program->manager, "STOPPING=1\nSTATUS=leaving; sandboxes go on");
    osa_log(OSA_LOG_INFO, "driver", "leaving; sandboxes go on", OSA_I("signal", signo));
    rpc_server_shutdown(program->server, osa_deadline_after(CLOSE_GRACE_NS), on_server_closed,
                        program);
}

static void on_audit(void *ctx, const struct rpc_audit *record)
{
    (void)ctx;
    osa_log(OSA_LOG_DEBUG, "audit", "call", OSA_S("method", record->method),
            OSA_S("caller", record->peer->name), OSA_S("code", osa_code_name(record->code)),
            OSA_S("error", record->code == OSA_OK ? NULL : record->text),
            OSA_I("us", record->duration_ns / OSA_NS_PER_US));
}

/* Whoever may write to the socket's directory can put another socket in its place. */
static enum osa_code check_folder(const char *socket, struct osa_error *err)
{
    char folder[PATH_MAX];
    struct stat st;
    (void)snprintf(folder, sizeof(folder), "%s", socket);
    char *slash = strrchr(folder, '/');
    if (slash != folder)
        *slash = '\0';
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return osa_fail_errno(err, errno, "socket: directory '%s'", folder);
    if (lstat(folder, &st) < 0)
        return osa_fail_errno(err, errno, "socket: directory '%s'", folder);
    if (!S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & 022) != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "socket: '%s' must be a directory of root or the driver's user into which "
                        "nobody else may write",
                        folder);
    return OSA_OK;
}

static enum osa_code make_server(struct program *program, struct osa_error *err)
{
    static struct rpc_listen listen; /* these are borrowed until rpc_server_free() */
    static struct rpc_server_config server;
    if (check_folder(program->config->socket, err) != OSA_OK)
        return err->code;
    (void)snprintf(program->listen, sizeof(program->listen), "unix:%s", program->config->socket);
    listen = (struct rpc_listen){ .address = program->listen, .unix_mode = 0600 };
    server = (struct rpc_server_config){
        .loop = program->loop,
        .listens = &listen,
        .listen_count = 1,
        .reflection = RPC_ROLE_NONE,
        .health = RPC_ROLE_ANYONE,
        .max_message_bytes = MESSAGE_BYTES,
        .send_queue_bytes = SEND_QUEUE_BYTES,
        .max_streams = MAX_STREAMS,
        .audit = on_audit,
    };
    enum osa_code code = rpc_server_new(&server, &program->server, err);
    return code == OSA_OK
               ? rpc_server_add_service(program->server, &driver_service, &program->driver, err)
               : code;
}

static enum osa_code start(struct program *program, struct osa_error *err)
{
    sigset_t signals;
    enum osa_code code;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    program->signals.received = on_signal;
    if ((code = osa_service_open(&program->manager, err)) != OSA_OK ||
        (code = osa_harden_self(err)) != OSA_OK ||
        (code = osa_loop_new(&program->loop, err)) != OSA_OK ||
        (code = osa_signals_open(program->loop, &program->signals, &signals, err)) != OSA_OK)
        return code;
    (void)osa_raise_nofile();
    rpc_init();
    program->driver.loop = program->loop;
    program->driver.config = program->config;
    if ((code = driver_open(&program->driver, err)) != OSA_OK ||
        (code = probe_host(program->loop, program->config, &program->driver.host, err)) != OSA_OK ||
        (code = driver_adopt(&program->driver, err)) != OSA_OK ||
        (code = make_server(program, err)) != OSA_OK)
        return code;
    return rpc_server_start(program->server, err);
}

static void log_serving(const struct program *program)
{
    const struct host_report *host = &program->driver.host;
    char kinds[128] = "";
    for (enum runtime_kind kind = RUNTIME_KIND_PROCESS; kind < RUNTIME_KIND_COUNT; kind++) {
        size_t len = strlen(kinds);
        if (host->kinds[kind].available)
            (void)snprintf(kinds + len, sizeof(kinds) - len, "%s%s", len > 0 ? " " : "",
                           spec_runtime_name(kind));
    }
    osa_log(OSA_LOG_INFO, "driver", "serving", OSA_S("socket", program->config->socket),
            OSA_S("name", program->config->name), OSA_S("version", OSA_VERSION),
            OSA_S("runtimes", kinds), OSA_U("sandboxes", HASH_CNT(by_id, program->driver.boxes)));
}

static void done(struct program *program)
{
    rpc_server_free(program->server);
    osa_service_close(&program->manager);
    osa_signals_close(&program->signals);
    osa_loop_free(program->loop);
    driver_config_free(program->config);
}

static int show_man(void)
{
    struct osa_buf text;
    osa_buf_init(&text, 65536);
    driver_config_man(&text);
    (void)fputs(text.data != NULL ? text.data : "", stdout);
    osa_buf_done(&text);
    return 0;
}

static bool show_help(const struct driver_config *config)
{
    struct osa_buf text;
    if (config->version)
        (void)printf("openshell-driver %s\n", OSA_VERSION);
    if (!config->help)
        return config->version;
    osa_buf_init(&text, 65536);
    (void)osa_buf_addf(&text, "usage: openshell-driver [OPTIONS]\n\nLets OpenShell's gateway have "
                              "its sandboxes made by openshell-agent.\n\n");
    driver_config_help(80, &text);
    (void)fputs(text.data != NULL ? text.data : "", stdout);
    osa_buf_done(&text);
    return true;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct osa_error err = { 0 };
    if (argc == 2 && strcmp(argv[1], "man") == 0)
        return show_man();
    if (driver_config_load(argc - 1, (const char *const *)argv + 1, &program.config, &err) !=
        OSA_OK) {
        (void)fprintf(stderr, "openshell-driver: %s\n", err.text);
        return 2;
    }
    if (show_help(program.config)) {
        driver_config_free(program.config);
        return 0;
    }
    (void)umask(077);
    osa_log_setup(program.config->log_level, program.config->log_format, STDERR_FILENO);
    enum osa_code code = start(&program, &err);
    if (code == OSA_OK) {
        log_serving(&program);
        osa_service_tell(&program.manager, "READY=1\nSTATUS=serving");
        osa_service_watch(&program.manager, program.loop);
        osa_loop_run(program.loop);
    } else {
        osa_log_error(OSA_LOG_ERROR, "driver", "cannot start", &err);
        (void)fprintf(stderr, "openshell-driver: %s\n", err.text);
    }
    done(&program);
    return code == OSA_OK ? 0 : 1;
}
