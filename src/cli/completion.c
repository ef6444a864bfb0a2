// SPDX-License-Identifier: Apache-2.0
/*
 * Completion. The scripts hand the words of the command line to the hidden command __complete, which
 * walks the tables; so there is one place that knows, and the scripts of three shells are short.
 * __complete writes one candidate a line; ":file" and ":command" leave the rest to the shell.
 */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/manual.h"

#include <limits.h>
#include <string.h>

/* While somebody waits for a completion, an agent that does not answer at once is no agent. */
#define IDS_NS (500 * OSA_NS_PER_MS)

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void offer_with(struct osa_buf *out, const char *word, const char *behind,
                       const char *prefix)
{
    if (starts(word, prefix))
        (void)osa_buf_addf(out, "%s%s\n", word, behind);
}

static void offer(struct osa_buf *out, const char *word, const char *prefix)
{
    offer_with(out, word, "", prefix);
}

/* ---- ids, from the agent ---- */

struct ids {
    struct rpc_client_events events;
    struct osa_buf *out;
    const char *prefix;
    const char *behind; /* what follows each id */
    bool processes;
    bool over;
};

static void on_ids(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct ids *self = OSA_CONTAINER_OF(events, struct ids, events);
    if (self->processes) {
        const API(ListResponse) *list = (const void *)message;
        for (size_t i = 0; i < list->n_processes; i++)
            offer_with(self->out, list->processes[i]->process_id, self->behind, self->prefix);
    } else {
        const API(ListSandboxesResponse) *list = (const void *)message;
        for (size_t i = 0; i < list->n_sandboxes; i++)
            offer_with(self->out, list->sandboxes[i]->sandbox_id, self->behind, self->prefix);
    }
}

static void on_ids_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    (void)status; /* no agent, no ids; a completion has nobody to complain to */
    OSA_CONTAINER_OF(events, struct ids, events)->over = true;
}

static void offer_ids(struct cli *cli, bool processes, const char *behind, const char *prefix,
                      struct osa_buf *out)
{
    API(ListRequest) list = API_INIT(LIST_REQUEST);
    API(ListSandboxesRequest) sandboxes = API_INIT(LIST_SANDBOXES_REQUEST);
    struct ids self = { .events = { .message = on_ids, .done = on_ids_done },
                        .out = out,
                        .prefix = prefix,
                        .behind = behind,
                        .processes = processes };
    if (cli_connect(cli, NULL) != OSA_OK)
        return;
    list.include_exited = true;
    struct rpc_client_call *call =
        rpc_client_start(cli->channel, processes ? API_METHOD("List") : API_METHOD("ListSandboxes"),
                         processes ? API_TYPE(list_response) : API_TYPE(list_sandboxes_response),
                         osa_deadline_after(IDS_NS), /* wait_for_ready= */ false, &self.events);
    (void)rpc_client_send(call, processes ? &list.base : &sandboxes.base);
    rpc_client_half_close(call);
    while (!self.over)
        (void)osa_loop_run_once(cli->loop, OSA_NEVER);
}

/* ---- what can stand here ---- */

static void offer_kind(struct cli *cli, const char *kind, const char *prefix, struct osa_buf *out)
{
    static const char *const signals[] = { "TERM", "KILL", "INT",  "HUP",  "QUIT", "USR1",
                                           "USR2", "STOP", "CONT", "ALRM", "PIPE", "WINCH" };
    static const char *const shells[] = { "bash", "zsh", "fish" };
    if (kind == NULL)
        return;
    if (strcmp(kind, "place") == 0 && strcspn(prefix, ":/") == strlen(prefix))
        offer_ids(cli, /* processes= */ false, ":", prefix, out);
    if (strcmp(kind, "place") == 0)
        kind = "file";
    if (strcmp(kind, "process") == 0 || strcmp(kind, "sandbox") == 0)
        offer_ids(cli, strcmp(kind, "process") == 0, "", prefix, out);
    for (size_t i = 0; strcmp(kind, "signal") == 0 && i < OSA_ARRAY_LEN(signals); i++)
        offer(out, signals[i], prefix);
    for (size_t i = 0; strcmp(kind, "shell") == 0 && i < OSA_ARRAY_LEN(shells); i++)
        offer(out, shells[i], prefix);
    if (strcmp(kind, "file") == 0 || strcmp(kind, "command") == 0)
        (void)osa_buf_addf(out, ":%s\n", kind);
}

static void offer_value(struct cli *cli, const struct osa_option *option, const char *prefix,
                        struct osa_buf *out)
{
    if (option->type == OSA_OPTION_PATH)
        (void)osa_buf_addf(out, ":file\n");
    for (const struct osa_option_name *name = option->names; name != NULL && name->name != NULL;
         name++)
        offer(out, name->name, prefix);
    offer_kind(cli, option->complete, prefix, out);
}

/* First words, or second words after one that two-word commands share. */
static void offer_commands(const char *first, const char *prefix, struct osa_buf *out)
{
    size_t count = 0;
    const struct cli_command *commands = cli_commands(&count);
    char last[32] = "";
    for (size_t i = 0; i < count; i++) {
        char word[32];
        size_t len = strcspn(commands[i].name, " ");
        (void)snprintf(word, sizeof(word), "%.*s", (int)len, commands[i].name);
        if (first == NULL && strcmp(word, last) != 0)
            offer(out, word, prefix);
        if (first != NULL && commands[i].name[len] == ' ' && strcmp(word, first) == 0)
            offer(out, commands[i].name + len + 1, prefix);
        (void)snprintf(last, sizeof(last), "%s", word);
    }
}

/* The row of the option that @word is, when its value would be the next word; NULL. */
static const struct osa_option *awaits_value(const struct osa_option_group *groups, size_t count,
                                             const char *word)
{
    for (size_t g = 0; g < count; g++) {
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct osa_option *option = &groups[g].options[i];
            bool is_long = starts(word, "--") && strcmp(word + 2, option->flag) == 0;
            bool is_short = word[0] == '-' && option->letter != 0 && word[1] == option->letter &&
                            word[2] == '\0';
            if ((is_long || is_short) && option->type != OSA_OPTION_BOOL)
                return option;
        }
    }
    return NULL;
}

static void offer_flags(const struct osa_option_group *groups, size_t count, const char *prefix,
                        struct osa_buf *out)
{
    for (size_t g = 0; g < count; g++) {
        for (size_t i = 0; i < groups[g].count; i++) {
            char flag[64];
            (void)snprintf(flag, sizeof(flag), "--%s", groups[g].options[i].flag);
            offer(out, flag, prefix);
        }
    }
}

/* Words before the one that is completed: which command they name, and how many operands it has. */
struct place {
    const struct cli_command *command;
    const char *first; /* first word of a two-word command whose second is still to come */
    int operands;
    bool ended; /* "--", or an operand of a command that stops there */
    struct osa_option_group groups[CLI_GROUPS];
    size_t group_count;
};

static void find_place(struct place *at, int argc, const char *const *argv)
{
    *at = (struct place){ .group_count = 1 };
    at->groups[0] = cli_global_group(NULL);
    for (int i = 0; i < argc; i++) {
        if (!at->ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            at->ended = strcmp(argv[i], "--") == 0;
            if (awaits_value(at->groups, at->group_count, argv[i]) != NULL)
                i++;
            continue;
        }
        if (at->command != NULL) {
            at->operands++;
            at->ended = at->ended || at->command->stops;
            continue;
        }
        int words = 0;
        at->command = cli_command_find(argc - i, argv + i, &words);
        at->first = argv[i];
        if (at->command == NULL)
            continue;
        at->group_count = cli_groups(at->command, NULL, NULL, at->groups);
        i += words - 1;
    }
}

static int run_complete(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct place at;
    const char *prefix = argc > 0 ? argv[argc - 1] : "";
    const struct osa_option *option = NULL;
    (void)options;
    osa_buf_init(&out, 1u << 20);
    find_place(&at, argc - 1, argv);
    if (argc > 1 && !at.ended)
        option = awaits_value(at.groups, at.group_count, argv[argc - 2]);
    if (option != NULL)
        offer_value(cli, option, prefix, &out);
    else if (prefix[0] == '-' && !at.ended)
        offer_flags(at.groups, at.group_count, prefix, &out);
    else if (at.command == NULL)
        offer_commands(at.first, prefix, &out);
    else if (at.command->complete != NULL && strcmp(at.command->complete, "signal") == 0)
        offer_kind(cli, at.operands == 0 ? "signal" : "process", prefix, &out);
    else if (at.command->complete != NULL && strcmp(at.command->complete, "command") == 0)
        offer_kind(cli, at.operands == 0 ? "command" : "file", prefix, &out);
    else if (at.operands < at.command->max)
        offer_kind(cli, at.command->complete, prefix, &out);
    return cli_print(&out);
}

const struct cli_command cli_command_complete = {
    .name = "__complete",
    .operands = "[WORD]...",
    .summary = "Words that could stand at the end of this command line, for completion scripts",
    .min = 0,
    .max = INT_MAX,
    .stops = true,
    .failed = CLI_FAILED,
    .run = run_complete,
};

/* ---- the scripts ---- */

static const char bash_script[] =
    "# bash completion for " CLI_NAME "\n"
    "_openshell_agentctl() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :file) compopt -o filenames 2>/dev/null\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "        :command)\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -c -- \"$cur\") ;;\n"
    "        *:) compopt -o nospace 2>/dev/null; COMPREPLY+=(\"$line\") ;;\n"
    "        *) COMPREPLY+=(\"$line\") ;;\n"
    "        esac\n"
    "    done < <(\"${COMP_WORDS[0]}\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
    "2>/dev/null)\n"
    "}\n"
    "complete -F _openshell_agentctl " CLI_NAME "\n";

static const char zsh_script[] =
    "#compdef " CLI_NAME "\n"
    "_openshell_agentctl() {\n"
    "    local -a found\n"
    "    found=(${(f)\"$($words[1] __complete -- ${words[2,CURRENT]} 2>/dev/null)\"})\n"
    "    (( ${found[(I):file]} )) && _files\n"
    "    (( ${found[(I):command]} )) && _command_names -e\n"
    "    found=(${found:#:*})\n"
    "    local -a open=(${(M)found:#*:})\n"
    "    found=(${found:#*:})\n"
    "    (( $#open )) && compadd -S '' -a open\n"
    "    (( $#found )) && compadd -a found\n"
    "}\n"
    "compdef _openshell_agentctl " CLI_NAME "\n";

static const char fish_script[] =
    "# fish completion for " CLI_NAME "\n"
    "function __openshell_agentctl\n"
    "    set -l words (commandline -opc)\n"
    "    for line in ($words[1] __complete -- $words[2..-1] (commandline -ct) 2>/dev/null)\n"
    "        switch $line\n"
    "            case ':file'\n"
    "                __fish_complete_path (commandline -ct)\n"
    "            case ':command'\n"
    "                __fish_complete_command\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c " CLI_NAME " -f -a '(__openshell_agentctl)'\n";

bool cli_completion(const char *shell, struct osa_buf *out)
{
    if (strcmp(shell, "bash") == 0)
        return osa_buf_add(out, bash_script, strlen(bash_script));
    if (strcmp(shell, "zsh") == 0)
        return osa_buf_add(out, zsh_script, strlen(zsh_script));
    if (strcmp(shell, "fish") == 0)
        return osa_buf_add(out, fish_script, strlen(fish_script));
    return false;
}
