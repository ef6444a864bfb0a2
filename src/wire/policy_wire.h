// SPDX-License-Identifier: Apache-2.0
/* The policy document and its wire message, for the agent, the gateway's session and the client. */
#pragma once

#include "policy/document.h"

#include "openshell/sandbox/v1/policy.pb-c.h"

/**
 * policy_from_wire() - Validate a message and copy it into a document
 * @wire:  borrowed; unpacked after rpc_message_scan(), so its text is UTF-8 without NUL
 * @field: where the message stands in the request ("policy"), for messages
 * @ret:   returned (release with policy_document_unref())
 * Return: OSA_OK; INVALID_ARGUMENT with the field and what to change; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_from_wire(const Openshell__Sandbox__V1__SandboxPolicy *wire,
                                              const char *field, const struct policy_document **ret,
                                              struct osa_error *err);

/**
 * policy_to_wire() - A message that policy_from_wire() reads back as the same document
 * @ret: returned (free with openshell__sandbox__v1__sandbox_policy__free_unpacked(…, NULL))
 * Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_to_wire(const struct policy_document *doc,
                                            Openshell__Sandbox__V1__SandboxPolicy **ret,
                                            struct osa_error *err);
