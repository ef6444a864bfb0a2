// SPDX-License-Identifier: Apache-2.0
/* policy/placeholder: what is let through has no marker left, wherever it stood. */
#include "fuzz/target.h"

#include "policy/placeholder.h"

#include <stdlib.h>
#include <string.h>

static enum osa_code find(struct policy_credentials *self, const struct policy_placeholder *what,
                          struct policy_text *ret_value)
{
    (void)self;
    if (what->token.len < what->key.len || what->key.len == 0)
        abort();
    *ret_value = policy_text("v");
    return what->key.data[0] == 'X' ? OSA_NOT_FOUND : OSA_OK;
}

/* The first byte chooses the place, and whether values or their stand-in are put. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_credentials credentials = { find };
    struct osa_error err = { 0 };
    if (size == 0)
        return 0;
    struct policy_text text = { (const char *)data + 1, size - 1 };
    struct policy_credentials *whose = data[0] & 0x80 ? NULL : &credentials;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 1 << 20);
    enum osa_code code = OSA_OK;
    bool encoded = true; /* the place is one where markers may hide in escapes */
    switch (data[0] % 5) {
    case 0:
        code = policy_credentials_path(text, whose, &out, &err);
        break;
    case 1:
        code = policy_credentials_form(text, whose, &out, &err);
        break;
    case 2:
        code = policy_credentials_header(text, whose, &out, &err);
        break;
    default:
        code = policy_credentials_text(
            text, data[0] % 5 == 3 ? POLICY_ESCAPE_NONE : POLICY_ESCAPE_JSON, whose, &out, &err);
        encoded = false;
    }
    struct policy_text result = { out.data, out.len };
    struct policy_placeholder what;
    if (code == OSA_OK &&
        (encoded ? policy_placeholder_seen(result)
                 : policy_placeholder_next(result, 0, &what) != POLICY_PLACEHOLDER_NONE))
        abort();
    if (code != OSA_OK && err.text[0] == '\0')
        abort();
    return 0;
}
