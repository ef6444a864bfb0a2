#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agentctl against a real agent: what people type, and the status that scripts see."""
import fcntl
import json
import os
import pathlib
import pty
import signal
import struct
import subprocess
import tempfile
import termios
import unittest

import harness


class WithClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (harness.BIN / "openshell-agentctl").exists():
            harness.skip("openshell-agentctl is missing (make)")
        cls.agent = harness.Agent()

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()

    def environment(self):
        return {"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}", "PATH": os.environ["PATH"]}

    def ctl(self, *arguments, stdin="", status=0, **more):
        more.setdefault("text", True)
        done = subprocess.run([harness.BIN / "openshell-agentctl", *arguments], input=stdin,
                              capture_output=True, timeout=harness.PATIENCE_S,
                              env=self.environment(), **more)
        self.assertEqual(done.returncode, status, done.stderr)
        return done


class Client(WithClient):
    def test_run_keeps_streams_apart_and_passes_the_status_on(self):
        done = self.ctl("run", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3", status=3)
        self.assertEqual((done.stdout, done.stderr), ("out\n", "err\n"))

    def test_run_passes_stdin_on(self):
        text = "line\n" * 20000
        self.assertEqual(self.ctl("run", "-i", "--", "/bin/cat", stdin=text).stdout, text)

    def test_run_loses_nothing_of_a_fast_writer(self):
        for _ in range(3):
            done = subprocess.run([harness.BIN / "openshell-agentctl", "run", "--", "/usr/bin/head",
                                   "-c", "50000000", "/dev/zero"], capture_output=True,
                                  timeout=harness.PATIENCE_S,
                                  env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
            self.assertEqual((done.returncode, len(done.stdout), done.stderr), (0, 50000000, b""))

    def test_run_tells_signal_timeout_and_memory_apart(self):
        self.ctl("run", "--", "/bin/sh", "-c", "kill -9 $$", status=137)
        done = self.ctl("run", "--timeout", "200ms", "--", "/bin/sleep", "60", status=124)
        self.assertIn("timed out", done.stderr)

    def test_run_with_a_terminal(self):
        master, slave = pty.openpty()
        try:
            done = subprocess.run(
                [harness.BIN / "openshell-agentctl", "run", "-it", "--", "/usr/bin/tty"],
                stdin=slave, capture_output=True, text=True, timeout=harness.PATIENCE_S,
                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
        finally:
            os.close(master)
            os.close(slave)
        self.assertEqual((done.returncode, done.stdout), (0, "/dev/pts/0\n"))

    def start(self, *arguments, **keywords):
        keywords.setdefault("stdout", subprocess.PIPE)
        return subprocess.Popen([harness.BIN / "openshell-agentctl", *arguments],
                                stderr=subprocess.PIPE,
                                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}",
                                     "PATH": os.environ["PATH"], "TERM": "xterm"}, **keywords)

    def test_a_reader_that_leaves_ends_the_writer(self):
        with self.start("run", "--", "/usr/bin/yes") as client:
            self.assertEqual(client.stdout.read(2), b"y\n")
            client.stdout.close()
            self.assertEqual(client.wait(harness.PATIENCE_S), 128 + signal.SIGPIPE)
        with self.start("events", "-f", "--from", "1") as client:
            client.stdout.readline()
            client.stdout.close()
            self.ctl("run", "true")  # which makes an event, and nobody takes it
            client.wait(harness.PATIENCE_S)
        self.assertEqual(json.loads(self.ctl("ps", "--json").stdout)["processes"], [])

    def test_interrupts_are_passed_on_and_the_third_kills(self):
        with self.start("run", "/bin/sh", "-c",
                        "trap 'echo heard' INT; echo ready; while :; do sleep 0.01; done") as client:
            self.assertEqual(client.stdout.readline(), b"ready\n")
            for _ in range(2):
                client.send_signal(signal.SIGINT)
                self.assertEqual(client.stdout.readline(), b"heard\n")
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(harness.PATIENCE_S), 128 + signal.SIGKILL)
            self.assertIn(b"killing p-", client.stderr.read())
        with self.start("run", "/bin/sh", "-c", "echo ready; exec sleep 1000") as client:
            client.stdout.readline()
            client.send_signal(signal.SIGTERM)
            self.assertEqual(client.wait(harness.PATIENCE_S), 128 + signal.SIGTERM)

    def test_a_window_that_changes_its_size(self):
        mine, theirs = pty.openpty()

        def resize(rows, columns):
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def read_until(text):
            got = b""
            while text not in got:
                got += os.read(mine, 1000)

        resize(30, 100)
        script = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.01; done"
        with self.start("run", "-it", "/bin/sh", "-c", script, stdin=theirs, stdout=theirs) as client:
            read_until(b"30 100\r\nready")
            resize(50, 132)
            client.send_signal(signal.SIGWINCH)  # as the kernel does for the terminal's foreground
            read_until(b"50 132")
            os.write(mine, b"\x03")  # ctrl-c is the process's affair
            self.assertEqual(client.wait(harness.PATIENCE_S), 128 + signal.SIGINT)
        os.close(theirs)
        os.close(mine)

    def test_a_start_that_fails_names_stage_and_errno(self):
        done = self.ctl("run", "--", "/nowhere/program", status=127)
        self.assertIn("/nowhere/program: No such file or directory (FAILED_PRECONDITION)",
                      done.stderr)
        self.assertIn("stage: exec", done.stderr)

    def test_the_life_of_a_detached_process(self):
        process = self.ctl("run", "-d", "--label", "job=one", "--", "/bin/sh", "-c",
                           "echo started; exec sleep 600").stdout.strip()
        listed = json.loads(self.ctl("ps", "--json").stdout)["processes"]
        self.assertIn(process, [p.get("processId", p.get("process_id")) for p in listed])
        self.assertIn("/bin/sh", self.ctl("ps").stdout)
        self.ctl("signal", "TERM", process)
        self.assertIn("SIGTERM", self.ctl("wait", process, status=143).stdout)
        self.assertNotIn(process, self.ctl("ps").stdout)
        self.assertIn(process, self.ctl("ps", "-a").stdout)
        self.assertEqual(self.ctl("logs", process).stdout, "started\n")
        self.assertIn("FAILED_PRECONDITION", self.ctl("signal", "TERM", process, status=1).stderr)

    def test_kill_takes_escapees_along(self):
        marker = f"31{os.getpid()}"
        process = self.ctl("run", "-d", "--", "/bin/sh", "-c",
                           f"trap '' TERM; setsid sleep {marker} & sleep {marker}").stdout.strip()
        harness.wait_until(lambda: len(harness.processes_with(f"sleep\0{marker}")) == 2,
                           "both sleep")
        self.ctl("kill", "--grace", "0s", process)
        harness.wait_until(lambda: not harness.processes_with(f"sleep\0{marker}"), "none is left")

    def test_sandboxes(self):
        sandbox = self.ctl("sandbox", "create", "--cpu", "500m", "--memory", "128Mi").stdout.strip()
        self.assertIn(sandbox, self.ctl("sandbox", "ls").stdout)
        done = self.ctl("run", "--sandbox", sandbox, "--", "/bin/echo", "inside")
        self.assertEqual(done.stdout, "inside\n")
        self.ctl("sandbox", "pause", sandbox)
        self.ctl("sandbox", "resume", sandbox)
        self.ctl("sandbox", "rm", sandbox)
        self.assertIn("NOT_FOUND", self.ctl("sandbox", "inspect", sandbox, status=1).stderr)

    def test_info_and_events(self):
        self.assertIn("Runtime process: available", self.ctl("info").stdout)
        self.ctl("run", "--", "/bin/true")
        self.assertIn("process exited", self.ctl("events").stdout)

    def test_events_show_what_was_refused(self):
        if "seccomp_notify" not in self.ctl("info").stdout:
            self.skipTest("no seccomp listener can be had here")
        process = self.ctl("run", "-d", "--", "/usr/bin/unshare", "--uts", "true").stdout.strip()
        self.ctl("wait", process, status=1)
        line = next(l for l in self.ctl("events").stdout.splitlines()
                    if " denied " in l and f" process={process} " in l)
        self.assertIn(" control=seccomp unshare with argument 1 = 0x4000000 by pid ", line)
        self.assertTrue(line.endswith(": makes a new namespace; no seccomp profile allows it"), line)

    def test_policy_check_says_where(self):
        with tempfile.TemporaryDirectory() as folder:
            good, bad = pathlib.Path(folder, "good.yaml"), pathlib.Path(folder, "bad.yaml")
            good.write_text("version: 1\nfilesystem_policy:\n  read_only: [/usr]\n")
            bad.write_text("version: 1\nfilesystem_policy:\n  read_onyl: [/usr]\n")
            self.assertIn("good", self.ctl("policy", "check", str(good)).stdout)
            self.assertIn("bad.yaml:3:", self.ctl("policy", "check", str(bad), status=1).stderr)

    def test_policy_explains_itself(self):
        with tempfile.TemporaryDirectory() as folder:
            policy = pathlib.Path(folder, "p.yaml")
            policy.write_text("""version: 1
network_policies:
  web:
    endpoints:
      - {host: api.acme.test, port: 443, protocol: rest, enforcement: enforce,
         rules: [{allow: {method: GET, path: /v1/**}}]}
    binaries: [{path: /usr/bin/curl}]
""")
            ask = ("policy", "explain", str(policy), "--binary", "/usr/bin/curl")
            self.assertEqual(self.ctl(*ask, "https://api.acme.test/v1/a").stdout,
                             "allow: GET /v1/a is allowed by {method: GET, path: /v1/**} in rule 'web'\n")
            self.assertEqual(self.ctl(*ask, "-X", "PUT", "https://api.acme.test/a/..;x/b", status=1).stdout,
                             "deny: request, not-permitted: PUT /b: no rule allows the request, rule 'web'\n"
                             "to allow it: add to the endpoint's rules: {allow: {method: PUT, path: /b}}\n")
            answer = json.loads(self.ctl("--json", *ask, "--resolve", "127.0.0.1", "api.acme.test:443",
                                         status=1).stdout)
            self.assertEqual((answer["verdict"], answer["stage"], answer["reason"]),
                             ("deny", "destination", "declared-endpoint"))
            self.assertIn("who connects is not said",
                          self.ctl("policy", "explain", str(policy), "a:1", status=1).stderr)
            self.assertIn("neither HOST:PORT nor a URL", self.ctl(*ask, "a", status=1).stderr)

    def test_policy_tables(self):
        data = pathlib.Path(__file__).parents[1] / "data/policy/decisions.yaml"
        self.assertIn(": 129 as expected, 0 not, 11 are not the engine's",
                      self.ctl("policy", "test", str(data)).stderr)
        with tempfile.TemporaryDirectory() as folder:
            table = pathlib.Path(folder, "t.yaml")
            table.write_text("policies: {p: 'version: 1'}\ncases:\n"
                             "  - {name: c, policy: p, host: a, port: 1, binary: /b, expect: {verdict: allow}}\n")
            done = self.ctl("policy", "test", str(table), status=1)
            self.assertIn("FAILED: c: verdict is deny, not allow", done.stdout)

    def test_wrong_use_has_a_hint(self):
        self.assertIn("--help", self.ctl("sandbox", "create", "surplus", status=2).stderr)
        done = subprocess.run([harness.BIN / "openshell-agentctl", "--address", "unix:/nowhere",
                               "ps"], capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("hint: there is no socket at /nowhere", done.stderr)

    def test_connections_that_fail_say_what_to_change(self):
        with tempfile.TemporaryDirectory(prefix="osa-cli-") as folder:
            certificates = harness.Certificates(folder)
            token, other = pathlib.Path(folder, "token"), pathlib.Path(folder, "other")
            viewer = pathlib.Path(folder, "viewer")
            for path in (token, other, viewer):
                path.write_text(f"a-token-called-{path.name}\n")
                path.chmod(0o600)
            plain, tls, mutual = (f"127.0.0.1:{harness.free_port()}" for _ in range(3))
            serve = ["--tls-cert", certificates.cert, "--tls-key", certificates.key]
            agents = [harness.Agent("--listen", plain, "--token-file", token, "--viewer-token-file",
                                    viewer),
                      harness.Agent("--listen", tls, "--token-file", token, *serve),
                      harness.Agent("--listen", mutual, "--tls-client-ca", certificates.ca, *serve)]
            ca = ["--tls-ca", certificates.ca]
            mine = ["--token-file", token]
            hers = ["--tls-cert", certificates.client_cert, "--tls-key", certificates.client_key]
            try:
                for arguments, words in (
                        ([plain, *mine], None),
                        ([plain], "hint: give the agent's token with --token-file FILE"),
                        ([plain, "--token-file", other], f"hint: is this the token of that agent? {other}"),
                        ([plain, "--token-file", viewer], None),
                        ([plain, "--token-file", "/no/such"], "token file '/no/such' cannot be read"),
                        (["https://" + plain, *ca], "hint: the agent does not speak TLS there"),
                        ([plain.split(":")[0]], "lacks a port; use unix:PATH, HOST:PORT"),
                        (["https://" + tls, *ca, *mine], None),
                        ([tls, *mine], "hint: the agent hung up; if it speaks TLS there"),
                        (["https://" + tls, *mine], "hint: --tls-ca FILE must name the authority"),
                        (["https://" + tls, *mine, *ca, "--tls-server-name", "elsewhere"],
                         "hint: the certificate is for another name"),
                        (["https://" + tls, "--tls-ca", token], "holds no certificate in PEM form"),
                        (["https://" + tls, *ca, "--tls-cert", certificates.client_cert, "--tls-key",
                          certificates.key], "does not belong to certificate"),
                        (["https://" + mutual, *ca, *hers], None),
                        (["https://" + mutual, *ca], "hint: "),
                        (["127.0.0.1:1"], "hint: is the agent running")):
                    done = subprocess.run([harness.BIN / "openshell-agentctl", "ps", "-H", *arguments],
                                          capture_output=True, text=True,
                                          timeout=harness.PATIENCE_S)
                    self.assertEqual(done.returncode, 0 if words is None else 1, done.stderr)
                    self.assertIn(words or "", done.stderr)
                    self.assertNotIn("core says", done.stderr)
                    self.assertNotIn("failed to connect to all addresses", done.stderr)
                done = subprocess.run([harness.BIN / "openshell-agentctl", "run", "-H", plain,
                                       "--token-file", viewer, "true"], capture_output=True,
                                      text=True, timeout=harness.PATIENCE_S)
                self.assertEqual(done.returncode, 125)
                self.assertIn("hint: give the operators' token with --token-file FILE", done.stderr)
            finally:
                for agent in agents:
                    agent.stop()

    def test_help_names_no_bound_that_is_only_a_number(self):
        self.assertNotIn("9223372036854775807", self.ctl("run", "--help").stdout)
        self.assertIn("--cpu: '0' is out of range; allowed: 1m and more",
                      self.ctl("run", "--cpu", "0", "true", status=2).stderr)

    def test_man_page_and_completion_name_every_command(self):
        page, words = self.ctl("man").stdout, self.ctl("__complete", "--", "").stdout.split()
        self.assertIn("complete -F", self.ctl("completion", "bash").stdout)
        for command in ("run", "ps", "logs", "attach", "wait", "signal", "kill", "stats", "events",
                        "cp", "forward"):
            self.assertIn(command, page)
            self.assertIn(command, words)


if __name__ == "__main__":
    harness.main()
