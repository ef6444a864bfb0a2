// SPDX-License-Identifier: Apache-2.0
/*
 * What a service manager such as systemd tells a service in its environment, and what it wants to
 * hear back. Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stddef.h>

#define OSA_SERVICE_SOCKETS 16

/**
 * struct osa_service - The connection to the manager; all of it empty where there is none
 * @sockets: listening sockets that it opened for us, owned; fd -1 once taken
 */
struct osa_service {
    int notify_fd;
    int64_t watchdog_ns; /* 0: none */
    struct osa_loop *loop;
    struct osa_timer beat;
    struct osa_service_socket {
        int fd;
        char name[64];
    } sockets[OSA_SERVICE_SOCKETS];
    size_t socket_count;
};

/**
 * osa_service_open() - Read NOTIFY_SOCKET, WATCHDOG_* and LISTEN_*, and take them out of the environment
 *
 * While the process has one thread. Descriptors become close-on-exec, so that no child inherits one.
 * Variables that are meant for another process (LISTEN_PID, WATCHDOG_PID) are ignored and removed.
 * Return: OSA_OK, also when no manager is there; INVALID_ARGUMENT for variables that make no sense.
 */
OSA_MUST_CHECK enum osa_code osa_service_open(struct osa_service *service, struct osa_error *err);

/** osa_service_close() - Close what was not taken. A zeroed struct that was never opened is not fine */
void osa_service_close(struct osa_service *service);

/**
 * osa_service_take_socket() - The descriptor that the manager calls @name (FileDescriptorName=)
 * Return: owned by the caller; -1: there is none of that name, or no more.
 */
int osa_service_take_socket(struct osa_service *service, const char *name);

/** osa_service_tell() - Send a state such as "READY=1\nSTATUS=serving". Nobody there: nothing happens */
void osa_service_tell(const struct osa_service *service, const char *state);

/**
 * osa_service_watch() - From now on, say twice in each watchdog period that the loop still runs
 * Nothing without a watchdog. Ends with osa_service_close().
 */
void osa_service_watch(struct osa_service *service, struct osa_loop *loop);
