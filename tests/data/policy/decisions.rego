# SPDX-License-Identifier: Apache-2.0
# The decisions of docs/policy.md once more, in Rego, as a second opinion for tests/e2e/policy_opa.py.
# input.documents: network_policies of each document; input.questions: what is asked of which.
# It covers documents whose endpoints have no path and enforce; globs stay within what the engines of
# both sides read alike.
package decisions

import rego.v1

answers := [answer(question) | some question in input.questions]

answer(q) := connection_answer(q) if {
	connection_answer(q).verdict == "deny"
}

answer(q) := connection_answer(q) if {
	connection_answer(q).verdict == "allow"
	not q.request
}

answer(q) := request_answer(q) if {
	connection_answer(q).verdict == "allow"
	q.request
}

# ---- connections

host_fits(host, name) if {
	not contains(host, "*")
	lower(host) == lower(name)
}

host_fits(host, name) if {
	contains(host, "*")
	glob.match(lower(host), ["."], lower(name))
}

lists(endpoint, q) if {
	host_fits(endpoint.host, q.host)
	q.port in endpoint.ports
}

binary_fits(pattern, path) if pattern == path

binary_fits(pattern, path) if {
	contains(pattern, "*")
	glob.match(pattern, ["/"], path)
}

admits(rule, q) if {
	some binary in rule.binaries
	some path in array.concat([q.binary], q.ancestors)
	binary_fits(binary.path, path)
}

listed(q) := {key |
	some key, rule in input.documents[q.document]
	some endpoint in rule.endpoints
	lists(endpoint, q)
}

granted(q) := {key |
	some key in listed(q)
	admits(input.documents[q.document][key], q)
}

connection_answer(q) := {"verdict": "allow", "reason": "none", "rule": min(granted(q))} if {
	count(granted(q)) > 0
}

connection_answer(q) := {"verdict": "deny", "reason": "binary-miss"} if {
	count(granted(q)) == 0
	count(listed(q)) > 0
}

connection_answer(q) := {"verdict": "deny", "reason": "endpoint-miss"} if {
	count(listed(q)) == 0
	count(input.documents[q.document]) > 0
}

connection_answer(q) := {"verdict": "deny", "reason": "no-policies"} if {
	count(input.documents[q.document]) == 0
}

# ---- requests

permitting(q) := {key |
	some key in granted(q)
	some endpoint in input.documents[q.document][key].endpoints
	lists(endpoint, q)
	permits(endpoint, q.request)
}

denying(q) := {key |
	some key in granted(q)
	some endpoint in input.documents[q.document][key].endpoints
	lists(endpoint, q)
	denies(endpoint, q.request)
}

request_answer(q) := {"verdict": "allow", "reason": "none", "rule": min(permitting(q))} if {
	count(denying(q)) == 0
	count(permitting(q)) > 0
}

request_answer(q) := {"verdict": "deny", "reason": "graphql-blocked"} if {
	count(denying(q)) > 0
	q.request.operations
}

request_answer(q) := {"verdict": "deny", "reason": "deny-rule"} if {
	count(denying(q)) > 0
	not q.request.operations
}

request_answer(q) := {"verdict": "deny", "reason": "not-permitted"} if {
	count(denying(q)) == 0
	count(permitting(q)) == 0
}

# REST
permits(endpoint, request) if {
	endpoint.protocol == "rest"
	some rule in endpoint.rules
	http_fits(rule.allow, request)
	every key, globs in object.get(rule.allow, "query", {}) {
		count(object.get(request.query, key, [])) > 0
		every value in request.query[key] {
			any_fits(globs, value)
		}
	}
}

denies(endpoint, request) if {
	endpoint.protocol == "rest"
	some rule in endpoint.deny_rules
	http_fits(rule, request)
	every key, globs in object.get(rule, "query", {}) {
		some value in object.get(request.query, key, [])
		any_fits(globs, value)
	}
}

http_fits(rule, request) if {
	method_fits(rule.method, request.method)
	glob.match(rule.path, ["/"], request.path)
}

method_fits("*", _)

method_fits(expected, method) if upper(expected) == upper(method)

method_fits(expected, method) if {
	upper(expected) == "GET"
	upper(method) == "HEAD"
}

any_fits(globs, value) if {
	some pattern in globs.any
	glob.match(pattern, ["."], value)
}

# GraphQL: what no rule allows is denied, whatever other endpoints say
permits(endpoint, request) if {
	endpoint.protocol == "graphql"
	operations_allowed(endpoint, request)
}

denies(endpoint, request) if {
	endpoint.protocol == "graphql"
	not operations_allowed(endpoint, request)
}

denies(endpoint, request) if {
	endpoint.protocol == "graphql"
	some operation in request.operations
	some rule in endpoint.deny_rules
	operation_named(rule, operation)
	some_field_fits(object.get(rule, "fields", []), operation.fields)
}

operations_allowed(endpoint, request) if {
	every operation in request.operations {
		some rule in endpoint.rules
		operation_named(rule.allow, operation)
		all_fields_fit(object.get(rule.allow, "fields", []), operation.fields)
	}
}

operation_named(rule, operation) if {
	rule.operation_type == operation.type
	name_fits(object.get(rule, "operation_name", ""), operation.name)
}

name_fits("", _)

name_fits(pattern, name) if {
	pattern != ""
	glob.match(pattern, ["."], name)
}

all_fields_fit([], _)

all_fields_fit(patterns, fields) if {
	count(patterns) > 0
	every field in fields {
		some pattern in patterns
		glob.match(pattern, ["."], field)
	}
}

some_field_fits([], _)

some_field_fits(patterns, fields) if {
	some pattern in patterns
	some field in fields
	glob.match(pattern, ["."], field)
}

# MCP
permits(endpoint, request) if {
	endpoint.protocol == "mcp"
	some rule in endpoint.rules
	call_fits(rule.allow, request.call)
}

denies(endpoint, request) if {
	endpoint.protocol == "mcp"
	some rule in endpoint.deny_rules
	call_fits(rule, request.call)
}

call_fits(rule, call) if {
	glob.match(rule.method, ["."], call.method)
	tool_fits(object.get(rule, "tool", ""), call)
}

tool_fits("", _)

tool_fits(pattern, call) if {
	pattern != ""
	glob.match(pattern, ["."], call.tool)
}
