// SPDX-License-Identifier: Apache-2.0
/* policy/pattern: any glob over any text is refused or answers, the table like the walk. */
#include "fuzz/target.h"

#include "policy/glob.h"
#include "policy/pattern.h"

#include <stdlib.h>
#include <string.h>

/* The input: separator, glob, NUL, text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separators[] = { '/', '.', '\0' };
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    struct osa_error err = { 0 };
    if (size < 2 || size > 4096)
        return 0;
    const char *glob = (const char *)data + 1;
    const char *end = memchr(glob, '\0', size - 1);
    if (end == NULL)
        return 0;
    const char *text = end + 1;
    size_t len = size - (size_t)(text - (const char *)data);
    const struct policy_pattern *pattern = NULL;
    if (data[0] % 4 == 3) {
        if (policy_pattern_compile_route(&arena, glob, &pattern, &err) == OSA_OK)
            (void)policy_pattern_match(pattern, text, len);
        return 0;
    }
    char separator = separators[data[0] % 4];
    enum osa_code code = policy_pattern_compile(&arena, glob, separator, &pattern, &err);
    if (code != OSA_OK) {
        if (code != OSA_INVALID_ARGUMENT || err.text[0] == '\0')
            abort();
        return 0;
    }
    bool matches = policy_pattern_match(pattern, text, len);
    /* A text that has the pattern's own plain bytes matches. */
    if (glob[strcspn(glob, "*?[]{}\\")] == '\0' &&
        matches != (len == strlen(glob) && memcmp(text, glob, len) == 0))
        abort();
    /* What matches with a separator matches without, unless ** or a class counts bytes. */
    if (separator == '/' && matches && strpbrk(glob, "*[{\\") == NULL) {
        const struct policy_pattern *loose = NULL;
        if (policy_pattern_compile(&arena, glob, '\0', &loose, &err) != OSA_OK ||
            !policy_pattern_match(loose, text, len))
            abort();
    }
    return 0;
}
