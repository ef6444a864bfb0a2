// SPDX-License-Identifier: Apache-2.0
#include "cli/view.h"

#include "base/clock.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/wire.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void cli_enum_word(const ProtobufCEnumDescriptor *type, int value, const char *prefix, char *ret,
                   size_t size)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, value);
    const char *name = known != NULL ? known->name : "?";
    if (strncmp(name, prefix, strlen(prefix)) == 0)
        name += strlen(prefix);
    (void)snprintf(ret, size, "%s", name);
    for (char *p = ret; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
        else if (*p == '_')
            *p = ' ';
    }
}

const char *cli_runtime_word(API(RuntimeKind) kind)
{
    if (kind == API_VALUE(RUNTIME_KIND__RUNTIME_KIND_PROCESS))
        return "process";
    if (kind == API_VALUE(RUNTIME_KIND__RUNTIME_KIND_BOXLITE))
        return "boxlite";
    return kind == API_VALUE(RUNTIME_KIND__RUNTIME_KIND_UNSPECIFIED) ? "default" : "?";
}

const char *cli_level_word(API(IsolationLevel) level)
{
    static const char *const words[] = { "-", "restricted", "rootless", "full", "vm" };
    return (unsigned)level < OSA_ARRAY_LEN(words) ? words[level] : "?";
}

void cli_exit_text(const API(Exit) * exit, char *ret, size_t size)
{
    const char *core = exit->core_dumped ? " (core dumped)" : "";
    char name[32];
    (void)snprintf(name, sizeof(name), "signal %" PRId32, exit->signal);
    const char *signal_name =
        exit->signal_name != NULL && *exit->signal_name != '\0' ? exit->signal_name : name;
    switch (exit->reason) {
    case API_VALUE(EXIT__REASON__REASON_EXITED):
        (void)snprintf(ret, size, "exit %" PRId32, exit->code);
        break;
    case API_VALUE(EXIT__REASON__REASON_SIGNALED):
        (void)snprintf(ret, size, "killed by %s%s", signal_name, core);
        break;
    case API_VALUE(EXIT__REASON__REASON_TIMEOUT):
        (void)snprintf(ret, size, "timed out");
        break;
    case API_VALUE(EXIT__REASON__REASON_OOM_KILLED):
        (void)snprintf(ret, size, "out of memory");
        break;
    case API_VALUE(EXIT__REASON__REASON_SANDBOX_LOST):
        (void)snprintf(ret, size, "sandbox lost");
        break;
    default: /* a later agent may know more */
        (void)snprintf(ret, size, "ended");
    }
}

int cli_exit_status(const API(Exit) * exit)
{
    switch (exit->reason) {
    case API_VALUE(EXIT__REASON__REASON_EXITED):
        return exit->code & 0xff;
    case API_VALUE(EXIT__REASON__REASON_SIGNALED):
        return (CLI_SIGNAL_BASE + exit->signal) & 0xff;
    case API_VALUE(EXIT__REASON__REASON_TIMEOUT):
        return CLI_TIMED_OUT;
    case API_VALUE(EXIT__REASON__REASON_OOM_KILLED):
        return CLI_SIGNAL_BASE + SIGKILL;
    default:
        return CLI_NOT_RUN;
    }
}

void cli_resources_text(const API(Resources) * resources, char *ret, size_t size)
{
    char text[OSA_QUANTITY_SIZE];
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 512);
    if (resources != NULL && resources->cpu_millis != 0) {
        osa_cpu_format(resources->cpu_millis, text);
        (void)osa_buf_addf(&out, ", cpu %s", text);
    }
    if (resources != NULL && resources->memory_bytes != 0) {
        osa_bytes_format(resources->memory_bytes, text);
        (void)osa_buf_addf(&out, ", memory %s", text);
    }
    if (resources != NULL && resources->pids_max != 0)
        (void)osa_buf_addf(&out, ", pids %" PRIu64, resources->pids_max);
    if (resources != NULL && resources->disk_bytes != 0) {
        osa_bytes_format(resources->disk_bytes, text);
        (void)osa_buf_addf(&out, ", disk %s", text);
    }
    (void)snprintf(ret, size, "%s", out.len > 0 ? out.data + 2 : "-");
}

void cli_join(struct osa_buf *out, size_t count, char *const *items)
{
    if (count == 0)
        (void)osa_buf_addf(out, "none");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)osa_buf_addf(out, ", ");
        cli_text_escape(out, items[i]);
    }
}

static void add_list(struct osa_buf *out, const char *name, size_t count, char *const *items)
{
    (void)osa_buf_addf(out, "  %-16s", name);
    cli_join(out, count, items);
    (void)osa_buf_add(out, "\n", 1);
}

static void add_text(struct osa_buf *out, const char *name, const char *text)
{
    (void)osa_buf_addf(out, "  %-16s", name);
    cli_text_escape(out, text != NULL && *text != '\0' ? text : "none");
    (void)osa_buf_add(out, "\n", 1);
}

void cli_isolation_rows(struct osa_buf *out, const API(Isolation) * isolation)
{
    if (isolation == NULL)
        return;
    add_text(out, "level", cli_level_word(isolation->level));
    add_list(out, "namespaces", isolation->n_namespaces, isolation->namespaces);
    const API(LandlockStatus) *landlock = isolation->landlock;
    if (landlock != NULL && landlock->abi > 0)
        (void)osa_buf_addf(
            out, "  %-16sABI %" PRIu32 ", %" PRIu32 " rules applied, %" PRIu32 " skipped, %s\n",
            "landlock", landlock->abi, landlock->rules_applied, landlock->rules_skipped,
            strcmp(landlock->compatibility, "hard_requirement") == 0 ? "hard requirement"
                                                                     : "best effort");
    else
        add_text(out, "landlock", NULL);
    add_text(out, "seccomp", isolation->seccomp_profile);
    add_text(out, "no_new_privs", isolation->no_new_privs ? "yes" : "no");
    add_text(out, "capabilities", isolation->capabilities_dropped ? "none" : "kept");
    add_text(out, "network", isolation->network);
    (void)osa_buf_addf(out, "  %-16s", "cgroup");
    if (isolation->cgroup_version != 0)
        (void)osa_buf_addf(out, "v%" PRIu32 "\n", isolation->cgroup_version);
    else
        (void)osa_buf_addf(out, "none\n");
    add_list(out, "limits enforced", isolation->n_enforced_limits, isolation->enforced_limits);
    add_text(out, "tree kill", isolation->tree_kill);
    for (size_t i = 0; i < isolation->n_degraded; i++)
        add_text(out, "missing", isolation->degraded[i]);
}

void cli_age_text(const Google__Protobuf__Timestamp *at, char *ret_text)
{
    if (at == NULL)
        (void)snprintf(ret_text, CLI_TIME_SIZE, "-");
    else
        cli_span_text(osa_wall_ns() - cli_timestamp_ns(at), ret_text);
}
