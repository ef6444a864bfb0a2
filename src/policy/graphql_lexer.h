// SPDX-License-Identifier: Apache-2.0
/* Tokens of GraphQL documents (October 2021 edition, section 2.1); private to src/policy. */
#pragma once

#include "policy/request.h"

enum graphql_token_kind {
    GRAPHQL_END,
    GRAPHQL_PUNCTUATOR, /* one of ! $ & ( ) : = @ [ ] { | } */
    GRAPHQL_SPREAD,     /* ... */
    GRAPHQL_NAME,
    GRAPHQL_NUMBER,
    GRAPHQL_STRING,
    GRAPHQL_BAD
};

struct graphql_token {
    enum graphql_token_kind kind;
    struct policy_text text;
};

/** graphql_next_token() - Token at *@at, which moves behind it; BAD when there is none and text is left */
struct graphql_token graphql_next_token(struct policy_text document, size_t *at);
