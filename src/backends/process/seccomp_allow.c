// SPDX-License-Identifier: Apache-2.0
/*
 * The second half of a filter. Calls that the first half refuses by name do not get here, so that it
 * does not matter what is said about them: what passes then comes down to a handful of ranges of
 * numbers. The kernel translates the whole filter anew for each process that loads it, hence a few
 * dozen instructions in place of the four hundred that a comparison with each call takes.
 */
#include "backends/process/seccomp_internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define NUMBER_MAX 1023u
/* Jumps reach 255 instructions, and a range takes two. */
#define RANGE_MAX 100

struct range {
    uint32_t first;
    uint32_t end;
};

/* Numbers that have a row which does not say "absent". Return: number of ranges, or -errno. */
static int find_ranges(struct range ranges[RANGE_MAX])
{
    bool passes[NUMBER_MAX + 2] = { false };
    for (size_t i = 0; i < seccomp_call_count; i++) {
        int number = seccomp_call_number(&seccomp_calls[i]);
        if (number > (int)NUMBER_MAX)
            return -E2BIG;
        if (number >= 0)
            passes[number] = seccomp_calls[i].verdict != SECCOMP_CALL_ABSENT;
    }
    int count = 0;
    for (uint32_t number = 0; number <= NUMBER_MAX; number++) {
        if (!passes[number])
            continue;
        if (count == RANGE_MAX)
            return -E2BIG;
        ranges[count].first = number;
        while (passes[number])
            number++;
        ranges[count++].end = number;
    }
    return count;
}

static bool add(struct osa_buf *out, struct sock_filter instruction)
{
    return osa_buf_add(out, &instruction, sizeof(instruction));
}

/* Passes for these values of its first argument only: asking, and the ordinary ABI. */
static bool add_personality(struct osa_buf *out)
{
    int number = seccomp_syscall_resolve_name("personality");
    /* The low half; both architectures are little-endian. */
    const uint32_t argument = offsetof(struct seccomp_data, args);
    return add(out,
               (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 5)) &&
           add(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument)) &&
           add(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0)) &&
           add(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, 1, 0)) &&
           add(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS))) &&
           add(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ALLOW));
}

/* Ranges are sorted: whoever is below the first one that it has not passed is in none. */
static bool add_ranges(struct osa_buf *out, const struct range *ranges, int count)
{
    bool added = true;
    for (int i = 0; i < count && added; i++) {
        /* behind this jump: 2 (count - i) - 1 more, then ENOSYS, then ALLOW */
        uint8_t left = (uint8_t)(2 * (count - i) - 1);
        added = add(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ranges[i].first, 0,
                                                      left)) &&
                add(out, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ranges[i].end, 0,
                                                      left));
    }
    return added &&
           add(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS))) &&
           add(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ALLOW));
}

int seccomp_allow(struct osa_buf *out)
{
    struct range ranges[RANGE_MAX];
    int count = find_ranges(ranges);
    if (count < 0)
        return count;
    bool added = add(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                       offsetof(struct seccomp_data, nr))) &&
                 add_personality(out) && add_ranges(out, ranges, count);
    return added ? 0 : -ENOMEM;
}
