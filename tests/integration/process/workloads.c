// SPDX-License-Identifier: Apache-2.0
/*
 * What people really run, under the "default" filter (and the simplest of it under "strict"). Each
 * script runs in a directory of its own; a tool that this machine lacks is listed, not failed. A
 * script that fails with the filter is run without it, so that the message says whose fault it is.
 */
#include "integration/process/seccomp_load.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char base[] = "/tmp/osa-workloads-XXXXXX";
static int missing;

static const struct workload {
    const char *tool;
    const char *script;
    enum seccomp_profile strictest; /* STRICT: runs under both */
} workloads[] = {
    { "bash",
      "bash -c 'x=$(seq 3 | tac | tr -d \"\\n\"); (sleep 0 & wait); mkfifo f && (cat f >o & echo "
      "$x >f;"
      " wait) && [ $(<o) = 321 ]'",
      SECCOMP_PROFILE_STRICT },
    { "tar",
      "mkdir d && echo a >d/a && ln d/a d/b && ln -s a d/c && chmod 640 d/a && touch -d @1 d/a &&"
      " tar cf - d | (mkdir x && tar xf - -C x) && ls -laR x >l && sort l | head -2 && stat d/a &&"
      " cp -a d e && mv e f && dd if=/dev/zero of=z bs=4096 count=4 2>/dev/null && df . && du -s . "
      "&&"
      " timeout 5 true && nice true && id && date && env && rm -r d f x",
      SECCOMP_PROFILE_STRICT },
    { "git",
      "git init -q r && cd r && echo 1 >f && git add f && git -c user.name=a -c user.email=a@b.c"
      " commit -qm 1 && git gc -q && git clone -q . ../s && git log --oneline | grep -q 1",
      SECCOMP_PROFILE_STRICT },
    { "python3",
      "python3 -m venv v && v/bin/python -c 'import ssl, sqlite3, subprocess, threading,"
      " multiprocessing as m; subprocess.run([\"true\"], check=True); p = m.Pool(2);"
      " print(p.map(abs, [-1, 2]))' && v/bin/pip --version && v/bin/pip list",
      SECCOMP_PROFILE_DEFAULT },
    { "node",
      "node -e 'const w = require(\"worker_threads\"), c = require(\"child_process\"),"
      " f = require(\"fs\"); f.promises.writeFile(\"a\", \"b\").then(() => { if"
      " (c.execFileSync(\"cat\", [\"a\"]) != \"b\") process.exit(1); new w.Worker(\"1\", {eval:"
      " true}).on(\"exit\", x => process.exit(x)) })'",
      SECCOMP_PROFILE_DEFAULT },
    { "npm",
      "npm init -y >/dev/null && npm pkg set scripts.a='echo ran' && npm run -s a | grep ran",
      SECCOMP_PROFILE_DEFAULT },
    { "gcc",
      "printf '#include <stdio.h>\\nint main(void){puts(\"hi\");}' >a.c && gcc -O2 -g -pipe a.c -o "
      "a"
      " && ./a | grep hi",
      SECCOMP_PROFILE_STRICT },
    { "go",
      "printf 'package main\\nimport (\"fmt\";\"os/exec\")\\nfunc main() { c := make(chan int); go"
      " func() { c <- 1 }(); <-c; if exec.Command(\"true\").Run() != nil { panic(1) };"
      " fmt.Println(\"hi\") }\\n' >a.go && GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE=$PWD/c go "
      "build"
      " -o a a.go && ./a | grep hi",
      SECCOMP_PROFILE_DEFAULT },
    { "rustc",
      "echo 'fn main() { std::thread::spawn(|| ()).join().unwrap(); assert!(std::process::Command"
      "::new(\"true\").status().unwrap().success()); println!(\"hi\"); }' >a.rs && rustc a.rs &&"
      " ./a | grep hi",
      SECCOMP_PROFILE_DEFAULT },
    { "java", "java -version && java -Xshare:auto -XX:+UseG1GC -Xmx64m -version",
      SECCOMP_PROFILE_DEFAULT },
};

/* Return: exit status of the script; output goes to the file "log" in its directory. */
static int run(const char *script, const struct osa_buf *filter)
{
    pid_t pid = fork();
    if (pid == 0) {
        char dir[] = "work-XXXXXX";
        if (chdir(base) != 0 || mkdtemp(dir) == NULL || chdir(dir) != 0)
            _exit(126);
        int log = open("../log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(126);
        if (filter != NULL && filter_load(filter) != 0)
            _exit(125);
        execl("/bin/sh", "sh", "-ec", script, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_one(const struct workload *workload, enum seccomp_profile profile)
{
    struct osa_buf filter;
    filter_make(profile, /* inet= */ true, &filter);
    int status = run(workload->script, &filter);
    if (status != 0) {
        fprintf(stderr, "%s under %s:\n", workload->tool, seccomp_profile_name(profile));
        char show[64];
        (void)snprintf(show, sizeof(show), "tail -n 20 %s/log >&2", base);
        (void)run(show, NULL);
        int control = run(workload->script, NULL);
        fail_msg("%s under %s: status %d; without a filter: %d", workload->tool,
                 seccomp_profile_name(profile), status, control);
    }
    osa_buf_done(&filter);
}

static void test_workloads(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(workloads); i++) {
        char check[96];
        (void)snprintf(check, sizeof(check), "command -v %s", workloads[i].tool);
        if (run(check, NULL) != 0) {
            printf("not here: %s\n", workloads[i].tool);
            missing++;
            continue;
        }
        run_one(&workloads[i], SECCOMP_PROFILE_DEFAULT);
        if (workloads[i].strictest == SECCOMP_PROFILE_STRICT)
            run_one(&workloads[i], SECCOMP_PROFILE_STRICT);
    }
    assert_true(missing < (int)OSA_ARRAY_LEN(workloads) - 2); /* bash and tar are everywhere */
}

int main(void)
{
    if (mkdtemp(base) == NULL)
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_workloads) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char clean[64];
    (void)snprintf(clean, sizeof(clean), "rm -rf %s", base);
    (void)run(clean, NULL);
    return failed;
}
