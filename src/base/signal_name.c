// SPDX-License-Identifier: Apache-2.0
#include "base/signal_name.h"

#include "base/macros.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FIRST_REALTIME 34

/* Index is the number on x86, arm and riscv; MIPS and SPARC, which differ, are not supported. */
static const char *const names[] = {
    [1] = "HUP",   [2] = "INT",     [3] = "QUIT",  [4] = "ILL",     [5] = "TRAP",  [6] = "ABRT",
    [7] = "BUS",   [8] = "FPE",     [9] = "KILL",  [10] = "USR1",   [11] = "SEGV", [12] = "USR2",
    [13] = "PIPE", [14] = "ALRM",   [15] = "TERM", [16] = "STKFLT", [17] = "CHLD", [18] = "CONT",
    [19] = "STOP", [20] = "TSTP",   [21] = "TTIN", [22] = "TTOU",   [23] = "URG",  [24] = "XCPU",
    [25] = "XFSZ", [26] = "VTALRM", [27] = "PROF", [28] = "WINCH",  [29] = "IO",   [30] = "PWR",
    [31] = "SYS",
};

static const struct {
    const char *name;
    int signo;
} aliases[] = { { "CLD", 17 }, { "IOT", 6 }, { "POLL", 29 } };

/* At most two decimal digits without a leading zero, as any signal or distance has. */
static bool parse_number(const char *text, int *ret)
{
    size_t len = strlen(text);
    if (len == 0 || len > 2 || strspn(text, "0123456789") != len || (len == 2 && text[0] == '0'))
        return false;
    *ret = len == 1 ? text[0] - '0' : (text[0] - '0') * 10 + text[1] - '0';
    return true;
}

static bool parse_realtime(const char *text, int *ret_signo)
{
    bool from_min = strncasecmp(text, "RTMIN", 5) == 0;
    int distance = 0;
    if (!from_min && strncasecmp(text, "RTMAX", 5) != 0)
        return false;
    if (text[5] != '\0' &&
        (text[5] != (from_min ? '+' : '-') || !parse_number(text + 6, &distance)))
        return false;
    int signo = from_min ? FIRST_REALTIME + distance : OSA_SIGNAL_MAX - distance;
    if (signo < FIRST_REALTIME || signo > OSA_SIGNAL_MAX)
        return false;
    *ret_signo = signo;
    return true;
}

bool osa_signal_parse(const char *text, int *ret_signo)
{
    int number;
    if (parse_number(text, &number)) {
        if (number > OSA_SIGNAL_MAX)
            return false;
        *ret_signo = number;
        return true;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    if (parse_realtime(text, ret_signo))
        return true;
    for (size_t i = 1; i < OSA_ARRAY_LEN(names); i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *ret_signo = (int)i;
            return true;
        }
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(aliases); i++) {
        if (strcasecmp(text, aliases[i].name) == 0) {
            *ret_signo = aliases[i].signo;
            return true;
        }
    }
    return false;
}

void osa_signal_name(int signo, char *ret_name)
{
    if (signo == 0)
        ret_name[0] = '\0';
    else if (signo > 0 && signo < (int)OSA_ARRAY_LEN(names))
        (void)snprintf(ret_name, OSA_SIGNAL_NAME_SIZE, "SIG%s", names[signo]);
    else if (signo == OSA_SIGNAL_MAX)
        (void)snprintf(ret_name, OSA_SIGNAL_NAME_SIZE, "SIGRTMAX");
    else if (signo == FIRST_REALTIME)
        (void)snprintf(ret_name, OSA_SIGNAL_NAME_SIZE, "SIGRTMIN");
    else if (signo > FIRST_REALTIME && signo < OSA_SIGNAL_MAX)
        (void)snprintf(ret_name, OSA_SIGNAL_NAME_SIZE, "SIGRTMIN+%d", signo - FIRST_REALTIME);
    else
        (void)snprintf(ret_name, OSA_SIGNAL_NAME_SIZE, "%d", signo);
}
