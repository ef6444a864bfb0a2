// SPDX-License-Identifier: Apache-2.0
/*
 * What an image may be called, and what of a pulled one matters here. No I/O but for image_read().
 *
 *   host                    this machine's own root
 *   oci:NAME[:TAG]          the OCI layout NAME in the operator's directory (--image-layouts)
 *   [HOST[:PORT]/]NAME[:TAG][@DIGEST]   from a registry
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "driver/config.h"

#include <stddef.h>

enum {
    IMAGE_NAME_BYTES = 1024,
    IMAGE_DIGEST_BYTES = 72, /* "sha256:" and 64 digits, and the NUL */
    IMAGE_ENV_MAX = 256,
};

/** image_digest_is() - Is it "sha256:" and 64 hexadecimal digits? NULL is not */
bool image_digest_is(const char *text);

/** image_is_host() - Is it the machine's own root? */
bool image_is_host(const char *image);

/**
 * image_source() - Where skopeo finds it
 * @ret_source: "docker://…" or "oci:…"
 * @ret_insecure: the operator allows its registry to be asked without TLS
 * Return: OSA_OK; INVALID_ARGUMENT: no such name can be; FAILED_PRECONDITION: not allowed here.
 */
OSA_MUST_CHECK enum osa_code image_source(const struct driver_config *config, const char *image,
                                          char *ret_source, size_t size, bool *ret_insecure,
                                          struct osa_error *err);

/**
 * struct image_info - Of a pulled image; text lives in the arena that was given
 * @digest: of its manifest, "sha256:…"
 * @user:   as in the OCI image configuration; "" when not given
 * @workdir: likewise
 * @env:    KEY=VALUE each
 */
struct image_info {
    char digest[IMAGE_DIGEST_BYTES];
    const char *user;
    const char *workdir;
    const char **env;
    size_t env_count;
};

/**
 * image_read() - Read the only image of an OCI layout
 * @layout: the directory
 * Return: OSA_OK; FAILED_PRECONDITION: no layout, another digest than promised, another platform's
 * image, or nonsense; INTERNAL.
 * Source: OCI image-spec, image-layout.md, manifest.md, config.md
 */
OSA_MUST_CHECK enum osa_code image_read(const char *layout, struct osa_arena *arena,
                                        struct image_info *ret, struct osa_error *err);
