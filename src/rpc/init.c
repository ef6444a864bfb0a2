// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "rpc/accept_guard.h"
#include "rpc/read_guard.h"
#include "rpc/rpc.h"

#include <grpc/grpc.h>
#include <grpc/status.h>
#include <grpc/support/log.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

/* The one error type promises that its codes are gRPC's. */
#define SAME_CODE(name) _Static_assert((int)OSA_##name == (int)GRPC_STATUS_##name, #name)
SAME_CODE(OK);
SAME_CODE(CANCELLED);
SAME_CODE(UNKNOWN);
SAME_CODE(INVALID_ARGUMENT);
SAME_CODE(DEADLINE_EXCEEDED);
SAME_CODE(NOT_FOUND);
SAME_CODE(ALREADY_EXISTS);
SAME_CODE(PERMISSION_DENIED);
SAME_CODE(RESOURCE_EXHAUSTED);
SAME_CODE(FAILED_PRECONDITION);
SAME_CODE(ABORTED);
SAME_CODE(OUT_OF_RANGE);
SAME_CODE(UNIMPLEMENTED);
SAME_CODE(INTERNAL);
SAME_CODE(UNAVAILABLE);
SAME_CODE(DATA_LOSS);
SAME_CODE(UNAUTHENTICATED);

/* Much that core calls an error is a peer's doing (a failed handshake), so its highest level is our WARN. */
static void log_from_core(gpr_log_func_args *args)
{
    enum osa_log_level level =
        args->severity == GPR_LOG_SEVERITY_ERROR ? OSA_LOG_WARN : OSA_LOG_DEBUG;
    osa_log(level, "grpc", "core says", OSA_S("text", args->message), OSA_S("file", args->file),
            OSA_I("line", args->line));
}

static void init_once(void)
{
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    (void)setenv("GRPC_DNS_RESOLVER", "ares", /* overwrite= */ 1);
    gpr_set_log_function(log_from_core);
    gpr_set_log_verbosity(osa_log_enabled(OSA_LOG_DEBUG) ? GPR_LOG_SEVERITY_INFO
                                                         : GPR_LOG_SEVERITY_ERROR);
    grpc_init();
#ifdef __linux__
    rpc_accept_guard_init();
#endif
    rpc_read_guard_init();
}

void rpc_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_once);
}
