// SPDX-License-Identifier: Apache-2.0
/* cp: files into and out of a sandbox. */
#include "cli/commands.h"
#include "cli/copy.h"

struct cp_options {
    const char *user;
};

static const struct osa_option cp_options[] = {
    { .flag = "user",
      .letter = 'u',
      .type = OSA_OPTION_STRING,
      .offset = offsetof(struct cp_options, user),
      .value = "USER",
      .help = "Read or write in the sandbox as this user. Default: the sandbox's" },
};

static int run_cp(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct cp_options *o = options;
    const char *user = o->user != NULL ? o->user : "";
    struct osa_error err = { 0 };
    struct cli_place from;
    struct cli_place to;
    (void)argc;
    enum osa_code code = cli_place_parse(argv[0], &from, &err);
    if (code == OSA_OK)
        code = cli_place_parse(argv[1], &to, &err);
    if (code == OSA_OK && (from.kind == CLI_PLACE_SANDBOX) == (to.kind == CLI_PLACE_SANDBOX))
        code =
            osa_fail(&err, OSA_INVALID_ARGUMENT, 0,
                     "cp: one of the two must be SANDBOX:PATH, the other a path of this side or -");
    if (code != OSA_OK)
        return cli_usage_error(cli, &err);
    return from.kind == CLI_PLACE_SANDBOX ? cli_copy_out(cli, &from, &to, user)
                                          : cli_copy_in(cli, &from, &to, user);
}

const struct cli_command cli_command_cp = {
    .name = "cp",
    .operands = "SANDBOX:PATH LOCAL|- | LOCAL|- SANDBOX:PATH",
    .summary = "Copy files and directories into a sandbox or out of it",
    .text = "A target that is a directory gets the source into it, under the source's name; any "
            "other target is the new name. A slash at the end asks for what a symbolic link leads "
            "to, and for a target that is a directory. - is a tar archive on standard input or "
            "output; what comes in is unpacked below PATH, which must be a directory.\n"
            "Permission bits and times are kept, owners are not: files belong to whoever makes "
            "them. On this side a symbolic link that leads out of the copy is left out and told, "
            "and the exit status is then 1; tar can unpack it from the stream.\n"
            "A path of this side with a colon in it needs a slash before: ./a:b.",
    .complete = "place",
    .min = 2,
    .max = 2,
    .failed = CLI_FAILED,
    .options = cp_options,
    .option_count = OSA_ARRAY_LEN(cp_options),
    .target_size = sizeof(struct cp_options),
    .run = run_cp,
};
