// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include "cli/message_json.h"

int cli_put_json(const ProtobufCMessage *message, bool pretty)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct osa_json json;
    osa_buf_init(&out, SIZE_MAX / 4);
    osa_json_init(&json, &out, pretty);
    cli_message_json(&json, message);
    (void)osa_buf_add(&out, "\n", 1);
    return cli_print(&out);
}

struct shown {
    bool json;
    cli_text_fn text;
    int status;
};

static bool show(void *ctx, const ProtobufCMessage *response)
{
    struct shown *self = ctx;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, SIZE_MAX / 4);
    if (self->json) {
        self->status = cli_put_json(response, /* pretty= */ true);
    } else if (self->text != NULL) {
        self->text(&out, response);
        self->status = cli_print(&out);
    }
    return true;
}

int cli_show(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, int64_t deadline_ns, cli_text_fn text)
{
    struct shown self = { .json = cli->global.json, .text = text };
    int status = cli_call(cli, method, request, response, deadline_ns, show, &self);
    return status != CLI_DONE ? status : self.status;
}
