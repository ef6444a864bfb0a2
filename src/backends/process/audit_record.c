// SPDX-License-Identifier: Apache-2.0
/*
 * A record is "audit(TIME:SERIAL): KEY=VALUE …". A value from a program stands in quotes, or as hex
 * without quotes when it has a quote, a blank or a byte outside of ASCII in it.
 */
#include "backends/process/audit_record.h"

#include "base/macros.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest record that is looked at; the kernel's own bound is 8970. */
#define RECORD_MAX 1024

/* The value of " @key=" in @text, up to the next blank. Return: false when it is not there. */
static bool find_value(const char *text, const char *key, const char **ret_value, size_t *ret_len)
{
    char wanted[24];
    (void)snprintf(wanted, sizeof(wanted), " %s=", key);
    const char *at = strstr(text, wanted);
    if (at == NULL)
        return false;
    at += strlen(wanted);
    *ret_value = at;
    *ret_len = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, " ");
    return *at != '"' || at[*ret_len - 1] == '"';
}

static uint64_t number(const char *text, const char *key, int base)
{
    const char *value;
    size_t len;
    return find_value(text, key, &value, &len) ? strtoull(value, NULL, base) : 0;
}

static void word(const char *text, const char *key, char *ret, size_t size)
{
    const char *value;
    size_t len;
    ret[0] = '\0';
    if (find_value(text, key, &value, &len))
        (void)snprintf(ret, size, "%.*s", (int)len, value);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Events are text: what is no well-formed UTF-8 becomes '?', and so does a NUL (abstract sockets). */
static void make_text(char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = text[i] == '\0' ? 0 : osa_utf8_length(text + i, len - i);
        if (step == 0)
            text[i] = '?';
        i += step == 0 ? 1 : step;
    }
}

/* A value that a program chose. */
static void untrusted(const char *text, const char *key, char *ret, size_t size)
{
    const char *value;
    size_t len;
    size_t used = 0;
    ret[0] = '\0';
    if (!find_value(text, key, &value, &len))
        return;
    bool quoted = value[0] == '"';
    for (size_t i = 0; !quoted && i + 1 < len && used + 1 < size; i += 2) {
        int high = hex_digit(value[i]);
        int low = hex_digit(value[i + 1]);
        if (high < 0 || low < 0)
            break;
        ret[used++] = (char)(high << 4 | low);
    }
    if (quoted) {
        used = OSA_MIN(len - 2, size - 1);
        memcpy(ret, value + 1, used);
    }
    make_text(ret, used);
    ret[used] = '\0';
}

static void find_object(const char *text, char *ret, size_t size)
{
    static const struct {
        const char *address;
        const char *port;
    } ends[] = { { "daddr", "dest" }, { "saddr", "src" } };
    char address[64];
    char comm[32];
    untrusted(text, "path", ret, size);
    if (ret[0] != '\0')
        return;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(ends); i++) {
        uint64_t port = number(text, ends[i].port, 10);
        word(text, ends[i].address, address, sizeof(address));
        if (address[0] != '\0' || port != 0) {
            (void)snprintf(ret, size, "%s port %llu", address, (unsigned long long)port);
            return;
        }
    }
    uint64_t pid = number(text, "opid", 10);
    untrusted(text, "ocomm", comm, sizeof(comm));
    if (pid != 0)
        (void)snprintf(ret, size, "pid %llu (%s)", (unsigned long long)pid, comm);
}

bool audit_record_parse(uint16_t type, const void *body, size_t len,
                        struct audit_record *ret_record)
{
    char text[RECORD_MAX];
    char status[16];
    static const char start[] = "audit(";
    if (type != AUDIT_RECORD_SYSCALL && type != AUDIT_RECORD_EVENT_END &&
        type != AUDIT_RECORD_LANDLOCK_ACCESS && type != AUDIT_RECORD_LANDLOCK_DOMAIN)
        return false;
    (void)snprintf(text, sizeof(text), "%.*s", (int)OSA_MIN(len, sizeof(text) - 1),
                   (const char *)body);
    size_t event =
        strncmp(text, start, strlen(start)) == 0 ? strcspn(text + strlen(start), ")") : 0;
    struct audit_record record = { .type = type };
    if (event == 0 || event >= sizeof(record.event))
        return false;
    memcpy(record.event, text + strlen(start), event);
    record.domain = number(text, "domain", 16);
    record.pid = (int32_t)number(text, "pid", 10);
    word(text, "status", status, sizeof(status));
    record.allocated = strcmp(status, "allocated") == 0;
    word(text, "blockers", record.blockers, sizeof(record.blockers));
    untrusted(text, "comm", record.comm, sizeof(record.comm));
    if (type == AUDIT_RECORD_LANDLOCK_ACCESS)
        find_object(text, record.object, sizeof(record.object));
    *ret_record = record;
    return true;
}

/* Every access that read_only does not give needs read_write. */
static bool is_reading(const char *blockers)
{
    for (const char *at = blockers; *at != '\0';) {
        size_t len = strcspn(at, ",");
        bool reads = (len == 12 && strncmp(at, "fs.read_file", len) == 0) ||
                     (len == 11 && strncmp(at, "fs.read_dir", len) == 0) ||
                     (len == 10 && strncmp(at, "fs.execute", len) == 0);
        if (!reads)
            return false;
        at += len + (at[len] == ',');
    }
    return true;
}

static const char *what_would_allow(const char *blockers)
{
    if (strncmp(blockers, "fs.", 3) == 0)
        return is_reading(blockers) ? "filesystem_policy.read_only would allow it"
                                    : "filesystem_policy.read_write would allow it";
    if (strncmp(blockers, "net.", 4) == 0)
        return "TCP is closed where the sandbox has no network of its own";
    return "nothing outside of the sandbox is in reach";
}

void audit_denial_text(const struct audit_record *access, int32_t pid, const char *comm, char *ret)
{
    char caller[64] = "";
    if (pid != 0)
        (void)snprintf(caller, sizeof(caller), " by pid %d (%s)", pid, comm);
    (void)snprintf(ret, AUDIT_DENIAL_TEXT_MAX, "%s on %s%s: %s", access->blockers,
                   access->object[0] != '\0' ? access->object : "?", caller,
                   what_would_allow(access->blockers));
}
