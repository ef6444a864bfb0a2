// SPDX-License-Identifier: Apache-2.0
#include "driver/image_ref.h"

#include "base/fd.h"
#include "io/digest.h"
#include "io/json_value.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DOCUMENT_BYTES ((size_t)4 << 20) /* containers/image reads no larger manifest either */
#define ENV_BYTES 32768
#define DIGEST_PREFIX "sha256:"
#define DIGEST_DIGITS 64

bool image_digest_is(const char *text)
{
    return text != NULL && strncmp(text, DIGEST_PREFIX, 7) == 0 &&
           strspn(text + 7, "0123456789abcdef") == DIGEST_DIGITS && text[7 + DIGEST_DIGITS] == '\0';
}

bool image_is_host(const char *image)
{
    return strcmp(image, "host") == 0;
}

/* ---- names ---- */

static enum osa_code bad_name(const char *image, const char *why, struct osa_error *err)
{
    return osa_fail_field(err, "image", "'%.128s' %s", image, why);
}

/* "oci:NAME[:TAG]": one name below the operator's directory, so nothing else of the host is read. */
static enum osa_code layout_source(const struct driver_config *config, const char *image,
                                   char *ret_source, size_t size, struct osa_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *name = image + strlen("oci:");
    size_t len = strspn(name, allowed);
    const char *tag = name[len] == ':' ? name + len + 1 : NULL;
    if (len == 0 || name[0] == '.' || (name[len] != '\0' && tag == NULL) ||
        (tag != NULL && (tag[0] == '\0' || tag[strspn(tag, allowed)] != '\0')))
        return bad_name(image, "is not oci:NAME or oci:NAME:TAG, of A-Z a-z 0-9 . _ -", err);
    if (config->image_layouts == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "image '%.128s': this driver has no directory of layouts (image-layouts)",
                        image);
    (void)snprintf(ret_source, size, "oci:%s/%.*s%s%s", config->image_layouts, (int)len, name,
                   tag != NULL ? ":" : "", tag != NULL ? tag : "");
    return OSA_OK;
}

static bool is_insecure(const struct driver_config *config, const char *image)
{
    size_t len = strcspn(image, "/");
    for (size_t i = 0; image[len] == '/' && i < config->image_insecure.count; i++) {
        const char *host = config->image_insecure.items[i];
        if (strlen(host) == len && strncmp(host, image, len) == 0)
            return true;
    }
    return false;
}

enum osa_code image_source(const struct driver_config *config, const char *image, char *ret_source,
                           size_t size, bool *ret_insecure, struct osa_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@[]";
    size_t len = strlen(image);
    *ret_insecure = false;
    if (len == 0 || len > IMAGE_NAME_BYTES)
        return bad_name(image, "is empty or longer than 1024 bytes", err);
    if (strncmp(image, "oci:", 4) == 0)
        return layout_source(config, image, ret_source, size, err);
    if (strspn(image, allowed) != len || strchr("-./:@", image[0]) != NULL ||
        strstr(image, "//") != NULL)
        return bad_name(image, "is no [HOST/]NAME[:TAG][@DIGEST]", err);
    *ret_insecure = is_insecure(config, image);
    (void)snprintf(ret_source, size, "docker://%s", image);
    return OSA_OK;
}

/* ---- the layout ---- */

static enum osa_code broken(const char *what, struct osa_error *err)
{
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the image is broken: %s", what);
}

/* What lower layers found, as what it means for the image. */
static enum osa_code broken_by(struct osa_error *err)
{
    err->code = OSA_FAILED_PRECONDITION;
    (void)osa_wrap(err, "the image is broken");
    return OSA_FAILED_PRECONDITION;
}

/* Reads blob @digest, whose bytes must have it. @ret: freed by the caller */
static enum osa_code read_blob(const char *layout, const char *digest, struct json_t **ret,
                               struct osa_error *err)
{
    char path[PATH_MAX];
    char hex[DIGEST_DIGITS + 1];
    uint8_t sum[IO_SHA256_SIZE];
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    if (!image_digest_is(digest))
        return broken("a digest in it is not sha256 and 64 hexadecimal digits", err);
    (void)snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout, digest + 7);
    if (osa_read_file(AT_FDCWD, path, DOCUMENT_BYTES, &text, &len, err) != OSA_OK)
        return broken_by(err);
    io_sha256(text, len, sum);
    for (size_t i = 0; i < sizeof(sum); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    if (strcmp(hex, digest + 7) != 0)
        return broken("a document has not the digest by which it is named", err);
    return io_json_parse(text, len, ret, err) == OSA_OK ? OSA_OK : broken_by(err);
}

static enum osa_code read_index(const char *layout, struct image_info *ret, struct osa_error *err)
{
    char path[PATH_MAX];
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    struct json_t *index = NULL;
    (void)snprintf(path, sizeof(path), "%s/index.json", layout);
    if (osa_read_file(AT_FDCWD, path, DOCUMENT_BYTES, &text, &len, err) != OSA_OK ||
        io_json_parse(text, len, &index, err) != OSA_OK)
        return broken_by(err);
    const struct json_t *all = io_json_member(index, "manifests");
    const char *digest = io_json_text(io_json_element(all, 0), "digest");
    enum osa_code code = OSA_OK;
    if (io_json_count(all) != 1 || digest == NULL || strlen(digest) >= sizeof(ret->digest))
        code = broken("its index names not one manifest", err);
    else
        (void)snprintf(ret->digest, sizeof(ret->digest), "%s", digest);
    io_json_free(index);
    return code;
}

static bool is_plain(const char *text, size_t max)
{
    return text != NULL && strlen(text) <= max && strchr(text, '\n') == NULL;
}

static enum osa_code fill(const struct json_t *document, struct osa_arena *arena,
                          struct image_info *ret, struct osa_error *err)
{
    const struct json_t *config = io_json_member(document, "config");
    const struct json_t *env = io_json_member(config, "Env");
    const char *os = io_json_text(document, "os");
    const char *user = io_json_text(config, "User");
    const char *workdir = io_json_text(config, "WorkingDir");
    size_t count = io_json_count(env);
    if (os != NULL && strcmp(os, "linux") != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the image is for %s, not for linux",
                        is_plain(os, 32) ? os : "another system");
    if ((user != NULL && !is_plain(user, 256)) ||
        (workdir != NULL && workdir[0] != '\0' &&
         (!is_plain(workdir, PATH_MAX - 1) || workdir[0] != '/')))
        return broken("User or WorkingDir of its configuration cannot be", err);
    if (count > IMAGE_ENV_MAX)
        return broken("its configuration has more than 256 variables", err);
    ret->user = osa_arena_strdup(arena, user);
    ret->workdir = osa_arena_strdup(arena, workdir);
    ret->env = osa_arena_alloc(arena, (count + 1) * sizeof(*ret->env));
    for (size_t i = 0; i < count; i++) {
        const char *pair = io_json_string(io_json_element(env, i));
        if (pair == NULL || strlen(pair) > ENV_BYTES || strchr(pair, '=') == NULL || pair[0] == '=')
            return broken("a variable of its configuration is no KEY=VALUE", err);
        ret->env[ret->env_count++] = osa_arena_strdup(arena, pair);
    }
    return OSA_OK;
}

enum osa_code image_read(const char *layout, struct osa_arena *arena, struct image_info *ret,
                         struct osa_error *err)
{
    struct json_t *manifest = NULL;
    struct json_t *config = NULL;
    struct image_info info = { .user = "", .workdir = "" };
    enum osa_code code = read_index(layout, &info, err);
    if (code == OSA_OK)
        code = read_blob(layout, info.digest, &manifest, err);
    if (code == OSA_OK)
        code = read_blob(layout, io_json_text(io_json_member(manifest, "config"), "digest"),
                         &config, err);
    if (code == OSA_OK)
        code = fill(config, arena, &info, err);
    io_json_free(config);
    io_json_free(manifest);
    if (code == OSA_OK)
        *ret = info;
    return code;
}
