// SPDX-License-Identifier: Apache-2.0
/*
 * A quantity is mantissa × 2^twos × 10^tens with an integer mantissa of up to 128 bits, so that
 * no step of the way rounds; only at the end must it be a whole number that fits.
 */
#include "base/quantity.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Exponents beyond this are out of range for every mantissa that fits: saturate instead of overflow. */
#define EXPONENT_BOUND 400

__extension__ typedef unsigned __int128 wide;

struct scaled {
    wide mantissa;
    int tens;
    int twos;
};

struct suffix {
    const char *text;
    int tens;
    int twos;
};

static const struct suffix suffixes[] = {
    { "", 0, 0 },    { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },
    { "k", 3, 0 },   { "M", 6, 0 },   { "G", 9, 0 },   { "T", 12, 0 },
    { "P", 15, 0 },  { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
    { "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum osa_code refuse(struct osa_error *err, const char *text, const char *why)
{
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s' %s", text, why);
}

/* Digits with an optional point into @value. Return: the first character after them, NULL without
 * any digit or with more than 128 bits of them. Zeros at the end of a fraction cost nothing. */
static const char *scan_number(const char *p, struct scaled *value)
{
    const wide max = ~(wide)0;
    bool any = false;
    bool point = false;
    int pending = 0; /* zeros of the fraction not yet taken into the mantissa */
    for (; is_digit(*p) || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        if (point && *p == '0') {
            pending += pending < EXPONENT_BOUND;
            continue;
        }
        if (pending == EXPONENT_BOUND)
            return NULL;
        int shift = point ? pending + 1 : 1;
        unsigned digit = (unsigned)(*p - '0');
        for (int i = 0; i < shift && value->mantissa != 0; i++) {
            if (value->mantissa > (max - 9) / 10)
                return NULL;
            value->mantissa *= 10;
        }
        value->mantissa += digit;
        if (point)
            value->tens -= shift;
        pending = 0;
    }
    return any ? p : NULL;
}

/* "e3", "E-2": whole exponent. Return: false when @p is no exponent. */
static bool scan_exponent(const char *p, int *ret_exponent)
{
    if (*p != 'e' && *p != 'E')
        return false;
    p++;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (!is_digit(*p))
        return false;
    int exponent = 0;
    for (; is_digit(*p); p++)
        exponent = exponent < EXPONENT_BOUND ? exponent * 10 + (*p - '0') : exponent;
    *ret_exponent = negative ? -exponent : exponent;
    return *p == '\0';
}

/* The whole number that @value is. Return: 0, or -1 when it is none, or 1 when it is over INT64_MAX. */
static int settle(struct scaled value, uint64_t *ret_whole)
{
    if (value.mantissa == 0) {
        *ret_whole = 0;
        return 0;
    }
    for (; value.tens < 0; value.tens++) {
        if (value.mantissa % 10 == 0) {
            value.mantissa /= 10;
        } else if (value.twos > 0 && value.mantissa % 5 == 0) {
            value.mantissa /= 5;
            value.twos--;
        } else {
            return -1;
        }
    }
    for (; value.twos > 0 && value.mantissa <= INT64_MAX; value.twos--)
        value.mantissa *= 2;
    for (; value.tens > 0 && value.mantissa <= INT64_MAX; value.tens--)
        value.mantissa *= 10;
    if (value.mantissa > INT64_MAX)
        return 1;
    *ret_whole = (uint64_t)value.mantissa;
    return 0;
}

static enum osa_code refuse_suffix(struct osa_error *err, const char *text, const char *suffix)
{
    if (strcmp(suffix, "K") == 0 || strcmp(suffix, "KB") == 0 || strcmp(suffix, "kB") == 0)
        return refuse(err, text, "has an unknown suffix; write k for 1000 or Ki for 1024");
    return refuse(err, text,
                  "has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3");
}

/* @tens of the wanted unit: 3 for thousandths. @coarse says what is wrong with too fine a value. */
static enum osa_code parse(const char *text, int tens, const char *coarse, uint64_t *ret_value,
                           struct osa_error *err)
{
    struct scaled value = { .tens = tens };
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    const char *digits = p;
    p = scan_number(p, &value);
    if (p == NULL && is_digit(digits[*digits == '.']))
        return refuse(err, text, "has too many digits");
    if (p == NULL)
        return refuse(err, text, "is not a quantity; write a number such as 500m, 1.5 or 128Mi");

    int exponent = 0;
    if (scan_exponent(p, &exponent)) {
        value.tens += exponent;
    } else {
        size_t i = 0;
        while (i < OSA_ARRAY_LEN(suffixes) && strcmp(suffixes[i].text, p) != 0)
            i++;
        if (i == OSA_ARRAY_LEN(suffixes))
            return refuse_suffix(err, text, p);
        value.tens += suffixes[i].tens;
        value.twos = suffixes[i].twos;
    }
    if (negative && value.mantissa != 0)
        return refuse(err, text, "is negative");
    int fit = settle(value, ret_value);
    if (fit > 0)
        return refuse(err, text, "is too large");
    return fit == 0 ? OSA_OK : refuse(err, text, coarse);
}

enum osa_code osa_cpu_parse(const char *text, uint64_t *ret_millis, struct osa_error *err)
{
    return parse(text, 3, "is finer than 1m, a thousandth of a CPU", ret_millis, err);
}

enum osa_code osa_bytes_parse(const char *text, uint64_t *ret_bytes, struct osa_error *err)
{
    const char *coarse = "is not a whole number of bytes";
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == 'm')
        coarse = "is not a whole number of bytes; m is a thousandth, M or Mi a million";
    return parse(text, 0, coarse, ret_bytes, err);
}

enum osa_code osa_count_parse(const char *text, uint64_t *ret_count, struct osa_error *err)
{
    return parse(text, 0, "is not a whole number", ret_count, err);
}

static const struct unit {
    const char *text;
    uint64_t ns;
} units[] = {
    { "h", 3600 * OSA_NS_PER_SEC }, { "m", 60 * OSA_NS_PER_SEC }, { "s", OSA_NS_PER_SEC },
    { "ms", OSA_NS_PER_MS },        { "us", OSA_NS_PER_US },      { "ns", 1 },
};

static size_t find_unit(const char *p, size_t *ret_len)
{
    size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    size_t i = 0;
    while (i < OSA_ARRAY_LEN(units) &&
           (strlen(units[i].text) != len || strncmp(units[i].text, p, len) != 0))
        i++;
    *ret_len = len;
    return i;
}

enum osa_code osa_duration_parse(const char *text, int64_t *ret_ns, struct osa_error *err)
{
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return OSA_OK;
    }
    if (*text == '-')
        return refuse(err, text, "is negative");
    uint64_t total = 0;
    size_t allowed = 0; /* first unit that may still come */
    const char *p = text;
    do {
        struct scaled value = { 0 };
        p = scan_number(p, &value);
        if (p == NULL)
            return refuse(err, text, "is not a duration; write a number and a unit such as 10s");
        size_t len;
        size_t unit = find_unit(p, &len);
        if (len == 0 && *p == '\0')
            return refuse(err, text, "lacks a unit; write h, m, s, ms, us or ns after the number");
        if (unit == OSA_ARRAY_LEN(units))
            return refuse(err, text, "has an unknown unit; known are h, m, s, ms, us and ns");
        if (unit < allowed)
            return refuse(err, text, "has its units out of order; write the largest first");
        allowed = unit + 1;
        p += len;

        const wide max = ~(wide)0;
        if (value.mantissa > max / units[unit].ns)
            return refuse(err, text, "is too large");
        value.mantissa *= units[unit].ns;
        uint64_t part = 0;
        int fit = settle(value, &part);
        if (fit < 0)
            return refuse(err, text, "is finer than 1ns");
        if (fit > 0 || part > (uint64_t)INT64_MAX - total)
            return refuse(err, text, "is too large");
        total += part;
    } while (*p != '\0');
    *ret_ns = (int64_t)total;
    return OSA_OK;
}

void osa_cpu_format(uint64_t millis, char *ret_text)
{
    bool whole = millis % 1000 == 0;
    (void)snprintf(ret_text, OSA_QUANTITY_SIZE, "%" PRIu64 "%s", whole ? millis / 1000 : millis,
                   whole ? "" : "m");
}

void osa_bytes_format(uint64_t bytes, char *ret_text)
{
    static const char *const binary[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    static const char *const decimal[] = { "", "k", "M", "G", "T", "P", "E" };
    uint64_t by_1024 = bytes;
    uint64_t by_1000 = bytes;
    size_t power_1024 = 0;
    size_t power_1000 = 0;
    while (by_1024 != 0 && by_1024 % 1024 == 0 && power_1024 + 1 < OSA_ARRAY_LEN(binary)) {
        by_1024 /= 1024;
        power_1024++;
    }
    while (by_1000 != 0 && by_1000 % 1000 == 0 && power_1000 + 1 < OSA_ARRAY_LEN(decimal)) {
        by_1000 /= 1000;
        power_1000++;
    }
    if (by_1024 <= by_1000)
        (void)snprintf(ret_text, OSA_QUANTITY_SIZE, "%" PRIu64 "%s", by_1024, binary[power_1024]);
    else
        (void)snprintf(ret_text, OSA_QUANTITY_SIZE, "%" PRIu64 "%s", by_1000, decimal[power_1000]);
}

void osa_duration_format(int64_t ns, char *ret_text)
{
    size_t used = 0;
    ret_text[0] = '\0';
    if (ns <= 0) {
        (void)snprintf(ret_text, OSA_QUANTITY_SIZE, "0s");
        return;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(units); i++) {
        int64_t count = ns / (int64_t)units[i].ns;
        ns %= (int64_t)units[i].ns;
        if (count == 0)
            continue;
        int len = snprintf(ret_text + used, OSA_QUANTITY_SIZE - used, "%" PRId64 "%s", count,
                           units[i].text);
        used += len > 0 ? (size_t)len : 0;
    }
}
