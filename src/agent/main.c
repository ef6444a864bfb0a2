// SPDX-License-Identifier: Apache-2.0
/* openshell-agent serve | sandbox | health | drain | copy-self | man. How it starts and ends: program.c */
#include "agent/gateway/front.h"
#include "agent/program.h"
#include "agent/service/commands.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum osa_code prepare(struct program *program, struct osa_error *err)
{
    if (!program->config->sandbox)
        return OSA_OK;
    enum osa_code code = program_first_sandbox(program, sandbox_request_new(), err);
    return code == OSA_OK || code == OSA_CANCELLED ? code : osa_wrap(err, "--sandbox");
}

static int serve(int argc, const char *const *argv)
{
    static struct program program = { .prepare = prepare };
    struct osa_error err = { 0 };
    if (agent_config_load(argc, argv, &program.config, &err) != OSA_OK) {
        (void)fprintf(stderr, "openshell-agent: %s\n", err.text);
        return 2;
    }
    if (commands_show_help(program.config)) {
        agent_config_free(program.config);
        return 0;
    }
    (void)umask(077);
    osa_log_setup(program.config->log_level, program.config->log_format, STDERR_FILENO);
    enum osa_code code = program_start(&program, &err);
    if (code == OSA_OK) {
        osa_service_tell(&program.manager, "READY=1\nSTATUS=serving");
        osa_service_watch(&program.manager, program.loop);
        osa_loop_run(program.loop);
    } else {
        osa_log_error(code == OSA_CANCELLED ? OSA_LOG_INFO : OSA_LOG_ERROR, "agent", "cannot start",
                      &err);
        program_stop_quickly(&program);
    }
    program_done(&program);
    return code == OSA_OK || code == OSA_CANCELLED ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *const *rest = (const char *const *)argv + 2;
    const char *command = argc > 1 ? argv[1] : "";
    const char *slash = strrchr(argv[0], '/');
    if (strcmp(slash != NULL ? slash + 1 : argv[0], "openshell-sandbox") == 0 &&
        strcmp(command, "copy-self") != 0)
        return gateway_main(argc - 1, (const char *const *)argv + 1);
    if (strcmp(command, "serve") == 0)
        return serve(argc - 2, rest);
    if (strcmp(command, "sandbox") == 0)
        return gateway_main(argc - 2, rest);
    if (strcmp(command, "health") == 0)
        return commands_health(argc - 2, rest);
    if (strcmp(command, "drain") == 0)
        return commands_drain(argc - 2, rest);
    if (strcmp(command, "copy-self") == 0)
        return commands_copy_self(argc - 2, rest);
    if (strcmp(command, "man") == 0)
        return commands_man(argc - 2);
    return commands_usage(command);
}
