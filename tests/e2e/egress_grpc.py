#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gRPC out of a sandbox, through a proxy that decides about each call: HTTP/2 on both sides.

Outside is a gRPC server of grpcio with TLS, inside are curl and grpcio's client.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import harness
from egress import own_address

harness.use_grpcio()
import grpc  # noqa: E402

SERVICE = "test.Echo"
CLIENT = '''
import os, sys, grpc
target = sys.argv[1]
trust = open(os.environ["SSL_CERT_FILE"], "rb").read()
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(trust))
same = lambda data: data
unary = channel.unary_unary("/test.Echo/Unary", same, same)
print("unary", len(unary(b"x" * 100000, wait_for_ready=True)))
answer, call = unary.with_call(b"abc", metadata=[("x-own", "1")])
print("metadata", dict(call.initial_metadata())["x-first"], dict(call.trailing_metadata())["x-last"])
chat = channel.stream_stream("/test.Echo/Chat", same, same)
print("chat", [m.decode() for m in chat(iter([b"a", b"b", b"c"]))])
many = channel.unary_stream("/test.Echo/Many", same, same)
print("many", sum(len(m) for m in many(b"200")))
for name in ("Fail", "Secret"):
    try:
        channel.unary_unary("/test.Echo/" + name, same, same)(b"")
    except grpc.RpcError as error:
        print(name, error.code().name)
'''


class Echo(grpc.GenericRpcHandler):
    seen = []

    def service(self, details):
        Echo.seen.append(details.method)
        name = details.method.rpartition("/")[2]
        handler = getattr(self, name.lower(), None)
        if handler is None:
            return None
        kind = {"Chat": grpc.stream_stream_rpc_method_handler,
                "Many": grpc.unary_stream_rpc_method_handler}
        return kind.get(name, grpc.unary_unary_rpc_method_handler)(handler)

    @staticmethod
    def unary(request, context):
        context.send_initial_metadata([("x-first", "one")])
        context.set_trailing_metadata([("x-last", "two")])
        return request

    @staticmethod
    def chat(requests, _context):
        for request in requests:
            yield request.upper()

    @staticmethod
    def many(request, _context):
        for _ in range(int(request)):
            yield b"y" * 10000

    @staticmethod
    def fail(_request, context):
        context.abort(grpc.StatusCode.DATA_LOSS, "as it should")

    secret = unary


class EgressGrpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.need_tool("curl")
        cls.address = own_address()
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-grpc-")
        certificates = harness.Certificates(cls.folder.name)
        certificate, key = certificates.leaf("origin", "origin", f"IP:{cls.address}")
        cls.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        cls.server.add_generic_rpc_handlers((Echo(),))
        cls.port = cls.server.add_secure_port(f"{cls.address}:0", grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())]))
        cls.server.start()
        cls.agent = harness.Agent("--egress-ca", str(certificates.ca))
        tools = (harness.TOOLS / "python").resolve()
        cls.python = tools / "bin/python3"
        cls.policy = cls.agent.folder / "policy.yaml"
        cls.policy.write_text(f"""version: 1
filesystem_policy:
  read_only: [/usr, /lib, /lib64, /bin, /etc, /proc, /sys, /dev/urandom, {tools}]
  read_write: [/tmp, /dev/null]
network_policies:
  echo:
    endpoints:
    - host: {cls.address}
      port: {cls.port}
      protocol: rest
      enforcement: enforce
      rules: [{{allow: {{method: POST, path: "/{SERVICE}/*"}}}}]
      deny_rules: [{{method: POST, path: "/{SERVICE}/Secret"}}]
    binaries: [{{path: /usr/bin/curl}}, {{path: "{pathlib.Path(sys.executable).resolve()}"}}]
""")

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.server.stop(0)
        cls.folder.cleanup()

    def run_in(self, *command):
        done = subprocess.run([harness.BIN / "openshell-agentctl", "run", "--policy",
                               str(self.policy), "--", *command], capture_output=True, text=True,
                              timeout=2 * harness.PATIENCE_S,
                              env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_calls_of_every_kind(self):
        Echo.seen.clear()
        out = self.run_in(str(self.python), "-c", CLIENT, f"{self.address}:{self.port}")
        self.assertEqual(out.splitlines(), [
            "unary 100000", "metadata one two", "chat ['A', 'B', 'C']", "many 2000000",
            "Fail DATA_LOSS", "Secret PERMISSION_DENIED"])
        self.assertNotIn("/test.Echo/Secret", Echo.seen)

    def test_a_refusal_says_why_in_http2_as_well(self):
        url = f"https://{self.address}:{self.port}"
        out = self.run_in("/bin/sh", "-c", f"curl -sS --http2 -w ' %{{http_version}}' -X POST {url}/{SERVICE}/Secret")
        body, _, version = out.rpartition(" ")
        self.assertEqual(version, "2")
        answer = json.loads(body)
        self.assertEqual((answer["error"], answer["reason"], answer["path"]),
                         ("policy_denied", "deny-rule", f"/{SERVICE}/Secret"))


if __name__ == "__main__":
    sys.exit(harness.main())
