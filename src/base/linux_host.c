// SPDX-License-Identifier: Apache-2.0
#include "base/linux_host.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* An affinity mask for more CPUs than the static cpu_set_t holds; the kernel refuses short ones. */
#define CPUS_MAX 65536

static uint32_t count_cpus(void)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
    if (set == NULL)
        return 0;
    uint32_t count = 0;
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    if (sched_getaffinity(0, size, set) == 0)
        count = (uint32_t)CPU_COUNT_S(size, set);
    CPU_FREE(set);
    return count;
}

static uint64_t total_memory(void)
{
    OSA_AUTO(osa_free) char *text = NULL;
    uint64_t kib = 0;
    if (osa_read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL, NULL) != OSA_OK)
        return 0;
    const char *line = strstr(text, "MemTotal:");
    if (line != NULL)
        kib = strtoull(line + strlen("MemTotal:"), NULL, 10);
    return kib * 1024;
}

static bool has_kvm(void)
{
    OSA_AUTO(osa_close_fd) int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    return fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION;
}

void host_info_probe(struct host_info *ret_info)
{
    struct host_info info = { .cpus = count_cpus(),
                              .memory_bytes = total_memory(),
                              .kvm = has_kvm() };
    struct utsname name;
    if (uname(&name) == 0) {
        (void)snprintf(info.kernel, sizeof(info.kernel), "%s", name.release);
        (void)snprintf(info.machine, sizeof(info.machine), "%s", name.machine);
    }
    *ret_info = info;
}

static uint32_t count_descriptors(void)
{
    uint32_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count - 1; /* without the directory's own */
}

void host_self_probe(struct host_self *ret_self)
{
    struct rusage usage;
    struct rlimit limit;
    unsigned long long size = 0;
    unsigned long long resident = 0;
    *ret_self = (struct host_self){ .descriptors = count_descriptors() };
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret_self->cpu_ns =
            (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * OSA_NS_PER_SEC +
            (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * OSA_NS_PER_US;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        ret_self->descriptors_max = limit.rlim_cur;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%llu %llu", &size, &resident) == 2)
        ret_self->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
    (void)fclose(file);
}
