// SPDX-License-Identifier: Apache-2.0
#include "driver/program.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS (500 * OSA_NS_PER_MS) /* between two looks at the disk */

/* ---- output ---- */

/* What it writes may be a stranger's text. Of "time=… level=… msg=…" only the message says anything. */
static void end_line(struct helper_program *program)
{
    size_t out = 0;
    program->text[program->text_len] = '\0';
    program->text_len = 0;
    const char *message = strstr(program->text, " msg=");
    for (const char *at = message != NULL ? message + 5 : program->text; *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f && *at != '\\' && *at != '"')
            program->words[out++] = *at;
    }
    program->words[out] = '\0';
    if (program->line != NULL && out > 0)
        program->line(program, program->words);
}

static void close_output(struct helper_program *program)
{
    osa_source_remove(&program->output);
    osa_replace_fd(&program->output.fd, -1);
}

static void read_output(struct helper_program *program)
{
    char data[4096];
    ssize_t got = -1;
    while (program->output.fd >= 0 && (got = read(program->output.fd, data, sizeof(data))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (data[i] == '\n')
                end_line(program);
            else if (program->text_len + 1 < sizeof(program->text))
                program->text[program->text_len++] = data[i];
        }
    }
    if (program->output.fd >= 0 && (got == 0 || errno != EAGAIN))
        close_output(program);
}

static void on_output(struct osa_source *source, unsigned events)
{
    (void)events;
    read_output(OSA_CONTAINER_OF(source, struct helper_program, output));
}

/* ---- its end ---- */

static void close_all(struct helper_program *program)
{
    close_output(program);
    osa_source_remove(&program->process);
    osa_replace_fd(&program->process.fd, -1);
    osa_timer_disarm(&program->timer);
}

static void on_end(struct osa_source *source, unsigned events)
{
    struct helper_program *program = OSA_CONTAINER_OF(source, struct helper_program, process);
    (void)events;
    int status = osa_child_reap(program->pid);
    read_output(program);
    if (program->text_len > 0)
        end_line(program);
    close_all(program);
    if (program->why.code == OSA_OK && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        (void)osa_fail(&program->why, OSA_FAILED_PRECONDITION, 0, "%s",
                       program->words[0] != '\0' ? program->words : "it ended without a word");
    program->done(program, program->why.code == OSA_OK ? NULL : &program->why);
}

/* Why it is killed counts more than what it says of it. */
static void kill_for(struct helper_program *program, enum osa_code code, const char *text)
{
    if (program->why.code == OSA_OK)
        (void)osa_fail(&program->why, code, 0, "%s", text);
    osa_child_signal(program->process.fd, SIGKILL);
}

static bool is_full(const struct helper_limits *limits)
{
    struct statvfs fs;
    if (statvfs(limits->disk, &fs) < 0)
        return false;
    /* Small files use up inodes long before blocks; a file system without a number of them says 0. */
    return (uint64_t)fs.f_bavail * fs.f_frsize < limits->disk_free_bytes ||
           (fs.f_files != 0 && fs.f_favail < fs.f_files / 20);
}

static void on_timer(struct osa_timer *timer)
{
    struct helper_program *program = OSA_CONTAINER_OF(timer, struct helper_program, timer);
    if (osa_now_ns() >= program->deadline_ns)
        kill_for(program, OSA_DEADLINE_EXCEEDED, "it took too long");
    else if (is_full(&program->limits))
        kill_for(program, OSA_RESOURCE_EXHAUSTED, "the disk has too little left");
    else
        osa_timer_arm(program->loop, timer, osa_deadline_after(LOOK_NS));
}

/* ---- from outside ---- */

void helper_program_init(struct helper_program *program, struct osa_loop *loop)
{
    program->loop = loop;
    program->process = (struct osa_source){ .fd = -1, .ready = on_end };
    program->output = (struct osa_source){ .fd = -1, .ready = on_output };
    program->timer.fire = on_timer;
}

bool helper_program_runs(const struct helper_program *program)
{
    return program->process.fd >= 0;
}

/* Takes what was started. On failure it is killed and reaped, for nobody will be told. */
static enum osa_code watch(struct helper_program *program, struct osa_error *err)
{
    struct osa_child_mark mark = { .pid = program->pid };
    (void)osa_child_mark_of(program->pid, &mark); /* not reaped, so it is there */
    program->process.fd = osa_child_open(&mark);
    enum osa_code code = OSA_OK;
    if (program->process.fd < 0)
        code = osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "a program cannot be watched");
    if (code == OSA_OK)
        code = osa_source_add(program->loop, &program->output, OSA_READ, err);
    if (code == OSA_OK)
        code = osa_source_add(program->loop, &program->process, OSA_READ, err);
    if (code == OSA_OK)
        return OSA_OK;
    (void)kill(program->pid, SIGKILL);
    (void)waitpid(program->pid, NULL, 0);
    close_all(program);
    return code;
}

enum osa_code helper_program_start(struct helper_program *program, const char *const *argv,
                                   const char *const *envp, const struct helper_limits *limits,
                                   struct osa_error *err)
{
    int ends[2];
    if (is_full(limits))
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "the disk has too little left");
    enum osa_code code = osa_pipe(ends, err);
    if (code != OSA_OK)
        return code;
    OSA_AUTO(osa_close_fd) int reading = ends[0];
    OSA_AUTO(osa_close_fd) int writing = ends[1];
    const struct osa_child_spec spec = { argv[0], argv, envp, writing };
    if ((code = osa_set_nonblocking(reading, true, err)) != OSA_OK ||
        (code = osa_child_start(&spec, &program->pid, err)) != OSA_OK)
        return code;
    program->limits = *limits;
    program->deadline_ns = osa_deadline_after(limits->time_ns);
    program->words[0] = '\0';
    program->text_len = 0;
    program->why = (struct osa_error){ 0 };
    program->output.fd = osa_take_fd(&reading);
    code = watch(program, err);
    if (code == OSA_OK)
        osa_timer_arm(program->loop, &program->timer, osa_deadline_after(LOOK_NS));
    return code;
}

void helper_program_kill(struct helper_program *program)
{
    if (helper_program_runs(program))
        kill_for(program, OSA_CANCELLED, "nobody waits for it");
}
