// SPDX-License-Identifier: Apache-2.0
#include "egress/parent.h"

#include "base/base64.h"
#include "base/fd.h"
#include "egress/address.h"
#include "policy/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUTH_MAX_BYTES 4096u
#define RULES_MAX 256u

/* What is dialled directly. */
struct bypass {
    bool any;
    bool is_range;
    uint16_t port; /* 0: all */
    struct policy_range range;
    char name[TARGET_HOST_SIZE]; /* without dots in front; it and what is below it */
};

struct parent {
    struct target proxy;
    bool by_hostname;
    struct osa_buf authorization; /* owned; empty: none */
    size_t bypass_count;
    struct bypass *bypasses; /* owned */
};

/* ---- reading ---- */

static enum osa_code parse_proxy(const char *text, struct target *ret, struct osa_error *err)
{
    static const char scheme[] = "http://";
    const char *fault = "not http://HOST:PORT";
    if (strncasecmp(text, scheme, sizeof(scheme) - 1) == 0) {
        const char *authority = text + (sizeof(scheme) - 1);
        const struct head_span span = { authority, strlen(authority) };
        fault = target_parse(span, /* default_port= */ 0, ret);
    }
    if (fault == NULL)
        return OSA_OK;
    /* What is wrong may be a password in it. */
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                    "upstream-proxy: has to be http://HOST:PORT, without user, path or query: %s",
                    fault);
}

/* Takes ":PORT" off the end of @text. Return: false for a port that is none. */
static bool take_port(char *text, uint16_t *ret_port)
{
    char *colon = strrchr(text, ':');
    char *end = NULL;
    *ret_port = 0;
    if (colon == NULL || (strchr(text, ':') != colon && colon[-1] != ']'))
        return true; /* none; or an IPv6 address */
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port == 0 || port > UINT16_MAX)
        return false;
    *colon = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

static bool parse_bypass(char *text, struct bypass *ret)
{
    *ret = (struct bypass){ 0 };
    if (!take_port(text, &ret->port))
        return false;
    size_t len = strlen(text);
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        text++;
    }
    ret->any = strcmp(text, "*") == 0;
    ret->is_range = !ret->any && policy_range_parse(text, &ret->range);
    if (ret->any || ret->is_range)
        return true;
    if (strncmp(text, "*.", 2) == 0)
        text++;
    text += strspn(text, ".");
    len = strlen(text);
    if (len == 0 || len >= sizeof(ret->name) || strpbrk(text, "*/[]: \t") != NULL)
        return false;
    (void)snprintf(ret->name, sizeof(ret->name), "%s", text);
    return true;
}

static enum osa_code parse_bypasses(struct parent *parent, const char *text, struct osa_error *err)
{
    char entry[512];
    parent->bypasses = calloc(RULES_MAX, sizeof(*parent->bypasses));
    if (parent->bypasses == NULL)
        return osa_fail_errno(err, ENOMEM, "upstream-no-proxy");
    while (*text != '\0') {
        text += strspn(text, ", \t");
        size_t len = strcspn(text, ", \t");
        if (len == 0)
            break;
        (void)snprintf(entry, sizeof(entry), "%.*s", (int)OSA_MIN(len, sizeof(entry) - 1), text);
        if (parent->bypass_count == RULES_MAX || len >= sizeof(entry) ||
            !parse_bypass(entry, &parent->bypasses[parent->bypass_count]))
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "upstream-no-proxy: '%.*s' is not *, an address, ADDRESS/BITS or a "
                            "name, each with :PORT or without (%u at most)",
                            (int)OSA_MIN(len, (size_t)128), text, RULES_MAX);
        parent->bypass_count++;
        text += len;
    }
    return OSA_OK;
}

/* Return: length of the one line; 0 when it is none. */
static size_t check_line(char *text, size_t len)
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    text[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return 0;
    }
    const char *colon = strchr(text, ':');
    return colon != NULL && colon > text ? len : 0;
}

static enum osa_code read_auth(struct parent *parent, const char *path, struct osa_error *err)
{
    struct stat st;
    char text[AUTH_MAX_BYTES + 2];
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, errno,
                        "upstream-proxy-auth-file: '%.200s' cannot be read", path);
    ssize_t n = S_ISREG(st.st_mode) ? osa_read_full(fd, text, AUTH_MAX_BYTES + 1) : -EINVAL;
    size_t len = n > 0 && n <= (ssize_t)AUTH_MAX_BYTES ? check_line(text, (size_t)n) : 0;
    bool ok = len > 0 && osa_base64_add(&parent->authorization, text, len);
    osa_wipe(text, sizeof(text));
    if (ok)
        return OSA_OK;
    return osa_fail(
        err, OSA_INVALID_ARGUMENT, 0,
        "upstream-proxy-auth-file: '%.200s' is no regular file of at most %u bytes with "
        "one line user:password",
        path, AUTH_MAX_BYTES);
}

static enum osa_code check_company(const struct parent_config *config, struct osa_error *err)
{
    const char *lonely = config->no_proxy != NULL      ? "upstream-no-proxy"
                         : config->auth_file != NULL   ? "upstream-proxy-auth-file"
                         : config->auth_allow_insecure ? "upstream-proxy-auth-allow-insecure"
                         : config->by_hostname         ? "upstream-proxy-connect-by-hostname"
                                                       : NULL;
    if (config->proxy == NULL && lonely != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: means nothing without upstream-proxy",
                        lonely);
    if ((config->auth_file != NULL) != config->auth_allow_insecure)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "upstream-proxy-auth-file and upstream-proxy-auth-allow-insecure go "
                        "together: the password travels to the proxy in the clear");
    return OSA_OK;
}

enum osa_code parent_new(const struct parent_config *config, struct parent **ret,
                         struct osa_error *err)
{
    *ret = NULL;
    enum osa_code code = check_company(config, err);
    if (code != OSA_OK || config->proxy == NULL)
        return code;
    struct parent *parent = calloc(1, sizeof(*parent));
    if (parent == NULL)
        return osa_fail_errno(err, ENOMEM, "upstream-proxy");
    parent->by_hostname = config->by_hostname;
    osa_buf_init(&parent->authorization, AUTH_MAX_BYTES * 2);
    code = parse_proxy(config->proxy, &parent->proxy, err);
    if (code == OSA_OK && config->no_proxy != NULL)
        code = parse_bypasses(parent, config->no_proxy, err);
    if (code == OSA_OK && config->auth_file != NULL)
        code = read_auth(parent, config->auth_file, err);
    if (code != OSA_OK) {
        parent_free(parent);
        return code;
    }
    *ret = parent;
    return OSA_OK;
}

void parent_free(struct parent *parent)
{
    if (parent == NULL)
        return;
    if (parent->authorization.data != NULL)
        osa_wipe(parent->authorization.data, parent->authorization.size);
    osa_buf_done(&parent->authorization);
    free(parent->bypasses);
    free(parent);
}

const struct target *parent_proxy(const struct parent *parent)
{
    return &parent->proxy;
}

/* ---- using ---- */

/* The name itself, or one below it. */
static bool is_below(const char *host, const char *name)
{
    size_t host_len = strlen(host);
    size_t name_len = strlen(name);
    if (host_len > 0 && host[host_len - 1] == '.')
        host_len--;
    if (host_len < name_len || strncasecmp(host + host_len - name_len, name, name_len) != 0)
        return false;
    return host_len == name_len || host[host_len - name_len - 1] == '.';
}

static bool covers(const struct parent *parent, uint16_t port, const struct sockaddr_storage *from)
{
    struct policy_address address;
    if (!address_from(from, &address))
        return false;
    for (size_t i = 0; i < parent->bypass_count; i++) {
        const struct bypass *bypass = &parent->bypasses[i];
        if (bypass->is_range && (bypass->port == 0 || bypass->port == port) &&
            policy_range_has(&bypass->range, &address))
            return true;
    }
    return false;
}

bool parent_bypassed(const struct parent *parent, const struct target *target,
                     struct sockaddr_storage *addresses, size_t count, size_t *ret_count)
{
    for (size_t i = 0; i < parent->bypass_count; i++) {
        const struct bypass *bypass = &parent->bypasses[i];
        if (bypass->is_range || (bypass->port != 0 && bypass->port != target->port) ||
            !(bypass->any || is_below(target->host, bypass->name)))
            continue;
        *ret_count = count;
        return true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (covers(parent, target->port, &addresses[i]))
            addresses[kept++] = addresses[i];
    }
    if (kept > 0)
        *ret_count = kept;
    return kept > 0;
}

bool parent_request(const struct parent *parent, const struct target *target,
                    const struct sockaddr_storage *address, bool named, struct osa_buf *out)
{
    struct policy_address ip;
    struct target told = *target;
    char text[TARGET_TEXT_SIZE];
    if (!(named && parent->by_hostname) && address_from(address, &ip)) {
        (void)policy_address_text(&ip, told.host);
        told.is_ip = true;
    }
    (void)target_text(&told, text);
    bool ok = osa_buf_addf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", text, text);
    if (parent->authorization.len > 0)
        ok = osa_buf_addf(out, "Proxy-Authorization: Basic %s\r\n", parent->authorization.data) &&
             ok;
    return osa_buf_addf(out, "\r\n") && ok;
}
