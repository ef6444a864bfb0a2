#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second opinion on policy decisions: tests/data/policy/decisions.rego, judged by a real OPA: policy_opa.py [SEED]

Documents and questions are made at random from few words, so that they meet often; both engines must
say the same. Needs `opa`, which scripts/setup.sh builds.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["OSA_SOURCE"])
CTL = pathlib.Path(os.environ["OSA_BIN"], "openshell-agentctl")
TOOLS = pathlib.Path("~/.cache/openshell-agent/bin").expanduser()
DOCUMENTS, QUESTIONS, SEED = 40, 40, 20251125

HOSTS = ["a.x.test", "B.x.test", "*.x.test", "**.x.test", "a-*.x.test", "x.test", "a.*.test"]
ASKED_HOSTS = ["a.x.test", "A.X.test", "b.x.test", "a-1.x.test", "c.a.x.test", "x.test", "a.y.test", "a.x.test."]
BINARIES = ["/bin/a", "/bin/*", "/opt/**", "/opt/*/b", "/usr/bin/a-*"]
ASKED_BINARIES = ["/bin/a", "/bin/b", "/bin/c/d", "/opt/a/b", "/opt/a/b/c", "/usr/bin/a-1", "/opt"]
METHODS = ["GET", "POST", "*", "get", "DELETE"]
PATHS = ["/", "/v1", "/v1/*", "/v1/**", "/v1/a*", "/*/b", "/**", "/v1/?", "/v[12]/a", "/{v1,v2}/b"]
ASKED_PATHS = ["/", "/v1", "/v1/", "/v1/a", "/v1/ab", "/v1/a/b", "/v2/b", "/v2/a", "/v3/a"]
VALUES = ["a", "a*", "*", "**", "1.*", "{a,b}", "?"]
ASKED_VALUES = ["a", "ab", "b", "1.5", "1.5.2", ""]
FIELDS = ["viewer", "repo", "repo*", "*", "secret"]
ASKED_FIELDS = ["viewer", "repo", "repos", "secret"]
NAMES = ["Add*", "Get", "*"]
ASKED_NAMES = ["", "AddOne", "Get", "Drop"]
TOOLS_NAMED = ["read_*", "*", "fs.*", "read_a", "**"]
ASKED_TOOLS = ["read_a", "read_b", "write", "fs.read", "fs.a.b"]
RPC = ["tools/call", "tools/list", "initialize", "ping", "x/y"]


def some(words, least=1, most=3):
    return random.sample(words, random.randint(least, most))


def query():
    return {} if random.random() < 0.6 else {"query": {key: {"any": some(VALUES, 1, 2)}
                                                       for key in some(["p", "q"], 1, 2)}}


def rule(protocol):
    if protocol == "rest":
        return {"method": random.choice(METHODS), "path": random.choice(PATHS), **query()}
    if protocol == "graphql":
        made = {"operation_type": random.choice(["query", "mutation"])}
        if random.random() < 0.3:
            made["operation_name"] = random.choice(NAMES)
        if random.random() < 0.7:
            made["fields"] = some(FIELDS, 1, 3)
        return made
    method = random.choice(RPC)
    return {"method": method, **({"tool": random.choice(TOOLS_NAMED)} if method == "tools/call" else {})}


def endpoint(protocol):
    made = {"host": random.choice(HOSTS), "ports": some([80, 443, 8443], 1, 2)}
    if protocol:
        made |= {"protocol": protocol, "enforcement": "enforce",
                 "rules": [{"allow": rule(protocol)} for _ in range(random.randint(1, 4))]}
        denied = [rule(protocol) for _ in range(random.randint(0, 2))]
        if denied:
            made["deny_rules"] = denied
    return made


def document(protocol):
    return {f"r{random.randint(0, 99):02}": {"endpoints": [endpoint(protocol) for _ in range(random.randint(1, 3))],
                                             "binaries": [{"path": path} for path in some(BINARIES, 0, 3)]}
            for _ in range(random.choice([0, 3, 4, 5, 6]))}


def ask(number, protocol):
    """One question, as OPA gets it and as a case of our table."""
    asked = {"document": number, "host": random.choice(ASKED_HOSTS), "port": random.choice([80, 443, 8443]),
             "binary": random.choice(ASKED_BINARIES), "ancestors": some(ASKED_BINARIES, 0, 2)}
    case = {key: asked[key] for key in ("host", "port", "binary", "ancestors")}
    case |= {"policy": f"d{number}", "expect": {}}
    if protocol == "rest":
        pairs = [(key, random.choice(ASKED_VALUES)) for key in some(["p", "q", "p"], 0, 3)]
        method, path = random.choice(["GET", "HEAD", "POST", "Delete"]), random.choice(ASKED_PATHS)
        asked["request"] = {"method": method, "path": path,
                            "query": {key: [v for k, v in pairs if k == key] for key, _ in pairs}}
        case |= {"method": method, "target": path + "?" + "&".join(f"{k}={v}" for k, v in pairs)}
    elif protocol == "graphql":
        operations = [{"type": random.choice(["query", "mutation"]), "name": random.choice(ASKED_NAMES),
                       "fields": some(ASKED_FIELDS, 1, 3)} for _ in range(random.randint(1, 2))]
        bodies = [{"query": f"{o['type']} {o['name']} {{{' '.join('x: ' + f for f in o['fields'])}}}"}
                  for o in operations]
        asked["request"] = {"operations": operations}
        case |= {"method": "POST", "target": "/graphql", "body": json.dumps(bodies)}
    elif protocol == "mcp":
        call = {"method": random.choice(RPC)}
        params = {"protocolVersion": "1", "capabilities": {}, "clientInfo": {}}
        if call["method"] == "tools/call":
            call["tool"] = random.choice(ASKED_TOOLS)
            params = {"name": call["tool"]}
        asked["request"] = {"call": call}
        case |= {"method": "POST", "target": "/mcp",
                 "body": json.dumps({"jsonrpc": "2.0", "id": 1, "method": call["method"], "params": params})}
    return asked, case


def is_valid(folder, text):
    path = folder / "document.yaml"
    path.write_text(text)
    return subprocess.run([CTL, "policy", "check", path], capture_output=True).returncode == 0


def make(folder):
    documents, texts, questions, cases = [], {}, [], []
    while len(documents) < DOCUMENTS:
        protocol = [None, "rest", "graphql", "mcp"][len(documents) % 4]
        rules = document(protocol)
        text = json.dumps({"version": 1, "network_policies": rules})
        if not is_valid(folder, text):
            continue  # rules that contradict each other are refused, and so decide nothing
        for _ in range(QUESTIONS):
            asked, case = ask(len(documents), protocol)
            questions.append(asked)
            cases.append({"name": f"{len(cases)}", **case})
        texts[f"d{len(documents)}"] = text
        documents.append(rules)
    return documents, texts, questions, cases


def main():
    opa = shutil.which("opa", path=f"{TOOLS}:{os.environ['PATH']}")
    if opa is None:
        print("skipped: opa is not installed; scripts/setup.sh builds it")
        return 77
    random.seed(int(sys.argv[1]) if len(sys.argv) > 1 else SEED)
    with tempfile.TemporaryDirectory(prefix="osa-opa-") as name:
        folder = pathlib.Path(name)
        documents, texts, questions, cases = make(folder)
        (folder / "table.yaml").write_text(json.dumps({"policies": texts, "cases": cases}))
        (folder / "input.json").write_text(json.dumps({"documents": documents, "questions": questions}))
        ours = subprocess.run([CTL, "--json", "policy", "test", "--all", folder / "table.yaml"], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        theirs = subprocess.run([opa, "eval", "--format", "json", "--data",
                                 SOURCE / "tests/data/policy/decisions.rego", "--input", folder / "input.json",
                                 "data.decisions.answers"], check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = [json.loads(line) for line in ours.splitlines()]
    theirs = json.loads(theirs)["result"][0]["expressions"][0]["value"]
    assert len(ours) == len(theirs) == len(questions), (len(ours), len(theirs), len(questions))
    differing, allowed = 0, 0
    for question, case, we, they in zip(questions, cases, ours, theirs):
        keys = ["verdict", "reason"] + (["rule"] if they["verdict"] == "allow" else [])
        allowed += they["verdict"] == "allow"
        if any(we.get(key) != they.get(key) for key in keys):
            differing += 1
            if differing <= 5:
                print(json.dumps(documents[question["document"]]), json.dumps(case), "ours", we, "opa", they,
                      sep="\n  ")
    print(f"{len(questions)} questions, {allowed} allowed, {differing} answered differently")
    return 1 if differing or allowed < len(questions) // 20 else 0


sys.exit(main())
