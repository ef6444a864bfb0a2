#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trace context of OpenTelemetry through everything: from grpcurl and the command line into the
agent's log, on to a BoxLite server, and from the driver through its agent to the gateway."""
import json
import os
import subprocess
import tempfile
import unittest

import gateway_double
import harness
from boxlite_double import KEY, Double

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
STATE = "vendor=t61rcWkgMzE"


def audits(agent, method):
    return [r for r in agent.log_records() if r.get("area") == "audit" and
            r["method"].endswith("/" + method)]


class Agent(unittest.TestCase):
    def setUp(self):
        self.agent = harness.Agent()
        self.addCleanup(lambda: self.agent.stop())

    def ctl(self, *arguments, **env):
        return subprocess.run([harness.BIN / "openshell-agentctl", "--address",
                               f"unix:{self.agent.socket}", *arguments], capture_output=True,
                              text=True, timeout=harness.PATIENCE_S, env={**os.environ, **env})

    def audit(self, method):
        harness.wait_until(lambda: audits(self.agent, method), f"{method} is in the log")
        record, = audits(self.agent, method)
        return record.get("trace_id"), record.get("span_id")

    def test_any_client(self):
        subprocess.run([harness.need_tool("grpcurl"), "-plaintext", "-unix", "-H",
                        f"traceparent: {PARENT}", self.agent.socket, f"{harness.SERVICE}/List"],
                       check=True, capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(self.audit("List"), (TRACE, SPAN))

    def test_command_line(self):
        self.assertEqual(self.ctl("run", "/bin/true", TRACEPARENT=PARENT).returncode, 0)
        for method in "Spawn", "Attach":
            self.assertEqual(self.audit(method), (TRACE, SPAN))

    def test_flag_before_environment(self):
        other = PARENT.replace(SPAN, "1" * 16)
        self.ctl("--trace-parent", other, "ps", TRACEPARENT=PARENT)
        self.assertEqual(self.audit("List"), (TRACE, "1" * 16))

    def test_none_and_nonsense(self):
        self.assertEqual(self.ctl("ps").returncode, 0)
        self.assertEqual(self.audit("List"), (None, None))
        self.assertEqual(self.ctl("info", TRACEPARENT="00-nonsense").returncode, 0)
        self.assertEqual(self.audit("GetInfo"), (None, None))

    def test_refused_call(self):
        self.assertEqual(self.ctl("wait", "no-such-process", TRACEPARENT=PARENT).returncode, 125)
        self.assertEqual(self.audit("Wait"), (TRACE, SPAN))

    def test_workloads_get_it_only_from_their_client(self):
        done = self.ctl("run", "/usr/bin/env", TRACEPARENT=PARENT)
        self.assertNotIn(TRACE, done.stdout)
        done = self.ctl("run", "--env", f"TRACEPARENT={PARENT}", "/usr/bin/env")
        self.assertIn(f"TRACEPARENT={PARENT}\n", done.stdout)


class Boxes(unittest.TestCase):
    def test_reaches_the_server(self):
        double = Double()
        self.addCleanup(double.stop)
        with tempfile.NamedTemporaryFile("w") as key:
            key.write(KEY + "\n")
            key.flush()
            agent = harness.Agent("--runtime", "boxlite", "--boxlite-url", double.url,
                                  "--boxlite-key-file", key.name)
            self.addCleanup(lambda: agent.stop())
            command = [harness.BIN / "openshell-agentctl", "--address", f"unix:{agent.socket}"]
            done = subprocess.run([*command, "run", "/bin/echo", "hello"], capture_output=True,
                                  text=True, timeout=harness.PATIENCE_S,
                                  env={**os.environ, "TRACEPARENT": PARENT, "TRACESTATE": STATE})
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)
        seen = [tuple(r) for r in double.state()["traces"]]
        for what in "create", "start", "exec", "attach":
            self.assertIn((what, PARENT, STATE), seen)


class Driver(unittest.TestCase):
    def test_from_gateway_to_gateway(self):
        double = gateway_double.Double()
        self.addCleanup(double.stop)
        driver = gateway_double.Driver(double, "--log-level", "debug", "--log-format", "json")
        self.addCleanup(driver.remove)
        sandbox = double.add()
        driver.stub.CreateSandbox(driver.request(sandbox), timeout=harness.PATIENCE_S,
                                  metadata=[("traceparent", PARENT), ("tracestate", STATE)])
        gateway_double.wait_ready(sandbox)
        lines = [json.loads(line) for line in driver.log().splitlines() if line.startswith("{")]
        created, = [r for r in lines if r["msg"] == "sandbox created"]
        self.assertEqual(created["trace_id"], TRACE)
        harness.wait_until(lambda: len(double.traces) >= 2, "the gateway was asked")
        for method in "GetSandboxConfig", "ConnectSupervisor":
            self.assertIn((method, PARENT, STATE), double.traces)


harness.main()
