#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics as Prometheus reads it: the format, and numbers that follow what happens."""
import re
import subprocess
import unittest
import urllib.request

import harness

LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)*)\})? (\S+)$')


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = harness.Agent("--metrics-listen", "127.0.0.1:0")
        ports = [r["port"] for r in cls.agent.log_records() if r.get("msg") == "metrics"]
        cls.url = f"http://127.0.0.1:{ports[0]}/metrics"

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()

    def read(self):
        with urllib.request.urlopen(self.url, timeout=harness.PATIENCE_S) as reply:
            self.assertEqual(reply.headers["Content-Type"],
                             "text/plain; version=0.0.4; charset=utf-8")
            text = reply.read().decode()
        types, values = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, types)
                types[name] = kind
            elif not line.startswith("# HELP "):
                name, labels, value = LINE.match(line).groups()
                self.assertIn(re.sub("_(bucket|sum|count)$", "", name) if name not in types else
                              name, types)
                self.assertNotIn((name, labels), values)
                values[name, labels] = float(value)
        return types, values

    def run_in_sandbox(self, *command):
        return subprocess.run([harness.BIN / "openshell-agentctl", "--address",
                               f"unix:{self.agent.socket}", "run", "--", *command],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S).returncode

    def test_counts_what_happens(self):
        _, before = self.read()
        self.assertEqual(self.run_in_sandbox("/bin/true"), 0)
        self.assertEqual(self.run_in_sandbox("/bin/sh", "-c", "kill -9 $$"), 137)
        self.assertEqual(self.run_in_sandbox("/no/such"), 127)
        _, after = self.read()
        grown = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
        prefix = "openshell_agent_"
        for name, labels, by in (("processes_started_total", None, 2),
                                 ("process_exits_total", 'reason="exited"', 1),
                                 ("process_exits_total", 'reason="signaled"', 1),
                                 ("process_starts_failed_total", None, 1),
                                 ("rpc_calls_total", 'method="Spawn",code="OK"', 2),
                                 ("rpc_calls_total", 'method="Spawn",code="FAILED_PRECONDITION"', 1),
                                 ("rpc_duration_seconds_count", 'method="Spawn"', 3),
                                 ("rpc_duration_seconds_bucket", 'method="Spawn",le="+Inf"', 3)):
            self.assertEqual(grown.get((prefix + name, labels)), by, (name, labels, grown))
        for name in "processes", "sandboxes":
            harness.wait_until(lambda: self.read()[1][prefix + name, None] == 0, f"no {name} are left")

    def test_names_follow_conventions(self):
        types, values = self.read()
        for name, kind in types.items():
            self.assertRegex(name, "^(openshell_agent|process)_")
            self.assertEqual(name.endswith("_total"), kind == "counter", name)
        self.assertGreater(values["process_resident_memory_bytes", None], 1 << 20)
        self.assertGreater(values["process_open_fds", None], 3)

    def test_dashboard_asks_for_what_there_is(self):
        self.run_in_sandbox("/bin/true")
        types, _ = self.read()
        text = (harness.SOURCE / "deploy/grafana/openshell-agent.json").read_text()
        asked = set(re.findall(r"\b(?:openshell_agent|process)_[a-z_]+", text))
        self.assertGreater(len(asked), 8)
        for name in asked:
            self.assertIn(re.sub("_bucket$", "", name), types)

    def test_strangers_make_no_labels(self):
        subprocess.run([harness.need_tool("grpcurl"), "-plaintext", "-unix", "-import-path",
                        harness.SOURCE / "proto", "-proto", "grpc/health/v1/health.proto",
                        self.agent.socket, "grpc.health.v1.Health/Check"], check=True,
                       capture_output=True, timeout=harness.PATIENCE_S)
        _, values = self.read()
        methods = {labels.split(",")[0] for name, labels in values
                   if name == "openshell_agent_rpc_calls_total"}
        self.assertIn('method="other"', methods)
        self.assertNotIn('method="Check"', methods)


harness.main()
