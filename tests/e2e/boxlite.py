# SPDX-License-Identifier: Apache-2.0
"""The agent with boxes, over the double of a BoxLite server, driven by the command-line client.

What the README shows with processes gives the same here; a client sees the kind only by asking.
"""
import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import unittest

import harness
from boxlite_double import DOUBLE, KEY, Double


class BoxLite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.double = Double()
        cls.addClassCleanup(cls.double.stop)
        cls.agent = harness.Agent(*cls.double.options())
        cls.addClassCleanup(lambda: cls.agent.stop())

    def ctl(self, *arguments, stdin=None, binary=False):
        return subprocess.run([harness.BIN / "openshell-agentctl", "--address", f"unix:{self.agent.socket}",
                               *arguments], input=stdin, capture_output=True, text=not binary, timeout=60)

    def test_info(self):
        text = self.ctl("info", "--json")
        self.assertEqual(text.returncode, 0, text.stderr)
        kinds = {entry["kind"]: entry for entry in json.loads(text.stdout)["runtimes"]}
        box = kinds["RUNTIME_KIND_BOXLITE"]
        self.assertTrue(box["available"])
        self.assertEqual(box["serverUrl"], self.double.url)
        self.assertEqual(box["serverVersion"], "0.10")
        self.assertIn("tty", box["capabilities"])
        self.assertEqual(box["isolation"]["level"], "ISOLATION_LEVEL_VM")

    def test_run(self):
        done = self.ctl("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "out\n", "err\n"))
        self.assertEqual(self.double.state()["boxes"], [])

    def test_bytes(self):
        data = bytes(range(256)) * 1000
        done = self.ctl("run", "-i", "cat", stdin=data, binary=True)
        self.assertEqual((done.returncode, done.stdout), (0, data))

    def test_confined(self):
        done = self.ctl("run", "cat", "/etc/shadow")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Permission denied", done.stderr)

    def test_timeout(self):
        done = self.ctl("run", "--timeout", "500ms", "sleep", "60")
        self.assertEqual(done.returncode, 124, done.stderr)

    def test_signals_by_name(self):
        sandbox = self.ctl("sandbox", "create").stdout.strip()
        process = self.ctl("run", "--sandbox", sandbox, "--detach", "sleep", "60").stdout.strip()
        self.assertEqual(self.ctl("signal", "STOP", process).returncode, 0)
        self.assertEqual(self.ctl("signal", "RTMIN+3", process).returncode, 0)
        self.assertEqual(self.ctl("signal", "CONT", process).returncode, 0)
        waited = self.ctl("wait", process)
        self.assertEqual(waited.returncode, 128 + 37, waited.stdout + waited.stderr)
        self.assertEqual(self.ctl("sandbox", "rm", sandbox).returncode, 0)
        self.assertEqual(self.double.state()["boxes"], [])

    def test_twenty_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            runs = [pool.submit(self.ctl, "run", "echo", str(i)) for i in range(20)]
            while not all(run.done() for run in runs):
                begin = time.monotonic()
                self.assertEqual(self.ctl("ps").returncode, 0)  # no call waits for a box
                self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(sorted(run.result().stdout for run in runs), sorted(f"{i}\n" for i in range(20)))

    def test_crash_and_successor(self):
        created = self.ctl("sandbox", "create")
        self.assertEqual(created.returncode, 0, created.stderr)
        agent = type(self).agent
        self.assertEqual(len(self.double.state()["boxes"]), 1)
        state = f"{agent.folder}-kept"
        other = harness.Agent(*self.double.options(), "--state-dir", state)
        subprocess.run([harness.BIN / "openshell-agentctl", "--address", f"unix:{other.socket}", "sandbox",
                        "create"], check=True, capture_output=True, timeout=60)
        self.assertEqual(len(self.double.state()["boxes"]), 2)
        other.stop(harness.signal.SIGKILL)
        self.assertEqual(len(self.double.state()["boxes"]), 2)
        successor = harness.Agent(*self.double.options(), "--state-dir", state)
        self.assertEqual(len(self.double.state()["boxes"]), 1)  # the crashed one's is gone, ours is not
        successor.stop()
        self.assertEqual(self.ctl("sandbox", "rm", created.stdout.strip()).returncode, 0)

    def test_the_way_out_is_the_proxy(self):
        policy = self.agent.folder / "policy.yaml"
        policy.write_text("version: 1\nfilesystem_policy: { read_only: [/usr, /lib, /lib64, /bin, /etc] }\n"
                          "network_policies:\n  web:\n    name: web\n    endpoints:\n"
                          "      - { host: example.org, port: 443 }\n    binaries:\n      - { path: /usr/bin/curl }\n")
        done = self.ctl("run", "--isolation", "--policy", str(policy), "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"network +proxy")
        self.assertNotIn("degraded", done.stderr)
        done = self.ctl("run", "--isolation", "true")
        self.assertRegex(done.stderr, r"network +none")

    def test_copies(self):
        sandbox = self.ctl("sandbox", "create").stdout.strip()
        source = self.agent.folder / "tree"
        (source / "inner").mkdir(parents=True)
        (source / "bytes").write_bytes(bytes(range(256)) * 4000)
        (source / "inner/text").write_text("text\n")
        self.assertEqual(self.ctl("cp", str(source), f"{sandbox}:/tmp/copied-{sandbox}").returncode, 0)
        done = self.ctl("run", "--sandbox", sandbox, "cat", f"/tmp/copied-{sandbox}/inner/text")
        self.assertEqual(done.stdout, "text\n", done.stderr)
        back = self.agent.folder / "back"
        self.assertEqual(self.ctl("cp", f"{sandbox}:/tmp/copied-{sandbox}", str(back)).returncode, 0)
        self.assertEqual((back / "bytes").read_bytes(), (source / "bytes").read_bytes())
        refused = self.ctl("cp", f"{sandbox}:/etc/shadow", str(self.agent.folder / "shadow"))
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("Permission denied", refused.stderr)
        self.ctl("run", "--sandbox", sandbox, "rm", "-r", f"/tmp/copied-{sandbox}")
        self.assertEqual(self.ctl("sandbox", "rm", sandbox).returncode, 0)

    def test_forwarded_port(self):
        sandbox = self.ctl("sandbox", "create").stdout.strip()
        serve = ("import socket; s=socket.create_server(('127.0.0.1', 8080)); print('listens', flush=True)\n"
                 "while True:\n  c=s.accept()[0]; f=c.makefile('rb'); c.sendall(f.read()[::-1]); f.close(); c.close()")
        process = self.ctl("run", "--sandbox", sandbox, "--detach", "/usr/bin/python3", "-c", serve).stdout.strip()
        harness.wait_until(lambda: "listens" in self.ctl("logs", process).stdout, "the server listens")
        port = harness.free_port()
        forward = subprocess.Popen([harness.BIN / "openshell-agentctl", "--address", f"unix:{self.agent.socket}",
                                    "forward", sandbox, f"{port}:8080"], stdout=subprocess.DEVNULL)
        try:
            data = bytes(range(256)) * 4000
            harness.wait_until(lambda: harness.can_connect(port), "the port is forwarded")
            with socket.create_connection(("127.0.0.1", port)) as connection:
                sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
                sender.start()
                got = b"".join(iter(lambda: connection.recv(65536), b""))
                sender.join()
            self.assertEqual(got, data[::-1])
        finally:
            forward.terminate()
            forward.wait()
        self.assertEqual(self.ctl("sandbox", "rm", sandbox).returncode, 0)

    def test_key_is_nowhere(self):
        self.ctl("run", "true")
        self.assertNotIn(KEY, self.agent.log())
        with open(f"/proc/{self.agent.process.pid}/cmdline") as file:
            self.assertNotIn(KEY, file.read())


@unittest.skipUnless(os.geteuid() == 0, "only root makes network namespaces for others")
class OwnServer(unittest.TestCase):
    def test_started_and_stopped(self):
        agent = harness.Agent("--runtime", "boxlite", "--boxlite-serve", str(DOUBLE),
                              "--boxlite-serve-env", "OSA_MARK=own-server")
        try:
            mark = agent.folder / "state/boxlite-serve.pid"
            server = int(mark.read_text().split()[0])
            self.assertIn(b"OSA_MARK=own-server", pathlib.Path(f"/proc/{server}/environ").read_bytes())
            done = subprocess.run([harness.BIN / "openshell-agentctl", "--address", f"unix:{agent.socket}", "run",
                                   "--", "sh", "-c", "head -c 300000 /dev/zero; exit 4"],
                                  capture_output=True, timeout=60)
            self.assertEqual((done.returncode, len(done.stdout)), (4, 300000), done.stderr)
        finally:
            status = agent.stop()
        self.assertEqual(status, 0)
        self.assertFalse(pathlib.Path(f"/proc/{server}").exists())

    def test_not_both(self):
        done = subprocess.run([harness.BIN / "openshell-agent", "serve", "--boxlite-serve", str(DOUBLE),
                               "--boxlite-url", "http://127.0.0.1:1"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("boxlite-serve: the server is at boxlite-url, or it is started here", done.stderr)


class NoServer(unittest.TestCase):
    def test_said_so(self):
        agent = harness.Agent("--runtime", "boxlite", "--boxlite-url", "http://127.0.0.1:1")
        try:
            done = subprocess.run([harness.BIN / "openshell-agentctl", "--address", f"unix:{agent.socket}",
                                   "run", "true"], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 125, done.stderr)
            self.assertIn("runtime boxlite is not available here", done.stderr)
        finally:
            agent.stop()


harness.main()
