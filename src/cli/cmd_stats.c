// SPDX-License-Identifier: Apache-2.0
/* stats and top: what sandboxes and processes use. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/view.h"
#include "cli/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stats_options {
    const char *sandbox;
    const char *process;
    int64_t interval_ns;
};

#define AT(field) offsetof(struct stats_options, field)
#define TARGET_OPTIONS                                                                             \
    { .flag = "sandbox",                                                                           \
      .letter = 's',                                                                               \
      .type = OSA_OPTION_STRING,                                                                   \
      .offset = AT(sandbox),                                                                       \
      .value = "ID",                                                                               \
      .complete = "sandbox",                                                                       \
      .help = "Of this sandbox only" },                                                            \
    {                                                                                              \
        .flag = "process", .type = OSA_OPTION_STRING, .offset = AT(process), .value = "ID",        \
        .complete = "process", .help = "Of this process only"                                      \
    }

static const struct osa_option stats_options[] = {
    TARGET_OPTIONS,
    { .flag = "interval",
      .letter = 'n',
      .type = OSA_OPTION_DURATION,
      .offset = AT(interval_ns),
      .min = 100000000,
      .max = 86400000000000,
      .value = "TIME",
      .help = "Go on, with an answer this often. Default: one answer" },
};

static const struct osa_option top_options[] = {
    TARGET_OPTIONS,
    { .flag = "interval",
      .letter = 'n',
      .type = OSA_OPTION_DURATION,
      .offset = AT(interval_ns),
      .min = 100000000,
      .max = 86400000000000,
      .def = "1s",
      .value = "TIME",
      .help = "Time between two looks" },
};

/* One row of the screen: what was seen last of one sandbox or process. */
struct seen {
    struct seen *next;
    char name[192];
    int64_t at_ns;
    int64_t cpu_ns;
    double percent; /* of one CPU, since the look before; below 0: not known yet */
    API(StatsResponse) * last;
};

struct view {
    struct cli *cli;
    struct seen *rows; /* owned */
    bool live;         /* top: draw the screen again after each round */
    int64_t round_ns;  /* `at` of the round that is being collected */
    bool any;
    int status;
};

static struct seen *find_row(struct view *view, const char *name)
{
    struct seen **end = &view->rows;
    for (; *end != NULL; end = &(*end)->next) {
        if (strcmp((*end)->name, name) == 0)
            return *end;
    }
    struct seen *row = calloc(1, sizeof(*row));
    if (row == NULL)
        return NULL;
    (void)snprintf(row->name, sizeof(row->name), "%s", name);
    row->percent = -1;
    *end = row;
    return row;
}

static void free_rows(struct view *view)
{
    while (view->rows != NULL) {
        struct seen *next = view->rows->next;
        if (view->rows->last != NULL)
            protobuf_c_message_free_unpacked(&view->rows->last->base, NULL);
        free(view->rows);
        view->rows = next;
    }
}

/* A copy, because a response lives for its callback only. */
static API(StatsResponse) * copy_stats(const API(StatsResponse) * stats)
{
    size_t len = protobuf_c_message_get_packed_size(&stats->base);
    OSA_AUTO(osa_free) uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL)
        return NULL;
    (void)protobuf_c_message_pack(&stats->base, bytes);
    return openshell__agent__v1__stats_response__unpack(NULL, len, bytes);
}

static void update_row(struct view *view, const API(StatsResponse) * stats)
{
    const char *name = *stats->process_id != '\0' ? stats->process_id : stats->sandbox_id;
    struct seen *row = find_row(view, name);
    int64_t at = cli_timestamp_ns(stats->at);
    int64_t cpu = cli_duration_ns(stats->cpu);
    if (row == NULL)
        return;
    if (row->last != NULL && at > row->at_ns && cpu >= row->cpu_ns)
        row->percent = 100.0 * (double)(cpu - row->cpu_ns) / (double)(at - row->at_ns);
    row->at_ns = at;
    row->cpu_ns = cpu;
    if (row->last != NULL)
        protobuf_c_message_free_unpacked(&row->last->base, NULL);
    row->last = copy_stats(stats);
}

static void amount(struct cli_table *table, uint64_t bytes)
{
    char text[CLI_TIME_SIZE];
    cli_bytes_text(bytes, text);
    cli_table_cell(table, text);
}

static void add_row(struct cli_table *table, const struct seen *row)
{
    const API(StatsResponse) *stats = row->last;
    char text[256];
    cli_table_cell(table, row->name);
    if (row->percent >= 0)
        cli_table_cellf(table, "%.1f%%", row->percent);
    else
        cli_table_cell(table, NULL);
    cli_span_text(row->cpu_ns, text);
    cli_table_cell(table, text);
    amount(table, stats->memory_bytes);
    amount(table, stats->memory_peak_bytes);
    cli_table_cellf(table, "%" PRIu64, stats->pids);
    amount(table, stats->read_bytes);
    amount(table, stats->write_bytes);
    cli_span_text(cli_duration_ns(stats->throttled), text);
    cli_table_cell(table, text);
    cli_table_cellf(table, "%" PRIu32, stats->oom_kills);
    cli_resources_text(stats->limits, text, sizeof(text));
    cli_table_cell(table, text);
}

static void draw(struct view *view)
{
    static const char *const titles[] = { "ID",   "CPU",   "CPU TIME",  "MEMORY", "PEAK",  "PIDS",
                                          "READ", "WRITE", "THROTTLED", "OOM",    "LIMITS" };
    OSA_AUTO(cli_table_done) struct cli_table table;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    cli_table_init(&table, OSA_ARRAY_LEN(titles), titles);
    for (const struct seen *row = view->rows; row != NULL; row = row->next) {
        if (row->last != NULL)
            add_row(&table, row);
    }
    osa_buf_init(&out, 16u << 20);
    /* Home, then what is left of the old screen goes: ECMA-48 CUP and ED. */
    if (view->live && isatty(STDOUT_FILENO))
        (void)osa_buf_addf(&out, "\033[H\033[J");
    cli_table_write(&table, cli_table_width(), &out);
    view->status = cli_print(&out);
}

/* Rows that this round had no answer for have ended. */
static void drop_gone(struct view *view)
{
    for (struct seen **at = &view->rows; *at != NULL;) {
        struct seen *row = *at;
        if (row->at_ns >= view->round_ns) {
            at = &row->next;
            continue;
        }
        *at = row->next;
        if (row->last != NULL)
            protobuf_c_message_free_unpacked(&row->last->base, NULL);
        free(row);
    }
}

/*
 * Answers of one round carry times that lie close together, those of two rounds at least the
 * shortest interval apart: half of that tells them apart.
 */
static bool on_stats(void *ctx, const ProtobufCMessage *message)
{
    struct view *view = ctx;
    const API(StatsResponse) *stats = (const void *)message;
    if (view->cli->global.json) {
        view->status = cli_put_json(message, /* pretty= */ false);
        return view->status == CLI_DONE;
    }
    int64_t at = cli_timestamp_ns(stats->at);
    if (view->any && at - view->round_ns > 50 * OSA_NS_PER_MS) {
        drop_gone(view);
        draw(view);
        view->round_ns = at;
    } else if (!view->any) {
        view->round_ns = at;
    }
    view->any = true;
    update_row(view, stats);
    return view->status == CLI_DONE;
}

static int collect(struct cli *cli, const struct stats_options *o, bool live)
{
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    struct view view = { .cli = cli, .live = live, .status = CLI_DONE };
    API(StatsRequest) request = API_INIT(STATS_REQUEST);
    if (o->sandbox != NULL)
        request.sandbox_id = cli_string(&arena, o->sandbox);
    if (o->process != NULL)
        request.process_id = cli_string(&arena, o->process);
    if (o->interval_ns > 0)
        request.interval = cli_wire_duration(&arena, o->interval_ns);
    int status = cli_call(cli, API_METHOD("Stats"), &request.base, API_TYPE(stats_response),
                          o->interval_ns > 0 ? OSA_NEVER : cli_deadline(cli), on_stats, &view);
    if (status == CLI_DONE && view.status == CLI_DONE && !cli->global.json)
        draw(&view);
    free_rows(&view);
    return status != CLI_DONE ? status : view.status;
}

static int run_stats(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    (void)argc;
    (void)argv;
    return collect(cli, options, /* live= */ false);
}

static int run_top(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    (void)argc;
    (void)argv;
    return collect(cli, options, /* live= */ true);
}

const struct cli_command cli_command_stats = {
    .name = "stats",
    .operands = "",
    .summary = "Show what sandboxes or a process use",
    .text = "CPU is the share of one CPU since the answer before, which --interval gives.",
    .failed = CLI_FAILED,
    .options = stats_options,
    .option_count = OSA_ARRAY_LEN(stats_options),
    .target_size = sizeof(struct stats_options),
    .run = run_stats,
};

const struct cli_command cli_command_top = {
    .name = "top",
    .operands = "",
    .summary = "Show what sandboxes or a process use, again and again",
    .failed = CLI_FAILED,
    .options = top_options,
    .option_count = OSA_ARRAY_LEN(top_options),
    .target_size = sizeof(struct stats_options),
    .run = run_top,
};
