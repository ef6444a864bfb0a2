// SPDX-License-Identifier: Apache-2.0
/*
 * What the gateway asks for, as a domain struct, and the rules that it obeys.
 *
 * ValidateSandboxCreate and CreateSandbox judge by the same function, so what was found valid can be
 * created. Messages name the key at fault as the user wrote it: "driver_config.runtime".
 */
#pragma once

#include "backends/backend.h"
#include "base/arena.h"
#include "base/error.h"
#include "driver/config.h"

#include "openshell/compute/v1/compute_driver.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

#define COMPUTE(name) Openshell__Compute__V1__##name
#define COMPUTE_INIT(name) OPENSHELL__COMPUTE__V1__##name##__INIT

/* Bounds; the gateway has the same ones or narrower ones, but is not the only one who can connect. */
enum {
    DRIVER_ID_BYTES = 128,
    DRIVER_NAME_BYTES = 253,
    DRIVER_ARGS_MAX = 256,
    DRIVER_ENV_MAX = 256,
    DRIVER_TEXT_BYTES = 32768,
    DRIVER_TOKEN_BYTES = 4096,
};

struct driver_pair {
    const char *key;
    const char *value;
};

/**
 * struct driver_spec - A sandbox as it was asked for; text is never NULL
 * @arena:   holds this struct itself and all that it points to
 * @env:     template and sandbox merged, the sandbox's wins
 * @labels:  of the template
 * @limits:  exactly as asked; 0: none
 * @requests: for scheduling; 0: as @limits
 * @runtime: RUNTIME_KIND_DEFAULT: by rules
 * @runtime_class: platform_config.runtime_class_name
 * @image_pull: IMAGE_PULL_DEFAULT when not given
 * @discard_changes: what is changed in the image's root goes when the sandbox is stopped
 * @seccomp_profile, @workdir, @min_isolation: of driver_config; "" when not given
 */
struct driver_spec {
    struct osa_arena arena;
    const char *id;
    const char *name;
    const char *workspace;
    const char *image;
    const char **command;
    size_t command_count;
    bool tty;
    struct driver_pair *env;
    size_t env_count;
    struct driver_pair *labels;
    size_t label_count;
    const char *log_level;
    struct resources limits;
    struct resources requests;
    enum runtime_kind runtime;
    const char *runtime_class;
    const char *seccomp_profile;
    const char *workdir;
    const char *min_isolation;
    enum image_pull image_pull;
    bool discard_changes;
};

/**
 * driver_spec_from_wire() - Check and copy
 * @wire: as unpacked after rpc_message_scan()
 * @ret_spec: returned (free with driver_spec_free)
 * Return: OSA_OK; INVALID_ARGUMENT: malformed, out of range or unknown; FAILED_PRECONDITION: well
 * formed, but nothing that this driver has.
 */
OSA_MUST_CHECK enum osa_code driver_spec_from_wire(const COMPUTE(DriverSandbox) * wire,
                                                   struct driver_spec **ret_spec,
                                                   struct osa_error *err);

/** driver_spec_free() - NULL is fine */
void driver_spec_free(struct driver_spec *spec);

/** driver_spec_config() - Read driver_config into @spec; for driver_spec_from_wire() */
OSA_MUST_CHECK enum osa_code driver_spec_config(const Google__Protobuf__Struct *wire,
                                                struct driver_spec *spec, struct osa_error *err);

/** driver_spec_platform() - Read platform_config into @spec; for driver_spec_from_wire() */
OSA_MUST_CHECK enum osa_code driver_spec_platform(const Google__Protobuf__Struct *wire,
                                                  struct driver_spec *spec, struct osa_error *err);

/** spec_runtime_name() - As runtime_kind_name(), with "auto" for RUNTIME_KIND_DEFAULT */
const char *spec_runtime_name(enum runtime_kind kind);
/** spec_runtime_parse() - The reverse. Return: false for an unknown name */
bool spec_runtime_parse(const char *name, enum runtime_kind *ret_kind);
