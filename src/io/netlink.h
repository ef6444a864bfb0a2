// SPDX-License-Identifier: Apache-2.0
/*
 * Netlink sockets and messages, over libnl-3; the only place that sees it. Linux only.
 *
 * Messages are gathered one after the other and go out in one sendmsg(2), which the kernel answers
 * before it returns: nothing here waits. Header structs and attribute numbers are the caller's.
 *
 * Threads: one owner per socket.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct netlink;

/** netlink_open() - A socket in the caller's network namespace; @protocol is NETLINK_ROUTE … Return: OSA_OK, RESOURCE_EXHAUSTED, INTERNAL */
OSA_MUST_CHECK enum osa_code netlink_open(int protocol, struct netlink **ret_netlink,
                                          struct osa_error *err);

/**
 * netlink_adopt() - A socket that was opened elsewhere and stays bound to its network namespace
 * @fd: taken, also on failure
 */
OSA_MUST_CHECK enum osa_code netlink_adopt(int protocol, int fd, struct netlink **ret_netlink,
                                           struct osa_error *err);

/** netlink_free() - Close. NULL is fine */
void netlink_free(struct netlink *nl);

/** netlink_fd() - For a loop; borrowed */
int netlink_fd(const struct netlink *nl);

/**
 * netlink_message() - Begin the next message
 * @flags:  NLM_F_*, to which NLM_F_REQUEST and NLM_F_ACK are added
 * @header: the fixed struct that follows the netlink header, such as struct ifinfomsg
 * A message that grows too long or has no memory makes netlink_commit() fail.
 */
void netlink_message(struct netlink *nl, uint16_t type, uint16_t flags, const void *header,
                     size_t header_len);
/** netlink_bracket() - The same, but a message that asks for no acknowledgement, as around an nf_tables batch */
void netlink_bracket(struct netlink *nl, uint16_t type, const void *header, size_t header_len);

/** netlink_put() - An attribute of the last message */
void netlink_put(struct netlink *nl, uint16_t attribute, const void *data, size_t len);
/** netlink_put_u8() - In host order */
void netlink_put_u8(struct netlink *nl, uint16_t attribute, uint8_t value);
/** netlink_put_u32() - In host order, as rtnetlink wants it */
void netlink_put_u32(struct netlink *nl, uint16_t attribute, uint32_t value);
/** netlink_put_be16() - In network order, as netfilter wants it */
void netlink_put_be16(struct netlink *nl, uint16_t attribute, uint16_t value);
/** netlink_put_be32() - In network order */
void netlink_put_be32(struct netlink *nl, uint16_t attribute, uint32_t value);
/** netlink_put_be64() - In network order */
void netlink_put_be64(struct netlink *nl, uint16_t attribute, uint64_t value);
/** netlink_put_string() - With its NUL */
void netlink_put_string(struct netlink *nl, uint16_t attribute, const char *text);

/** netlink_nest() - Begin an attribute that holds attributes; for netlink_nest_end() */
void *netlink_nest(struct netlink *nl, uint16_t attribute);
/** netlink_nest_with() - The same, for an attribute that starts with a fixed struct (VETH_INFO_PEER) */
void *netlink_nest_with(struct netlink *nl, uint16_t attribute, const void *header,
                        size_t header_len);
/** netlink_nest_end() - Innermost first */
void netlink_nest_end(struct netlink *nl, void *nest);

/**
 * netlink_commit() - Send what was gathered and collect the answers; the gathering starts anew
 * @what: goes into the error's text
 * Return: OSA_OK; else the first refusal, as osa_fail_errno() codes it, with sys_errno and the
 * kernel's own explanation where it gives one.
 */
OSA_MUST_CHECK enum osa_code netlink_commit(struct netlink *nl, const char *what,
                                            struct osa_error *err);

/* One message: @body starts with the fixed struct. */
typedef void (*netlink_fn)(uint16_t type, const void *body, size_t len, void *ctx);

/** netlink_dump() - Ask for all objects of a kind and call @fn for each; @request is the fixed struct */
OSA_MUST_CHECK enum osa_code netlink_dump(struct netlink *nl, uint16_t type, const void *request,
                                          size_t request_len, netlink_fn fn, void *ctx,
                                          struct osa_error *err);

/** netlink_query() - Send the one gathered message and call @fn for its answer */
OSA_MUST_CHECK enum osa_code netlink_query(struct netlink *nl, netlink_fn fn, void *ctx,
                                           const char *what, struct osa_error *err);

/** netlink_receive() - Call @fn for each message that is waiting; never blocks. Return: messages seen */
unsigned netlink_receive(struct netlink *nl, netlink_fn fn, void *ctx);

/**
 * netlink_attribute() - Find an attribute; also inside the data of another one
 * @body, @len, @header_len: as given to netlink_fn; the attributes follow the fixed struct
 * Return: its data, *ret_len bytes; NULL when it is not there. Borrowed.
 */
const void *netlink_attribute(const void *body, size_t len, size_t header_len, uint16_t attribute,
                              size_t *ret_len);
