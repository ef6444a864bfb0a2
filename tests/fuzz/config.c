// SPDX-License-Identifier: Apache-2.0
/* agent/config: any file is read or refused with its line; what is read lies within the bounds. */
#include "fuzz/target.h"

#include "agent/config.h"
#include "io/option_file.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_bounds(const struct agent_config *config)
{
    require(config->max_processes >= 1 && config->max_processes <= 1000000);
    require(config->max_message_bytes >= 65536 && config->max_message_bytes <= 256u << 20);
    require(config->unix_mode <= 0777);
    require(config->drain_timeout_ns >= 0);
    for (size_t i = 0; i < config->listen.count; i++)
        require(config->listen.items[i][0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct agent_config config = { 0 };
    struct osa_option_group groups[16];
    struct osa_options *options = NULL;
    struct io_yaml *doc = NULL;
    struct osa_error err = { 0 };
    size_t count = 0;
    const struct osa_option_group *rows = agent_config_groups(&count);
    require(count <= 16);
    for (size_t i = 0; i < count; i++) {
        groups[i] = rows[i];
        groups[i].target = &config;
    }
    require(osa_options_new(groups, count, &options, &err) == OSA_OK);
    if (io_yaml_parse("fuzz", data, size, NULL, &doc, &err) == OSA_OK &&
        io_option_document(options, doc, &err) != OSA_OK)
        require(err.code == OSA_INVALID_ARGUMENT && strncmp(err.text, "fuzz:", 5) == 0);
    check_bounds(&config);
    io_yaml_free(doc);
    osa_options_free(options);
    return 0;
}
