// SPDX-License-Identifier: Apache-2.0
#include "cli/time_text.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* "", ".123", ".123456" or ".123456789", the shortest that is exact. */
static void fraction(uint32_t nanos, char text[16])
{
    if (nanos == 0)
        text[0] = '\0';
    else if (nanos % 1000000 == 0)
        (void)snprintf(text, 16, ".%03" PRIu32, nanos / 1000000);
    else if (nanos % 1000 == 0)
        (void)snprintf(text, 16, ".%06" PRIu32, nanos / 1000);
    else
        (void)snprintf(text, 16, ".%09" PRIu32, nanos);
}

void cli_duration_json(int64_t seconds, int32_t nanos, char *ret_text)
{
    char part[16];
    int64_t magnitude = seconds < 0 ? -(seconds + 1) : seconds; /* -(-2^63) would overflow */
    uint64_t whole = (uint64_t)magnitude + (seconds < 0);
    fraction((uint32_t)labs((long)nanos), part);
    (void)snprintf(ret_text, CLI_TIME_SIZE, "%s%" PRIu64 "%ss", seconds < 0 || nanos < 0 ? "-" : "",
                   whole, part);
}

void cli_timestamp_text(int64_t seconds, int32_t nanos, char *ret_text)
{
    char part[16];
    struct tm tm;
    time_t when = (time_t)seconds;
    /* 0001-01-01 and 9999-12-31, the bounds of google.protobuf.Timestamp. */
    if (seconds < -62135596800 || seconds > 253402300799 || gmtime_r(&when, &tm) == NULL) {
        ret_text[0] = '\0';
        return;
    }
    fraction(nanos > 0 ? (uint32_t)nanos : 0, part);
    (void)snprintf(ret_text, CLI_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, part);
}

void cli_span_text(int64_t ns, char *ret_text)
{
    int64_t s = ns / OSA_NS_PER_SEC;
    if (ns < 0)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "0s");
    else if (ns < OSA_NS_PER_SEC)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRId64 "ms", (int64_t)(ns / OSA_NS_PER_MS));
    else if (s < 60)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRId64 ".%" PRId64 "s", s,
                       (int64_t)(ns / (OSA_NS_PER_SEC / 10) % 10));
    else if (s < 3600)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRId64 "m%" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRId64 "h%" PRId64 "m", s / 3600,
                       s % 3600 / 60);
    else
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRId64 "d%" PRId64 "h", s / 86400,
                       s % 86400 / 3600);
}

void cli_bytes_text(uint64_t bytes, char *ret_text)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    size_t unit = 0;
    double amount = (double)bytes;
    while (amount >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        amount /= 1024;
        unit++;
    }
    if (unit == 0)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%" PRIu64 "%s", bytes, bytes == 0 ? "" : "B");
    else
        (void)snprintf(ret_text, CLI_TIME_SIZE, "%.1f%s", amount, units[unit]);
}
