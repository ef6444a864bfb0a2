// SPDX-License-Identifier: Apache-2.0
#include "cli/place.h"

#include "base/id.h"

#include <stdlib.h>
#include <string.h>

enum osa_code cli_place_parse(const char *text, struct cli_place *ret, struct osa_error *err)
{
    *ret = (struct cli_place){ .kind = CLI_PLACE_LOCAL, .path = text };
    if (text[0] == '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'' is neither a path nor SANDBOX:PATH");
    if (strcmp(text, "-") == 0) {
        *ret = (struct cli_place){ .kind = CLI_PLACE_STREAM };
        return OSA_OK;
    }
    size_t len = strcspn(text, ":/");
    if (text[len] != ':')
        return OSA_OK;
    if (len < sizeof(ret->sandbox))
        memcpy(ret->sandbox, text, len);
    if (!osa_id_is_valid(ret->sandbox))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%.64s': what stands before the colon is no sandbox's id; write "
                        "./%.64s for a file of that name",
                        text, text);
    ret->kind = CLI_PLACE_SANDBOX;
    ret->path = text + len + 1;
    if (ret->path[0] != '/')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%.64s': a path in a sandbox begins with a slash", text);
    return OSA_OK;
}

const char *cli_place_name(const char *path, size_t *ret_len)
{
    const char *end = path + strlen(path);
    while (end > path && end[-1] == '/')
        end--;
    const char *begin = end;
    while (begin > path && begin[-1] != '/')
        begin--;
    size_t len = (size_t)(end - begin);
    bool dots = (len == 1 && begin[0] == '.') || (len == 2 && memcmp(begin, "..", 2) == 0);
    *ret_len = dots ? 0 : len;
    return begin;
}

/* Digits up to @end. Return: false for anything but 1 to 65535. */
static bool parse_port(const char *text, const char *end, uint16_t *ret)
{
    size_t len = (size_t)(end - text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
        return false;
    unsigned long value = strtoul(text, NULL, 10);
    *ret = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

enum osa_code cli_ports_parse(const char *text, struct cli_ports *ret, struct osa_error *err)
{
    const char *colon = strchr(text, ':');
    const char *port = colon == NULL ? text : colon + 1;
    *ret = (struct cli_ports){ 0 };
    bool good = parse_port(port, text + strlen(text), &ret->port);
    if (colon == NULL)
        ret->local = ret->port;
    else if (colon != text && !(colon == text + 1 && text[0] == '0'))
        good = good && parse_port(text, colon, &ret->local);
    if (good)
        return OSA_OK;
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                    "'%.64s' is not [LOCAL:]PORT, numbers from 1 to 65535", text);
}
