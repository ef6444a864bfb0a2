// SPDX-License-Identifier: Apache-2.0
/* What the files of the client share; private to src/rpc. */
#pragma once

#include "rpc/client.h"
#include "rpc/token.h"
#include "rpc/worker.h"

/** struct rpc_channel - Owner: the loop thread */
struct rpc_channel {
    struct osa_loop *loop;
    struct rpc_worker worker;
    grpc_channel *core; /* owned */
    struct rpc_token token;
    char *token_path; /* owned */
    bool has_token;
    struct rpc_client_call *calls; /* those whose done has not returned */
};
