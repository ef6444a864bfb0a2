// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "driver/spec.h"

#include <math.h>
#include <string.h>

#define VALUE(KIND, FIELD, ...)                                                                    \
    (Google__Protobuf__Value)                                                                      \
    {                                                                                              \
        PROTOBUF_C_MESSAGE_INIT(&google__protobuf__value__descriptor),                             \
            GOOGLE__PROTOBUF__VALUE__KIND_##KIND,                                                  \
        {                                                                                          \
            .FIELD = __VA_ARGS__                                                                   \
        }                                                                                          \
    }
#define TEXT(text) VALUE(STRING_VALUE, string_value, (char *)(text))
#define NUMBER(number) VALUE(NUMBER_VALUE, number_value, (number))

/* A sandbox that is valid until a test changes it. */
struct example {
    COMPUTE(DriverSandbox) sandbox;
    COMPUTE(DriverSandboxSpec) spec;
    COMPUTE(DriverSandboxTemplate) template;
    COMPUTE(DriverResourceRequirements) resources;
    Google__Protobuf__Struct config;
    Google__Protobuf__Struct__FieldsEntry entry;
    Google__Protobuf__Struct__FieldsEntry *entries[1];
    Google__Protobuf__Value value;
    COMPUTE(DriverSandboxSpec__EnvironmentEntry) env;
    COMPUTE(DriverSandboxSpec__EnvironmentEntry) * envs[1];
    char *command[2];
};

static void fill(struct example *e)
{
    *e = (struct example){ .sandbox = COMPUTE_INIT(DRIVER_SANDBOX),
                           .spec = COMPUTE_INIT(DRIVER_SANDBOX_SPEC),
                           .template = COMPUTE_INIT(DRIVER_SANDBOX_TEMPLATE),
                           .resources = COMPUTE_INIT(DRIVER_RESOURCE_REQUIREMENTS),
                           .config = GOOGLE__PROTOBUF__STRUCT__INIT,
                           .entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT };
    openshell__compute__v1__driver_sandbox_spec__environment_entry__init(&e->env);
    e->sandbox.id = (char *)"7e0dce10-9f4c-4f2e-b5a4-7f6f2f3b9c11";
    e->sandbox.name = (char *)"quiet-fox";
    e->sandbox.spec = &e->spec;
    e->spec.template_ = &e->template;
    e->entries[0] = &e->entry;
    e->entry.value = &e->value;
    e->config.n_fields = 1;
    e->config.fields = e->entries;
    e->envs[0] = &e->env;
    e->command[0] = (char *)"/bin/true";
    e->spec.command = e->command;
    e->spec.n_command = 1;
}

static void give_config(struct example *e, const char *key, Google__Protobuf__Value value)
{
    fill(e);
    e->template.driver_config = &e->config;
    e->entry.key = (char *)(uintptr_t)key;
    e->value = value;
}

static void refuses(struct example *e, enum osa_code code, const char *text)
{
    struct osa_error err = { 0 };
    struct driver_spec *spec = NULL;
    assert_int_equal(driver_spec_from_wire(&e->sandbox, &spec, &err), code);
    if (strstr(err.text, text) == NULL)
        fail_msg("'%s' does not hold '%s'", err.text, text);
    assert_null(spec);
}

static struct driver_spec *takes(struct example *e)
{
    struct osa_error err = { 0 };
    struct driver_spec *spec = NULL;
    if (driver_spec_from_wire(&e->sandbox, &spec, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return spec;
}

static void test_everything(void **state)
{
    (void)state;
    struct example e;
    give_config(&e, "runtime", TEXT("boxlite"));
    e.sandbox.workspace = (char *)"w";
    e.template.image = (char *)"debian:12";
    e.template.resources = &e.resources;
    e.resources.cpu_limit = (char *)"1500m";
    e.resources.cpu_request = (char *)"0.5";
    e.resources.memory_limit = (char *)"1Gi";
    e.resources.memory_request = (char *)"256Mi";
    e.spec.tty = true;
    e.env.key = (char *)"A";
    e.env.value = (char *)"from the sandbox";
    e.spec.environment = e.envs;
    e.spec.n_environment = 1;
    struct driver_spec *spec = takes(&e);
    assert_string_equal(spec->id, "7e0dce10-9f4c-4f2e-b5a4-7f6f2f3b9c11");
    assert_string_equal(spec->name, "quiet-fox");
    assert_string_equal(spec->workspace, "w");
    assert_string_equal(spec->image, "debian:12");
    assert_int_equal(spec->limits.cpu_millis, 1500);
    assert_int_equal(spec->requests.cpu_millis, 500);
    assert_int_equal(spec->limits.memory_bytes, 1 << 30);
    assert_int_equal(spec->requests.memory_bytes, 256 << 20);
    assert_int_equal(spec->runtime, RUNTIME_KIND_BOXLITE);
    assert_int_equal(spec->command_count, 1);
    assert_string_equal(spec->command[0], "/bin/true");
    assert_true(spec->tty);
    assert_int_equal(spec->env_count, 1);
    assert_string_equal(spec->env[0].value, "from the sandbox");
    driver_spec_free(spec);
}

static void test_no_command_is_a_login_shell(void **state)
{
    (void)state;
    struct example e;
    fill(&e);
    e.spec.n_command = 0;
    struct driver_spec *spec = takes(&e);
    assert_int_equal(spec->command_count, 2);
    assert_string_equal(spec->command[0], "/bin/bash");
    assert_string_equal(spec->command[1], "-l");
    assert_true(spec->tty);
    driver_spec_free(spec);
}

static void test_identifiers(void **state)
{
    (void)state;
    struct example e;
    static const char *const bad[] = { "..", ".x", "a/b", "a b", "\xc3\xa4" };
    char longer[DRIVER_ID_BYTES + 2];
    memset(longer, 'a', sizeof(longer));
    longer[DRIVER_ID_BYTES + 1] = '\0';
    fill(&e);
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        e.sandbox.id = (char *)(uintptr_t)bad[i];
        refuses(&e, OSA_INVALID_ARGUMENT, "sandbox.id: must be 1 to 128 of A-Z a-z 0-9 . _ -");
    }
    e.sandbox.id = longer;
    refuses(&e, OSA_INVALID_ARGUMENT, "sandbox.id: must be 1 to 128");
    e.sandbox.id = (char *)"";
    refuses(&e, OSA_INVALID_ARGUMENT, "sandbox.id: is empty");
    fill(&e);
    e.sandbox.name = (char *)"";
    refuses(&e, OSA_INVALID_ARGUMENT, "sandbox.name: is empty");
    fill(&e);
    e.sandbox.spec = NULL;
    refuses(&e, OSA_INVALID_ARGUMENT, "sandbox.spec: is missing");
    struct osa_error err = { 0 };
    struct driver_spec *spec = NULL;
    assert_int_equal(driver_spec_from_wire(NULL, &spec, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "sandbox: is missing");
}

static void test_driver_config(void **state)
{
    (void)state;
    struct example e;
    static const struct {
        const char *key;
        Google__Protobuf__Value value;
        const char *text;
    } bad[] = {
        { "rutime", TEXT("process"), "driver_config.rutime: is not known; known are runtime, " },
        { "runtime", TEXT("docker"),
          "driver_config.runtime: 'docker' is not one of process, boxlite, auto" },
        { "runtime", NUMBER(1), "driver_config.runtime: must be a string, not a number" },
        { "runtime", VALUE(BOOL_VALUE, bool_value, true), "must be a string, not a boolean" },
        { "pids_limit", NUMBER(0), "driver_config.pids_limit: must be a whole number of 1 to" },
        { "pids_limit", NUMBER(1.5), "must be a whole number" },
        { "pids_limit", NUMBER(NAN), "must be a whole number" },
        { "pids_limit", NUMBER(5e6), "must be a whole number of 1 to 4194304" },
        { "pids_limit", TEXT("10"), "driver_config.pids_limit: must be a number, not a string" },
        { "disk", TEXT("1Q"), "driver_config.disk: '1Q'" },
        { "disk", TEXT("0"), "driver_config.disk: is 0; leave it out for no limit" },
        { "workdir", TEXT("sandbox"), "driver_config.workdir: 'sandbox' is not an absolute path" },
        { "seccomp_profile", TEXT("off"), "'off' is not one of default, strict, gpu" },
        { "min_isolation", TEXT("none"), "'none' is not one of restricted, rootless, full, vm" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        give_config(&e, bad[i].key, bad[i].value);
        refuses(&e, OSA_INVALID_ARGUMENT, bad[i].text);
    }
    give_config(&e, "pids_limit", NUMBER(64));
    struct driver_spec *spec = takes(&e);
    assert_int_equal(spec->limits.pids_max, 64);
    driver_spec_free(spec);
    give_config(&e, "runtime", TEXT("process"));
    e.entry.value = NULL;
    refuses(&e, OSA_INVALID_ARGUMENT, "driver_config.runtime: must be a string, not nothing");
}

static void test_platform_config(void **state)
{
    (void)state;
    struct example e;
    give_config(&e, "runtime_class_name", TEXT("boxlite"));
    e.template.driver_config = NULL;
    e.template.platform_config = &e.config;
    struct driver_spec *spec = takes(&e);
    assert_string_equal(spec->runtime_class, "boxlite");
    driver_spec_free(spec);
    e.entry.key = (char *)"host_users";
    refuses(&e, OSA_FAILED_PRECONDITION, "platform_config.host_users: this driver has nothing");
}

static void test_quantities(void **state)
{
    (void)state;
    struct example e;
    fill(&e);
    e.template.resources = &e.resources;
    e.resources.cpu_limit = (char *)"2 cpus";
    refuses(&e, OSA_INVALID_ARGUMENT, "resources.limits.cpu: '2 cpus'");
    e.resources.cpu_limit = (char *)"0";
    refuses(&e, OSA_INVALID_ARGUMENT, "resources.limits.cpu: is 0; leave it out");
    e.resources.cpu_limit = (char *)"1";
    e.resources.cpu_request = (char *)"2";
    refuses(&e, OSA_INVALID_ARGUMENT, "resources.requests.cpu: is more than the limit '1'");
    e.resources.cpu_request = (char *)"";
    e.resources.memory_request = (char *)"-1";
    refuses(&e, OSA_INVALID_ARGUMENT, "resources.requests.memory: '-1'");
}

static void test_what_it_has_not(void **state)
{
    (void)state;
    struct example e;
    COMPUTE(ResourceRequirements) requirements = COMPUTE_INIT(RESOURCE_REQUIREMENTS);
    COMPUTE(GpuResourceRequirements) gpu = COMPUTE_INIT(GPU_RESOURCE_REQUIREMENTS);
    fill(&e);
    requirements.gpu = &gpu;
    e.spec.resource_requirements = &requirements;
    refuses(&e, OSA_FAILED_PRECONDITION, "gpu: sandboxes of this driver get no GPU");
    fill(&e);
    e.template.agent_socket_path = (char *)"/run/x";
    refuses(&e, OSA_FAILED_PRECONDITION, "agent_socket_path: this driver has no use for it");
    fill(&e);
    e.env.key = (char *)"OPENSHELL_SANDBOX_TOKEN";
    e.env.value = (char *)"x";
    e.spec.environment = e.envs;
    e.spec.n_environment = 1;
    refuses(&e, OSA_INVALID_ARGUMENT, "names that begin OPENSHELL_ are reserved");
    e.env.key = (char *)"A=B";
    refuses(&e, OSA_INVALID_ARGUMENT, "environment: 'A=B' is not a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),      cmocka_unit_test(test_no_command_is_a_login_shell),
        cmocka_unit_test(test_identifiers),     cmocka_unit_test(test_driver_config),
        cmocka_unit_test(test_platform_config), cmocka_unit_test(test_quantities),
        cmocka_unit_test(test_what_it_has_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
