// SPDX-License-Identifier: Apache-2.0
#include "policy/paths.h"

#include <string.h>

static const struct policy_path proxy_baseline[] = {
    { "/usr", false, true },         { "/lib", false, true },     { "/etc", false, true },
    { "/app", false, true },         { "/var/log", false, true }, { "/proc", false, true },
    { "/dev/urandom", false, true }, { "/tmp", true, true },
};

static const struct policy_path without_section[] = {
    { "/usr", false, true },         { "/lib", false, true }, { "/proc", false, true },
    { "/dev/urandom", false, true }, { "/app", false, true }, { "/etc", false, true },
    { "/var/log", false, true },     { "/tmp", true, true },  { "/dev/null", true, true },
};

/* More GPUs than this have not been put into one machine. */
#define GPU_PATHS(n)                                                                               \
    {                                                                                              \
        "/dev/nvidia" #n, true, true                                                               \
    }
static const struct policy_path gpu_paths[] = {
    { "/run/nvidia-persistenced", false, true },
    { "/usr/lib/wsl", false, true },
    { "/dev/nvidiactl", true, true },
    { "/dev/nvidia-uvm", true, true },
    { "/dev/nvidia-uvm-tools", true, true },
    { "/dev/nvidia-modeset", true, true },
    { "/dev/dxg", true, true },
    GPU_PATHS(0),
    GPU_PATHS(1),
    GPU_PATHS(2),
    GPU_PATHS(3),
    GPU_PATHS(4),
    GPU_PATHS(5),
    GPU_PATHS(6),
    GPU_PATHS(7),
    GPU_PATHS(8),
    GPU_PATHS(9),
    GPU_PATHS(10),
    GPU_PATHS(11),
    GPU_PATHS(12),
    GPU_PATHS(13),
    GPU_PATHS(14),
    GPU_PATHS(15),
};

struct collection {
    struct policy_path *items;
    size_t count;
};

static struct policy_path *find(const struct collection *paths, const char *path)
{
    for (size_t i = 0; i < paths->count; i++)
        if (strcmp(paths->items[i].path, path) == 0)
            return &paths->items[i];
    return NULL;
}

/* Listed paths only gain by being listed again; additions yield to what is there. */
static void add(struct collection *paths, struct policy_path path)
{
    struct policy_path *known = find(paths, path.path);
    if (known == NULL) {
        paths->items[paths->count++] = path;
    } else if (!path.optional) {
        known->writable = known->writable || path.writable;
        known->optional = false;
    }
}

static void add_listed(struct collection *paths, const struct policy_strings *list, bool writable)
{
    for (size_t i = 0; i < list->count; i++)
        add(paths, (struct policy_path){ list->items[i], writable, /* optional= */ false });
}

static void add_fixed(struct collection *paths, const struct policy_path *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(paths, list[i]);
}

enum osa_code policy_paths(const struct policy_document *doc, const char *workdir, bool gpu,
                           struct policy_path **ret_paths, size_t *ret_count, struct osa_error *err)
{
    const struct policy_filesystem *files = &doc->filesystem;
    size_t most = files->read_only.count + files->read_write.count + 2 +
                  OSA_ARRAY_LEN(proxy_baseline) + OSA_ARRAY_LEN(without_section) +
                  OSA_ARRAY_LEN(gpu_paths);
    struct collection paths = { .items = calloc(most, sizeof(*paths.items)) };
    if (paths.items == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for the policy's paths");
    add_listed(&paths, &files->read_only, /* writable= */ false);
    add_listed(&paths, &files->read_write, /* writable= */ true);
    if (files->include_workdir)
        add(&paths, (struct policy_path){ workdir, true, /* optional= */ false });
    if (!files->given)
        add_fixed(&paths, without_section, OSA_ARRAY_LEN(without_section));
    if (doc->rule_count > 0)
        add_fixed(&paths, proxy_baseline, OSA_ARRAY_LEN(proxy_baseline));
    if (gpu) {
        add_fixed(&paths, gpu_paths, OSA_ARRAY_LEN(gpu_paths));
        struct policy_path *proc = find(&paths, "/proc");
        if (proc == NULL)
            add(&paths, (struct policy_path){ "/proc", true, /* optional= */ true });
        else
            proc->writable = true;
    }
    *ret_paths = paths.items;
    *ret_count = paths.count;
    return OSA_OK;
}
