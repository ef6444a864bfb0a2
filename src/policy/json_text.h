// SPDX-License-Identifier: Apache-2.0
/* JSON strings into a buffer, for settings that are kept as text. */
#pragma once

#include "base/buf.h"

/** policy_json_string() - Append @text, UTF-8, quoted and escaped as RFC 8259 section 7 has it */
void policy_json_string(struct osa_buf *out, const char *text);
