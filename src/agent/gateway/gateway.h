// SPDX-License-Identifier: Apache-2.0
/*
 * The gateway's front: one sandbox, its main process, and a session with openshell-server through which
 * it is used from afar. It answers to what drivers and pods expect of OpenShell's supervisor.
 *
 * Threads: everything runs on the loop thread.
 */
#pragma once

#include "agent/gateway/config.h"
#include "agent/process.h"
#include "agent/program.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "rpc/client.h"

#include "openshell/v1/supervisor.pb-c.h"

#define GATEWAY(name) Openshell__V1__##name
#define GATEWAY_INIT(name) OPENSHELL__V1__##name##__INIT
#define GATEWAY_METHOD(name) "/openshell.v1.OpenShell/" name

struct session;
struct settings;
struct tokens;
struct providers;
struct logs;
struct analysis;
struct exit_report;
struct io_ssh_server;
struct ssh_client;
struct ssh_listener;
struct ssh_session;

/**
 * struct main_spec - The main process
 * @argv: NULL-terminated; in the gateway's arena
 */
struct main_spec {
    const char **argv;
    size_t argc;
    bool tty;
};

/**
 * struct gateway - The front; one for the process
 * @channel: NULL without a gateway
 * @instance_id: of this run of the main process
 * @user_env: of the sandbox's owner
 * @workdir: absolute, "/" by default
 * @status: exit status of this program, from the main process
 */
struct gateway {
    struct program program;
    struct gateway_config *config;
    struct osa_arena arena;
    int run_fd;
    struct rpc_channel *channel;
    char instance_id[40];
    struct main_spec main_spec;
    struct spec_pairs user_env;
    const char *workdir;
    const char *user;
    struct process *main;
    struct process_waiter main_exit;
    bool unknown; /* the gateway says that there is no such sandbox */
    bool ended;
    bool finishing;
    int status;
    struct session *session;
    struct settings *settings;
    struct tokens *tokens;
    struct providers *providers;
    struct logs *logs;
    struct analysis *analysis;
    char workspace[256];      /* "" until the gateway has named it */
    int64_t token_expires_ms; /* wall clock; 0: never, or not known */
    struct exit_report *report;
    struct io_ssh_server *ssh; /* NULL until somebody comes */
    struct ssh_client *ssh_clients;
    struct ssh_listener *ssh_listener;
    unsigned relays; /* that are open or being opened */
    struct osa_timer trim;
    struct ssh_session *main_input; /* who types into the main process */
};

/** gateway_rest() - There is nothing to do now: when it stays so for a few seconds, give memory back. front.c */
void gateway_rest(struct gateway *gateway);

/* ---- channel.c: the connection, and as whom ---- */

/**
 * gateway_connect() - Make the channel to the configured endpoint, which there must be
 * A token of the environment comes before a file's, and that before a service account's, which is
 * exchanged here. Needs the loop.
 */
OSA_MUST_CHECK enum osa_code gateway_connect(struct gateway *gateway, struct osa_error *err);

/** gateway_by_account() - Does a Kubernetes service account say who we are? */
bool gateway_by_account(const struct gateway_config *config);

/** gateway_worth_retrying() - Is a call that failed so worth another attempt? */
bool gateway_worth_retrying(enum osa_code code);

/**
 * gateway_call() - A unary call at the start: five attempts in some 15 s, running the loop
 * A signal to end gives up. @ret_reply: returned (free with protobuf_c_message_free_unpacked)
 */
OSA_MUST_CHECK enum osa_code gateway_call(struct gateway *gateway, const char *path,
                                          const ProtobufCMessage *request,
                                          const ProtobufCMessageDescriptor *response,
                                          ProtobufCMessage **ret_reply, struct osa_error *err);

/* ---- workload.c: what runs, and in which environment ---- */

/** workload_main_spec() - Which main process? INVALID_ARGUMENT names the variable */
OSA_MUST_CHECK enum osa_code workload_main_spec(struct gateway *gateway, struct osa_error *err);

/**
 * workload_user() - As whom it runs; in gateway->user, "" for the backend's choice
 * Return: OSA_OK; INVALID_ARGUMENT: the driver's variables do not go together, or name root.
 */
OSA_MUST_CHECK enum osa_code
workload_user(struct gateway *gateway, const struct policy_document *policy, struct osa_error *err);

/** workload_user_env() - Read the owner's environment; what is not a JSON object counts as empty */
void workload_user_env(struct gateway *gateway);

/**
 * workload_request() - A process in the sandbox, with the environment that sessions have
 * @argv: NULL-terminated; copied
 * @term: TERM; also says that it gets a terminal. NULL: pipes
 * Return: for process_spawn()
 */
struct process_request *workload_request(const struct gateway *gateway, const char *const *argv,
                                         const char *term);

/** workload_start() - Start the main process; waits for it on the loop, before that runs */
OSA_MUST_CHECK enum osa_code workload_start(struct gateway *gateway, struct osa_error *err);

/**
 * workload_base64url() - Decode base64 with - and _ and without padding (RFC 4648, section 5)
 * @out: room for strlen(@text) bytes
 * Return: length; -1 for anything else.
 */
ptrdiff_t workload_base64url(const char *text, char *out);

/** workload_status() - Exit status of a process: its code, 128 + signal, 124 after a timeout */
int workload_status(const struct process_exit *exit);

/* ---- settings.c: what the gateway configures ---- */

/** settings_fetch() - Ask for the configuration before anything runs. @ret_policy: owned reference; retries for some 15 s */
OSA_MUST_CHECK enum osa_code settings_fetch(struct gateway *gateway,
                                            const struct policy_document **ret_policy,
                                            struct osa_error *err);
/** settings_watch() - Ask again and again from now on; acknowledge what is in force */
void settings_watch(struct gateway *gateway);
/** settings_free() - Stop asking. Without settings_fetch() it is fine. Its call must have ended: after rpc_channel_free() */
void settings_free(struct gateway *gateway);

/* ---- providers.c: variables with credentials that the workload does not see ---- */

/** providers_begin() - Ask for the environment of providers; nothing without a gateway */
void providers_begin(struct gateway *gateway);
/** providers_wait() - Until the answer is there, or no answer comes: then there is none. Runs the loop */
void providers_wait(struct gateway *gateway);
/** providers_changed() - The gateway has this revision of it now: ask for it, unless it is in force */
void providers_changed(struct gateway *gateway, uint64_t revision);
/** providers_env() - What proxy and processes get; NULL without a gateway. Borrowed until providers_free() */
const struct provider_env *providers_env(const struct gateway *gateway);
/** providers_free() - After rpc_channel_free() and after the sandbox is gone */
void providers_free(struct gateway *gateway);

/* ---- tokens.c: a token before the last one expires ---- */

/** tokens_issue() - Exchange the service account's token for the sandbox's */
OSA_MUST_CHECK enum osa_code tokens_issue(struct gateway *gateway, struct osa_error *err);
/** tokens_watch() - Have the token renewed from now on, when four fifths of its time have passed */
void tokens_watch(struct gateway *gateway);
/** tokens_free() - After rpc_channel_free() */
void tokens_free(struct gateway *gateway);

/* ---- session.c: the session and its relays ---- */

/** session_start() - Connect, and again whenever the connection is lost */
void session_start(struct gateway *gateway);
/** session_end() - The main process has ended: no more sessions. Running relays end with the channel */
void session_end(struct gateway *gateway);
/** session_free() - After rpc_channel_free() */
void session_free(struct gateway *gateway);

/**
 * relay_open() - What a RelayOpen asks for
 * @send: sends the RelayOpenResult; called once, maybe later
 */
void relay_open(struct gateway *gateway, const GATEWAY(RelayOpen) * open,
                void (*send)(struct gateway *gateway, const GATEWAY(RelayOpenResult) * result));

#define RELAY_LOOPBACK_SIZE 16

/**
 * relay_loopback() - Which loopback address of the sandbox is meant
 * @host: an address, maybe in brackets or mapped into IPv6, or localhost; blanks around it
 * @ret_ip: as backends want it
 * Return: false for anything else.
 */
bool relay_loopback(const char *host, char ret_ip[RELAY_LOOPBACK_SIZE]);

/**
 * relay_connect() - Connect to a loopback port of the sandbox
 * @done: gets a connected socket or an error; called once, maybe before this returns
 */
void relay_connect(struct gateway *gateway, const char *host, uint32_t port, stream_fn done,
                   void *ctx);

/* ---- logs.c: what happens in the sandbox ---- */

/** logs_start() - Push it to the gateway from now on, and what has happened before */
void logs_start(struct gateway *gateway);
/** logs_free() - After rpc_channel_free(), before the agent is freed */
void logs_free(struct gateway *gateway);

/* ---- analysis.c: what the proxy decided ---- */

/** analysis_start() - Sum it up for the gateway from now on */
void analysis_start(struct gateway *gateway);
/** analysis_free() - After rpc_channel_free(), before the agent is freed */
void analysis_free(struct gateway *gateway);

/* ---- report.c: the exit ---- */

/** report_exit() - Tell the gateway with what the main process has ended; tries until it says yes */
void report_exit(struct gateway *gateway, void (*done)(struct gateway *gateway));
/** report_free() - After rpc_channel_free() */
void report_free(struct gateway *gateway);
