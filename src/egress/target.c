// SPDX-License-Identifier: Apache-2.0
#include "egress/target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *parse_port(struct head_span text, uint16_t *ret)
{
    unsigned value = 0;
    if (text.len == 0 || text.len > 5)
        return "no port";
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return "a port that is no number";
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    if (value == 0 || value > 65535)
        return "a port that is not 1 to 65535";
    *ret = (uint16_t)value;
    return NULL;
}

/* The last label decides, as in the URL standard: all digits, or hexadecimal with 0x. */
static bool ends_in_number(const char *host)
{
    size_t len = strlen(host);
    if (len > 0 && host[len - 1] == '.')
        len--;
    size_t start = len;
    while (start > 0 && host[start - 1] != '.')
        start--;
    size_t count = len - start;
    const char *label = host + start;
    if (count >= 2 && label[0] == '0' && label[1] == 'x')
        return strspn(label + 2, "0123456789abcdef") >= count - 2;
    return count > 0 && strspn(label, "0123456789") >= count;
}

static const char *check_name(const char *host)
{
    size_t label = 0;
    size_t len = strlen(host);
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' && label == 0)
            return "a host name with an empty label";
        if (c != '.' && !usual)
            return "a host name with other characters than letters, digits, '-', '_' and '.'";
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return "a host name with a label of more than 63 characters";
    }
    if (len > 254)
        return "a host name of more than 253 characters";
    return ends_in_number(host) ? "a number in place of a host" : NULL;
}

static const char *parse_host(struct head_span text, struct target *ret)
{
    struct in_addr v4;
    if (text.len == 0)
        return "no host";
    if (text.len >= sizeof(ret->host))
        return "a host name of more than 253 characters";
    if (memchr(text.at, '\0', text.len) != NULL)
        return "a NUL in the host";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        ret->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    ret->host[text.len] = '\0';
    ret->is_ip = inet_pton(AF_INET, ret->host, &v4) == 1;
    return ret->is_ip ? NULL : check_name(ret->host);
}

static const char *parse_host6(struct head_span text, struct target *ret)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    if (text.len >= sizeof(address) || memchr(text.at, '\0', text.len) != NULL)
        return "a malformed IPv6 address";
    memcpy(address, text.at, text.len);
    address[text.len] = '\0';
    if (inet_pton(AF_INET6, address, &v6) != 1)
        return "a malformed IPv6 address";
    (void)inet_ntop(AF_INET6, &v6, ret->host, sizeof(ret->host));
    ret->is_ip = true;
    return NULL;
}

const char *target_parse(struct head_span text, uint16_t default_port, struct target *ret)
{
    const char *fault;
    const char *end = text.at + text.len;
    const char *after;
    *ret = (struct target){ .port = default_port };
    if (text.len > 0 && text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.len);
        if (close == NULL)
            return "a bracket that is not closed";
        fault = parse_host6((struct head_span){ text.at + 1, (size_t)(close - text.at) - 1 }, ret);
        after = close + 1;
    } else {
        const char *colon = text.len > 0 ? memchr(text.at, ':', text.len) : NULL;
        after = colon != NULL ? colon : end;
        fault = parse_host((struct head_span){ text.at, (size_t)(after - text.at) }, ret);
    }
    if (fault != NULL)
        return fault;
    if (after == end)
        return default_port != 0 ? NULL : "no port";
    if (*after != ':')
        return "text after the host";
    return parse_port((struct head_span){ after + 1, (size_t)(end - after) - 1 }, &ret->port);
}

const char *target_parse_absolute(struct head_span text, struct head_span *ret_scheme,
                                  struct target *ret, struct head_span *ret_path)
{
    const char *colon = memmem(text.at, text.len, "://", 3);
    if (colon == NULL || colon == text.at)
        return "a target that is no absolute URI";
    *ret_scheme = (struct head_span){ text.at, (size_t)(colon - text.at) };
    for (size_t i = 0; i < ret_scheme->len; i++) {
        char c = ret_scheme->at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (i > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))))
            return "a target that is no absolute URI";
    }
    if (memchr(text.at, '#', text.len) != NULL)
        return "a fragment in the target";
    if (!span_is(*ret_scheme, "http"))
        return NULL;
    const char *authority = colon + 3;
    const char *end = text.at + text.len;
    const char *path = authority;
    while (path < end && *path != '/' && *path != '?')
        path++;
    *ret_path = (struct head_span){ path, (size_t)(end - path) };
    return target_parse((struct head_span){ authority, (size_t)(path - authority) }, 80, ret);
}

bool target_same(const struct target *a, const struct target *b)
{
    size_t x = strlen(a->host);
    size_t y = strlen(b->host);
    x -= x > 0 && a->host[x - 1] == '.';
    y -= y > 0 && b->host[y - 1] == '.';
    return a->port == b->port && x == y && memcmp(a->host, b->host, x) == 0;
}

const char *target_text(const struct target *target, char text[TARGET_TEXT_SIZE])
{
    bool six = target->is_ip && strchr(target->host, ':') != NULL;
    (void)snprintf(text, TARGET_TEXT_SIZE, "%s%s%s:%u", six ? "[" : "", target->host,
                   six ? "]" : "", target->port);
    return text;
}

const char *target_host_field(const struct target *target, uint16_t default_port,
                              char text[TARGET_TEXT_SIZE])
{
    (void)target_text(target, text);
    if (target->port == default_port)
        *strrchr(text, ':') = '\0';
    return text;
}
