// SPDX-License-Identifier: Apache-2.0
/* The start of one process: from a checked launch plan to a successful exec, or to who refused it. */
#pragma once

#include "base/error.h"
#include "launcher/identity.h"
#include "launcher/plan.h"
#include "launcher/wire.h"

/**
 * struct start_report - Why a start failed
 * @stage:  enum launch_stage; 0: it did not
 * @code:   enum osa_code when the step knows it, and @detail is the whole text; else 0
 * @detail: what the stage worked on, such as a path; may be empty
 */
struct start_report {
    uint32_t stage;
    uint32_t code;
    int sys_errno;
    char detail[LAUNCHER_DETAIL_MAX];
};

/** start_report_error() - Fill a report from the error of a module; @stage counts when it names none. Return: -1 */
int start_report_error(struct start_report *report, enum launch_stage stage,
                       const struct osa_error *err);

/** struct started - A process after its exec; descriptors are owned by the caller */
struct started {
    pid_t pid;
    int pidfd;
    int terminal; /* master, or -1 */
    int listener; /* of its filter; -1: it has none, or refused calls are not told */
};

/**
 * process_start_set_up() - Remember the limit of descriptors for processes to come, raise the caller's
 * An init holds a listener for each process. Once, in the zygote; inherited by its forks.
 */
void process_start_set_up(void);

/**
 * process_start() - Start a process and wait for its exec
 * @sandbox: of the sandbox that the caller is init or keeper of
 * @identity: of processes that name no user
 * @packet:  its descriptors are stdio (unless the plan says terminal) and cgroup files; closed by the caller
 * @ret_report: filled unless 0 is returned
 * Return: 0, or -1 with nothing left behind. Thread: the only one.
 */
int process_start(const struct sandbox_plan *sandbox, const struct identity *identity,
                  const struct launch_plan *plan, const struct wire_packet *packet,
                  struct started *ret_started, struct start_report *ret_report);
