// SPDX-License-Identifier: Apache-2.0
/* What the proxy itself decides, from tests/data/policy/decisions.yaml. */
#include "unit/egress/rig.h"

#include "base/fd.h"
#include "policy/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct policy_table *load(void)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    struct osa_error err = { 0 };
    struct policy_table *table = NULL;
    const char *path = OSA_TEST_DATA "/policy/decisions.yaml";
    if (osa_read_file(AT_FDCWD, path, 1u << 20, &text, &len, &err) != OSA_OK ||
        policy_table_parse(text, len, path, &table, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return table;
}

/* @text with the origin in place of {host}, {port} and {target}. */
static void fill(const char *text, struct osa_buf *out)
{
    char port[8];
    char target[INET_ADDRSTRLEN + 8];
    (void)snprintf(port, sizeof(port), "%u", rig.port);
    (void)snprintf(target, sizeof(target), "%s:%s", rig.ip, port);
    const struct {
        const char *name;
        const char *value;
    } names[] = { { "{host}", rig.ip }, { "{port}", port }, { "{target}", target } };
    while (*text != '\0') {
        size_t skip = 1;
        for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
            if (strncmp(text, names[i].name, strlen(names[i].name)) != 0)
                continue;
            skip = strlen(names[i].name);
            assert_true(osa_buf_add(out, names[i].value, strlen(names[i].value)));
        }
        if (skip == 1)
            assert_true(osa_buf_add(out, text, 1));
        text += skip;
    }
}

/* Status, and what else is to be found; nothing of the request has come to the origin. */
static void expect_answer(int fd, int far, const char *answer)
{
    char status[16];
    const char *blank = strchr(answer, ' ');
    assert_non_null(blank);
    (void)snprintf(status, sizeof(status), "HTTP/1.1 %.3s ", answer);
    (void)hear(fd, strcmp(blank + 1, "Connection Established") == 0 ? "\r\n\r\n" : NULL, 0);
    if (strncmp(heard, status, strlen(status)) != 0 || strstr(heard, blank + 1) == NULL)
        fail_msg("not '%s': %s", answer, heard);
    if (far < 0) {
        no_origin();
        return;
    }
    hear_end(far);
    assert_int_equal(heard_len, 0);
}

static void run(const struct policy_proxy_case *c)
{
    OSA_AUTO(osa_buf_done) struct osa_buf policy;
    OSA_AUTO(osa_buf_done) struct osa_buf request;
    int far = -1;
    osa_buf_init(&policy, 4096);
    osa_buf_init(&request, 4096);
    fill(c->policy != NULL ? c->policy : "version: 1", &policy);
    fill(c->send, &request);
    publish_document(policy.data);
    int fd = c->tunnel ? tunnel(&far) : client();
    say(fd, request.data, request.len);
    expect_answer(fd, far, c->answer);
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

static void test_decisions(void **state)
{
    (void)state;
    struct policy_table *table = load();
    unsigned count = 0;
    for (size_t i = 0; i < policy_table_count(table); i++) {
        struct policy_proxy_case c;
        if (!policy_table_proxy(table, i, &c))
            continue;
        print_message("%s\n", policy_table_name(table, i));
        run(&c);
        count++;
    }
    assert_int_equal(count, 10);
    policy_table_free(table);
}

/* There are no models behind the name yet, which is said inside of its TLS. */
static void test_inference(void **state)
{
    (void)state;
    static const char connect[] =
        "CONNECT inference.local:443 HTTP/1.1\r\nHost: inference.local:443\r\n\r\n";
    static const char request[] = "GET /v1/models HTTP/1.1\r\nHost: inference.local\r\n\r\n";
    struct osa_error err = { 0 };
    struct tls_trust *trust = NULL;
    struct secure near = { .fd = client() };
    publish(OTHER);
    osa_buf_init(&near.text, 1 << 20);
    say_text(near.fd, connect);
    (void)hear(near.fd, "\r\n\r\n", 0);
    assert_string_equal(heard, "HTTP/1.1 200 Connection Established\r\n\r\n");
    assert_int_equal(tls_trust_new(tls_authority_pem(rig.authority), NULL, &trust, &err), OSA_OK);
    assert_int_equal(tls_connect(trust, "inference.local", TLS_HTTP1, &near.tls, &err), OSA_OK);
    tls_trust_free(trust);
    for (unsigned i = 0; i < 3000 && !tls_ready(near.tls); i++)
        pump(&near);
    assert_true(tls_ready(near.tls));
    publish(ALLOW);
    gate_policy_changed(rig.gate); /* is nothing to it */
    assert_true(tls_write(near.tls, request, sizeof(request) - 1));
    until_text(&near, NULL, &near, "\"error\":\"no_inference_routes\"");
    assert_int_equal(strncmp(near.text.data, "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
    assert_non_null(strstr(near.text.data, "\"hint\":\""));
    no_origin();
    secure_done(&near);
    int fd = client(); /* without TLS there is nothing */
    say_text(fd, connect);
    (void)hear(fd, "\r\n\r\n", 0);
    say_text(fd, request);
    hear_end(fd);
    assert_int_equal(heard_len, 0);
    osa_close_fd(&fd);
}

int main(void)
{
    char ip[INET_ADDRSTRLEN];
    if (!find_address(ip)) {
        print_message("skipped: this host has no IPv4 address but loopback\n");
        return 77;
    }
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decisions, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_inference, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
