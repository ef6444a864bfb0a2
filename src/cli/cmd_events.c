// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/view.h"
#include "cli/wire.h"

#include <inttypes.h>

struct events_options {
    bool follow;
    uint64_t from;
    const char *sandbox;
};

static const struct osa_option events_options[] = {
    { .flag = "follow",
      .letter = 'f',
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct events_options, follow),
      .help = "Go on with what comes" },
    { .flag = "from",
      .type = OSA_OPTION_U64,
      .offset = offsetof(struct events_options, from),
      .value = "N",
      .help = "Begin with this sequence number. Default: 1; with --follow only what "
              "comes" },
    { .flag = "sandbox",
      .letter = 's',
      .type = OSA_OPTION_STRING,
      .offset = offsetof(struct events_options, sandbox),
      .value = "ID",
      .complete = "sandbox",
      .help = "Of this sandbox only" },
};

static void add_named(struct osa_buf *out, const char *name, const char *text)
{
    if (text == NULL || *text == '\0')
        return;
    (void)osa_buf_addf(out, " %s=", name);
    cli_text_escape(out, text);
}

/* One line: TIME SEQUENCE TYPE sandbox=… process=… exit="…" key=… message */
static void say_event(struct osa_buf *out, const API(Event) * event)
{
    char at[CLI_TIME_SIZE] = "";
    char type[64];
    if (event->at != NULL)
        cli_timestamp_text(event->at->seconds, event->at->nanos / 1000000 * 1000000, at);
    cli_enum_word(&openshell__agent__v1__event__type__descriptor, (int)event->type, "TYPE_", type,
                  sizeof(type));
    (void)osa_buf_addf(out, "%s %" PRIu64 " %s", at, event->sequence, type);
    add_named(out, "sandbox", event->sandbox_id);
    add_named(out, "process", event->process_id);
    if (event->exit != NULL) {
        char text[128];
        cli_exit_text(event->exit, text, sizeof(text));
        (void)osa_buf_addf(out, " (%s)", text);
    }
    for (size_t i = 0; i < event->n_attributes; i++) {
        (void)osa_buf_add(out, " ", 1);
        cli_text_escape(out, event->attributes[i]->key);
        (void)osa_buf_add(out, "=", 1);
        cli_text_escape(out, event->attributes[i]->value);
    }
    if (*event->message != '\0') {
        (void)osa_buf_add(out, " ", 1);
        cli_text_escape(out, event->message);
    }
    (void)osa_buf_add(out, "\n", 1);
}

struct printer {
    bool json;
    int status;
};

static bool on_event(void *ctx, const ProtobufCMessage *message)
{
    struct printer *self = ctx;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 1u << 20);
    if (self->json) {
        self->status = cli_put_json(message, /* pretty= */ false);
    } else {
        say_event(&out, (const void *)message);
        self->status = cli_print(&out);
    }
    return self->status == CLI_DONE;
}

static int run_events(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct events_options *o = options;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    struct printer printer = { .json = cli->global.json, .status = CLI_DONE };
    API(EventsRequest) request = API_INIT(EVENTS_REQUEST);
    (void)argc;
    (void)argv;
    request.from_sequence = o->from != 0 || o->follow ? o->from : 1;
    request.follow = o->follow;
    if (o->sandbox != NULL)
        request.sandbox_id = cli_string(&arena, o->sandbox);
    int status = cli_call(cli, API_METHOD("Events"), &request.base, API_TYPE(event), OSA_NEVER,
                          on_event, &printer);
    return status != CLI_DONE ? status : printer.status;
}

const struct cli_command cli_command_events = {
    .name = "events",
    .operands = "",
    .summary = "Show what happened, and what happens",
    .failed = CLI_FAILED,
    .options = events_options,
    .option_count = OSA_ARRAY_LEN(events_options),
    .target_size = sizeof(struct events_options),
    .run = run_events,
};
