// SPDX-License-Identifier: Apache-2.0
/* TCP addresses as numbers. Names are not resolved: that would load NSS modules of the image. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/**
 * struct osa_tcp_address - Taken apart
 * @text:     in one spelling: "127.0.0.1:80", "[::1]:80"
 * @loopback: 127.0.0.0/8 or ::1
 */
struct osa_tcp_address {
    struct sockaddr_storage any;
    socklen_t len;
    char text[64];
    bool loopback;
};

/**
 * osa_tcp_parse() - IPV4:PORT, [IPV6]:PORT or localhost:PORT; port 0 picks one when it is bound
 * Return: OSA_OK or INVALID_ARGUMENT, with @text and the forms that there are in the message.
 */
OSA_MUST_CHECK enum osa_code osa_tcp_parse(const char *text, struct osa_tcp_address *ret,
                                           struct osa_error *err);

/**
 * osa_tcp_listen() - Bind and listen
 * @ret_fd:   owned by the caller; CLOEXEC, non-blocking
 * @ret_port: that it got
 * Return: OSA_OK or FAILED_PRECONDITION (taken, not an address of this host).
 */
OSA_MUST_CHECK enum osa_code osa_tcp_listen(const struct osa_tcp_address *address, int *ret_fd,
                                            uint16_t *ret_port, struct osa_error *err);

/**
 * osa_tcp_original() - Where an accepted IPv4 connection was meant to go before rules redirected it here
 * Return: OSA_OK; NOT_FOUND for one that was not redirected. Source: nf_nat, SO_ORIGINAL_DST
 */
OSA_MUST_CHECK enum osa_code osa_tcp_original(int fd, struct sockaddr_storage *ret,
                                              struct osa_error *err);
