// SPDX-License-Identifier: Apache-2.0
/* How the agent of a box is told what to do: names and meanings are those of OpenShell's supervisor. */
#include "base/fd.h"
#include "base/json.h"
#include "base/quantity.h"
#include "base/trace.h"
#include "driver/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES ((size_t)16 << 20) /* far above what a spec can hold */
#define LAST_WORDS_BYTES 4096
#define LIST_MAX 48

/* argv or envp; text lives in an arena. */
struct list {
    struct osa_arena *arena;
    const char *items[LIST_MAX + 1];
    size_t count;
};

static void add(struct list *list, const char *text)
{
    if (list->count == LIST_MAX)
        abort();
    list->items[list->count++] = text;
}

static void add_flag(struct list *list, const char *flag, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    add(list, flag);
    add(list, osa_arena_strdup(list->arena, value));
}

static void add_variable(struct list *list, const char *name, const char *value)
{
    if (value != NULL)
        add(list, osa_arena_printf(list->arena, "%s=%s", name, value));
}

/* ---- what the main process is, as JSON ---- */

static const char *main_spec(struct osa_arena *arena, const struct driver_spec *spec)
{
    struct osa_buf text;
    struct osa_json json;
    osa_buf_init(&text, TEXT_BYTES);
    osa_json_init(&json, &text, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "version");
    osa_json_u64(&json, 1);
    osa_json_key(&json, "command");
    osa_json_open(&json, '[');
    for (size_t i = 0; i < spec->command_count; i++)
        osa_json_text(&json, spec->command[i]);
    osa_json_close(&json, ']');
    osa_json_key(&json, "tty");
    osa_json_bool(&json, spec->tty);
    osa_json_close(&json, '}');
    const char *copy = osa_arena_strdup(arena, text.data);
    osa_buf_done(&text);
    return copy;
}

/* The owner's variable of that name is meant, where there is one. */
/* Of two with one name the later holds; the owner's hold against the image's. */
static void add_image_variable(struct osa_json *json, const struct driver_spec *spec,
                               const char *const *pairs, size_t count)
{
    char key[256];
    const char *pair = pairs[0];
    size_t len = strcspn(pair, "=");
    if (len >= sizeof(key))
        return; /* no owner could name it */
    memcpy(key, pair, len);
    key[len] = '\0';
    for (size_t i = 0; i < spec->env_count; i++) {
        if (strcmp(spec->env[i].key, key) == 0)
            return;
    }
    for (size_t i = 1; i < count; i++) {
        if (strncmp(pairs[i], key, len) == 0 && pairs[i][len] == '=')
            return;
    }
    osa_json_key(json, key);
    osa_json_text(json, pair + len + 1);
}

static const char *user_environment(struct osa_arena *arena, const struct box *box)
{
    const struct driver_spec *spec = box->spec;
    struct osa_buf text;
    struct osa_json json;
    osa_buf_init(&text, TEXT_BYTES);
    osa_json_init(&json, &text, /* pretty= */ false);
    osa_json_open(&json, '{');
    for (size_t i = 0; i < box->image.env_count; i++)
        add_image_variable(&json, spec, box->image.env + i, box->image.env_count - i);
    for (size_t i = 0; i < spec->env_count; i++) {
        osa_json_key(&json, spec->env[i].key);
        osa_json_text(&json, spec->env[i].value);
    }
    osa_json_close(&json, '}');
    const char *copy = osa_arena_strdup(arena, text.data);
    osa_buf_done(&text);
    return copy;
}

/* ---- argv and environment ---- */

static void add_limits(struct list *argv, const struct resources *limits)
{
    char text[OSA_QUANTITY_SIZE];
    if (limits->cpu_millis != 0) {
        osa_cpu_format(limits->cpu_millis, text);
        add_flag(argv, "--cpu", text);
    }
    if (limits->memory_bytes != 0) {
        osa_bytes_format(limits->memory_bytes, text);
        add_flag(argv, "--memory", text);
    }
    if (limits->disk_bytes != 0) {
        osa_bytes_format(limits->disk_bytes, text);
        add_flag(argv, "--disk", text);
    }
    if (limits->pids_max != 0) {
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)limits->pids_max);
        add_flag(argv, "--pids", text);
    }
}

/* Root and working directory of the kinds and images there are. */
static void add_root(struct list *argv, const struct box *box)
{
    const struct driver_spec *spec = box->spec;
    const char *workdir = box->image.workdir;
    char path[PATH_MAX];
    if (box_has_image(box)) {
        bool process = box->record.runtime == RUNTIME_KIND_PROCESS;
        images_path(box->driver->images, box->image.digest, process ? "root" : "layout", path);
        add_flag(argv, process ? "--root" : "--image", path);
        store_path(box->driver->store, box->id, "changes", path);
        if (process && !spec->discard_changes)
            add_flag(argv, "--root-changes", path);
        if (workdir[0] == '\0' || strcmp(workdir, "/") == 0)
            workdir = "/sandbox"; /* as OpenShell's own images have it */
    } else {
        if (!image_is_host(spec->image))
            add_flag(argv, "--image", spec->image);
        store_work_path(box->driver->store, box->id, path);
        workdir = path;
    }
    add_flag(argv, "--workdir", spec->workdir[0] != '\0' ? spec->workdir : workdir);
}

static void fill_argv(struct list *argv, const struct box *box, const char *state_dir)
{
    const struct driver_spec *spec = box->spec;
    add(argv, box->driver->config->agent);
    add(argv, "sandbox");
    add_flag(argv, "--listen", osa_arena_printf(argv->arena, "unix:%s", box->link.socket));
    add_flag(argv, "--run-file", box->link.run_file);
    add_flag(argv, "--state-dir", state_dir);
    add_flag(argv, "--runtime", spec_runtime_name(box->record.runtime));
    add_root(argv, box);
    add_limits(argv, &spec->limits);
    add_flag(argv, "--seccomp-profile", spec->seccomp_profile);
    add_flag(argv, "--min-isolation", spec->min_isolation);
}

/* An image says who runs in it, unless that is root; on the host's root the driver does. */
static void add_identity(struct list *envp, const struct box *box)
{
    if (!box_has_image(box) || box->record.runtime != RUNTIME_KIND_PROCESS || geteuid() != 0) {
        add(envp, osa_arena_printf(envp->arena, "OPENSHELL_SANDBOX_UID=%u", box->driver->uid));
        add(envp, osa_arena_printf(envp->arena, "OPENSHELL_SANDBOX_GID=%u", box->driver->gid));
        return;
    }
    add_variable(envp, "OPENSHELL_OCI_IMAGE_USER",
                 user_is_root(box->image.user) ? "" : box->image.user);
}

static void fill_environment(struct list *envp, const struct box *box)
{
    const struct driver_config *config = box->driver->config;
    const struct driver_spec *spec = box->spec;
    char token[PATH_MAX];
    store_path(box->driver->store, box->id, "token", token);
    add(envp, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add_variable(envp, "OPENSHELL_ENDPOINT", config->endpoint);
    add_variable(envp, "OPENSHELL_SANDBOX_ID", box->id);
    add_variable(envp, "OPENSHELL_SANDBOX", spec->name);
    add_variable(envp, "OPENSHELL_SANDBOX_TOKEN_FILE", token);
    add_variable(envp, "OPENSHELL_TLS_CA", config->tls_ca);
    add_variable(envp, "OPENSHELL_TLS_CERT", config->tls_cert);
    add_variable(envp, "OPENSHELL_TLS_KEY", config->tls_key);
    add_variable(envp, "OPENSHELL_GATEWAY_TLS_SERVER_NAME", config->tls_server_name);
    add_variable(envp, "OPENSHELL_LOG_LEVEL",
                 spec->log_level[0] != '\0' ? spec->log_level : config->agent_log_level);
    const struct osa_trace *trace = osa_trace_current();
    add_variable(envp, "TRACEPARENT", trace != NULL ? trace->parent : NULL);
    add_variable(envp, "TRACESTATE", trace != NULL ? trace->state : NULL);
    add_variable(envp, "OPENSHELL_MAIN_PROCESS_SPEC", main_spec(envp->arena, spec));
    add_variable(envp, "OPENSHELL_USER_ENVIRONMENT", user_environment(envp->arena, box));
    add_identity(envp, box);
}

/* ---- log ---- */

/* The two halves of an overlay; there already after the first start. */
static enum osa_code make_changes(const struct box *box, struct osa_error *err)
{
    static const char *const names[] = { "changes", "changes/upper", "changes/work" };
    char path[PATH_MAX];
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        store_path(box->driver->store, box->id, names[i], path);
        if (mkdir(path, i == 1 ? 0755 : 0700) < 0 && errno != EEXIST)
            return osa_fail_errno(err, errno, "'%s' cannot be made", path);
    }
    return OSA_OK;
}

static int open_log(const struct box *box)
{
    char path[PATH_MAX];
    char old[PATH_MAX];
    store_path(box->driver->store, box->id, "log", path);
    store_path(box->driver->store, box->id, "log.1", old);
    (void)rename(path, old);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Is it a record of less than an error? What fails at last is an error, or no record at all. */
static bool is_lesser(const char *line)
{
    static const char *const levels[] = { " debug ", " info ", " warn " };
    const char *level = strchr(line, ' ');
    for (size_t i = 0; level != NULL && i < OSA_ARRAY_LEN(levels); i++) {
        if (strncmp(level, levels[i], strlen(levels[i])) == 0)
            return true;
    }
    return false;
}

/* The last line that tells of an error, for what ends with it may warn of more; else the last one. */
static const char *telling_line(char *lines)
{
    const char *told = NULL;
    const char *last = lines;
    char *rest = lines;
    for (char *line; (line = strsep(&rest, "\n")) != NULL; last = line) {
        if (!is_lesser(line))
            told = line;
    }
    return told != NULL ? told : last;
}

void launch_last_words(const struct box *box, char *ret_text, size_t size)
{
    char path[PATH_MAX];
    char tail[LAST_WORDS_BYTES + 1];
    store_path(box->driver->store, box->id, "log", path);
    ret_text[0] = '\0';
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (end <= 0)
        return;
    off_t from = end > LAST_WORDS_BYTES ? end - LAST_WORDS_BYTES : 0;
    ssize_t len = pread(fd, tail, LAST_WORDS_BYTES, from);
    while (len > 0 && (tail[len - 1] == '\n' || tail[len - 1] == '\0'))
        len--;
    if (len <= 0)
        return;
    tail[len] = '\0';
    const char *line = telling_line(tail);
    /* What an agent logs is printable and UTF-8, but a cut may have gone through a character. */
    size_t out = 0;
    for (size_t i = 0; line[i] != '\0' && out + 1 < size; i++) {
        if ((unsigned char)line[i] >= 0x20 && (unsigned char)line[i] < 0x7f)
            ret_text[out++] = line[i];
    }
    ret_text[out] = '\0';
}

/* ---- start ---- */

void launch_tell_placement(struct box *box)
{
    char scheduled[384];
    (void)snprintf(scheduled, sizeof(scheduled), "runtime %s, by %s",
                   spec_runtime_name(box->record.runtime), box->record.placement);
    const struct watch_event events[] = {
        { "Normal", "Scheduled", scheduled, "requesting_sandbox", "pulling_image", NULL },
        { "Normal", "ImagePresent",
          strcmp(box->spec->image, "host") == 0 ? "the host's root" : box->spec->image,
          "pulling_image", "starting_sandbox", NULL },
    };
    watch_event(box, &events[0]);
    if (!box_has_image(box))
        watch_event(box, &events[1]);
}

enum osa_code launch_agent(struct box *box, struct osa_error *err)
{
    static const struct watch_event created = {
        "Normal", "Created", "its agent is started", NULL, "starting_sandbox", NULL
    };
    struct osa_arena arena = { 0 };
    struct list argv = { .arena = &arena };
    struct list envp = { .arena = &arena };
    char state_dir[PATH_MAX];
    box->record.starts++;
    if (store_update(box->driver->store, box->id, &box->record, /* durable= */ false, err) !=
        OSA_OK)
        return err->code;
    if (box_has_image(box) && make_changes(box, err) != OSA_OK)
        return err->code;
    OSA_AUTO(osa_close_fd) int log_fd = open_log(box);
    if (log_fd < 0)
        return osa_fail_errno(err, errno, "log of the agent");
    store_path(box->driver->store, box->id, "state", state_dir);
    fill_argv(&argv, box, state_dir);
    fill_environment(&envp, box);
    const struct osa_child_spec spec = { argv.items[0], argv.items, envp.items, log_fd };
    enum osa_code code = agent_link_start(&box->link, &spec, err);
    osa_arena_done(&arena);
    if (code == OSA_OK)
        watch_event(box, &created);
    return code;
}
