// SPDX-License-Identifier: Apache-2.0
/* A policy file as the message that carries it to the agent. */
#include "wire/policy_wire.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/wire.h"
#include "policy/document.h"

#include <fcntl.h>

enum osa_code cli_policy_document(const char *path, const struct policy_document **ret_doc,
                                  struct osa_error *err)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    enum osa_code code = osa_read_file(AT_FDCWD, path, POLICY_MAX_TEXT_BYTES, &text, &len, err);
    return code != OSA_OK ? code : policy_document_parse_yaml(text, len, path, ret_doc, err);
}

enum osa_code cli_policy_load(const char *path, Openshell__Sandbox__V1__SandboxPolicy **ret_policy,
                              struct osa_error *err)
{
    const struct policy_document *doc = NULL;
    enum osa_code code = cli_policy_document(path, &doc, err);
    if (code != OSA_OK)
        return code;
    for (size_t i = 0; i < doc->warnings.count; i++)
        cli_note("%s: warning: %s", path, doc->warnings.items[i]);
    code = policy_to_wire(doc, ret_policy, err);
    policy_document_unref(doc);
    return code;
}
