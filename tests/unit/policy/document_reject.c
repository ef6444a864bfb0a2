// SPDX-License-Identifier: Apache-2.0
/* What is refused, and what is accepted with a warning: position, field and words. */
#include "policy/document_build.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

/* An endpoint in flow form, in a document around it. */
#define ENDPOINT(text)                                                                             \
    "version: 1\nnetwork_policies:\n  alpha:\n    binaries: [{path: /a}]\n    endpoints:\n"        \
    "      - {" text "}\n"
#define EP "p.yaml:6:"
#define AT "network_policies.alpha.endpoints[0]"
#define REST "host: a.b, port: 1, protocol: rest"
/* Behind the rest, so that columns stay. */
#define ENFORCE ", enforcement: enforce"
#define MCP "host: a.b, port: 1, protocol: mcp"

struct row {
    const char *yaml;
    const char *expect; /* the whole text */
};

static const struct row rejected[] = {
    /* shape */
    { "", "p.yaml:1:1: the policy is empty; write at least version: 1" },
    { "a", "p.yaml:1:1: must be a mapping (key: value), not a single value" },
    { "landlock: {}", "p.yaml:1:1: version is missing; write version: 1" },
    { "version: 2", "p.yaml:1:10: version: 2 is not known here; write 1" },
    { "version: one", NULL },
    { "version: 1\nnetwork: {}",
      "p.yaml:2:10: network: is not known here; known are version, filesystem_policy, landlock, "
      "process, network_policies, network_middlewares" },
    { "version: 1\nlandlock: {abi: 3}",
      "p.yaml:2:17: abi: is not known here; known are compatibility" },
    { "version: 1\nfilesystem_policy: {read_only: /usr}",
      "p.yaml:2:32: read_only: must be a list, not a single value" },
    { "version: 1\nfilesystem_policy: {include_workdir: yes}", NULL },
    /* files */
    { "version: 1\nfilesystem_policy:\n  read_only:\n    - /usr\n    - usr/lib",
      "p.yaml:5:7: filesystem_policy.read_only[1]: 'usr/lib' is not absolute; start it with '/'" },
    { "version: 1\nfilesystem_policy: {read_write: [/a/../b]}",
      "p.yaml:2:34: filesystem_policy.read_write[0]: '/a/../b' has a '..' component; write the "
      "path that is meant" },
    { "version: 1\nfilesystem_policy: {read_write: [//./]}",
      "p.yaml:2:34: filesystem_policy.read_write[0]: '/' would make everything writable; list the "
      "directories that the workload changes" },
    { "version: 1\nprocess: {run_as_user: root}",
      "p.yaml:2:24: process.run_as_user: 'root' is not accepted; write sandbox or a number of 1 to "
      "4294967294" },
    { "version: 1\nprocess: {run_as_group: 4294967295}",
      "p.yaml:2:25: process.run_as_group: '4294967295' is not accepted; write sandbox or a number "
      "of 1 to 4294967294" },
    { "version: 1\nprocess: {run_as_user: '0'}", NULL },
    { "version: 1\nprocess: {run_as_user: ' 1'}", NULL },
    { "version: 1\nprocess: {run_as_user: '01'}", NULL },
    { "version: 1\nprocess: {run_as_user: '+1'}", NULL },
    { "version: 1\nprocess: {run_as_user: '99999999999999999999'}", NULL },
    /* rules */
    { "version: 1\nnetwork_policies: {_provider_x: {}}",
      "p.yaml:2:33: network_policies._provider_x: keys that start with _provider_ are the "
      "gateway's; choose another" },
    { "version: 1\nnetwork_policies: {a: {binaries: [{harness: true}]}}",
      "p.yaml:2:35: network_policies.a.binaries[0].path: is missing; name the executable" },
    { "version: 1\nnetwork_policies: {a: {binaries: [{path: '/a/*['}]}}",
      "p.yaml:2:42: network_policies.a.binaries[0].path: '/a/*[' has a [ without ]" },
    /* hosts */
    { ENDPOINT("port: 1"), EP "9: " AT ".host: is missing; name a host, or list allowed_ips" },
    { ENDPOINT("host: '*', port: 1"),
      EP "16: " AT ".host: '*' means every host; name the domains" },
    { ENDPOINT("host: '**', port: 1"), NULL },
    { ENDPOINT("host: '*.com', port: 1"),
      EP "16: " AT ".host: '*.com' means a whole top-level domain; name the domain below it" },
    { ENDPOINT("host: '**.com.', port: 1"), NULL },
    { ENDPOINT("host: 'a.**.com', port: 1"),
      EP "16: " AT ".host: 'a.**.com' has ** somewhere other than as its whole first label" },
    { ENDPOINT("host: 'x**.b.com', port: 1"), NULL },
    { ENDPOINT("host: 'a.x*.com', port: 1"),
      EP "16: " AT ".host: 'a.x*.com' has * beside other characters after its first label; write * "
         "as the whole label" },
    { ENDPOINT("host: '*.{a,b.com', port: 1"),
      EP "16: " AT ".host: '*.{a,b.com' has a { without }" },
    { ENDPOINT("host: \"\\u212a.com\", port: 1"),
      EP "16: " AT ".host: '\\xe2\\x84\\xaa.com' is not ASCII; write the xn-- form" },
    /* ports */
    { ENDPOINT("host: a.b"), EP "9: " AT ": has no port; give port or ports" },
    { ENDPOINT("host: a.b, port: 0"), NULL },
    { ENDPOINT("host: a.b, ports: [65536]"), NULL },
    { ENDPOINT("host: a.b, port: 1, ports: [1]"),
      EP "27: " AT ".port: cannot be given together with ports; keep one" },
    /* words */
    { ENDPOINT("host: a.b, port: 1, protocol: REST, access: full"),
      EP "40: " AT ".protocol: 'REST' is not known; write tcp, rest, websocket, graphql, sql, "
         "json-rpc or mcp, in lower case" },
    { ENDPOINT(REST ", access: full, persisted_queries: some"), NULL },
    { ENDPOINT(REST ", access: full, path: v1"),
      EP "66: " AT ".path: 'v1' must be ** or start with '/'" },
    { ENDPOINT(REST),
      EP "9: " AT ": allows no request; give rules, or access: read-only, read-write or full" },
    { ENDPOINT(REST ", access: full, rules: [{allow: {method: GET, path: /}}]"),
      EP "54: " AT ".access: cannot be given together with rules; keep one" },
    { ENDPOINT("host: a.b, port: 1, protocol: json-rpc, access: full"),
      EP "58: " AT ".access: is not for json-rpc; write rules" },
    { ENDPOINT(MCP), EP "9: " AT ": allows no request; give rules" },
    { ENDPOINT("host: a.b, port: 1, deny_rules: [{method: GET, path: /}]"),
      EP "42: " AT ".deny_rules: need a protocol; name it" },
    { ENDPOINT("host: a.b, port: 1, protocol: sql, access: full, enforcement: enforce"),
      EP "72: " AT ".enforcement: enforce is not possible for sql, which is not parsed; write "
         "audit" },
    { ENDPOINT(REST ", access: full, mcp: {}"),
      EP "65: " AT ".mcp: is only for protocol mcp; drop it" },
    { ENDPOINT(REST ", access: full, credential_binding: {}"),
      EP "80: " AT ".credential_binding.provider: is missing; name the provider" },
    { ENDPOINT(REST ", access: full, credential_signing: v4"), NULL },
    { ENDPOINT(REST ", access: full, credential_signing: sigv4"),
      EP "9: " AT ".signing_service: is needed with credential_signing; name the service" },
    { ENDPOINT(REST ", access: full, credential_signing: sigv4, signing_service: s3, "
                    "request_body_credential_rewrite: true"),
      NULL },
    /* tcp */
    { ENDPOINT("host: a.b, port: 1, protocol: tcp, access: full"),
      EP "53: " AT ".access: is about requests, which tcp does not look into; drop it or name "
         "another protocol" },
    { ENDPOINT("host: 10.0.0.1, port: 1, protocol: tcp"),
      EP "16: " AT ".host: '10.0.0.1' is an address; tcp needs a name that the sandbox can look "
         "up" },
    { ENDPOINT("port: 1, protocol: tcp, allowed_ips: [10.0.0.1]"),
      EP "9: " AT ".host: is missing, which tcp needs" },
    { ENDPOINT("host: a.b., port: 1, protocol: tcp"), NULL },
    /* requests */
    { ENDPOINT(REST ", rules: [{}]"), NULL },
    { ENDPOINT(REST ", rules: [{allow: {}}, {allow: {}}]"),
      EP "53: " AT ".rules: say nothing about requests; add method and path" },
    { ENDPOINT(REST ", rules: [{allow: {method: GET, path: '/[z-a]'}}]"),
      EP "82: " AT ".rules[0].allow.path: '/[z-a]' has a range in [ ] that runs backwards" },
    { ENDPOINT(REST ", rules: [{allow: {method: GET, path: /, query: {q: {any: []}}}}]"),
      EP "96: " AT ".rules[0].allow.query.q: needs exactly one of: a glob, or any with a list" },
    { ENDPOINT(REST ", rules: [{allow: {method: GET, path: /, query: {q: {glob: a}}}}]"), NULL },
    { ENDPOINT(REST ", rules: [{allow: {method: GET, path: /, query: {q: {any: ['']}}}}]"), NULL },
    { ENDPOINT("host: a.b, port: 1, protocol: graphql, rules: [{allow: {operation_type: '*'}}]"),
      EP "82: " AT ".rules[0].allow.operation_type: '*' is not known; write query, mutation or "
         "subscription, one rule for each" },
    { ENDPOINT("host: a.b, port: 1, protocol: json-rpc, rules: [{allow: {method: 'a.*'}}]"),
      EP "75: " AT ".rules[0].allow.method: 'a.*' is a pattern, which json-rpc has not; name the "
         "method, or write * alone" },
    { ENDPOINT("host: a.b, port: 1, protocol: json-rpc, rules: [{allow: {method: a, tool: x}}]"),
      NULL },
    { ENDPOINT("host: a.b, port: 1, protocol: json-rpc, rules: [{allow: {path: /x}}]"), NULL },
    { ENDPOINT(MCP ", rules: [{allow: {method: 'resources/*'}}]"),
      EP "70: " AT ".rules[0].allow.method: 'resources/*' is a pattern outside tools/; name each "
         "method" },
    { ENDPOINT(MCP ", rules: [{allow: {tool: x}}]"), NULL },
    { ENDPOINT(MCP ", rules: [{allow: {method: initialize, tool: x}}]"),
      EP "70: " AT ".rules[0].allow.method: 'initialize' takes no tool; write tools/call" },
    { ENDPOINT(MCP ", rules: [{allow: {method: tools/call, params: {arguments: {a: x}}}}]"),
      EP "90: " AT ".rules[0].allow.params[\"arguments.a\"]: is not looked at; the tool's name is "
         "the only parameter that rules know" },
    { ENDPOINT(MCP ", rules: [{allow: {method: tools/call, params: {name: x}, tool: y}}]"),
      EP "97: " AT ".rules[0].allow.params.name: is given twice (tool is another name of "
         "params.name); keep one" },
    { ENDPOINT(MCP ", rules: [{allow: {method: tools/call, tool: y, params: {name: x}}}]"), NULL },
    { ENDPOINT(MCP ", mcp: {strict_tool_names: false}, rules: [{allow: {method: tools/call, tool: "
                   "'x*'}}]"),
      NULL },
    { ENDPOINT(MCP
               ", rules: [{allow: {method: tools/call, tool: x}}, {allow: {method: 'tools/*'}}]"),
      EP "110: " AT ".rules[1].allow.method: 'tools/*' covers tools/call for all tools, beside "
         "rules that name tools; name the methods" },
    { ENDPOINT("host: a.b, port: 1, protocol: websocket, rules: [{allow: {method: GET, "
               "operation_type: query}}]"),
      NULL },
    { ENDPOINT("host: a.b, port: 1, protocol: websocket, rules: [{allow: {operation_type: query}}, "
               "{allow: {method: WEBSOCKET_TEXT, path: /}}]"),
      NULL },
    /* middlewares */
    { "version: 1\nnetwork_middlewares: {m: {endpoints: {include: ['**']}}}",
      "p.yaml:2:26: network_middlewares.m.middleware: is missing; name the registered filter" },
    { "version: 1\nnetwork_middlewares: {m: {middleware: openshell/x, endpoints: {include: [a]}}}",
      NULL },
    { "version: 1\nnetwork_middlewares: {m: {middleware: a/b}}",
      "p.yaml:2:26: network_middlewares.m.endpoints.include: is missing; list host patterns, ** "
      "for all" },
    { "version: 1\nnetwork_middlewares: {m: {middleware: a/b, endpoints: {include: [a..b]}}}",
      "p.yaml:2:66: network_middlewares.m.endpoints.include[0]: 'a..b' has an empty label" },
    { "version: 1\nnetwork_middlewares: {m: {middleware: a/b, on_error: x, endpoints: {include: "
      "[a]}}}",
      NULL },
    { "version: 1\nnetwork_middlewares:\n  m: {middleware: a/b, endpoints: {include: [a]}}\n"
      "  n: {middleware: a/b, endpoints: {include: [a]}}\n",
      "p.yaml:4:6: network_middlewares.n.order: 0 is also the order of 'm'; give each filter its "
      "own" },
    { "version: 1\nnetwork_middlewares:\n  m: {middleware: a/b, endpoints: {include: "
      "['*.acme.x']}}\n"
      "network_policies:\n  r:\n    binaries: [{path: /a}]\n    endpoints: [{host: a.acme.x, port: "
      "443, tls: skip}]\n",
      "p.yaml:3:35: network_middlewares.m.endpoints: include 'a.acme.x', where rule 'r' has tls: "
      "skip, so the filter could not see it; exclude it, or set on_error: fail_open" },
};

static void test_rejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(rejected); i++) {
        const struct row *row = &rejected[i];
        const struct policy_document *doc = NULL;
        struct osa_error err = { 0 };
        enum osa_code code =
            policy_document_parse_yaml(row->yaml, strlen(row->yaml), "p.yaml", &doc, &err);
        if (code != OSA_INVALID_ARGUMENT || err.code != code)
            fail_msg("row %zu: code %d: %s\n%s", i, (int)code, err.text, row->yaml);
        if (strncmp(err.text, "p.yaml:", 7) != 0)
            fail_msg("row %zu has no position: %s", i, err.text);
        if (row->expect != NULL && strcmp(err.text, row->expect) != 0)
            fail_msg("row %zu:\nseen   %s\nexpect %s", i, err.text, row->expect);
        assert_null(doc);
    }
}

/* Two endpoints; the second one's text differs. */
#define TWO(a, b)                                                                                  \
    "version: 1\nnetwork_policies:\n"                                                              \
    "  one: {binaries: [{path: /a}], endpoints: [{" a "}]}\n"                                      \
    "  two: {binaries: [{path: /a}], endpoints: [{" b "}]}\n"
#define CONFLICT(field)                                                                            \
    "p.yaml:4:45: network_policies.two.endpoints[0]: differs in " field                            \
    " from endpoints[0] of rule 'one', which covers the same host and port; make them agree"

static const struct row ambiguous[] = {
    { TWO("host: a.b.c, port: 1, tls: skip", "host: A.B.C, port: 1"), CONFLICT("tls") },
    { TWO("host: a.b.c, port: 1, tls: skip", "host: a.b.c, port: 2"), NULL },
    { TWO("host: a.b.c, port: 1, tls: skip", "host: '*.b.c', ports: [2, 1]"), CONFLICT("tls") },
    { TWO("host: a.x.b.c, port: 1, tls: skip", "host: '*.b.c', port: 1"), NULL },
    { TWO("host: 'a*.b.c', port: 1, tls: skip", "host: '*z.b.c', port: 1"), CONFLICT("tls") },
    { TWO("host: 'a*.b.c', port: 1, tls: skip", "host: 'b*.b.c', port: 1"), NULL },
    { TWO("host: '**.b.c', port: 1, tls: skip", "host: 'x.*.y.b.c', port: 1"), CONFLICT("tls") },
    { TWO("host: a.b.c, port: 1, allowed_ips: [10.0.0.1]", "port: 1, allowed_ips: [10.0.0.2]"),
      CONFLICT("allowed_ips") },
    { TWO("host: a.b.c, port: 1, protocol: tcp", "host: a.b.c, port: 1"), CONFLICT("protocol") },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full",
          "host: a.b.c, port: 1, protocol: graphql, access: full"),
      CONFLICT("protocol") },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full", "host: a.b.c, port: 1"), NULL },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full, path: /a/**",
          "host: a.b.c, port: 1, protocol: rest, access: full, enforcement: enforce, path: /b/**"),
      NULL },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full, path: /*/b",
          "host: a.b.c, port: 1, protocol: rest, access: full, enforcement: enforce, path: /a/*"),
      CONFLICT("enforcement") },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full, path: /aa*",
          "host: a.b.c, port: 1, protocol: rest, access: full, enforcement: enforce, path: /a/**"),
      NULL },
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full, path: '/p/**'",
          "host: a.b.c, port: 1, protocol: rest, access: full, enforcement: enforce, path: '/*p*'"),
      NULL }, /* specificity 3 against 2 */
    { TWO("host: a.b.c, port: 1, protocol: rest, access: full, path: '/p/**'",
          "host: a.b.c, port: 1, protocol: rest, access: full, enforcement: enforce, path: "
          "'/*/*p'"),
      CONFLICT("enforcement") },
};

static void test_ambiguous(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(ambiguous); i++) {
        const struct row *row = &ambiguous[i];
        const struct policy_document *doc = NULL;
        struct osa_error err = { 0 };
        enum osa_code code =
            policy_document_parse_yaml(row->yaml, strlen(row->yaml), "p.yaml", &doc, &err);
        if (code != (row->expect ? OSA_INVALID_ARGUMENT : OSA_OK))
            fail_msg("row %zu: code %d: %s", i, (int)code, err.text);
        if (row->expect != NULL && strcmp(err.text, row->expect) != 0)
            fail_msg("row %zu:\nseen   %s\nexpect %s", i, err.text, row->expect);
        policy_document_unref(doc);
    }
}

static const struct row warned[] = {
    { "version: 1\nlandlock: {compatibility: hard}",
      "p.yaml:2:27: landlock.compatibility: 'hard' is not known and means best_effort; write "
      "best_effort or hard_requirement" },
    { "version: 1\nfilesystem_policy: {read_only: [/tmp], read_write: [/tmp]}",
      "p.yaml:2:33: filesystem_policy.read_only[0]: '/tmp' is in read_write too and so can be "
      "changed" },
    { "version: 1\nnetwork_policies: {a: {}}",
      "p.yaml:2:23: network_policies.a.binaries: is empty, so the rule is for no executable; list "
      "some" },
    { "version: 1\nnetwork_policies: {a: {binaries: [{path: '*'}]}}",
      "p.yaml:2:42: network_policies.a.binaries[0].path: '*' matches no executable, whose paths "
      "are absolute; write ** for all" },
    { ENDPOINT("host: a.b, port: 1, access: full"),
      EP "38: " AT ".access: is not looked at without a protocol: every request passes; name the "
         "protocol" },
    { ENDPOINT(REST ", access: all" ENFORCE),
      EP "54: " AT ".access: 'all' is not known, so nothing is allowed; write read-only, "
         "read-write or full" },
    { ENDPOINT(REST ", access: full, enforcement: Enforce"),
      EP "73: " AT ".enforcement: 'Enforce' is not known and means audit: violations pass; write "
         "enforce or audit" },
    { ENDPOINT("host: a.b, port: 1, tls: terminate"),
      EP "35: " AT ".tls: 'terminate' is an old spelling without effect; leave it out" },
    { ENDPOINT("host: a.b, port: 443, tls: skip, protocol: rest, access: full" ENFORCE),
      EP "37: " AT ".tls: skip leaves requests on port 443 unread, so rules cannot be applied" },
    { ENDPOINT(REST ", rules: [{allow: {method: GET}}]" ENFORCE),
      EP "62: " AT ".rules[0].allow: has no path and so matches nothing; write path: /**" },
    { ENDPOINT(REST ", rules: [{allow: {method: GET, path: '*'}}]" ENFORCE),
      EP "82: " AT ".rules[0].allow.path: '*' matches nothing, because paths start with '/'; write "
         "/** for all" },
    { ENDPOINT(REST ", rules: [{allow: {method: FETCH, path: /}}]" ENFORCE),
      EP "71: " AT ".rules[0].allow.method: 'FETCH' is not a method that rest knows" },
    { ENDPOINT("host: a.b, port: 1, allowed_ips: [0.0.0.0/0]"),
      EP "44: " AT
         ".allowed_ips[0]: '0.0.0.0/0' covers loopback, link-local or unspecified addresses, "
         "which are never allowed, so every connection is refused; narrow it" },
    { ENDPOINT("host: a.b, port: 1, allowed_ips: [10.0.0.0/33]"),
      EP "44: " AT ".allowed_ips[0]: '10.0.0.0/33' is not an address or range, so every connection "
         "is refused; write 10.0.0.0/8 or fd00::1" },
    { ENDPOINT("host: a.b, port: 1, allowed_ips: ['fe80::1/64']"),
      EP "44: " AT
         ".allowed_ips[0]: 'fe80::1/64' covers loopback, link-local or unspecified addresses, "
         "which are never allowed, so every connection is refused; narrow it" },
    { ENDPOINT("host: a.b, port: 1, allowed_ips: [10.0.0.0/8, 'fd00::1', 192.168.1.1]"), NULL },
    { ENDPOINT(REST ", access: full"), EP
      "9: " AT ".enforcement: is missing and means audit: violations pass and are recorded; write "
      "enforce" },
    { ENDPOINT(REST
               ", access: full, deny_rules: [{method: GET, path: /**, query: {q: 'a*'}}]" ENFORCE),
      EP "109: " AT
         ".deny_rules[0].query.q: 'a*' denies no value with a dot where the * stands; write "
         "** for any value" },
    { ENDPOINT(REST
               ", access: full, deny_rules: [{method: GET, path: /**, query: {q: '**'}}]" ENFORCE),
      NULL },
    { ENDPOINT(MCP ", mcp: {allow_all_known_mcp_methods: true}" ENFORCE),
      EP "50: " AT
         ".mcp: allow_all_known_mcp_methods allows methods that MCP does not have as well, as "
         "upstream reads it" },
};

static void test_warned(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(warned); i++) {
        const struct row *row = &warned[i];
        const struct policy_document *doc = NULL;
        struct osa_error err = { 0 };
        if (policy_document_parse_yaml(row->yaml, strlen(row->yaml), "p.yaml", &doc, &err) !=
            OSA_OK)
            fail_msg("row %zu: %s", i, err.text);
        if (doc->warnings.count != (row->expect ? 1 : 0))
            fail_msg("row %zu: %zu warnings, first: %s", i, doc->warnings.count,
                     doc->warnings.count ? doc->warnings.items[0] : "");
        if (row->expect != NULL && strcmp(doc->warnings.items[0], row->expect) != 0)
            fail_msg("row %zu:\nseen   %s\nexpect %s", i, doc->warnings.items[0], row->expect);
        policy_document_unref(doc);
    }
}

static void test_many_warnings(void **state)
{
    (void)state;
    char text[8192] = "version: 1\nnetwork_policies:\n";
    size_t used = strlen(text);
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "  r%d: {}\n", i);
    const struct policy_document *doc = NULL;
    struct osa_error err;
    assert_int_equal(policy_document_parse_yaml(text, used, "p.yaml", &doc, &err), OSA_OK);
    assert_int_equal(doc->warnings.count, POLICY_MAX_WARNINGS + 1);
    assert_string_equal(doc->warnings.items[POLICY_MAX_WARNINGS], "36 more warnings are not shown");
    policy_document_unref(doc);
}

static void test_path_bounds(void **state)
{
    (void)state;
    static char text[64 << 10];
    const struct policy_document *doc = NULL;
    struct osa_error err;
    for (int count = 256; count <= 257; count++) {
        size_t used = (size_t)snprintf(text, sizeof(text),
                                       "version: 1\nfilesystem_policy:\n  read_write: [/tmp]\n"
                                       "  read_only:\n");
        for (int i = 1; i < count; i++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "  - /p%d\n", i);
        enum osa_code code = policy_document_parse_yaml(text, used, "p.yaml", &doc, &err);
        assert_int_equal(code, count == 256 ? OSA_OK : OSA_INVALID_ARGUMENT);
        if (code == OSA_OK)
            policy_document_unref(doc);
    }
    assert_string_equal(err.text,
                        "p.yaml:3:3: filesystem_policy: lists 257 paths; at most 256 are allowed");
    assert_string_equal(err.field, "filesystem_policy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejected),    cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_warned),      cmocka_unit_test(test_many_warnings),
        cmocka_unit_test(test_path_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
