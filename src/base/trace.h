// SPDX-License-Identifier: Apache-2.0
/*
 * The trace context of OpenTelemetry, as W3C Trace Context writes it: a caller names its trace, lines
 * of the log that follow from its call carry the name, and calls that follow from it hand it on.
 *
 * This program makes no spans, so it hands on what it was given: the span of whoever called stays the
 * parent of whatever is called, and a trace has no gap where nobody reports. What is current belongs to
 * the thread; who makes an asynchronous call keeps a reference and enters it again for the callback.
 */
#pragma once

#include "base/macros.h"

#include <stdatomic.h>

/* version-trace-span-flags, with its NUL */
#define OSA_TRACE_PARENT_SIZE 56
#define OSA_TRACE_ID_SIZE 33
#define OSA_TRACE_SPAN_SIZE 17
/* Longer ones may be dropped whole; W3C Trace Context, 3.3.1.5. With its NUL */
#define OSA_TRACE_STATE_SIZE 513

/**
 * struct osa_trace - One caller's context: constant, shared by counted references
 * @parent: "00-…", written anew from what was read, so it holds nothing else
 * @trace_id, @span_id: its parts
 * @state:  tracestate; NULL for none
 */
struct osa_trace {
    atomic_uint refs;
    char parent[OSA_TRACE_PARENT_SIZE];
    char trace_id[OSA_TRACE_ID_SIZE];
    char span_id[OSA_TRACE_SPAN_SIZE];
    char *state;
};

/**
 * osa_trace_new() - Read what a caller sent
 * @parent: traceparent; NULL for none. A version of the future may be longer than version 00
 * @state:  tracestate, printable and shorter than OSA_TRACE_STATE_SIZE, else left out; NULL for none
 * Return: the context (free with osa_trace_unref()); NULL when @parent is none or cannot be read, for
 * which W3C wants the call to go on without. Thread: any. Source: W3C Trace Context, 3.2 and 3.3.
 */
OSA_MUST_CHECK struct osa_trace *osa_trace_new(const char *parent, const char *state);

/** osa_trace_ref() - One more reference; NULL stays NULL. Thread: any */
struct osa_trace *osa_trace_ref(struct osa_trace *trace);
/** osa_trace_unref() - One less; NULL is fine. Thread: any */
void osa_trace_unref(struct osa_trace *trace);

/** osa_trace_free() - Cleanup function of a reference: OSA_AUTO(osa_trace_free) struct osa_trace *trace = … */
void osa_trace_free(struct osa_trace **trace);

/** osa_trace_current() - The context that this thread works for; NULL for none. Borrowed */
struct osa_trace *osa_trace_current(void);

/** struct osa_trace_scope - What osa_trace_leave() puts back; made by osa_trace_enter() */
struct osa_trace_scope {
    struct osa_trace *entered;
    struct osa_trace *before;
};

/**
 * osa_trace_enter() - Work for @trace from now on, until the scope is left; scopes nest
 * @trace: kept by the scope; NULL: for none
 */
OSA_MUST_CHECK struct osa_trace_scope osa_trace_enter(struct osa_trace *trace);
/** osa_trace_leave() - Cleanup function: OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = … */
void osa_trace_leave(struct osa_trace_scope *scope);
