// SPDX-License-Identifier: Apache-2.0
/*
 * egress/head and egress/target: what passes as a head means the same to llhttp, and a target means
 * itself when it is written out. What follows the head is taken for its body.
 */
#include "fuzz/target.h"

#include "egress/target.h"
#include "io/http1.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_body(struct http1 *http, const char *data, size_t len)
{
    struct osa_buf out;
    size_t used = 0;
    osa_buf_init(&out, len);
    if (http1_body(http, data, len, &out, &used) != HTTP1_BAD)
        require(used <= len && out.len <= used);
    osa_buf_done(&out);
}

static void check_head(const char *data, size_t len, size_t end, bool response)
{
    struct head head;
    struct http1_framing framing;
    if (head_parse(data, end, response, &head) != NULL)
        return;
    require(head.count <= HEAD_MAX_FIELDS);
    for (unsigned i = 0; i < head.count; i++)
        require(head.fields[i].value.at + head.fields[i].value.len <= data + end);
    struct http1 *http = http1_new(response);
    require(http != NULL);
    enum http1_result result = http1_head(http, data, end, /* bodiless= */ false, &framing);
    if (result != HTTP1_BAD && head.method.len != 7) { /* CONNECT has no body whatever it says */
        require(framing.chunked == head.chunked);
        require(framing.has_length == head.has_length);
        require(!head.has_length || framing.length == head.length);
    }
    if (result == HTTP1_MORE)
        check_body(http, data + end, len - end);
    http1_free(http);
}

static void check_target(const char *data, size_t len)
{
    struct target target;
    struct target again;
    char text[TARGET_TEXT_SIZE];
    if (target_parse((struct head_span){ data, len }, 80, &target) != NULL)
        return;
    (void)target_text(&target, text);
    require(target_parse((struct head_span){ text, strlen(text) }, 0, &again) == NULL);
    require(target_same(&target, &again) && target.is_ip == again.is_ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head_span scheme;
    struct head_span path;
    struct target target;
    char *text = malloc(size + 1); /* so that a byte too far is noticed */
    require(text != NULL);
    memcpy(text, data, size);
    size_t end = head_end(text, size);
    if (end > 0) {
        check_head(text, size, end, /* response= */ false);
        check_head(text, size, end, /* response= */ true);
    }
    check_target(text, size);
    (void)target_parse_absolute((struct head_span){ text, size }, &scheme, &target, &path);
    free(text);
    return 0;
}
