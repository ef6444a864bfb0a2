// SPDX-License-Identifier: Apache-2.0
/*
 * The REST routes, as far as they are alike: paths, errors, JSON. What differs between servers is
 * found out by probe.c and kept here.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "io/http.h"
#include "io/json_value.h"

#define API_PATH_MAX 512
/* Answers about one thing; the list of all boxes has more. */
#define API_REPLY_MAX ((size_t)256 << 10)
#define API_LIST_MAX ((size_t)16 << 20)
/* The server refuses bodies above 2 MiB. */
#define API_BODY_MAX ((size_t)2 << 20)
#define API_CALL_NS (30 * OSA_NS_PER_SEC)

/**
 * struct api - A server as it was found
 * @base:      "/v1", with the slot of deployments that have one: "/v1/team-a"
 * @capabilities: of Linux may be asked for
 * @exec_user: an exec may name a user
 * @version:   for people: "0.10", "0.11 or newer"
 */
struct api {
    struct http_client *http; /* owned by the backend */
    char base[160];
    bool exec_user;
    bool capabilities; /* a box may be made with more of them */
    char version[32];
};

/** api_id_is_valid() - Is @id what the server may use in a path: 1 to 128 of [A-Za-z0-9_-]? NULL is not */
bool api_id_is_valid(const char *id);

/**
 * api_get(), api_post(), api_delete() - Begin a call below the base; as http_send()
 * @path: "/boxes/…" of parts that were checked
 * @body: JSON; NULL: none
 */
struct http_call *api_get(struct api *api, const char *path, size_t max_bytes, http_done_fn done,
                          void *ctx);
struct http_call *api_post(struct api *api, const char *path, const struct osa_buf *body,
                           int64_t timeout_ns, http_done_fn done, void *ctx);
struct http_call *api_delete(struct api *api, const char *path, http_done_fn done, void *ctx);

/**
 * api_error() - What an answer outside of 2xx means
 * @what: "box 'x': start"
 * The server's words go to the log alone, for they may tell of its host. Return: err->code, never OK
 */
enum osa_code api_error(const struct http_reply *reply, const char *what, struct osa_error *err);

/**
 * api_parse() - The JSON object of a successful answer
 * @reply, @error: as the callback got them
 * @ret: returned (free with io_json_free)
 * Return: OSA_OK; what api_error() or the call itself says; INTERNAL: not the JSON that was due
 */
OSA_MUST_CHECK enum osa_code api_parse(const struct http_reply *reply,
                                       const struct osa_error *error, const char *what,
                                       struct json_t **ret, struct osa_error *err);

/** api_json_text() - A string into JSON. Return: false, nothing written, when it is not UTF-8: JSON has no other */
bool api_json_text(struct osa_json *json, const char *text);
