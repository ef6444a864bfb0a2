// SPDX-License-Identifier: Apache-2.0
/* What runs in the sandbox, and the environment that it has. */
#include "agent/gateway/gateway.h"

#include "base/log.h"
#include "io/json_value.h"
#include "policy/provider.h"

#include <stdio.h>
#include <string.h>

#define SPEC_VARIABLE "OPENSHELL_MAIN_PROCESS_SPEC"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define ENV_MAX 1024
#define PROVIDED_VALUE_BYTES 131072 /* the kernel takes no longer string (execve(2)) */
#define ENV_INHERITED 512
#define ENV_ROOM (ENV_INHERITED + ENV_MAX + PROVIDER_KEYS_MAX + 8) /* and ours */

/* ---- the main process ---- */

ptrdiff_t workload_base64url(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0;
    unsigned have = 0;
    ptrdiff_t len = 0;
    for (; *text != '\0'; text++) {
        const char *digit = strchr(digits, *text);
        if (digit == NULL)
            return -1;
        bits = (bits << 6 | (unsigned)(digit - digits)) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have & 0xff);
        }
    }
    return have == 6 ? -1 : len;
}

static enum osa_code read_command(struct gateway *gateway, const struct json_t *command,
                                  struct osa_error *err)
{
    struct main_spec *spec = &gateway->main_spec;
    size_t count = io_json_count(command);
    spec->argv = osa_arena_alloc(&gateway->arena, (count + 1) * sizeof(*spec->argv));
    for (size_t i = 0; i < count; i++) {
        const char *word = io_json_string(io_json_element(command, i));
        if (word == NULL)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            SPEC_VARIABLE ": command[%zu] is no string without NUL", i);
        spec->argv[i] = osa_arena_strdup(&gateway->arena, word);
    }
    spec->argc = count;
    if (count == 0 || spec->argv[0][0] == '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        SPEC_VARIABLE ": command must be a list that begins with a program");
    return OSA_OK;
}

static enum osa_code parse_spec(struct gateway *gateway, const char *text, size_t len,
                                struct osa_error *err)
{
    struct json_t *json = NULL;
    int64_t version = 0;
    if (io_json_parse(text, len, &json, err) != OSA_OK)
        return osa_wrap(err, SPEC_VARIABLE);
    enum osa_code code = OSA_OK;
    if (!io_json_integer(json, "version", &version) || version != 1)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0, SPEC_VARIABLE ": version must be 1");
    else if (io_json_kind(io_json_member(json, "tty")) != IO_JSON_BOOL)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0, SPEC_VARIABLE ": tty must be true or false");
    else
        code = read_command(gateway, io_json_member(json, "command"), err);
    gateway->main_spec.tty = io_json_true(json, "tty");
    io_json_free(json);
    return code;
}

enum osa_code workload_main_spec(struct gateway *gateway, struct osa_error *err)
{
    static const char *shell[] = { "/bin/bash", "-l", NULL };
    static const char prefix[] = "base64url:";
    const struct gateway_config *config = gateway->config;
    struct main_spec *spec = &gateway->main_spec;
    if (config->command_count > 0) {
        spec->argc = config->command_count;
        spec->tty = config->interactive;
        spec->argv = osa_arena_alloc(&gateway->arena, (spec->argc + 1) * sizeof(*spec->argv));
        for (size_t i = 0; i < spec->argc; i++)
            spec->argv[i] = config->command[i];
        return OSA_OK;
    }
    if (config->main_spec == NULL) {
        *spec = (struct main_spec){ shell, 2, true };
        return OSA_OK;
    }
    if (strncmp(config->main_spec, prefix, sizeof(prefix) - 1) != 0)
        return parse_spec(gateway, config->main_spec, strlen(config->main_spec), err);
    char *text = osa_arena_alloc(&gateway->arena, strlen(config->main_spec));
    ptrdiff_t len = workload_base64url(config->main_spec + sizeof(prefix) - 1, text);
    if (len < 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        SPEC_VARIABLE ": is not base64url without padding");
    return parse_spec(gateway, text, (size_t)len, err);
}

int workload_status(const struct process_exit *exit)
{
    switch (exit->reason) {
    case EXIT_REASON_EXITED:
        return exit->code;
    case EXIT_REASON_TIMEOUT:
        return 124;
    case EXIT_REASON_NONE:
    case EXIT_REASON_SIGNALED:
    case EXIT_REASON_OOM_KILLED:
    case EXIT_REASON_SANDBOX_LOST:
        break;
    }
    return 128 + (exit->signal != 0 ? exit->signal : 9);
}

/* ---- environment ---- */

struct env_reader {
    struct gateway *gateway;
    size_t skipped;
};

static void read_variable(void *ctx, const char *key, struct json_t *value)
{
    struct env_reader *reader = ctx;
    struct gateway *gateway = reader->gateway;
    struct spec_pairs *env = &gateway->user_env;
    const char *text = io_json_string(value);
    if (text == NULL || key[0] == '\0' || strchr(key, '=') != NULL || env->count == ENV_MAX ||
        strncmp(key, "OPENSHELL_", 10) == 0) {
        reader->skipped++;
        return;
    }
    env->items[env->count++] = (struct spec_pair){ osa_arena_strdup(&gateway->arena, key),
                                                   osa_arena_strdup(&gateway->arena, text) };
}

void workload_user_env(struct gateway *gateway)
{
    struct env_reader reader = { .gateway = gateway };
    struct json_t *json = NULL;
    struct osa_error err = { 0 };
    const char *text = gateway->config->user_environment;
    gateway->user_env.items =
        osa_arena_alloc(&gateway->arena, ENV_MAX * sizeof(*gateway->user_env.items));
    if (text == NULL)
        return;
    if (io_json_parse(text, strlen(text), &json, &err) != OSA_OK ||
        io_json_kind(json) != IO_JSON_OBJECT)
        osa_log(OSA_LOG_WARN, "gateway", "OPENSHELL_USER_ENVIRONMENT is no JSON object; ignored",
                OSA_U("bytes", strlen(text)));
    else
        io_json_each(json, read_variable, &reader);
    io_json_free(json);
    if (reader.skipped > 0)
        osa_log(OSA_LOG_WARN, "gateway", "variables of the owner that cannot be set are left out",
                OSA_U("count", reader.skipped));
}

static void set(struct spec_pairs *env, struct osa_arena *arena, const char *key, const char *value)
{
    size_t at = 0;
    while (at < env->count && strcmp(env->items[at].key, key) != 0)
        at++;
    if (at == ENV_ROOM)
        return;
    env->items[at] = (struct spec_pair){ key, osa_arena_strdup(arena, value) };
    env->count = OSA_MAX(env->count, at + 1);
}

/* Placeholders; see policy/provider.h. They win over the owner's, who has named the providers. */
static void set_provided(const struct gateway *gateway, struct spec_pairs *env,
                         struct osa_arena *arena)
{
    const struct provider_env *provided = providers_env(gateway);
    struct osa_buf value;
    osa_buf_init(&value, PROVIDED_VALUE_BYTES);
    for (size_t i = 0; i < provider_env_count(provided); i++) {
        const char *key = provider_env_variable(provided, i, &value);
        if (key != NULL)
            set(env, arena, osa_arena_strdup(arena, key), value.data);
    }
    osa_buf_done(&value);
}

static void inherit(void *ctx, const char *key, size_t key_len, const char *value)
{
    struct process_request *request = ctx;
    struct spec_pairs *env = &request->env;
    if (env->count == ENV_INHERITED)
        return;
    char *name = osa_arena_alloc(&request->arena, key_len + 1);
    memcpy(name, key, key_len);
    set(env, &request->arena, name, value);
}

/* The image's variables are for the main process, as in any container; sessions have those below. */
static void fill_env(const struct gateway *gateway, struct process_request *request,
                     const char *term, bool is_main)
{
    struct spec_pairs *env = &request->env;
    const char *user = gateway->config->uid;
    const char *path = gateway->config->path; /* the image's, in a container */
    env->items = osa_arena_alloc(&request->arena, ENV_ROOM * sizeof(*env->items));
    if (is_main)
        gateway_config_inherit(inherit, request);
    set(env, &request->arena, "HOME", gateway->workdir);
    set(env, &request->arena, "USER", user != NULL && user[0] != '\0' ? user : "sandbox");
    set(env, &request->arena, "SHELL", "/bin/bash");
    set(env, &request->arena, "TERM", term != NULL ? term : "dumb");
    set(env, &request->arena, "PATH", path != NULL && path[0] != '\0' ? path : DEFAULT_PATH);
    for (size_t i = 0; i < gateway->user_env.count; i++)
        set(env, &request->arena, gateway->user_env.items[i].key, gateway->user_env.items[i].value);
    set_provided(gateway, env, &request->arena);
    set(env, &request->arena, "OPENSHELL_SANDBOX", "1");
    request->reserved_names = true;
}

static struct process_request *make_request(const struct gateway *gateway, const char *const *argv,
                                            const char *term, bool is_main)
{
    struct process_request *request = process_request_new();
    struct osa_arena *arena = &request->arena;
    while (argv[request->argc] != NULL)
        request->argc++;
    request->argv = osa_arena_alloc(arena, (request->argc + 1) * sizeof(*request->argv));
    for (size_t i = 0; i < request->argc; i++)
        request->argv[i] = osa_arena_strdup(arena, argv[i]);
    fill_env(gateway, request, term, is_main);
    request->sandbox_id =
        osa_arena_strdup(arena, agent_state(gateway->program.agent).default_sandbox_id);
    request->cwd = osa_arena_strdup(arena, gateway->workdir);
    request->tty = term != NULL;
    request->tty_size = (struct terminal_size){ 24, 80 };
    request->term = osa_arena_strdup(arena, term != NULL ? term : "");
    request->stdin_open = true;
    return request;
}

struct process_request *workload_request(const struct gateway *gateway, const char *const *argv,
                                         const char *term)
{
    return make_request(gateway, argv, term, /* is_main= */ false);
}

/* ---- start ---- */

struct starting {
    struct gateway *gateway;
    bool done;
    struct osa_error error;
};

static void on_started(void *ctx, struct process *process, const struct osa_error *error)
{
    struct starting *starting = ctx;
    starting->done = true;
    if (error != NULL)
        starting->error = *error;
    else
        starting->gateway->main = process_ref(process);
}

enum osa_code workload_start(struct gateway *gateway, struct osa_error *err)
{
    struct starting starting = { .gateway = gateway };
    const struct main_spec *spec = &gateway->main_spec;
    struct process_request *request =
        make_request(gateway, (const char *const *)spec->argv, spec->tty ? "xterm-256color" : NULL,
                     /* is_main= */ true);
    request->timeout_ns = (int64_t)gateway->config->timeout_s * OSA_NS_PER_SEC;
    process_spawn(gateway->program.agent, request, on_started, &starting);
    while (!starting.done)
        (void)osa_loop_run_once(gateway->program.loop, OSA_NEVER);
    if (starting.error.code == OSA_OK)
        return OSA_OK;
    *err = starting.error;
    return osa_wrap(err, "main process");
}
