// SPDX-License-Identifier: Apache-2.0
/*
 * The proxy between a client and an origin of ours, all in one thread. The guard refuses loopback
 * whatever the policy says, so the origin is reached at another address of this host.
 */
#pragma once

#include "cmocka_all.h"

#include "egress/gate.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct rig {
    struct tls_authority *authority; /* of the sandbox */
    struct tls_authority *outside;   /* of the origin */
    struct tls_trust *trust;
    struct osa_loop *loop;
    struct dns *dns;
    struct policy_live *policy;
    struct gate *gate;
    struct provider_env *providers; /* of the next gate */
    struct gate_events events;
    struct sockaddr_in proxy;
    int origin; /* listens */
    char ip[INET_ADDRSTRLEN];
    uint16_t port; /* of the origin */
    enum policy_reason fault;
    unsigned records;
    bool last_allowed;
    char last[1024];
};

extern struct rig rig;

#define ALLOW "/usr/bin/app"
#define OTHER "/usr/bin/other"

/** find_address() - An address of this host that is not loopback. Return: false when there is none */
bool find_address(char ip[INET_ADDRSTRLEN]);

/** rig_setup() - Of each test: an origin that listens, a policy that allows it, a gate */
int rig_setup(void **state);
/** rig_teardown() - Of each test */
int rig_teardown(void **state);

/** publish_document() - A policy in YAML is in force; the gate is not told */
void publish_document(const char *text);
/** publish_endpoint() - One rule: the origin as an endpoint with more to it, in flow style */
void publish_endpoint(const char *more);
/** publish() - One rule: the origin, for @binary */
void publish(const char *binary);
/** open_gate() - A gate with these limits, as rig.gate */
void open_gate(struct gate_limits limits);

/** turn() - Let the gate work for a moment */
void turn(void);
/** client() - A connection to the gate */
int client(void);
/** origin_accept() - The connection that the gate makes */
int origin_accept(void);
/** no_origin() - The gate does not make one */
void no_origin(void);

/** say() - Send all of it */
void say(int fd, const char *data, size_t len);
/** say_text() - The same for a string */
void say_text(int fd, const char *text);

extern char heard[4 << 20];
extern size_t heard_len;

/** hear() - Receive until @text is there, @len bytes are, or the end (@text NULL and @len 0). Return: true at the end of file */
bool hear(int fd, const char *text, size_t len);
/** hear_end() - Receive until the end */
void hear_end(int fd);
/** tunnel() - CONNECT to the origin */
int tunnel(int *ret_origin);
/** get() - A GET of the origin in absolute form, with @more fields */
void get(int fd, const char *path, const char *more);
/** expect_refusal() - An answer of the gate's own, and the end */
void expect_refusal(int fd, const char *status, const char *error, const char *reason);
/** refused() - A request gets expect_refusal(), and there is a record of it */
void refused(const char *request, const char *status, const char *error, const char *reason);

/* An end of ours, moved by hand. */
struct secure {
    int fd;
    struct tls *tls;
    struct osa_buf text;
    bool ended;
    bool failed;
};

/** pump() - One round of what goes over the wire */
void pump(struct secure *s);
/** until_text() - Rounds of both, until @who has received @text */
void until_text(struct secure *a, struct secure *b, const struct secure *who, const char *text);
/** secure_pair() - TLS through a tunnel: @near is the client, @far the origin with a certificate of @served */
void secure_pair(struct secure *near, struct secure *far, struct tls_authority *served);
/** secure_done() - Free and close */
void secure_done(struct secure *s);
