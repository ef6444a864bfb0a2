#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A person with grpcurl and no file at hand: every RPC by reflection, over every transport."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

GRPCURL = harness.need_tool("grpcurl")
SERVICE = harness.SERVICE


class Grpcurl:
    """One way to reach the agent."""

    def __init__(self, address, *options, env=None):
        self.address, self.options, self.env = address, options, env or {}

    def run(self, *arguments, data=None):
        command = [GRPCURL, "-max-time", str(harness.PATIENCE_S), *self.options]
        if data is not None:
            command += ["-d", "@"]
        done = subprocess.run([*command, *self.address, *arguments], capture_output=True, text=True,
                              input=data, env={**os.environ, **self.env}, timeout=2 * harness.PATIENCE_S)
        return done.returncode, done.stdout, done.stderr

    def ok(self, *arguments, data=None):
        code, out, err = self.run(*arguments, data=data)
        assert code == 0, f"grpcurl {' '.join(map(str, arguments))} said {code}: {err}"
        return out

    def call(self, method, *messages):
        """Returns the list of response messages."""
        out = self.ok(f"{SERVICE}/{method}", data="\n".join(map(json.dumps, messages)) or "{}")
        decoder, at, found = json.JSONDecoder(), 0, []
        while at < len(out.rstrip()):
            message, at = decoder.raw_decode(out, at + len(out[at:]) - len(out[at:].lstrip()))
            found.append(message)
        return found


class Transports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.tls = harness.Certificates(cls.folder)

    def agent(self, *arguments, **more):
        agent = harness.Agent(*arguments, **more)
        self.addCleanup(agent.stop)
        return agent

    def token(self, name, text):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def look_around(self, grpcurl):
        """What a stranger does first."""
        self.assertEqual(grpcurl.ok("list").split(), [
            "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection", SERVICE])
        self.assertIn(f"{SERVICE}.Spawn", grpcurl.ok("list", SERVICE).split())
        described = grpcurl.ok("describe", "openshell.agent.v1.ProcessSpec")
        self.assertIn("repeated string argv = 1;", described)
        spawned, = grpcurl.call("Spawn", {"spec": {"argv": ["/bin/sh", "-c", "exit 3"]}})
        ended, = grpcurl.call("Wait", {"process_id": spawned["processId"]})
        self.assertEqual((ended["exit"]["reason"], ended["exit"]["code"]), ("REASON_EXITED", 3))

    def rejected(self, grpcurl, status, method="GetInfo"):
        code, _, err = grpcurl.run(f"{SERVICE}/{method}", data="{}")
        self.assertNotEqual(code, 0)
        self.assertIn(status, err)

    def test_unix(self):
        agent = self.agent()
        self.assertEqual(agent.socket.stat().st_mode & 0o777, 0o600)
        self.look_around(Grpcurl(["-unix", agent.socket], "-plaintext"))

    def test_tcp_with_token(self):
        port = harness.free_port()
        token = self.folder / "made-by-the-agent"
        self.agent("--listen", f"127.0.0.1:{port}", "--token-file", token)
        self.assertEqual(token.stat().st_mode & 0o777, 0o600)
        text = token.read_text().strip()
        self.assertGreaterEqual(len(text), 32)
        bearer = ["-plaintext", "-expand-headers", "-H", "authorization: Bearer ${TOKEN}"]
        address = [f"127.0.0.1:{port}"]
        self.look_around(Grpcurl(address, *bearer, env={"TOKEN": text}))
        wrong = Grpcurl(address, *bearer, "-H", "x: y", env={"TOKEN": text[:-1] + "!"})
        self.rejected(wrong, "Unauthenticated")
        self.rejected(Grpcurl(address, "-plaintext"), "Unauthenticated")

    def test_viewers_look_only(self):
        port = harness.free_port()
        viewer = self.token("viewer", "v" * 40)
        self.agent("--listen", f"127.0.0.1:{port}", "--token-file", self.token("operator", "o" * 40),
                   "--viewer-token-file", viewer)
        grpcurl = Grpcurl([f"127.0.0.1:{port}"], "-plaintext", "-expand-headers", "-H",
                          "authorization: Bearer ${TOKEN}", env={"TOKEN": "v" * 40})
        grpcurl.call("List")
        grpcurl.call("GetInfo")
        self.rejected(grpcurl, "PermissionDenied", "Spawn")
        self.rejected(grpcurl, "PermissionDenied", "Drain")

    def test_tls_with_token(self):
        port = harness.free_port()
        self.agent("--listen", f"127.0.0.1:{port}", "--tls-cert", self.tls.cert, "--tls-key",
                   self.tls.key, "--token-file", self.token("t", "t" * 40))
        options = ["-cacert", self.tls.ca, "-authority", "localhost", "-expand-headers", "-H",
                   "authorization: Bearer ${TOKEN}"]
        self.look_around(Grpcurl([f"127.0.0.1:{port}"], *options, env={"TOKEN": "t" * 40}))
        self.rejected(Grpcurl([f"127.0.0.1:{port}"], "-cacert", self.tls.ca, "-authority",
                              "localhost"), "Unauthenticated")
        plain = Grpcurl([f"127.0.0.1:{port}"], "-plaintext", "-connect-timeout", "2")
        self.assertNotEqual(plain.run("list")[0], 0)

    def test_mutual_tls(self):
        port = harness.free_port()
        self.agent("--listen", f"127.0.0.1:{port}", "--tls-cert", self.tls.cert, "--tls-key",
                   self.tls.key, "--tls-client-ca", self.tls.ca)
        options = ["-cacert", self.tls.ca, "-authority", "localhost"]
        mine = ["-cert", self.tls.client_cert, "-key", self.tls.client_key]
        self.look_around(Grpcurl([f"127.0.0.1:{port}"], *options, *mine))
        nobody = Grpcurl([f"127.0.0.1:{port}"], *options, "-connect-timeout", "3")
        self.assertNotEqual(nobody.run("list")[0], 0)
        self.tls.authority("other")
        cert, key = self.tls.leaf("stranger", "x", "DNS:x", ca="other")
        stranger = Grpcurl([f"127.0.0.1:{port}"], *options, "-cert", cert, "-key", key,
                           "-connect-timeout", "3")
        self.assertNotEqual(stranger.run("list")[0], 0)

    def test_reflection_and_health_can_be_closed(self):
        port = harness.free_port()
        self.agent("--listen", f"127.0.0.1:{port}", "--token-file", self.token("t", "t" * 40),
                   "--reflection", "off", "--health-access", "operator")
        options = ["-plaintext", "-expand-headers", "-H", "authorization: Bearer ${TOKEN}"]
        grpcurl = Grpcurl([f"127.0.0.1:{port}"], *options, env={"TOKEN": "t" * 40})
        code, _, err = grpcurl.run("list")
        self.assertNotEqual(code, 0)
        self.assertIn("does not support the reflection API", err)

    def test_plain_tcp_is_for_loopback(self):
        with self.assertRaisesRegex(AssertionError, "loopback"):
            self.agent("--listen", f"0.0.0.0:{harness.free_port()}")


class EveryCall(unittest.TestCase):
    """Each RPC of the service once, by reflection alone."""

    @classmethod
    def setUpClass(cls):
        cls.agent = harness.Agent()
        cls.addClassCleanup(cls.agent.stop)
        cls.grpcurl = Grpcurl(["-unix", cls.agent.socket], "-plaintext")

    def test_all(self):
        done = set()

        def call(method, *messages):
            done.add(f"{SERVICE}.{method}")
            return self.grpcurl.call(method, *messages)

        def shell(script, sandbox=True, **spec):
            return call("Spawn", {"sandbox_id": "box" if sandbox else "", "spec": {
                "argv": ["/bin/sh", "-c", script], **spec}})[0]["processId"]

        info, = call("GetInfo")
        process, = [r for r in info["runtimes"] if r["kind"] == "RUNTIME_KIND_PROCESS"]
        can = process["capabilities"]
        box, = call("CreateSandbox", {"sandbox_id": "box", "spec": {"labels": {"a": "b"}}})
        self.assertEqual(box["sandbox"]["state"], "STATE_READY")
        self.assertEqual(call("GetSandbox", {"sandbox_id": "box"})[0]["sandbox"]["sandboxId"], "box")
        self.assertEqual(len(call("ListSandboxes")[0]["sandboxes"]), 1)

        cat = shell("cat; echo bye", stdin=True)
        answers = call("Attach", {"start": {"process_id": cat, "follow": True}},
                       {"stdin": base64.b64encode(b"hello\n").decode()}, {"stdin_end": {}})
        data = b"".join(base64.b64decode(a["output"]["data"]) for a in answers if "output" in a)
        self.assertEqual(data, b"hello\nbye\n")
        self.assertEqual(answers[-1]["exit"]["reason"], "REASON_EXITED")
        call("Wait", {"process_id": cat})

        sleeper = shell("sleep 3600")
        call("Signal", {"process_id": sleeper, "signal": "0"})
        self.assertEqual(call("Get", {"process_id": sleeper})[0]["process"]["state"], "STATE_RUNNING")
        self.assertEqual(len(call("List", {"sandbox_id": "box"})[0]["processes"]), 1)
        if "stats" in can:
            self.assertEqual(call("Stats", {"sandbox_id": "box"})[0]["sandboxId"], "box")
        if "update_resources" in can:
            self.assertEqual(call("UpdateResources", {
                "sandbox_id": "box", "resources": {"memory_bytes": 1 << 28}})[0]
                ["effectiveResources"]["memoryBytes"], str(1 << 28))
        if "pause" in can:
            call("Pause", {"sandbox_id": "box"})
            call("Resume", {"sandbox_id": "box"})
        if "copy" in can:
            tar = subprocess.run(["tar", "-C", "/etc", "-c", "hostname"], capture_output=True,
                                 check=True).stdout
            call("CopyIn", {"start": {"sandbox_id": "box", "path": "/tmp"}},
                 {"data": base64.b64encode(tar).decode()})
            self.assertIn("data", call("CopyOut", {"sandbox_id": "box", "path": "/tmp/hostname"})[0])
        if "port_forward" in can:
            code, _, err = self.grpcurl.run(f"{SERVICE}/PortForward", data=json.dumps(
                {"start": {"sandbox_id": "box", "port": 9}}))
            self.assertNotEqual(code, 0)
            self.assertIn("Unavailable", err)
            done.add(f"{SERVICE}.PortForward")
        policy = {"version": 1, "filesystem": {"read_only": ["/usr"]}, "network_policies": {"web": {
            "name": "web", "endpoints": [{"host": "example.com", "port": 443}],
            "binaries": [{"path": "/usr/bin/curl"}]}}}
        call("CreateSandbox", {"sandbox_id": "net", "spec": {"policy": policy}})
        policy["network_policies"]["web"]["endpoints"][0]["port"] = 8443
        self.assertEqual(call("UpdatePolicy", {"sandbox_id": "net", "policy": policy})[0]["version"], 2)
        call("DeleteSandbox", {"sandbox_id": "net"})
        killed, = call("Kill", {"process_id": sleeper, "grace": "0s"})
        self.assertEqual(killed["exit"]["signalName"], "SIGKILL")
        call("DeleteSandbox", {"sandbox_id": "box"})
        events = call("Events", {"from_sequence": 1})
        self.assertEqual(events[0]["type"], "TYPE_SANDBOX_CREATED")
        self.assertEqual(events[-1]["type"], "TYPE_SANDBOX_DELETED")
        call("Drain", {"timeout": "1s"})

        capability = {"Stats": "stats", "UpdateResources": "update_resources", "Pause": "pause",
                      "Resume": "pause", "CopyIn": "copy", "CopyOut": "copy",
                      "PortForward": "port_forward"}
        everything = {m for m in self.grpcurl.ok("list", SERVICE).split()
                      if capability.get(m.rpartition(".")[2]) in [None, *can]}
        self.assertEqual(everything - done, set(), "RPCs that this test does not call")


if __name__ == "__main__":
    harness.main()
