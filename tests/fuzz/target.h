// SPDX-License-Identifier: Apache-2.0
/* What each fuzz target defines; libFuzzer or replay.c calls it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * LLVMFuzzerTestOneInput() - Feed one input to the code under test
 * @data: borrowed
 * @size: bytes at @data
 * Return: always 0. Must not depend on earlier inputs, and aborts when an invariant is broken.
 * Source: llvm.org/docs/LibFuzzer.html
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
