// SPDX-License-Identifier: Apache-2.0
/*
 * A session outlives its stream: when the connection breaks, the next stream begins at the offset
 * where the output ended. Reading standard input stops while the stream's send queue is full, so
 * that a process that does not read holds us up and not our memory.
 */
#include "cli/attach.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One read of standard input; well below the least message limit. */
#define INPUT_CHUNK 16384
/* A broken connection is tried again this often, this long apart: 10 s. */
#define RETRIES 20
#define RETRY_NS (500 * OSA_NS_PER_MS)
/* Keys that detach: ctrl-p ctrl-q. */
#define KEY_FIRST 16
#define KEY_SECOND 17
/* The interrupt that no longer asks. */
#define INTERRUPTS_TO_KILL 3

struct session {
    struct rpc_client_events events;
    struct osa_source input;
    struct osa_source signals;
    struct osa_task pump; /* reads a standard input that cannot be polled: a file */
    struct osa_timer retry;
    struct cli *cli;
    const struct cli_attach *what;
    struct rpc_client_call *call; /* NULL between streams */
    uint64_t offset;
    uint64_t lost; /* bytes in all gaps; told once, at the end */
    unsigned tries;
    unsigned interrupts;
    bool started;      /* the current stream has been accepted */
    bool ever_started; /* any has */
    bool tty;
    bool raw;
    bool welcome;      /* the stream takes more input */
    bool input_open;   /* standard input has not ended */
    bool input_polled; /* .input is with the loop */
    bool input_is_file;
    bool pump_posted;
    bool key_held; /* ctrl-p came, the next key decides */
    bool output_closed;
    bool over;
    int pending; /* side calls under way */
    int status;
};

static void stop(struct session *self, int status)
{
    self->status = status;
    self->over = true;
    if (self->call != NULL)
        rpc_client_cancel(self->call);
}

/* ---- side calls: Signal and Kill beside the stream ---- */

struct side_call {
    struct rpc_client_events events;
    struct session *session;
};

static void side_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    (void)events;
    (void)response;
}

static void side_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct side_call *side = OSA_CONTAINER_OF(events, struct side_call, events);
    side->session->pending--;
    /* The process may have ended between the key and the call: that is no news. */
    if (status->error.code != OSA_OK && status->error.code != OSA_FAILED_PRECONDITION &&
        status->error.code != OSA_NOT_FOUND && status->error.code != OSA_CANCELLED)
        cli_note("the signal was not delivered: %s", status->error.text);
    free(side);
}

static void side_start(struct session *self, const char *method, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *response)
{
    struct side_call *side = calloc(1, sizeof(*side));
    if (side == NULL)
        return;
    side->events = (struct rpc_client_events){ .message = side_message, .done = side_done };
    side->session = self;
    self->pending++;
    struct rpc_client_call *call =
        rpc_client_start(self->cli->channel, method, response, cli_deadline(self->cli),
                         /* wait_for_ready= */ false, &side->events);
    (void)rpc_client_send(call, request);
    rpc_client_half_close(call);
}

static void send_signal(struct session *self, const char *word, API(SignalScope) scope)
{
    char id[128];
    char name[16];
    (void)snprintf(id, sizeof(id), "%s", self->what->process_id);
    (void)snprintf(name, sizeof(name), "%s", word);
    API(SignalRequest) request = API_INIT(SIGNAL_REQUEST);
    request.process_id = id;
    request.signal = name;
    request.scope = scope;
    side_start(self, API_METHOD("Signal"), &request.base, API_TYPE(signal_response));
}

static void send_kill(struct session *self)
{
    char id[128];
    (void)snprintf(id, sizeof(id), "%s", self->what->process_id);
    Google__Protobuf__Duration grace = GOOGLE__PROTOBUF__DURATION__INIT;
    API(KillRequest) request = API_INIT(KILL_REQUEST);
    request.process_id = id;
    request.grace = &grace;
    side_start(self, API_METHOD("Kill"), &request.base, API_TYPE(kill_response));
}

/* ---- to the process ---- */

static void send_request(struct session *self, const API(AttachRequest) * request)
{
    if (self->call != NULL && !rpc_client_send(self->call, &request->base))
        self->welcome = false;
}

static void send_size(struct session *self)
{
    API(TerminalSize) size = API_INIT(TERMINAL_SIZE);
    API(AttachRequest) request = API_INIT(ATTACH_REQUEST);
    if (!self->tty || !cli_terminal_size(STDIN_FILENO, &size.rows, &size.columns))
        return;
    request.message_case = API_VALUE(ATTACH_REQUEST__MESSAGE_RESIZE);
    request.resize = &size;
    send_request(self, &request);
}

static void send_end(struct session *self)
{
    API(StdinEnd) end = API_INIT(STDIN_END);
    API(AttachRequest) request = API_INIT(ATTACH_REQUEST);
    request.message_case = API_VALUE(ATTACH_REQUEST__MESSAGE_STDIN_END);
    request.stdin_end = &end;
    self->input_open = false;
    send_request(self, &request);
}

/*
 * Takes the detach keys out of @data. Return: bytes left to send; *ret_detach when both keys came.
 * @data has room for one byte more than @len: a ctrl-p that was held back.
 */
static size_t filter_keys(struct session *self, uint8_t *data, size_t len, bool *ret_detach)
{
    uint8_t in[INPUT_CHUNK];
    size_t out = 0;
    memcpy(in, data, len);
    *ret_detach = false;
    for (size_t i = 0; i < len; i++) {
        if (self->key_held && in[i] == KEY_SECOND) {
            *ret_detach = true;
            return out;
        }
        if (self->key_held)
            data[out++] = KEY_FIRST;
        self->key_held = in[i] == KEY_FIRST;
        if (!self->key_held)
            data[out++] = in[i];
    }
    return out;
}

/* Return: false when there is nothing more to read for now. */
static bool read_input(struct session *self)
{
    uint8_t data[INPUT_CHUNK + 1];
    ssize_t len = read(STDIN_FILENO, data, INPUT_CHUNK);
    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (len <= 0) { /* an error ends it as well: there is nobody else to tell */
        send_end(self);
        return false;
    }
    bool detach = false;
    size_t left = self->raw ? filter_keys(self, data, (size_t)len, &detach) : (size_t)len;
    API(AttachRequest) request = API_INIT(ATTACH_REQUEST);
    request.message_case = API_VALUE(ATTACH_REQUEST__MESSAGE_STDIN);
    request.stdin = (ProtobufCBinaryData){ .len = left, .data = data };
    if (left > 0)
        send_request(self, &request);
    if (detach) {
        stop(self, CLI_DONE);
        cli_terminal_restore();
        cli_note("detached from %s", self->what->process_id);
    }
    return !detach;
}

static void watch_input(struct session *self);

static void on_input(struct osa_source *source, unsigned events)
{
    struct session *self = OSA_CONTAINER_OF(source, struct session, input);
    (void)events;
    (void)read_input(self);
    watch_input(self);
}

static void on_pump(struct osa_task *task)
{
    struct session *self = OSA_CONTAINER_OF(task, struct session, pump);
    self->pump_posted = false;
    if (!self->over && self->welcome && self->input_open && self->started)
        (void)read_input(self);
    watch_input(self);
}

/* Makes the loop read standard input exactly while its bytes are wanted. Removed, not muted: a muted
 * source still reports that the other end has gone, again and again. */
static void watch_input(struct session *self)
{
    bool want = !self->over && self->welcome && self->input_open && self->started;
    struct osa_error err;
    if (self->input_is_file) {
        if (want && !self->pump_posted) {
            self->pump_posted = true;
            osa_loop_post(self->cli->loop, &self->pump);
        }
        return;
    }
    if (want == self->input_polled)
        return;
    if (!want) {
        osa_source_remove(&self->input);
        self->input_polled = false;
    } else if (osa_source_add(self->cli->loop, &self->input, OSA_READ, &err) == OSA_OK) {
        self->input_polled = true;
    } else {
        self->input_is_file = true;
        watch_input(self);
    }
}

/* ---- from the process ---- */

static void put(struct session *self, int fd, const ProtobufCBinaryData *data)
{
    if (self->output_closed)
        return;
    int failed = osa_write_all(fd, data->data, data->len);
    if (failed == 0)
        return;
    self->output_closed = true;
    if (failed != -EPIPE)
        cli_note("standard %s: %s", fd == STDOUT_FILENO ? "output" : "error",
                 osa_errno_name(-failed));
    if (self->what->owns)
        send_signal(self, "PIPE", API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_TREE));
    else
        stop(self, failed == -EPIPE ? CLI_SIGNAL_BASE + SIGPIPE : CLI_FAILED);
}

static void on_started(struct session *self, const API(AttachStarted) * started)
{
    self->started = true;
    self->ever_started = true;
    self->tries = 0;
    self->tty = started->tty;
    self->welcome = true;
    self->offset = started->offset;
    if (self->tty && self->what->input && isatty(STDIN_FILENO) && !self->cli->global.json)
        self->raw = cli_terminal_raw();
    send_size(self);
    watch_input(self);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct session *self = OSA_CONTAINER_OF(events, struct session, events);
    const API(AttachResponse) *response = (const void *)message;
    bool json = self->cli->global.json;
    if (self->over)
        return;
    if (json && !self->output_closed && cli_put_json(message, /* pretty= */ false) != CLI_DONE)
        self->output_closed = true;
    switch (response->message_case) {
    case API_VALUE(ATTACH_RESPONSE__MESSAGE_STARTED):
        on_started(self, response->started);
        break;
    case API_VALUE(ATTACH_RESPONSE__MESSAGE_OUTPUT):
        self->offset = response->output->offset + response->output->data.len;
        if (!json)
            put(self,
                response->output->stream == API_VALUE(OUTPUT_STREAM__OUTPUT_STREAM_STDERR)
                    ? STDERR_FILENO
                    : STDOUT_FILENO,
                &response->output->data);
        break;
    case API_VALUE(ATTACH_RESPONSE__MESSAGE_GAP):
        self->offset = response->gap->offset + response->gap->lost_bytes;
        self->lost += response->gap->lost_bytes;
        break;
    case API_VALUE(ATTACH_RESPONSE__MESSAGE_EXIT):
        self->over = true;
        self->status = cli_exit_status(response->exit);
        cli_terminal_restore();
        if (!json && response->exit->reason != API_VALUE(EXIT__REASON__REASON_EXITED) &&
            response->exit->reason != API_VALUE(EXIT__REASON__REASON_SIGNALED)) {
            char text[128];
            cli_exit_text(response->exit, text, sizeof(text));
            cli_note("%s: %s", self->what->process_id, text);
        }
        break;
    default: /* wire enums are open: what a later agent adds is not for us */
        break;
    }
    watch_input(self);
}

static void on_writable(struct rpc_client_events *events)
{
    struct session *self = OSA_CONTAINER_OF(events, struct session, events);
    self->welcome = true;
    watch_input(self);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct session *self = OSA_CONTAINER_OF(events, struct session, events);
    self->call = NULL;
    self->started = false;
    self->welcome = false;
    watch_input(self);
    if (self->over)
        return;
    if (status->error.code == OSA_UNAVAILABLE && self->ever_started && self->tries < RETRIES) {
        if (self->tries++ == 0)
            cli_note("the connection broke; retry in 500 ms, for 10 s");
        osa_timer_arm(self->cli->loop, &self->retry, osa_deadline_after(RETRY_NS));
        return;
    }
    self->over = true;
    cli_terminal_restore();
    if (status->error.code != OSA_OK) {
        self->status = self->cli->command->failed;
        cli_report_status(self->cli, status);
    } else if (self->what->follow) {
        self->status = CLI_NOT_RUN;
        cli_note("the agent ended the stream before the process ended");
    }
}

/* ---- the session ---- */

static void begin(struct session *self)
{
    char id[128];
    API(AttachStart) start = API_INIT(ATTACH_START);
    API(AttachRequest) request = API_INIT(ATTACH_REQUEST);
    (void)snprintf(id, sizeof(id), "%s", self->what->process_id);
    start.process_id = id;
    start.offset = self->offset;
    start.from_end = self->what->from_end && !self->ever_started;
    start.follow = self->what->follow;
    request.message_case = API_VALUE(ATTACH_REQUEST__MESSAGE_START);
    request.start = &start;
    self->call = rpc_client_start(self->cli->channel, API_METHOD("Attach"),
                                  API_TYPE(attach_response), OSA_NEVER,
                                  /* wait_for_ready= */ false, &self->events);
    send_request(self, &request);
    /* Nothing more to say: the agent need not wait for us to hang up. */
    if (!self->what->follow)
        rpc_client_half_close(self->call);
}

static void on_retry(struct osa_timer *timer)
{
    struct session *self = OSA_CONTAINER_OF(timer, struct session, retry);
    if (!self->over)
        begin(self);
}

/* Nobody would deliver the signal now, and whoever sent it should not have to wait. */
static void give_up(struct session *self)
{
    stop(self, self->cli->command->failed);
    osa_timer_disarm(&self->retry);
    cli_terminal_restore();
    cli_note("gave up; what becomes of %s is not known", self->what->process_id);
}

static void forward(struct session *self, int signo)
{
    const char *word = cli_signal_word(signo);
    if (signo == SIGWINCH) {
        send_size(self);
        return;
    }
    if (word == NULL)
        return;
    bool ends = signo == SIGHUP || signo == SIGINT || signo == SIGQUIT || signo == SIGTERM;
    if (ends && self->ever_started && !self->started && !self->over) {
        give_up(self);
        return;
    }
    if (signo == SIGINT || signo == SIGTERM)
        self->interrupts++;
    if (self->interrupts >= INTERRUPTS_TO_KILL) {
        cli_note("killing %s", self->what->process_id);
        send_kill(self);
        return;
    }
    /* As a terminal does: an interrupt or quit goes to the whole foreground job. */
    bool job = signo == SIGINT || signo == SIGQUIT;
    send_signal(self, word,
                job ? API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_GROUP)
                    : API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_PROCESS));
}

static void on_signals(struct osa_source *source, unsigned events)
{
    struct session *self = OSA_CONTAINER_OF(source, struct session, signals);
    unsigned char bytes[16];
    ssize_t len = read(source->fd, bytes, sizeof(bytes));
    (void)events;
    for (ssize_t i = 0; i < len; i++)
        forward(self, bytes[i]);
}

static enum osa_code watch_signals(struct session *self, struct osa_error *err)
{
    static const int forwarded[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, 0
    };
    enum osa_code code = cli_signals_open(forwarded, &self->signals.fd, err);
    return code != OSA_OK ? code : osa_source_add(self->cli->loop, &self->signals, OSA_READ, err);
}

int cli_attach(struct cli *cli, const struct cli_attach *what)
{
    struct osa_error err = { 0 };
    struct session self = {
        .events = { .message = on_message, .writable = on_writable, .done = on_done },
        .input = { .fd = STDIN_FILENO, .ready = on_input },
        .signals = { .fd = -1, .ready = on_signals },
        .pump = { .run = on_pump },
        .retry = { .fire = on_retry },
        .cli = cli,
        .what = what,
        .offset = what->offset,
        .input_open = what->input,
        .status = CLI_DONE,
    };
    enum osa_code code = cli_connect(cli, &err);
    if (code == OSA_OK && what->signals)
        code = watch_signals(&self, &err);
    if (code != OSA_OK) {
        cli_report(cli, &err, NULL);
        return cli->command->failed;
    }
    begin(&self);
    while (!self.over || self.call != NULL || self.pending > 0 || self.pump_posted) {
        if (self.over && self.call != NULL)
            rpc_client_cancel(self.call);
        (void)osa_loop_run_once(cli->loop, OSA_NEVER);
    }
    osa_source_remove(&self.input);
    osa_source_remove(&self.signals);
    osa_timer_disarm(&self.retry);
    cli_terminal_restore();
    if (self.lost > 0)
        cli_note("%" PRIu64
                 " bytes of output were lost: they came faster than they were taken, and "
                 "the agent keeps a bounded part",
                 self.lost);
    return self.status;
}
