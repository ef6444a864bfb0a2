// SPDX-License-Identifier: Apache-2.0
/*
 * Both versions have the same messages under two package names, so the bytes are the same, and one
 * implementation with the types of v1 serves both.
 */
#include "rpc/reflection.h"
#include "rpc/descriptors.h"

#include <errno.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <string.h>
#include <utlist.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest request_type;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_type;

/* A running stream; the data of its call. */
struct stream {
    struct stream *prev;
    struct stream *next;
    struct rpc_call *call;
    bool wants_read; /* the send queue is full; the next request is read when it has drained */
};

enum { VERSION_V1, VERSION_V1ALPHA, VERSION_COUNT };

/** struct rpc_reflection - Owner: the loop thread */
struct rpc_reflection {
    struct rpc_method method;
    struct rpc_service services[VERSION_COUNT];
    struct rpc_descriptors descriptors;
    const char **names; /* owned array of borrowed names */
    size_t name_count;
    struct stream *streams;
};

/* ---- answers ---- */

static void send_response(struct stream *stream, const request_type *request,
                          response_type *response)
{
    response->valid_host = request->host;
    response->original_request = (request_type *)request;
    if (rpc_call_send(stream->call, &response->base))
        rpc_call_read(stream->call);
    else
        stream->wants_read = true;
}

static void send_error(struct stream *stream, const request_type *request,
                       const struct osa_error *err)
{
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    response_type response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    error.error_code = (int32_t)err->code;
    error.error_message = (char *)err->text;
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response.error_response = &error;
    send_response(stream, request, &response);
}

static void send_not_found(struct stream *stream, const request_type *request, const char *what,
                           const char *name)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_NOT_FOUND, 0, "this server has no %s '%s'", what, name);
    send_error(stream, request, &err);
}

static void send_file(struct stream *stream, const request_type *request, size_t index)
{
    const struct rpc_reflection *self = rpc_call_service(stream->call);
    const struct rpc_descriptors *descriptors = &self->descriptors;
    OSA_AUTO(osa_free) size_t *indexes = calloc(descriptors->count, sizeof(*indexes));
    OSA_AUTO(osa_free)
    ProtobufCBinaryData *files = calloc(descriptors->count, sizeof(*files));
    struct osa_error err = { 0 };
    if (indexes == NULL || files == NULL) {
        (void)osa_fail_errno(&err, ENOMEM, "reflection");
        send_error(stream, request, &err);
        return;
    }
    size_t count = rpc_descriptors_closure(descriptors, index, indexes);
    for (size_t i = 0; i < count; i++) {
        const struct rpc_file *file = &descriptors->files[indexes[i]];
        files[i] = (ProtobufCBinaryData){ file->len, (uint8_t *)file->data };
    }
    Grpc__Reflection__V1__FileDescriptorResponse body =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    response_type response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    body.n_file_descriptor_proto = count;
    body.file_descriptor_proto = files;
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response.file_descriptor_response = &body;
    send_response(stream, request, &response);
}

static void send_services(struct stream *stream, const request_type *request)
{
    const struct rpc_reflection *self = rpc_call_service(stream->call);
    OSA_AUTO(osa_free)
    Grpc__Reflection__V1__ServiceResponse *rows = calloc(self->name_count, sizeof(*rows));
    OSA_AUTO(osa_free)
    Grpc__Reflection__V1__ServiceResponse **list =
        calloc(self->name_count, sizeof(Grpc__Reflection__V1__ServiceResponse *));
    struct osa_error err = { 0 };
    if (rows == NULL || list == NULL) {
        (void)osa_fail_errno(&err, ENOMEM, "reflection");
        send_error(stream, request, &err);
        return;
    }
    for (size_t i = 0; i < self->name_count; i++) {
        grpc__reflection__v1__service_response__init(&rows[i]);
        rows[i].name = (char *)self->names[i];
        list[i] = &rows[i];
    }
    Grpc__Reflection__V1__ListServiceResponse body =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    response_type response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    body.n_service = self->name_count;
    body.service = list;
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    response.list_services_response = &body;
    send_response(stream, request, &response);
}

/* proto3 has extensions of options only, and our files define none: every list is empty. */
static void send_extension_numbers(struct stream *stream, const request_type *request)
{
    const struct rpc_reflection *self = rpc_call_service(stream->call);
    const char *type = request->all_extension_numbers_of_type;
    if (rpc_descriptors_by_symbol(&self->descriptors, type) < 0) {
        send_not_found(stream, request, "type", type);
        return;
    }
    Grpc__Reflection__V1__ExtensionNumberResponse body =
        GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
    response_type response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    body.base_type_name = (char *)type;
    response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    response.all_extension_numbers_response = &body;
    send_response(stream, request, &response);
}

/* ---- the stream ---- */

static void on_start(struct rpc_call *call)
{
    struct rpc_reflection *self = rpc_call_service(call);
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        struct osa_error err = { 0 };
        (void)osa_fail_errno(&err, ENOMEM, "reflection");
        rpc_call_fail(call, &err, /* detail= */ NULL);
        return;
    }
    stream->call = call;
    rpc_call_set_data(call, stream);
    DL_APPEND(self->streams, stream);
    rpc_call_read(call);
}

static void on_request(struct rpc_call *call, const ProtobufCMessage *message)
{
    const struct rpc_reflection *self = rpc_call_service(call);
    const request_type *request = (const request_type *)message;
    struct stream *stream = rpc_call_data(call);
    struct osa_error err = { 0 };
    ptrdiff_t found;
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(stream, request);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        found = rpc_descriptors_by_name(&self->descriptors, request->file_by_filename,
                                        strlen(request->file_by_filename));
        if (found >= 0)
            send_file(stream, request, (size_t)found);
        else
            send_not_found(stream, request, "file", request->file_by_filename);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        found = rpc_descriptors_by_symbol(&self->descriptors, request->file_containing_symbol);
        if (found >= 0)
            send_file(stream, request, (size_t)found);
        else
            send_not_found(stream, request, "symbol", request->file_containing_symbol);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        send_not_found(stream, request, "extension of",
                       request->file_containing_extension->containing_type);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        send_extension_numbers(stream, request);
        return;
    default:
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "the request asks for nothing");
        send_error(stream, request, &err);
    }
}

static void on_writable(struct rpc_call *call)
{
    struct stream *stream = rpc_call_data(call);
    if (!stream->wants_read)
        return;
    stream->wants_read = false;
    rpc_call_read(call);
}

static void on_done(struct rpc_call *call)
{
    struct rpc_reflection *self = rpc_call_service(call);
    struct stream *stream = rpc_call_data(call);
    if (stream != NULL)
        DL_DELETE(self->streams, stream);
    free(stream);
}

/* ---- life ---- */

static const struct rpc_method info_method = {
    .name = "ServerReflectionInfo",
    .kind = RPC_BIDI_STREAM,
    .request = &grpc__reflection__v1__server_reflection_request__descriptor,
    .response = &grpc__reflection__v1__server_reflection_response__descriptor,
    .start = on_start,
    .message = on_request,
    .half_close = rpc_call_finish,
    .writable = on_writable,
    .done = on_done,
};

enum osa_code rpc_reflection_new(const struct rpc_server_config *config,
                                 struct rpc_reflection **ret_reflection, struct osa_error *err)
{
    struct rpc_reflection *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    self->method = info_method;
    self->method.role = config->reflection;
    self->services[VERSION_V1].name = "grpc.reflection.v1.ServerReflection";
    self->services[VERSION_V1ALPHA].name = "grpc.reflection.v1alpha.ServerReflection";
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        self->services[i].methods = &self->method;
        self->services[i].method_count = 1;
    }
    enum osa_code code = rpc_descriptors_init(&self->descriptors, config->descriptor_set,
                                              config->descriptor_set_len, err);
    if (code != OSA_OK) {
        rpc_reflection_free(self);
        return code;
    }
    *ret_reflection = self;
    return OSA_OK;
}

void rpc_reflection_free(struct rpc_reflection *reflection)
{
    if (reflection == NULL)
        return;
    rpc_descriptors_done(&reflection->descriptors);
    free(reflection->names);
    free(reflection);
}

const struct rpc_service *rpc_reflection_service(const struct rpc_reflection *reflection,
                                                 bool alpha)
{
    return &reflection->services[alpha ? VERSION_V1ALPHA : VERSION_V1];
}

enum osa_code rpc_reflection_add(struct rpc_reflection *reflection, const char *name,
                                 struct osa_error *err)
{
    const char **names =
        realloc(reflection->names, (reflection->name_count + 1) * sizeof(const char *));
    if (names == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    reflection->names = names;
    reflection->names[reflection->name_count++] = name;
    return OSA_OK;
}

void rpc_reflection_shutdown(struct rpc_reflection *reflection)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_UNAVAILABLE, 0, "the server is shutting down");
    struct stream *stream;
    DL_FOREACH(reflection->streams, stream)
    rpc_call_fail(stream->call, &err, /* detail= */ NULL);
}
