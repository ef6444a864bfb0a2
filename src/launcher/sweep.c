// SPDX-License-Identifier: Apache-2.0
#include "launcher/sweep.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct entry {
    pid_t pid;
    pid_t parent;
    char state;
    unsigned long long start; /* ticks since boot; with the pid it names a process for ever */
    enum where { UNKNOWN, INSIDE, OUTSIDE } where;
};

struct table {
    struct entry *entries; /* sorted by pid */
    size_t count;
    size_t size;
};

/* The name in parentheses may hold anything, parentheses included: fields count from the last ')'. */
static bool read_stat(pid_t pid, struct entry *ret)
{
    char path[32];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    const char *at = strrchr(text, ')');
    if (at == NULL)
        return false;
    int parent;
    char state;
    unsigned long long start;
    /* fields 3 state, 4 ppid, 22 starttime; proc(5) */
    if (sscanf(at + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &parent, &start) != 3)
        return false;
    *ret = (struct entry){ .pid = pid, .parent = parent, .state = state, .start = start };
    return true;
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct entry *)a)->pid;
    pid_t y = ((const struct entry *)b)->pid;
    return (x > y) - (x < y);
}

static int read_table(struct table *table)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return -errno;
    for (struct dirent *d; (d = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(d->d_name, &end, 10);
        struct entry entry;
        if (pid <= 0 || *end != '\0' || !read_stat((pid_t)pid, &entry))
            continue;
        if (table->count == table->size) {
            table->size = table->size == 0 ? 256 : table->size * 2;
            struct entry *grown = realloc(table->entries, table->size * sizeof(*grown));
            if (grown == NULL) {
                (void)closedir(proc);
                return -ENOMEM;
            }
            table->entries = grown;
        }
        table->entries[table->count++] = entry;
    }
    (void)closedir(proc);
    if (table->count > 0)
        qsort(table->entries, table->count, sizeof(*table->entries), by_pid);
    return 0;
}

static struct entry *find(const struct table *table, pid_t pid)
{
    struct entry key = { .pid = pid };
    if (table->count == 0)
        return NULL;
    return bsearch(&key, table->entries, table->count, sizeof(key), by_pid);
}

/*
 * Walk up from @entry until something known; then everything on the way is known, too. A number
 * reused while the table was read can make the parents a circle, hence the bound.
 */
static void classify(const struct table *table, struct entry *entry)
{
    struct entry *top = entry;
    for (size_t steps = 0; top != NULL && top->where == UNKNOWN; steps++)
        top = steps > table->count ? NULL : find(table, top->parent);
    enum where where = top == NULL ? OUTSIDE : top->where;
    for (; entry != NULL && entry->where == UNKNOWN; entry = find(table, entry->parent))
        entry->where = where;
}

static bool hit(const struct entry *entry, int signo)
{
    if (entry->state == 'Z' || entry->state == 'X')
        return false;
    if (signo == 0)
        return true;
    OSA_AUTO(osa_close_fd) int pidfd = (int)syscall(SYS_pidfd_open, entry->pid, 0);
    struct entry again;
    if (pidfd < 0 || !read_stat(entry->pid, &again) || again.start != entry->start)
        return false;
    (void)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
    return true;
}

static void free_table(const struct table *table)
{
    free(table->entries);
}

int sweep_descendants(pid_t root, int signo, const pid_t *except, size_t except_count)
{
    OSA_AUTO(free_table) struct table table = { 0 };
    int rc = read_table(&table);
    if (rc < 0)
        return rc;
    struct entry *top = find(&table, root);
    if (top == NULL)
        return 0;
    top->where = INSIDE;
    for (size_t i = 0; i < except_count; i++) {
        struct entry *other = find(&table, except[i]);
        if (other != NULL)
            other->where = OUTSIDE;
    }
    int seen = 0;
    for (size_t i = 0; i < table.count; i++) {
        struct entry *entry = &table.entries[i];
        classify(&table, entry);
        if (entry->where == INSIDE && entry->pid != root && hit(entry, signo))
            seen++;
    }
    return seen;
}
