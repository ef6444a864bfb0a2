// SPDX-License-Identifier: Apache-2.0
/* Two certificate authorities and what they sign, made when a test wants them. */
#pragma once

#include <stdint.h>

/**
 * pki_write() - ca.pem, server.{pem,key} (127.0.0.1), client.{pem,key} ("a client"); and of a second
 * authority other-ca.pem, other-server.{pem,key}, stranger.{pem,key}; all in @dir
 */
void pki_write(const char *dir);

/** pki_dial() - A TCP connection to that port of 127.0.0.1. Return: its descriptor */
int pki_dial(uint16_t port);

/** pki_connect() - connect(2) an existing socket there; needs no new descriptor */
void pki_connect(int fd, uint16_t port);
