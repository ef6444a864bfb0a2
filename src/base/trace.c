// SPDX-License-Identifier: Apache-2.0
#include "base/trace.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where the parts stand in "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" */
enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };

static _Thread_local struct osa_trace *current;

/* Lower-case hexadecimal alone, as the standard has it; @some: not all of it 0 */
static bool is_hex(const char *text, size_t len, bool some)
{
    bool seen = false;
    for (size_t i = 0; i < len; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && (text[i] < 'a' || text[i] > 'f'))
            return false;
        seen |= text[i] != '0';
    }
    return seen || !some;
}

static bool is_parent(const char *text)
{
    size_t len = strnlen(text, OSA_TRACE_PARENT_SIZE);
    if (len < OSA_TRACE_PARENT_SIZE - 1 || !is_hex(text, 2, /* some= */ false) ||
        memcmp(text, "ff", 2) == 0)
        return false;
    char next = text[OSA_TRACE_PARENT_SIZE - 1];
    bool ends = next == '\0' || (next == '-' && memcmp(text, "00", 2) != 0);
    return ends && text[TRACE_AT - 1] == '-' && text[SPAN_AT - 1] == '-' &&
           text[FLAGS_AT - 1] == '-' && is_hex(text + TRACE_AT, 32, /* some= */ true) &&
           is_hex(text + SPAN_AT, 16, /* some= */ true) &&
           is_hex(text + FLAGS_AT, 2, /* some= */ false);
}

static char *copy_state(const char *state)
{
    if (state == NULL)
        return NULL;
    size_t len = strnlen(state, OSA_TRACE_STATE_SIZE);
    if (len == 0 || len == OSA_TRACE_STATE_SIZE)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (state[i] < ' ' || state[i] > '~')
            return NULL;
    }
    return strdup(state);
}

struct osa_trace *osa_trace_new(const char *parent, const char *state)
{
    if (parent == NULL || !is_parent(parent))
        return NULL;
    struct osa_trace *trace = calloc(1, sizeof(*trace));
    if (trace == NULL)
        return NULL; /* the call matters, its trace does not */
    atomic_init(&trace->refs, 1);
    memcpy(trace->trace_id, parent + TRACE_AT, sizeof(trace->trace_id) - 1);
    memcpy(trace->span_id, parent + SPAN_AT, sizeof(trace->span_id) - 1);
    /* Version 00 is what is understood here: of its flags there is one, "sampled". */
    memcpy(trace->parent, parent, sizeof(trace->parent) - 1);
    memcpy(trace->parent, "00", 2);
    bool sampled = strchr("13579bdf", parent[FLAGS_AT + 1]) != NULL;
    memcpy(trace->parent + FLAGS_AT, sampled ? "01" : "00", 2);
    trace->state = copy_state(state);
    return trace;
}

struct osa_trace *osa_trace_ref(struct osa_trace *trace)
{
    if (trace != NULL)
        atomic_fetch_add_explicit(&trace->refs, 1, memory_order_relaxed);
    return trace;
}

void osa_trace_unref(struct osa_trace *trace)
{
    if (trace == NULL || atomic_fetch_sub_explicit(&trace->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(trace->state);
    free(trace);
}

void osa_trace_free(struct osa_trace **trace)
{
    osa_trace_unref(*trace);
}

struct osa_trace *osa_trace_current(void)
{
    return current;
}

struct osa_trace_scope osa_trace_enter(struct osa_trace *trace)
{
    struct osa_trace_scope scope = { osa_trace_ref(trace), current };
    current = trace;
    return scope;
}

void osa_trace_leave(struct osa_trace_scope *scope)
{
    current = scope->before;
    osa_trace_unref(scope->entered);
    scope->entered = NULL;
}
