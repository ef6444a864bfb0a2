#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agent under the name openshell-sandbox, by itself, against a double of the gateway."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import gateway_double
import harness
from gateway_double import wait_ready


class Supervisor:
    """One run of openshell-sandbox in a folder of its own, as a pod or driver would start it."""

    def __init__(self, double, sandbox, *command, environment=None, arguments=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-sup-"))
        self.work = self.folder / "work"
        self.work.mkdir()
        self.program = self.folder / "openshell-sandbox"
        self.program.symlink_to(harness.BIN / "openshell-agent")
        token = self.folder / "token"
        token.write_text(sandbox.token + "\n")
        token.chmod(0o600)
        self.folder.chmod(0o755)
        self.work.chmod(0o777)  # the sandbox's user is another one
        self.log_path = self.folder / "log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [self.program, "--workdir", self.work, "--log-level", "info",
                 "--listen", f"unix:{self.folder}/agent.sock", "--state-dir", self.folder / "state",
                 *arguments, *command],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                     "OPENSHELL_ENDPOINT": f"http://127.0.0.1:{double.port}",
                     "OPENSHELL_SANDBOX_ID": sandbox.id, "OPENSHELL_SANDBOX": sandbox.name,
                     "OPENSHELL_SANDBOX_TOKEN_FILE": str(token), **(environment or {})})

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait(self):
        """Its exit status, and what it wrote to standard output: nothing, ever."""
        out, _ = self.process.communicate(timeout=harness.PATIENCE_S)
        assert out == b"", out
        return self.process.returncode

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.wait()

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class WithDouble(unittest.TestCase):
    def setUp(self):
        self.double = gateway_double.Double()
        self.addCleanup(self.double.stop)

    def tearDown(self):
        self.assertEqual(self.double.broken, [])

    def start(self, sandbox, *command, **options):
        supervisor = Supervisor(self.double, sandbox, *(command or ("/bin/sleep", "1000")),
                                **options)
        self.addCleanup(supervisor.remove)
        return supervisor

    def started(self, sandbox, *command, **options):
        supervisor = self.start(sandbox, *command, **options)
        wait_ready(sandbox)
        return supervisor

    def run_ssh(self, sandbox, command):
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()


class Providers(WithDouble):
    SECRET = "sk-the-real-value"

    def secrets_seen(self, supervisor):
        """Where the credential's value shows outside the memory of the agent."""
        seen = []
        for pid in harness.processes_with(str(supervisor.folder)):
            for name in ("environ", "cmdline"):
                try:
                    if self.SECRET.encode() in pathlib.Path(f"/proc/{pid}/{name}").read_bytes():
                        seen.append((pid, name))
                except OSError:
                    pass  # it has ended
        if self.SECRET in supervisor.log():
            seen.append("log")
        return seen

    def test_placeholders(self):
        sandbox = self.double.add()
        sandbox.provide(3, bound=[("API_KEY", self.SECRET, "api.example.com")],
                        plain=[("REGION", "eu"), ("GCP_PROJECT_ID", "blue")])
        supervisor = self.started(sandbox, "/bin/sh", "-c", "env > main.env; sleep 1000")
        show = "echo $API_KEY $REGION $GCP_PROJECT_ID"
        self.assertEqual(self.run_ssh(sandbox, show),
                         "openshell:resolve:env:v3_API_KEY openshell:resolve:env:v3_REGION blue\n")
        main = (supervisor.work / "main.env").read_text()
        self.assertIn("API_KEY=openshell:resolve:env:v3_API_KEY\n", main)
        self.assertNotIn(self.SECRET, main)
        self.assertEqual(self.secrets_seen(supervisor), [])
        self.assertEqual(sandbox.provider_calls, 1)

    def test_another_revision(self):
        sandbox = self.double.add()
        sandbox.provide(1, bound=[("API_KEY", self.SECRET, "api.example.com")])
        self.started(sandbox, environment={"OPENSHELL_POLICY_POLL_INTERVAL_SECS": "1"})
        self.assertEqual(self.run_ssh(sandbox, "echo $API_KEY"),
                         "openshell:resolve:env:v1_API_KEY\n")
        sandbox.provide(2, bound=[("OTHER_KEY", self.SECRET, "api.example.com")])
        harness.wait_until(lambda: sandbox.provider_calls == 2, "it is asked for again")
        harness.wait_until(lambda: self.run_ssh(sandbox, "echo $API_KEY/$OTHER_KEY") ==
                           "/openshell:resolve:env:v2_OTHER_KEY\n", "new sessions have it")

    def test_incomplete_bindings(self):
        sandbox = self.double.add()
        sandbox.provide(1, bound=[("API_KEY", self.SECRET, "api.example.com")])
        sandbox.providers.environment["LOOSE"] = self.SECRET
        supervisor = self.started(sandbox)
        self.assertEqual(self.run_ssh(sandbox, "echo $API_KEY/$LOOSE"), "/\n")
        self.assertIn("the environment of providers cannot be used", supervisor.log())
        self.assertEqual(self.secrets_seen(supervisor), [])

RUNS = int(os.environ.get("OSA_SUPERVISOR_RUNS", "25"))
POLICY = """\
version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /lib64, /bin, /etc, /proc]
  read_write: [/tmp, /dev/null]
"""


class Runs(WithDouble):
    """One after the other, each whole: none hangs, and nothing of any is left running or mounted."""

    def repeat(self, make):
        folders = []
        for run in range(RUNS):
            supervisor = make(run)
            folders.append(str(supervisor.folder))
            self.assertEqual(supervisor.wait(), run % 7, supervisor.log())
            self.assertNotIn(folders[-1], pathlib.Path("/proc/self/mounts").read_text())
            supervisor.remove()
        left = [pid for folder in folders[-100:] for pid in harness.processes_with(folder)]
        self.assertEqual(left, [])

    def test_with_a_gateway(self):
        def run(number):
            return self.start(self.double.add(), "/bin/sh", "-c", f"exit {number % 7}")
        self.repeat(run)
        self.assertEqual([s.exit for s in self.double.sandboxes.values()],
                         [number % 7 for number in range(RUNS)])

    def test_with_a_policy_file(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-sup-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "policy.rego").write_text("package openshell\n")

        def run(number):
            return self.start(gateway_double.Sandbox("none", None), "/bin/sh", "-c",
                              f"exit {number % 7}", environment={
                                  "OPENSHELL_ENDPOINT": "", "OPENSHELL_SANDBOX_ID": "",
                                  "OPENSHELL_POLICY_RULES": str(folder / "policy.rego"),
                                  "OPENSHELL_POLICY_DATA": str(folder / "policy.yaml")})
        self.repeat(run)


if __name__ == "__main__":
    unittest.main()
