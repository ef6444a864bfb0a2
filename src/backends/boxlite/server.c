// SPDX-License-Identifier: Apache-2.0
#include "backends/boxlite/server.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/netns.h"
#include "base/paths.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PORT 8100u
#define FIRST_DELAY_NS (500 * OSA_NS_PER_MS)
#define LAST_DELAY_NS (30 * OSA_NS_PER_SEC)
/* One that ran for so long did not fail at its start. */
#define GOOD_RUN_NS (60 * OSA_NS_PER_SEC)
/* For its looks at the machine and its home before it listens. */
#define YOUNG_NS (120 * OSA_NS_PER_SEC)
/* It gives each box 10 s to stop. */
#define STOP_MS 20000
#define LOG_MAX ((off_t)8 << 20)
#define SETPRIV "/usr/bin/setpriv"

struct server {
    struct osa_loop *loop; /* borrowed */
    char *program;         /* owned, as is what follows */
    char *home;
    char **env;
    bool other_user;
    uint32_t uid;
    uint32_t gid;
    int ns_fd; /* -1: the agent's own namespace */
    unsigned port;
    char url[64];
    char key[OSA_ID_SIZE];
    pid_t pid;                 /* of a child of ours; 0: none */
    struct osa_source process; /* pidfd of it; fd -1: none */
    struct osa_timer again;
    int64_t started_ns;
    int64_t delay_ns;
};

/* ---- its files ---- */

/* Beside the home and not in it: the server's user could put links, pipes or lies there. */
static char *beside_home(const struct server *server, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s-%s", server->home, name) < 0)
        abort();
    return path;
}

static enum osa_code make_home(const struct server *server, struct osa_error *err)
{
    if (mkdir(server->home, 0700) < 0 && errno != EEXIST)
        return osa_fail_errno(err, errno, "the server's home '%s'", server->home);
    if (!server->other_user)
        return OSA_OK;
    if (chown(server->home, server->uid, server->gid) < 0)
        return osa_fail_errno(err, errno, "the server's home '%s'", server->home);
    return OSA_OK;
}

static int open_log(const struct server *server)
{
    struct stat stat;
    OSA_AUTO(osa_free) char *path = beside_home(server, "serve.log");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size > LOG_MAX)
        (void)ftruncate(fd, 0);
    return fd;
}

/* By which the next agent finds what this one leaves when it crashes. */
static void write_mark(const struct server *server, const struct osa_child_mark *mark)
{
    char text[64];
    OSA_AUTO(osa_free) char *path = beside_home(server, "serve.pid");
    OSA_AUTO(osa_close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int len = snprintf(text, sizeof(text), "%d %" PRIu64 "\n", (int)mark->pid, mark->start);
    if (fd < 0 || osa_write_all(fd, text, (size_t)len) < 0)
        osa_log(OSA_LOG_WARN, "boxlite", "the server's mark cannot be written; ignored",
                OSA_S("file", path));
}

static int open_former(const struct server *server)
{
    struct osa_child_mark mark = { 0 };
    struct osa_error ignored;
    int pid = 0;
    OSA_AUTO(osa_free) char *text = NULL;
    OSA_AUTO(osa_free) char *path = beside_home(server, "serve.pid");
    if (osa_read_file(AT_FDCWD, path, 64, &text, NULL, &ignored) != OSA_OK ||
        sscanf(text, "%d %" SCNu64, &pid, &mark.start) != 2)
        return -1;
    mark.pid = pid;
    return osa_child_alive(&mark) ? osa_child_open(&mark) : -1;
}

/* ---- the process ---- */

static void wait_end(int pidfd)
{
    struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
    int64_t deadline_ns = osa_deadline_after(STOP_MS * OSA_NS_PER_MS);
    int64_t left_ns;
    osa_child_signal(pidfd, SIGINT);
    while ((left_ns = deadline_ns - osa_now_ns()) > 0) {
        int rc = poll(&poll_fd, 1, (int)(left_ns / OSA_NS_PER_MS) + 1);
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return;
    }
    osa_log(OSA_LOG_WARN, "boxlite", "the server did not stop in time; killed",
            OSA_U("after_ms", STOP_MS));
    osa_child_signal(pidfd, SIGKILL);
    (void)poll(&poll_fd, 1, STOP_MS);
}

static enum osa_code start(struct server *server, struct osa_error *err);

static void on_again(struct osa_timer *timer)
{
    struct server *server = OSA_CONTAINER_OF(timer, struct server, again);
    struct osa_error err = { 0 };
    if (start(server, &err) == OSA_OK)
        return;
    osa_log_error(OSA_LOG_ERROR, "boxlite", "the server cannot be started; tried again", &err);
    osa_timer_arm(server->loop, &server->again, osa_deadline_after(server->delay_ns));
    server->delay_ns = OSA_MIN(server->delay_ns * 2, LAST_DELAY_NS);
}

static void on_ended(struct osa_source *source, unsigned events)
{
    struct server *server = OSA_CONTAINER_OF(source, struct server, process);
    (void)events;
    int status = osa_child_reap(server->pid);
    osa_source_remove(source);
    osa_replace_fd(&source->fd, -1);
    server->pid = 0;
    if (osa_now_ns() - server->started_ns > GOOD_RUN_NS)
        server->delay_ns = FIRST_DELAY_NS;
    osa_log(OSA_LOG_ERROR, "boxlite", "the server has ended; started again",
            OSA_S("home", server->home), OSA_U("wait_status", (unsigned)status),
            OSA_U("delay_ms", (uint64_t)(server->delay_ns / OSA_NS_PER_MS)));
    osa_timer_arm(server->loop, &server->again, osa_deadline_after(server->delay_ns));
    server->delay_ns = OSA_MIN(server->delay_ns * 2, LAST_DELAY_NS);
}

/* setpriv(1) makes another user of it before it runs. */
static void write_command(const struct server *server, const char **argv, const char *port,
                          const char *uid, const char *gid)
{
    size_t n = 0;
    if (server->other_user) {
        argv[n++] = SETPRIV;
        argv[n++] = uid;
        argv[n++] = gid;
        argv[n++] = "--init-groups";
        argv[n++] = "--";
    }
    argv[n++] = server->program;
    argv[n++] = "serve";
    argv[n++] = "--host";
    argv[n++] = "127.0.0.1";
    argv[n++] = "--port";
    argv[n++] = port;
    argv[n] = NULL;
}

/* The key goes by the environment, which only the server's user can read; arguments are everybody's. */
static const char **write_environment(const struct server *server, char *home, char *box_home,
                                      char *key)
{
    size_t count = 0;
    while (server->env != NULL && server->env[count] != NULL)
        count++;
    const char **envp = calloc(count + 5, sizeof(*envp));
    if (envp == NULL)
        abort();
    envp[0] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    envp[1] = home;
    envp[2] = box_home;
    envp[3] = key;
    for (size_t i = 0; i < count; i++)
        envp[4 + i] = server->env[i];
    return envp;
}

static enum osa_code start_child(struct server *server, int log_fd, struct osa_error *err)
{
    char port[16], uid[32], gid[32], home[4200], box_home[4200], key[96];
    const char *argv[16];
    (void)snprintf(port, sizeof(port), "%u", server->port);
    (void)snprintf(uid, sizeof(uid), "--reuid=%u", server->uid);
    (void)snprintf(gid, sizeof(gid), "--regid=%u", server->gid);
    (void)snprintf(home, sizeof(home), "HOME=%s", server->home);
    (void)snprintf(box_home, sizeof(box_home), "BOXLITE_HOME=%s", server->home);
    (void)snprintf(key, sizeof(key), "BOXLITE_SERVE_API_KEY=%s", server->key);
    write_command(server, argv, port, uid, gid);
    OSA_AUTO(osa_free) const char **envp = write_environment(server, home, box_home, key);
    const struct osa_child_spec spec = { argv[0], argv, envp, log_fd };
    int back = server->ns_fd >= 0 ? osa_netns_enter(server->ns_fd) : -1;
    if (server->ns_fd >= 0 && back < 0)
        return osa_fail_errno(err, errno, "the server's network namespace");
    enum osa_code code = osa_child_start(&spec, &server->pid, err);
    if (back >= 0)
        osa_netns_leave(back);
    return code;
}

static enum osa_code start(struct server *server, struct osa_error *err)
{
    struct osa_child_mark mark;
    OSA_AUTO(osa_close_fd) int log_fd = open_log(server);
    if (log_fd < 0)
        return osa_fail_errno(err, errno, "the server's log in '%s'", server->home);
    enum osa_code code = start_child(server, log_fd, err);
    if (code != OSA_OK)
        return code;
    server->started_ns = osa_now_ns();
    if (!osa_child_mark_of(server->pid, &mark))
        return osa_fail(err, OSA_INTERNAL, 0, "the server is gone before it ran");
    write_mark(server, &mark);
    server->process = (struct osa_source){ .fd = osa_child_open(&mark), .ready = on_ended };
    code = osa_source_add(server->loop, &server->process, OSA_READ, err);
    if (code != OSA_OK) { /* nobody would hear of its end */
        (void)kill(server->pid, SIGKILL);
        osa_replace_fd(&server->process.fd, -1);
    }
    return code;
}

/* ---- life ---- */

/* Beside the agent the port must be a free one, and the server cannot be told to choose. */
static unsigned choose_port(const struct server *server)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    if (server->ns_fd >= 0)
        return DEFAULT_PORT;
    OSA_AUTO(osa_close_fd) int fd = osa_socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return DEFAULT_PORT;
    return ntohs(address.sin_port);
}

static char *copy(const char *text)
{
    char *made = text != NULL ? strdup(text) : NULL;
    if (text != NULL && made == NULL)
        abort();
    return made;
}

static char **copy_list(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **made = calloc(count + 1, sizeof(*made));
    if (made == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        made[i] = copy(list[i]);
    return made;
}

static void server_free(struct server *server)
{
    osa_timer_disarm(&server->again);
    osa_source_remove(&server->process);
    osa_close_fd(&server->process.fd);
    osa_close_fd(&server->ns_fd);
    for (size_t i = 0; server->env[i] != NULL; i++)
        free(server->env[i]);
    free(server->env);
    free(server->program);
    free(server->home);
    osa_wipe(server->key, sizeof(server->key));
    free(server);
}

/* Numbers: whose names they are, the agent does not look up. */
static enum osa_code read_user(struct server *server, const char *user, struct osa_error *err)
{
    char rest;
    if (user == NULL)
        return OSA_OK;
    if (sscanf(user, "%" SCNu32 ":%" SCNu32 "%c", &server->uid, &server->gid, &rest) != 2)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "user '%.64s' is not UID:GID", user);
    server->other_user = true;
    return OSA_OK;
}

static void stop_former(const struct server *server)
{
    OSA_AUTO(osa_close_fd) int fd = open_former(server);
    if (fd < 0)
        return;
    osa_log(OSA_LOG_INFO, "boxlite", "stopping the server of a former agent",
            OSA_S("home", server->home));
    wait_end(fd);
}

enum osa_code server_open(struct osa_loop *loop, const struct server_config *config,
                          struct server **ret, struct osa_error *err)
{
    struct osa_error why = { 0 };
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return osa_fail_errno(err, ENOMEM, "boxlite server");
    *server = (struct server){ .loop = loop,
                               .program = copy(config->program),
                               .home = copy(config->home),
                               .env = copy_list(config->env),
                               .ns_fd = -1,
                               .process = { .fd = -1 },
                               .again = { .fire = on_again },
                               .delay_ns = FIRST_DELAY_NS };
    osa_id_new('k', server->key);
    if (osa_netns_new(&server->ns_fd, &why) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "boxlite", "the server has no network namespace of its own",
                      &why);
    server->port = choose_port(server);
    (void)snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", server->port);
    enum osa_code code = read_user(server, config->user, err);
    if (code == OSA_OK)
        code = make_home(server, err);
    if (code == OSA_OK) {
        stop_former(server);
        code = start(server, err);
    }
    if (code != OSA_OK) {
        server_close(server);
        return osa_wrap(err, "boxlite serve");
    }
    *ret = server;
    return OSA_OK;
}

void server_close(struct server *server)
{
    if (server == NULL)
        return;
    if (server->process.fd >= 0) {
        osa_source_remove(&server->process);
        wait_end(server->process.fd);
        (void)osa_child_reap(server->pid);
    }
    server_free(server);
}

const char *server_url(const struct server *server)
{
    return server->url;
}

const char *server_key(const struct server *server)
{
    return server->key;
}

bool server_is_apart(const struct server *server)
{
    return server->ns_fd >= 0;
}

bool server_is_young(const struct server *server)
{
    return server->pid != 0 && osa_now_ns() - server->started_ns < YOUNG_NS;
}

int server_socket(const struct server *server, int domain, int type, int protocol)
{
    return server->ns_fd >= 0 ? osa_netns_socket(server->ns_fd, domain, type, protocol)
                              : osa_socket(domain, type, protocol);
}
