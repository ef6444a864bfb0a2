// SPDX-License-Identifier: Apache-2.0
/*
 * As whom the sandbox's processes run. A driver says it by number, or by the user that the image names;
 * without either it is the policy's, or the image's user "sandbox" where there is one.
 */
#include "agent/gateway/gateway.h"

#include "base/fd.h"
#include "policy/document.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWD_BYTES (1u << 20)
#define OWN_USER "sandbox"

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* A row of /etc/passwd begins with the name and a colon: passwd(5). */
static bool image_has_user(const char *root, const char *name)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    size_t name_len = strlen(name);
    struct osa_error ignored;
    if (osa_read_file_in(root != NULL && root[0] != '\0' ? root : "/", "etc/passwd", PASSWD_BYTES,
                         &text, &len, &ignored) != OSA_OK)
        return false;
    for (const char *row = text; row != NULL; row = strchr(row, '\n')) {
        row += *row == '\n';
        if (strncmp(row, name, name_len) == 0 && row[name_len] == ':')
            return true;
    }
    return false;
}

static enum osa_code by_number(struct gateway *gateway, const char *uid, const char *gid,
                               struct osa_error *err)
{
    if (gid[0] == '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "OPENSHELL_SANDBOX_UID needs OPENSHELL_SANDBOX_GID");
    /* An agent that is no root has one user to give, and needs not be told. */
    if (geteuid() != 0 && strtoul(uid, NULL, 10) == geteuid())
        return OSA_OK;
    gateway->user = osa_arena_printf(&gateway->arena, "%s:%s", uid, gid);
    return OSA_OK;
}

enum osa_code workload_user(struct gateway *gateway, const struct policy_document *policy,
                            struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    const char *uid = or_empty(config->uid);
    const char *image = or_empty(config->image_user);
    gateway->user = "";
    if (uid[0] != '\0' && image[0] != '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "OPENSHELL_OCI_IMAGE_USER and OPENSHELL_SANDBOX_UID exclude each other");
    if (uid[0] != '\0')
        return by_number(gateway, uid, or_empty(config->gid), err);
    if (policy->process.run_as_user[0] != '\0')
        return OSA_OK; /* the policy's, by whoever makes the sandbox */
    if (user_is_root(image))
        return osa_fail(
            err, OSA_INVALID_ARGUMENT, 0,
            "the image's user '%.64s' is root; name another one in the policy: process: "
            "{run_as_user: sandbox}",
            image);
    if (image[0] != '\0')
        gateway->user = image;
    else if (config->image_user == NULL && geteuid() == 0 && image_has_user(config->root, OWN_USER))
        gateway->user = OWN_USER;
    return OSA_OK;
}
