// SPDX-License-Identifier: Apache-2.0
/*
 * Placeholders that stand for credentials in what a workload sends, and the exchange of one for the
 * other. Four forms:
 *
 *     openshell:resolve:env:KEY
 *     openshell:resolve:env:v<digits>_KEY             of one revision of the environment
 *     openshell:resolve:env:s<64 hex digits>_KEY      a handle that stays
 *     <prefix>OPENSHELL-RESOLVE-ENV-KEY               looks like a credential of its provider
 *
 * Policy decides, and logs tell, with POLICY_CREDENTIAL_SHOWN in their place; the real value is put
 * in afterwards, as late as can be. A marker that cannot be exchanged fails the whole, so that none
 * ever leaves.
 */
#pragma once

#include "base/buf.h"
#include "policy/request.h"

#define POLICY_CREDENTIAL_SHOWN "[CREDENTIAL]"

/* Bytes of the end of a stream to look at again with what comes next: a marker, all of it encoded. */
#define POLICY_PLACEHOLDER_TAIL 66

enum policy_placeholder_kind {
    POLICY_PLACEHOLDER_PLAIN,
    POLICY_PLACEHOLDER_REVISION,
    POLICY_PLACEHOLDER_HANDLE,
    POLICY_PLACEHOLDER_ALIAS
};

/**
 * struct policy_placeholder - One, found in a text and borrowed from it
 * @token: all of it
 * @key:   name in the environment
 * @mark:  digits of the revision, or the handle; empty else
 */
struct policy_placeholder {
    enum policy_placeholder_kind kind;
    struct policy_text token;
    struct policy_text key;
    struct policy_text mark;
};

/** policy_placeholder_key() - Whether a variable of this name may have a placeholder: letters, digits, _, and not looking like a revision or handle itself */
bool policy_placeholder_key(const char *key);

enum policy_placeholder_find {
    POLICY_PLACEHOLDER_NONE,
    POLICY_PLACEHOLDER_FOUND,
    POLICY_PLACEHOLDER_BROKEN /* a marker that is no whole placeholder */
};

/** policy_placeholder_next() - The first placeholder of @text at or after @at; @text is not encoded */
enum policy_placeholder_find policy_placeholder_next(struct policy_text text, size_t at,
                                                     struct policy_placeholder *ret);

/** policy_placeholder_seen() - Whether @text has a marker, as it is or percent-encoded, whole or not */
bool policy_placeholder_seen(struct policy_text text);

/**
 * struct policy_credentials - Who knows the values; embedded in its owner
 * @find: OSA_OK with a value that stays until the next call; NOT_FOUND (unknown, expired);
 *        PERMISSION_DENIED (bound to another endpoint)
 */
struct policy_credentials {
    enum osa_code (*find)(struct policy_credentials *self, const struct policy_placeholder *what,
                          struct policy_text *ret_value);
};

enum policy_escape {
    POLICY_ESCAPE_NONE, /* text of a websocket, text bodies */
    POLICY_ESCAPE_JSON  /* inside strings of a JSON body */
};

/**
 * policy_credentials_text() - Append @text with values for placeholders
 * @credentials: NULL puts POLICY_CREDENTIAL_SHOWN instead
 * @out:   unfinished on failure
 * @err:   names the place ("header"), never a value
 * Return: OSA_OK; NOT_FOUND for an unknown or broken placeholder, or a value with CR, LF or NUL;
 * PERMISSION_DENIED; RESOURCE_EXHAUSTED when @out is full.
 */
OSA_MUST_CHECK enum osa_code policy_credentials_text(struct policy_text text,
                                                     enum policy_escape escape,
                                                     struct policy_credentials *credentials,
                                                     struct osa_buf *out, struct osa_error *err);

/** policy_credentials_path() - The same for a path: values may not change its shape and are encoded */
OSA_MUST_CHECK enum osa_code policy_credentials_path(struct policy_text path,
                                                     struct policy_credentials *credentials,
                                                     struct osa_buf *out, struct osa_error *err);

/** policy_credentials_form() - The same for values, not names, of a query or a form's body; encoded */
OSA_MUST_CHECK enum osa_code policy_credentials_form(struct policy_text pairs,
                                                     struct policy_credentials *credentials,
                                                     struct osa_buf *out, struct osa_error *err);

/**
 * policy_credentials_header() - The same for a header's value
 * Placeholders stand alone, behind a scheme and a blank ("Bearer …"), or inside Basic, which is
 * decoded and encoded again. Elsewhere they are an error.
 */
OSA_MUST_CHECK enum osa_code policy_credentials_header(struct policy_text value,
                                                       struct policy_credentials *credentials,
                                                       struct osa_buf *out, struct osa_error *err);
