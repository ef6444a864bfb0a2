// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway/claims.h"

#include "agent/gateway/gateway.h"
#include "base/fd.h"
#include "io/json_value.h"

#include <stdlib.h>
#include <string.h>

struct json_t *claims_read(const char *token)
{
    const char *claims = strchr(token, '.');
    const char *end = claims != NULL ? strchr(claims + 1, '.') : NULL;
    struct json_t *json = NULL;
    struct osa_error ignored;
    if (end == NULL)
        return NULL;
    OSA_AUTO(osa_free) char *encoded = strndup(claims + 1, (size_t)(end - claims - 1));
    OSA_AUTO(osa_free) char *text = encoded != NULL ? malloc(strlen(encoded) + 1) : NULL;
    ptrdiff_t len = text != NULL ? workload_base64url(encoded, text) : -1;
    if (len < 0 || io_json_parse(text, (size_t)len, &json, &ignored) != OSA_OK)
        return NULL;
    return json;
}

int64_t claims_expiry_ms(const struct json_t *claims)
{
    int64_t exp = 0;
    (void)io_json_integer(claims, "exp", &exp);
    return exp > 0 && exp < INT64_MAX / 1000 ? exp * 1000 : 0;
}
