// SPDX-License-Identifier: Apache-2.0
/*
 * Network namespaces for others' programs. A namespace is the property of a thread, so the calls
 * here go in and come back before they return, and a socket stays where it was made.
 */
#pragma once

#include "base/error.h"

/**
 * osa_netns_new() - Make a network namespace that has loopback, up, and nothing else
 * @ret_fd: it, CLOEXEC; lives as long as somebody holds it or is in it
 * The calling thread stays where it is. Needs CAP_SYS_ADMIN.
 * Return: OSA_OK; FAILED_PRECONDITION: it cannot be made here.
 * Source: network_namespaces(7), setns(2)
 */
OSA_MUST_CHECK enum osa_code osa_netns_new(int *ret_fd, struct osa_error *err);

/**
 * osa_netns_enter() - Let the calling thread into @ns_fd; what it starts or opens belongs there
 * Return: the way back, for osa_netns_leave(); -1 with errno
 */
int osa_netns_enter(int ns_fd);

/** osa_netns_leave() - Go back. Aborts when that fails, for the thread would go on in the wrong place */
void osa_netns_leave(int back_fd);

/** osa_netns_socket() - socket(2) in @ns_fd, CLOEXEC. Return: as socket(2) */
int osa_netns_socket(int ns_fd, int domain, int type, int protocol);
