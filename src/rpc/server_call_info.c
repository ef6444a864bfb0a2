// SPDX-License-Identifier: Apache-2.0
/* What a handler may ask about its call. */
#include "rpc/bytes.h"
#include "rpc/server_internal.h"

void *rpc_call_service(const struct rpc_call *call)
{
    return call->entry->ctx;
}

void rpc_call_set_data(struct rpc_call *call, void *data)
{
    call->data = data;
}

void *rpc_call_data(const struct rpc_call *call)
{
    return call->data;
}

const struct rpc_peer *rpc_call_peer(const struct rpc_call *call)
{
    return &call->peer;
}

int64_t rpc_call_deadline_ns(const struct rpc_call *call)
{
    return call->deadline_ns;
}

const char *rpc_call_metadata(const struct rpc_call *call, const char *key)
{
    if (call->core == NULL)
        return NULL;
    ptrdiff_t at = rpc_metadata_find(&call->metadata, key);
    if (at < 0)
        return NULL;
    grpc_slice value = call->metadata.metadata[at].value;
    size_t size = GRPC_SLICE_LENGTH(value) + 1;
    char *copy = grpc_call_arena_alloc(call->core, size); /* freed with the call */
    rpc_slice_copy(value, copy, size);
    return copy;
}

bool rpc_call_is_cancelled(const struct rpc_call *call)
{
    return call->gone;
}
