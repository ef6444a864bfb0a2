// SPDX-License-Identifier: Apache-2.0
/*
 * Moves bytes from one descriptor to another without looking at them. Where the system can
 * (splice(2)), they never enter the program; a mover that holds nothing has no memory of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * struct osa_mover - One direction; all zero is an idle one
 * @held: bytes that were taken and not given yet
 * @store: private
 */
struct osa_mover {
    size_t held;
    void *store;
};

/**
 * osa_mover_pull() - Take what @from has, up to some 64 KiB at once; only while nothing is held
 * Return: bytes taken; 0 at the end of file; -EAGAIN; another -errno
 */
ssize_t osa_mover_pull(struct osa_mover *mover, int from);

/** osa_mover_push() - Give @to what is held, as much as it takes. Return: bytes given; -EAGAIN; another -errno */
ssize_t osa_mover_push(struct osa_mover *mover, int to);

/** osa_mover_done() - Drop what is held */
void osa_mover_done(struct osa_mover *mover);

/** osa_mover_trim() - Free what idle movers of this thread have left for reuse */
void osa_mover_trim(void);
