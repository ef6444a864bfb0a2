// SPDX-License-Identifier: Apache-2.0
#include "agent/ocsf.h"

#include "agent/agent_internal.h"
#include "agent/egress.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "egress/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 16384u
#define SCHEMA "1.8.0"

/* Numbers and names of OCSF. */
enum { NETWORK_ACTIVITY = 4001, HTTP_ACTIVITY = 4002, CATEGORY_NETWORK = 4 };
enum { SEVERITY_INFORMATIONAL = 1, SEVERITY_MEDIUM = 3, SEVERITY_HIGH = 4 };

struct ocsf {
    struct agent *agent;
    struct egress_watcher watcher;
    int fd;
    dev_t device; /* with inode: which file is written to */
    ino_t inode;
    uint64_t lost;
    char *path;
};

/* ---- the record's meaning ---- */

static bool is_http(const struct gate_record *record)
{
    return record->method[0] != '\0';
}

/* Activities of HTTP are its methods, with numbers of their own. */
static int http_activity(const char *method)
{
    static const char *const methods[] = { "CONNECT", "DELETE", "GET", "HEAD",
                                           "OPTIONS", "POST",   "PUT", "TRACE" };
    for (int i = 0; i < (int)OSA_ARRAY_LEN(methods); i++) {
        if (strcmp(method, methods[i]) == 0)
            return i + 1;
    }
    return 99;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Which part of the proxy decided, in the names of OpenShell's supervisor. */
static const char *engine_of(const struct gate_record *record)
{
    static const char *const of_destination[] = { "resolution",          "trusted-gateway",
                                                  "invalid-allowed-ips", "allowed-ips",
                                                  "declared-endpoint",   "internal-address" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(of_destination); i++) {
        if (strcmp(record->reason, of_destination[i]) == 0)
            return "ssrf";
    }
    if (begins(record->reason, "tls"))
        return "tls";
    if (begins(record->reason, "uninspected"))
        return "credentials";
    if (strcmp(record->reason, "http-parser") == 0)
        return "http-parser";
    return is_http(record) ? "l7" : "opa";
}

static int severity_of(const struct gate_record *record)
{
    const char *engine = engine_of(record);
    if (record->allowed)
        return SEVERITY_INFORMATIONAL;
    return strcmp(engine, "tls") == 0 || strcmp(engine, "credentials") == 0 ? SEVERITY_HIGH
                                                                            : SEVERITY_MEDIUM;
}

static const char *severity_name(int severity)
{
    return severity == SEVERITY_HIGH     ? "High"
           : severity == SEVERITY_MEDIUM ? "Medium"
                                         : "Informational";
}

/* ---- the line ---- */

static void text(struct osa_json *json, const char *key, const char *value)
{
    osa_json_key(json, key);
    osa_json_text(json, value);
}

static void number(struct osa_json *json, const char *key, int64_t value)
{
    osa_json_key(json, key);
    osa_json_i64(json, value);
}

static void open_member(struct osa_json *json, const char *key)
{
    osa_json_key(json, key);
    osa_json_open(json, '{');
}

static void add_class(struct osa_json *json, const struct gate_record *record)
{
    struct timeval now;
    bool http = is_http(record);
    int class = http ? HTTP_ACTIVITY : NETWORK_ACTIVITY;
    int activity = http ? http_activity(record->method) : record->allowed ? 1 : 5;
    int severity = severity_of(record);
    (void)gettimeofday(&now, NULL);
    number(json, "class_uid", class);
    text(json, "class_name", http ? "HTTP Activity" : "Network Activity");
    number(json, "category_uid", CATEGORY_NETWORK);
    text(json, "category_name", "Network Activity");
    number(json, "activity_id", activity);
    text(json, "activity_name", http ? record->method : record->allowed ? "Open" : "Refuse");
    number(json, "type_uid", (int64_t) class * 100 + activity);
    number(json, "time", (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000);
    number(json, "severity_id", severity);
    text(json, "severity", severity_name(severity));
    number(json, "status_id", record->allowed ? 1 : 2);
    text(json, "status", record->allowed ? "Success" : "Failure");
    number(json, "action_id", record->allowed ? 1 : 2);
    text(json, "action", record->allowed ? "Allowed" : "Denied");
    number(json, "disposition_id", record->allowed ? 1 : 2);
    text(json, "disposition", record->allowed ? "Allowed" : "Blocked");
}

static void add_metadata(struct osa_json *json, const struct sandbox *sandbox)
{
    open_member(json, "metadata");
    text(json, "version", SCHEMA);
    text(json, "uid", sandbox->id);
    open_member(json, "product");
    text(json, "name", "OpenShell Agent");
    text(json, "vendor_name", "OpenShell");
    text(json, "version", OSA_VERSION);
    osa_json_close(json, '}');
    osa_json_close(json, '}');
}

static void add_ends(struct osa_json *json, const struct gate_record *record)
{
    if (record->host[0] != '\0') {
        open_member(json, "dst_endpoint");
        text(json, "domain", record->host);
        if (record->port != 0)
            number(json, "port", record->port);
        osa_json_close(json, '}');
    }
    if (record->exe[0] == '\0')
        return;
    open_member(json, "actor");
    open_member(json, "process");
    text(json, "name", record->exe);
    number(json, "pid", record->pid);
    if (record->ancestor_count > 0) {
        open_member(json, "parent_process");
        text(json, "name", record->ancestors[0]);
        osa_json_close(json, '}');
    }
    osa_json_close(json, '}');
    osa_json_close(json, '}');
}

static void add_line(const struct sandbox *sandbox, const struct gate_record *record,
                     struct osa_buf *out)
{
    struct osa_json json;
    char url[1024];
    osa_json_init(&json, out, /* pretty= */ false);
    osa_json_open(&json, '{');
    add_class(&json, record);
    text(&json, "message", record->kind);
    if (record->reason[0] != '\0')
        text(&json, "status_code", record->reason);
    if (record->detail[0] != '\0')
        text(&json, "status_detail", record->detail);
    add_metadata(&json, sandbox);
    add_ends(&json, record);
    open_member(&json, "firewall_rule");
    text(&json, "name", record->rule[0] != '\0' ? record->rule : "-");
    text(&json, "type", engine_of(record));
    osa_json_close(&json, '}');
    if (is_http(record)) { /* without its query, which may hold secrets */
        (void)snprintf(url, sizeof(url), "%s%s", record->target, record->path);
        open_member(&json, "http_request");
        text(&json, "http_method", record->method);
        text(&json, "url", url);
        osa_json_close(&json, '}');
    }
    osa_json_close(&json, '}');
    (void)osa_buf_add(out, "\n", 1);
}

/* ---- the file ---- */

static int open_file(struct ocsf *ocsf)
{
    struct stat st;
    OSA_AUTO(osa_close_fd)
    int fd =
        open(ocsf->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    ocsf->device = st.st_dev;
    ocsf->inode = st.st_ino;
    osa_replace_fd(&ocsf->fd, osa_take_fd(&fd));
    return 0;
}

/* Whoever rotates it moves it away: then there is a new one. */
static void follow_rotation(struct ocsf *ocsf)
{
    struct stat st;
    if (stat(ocsf->path, &st) == 0 && st.st_dev == ocsf->device && st.st_ino == ocsf->inode)
        return;
    (void)open_file(ocsf); /* else the old one goes on */
}

static void on_decided(struct egress_watcher *watcher, const struct sandbox *sandbox,
                       const struct gate_record *record)
{
    struct ocsf *ocsf = OSA_CONTAINER_OF(watcher, struct ocsf, watcher);
    struct osa_buf line;
    osa_buf_init(&line, LINE_MAX_BYTES);
    add_line(sandbox, record, &line);
    follow_rotation(ocsf);
    bool written = !line.failed && write(ocsf->fd, line.data, line.len) == (ssize_t)line.len;
    osa_buf_done(&line);
    if (!written) {
        if (ocsf->lost++ == 0)
            osa_log(OSA_LOG_WARN, "agent", "OCSF events are lost: their file takes no more",
                    OSA_S("path", ocsf->path));
        return;
    }
    if (ocsf->lost > 0)
        osa_log(OSA_LOG_WARN, "agent", "the file of OCSF events takes them again",
                OSA_U("lost", ocsf->lost));
    ocsf->lost = 0;
}

enum osa_code ocsf_open(struct agent *agent, const char *path, struct ocsf **ret_ocsf,
                        struct osa_error *err)
{
    struct ocsf *ocsf = calloc(1, sizeof(*ocsf));
    char *copy = strdup(path);
    if (ocsf == NULL || copy == NULL)
        abort();
    *ocsf = (struct ocsf){ .agent = agent, .fd = -1, .path = copy };
    ocsf->watcher.decided = on_decided;
    int rc = open_file(ocsf);
    if (rc < 0) {
        enum osa_code code = osa_fail(err, OSA_FAILED_PRECONDITION, -rc,
                                      "ocsf-file: '%.200s' cannot be written", path);
        free(copy);
        free(ocsf);
        return code;
    }
    egress_watch(agent, &ocsf->watcher);
    *ret_ocsf = ocsf;
    return OSA_OK;
}

void ocsf_close(struct ocsf *ocsf)
{
    if (ocsf == NULL)
        return;
    egress_unwatch(ocsf->agent, &ocsf->watcher);
    osa_close_fd(&ocsf->fd);
    free(ocsf->path);
    free(ocsf);
}
