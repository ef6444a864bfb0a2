// SPDX-License-Identifier: Apache-2.0
#include "integration/boxlite_fixture.h"

#include "backends/boxlite/boxlite.h"
#include "base/clock.h"

#include "cmocka_all.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "the-key-of-the-double"

extern char **environ;

/* ---- the double ---- */

static unsigned read_port(int fd)
{
    char line[16] = "";
    size_t len = 0;
    while (len < sizeof(line) - 1 && read(fd, line + len, 1) == 1 && line[len] != '\n')
        len++;
    return (unsigned)strtoul(line, NULL, 10);
}

static void start_double(struct boxlite_fixture *fixture, const char *const *arguments)
{
    const char *argv[16] = { "python3", BOXLITE_DOUBLE, "--api-key", KEY };
    size_t count = 4;
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++)
        argv[count++] = arguments[i];
    int out[2];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn(&fixture->pid, "/usr/bin/python3", &actions, NULL,
                                 (char *const *)argv, environ),
                     0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    fixture->port = read_port(out[0]);
    (void)close(out[0]);
    if (fixture->port == 0) {
        int status = 0;
        (void)waitpid(fixture->pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            exit(77);
        fail_msg("the double did not start");
    }
}

void fixture_http(const struct boxlite_fixture *fixture, const char *method, const char *path,
                  const char *body, unsigned status, char *ret, size_t size)
{
    static char text[1 << 16];
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)fixture->port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    int len = snprintf(text, sizeof(text),
                       "%s %s HTTP/1.1\r\nAuthorization: Bearer " KEY "\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       method, path, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)len), len);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    size_t got = 0;
    ssize_t more;
    while (got < sizeof(text) - 1 && (more = read(fd, text + got, sizeof(text) - 1 - got)) > 0)
        got += (size_t)more;
    text[got] = '\0';
    (void)close(fd);
    unsigned answered = 0;
    assert_int_equal(sscanf(text, "HTTP/1.1 %u", &answered), 1);
    assert_int_equal(answered, status);
    const char *start = strstr(text, "\r\n\r\n");
    assert_non_null(start);
    if (ret != NULL)
        (void)snprintf(ret, size, "%s", start + 4);
}

void fixture_faults(const struct boxlite_fixture *fixture, const char *json)
{
    fixture_http(fixture, "PUT", "/double/faults", json, 204, NULL, 0);
}

unsigned fixture_boxes(const struct boxlite_fixture *fixture)
{
    static char body[1 << 15];
    unsigned count = 0;
    fixture_http(fixture, "GET", "/double/state", "", 200, body, sizeof(body));
    for (const char *at = body; (at = strstr(at, "\"name\"")) != NULL; at++)
        count++;
    return count;
}

/* ---- the backend ---- */

void fixture_open(struct boxlite_fixture *fixture, const char *state_dir)
{
    struct osa_error err = { 0 };
    char url[256];
    char key[96];
    if (fixture->server == NULL)
        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", fixture->port);
    else
        (void)snprintf(url, sizeof(url), "%s", fixture->server);
    (void)snprintf(key, sizeof(key), "%s/key", fixture->folder);
    const char *const env[] = { getenv("OSA_BOXLITE_SERVE_ENV"), NULL };
    const struct boxlite_config config = {
        .serve = fixture->serve,
        .serve_env = env,
        .url = url,
        .key_file = key,
        .image = getenv("OSA_BOXLITE_IMAGE") != NULL ? getenv("OSA_BOXLITE_IMAGE")
                                                     : "debian:bookworm-slim",
        .state_dir = state_dir != NULL ? state_dir : fixture->folder,
        .wanted = true,
        .plain = fixture->plain,
        .start_timeout_ns = (fixture_is_real(fixture) ? 300 : 3) * OSA_NS_PER_SEC,
    };
    if (boxlite_backend_open(fixture->loop, &config, &fixture->backend, &err) != OSA_OK)
        fail_msg("boxlite_backend_open: %s", err.text);
    int64_t deadline =
        osa_deadline_after((fixture_is_real(fixture) ? 12 : 1) * FIXTURE_PATIENCE_NS);
    while (!boxlite_backend_probed(fixture->backend) && osa_now_ns() < deadline)
        (void)osa_loop_run_once(fixture->loop, deadline);
    assert_true(boxlite_backend_probed(fixture->backend));
}

bool fixture_is_real(const struct boxlite_fixture *fixture)
{
    return fixture->server != NULL || getenv("OSA_BOXLITE_SERVE") != NULL;
}

static void start(struct boxlite_fixture *fixture, const char *const *arguments, bool plain,
                  const char *serve)
{
    struct osa_error err = { 0 };
    char key[96];
    *fixture = (struct boxlite_fixture){ .folder = "/tmp/osa-boxlite-XXXXXX",
                                         .plain = plain,
                                         .serve = serve };
    (void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN },
                    NULL); /* as the agent does */
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(key, sizeof(key), "%s/key", fixture->folder);
    int fd = open(key, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const char *secret = getenv("OSA_BOXLITE_KEY") != NULL ? getenv("OSA_BOXLITE_KEY") : KEY;
    assert_int_equal(write(fd, secret, strlen(secret)), strlen(secret));
    (void)close(fd);
    assert_int_equal(policy_document_default(&fixture->policy, NULL), OSA_OK);
    fixture->server = getenv("OSA_BOXLITE_URL"); /* a real one, for those tests that can use it */
    if (fixture->server == NULL && serve == NULL)
        start_double(fixture, arguments);
    assert_int_equal(osa_loop_new(&fixture->loop, &err), OSA_OK);
    fixture_open(fixture, NULL);
}

void fixture_start(struct boxlite_fixture *fixture, const char *const *arguments, bool plain)
{
    start(fixture, arguments, plain, /* serve= */ NULL);
}

void fixture_serve(struct boxlite_fixture *fixture)
{
    const char *real = getenv("OSA_BOXLITE_SERVE");
    start(fixture, NULL, /* plain= */ false, real != NULL ? real : BOXLITE_DOUBLE);
}

static void remove_home(const struct boxlite_fixture *fixture)
{
    static const char *const files[] = { "-serve.log", "-serve.pid", "/." };
    for (size_t i = 0; i < OSA_ARRAY_LEN(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/boxlite%s", fixture->folder, files[i]);
        (void)unlink(path);
    }
    char home[96];
    (void)snprintf(home, sizeof(home), "%s/boxlite", fixture->folder);
    (void)rmdir(home);
}

void fixture_close(struct boxlite_fixture *fixture)
{
    if (fixture->backend != NULL)
        fixture->backend->ops->close(fixture->backend);
    fixture->backend = NULL;
}

void fixture_stop(struct boxlite_fixture *fixture)
{
    int status = 0;
    char key[96];
    fixture_close(fixture);
    if (fixture->serve != NULL) {
        remove_home(fixture);
    } else if (fixture->server == NULL) {
        (void)kill(fixture->pid, SIGTERM);
        assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
    }
    osa_loop_free(fixture->loop);
    policy_document_unref(fixture->policy);
    (void)snprintf(key, sizeof(key), "%s/key", fixture->folder);
    (void)unlink(key);
    (void)rmdir(fixture->folder);
}

/* ---- waiting ---- */

void fixture_until(struct boxlite_fixture *fixture, const unsigned *counter, unsigned value,
                   const char *what)
{
    int64_t deadline = osa_deadline_after((fixture_is_real(fixture) ? 9 : 1) * FIXTURE_PATIENCE_NS);
    while (*counter < value) {
        if (osa_now_ns() > deadline)
            fail_msg("waited in vain for %s", what);
        (void)osa_loop_run_once(fixture->loop, deadline);
    }
}

void fixture_turn_ms(struct boxlite_fixture *fixture, int64_t ms)
{
    int64_t deadline = osa_deadline_after(ms * OSA_NS_PER_MS);
    while (osa_now_ns() < deadline)
        (void)osa_loop_run_once(fixture->loop, deadline);
}

/* ---- sandboxes ---- */

static void on_lost(struct sandbox_events *events, const char *reason)
{
    struct fixture_box *box = (struct fixture_box *)events;
    box->lost++;
    (void)snprintf(box->lost_reason, sizeof(box->lost_reason), "%s", reason);
}

static void on_denied(struct sandbox_events *events, const char *control, const char *text)
{
    (void)events;
    (void)control;
    (void)text;
}

static void on_created(void *ctx, struct backend_sandbox *sandbox,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct fixture_box *box = ctx;
    box->created++;
    box->sandbox = sandbox;
    assert_true((sandbox == NULL) == (error != NULL));
    if (error != NULL) {
        box->error = *error;
    } else {
        assert_non_null(effective);
        box->isolation = *isolation;
    }
}

struct sandbox_spec fixture_spec(const struct boxlite_fixture *fixture, const char *id)
{
    static const char *const none[] = { NULL };
    return (struct sandbox_spec){ .id = id,
                                  .image = "",
                                  .root = "",
                                  .policy = fixture->policy,
                                  .workdir = "/",
                                  .env = none,
                                  .user = "",
                                  .seccomp_profile = "default",
                                  .min_isolation = ISOLATION_VM };
}

void fixture_create(struct boxlite_fixture *fixture, struct fixture_box *box,
                    const struct sandbox_spec *spec)
{
    *box = (struct fixture_box){ .events = { .lost = on_lost, .denied = on_denied } };
    fixture->backend->ops->sandbox_create(fixture->backend, spec, &box->events, on_created, box);
    assert_int_equal(box->created, 0);
    fixture_until(fixture, &box->created, 1, "sandbox_create");
}

void fixture_box(struct boxlite_fixture *fixture, struct fixture_box *box)
{
    static unsigned number;
    char id[16];
    (void)snprintf(id, sizeof(id), "box-%u", ++number);
    const struct sandbox_spec spec = fixture_spec(fixture, id);
    fixture_create(fixture, box, &spec);
    if (box->sandbox == NULL)
        fail_msg("sandbox_create: %s", box->error.text);
}

static void on_done(void *ctx, const struct osa_error *error)
{
    struct fixture_answer *answer = ctx;
    answer->calls++;
    if (error != NULL)
        answer->error = *error;
}

void fixture_destroy(struct boxlite_fixture *fixture, struct fixture_box *box)
{
    struct fixture_answer answer = { 0 };
    box->sandbox->ops->sandbox_destroy(box->sandbox, on_done, &answer);
    assert_int_equal(answer.calls, 0);
    fixture_until(fixture, &answer.calls, 1, "sandbox_destroy");
    assert_int_equal(answer.error.code, OSA_OK);
}

/* ---- processes ---- */

static void on_output(struct process_events *events, enum output_stream stream, const void *data,
                      size_t len)
{
    struct fixture_process *process = (struct fixture_process *)events;
    assert_int_equal(process->spawned, 1);
    assert_true(osa_buf_add(stream == OUTPUT_STDERR ? &process->err : &process->out, data, len));
}

static void on_output_end(struct process_events *events, enum output_stream stream)
{
    (void)stream;
    ((struct fixture_process *)events)->ended++;
}

static void on_stdin_ready(struct process_events *events)
{
    ((struct fixture_process *)events)->stdin_ready++;
}

static void on_exited(struct process_events *events, const struct process_exit *exit)
{
    struct fixture_process *process = (struct fixture_process *)events;
    process->exited++;
    process->exit = *exit;
}

static void on_oom_killed(struct process_events *events)
{
    (void)events;
}

static void on_spawned(void *ctx, struct backend_process *handle, const struct isolation *isolation,
                       const struct resources *effective, const struct osa_error *error)
{
    struct fixture_process *process = ctx;
    (void)effective;
    process->spawned++;
    process->process = handle;
    assert_true((handle == NULL) == (error != NULL));
    if (error != NULL)
        process->error = *error;
    else
        process->isolation = *isolation;
}

struct process_spec fixture_sh(const char *script)
{
    static const char *const env[] = { "PATH=/usr/bin:/bin", "COLOUR=blue", NULL };
    static const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
    argv[2] = script;
    return (struct process_spec){ .id = "p", .argv = argv, .env = env, .cwd = "/", .user = "" };
}

void fixture_begin(struct fixture_box *box, struct fixture_process *process,
                   const struct process_spec *spec)
{
    *process = (struct fixture_process){ .events = { .output = on_output,
                                                     .output_end = on_output_end,
                                                     .stdin_ready = on_stdin_ready,
                                                     .exited = on_exited,
                                                     .oom_killed = on_oom_killed } };
    osa_buf_init(&process->out, (size_t)64 << 20);
    osa_buf_init(&process->err, (size_t)64 << 20);
    box->sandbox->ops->spawn(box->sandbox, spec, &process->events, on_spawned, process);
    assert_int_equal(process->spawned, 0);
}

void fixture_spawn(struct boxlite_fixture *fixture, struct fixture_box *box,
                   struct fixture_process *process, const struct process_spec *spec)
{
    fixture_begin(box, process, spec);
    fixture_until(fixture, &process->spawned, 1, "spawn");
}

void fixture_finish(struct boxlite_fixture *fixture, struct fixture_process *process,
                    unsigned streams)
{
    fixture_until(fixture, &process->exited, 1, "the exit");
    fixture_until(fixture, &process->ended, streams, "the end of the output");
    assert_int_equal(process->exited, 1);
    assert_int_equal(process->ended, streams);
}

void fixture_run(struct boxlite_fixture *fixture, struct fixture_box *box,
                 struct fixture_process *process, const char *script)
{
    const struct process_spec spec = fixture_sh(script);
    fixture_spawn(fixture, box, process, &spec);
    if (process->process == NULL)
        fail_msg("spawn: %s", process->error.text);
    fixture_finish(fixture, process, 2);
}

void fixture_free(struct fixture_process *process)
{
    if (process->process != NULL)
        process->process->ops->process_free(process->process);
    osa_buf_done(&process->out);
    osa_buf_done(&process->err);
}

enum osa_code fixture_kill(struct boxlite_fixture *fixture, struct fixture_process *process)
{
    struct fixture_answer answer = { 0 };
    process->process->ops->kill_tree(process->process, on_done, &answer);
    fixture_until(fixture, &answer.calls, 1, "kill_tree");
    return answer.error.code;
}
