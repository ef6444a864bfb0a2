// SPDX-License-Identifier: Apache-2.0
#include "agent/egress.h"

#include "agent/agent_internal.h"
#include "agent/aliases.h"
#include "agent/authority.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "egress/gate.h"
#include "egress/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <utlist.h>

#define VARIABLES_MAX 24

/* Decisions of one kind that become events: BURST at once, RATE a second; what is more is counted. */
#define METER_BURST 50
#define METER_RATE 20

struct meter {
    int64_t tokens_ns; /* in time that they take to come back */
    int64_t last_ns;
    uint64_t left_out;
};

struct question;

/**
 * struct egress - Owned by its sandbox, which outlives it
 * @version: of the policy, counted here
 */
struct egress {
    struct sandbox *sandbox;
    struct question *questions; /* that are not answered yet */
    struct gate_events events;
    struct meter allowed;
    struct meter denied;
    struct gate *gate;
    struct resolver *resolver; /* NULL: programs that know no proxy have no way out */
    struct policy_live *policy;
    const struct policy_document *doc; /* owned reference; what @aliases speak of */
    struct aliases aliases;
    bool elsewhere;     /* the sandbox's files are not this host's */
    const char **names; /* owned; those of @doc, which then take the place of @aliases */
    uint32_t version;
    char url[64];
    char java[512];
    struct spec_pair variables[VARIABLES_MAX];
    struct spec_pairs environment;
};

/* ---- who ---- */

/* A question to the backend; it may be answered when the egress is gone. */
struct question {
    struct egress *egress; /* NULL then */
    struct question *prev, *next;
    gate_peer_fn done;
    void *ctx;
};

/* More names than a policy gives one executable and its ancestors; further ones grant nothing. */
#define NAMES_MAX 256

static enum policy_reason reason_of(enum osa_code code)
{
    switch (code) {
    case OSA_PERMISSION_DENIED:
        return POLICY_REASON_SHARED_SOCKET;
    case OSA_DATA_LOSS:
        return POLICY_REASON_INTEGRITY;
    default:
        return POLICY_REASON_IDENTITY_FAILED;
    }
}

/* The other names of an executable count like an ancestor's: whoever has the name has what it grants. */
static size_t add_names(const struct aliases *aliases, const char *path, const char **names,
                        size_t count)
{
    const char *name;
    for (size_t at = 0; count < NAMES_MAX && (name = aliases_of(aliases, path, &at)) != NULL;)
        names[count++] = name;
    return count;
}

static void answer(const struct question *question, const struct door_owner *owner)
{
    const char *names[NAMES_MAX];
    const struct aliases *aliases = &question->egress->aliases;
    size_t count = 0;
    for (size_t i = 0; owner->ancestors[i] != NULL && count < NAMES_MAX; i++)
        names[count++] = owner->ancestors[i];
    count = add_names(aliases, owner->exe, names, count);
    for (size_t i = 0; owner->ancestors[i] != NULL; i++)
        count = add_names(aliases, owner->ancestors[i], names, count);
    for (size_t i = 0; owner->names != NULL && owner->names[i] != NULL && count < NAMES_MAX; i++)
        names[count++] = owner->names[i];
    const struct gate_peer peer = {
        .pid = owner->pid, .exe = owner->exe, .ancestors = names, .ancestor_count = count
    };
    question->done(question->ctx, &peer, POLICY_REASON_NONE, NULL);
}

static void on_owner(void *ctx, const struct door_owner *owner, const struct osa_error *error)
{
    struct question *question = ctx;
    if (question->egress != NULL)
        DL_DELETE(question->egress->questions, question);
    if (error != NULL || question->egress == NULL)
        question->done(question->ctx, NULL,
                       error != NULL ? reason_of(error->code) : POLICY_REASON_IDENTITY_FAILED,
                       error != NULL ? error->text : "the sandbox has ended");
    else
        answer(question, owner);
    free(question);
}

static void on_identify(struct gate_events *events, const struct sockaddr_storage *client,
                        const struct sockaddr_storage *proxy, gate_peer_fn done, void *ctx)
{
    struct egress *egress = OSA_CONTAINER_OF(events, struct egress, events);
    struct sandbox *sandbox = egress->sandbox;
    const struct door_visit visit = { .client = *client,
                                      .proxy = *proxy,
                                      .names = (strlist)egress->names };
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL)
        abort();
    *question = (struct question){ .egress = egress, .done = done, .ctx = ctx };
    DL_APPEND(egress->questions, question);
    sandbox->backend->ops->sandbox_owner(sandbox->handle, &visit, on_owner, question);
}

/* ---- what ---- */

/* A workload must not be able to wash its past out of the event log. */
static bool meter_take(struct meter *meter)
{
    const int64_t each_ns = OSA_NS_PER_SEC / METER_RATE;
    int64_t now = osa_now_ns();
    if (meter->last_ns == 0)
        meter->tokens_ns = METER_BURST * each_ns;
    else
        meter->tokens_ns = OSA_MIN(meter->tokens_ns + now - meter->last_ns, METER_BURST * each_ns);
    meter->last_ns = now;
    if (meter->tokens_ns < each_ns) {
        meter->left_out++;
        return false;
    }
    meter->tokens_ns -= each_ns;
    return true;
}

static void on_record(struct gate_events *events, const struct gate_record *record)
{
    struct egress *egress = OSA_CONTAINER_OF(events, struct egress, events);
    struct sandbox *sandbox = egress->sandbox;
    struct meter *meter = record->allowed ? &egress->allowed : &egress->denied;
    struct egress_watcher *watcher;
    struct egress_watcher *next;
    char text[1024];
    DL_FOREACH_SAFE(sandbox->agent->egress_watchers, watcher, next)
    watcher->decided(watcher, sandbox, record);
    if (!meter_take(meter))
        return;
    bool request = record->method[0] != '\0';
    (void)snprintf(text, sizeof(text), "%s%s%s%s%s%s by %s (pid %d)%s%s%s%s%s", record->kind,
                   request ? " " : "", record->method, record->target[0] != '\0' ? " to " : "",
                   record->target, record->path, record->exe[0] != '\0' ? record->exe : "unknown",
                   (int)record->pid, record->rule[0] != '\0' ? " by rule " : "", record->rule,
                   record->reason[0] != '\0' ? ": " : "", record->reason,
                   record->detail[0] != '\0' ? ": " : "");
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof(text) - used, "%s", record->detail);
    used = strlen(text);
    if (meter->left_out > 0)
        (void)snprintf(text + used, sizeof(text) - used, " (%llu before it are not shown)",
                       (unsigned long long)meter->left_out);
    meter->left_out = 0;
    const struct event event = { .type = record->allowed ? EVENT_ALLOWED : EVENT_DENIED,
                                 .sandbox_id = sandbox->id,
                                 .control = "policy",
                                 .message = text };
    events_add(sandbox->agent->events, &event);
}

/* ---- life ---- */

static void add_variable(struct egress *egress, const char *key, const char *value)
{
    egress->variables[egress->environment.count++] = (struct spec_pair){ key, value };
}

/* The names that clients look for; those of upstream's supervisor. */
static void fill_environment(struct egress *egress, const struct sandbox_door *door)
{
    static const char *const proxies[] = { "ALL_PROXY",  "HTTP_PROXY",  "HTTPS_PROXY",
                                           "http_proxy", "https_proxy", "grpc_proxy" };
    static const char none[] = "127.0.0.1,localhost,::1";
    (void)snprintf(egress->url, sizeof(egress->url), "http://%s:%u", door->hosts[0], door->port);
    egress->environment.items = egress->variables;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(proxies); i++)
        add_variable(egress, proxies[i], egress->url);
    add_variable(egress, "NO_PROXY", none);
    add_variable(egress, "no_proxy", none);
    add_variable(egress, "NODE_USE_ENV_PROXY", "1");
}

/* A Java machine reads neither of the others: where the proxy is, whom to trust. */
static void add_java(struct egress *egress, const struct sandbox_door *door)
{
    (void)snprintf(egress->java, sizeof(egress->java),
                   "-Dhttp.proxyHost=%s -Dhttp.proxyPort=%u -Dhttps.proxyHost=%s "
                   "-Dhttps.proxyPort=%u -Dhttp.nonProxyHosts=127.0.0.1|localhost|[::1] "
                   "-Djavax.net.ssl.trustStore=" SANDBOX_SHARED_PATH "/ca-bundle.p12 "
                   "-Djavax.net.ssl.trustStoreType=PKCS12 "
                   "-Djavax.net.ssl.trustStorePassword=" AUTHORITY_STORE_PASSWORD,
                   door->hosts[0], door->port, door->hosts[0], door->port);
    add_variable(egress, "JAVA_TOOL_OPTIONS", egress->java);
}

static void add_authority(struct egress *egress)
{
    static const char *const alone[] = { "NODE_EXTRA_CA_CERTS", "DENO_CERT" };
    static const char *const bundle[] = { "SSL_CERT_FILE",     "REQUESTS_CA_BUNDLE",
                                          "CURL_CA_BUNDLE",    "GIT_SSL_CAINFO",
                                          "PIP_CERT",          "NPM_CONFIG_CAFILE",
                                          "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(alone); i++)
        add_variable(egress, alone[i], SANDBOX_SHARED_PATH "/openshell-ca.pem");
    for (unsigned i = 0; i < OSA_ARRAY_LEN(bundle); i++)
        add_variable(egress, bundle[i], SANDBOX_SHARED_PATH "/ca-bundle.pem");
}

static const struct egress_options *options_of(const struct agent *agent)
{
    static const struct egress_options defaults;
    return agent->setup.egress != NULL ? agent->setup.egress : &defaults;
}

/* Half of all descriptors are for others than this sandbox; @each are a connection's. */
static struct gate_limits choose_limits(unsigned each)
{
    struct gate_limits limits = gate_limits_default();
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / (2 * each) < limits.connections)
        limits.connections = OSA_MAX((unsigned)(files.rlim_cur / (2 * each)), 16u);
    return limits;
}

static enum osa_code open_dns(struct agent *agent, struct osa_error *err)
{
    const struct osa_strings *servers = &options_of(agent)->dns;
    if (agent->dns != NULL)
        return OSA_OK;
    enum osa_code code = dns_open(agent->setup.loop, &agent->dns, err);
    if (code == OSA_OK && servers->count > 0)
        code = dns_set_servers(agent->dns, servers->items, servers->count, err);
    if (code != OSA_OK)
        dns_close(OSA_TAKE(agent->dns));
    return code;
}

/* What looking into TLS takes beside an authority. Return: the authority, or NULL when there is no looking */
static struct tls_authority *open_tls(struct sandbox *sandbox)
{
    struct agent *agent = sandbox->agent;
    struct osa_error err = { 0 };
    if (sandbox->authority != NULL && agent->trust == NULL &&
        authority_trust(options_of(agent)->ca, &agent->trust, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "agent", "TLS that leaves sandboxes is not looked into", &err);
    return agent->trust != NULL ? authority_tls(sandbox->authority) : NULL;
}

static void policy_has_changed(struct egress *egress)
{
    if (egress->resolver != NULL)
        resolver_policy_changed(egress->resolver);
    if (egress->gate != NULL)
        gate_policy_changed(egress->gate);
}

enum osa_code egress_policy(struct egress *egress, const struct policy_document *doc,
                            struct osa_error *err)
{
    aliases_done(&egress->aliases);
    policy_document_unref(egress->doc);
    egress->doc = policy_document_ref(doc);
    free(OSA_TAKE(egress->names));
    if (egress->elsewhere)
        egress->names = aliases_names(doc);
    else
        aliases_resolve(doc, egress->sandbox->request->root, &egress->aliases);
    enum osa_code code = policy_live_publish(egress->policy, doc, ++egress->version, err);
    policy_has_changed(egress);
    return code;
}

void egress_policy_refused(struct egress *egress, const char *why)
{
    if (policy_live_reject(egress->policy, ++egress->version, why))
        policy_has_changed(egress);
}

void egress_failure_mode(struct egress *egress, enum policy_failure_mode mode)
{
    uint64_t before = policy_live_generation(egress->policy);
    policy_live_set_mode(egress->policy, mode);
    if (policy_live_generation(egress->policy) != before)
        policy_has_changed(egress);
}

static enum osa_code open_resolver(struct egress *egress, const struct sandbox_door *door,
                                   struct osa_error *err)
{
    struct agent *agent = egress->sandbox->agent;
    const struct resolver_config config = { .loop = agent->setup.loop,
                                            .dns = agent->dns,
                                            .policy = egress->policy,
                                            .events = &egress->events,
                                            .net = SANDBOX_NAMES_NET,
                                            .prefix = SANDBOX_NAMES_PREFIX,
                                            .udp = door->names_udp,
                                            .tcp = door->names_tcp };
    return door->names ? resolver_new(&config, &egress->resolver, err) : OSA_OK;
}

/* The door's descriptors are taken, also on failure. */
static enum osa_code open_door(struct egress *egress, struct sandbox_door *door,
                               struct osa_error *err)
{
    struct agent *agent = egress->sandbox->agent;
    struct tls_authority *authority = open_tls(egress->sandbox);
    fill_environment(egress, door);
    if (authority != NULL)
        add_authority(egress);
    if (authority != NULL && agent->store != NULL)
        add_java(egress, door);
    enum osa_code code = open_resolver(egress, door, err);
    if (code != OSA_OK) {
        for (unsigned i = 0; i < 2; i++)
            osa_close_fd(&door->fds[i]);
        osa_close_fd(&door->tcp);
        return code;
    }
    const struct gate_config config = { .loop = agent->setup.loop,
                                        .dns = agent->dns,
                                        .policy = egress->policy,
                                        .events = &egress->events,
                                        .limits = choose_limits(egress->elsewhere ? 3 : 2),
                                        .authority = authority,
                                        .trust = agent->trust,
                                        .providers = egress->sandbox->request->providers,
                                        .fds = { door->fds[0], door->fds[1] },
                                        .parent = agent->setup.parent,
                                        .resolver = egress->resolver,
                                        .tcp = door->tcp };
    return gate_new(&config, &egress->gate, err);
}

enum osa_code egress_open(struct sandbox *sandbox, const struct policy_document *doc,
                          struct egress **ret_egress, struct osa_error *err)
{
    struct agent *agent = sandbox->agent;
    struct sandbox_door door = { .fds = { -1, -1 } };
    struct egress *egress = calloc(1, sizeof(*egress));
    if (egress == NULL)
        return osa_fail_errno(err, ENOMEM, "egress proxy");
    egress->sandbox = sandbox;
    egress->events = (struct gate_events){ .identify = on_identify, .record = on_record };
    const struct policy_engine_options options = { .strict = options_of(agent)->policy_strict };
    egress->policy = policy_live_new(options_of(agent)->failure_mode, &options);
    enum osa_code code = open_dns(agent, err);
    if (code == OSA_OK)
        code = sandbox->backend->ops->sandbox_door(sandbox->handle, &door, err);
    egress->elsewhere = code == OSA_OK && door.fds[0] < 0 && door.fds[1] < 0;
    if (code == OSA_OK)
        code = open_door(egress, &door, err);
    if (code == OSA_OK)
        code = egress_policy(egress, doc, err);
    if (code != OSA_OK) {
        egress_close(egress);
        return code;
    }
    *ret_egress = egress;
    return OSA_OK;
}

void egress_close(struct egress *egress)
{
    if (egress == NULL)
        return;
    gate_free(egress->gate);
    resolver_free(egress->resolver);
    policy_live_free(egress->policy);
    struct question *question;
    DL_FOREACH(egress->questions, question)
    question->egress = NULL;
    aliases_done(&egress->aliases);
    free(egress->names);
    policy_document_unref(egress->doc);
    free(egress);
}

void egress_visit(struct egress *egress, int fd, const struct door_visit *visit)
{
    gate_visit(egress->gate, fd, &visit->client, &visit->proxy);
}

uint32_t egress_version(const struct egress *egress)
{
    return egress->version;
}

const struct spec_pairs *egress_environment(const struct egress *egress)
{
    static const struct spec_pairs none;
    return egress != NULL ? &egress->environment : &none;
}

bool egress_has_names(const struct egress *egress)
{
    return egress->resolver != NULL;
}

void egress_watch(struct agent *agent, struct egress_watcher *watcher)
{
    DL_APPEND(agent->egress_watchers, watcher);
}

void egress_unwatch(struct agent *agent, struct egress_watcher *watcher)
{
    DL_DELETE(agent->egress_watchers, watcher);
}
