// SPDX-License-Identifier: Apache-2.0
/* Decisions in words: what was decided, by which rule, and what would allow it. */
#pragma once

#include "base/buf.h"
#include "policy/guard.h"
#include "policy/request.h"

/**
 * policy_explain_connect() - Append why a connection was refused, or by which rule it is allowed
 * One line without its end; names host, port, executable and rules. Untrusted text is escaped.
 */
void policy_explain_connect(const struct policy_engine *engine,
                            const struct policy_connection *connection,
                            const struct policy_grant *grant, struct osa_buf *out);

/** policy_advise_connect() - Append what to write in the policy to allow it; nothing when policy cannot */
void policy_advise_connect(const struct policy_engine *engine,
                           const struct policy_connection *connection,
                           const struct policy_grant *grant, struct osa_buf *out);

/** policy_explain_guard() - Append why an address, or none (@address NULL), was refused */
void policy_explain_guard(const struct policy_connection *connection,
                          const struct policy_guard *guard, enum policy_reason reason,
                          const struct policy_address *address, struct osa_buf *out);

/** policy_advise_guard() - Append what would allow it; nothing when policy cannot */
void policy_advise_guard(const struct policy_connection *connection,
                         const struct policy_guard *guard, enum policy_reason reason,
                         struct osa_buf *out);

/** policy_explain_request() - Append why a request was refused or audited, or what allows it */
void policy_explain_request(const struct policy_request *request,
                            const struct policy_answer *answer, struct osa_buf *out);

/** policy_advise_request() - Append what would allow it; nothing when policy cannot */
void policy_advise_request(const struct policy_request *request, const struct policy_answer *answer,
                           struct osa_buf *out);
