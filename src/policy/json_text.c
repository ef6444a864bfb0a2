// SPDX-License-Identifier: Apache-2.0
#include "policy/json_text.h"

void policy_json_string(struct osa_buf *out, const char *text)
{
    osa_buf_add(out, "\"", 1);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            osa_buf_addf(out, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            osa_buf_addf(out, "\\u%04x", (unsigned char)*c);
        else
            osa_buf_add(out, c, 1);
    }
    osa_buf_add(out, "\"", 1);
}
