// SPDX-License-Identifier: Apache-2.0
/* Records of the kernel's audit that tell of Landlock, out of their text. Linux 6.15 and later. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of netlink messages, linux/audit.h; the last two are younger than some headers. */
enum {
    AUDIT_RECORD_SYSCALL = 1300,
    AUDIT_RECORD_EVENT_END = 1320,
    AUDIT_RECORD_LANDLOCK_ACCESS = 1423,
    AUDIT_RECORD_LANDLOCK_DOMAIN = 1424,
};

/**
 * struct audit_record - What one record tells; absent parts are 0 or empty
 * @event:     "SECONDS.MILLIS:SERIAL": equal for the records of one system call
 * @domain:    Landlock's number of the ruleset that refused, or that was put in force
 * @allocated: DOMAIN: it is new; @pid is then who put it in force
 * @pid:       SYSCALL: who called; as the initial pid namespace numbers it
 * @blockers:  ACCESS: what was refused, "fs.read_file" or several with commas
 * @object:    ACCESS: path, address and port, or process; UTF-8, "?" for bytes that are not
 */
struct audit_record {
    uint16_t type;
    char event[48];
    uint64_t domain;
    bool allocated;
    int32_t pid;
    char comm[32];
    char blockers[96];
    char object[160];
};

/**
 * audit_record_parse() - Read one record
 * @type, @body, @len: as given to netlink_fn; the text need not be terminated
 * Return: false for records of other types or without an event. Any thread.
 */
bool audit_record_parse(uint16_t type, const void *body, size_t len,
                        struct audit_record *ret_record);

/* Longest text of audit_denial_text(), NUL included. */
#define AUDIT_DENIAL_TEXT_MAX 448

/**
 * audit_denial_text() - Put an ACCESS into words, such as
 * "fs.read_file on /etc/shadow by pid 70 (cat): filesystem_policy.read_only would allow it"
 * @pid, @comm: of the SYSCALL record of the same event; 0 and "" when there is none
 * @ret: room for AUDIT_DENIAL_TEXT_MAX
 */
void audit_denial_text(const struct audit_record *access, int32_t pid, const char *comm, char *ret);
