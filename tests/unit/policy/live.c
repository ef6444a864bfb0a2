// SPDX-License-Identifier: Apache-2.0
/* policy/live: versions that replace each other, and what a bad one does. */
#include "cmocka_all.h"

#include "policy/live.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct policy_document *parse(const char *host)
{
    char yaml[256];
    snprintf(yaml, sizeof(yaml),
             "version: 1\nnetwork_policies:\n  r: {endpoints: [{host: %s, port: 443}], binaries: "
             "[{path: /opt/cli}]}\n",
             host);
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(yaml, strlen(yaml), "test", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return doc;
}

static void publish(struct policy_live *live, const char *host, uint32_t version)
{
    OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = parse(host);
    assert_int_equal(policy_live_publish(live, doc, version, NULL), OSA_OK);
}

static enum policy_reason ask(struct policy_live *live, const char *host)
{
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = policy_live_take(live);
    assert_int_equal(policy_engine_generation(engine), policy_live_generation(live));
    struct policy_connection connection = { .host = host, .port = 443, .binary = "/opt/cli" };
    struct policy_grant grant;
    (void)policy_connect(engine, &connection, &grant);
    return grant.reason;
}

static void count_change(void *ctx, uint64_t generation)
{
    uint64_t *last = ctx;
    assert_true(generation > *last);
    *last = generation;
}

static void test_fail_closed(void **state)
{
    (void)state;
    struct policy_live *live = policy_live_new(policy_failure_mode_parse("nonsense"), NULL);
    uint64_t last = 0;
    policy_live_watch(live, count_change, &last);
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_QUARANTINE);
    publish(live, "a.test", 1);
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_NONE);
    uint64_t good = last;
    assert_int_equal(good, policy_live_generation(live));
    assert_true(policy_live_reject(live, 2, "no ports"));
    assert_true(last > good);
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_QUARANTINE);
    publish(live, "a.test", 1); /* the gateway sends the earlier one again */
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_NONE);
    policy_live_free(live);
}

static void test_retain(void **state)
{
    (void)state;
    struct policy_live *live =
        policy_live_new(policy_failure_mode_parse("retain_last_valid"), NULL);
    assert_true(policy_live_reject(live, 1, "no ports")); /* nothing to retain */
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_QUARANTINE);
    publish(live, "a.test", 2);
    uint64_t before = policy_live_generation(live);
    assert_false(policy_live_reject(live, 3, "no ports"));
    assert_int_equal(policy_live_generation(live), before); /* connections go on */
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_NONE);
    policy_live_set_mode(live, POLICY_FAIL_CLOSED); /* at once */
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_QUARANTINE);
    policy_live_set_mode(live, POLICY_RETAIN_VALID);
    assert_int_equal(ask(live, "a.test"), POLICY_REASON_NONE);
    assert_true(policy_live_generation(live) > before);
    policy_live_free(live);
}

/* A taken engine stays as it was while others come and go. */
static void *read_along(void *arg)
{
    struct policy_live *live = arg;
    for (int i = 0; i < 2000; i++) {
        OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = policy_live_take(live);
        uint64_t generation = policy_engine_generation(engine);
        struct policy_connection connection = { .host = generation % 2 ? "odd.test" : "even.test",
                                                .port = 443,
                                                .binary = "/opt/cli" };
        struct policy_grant grant;
        if (!policy_connect(engine, &connection, &grant))
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    publish(live, "even.test", 1); /* generation 2 */
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_along, live), 0);
    for (uint32_t i = 0; i < 300; i++)
        publish(live, policy_live_generation(live) % 2 ? "even.test" : "odd.test", i);
    for (size_t i = 0; i < 2; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    policy_live_free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_closed),
        cmocka_unit_test(test_retain),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
