// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <signal.h>

enum osa_code osa_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *arg),
                               void *arg, struct osa_error *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int rc = pthread_create(&thread, /* attr= */ NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, rc, "thread '%s' cannot be started", name);
#ifdef __linux__
    (void)pthread_setname_np(thread, name); /* elsewhere only a thread itself can do it */
#endif
    *ret_thread = thread;
    return OSA_OK;
}
