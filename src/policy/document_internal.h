// SPDX-License-Identifier: Apache-2.0
/* Shared by the files that build and check policy documents; private to src/policy. */
#pragma once

#include "policy/document_build.h"

/**
 * struct policy_check - One validation pass over a document
 * @doc:    under check
 * @origin: may be NULL
 * @steps, @depth: the field being looked at
 * @err:    the caller's
 */
struct policy_check {
    struct policy_document *doc;
    const struct policy_origin *origin;
    struct policy_step steps[POLICY_MAX_STEPS];
    size_t depth;
    struct osa_error *err;
};

/** policy_set_warnings() - Freeze the collected warnings into the document; a last one tells how many were dropped */
void policy_set_warnings(struct policy_document *doc);

/** policy_add_warning() - Append one; @text lies in the document */
void policy_add_warning(struct policy_document *doc, const char *text);

/** policy_was_refused() - Whether an allocation of the document failed. Return: true then */
bool policy_was_refused(const struct policy_document *doc);

/** policy_is_wire() - Whether the origin is a wire message. Return: true then */
bool policy_is_wire(const struct policy_check *check);

/** policy_printable() - @text for a message: cut, control and non-ASCII bytes as \xNN. Return: @buf */
const char *policy_printable(const char *text, char *buf, size_t size);

/* Room for policy_printable() in messages; longer text is cut. */
#define POLICY_SHOWN 96
/** POLICY_SHOW() - policy_printable() in an expression, in a buffer of the enclosing block */
#define POLICY_SHOW(text) policy_printable(text, (char[POLICY_SHOWN]){ 0 }, POLICY_SHOWN)

/** policy_enter() - Go down to field or map key @name; undone by policy_leave(). At most POLICY_MAX_STEPS deep */
void policy_enter(struct policy_check *check, const char *name);

/** policy_enter_index() - Go down to element @index of the present list */
void policy_enter_index(struct policy_check *check, size_t index);

/** policy_leave() - Go up by one step */
void policy_leave(struct policy_check *check);

/**
 * policy_reject() - Fail with INVALID_ARGUMENT at the present field
 * @name: a field below it, or NULL for the present one itself
 * @fmt:  what is wrong and what to write instead
 * Return: OSA_INVALID_ARGUMENT
 */
enum osa_code policy_reject(struct policy_check *check, const char *name, const char *fmt, ...)
    OSA_PRINTF(3, 4);

/** policy_warn() - As policy_reject(), but only adds to the document's warnings */
void policy_warn(struct policy_check *check, const char *name, const char *fmt, ...)
    OSA_PRINTF(3, 4);

/** policy_check_static() - Version, filesystem, landlock and process sections. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_check_static(struct policy_check *check);

/** policy_check_rules() - network_policies, each rule by itself. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_check_rules(struct policy_check *check);

/** policy_check_host() - Host of the endpoint at the present field. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_check_host(struct policy_check *check,
                                               const struct policy_endpoint *endpoint);

/** policy_check_ports() - Its port or ports; fills both forms. Return: OSA_OK, INVALID_ARGUMENT or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code policy_check_ports(struct policy_check *check,
                                                struct policy_endpoint *endpoint);

/** policy_warn_of_ranges() - allowed_ips that refuse every connection; they load, as upstream lets them */
void policy_warn_of_ranges(struct policy_check *check, const struct policy_strings *ranges);

/** policy_check_l7() - Request rules of the endpoint at the present field. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_check_l7(struct policy_check *check,
                                             const struct policy_endpoint *endpoint);

/** policy_check_ambiguity() - Endpoints that could both apply must agree. Return: OSA_OK, INVALID_ARGUMENT or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code policy_check_ambiguity(struct policy_check *check);

/** policy_check_middlewares() - network_middlewares. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_check_middlewares(struct policy_check *check);
