// SPDX-License-Identifier: Apache-2.0
/*
 * C core asks for the certificates at the start and again at every handshake, once for each address
 * that it listens on, and keeps what it got last for that address. So each address has a fetcher
 * that knows what it has given. It looks at the files then, and reads them when one has changed; a
 * set that does not fit together (a certificate already replaced, its key not yet) is left aside,
 * and the old one serves on.
 */
#include "rpc/credentials.h"
#include "base/fd.h"
#include "base/log.h"
#include "rpc/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#define PEM_MAX_BYTES ((size_t)1024 * 1024)

enum pem { PEM_CERT, PEM_KEY, PEM_CLIENT_CA, PEM_COUNT };

/* What tells that a file is another one than before. */
struct stamp {
    struct timespec mtime;
    ino_t inode;
    off_t size;
};

/* What one listening address has of them. */
struct fetcher {
    struct fetcher *next;
    const struct rpc_credentials_store *store;
    grpc_server_credentials *core; /* owned */
    pthread_mutex_t lock;
    struct stamp stamps[PEM_COUNT]; /* guarded by lock; of the set tried last */
};

struct rpc_credentials_store {
    const char *paths[PEM_COUNT]; /* borrowed; NULL: not configured */
    struct fetcher *fetchers;
};

struct pem_set {
    char *text[PEM_COUNT]; /* owned */
};

static void pem_set_done(struct pem_set *set)
{
    for (int i = 0; i < PEM_COUNT; i++) {
        if (set->text[i] != NULL && i == PEM_KEY)
            osa_wipe(set->text[i], strlen(set->text[i]));
        free(set->text[i]);
    }
}

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) < 0)
        return (struct stamp){ 0 };
    return (struct stamp){ OSA_STAT_MTIME(&st), st.st_ino, st.st_size };
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static enum osa_code check_set(const struct rpc_credentials_store *store, const struct pem_set *set,
                               struct osa_error *err)
{
    enum osa_code code = rpc_pem_check_pair(set->text[PEM_CERT], store->paths[PEM_CERT],
                                            set->text[PEM_KEY], store->paths[PEM_KEY], err);
    if (code == OSA_OK && set->text[PEM_CLIENT_CA] != NULL)
        code =
            rpc_pem_check_certificate(set->text[PEM_CLIENT_CA], store->paths[PEM_CLIENT_CA], err);
    return code;
}

static enum osa_code read_set(const struct rpc_credentials_store *store, struct pem_set *set,
                              struct osa_error *err)
{
    for (int i = 0; i < PEM_COUNT; i++) {
        if (store->paths[i] == NULL)
            continue;
        enum osa_code code = osa_read_file(AT_FDCWD, store->paths[i], PEM_MAX_BYTES, &set->text[i],
                                           /* ret_len= */ NULL, err);
        if (code != OSA_OK)
            return osa_wrap(err, "TLS credentials");
    }
    return check_set(store, set, err);
}

/* ---- what C core asks for ---- */

static grpc_ssl_certificate_config_reload_status fetch(void *user_data,
                                                       grpc_ssl_server_certificate_config **config)
{
    struct fetcher *fetcher = user_data;
    const struct rpc_credentials_store *store = fetcher->store;
    struct stamp now[PEM_COUNT];
    for (int i = 0; i < PEM_COUNT; i++)
        now[i] = stamp_of(store->paths[i]);
    (void)pthread_mutex_lock(&fetcher->lock);
    bool changed = false;
    for (int i = 0; i < PEM_COUNT; i++)
        changed |= !stamp_same(&now[i], &fetcher->stamps[i]);
    memcpy(fetcher->stamps, now, sizeof(now));
    (void)pthread_mutex_unlock(&fetcher->lock);
    if (!changed)
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    OSA_AUTO(pem_set_done) struct pem_set set = { 0 };
    struct osa_error err = { 0 };
    if (read_set(store, &set, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "rpc", "certificates not replaced, the old ones stay in force",
                      &err);
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    }
    grpc_ssl_pem_key_cert_pair pair = { set.text[PEM_KEY], set.text[PEM_CERT] };
    /* Core asserts that there are roots, even where no client certificate is asked for and they are
     * never looked at; then our own certificate stands in. */
    const char *roots =
        set.text[PEM_CLIENT_CA] != NULL ? set.text[PEM_CLIENT_CA] : set.text[PEM_CERT];
    *config = grpc_ssl_server_certificate_config_create(roots, &pair, 1);
    osa_log(OSA_LOG_INFO, "rpc", "certificates read", OSA_S("cert", store->paths[PEM_CERT]));
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

static const char *non_empty(const char *path)
{
    return path != NULL && path[0] != '\0' ? path : NULL;
}

enum osa_code rpc_credentials_new(const struct rpc_credentials *config,
                                  struct rpc_credentials_store **ret_store, struct osa_error *err)
{
    struct rpc_credentials_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    store->paths[PEM_CERT] = non_empty(config->cert);
    store->paths[PEM_KEY] = non_empty(config->key);
    store->paths[PEM_CLIENT_CA] = non_empty(config->client_ca);
    *ret_store = store;
    if (store->paths[PEM_CERT] == NULL && store->paths[PEM_KEY] == NULL &&
        store->paths[PEM_CLIENT_CA] == NULL)
        return OSA_OK;
    OSA_AUTO(pem_set_done) struct pem_set set = { 0 };
    enum osa_code code =
        store->paths[PEM_CERT] == NULL || store->paths[PEM_KEY] == NULL
            ? osa_fail(err, OSA_INVALID_ARGUMENT, 0, "TLS needs both a certificate and its key")
            : read_set(store, &set, err);
    if (code != OSA_OK) {
        rpc_credentials_free(store);
        *ret_store = NULL;
        return code;
    }
    return OSA_OK;
}

grpc_server_credentials *rpc_credentials_core(struct rpc_credentials_store *store)
{
    if (store->paths[PEM_CERT] == NULL)
        return NULL;
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
    if (fetcher == NULL)
        abort();
    fetcher->store = store;
    (void)pthread_mutex_init(&fetcher->lock, NULL);
    grpc_ssl_client_certificate_request_type request =
        store->paths[PEM_CLIENT_CA] != NULL
            ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
            : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    fetcher->core = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, fetch, fetcher));
    LL_PREPEND(store->fetchers, fetcher);
    return fetcher->core;
}

void rpc_credentials_free(struct rpc_credentials_store *store)
{
    if (store == NULL)
        return;
    while (store->fetchers != NULL) {
        struct fetcher *fetcher = store->fetchers;
        LL_DELETE(store->fetchers, fetcher);
        grpc_server_credentials_release(fetcher->core);
        (void)pthread_mutex_destroy(&fetcher->lock);
        free(fetcher);
    }
    free(store);
}
