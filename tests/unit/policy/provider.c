// SPDX-License-Identifier: Apache-2.0
/* policy/provider: placeholders for processes, values for the proxy, and nothing for anybody else. */
#include "cmocka_all.h"

#include "base/clock.h"
#include "policy/provider.h"

#include <stdio.h>
#include <string.h>

#define HANDLE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_HANDLE "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct provider_endpoint api[] = { { "api.Example.com", 443, "/v1/**" } };
static const struct provider_endpoint any[] = { { "*.example.org", 8443, "" } };

#define BOUND(KEY, VALUE, IDENTITY, ENDPOINTS)                                                     \
    {                                                                                              \
        .key = KEY, .value = VALUE, .bound = true, .identity = IDENTITY, .handle = "",             \
        .endpoints = ENDPOINTS, .endpoint_count = 1                                                \
    }
#define PLAIN(KEY, VALUE)                                                                          \
    {                                                                                              \
        .key = KEY, .value = VALUE, .identity = "", .handle = ""                                   \
    }

static void install(struct provider_env *env, uint64_t revision,
                    const struct provider_variable *variables, size_t count)
{
    struct osa_error err = { 0 };
    assert_int_equal(provider_env_install(env, revision, variables, count, &err), OSA_OK);
}

/* @expected: the code's name, or the value. */
static void assert_found(const struct provider_env *env, const char *host, uint16_t port,
                         const char *path, const char *token, const char *expected)
{
    struct provider_view view;
    struct policy_placeholder what;
    struct policy_text value = { NULL, 0 };
    assert_int_equal(policy_placeholder_next(policy_text(token), 0, &what),
                     POLICY_PLACEHOLDER_FOUND);
    provider_view_init(&view, env, policy_text(host), port, policy_text(path));
    enum osa_code code = view.credentials.find(&view.credentials, &what, &value);
    char text[256];
    (void)snprintf(text, sizeof(text), "%.*s", (int)value.len, value.len > 0 ? value.data : "");
    assert_string_equal(code == OSA_OK ? text : osa_code_name(code), expected);
}

#define E "openshell:resolve:env:"
#define AT_API "api.example.com", 443, "/v1/models"

static const char *variable(const struct provider_env *env, const char *key, char *out, size_t size)
{
    struct osa_buf value;
    osa_buf_init(&value, 4096);
    out[0] = '\0';
    const char *found = NULL;
    for (size_t i = 0; i < provider_env_count(env); i++) {
        const char *name = provider_env_variable(env, i, &value);
        if (name != NULL && strcmp(name, key) == 0) {
            found = out;
            (void)snprintf(out, size, "%s", value.data);
        }
    }
    osa_buf_done(&value);
    return found;
}

static void test_processes_see_placeholders(void **state)
{
    (void)state;
    char text[200];
    struct provider_variable variables[] = {
        BOUND("API_KEY", "sk-1", "id", api), PLAIN("REGION", "eu"),
        PLAIN("GCP_PROJECT_ID", "blue"),     PLAIN("GCE_METADATA_HOST", "x"),
        PLAIN("OPENSHELL_X", "x"),           PLAIN("v3_KEY", "x"),
        BOUND("STABLE", "tok", "id2", api),
    };
    variables[6].handle = HANDLE;
    struct provider_env *env = provider_env_new();
    assert_false(provider_env_active(env));
    assert_false(provider_env_active(NULL));
    install(env, 7, variables, OSA_ARRAY_LEN(variables));
    assert_true(provider_env_active(env));
    assert_int_equal(provider_env_revision(env), 7);
    assert_string_equal(variable(env, "API_KEY", text, sizeof(text)), E "v7_API_KEY");
    assert_string_equal(variable(env, "REGION", text, sizeof(text)), E "v7_REGION");
    assert_string_equal(variable(env, "GCP_PROJECT_ID", text, sizeof(text)), "blue");
    assert_string_equal(variable(env, "STABLE", text, sizeof(text)), E "s" HANDLE "_STABLE");
    assert_null(variable(env, "GCE_METADATA_HOST", text, sizeof(text)));
    assert_null(variable(env, "OPENSHELL_X", text, sizeof(text)));
    assert_null(variable(env, "v3_KEY", text, sizeof(text)));
    install(env, 0, variables, 1);
    assert_string_equal(variable(env, "API_KEY", text, sizeof(text)), E "API_KEY");
    provider_env_free(env);
}

static void test_values_at_their_endpoints_only(void **state)
{
    (void)state;
    const struct provider_variable variables[] = {
        BOUND("API_KEY", "sk-1", "id", api),
        BOUND("ORG_KEY", "org-1", "id", any),
        PLAIN("REGION", "eu"),
    };
    struct provider_env *env = provider_env_new();
    assert_found(env, AT_API, E "v1_API_KEY", "NOT_FOUND");
    install(env, 1, variables, OSA_ARRAY_LEN(variables));
    assert_found(env, AT_API, E "v1_API_KEY", "sk-1");
    assert_found(env, "api.example.com", 443, "/v1", E "v1_API_KEY", "sk-1");
    assert_found(env, "api.example.com", 443, "/v2", E "v1_API_KEY", "PERMISSION_DENIED");
    assert_found(env, "api.example.com", 80, "/v1/x", E "v1_API_KEY", "PERMISSION_DENIED");
    assert_found(env, "evil.example.com", 443, "/v1/x", E "v1_API_KEY", "PERMISSION_DENIED");
    assert_found(env, "a.example.org", 8443, "/", E "v1_ORG_KEY", "org-1");
    assert_found(env, "a.b.example.org", 8443, "/", E "v1_ORG_KEY", "PERMISSION_DENIED");
    assert_found(env, "example.org", 8443, "/", E "v1_ORG_KEY", "PERMISSION_DENIED");
    assert_found(env, "anywhere", 1, "/", E "v1_REGION", "eu");
    assert_found(env, "anywhere", 1, "/", E "REGION", "eu");
    assert_found(env, "anywhere", 1, "/", E "v1_NOTHING", "NOT_FOUND");
    /* What does not say whose credential it was is nothing for a bound one. */
    assert_found(env, AT_API, E "API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, "sk-OPENSHELL-RESOLVE-ENV-API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "v99999999999999999999_API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "v0_API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "v2_API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "s" HANDLE "_API_KEY", "NOT_FOUND");
    struct provider_view view;
    struct policy_text value;
    provider_view_init(&view, env, policy_text("api.example.com"), 443, policy_text("/v1/x"));
    assert_int_equal(provider_view_key(&view, "API_KEY", &value), OSA_OK);
    assert_memory_equal(value.data, "sk-1", value.len);
    assert_int_equal(provider_view_key(&view, "ORG_KEY", &value), OSA_PERMISSION_DENIED);
    assert_int_equal(provider_view_key(&view, "X", &value), OSA_NOT_FOUND);
    provider_env_free(env);
}

static void test_generations(void **state)
{
    (void)state;
    struct provider_env *env = provider_env_new();
    for (uint64_t revision = 1; revision <= 20; revision++) {
        char secret[32];
        (void)snprintf(secret, sizeof(secret), "sk-%d", (int)revision);
        const struct provider_variable variables[] = { BOUND("API_KEY", secret, "id", api) };
        install(env, revision, variables, 1);
    }
    assert_found(env, AT_API, E "v20_API_KEY", "sk-20");
    assert_found(env, AT_API, E "v13_API_KEY", "sk-13");
    /* Too old for its own value, but the same credential: the present one. */
    assert_found(env, AT_API, E "v12_API_KEY", "sk-20");
    assert_found(env, AT_API, E "v21_API_KEY", "NOT_FOUND");
    /* Another credential under the same key. */
    const struct provider_variable other[] = { BOUND("API_KEY", "new", "id-2", api) };
    install(env, 21, other, 1);
    assert_found(env, AT_API, E "v21_API_KEY", "new");
    assert_found(env, AT_API, E "v20_API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "v12_API_KEY", "NOT_FOUND");
    provider_env_free(env);
}

static void test_revoked_until_the_same_comes_back(void **state)
{
    (void)state;
    const struct provider_variable first[] = { BOUND("API_KEY", "one", "id", api) };
    const struct provider_variable second[] = { BOUND("API_KEY", "two", "id", api) };
    struct provider_env *env = provider_env_new();
    install(env, 1, first, 1);
    provider_env_revoke(env);
    assert_false(provider_env_active(env));
    assert_int_equal(provider_env_count(env), 0);
    assert_found(env, AT_API, E "v1_API_KEY", "NOT_FOUND");
    install(env, 2, second, 1);
    assert_found(env, AT_API, E "v1_API_KEY", "two");
    assert_found(env, AT_API, E "v2_API_KEY", "two");
    /* A successful empty environment ends what old placeholders stood for. */
    install(env, 3, NULL, 0);
    assert_found(env, AT_API, E "v2_API_KEY", "NOT_FOUND");
    install(env, 4, second, 1);
    assert_found(env, AT_API, E "v1_API_KEY", "NOT_FOUND");
    assert_found(env, AT_API, E "v4_API_KEY", "two");
    provider_env_free(env);
}

static void test_expiry_and_handles(void **state)
{
    (void)state;
    int64_t now_ms = osa_wall_ns() / OSA_NS_PER_MS;
    struct provider_variable variables[] = { BOUND("OLD", "x", "id", api),
                                             BOUND("FRESH", "y", "id", api),
                                             BOUND("STABLE", "t1", "id", api) };
    variables[0].expires_ms = now_ms - 1;
    variables[1].expires_ms = now_ms + 3600 * 1000;
    variables[2].handle = HANDLE;
    struct provider_env *env = provider_env_new();
    install(env, 1, variables, 3);
    assert_found(env, AT_API, E "v1_OLD", "NOT_FOUND");
    assert_found(env, AT_API, E "v1_FRESH", "y");
    assert_found(env, AT_API, E "s" HANDLE "_STABLE", "t1");
    assert_found(env, AT_API, E "v1_STABLE", "NOT_FOUND");
    variables[2].value = "t2";
    for (uint64_t revision = 2; revision < 20; revision++)
        install(env, revision, variables, 3);
    assert_found(env, AT_API, E "s" HANDLE "_STABLE", "t2");
    variables[2].handle = OTHER_HANDLE;
    install(env, 20, variables, 3);
    assert_found(env, AT_API, E "s" HANDLE "_STABLE", "NOT_FOUND");
    provider_env_free(env);
}

static void test_incomplete_bindings_revoke_all(void **state)
{
    (void)state;
    static const struct provider_endpoint bad_port[] = { { "a.b", 70000, "" } };
    static const struct provider_endpoint no_port[] = { { "a.b", 0, "" } };
    static const struct provider_endpoint bad_host[] = { { "a..b", 1, "" } };
    static const struct provider_endpoint no_host[] = { { "", 1, "" } };
    static const struct provider_endpoint braces[] = { { "{a,b}.c", 1, "" } };
    static const struct {
        const struct provider_endpoint *endpoints;
        size_t count;
        const char *identity;
        const char *handle;
        const char *text;
    } cases[] = {
        { api, 0, "id", "", "binding of K: it has no endpoint" },
        { api, 1, "", "", "binding of K: it has no identity" },
        { api, 1, "id", "ab", "binding of K: its handle is malformed" },
        { bad_port, 1, "id", "", "binding of K: its port is 70000" },
        { no_port, 1, "id", "", "binding of K: its port is 0" },
        { bad_host, 1, "id", "", "binding of K: its host is no pattern" },
        { no_host, 1, "id", "", "binding of K: its host is no pattern" },
        { braces, 1, "id", "", "binding of K: its host is no pattern" },
    };
    const struct provider_variable good[] = { BOUND("API_KEY", "one", "id", api) };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        const struct provider_variable bad = { .key = "K",
                                               .value = "v",
                                               .bound = true,
                                               .identity = cases[i].identity,
                                               .handle = cases[i].handle,
                                               .endpoints = cases[i].endpoints,
                                               .endpoint_count = cases[i].count };
        struct osa_error err = { 0 };
        struct provider_env *env = provider_env_new();
        install(env, 1, good, 1);
        assert_int_equal(provider_env_install(env, 2, &bad, 1, &err), OSA_INVALID_ARGUMENT);
        assert_string_equal(err.text, cases[i].text);
        assert_false(provider_env_active(env));
        assert_found(env, AT_API, E "v1_API_KEY", "NOT_FOUND");
        provider_env_free(env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes_see_placeholders),
        cmocka_unit_test(test_values_at_their_endpoints_only),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_revoked_until_the_same_comes_back),
        cmocka_unit_test(test_expiry_and_handles),
        cmocka_unit_test(test_incomplete_bindings_revoke_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
