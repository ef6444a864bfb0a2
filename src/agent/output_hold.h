// SPDX-License-Identifier: Apache-2.0
/*
 * A writer that is faster than its readers.
 *
 * The log keeps a bounded part of the output, so what outruns an attached reader would be lost to
 * it. While a reader that follows lags by more than half of the log, the output waits in its pipe,
 * and so does the writer, as with any pipe. A reader that does not catch up to a quarter of the
 * log within OUTPUT_HOLD_NS counts as stalled: nobody waits for it again until it has caught up, and
 * what it loses it is told as a gap. A stalled reader thus costs a process at most that time, once.
 *
 * While a follower sends, the output waits in its pipe, too, until the send has ended or OUTPUT_PACE_NS
 * has passed. Else each small write of a busy process would wake the agent and become a message: now
 * they are read together, and what comes alone is sent at once.
 *
 * A Spawn with hold_output asks for the same before anybody has attached: the first follower counts as
 * one that has read nothing yet, and is waited for as long as the Spawn says.
 */
#pragma once

#include "agent/process.h"
#include "base/clock.h"

#define OUTPUT_HOLD_NS OSA_NS_PER_SEC
#define OUTPUT_PACE_NS OSA_NS_PER_MS
/* Longest time that a Spawn may ask for. */
#define OUTPUT_HOLD_FIRST_MAX_NS (3600 * OSA_NS_PER_SEC)

/** output_hold_init() - For a fresh process. Thread: loop, as all here */
void output_hold_init(struct process *process);

/** output_hold_start() - The process runs now: hold its output for the first follower, if its Spawn asked for that */
void output_hold_start(struct process *process);

/** output_hold_reader_came() - @reader has registered */
void output_hold_reader_came(struct process *process, const struct process_reader *reader);

/** output_hold_update() - Hold or let go, after output came or a reader moved, came or left */
void output_hold_update(struct process *process);

/** output_hold_end() - Let go for good: the process has exited */
void output_hold_end(struct process *process);
