// SPDX-License-Identifier: Apache-2.0
/* The channel into a box: whatever a guest sends, as text or as a frame's body, is taken or refused. */
#include "fuzz/target.h"

#include "guest/link.h"
#include "guest/messages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct end {
    struct link link;
    uint32_t last;
    size_t sent;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void read_all(const char *body, size_t len)
{
    struct guest_process_spec process;
    struct guest_sandbox_spec sandbox;
    struct process_exit exit;
    struct isolation isolation;
    struct door_visit visit;
    struct guest_owner owner;
    struct osa_error err;
    struct codec_reader reader = { body, len, false };
    guest_read_process(&reader, &process);
    require(reader.failed || process.spec.argv[0] != NULL);
    require(process.spec.rlimit_count <= OSA_ARRAY_LEN(process.rlimits));
    guest_process_done(&process);
    reader = (struct codec_reader){ body, len, false };
    (void)guest_read_resources(&reader);
    guest_read_sandbox(&reader, &sandbox);
    require(reader.failed || sandbox.spec.env != NULL);
    guest_sandbox_done(&sandbox);
    reader = (struct codec_reader){ body, len, false };
    guest_read_exit(&reader, &exit);
    require(exit.code >= 0 && exit.code <= 255 && exit.signal >= 0 && exit.signal <= 64);
    reader = (struct codec_reader){ body, len, false };
    guest_read_isolation(&reader, &isolation);
    require((unsigned)isolation.level <= ISOLATION_VM);
    require(strnlen(isolation.degraded, sizeof(isolation.degraded)) < sizeof(isolation.degraded));
    reader = (struct codec_reader){ body, len, false };
    guest_read_visit(&reader, &visit);
    reader = (struct codec_reader){ body, len, false };
    guest_read_owner(&reader, &owner);
    require(reader.failed || (owner.owner.pid > 0 && owner.owner.exe[0] == '/'));
    guest_owner_done(&owner);
    reader = (struct codec_reader){ body, len, false };
    if (codec_read_error(&reader, &err))
        require(err.code > OSA_OK && err.code < OSA_CODE_COUNT);
}

static void on_text(struct link *link, const char *text, size_t len)
{
    struct end *end = OSA_CONTAINER_OF(link, struct end, link);
    require(len > 0 && text[len - 1] == '\n');
    end->sent += len;
}

static void on_frame(struct link *link, const struct link_frame *frame)
{
    struct end *end = OSA_CONTAINER_OF(link, struct end, link);
    require(frame->type != 0 && link->received == ++end->last); /* in order, each once */
    read_all(frame->body, frame->len);
}

static void on_drained(struct link *link)
{
    (void)link;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct end end = { .link = { .send = on_text, .receive = on_frame, .drained = on_drained } };
    const char *text = (const char *)data;
    link_init(&end.link);
    link_resume(&end.link);
    link_send(&end.link, GUEST_SPAWN, 7, "body", 4);
    link_feed(&end.link, text, size / 2);
    link_feed(&end.link, text + size / 2, size - size / 2);
    link_poke(&end.link);
    require(end.sent > 0);
    link_done(&end.link);
    read_all(text, size);
    return 0;
}
