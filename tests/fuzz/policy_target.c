// SPDX-License-Identifier: Apache-2.0
/* policy/target: a target is refused, or its path is canonical: no dots, no doubles, and stable. */
#include "fuzz/target.h"

#include "policy/query.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_canonical(struct policy_text path)
{
    require(path.len >= 1 && path.data[0] == '/' && path.data[path.len] == '\0');
    require(strlen(path.data) == path.len);
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        require(c > ' ' && c < 0x7f && c != ';' && c != '?' && c != '#');
        if (c != '/')
            continue;
        size_t len = strcspn(path.data + i + 1, "/");
        const char *part = path.data + i + 1;
        require(len > 0 || i + 1 == path.len);
        require(!(len == 1 && part[0] == '.') && !(len == 2 && memcmp(part, "..", 2) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char room[POLICY_TARGET_ROOM];
    char again[POLICY_TARGET_ROOM];
    struct policy_target target;
    struct policy_target twice;
    struct osa_error err = { 0 };
    if (policy_target_parse((const char *)data, size, room, &target, &err) != OSA_OK) {
        require(err.code == OSA_INVALID_ARGUMENT);
        return 0;
    }
    require_canonical(target.path);
    require(target.encoded_slash || strstr(room, "%2F") == NULL);
    if (target.path.len <= POLICY_MAX_TARGET_PATH) {
        require(policy_target_parse(room, target.path.len, again, &twice, &err) == OSA_OK);
        require(strcmp(room, again) == 0);
    }
    struct policy_text key;
    struct policy_text value;
    size_t seen = 0;
    for (struct policy_text rest = target.query; policy_query_next(&rest, &key, &value);) {
        char text[POLICY_MAX_QUERY];
        size_t len = 0;
        require(policy_query_decode(value, text, &len) && len <= value.len);
        require(policy_query_decode(key, text, &len));
        if (memchr(text, '\0', len) == NULL && len < sizeof(text)) {
            text[len] = '\0';
            require(policy_query_is(key, text));
        }
        seen += key.len + value.len;
    }
    require(seen <= target.query.len);
    return 0;
}
