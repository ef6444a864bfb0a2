// SPDX-License-Identifier: Apache-2.0
#include "process_fixture.h"

#include "backends/process/process.h"
#include "base/clock.h"
#include "base/fd.h"
#include "policy/document.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PATIENCE_NS (60 * OSA_NS_PER_SEC)

static struct osa_loop *loop;
static struct backend *backend;
static unsigned box_number;

struct backend *fixture_backend(void)
{
    return backend;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static int descriptors_before;

static enum isolation_level level = ISOLATION_ANY;
static const struct policy_document *policy;

bool fixture_level(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "restricted";
    const uid_t nobody = 65534;
    if (strcmp(name, "full") == 0 && geteuid() == 0) {
        level = ISOLATION_FULL;
        return true;
    }
    if (strcmp(name, "restricted") == 0) {
        level = ISOLATION_RESTRICTED;
        return true;
    }
    bool dropped = geteuid() != 0 || (setgroups(0, NULL) == 0 && setgid(nobody) == 0 &&
                                      setuid(nobody) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
    if (strcmp(name, "rootless") == 0 && dropped) {
        level = ISOLATION_ROOTLESS;
        return true;
    }
    print_message("skipped: level %s needs another user\n", name);
    return false;
}

enum osa_code fixture_try_open(struct osa_error *err)
{
    const struct process_backend_config config = { .max_isolation = level };
    enum osa_code code = policy_document_default(&policy, err);
    if (code == OSA_OK)
        code = process_backend_start_launcher(err);
    if (code == OSA_OK)
        code = osa_loop_new(&loop, err);
    return code == OSA_OK ? process_backend_open(loop, &config, &backend, err) : code;
}

int fixture_open(void **state)
{
    (void)state;
    struct osa_error err;
    if (fixture_try_open(&err) != OSA_OK) {
        print_error("fixture: %s\n", err.text);
        return -1;
    }
    if (backend->ops->info(backend)->isolation.level != level) {
        print_message("skipped: this host does not give the level\n");
        _exit(77);
    }
    descriptors_before = open_descriptors();
    return 0;
}

int fixture_close(void **state)
{
    (void)state;
    int after = open_descriptors();
    backend->ops->close(backend);
    osa_loop_free(loop);
    policy_document_unref(policy);
    if (after != descriptors_before)
        print_error("fixture: %d descriptors before, %d after\n", descriptors_before, after);
    return after == descriptors_before ? 0 : -1;
}

bool until(const bool *flag)
{
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while (!*flag && osa_now_ns() < deadline)
        (void)osa_loop_run_once(loop, deadline);
    return *flag;
}

void run_for_ms(int ms)
{
    int64_t deadline = osa_deadline_after(ms * OSA_NS_PER_MS);
    while (osa_now_ns() < deadline)
        (void)osa_loop_run_once(loop, deadline);
}

/* ---- sandboxes ---- */

static void on_created(void *ctx, struct backend_sandbox *sandbox,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct box *box = ctx;
    assert_false(box->answered);
    box->answered = true;
    box->sandbox = sandbox;
    if (error != NULL) {
        assert_null(sandbox);
        box->error = *error;
        return;
    }
    box->isolation = *isolation;
    box->limits = *effective;
}

static void on_lost(struct sandbox_events *self, const char *reason)
{
    struct box *box = OSA_CONTAINER_OF(self, struct box, events);
    box->lost = true;
    (void)snprintf(box->lost_reason, sizeof(box->lost_reason), "%s", reason);
}

static void on_denied(struct sandbox_events *self, const char *control, const char *text)
{
    struct box *box = OSA_CONTAINER_OF(self, struct box, events);
    (void)snprintf(box->denied_last, sizeof(box->denied_last), "%s: %s", control, text);
    box->denied++;
}

struct sandbox_spec box_spec(void)
{
    static const char *const no_env[] = { NULL };
    static char id[32];
    (void)snprintf(id, sizeof(id), "box-%d-%u", getpid(), ++box_number);
    return (struct sandbox_spec){ .id = id,
                                  .image = "",
                                  .root = "",
                                  .policy = policy,
                                  .workdir = "/",
                                  .env = no_env,
                                  .user = "",
                                  .seccomp_profile = "default" };
}

void box_try(struct box *box, const struct sandbox_spec *spec)
{
    *box = (struct box){ .events = { .lost = on_lost, .denied = on_denied } };
    backend->ops->sandbox_create(backend, spec, &box->events, on_created, box);
    assert_false(box->answered);
    assert_true(until(&box->answered));
}

void box_open(struct box *box)
{
    struct sandbox_spec spec = box_spec();
    box_try(box, &spec);
    if (box->sandbox == NULL)
        fail_msg("sandbox: %s", box->error.text);
}

static void on_gone(void *ctx, const struct osa_error *error)
{
    struct box *box = ctx;
    assert_null(error);
    box->gone = true;
}

void box_close(struct box *box)
{
    backend->ops->sandbox_destroy(box->sandbox, on_gone, box);
    assert_false(box->gone);
    assert_true(until(&box->gone));
}

/* ---- processes ---- */

static void on_output(struct process_events *self, enum output_stream stream, const void *data,
                      size_t len)
{
    struct seen *seen = OSA_CONTAINER_OF(self, struct seen, events);
    assert_true(seen->answered);
    assert_true(osa_buf_add(stream == OUTPUT_STDOUT ? &seen->out : &seen->err, data, len));
}

static void on_output_end(struct process_events *self, enum output_stream stream)
{
    struct seen *seen = OSA_CONTAINER_OF(self, struct seen, events);
    assert_true(stream == OUTPUT_STDOUT || stream == OUTPUT_STDERR);
    seen->ended++;
}

static void on_stdin_ready(struct process_events *self)
{
    OSA_CONTAINER_OF(self, struct seen, events)->stdin_ready = true;
}

static void on_exited(struct process_events *self, const struct process_exit *exit)
{
    struct seen *seen = OSA_CONTAINER_OF(self, struct seen, events);
    assert_true(seen->answered);
    assert_false(seen->exited);
    seen->exited = true;
    seen->exit = *exit;
}

static void on_oom(struct process_events *self)
{
    (void)self;
}

static void on_process_denied(struct process_events *self, const char *control, const char *text)
{
    struct seen *seen = OSA_CONTAINER_OF(self, struct seen, events);
    unsigned more = 0;
    const char *inside = strstr(text, " (");
    assert_true(seen->answered);
    if (strcmp(control, "landlock") == 0) {
        if (seen->landlock_denied++ == 0)
            (void)snprintf(seen->landlock_first, sizeof(seen->landlock_first), "%s", text);
        return;
    }
    assert_string_equal(control, "seccomp");
    if (sscanf(text, "%u more", &more) == 1 ||
        (inside != NULL && sscanf(inside, " (%u more", &more) == 1))
        seen->denied_more += more;
    (void)snprintf(seen->denied_last, sizeof(seen->denied_last), "%s", text);
    if (seen->denied++ == 0)
        memcpy(seen->denied_first, seen->denied_last, sizeof(seen->denied_first));
}

static void on_spawned(void *ctx, struct backend_process *process,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct seen *seen = ctx;
    assert_false(seen->answered);
    seen->answered = true;
    seen->process = process;
    if (error != NULL) {
        assert_null(process);
        seen->error = *error;
        return;
    }
    assert_non_null(effective);
    seen->isolation = *isolation;
}

struct process_spec shell(const char *script)
{
    static const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
    static const char *const env[] = { "PATH=/usr/bin:/bin", "LANG=C", NULL };
    static char id[32];
    (void)snprintf(id, sizeof(id), "p-%u", ++box_number);
    argv[2] = script;
    return (struct process_spec){ .id = id, .argv = argv, .env = env, .cwd = "/", .user = "" };
}

void launch(struct box *box, struct seen *seen, const struct process_spec *spec)
{
    *seen = (struct seen){ .events = { .output = on_output,
                                       .output_end = on_output_end,
                                       .stdin_ready = on_stdin_ready,
                                       .exited = on_exited,
                                       .oom_killed = on_oom,
                                       .denied = on_process_denied } };
    osa_buf_init(&seen->out, 64u << 20);
    osa_buf_init(&seen->err, 64u << 20);
    backend->ops->spawn(box->sandbox, spec, &seen->events, on_spawned, seen);
    assert_false(seen->answered);
    assert_true(until(&seen->answered));
}

void finish(struct seen *seen)
{
    if (seen->process == NULL)
        fail_msg("spawn: %s", seen->error.text);
    assert_true(until(&seen->exited));
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while (seen->ended == 0 && osa_now_ns() < deadline)
        (void)osa_loop_run_once(loop, deadline);
    while (osa_loop_run_once(loop, osa_now_ns()))
        continue;
}

void seen_done(struct seen *seen)
{
    backend->ops->process_free(seen->process);
    osa_buf_done(&seen->out);
    osa_buf_done(&seen->err);
}

static void on_killed(void *ctx, const struct osa_error *error)
{
    assert_null(error);
    *(bool *)ctx = true;
}

void kill_tree_and_wait(struct seen *seen)
{
    bool killed = false;
    backend->ops->kill_tree(seen->process, on_killed, &killed);
    assert_false(killed);
    assert_true(until(&killed));
}

const char *nap(void)
{
    static char text[32];
    (void)snprintf(text, sizeof(text), "1234.%07d", getpid());
    return text;
}

int count_naps(void)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (struct dirent *d; (d = readdir(proc)) != NULL;) {
        char path[300];
        char text[64] = "";
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
        OSA_AUTO(osa_close_fd)
        int fd = d->d_name[0] < '0' || d->d_name[0] > '9' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || strcmp(text, "sleep") != 0)
            continue;
        count += strcmp(text + strlen("sleep") + 1, nap()) == 0;
    }
    (void)closedir(proc);
    return count;
}
