#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agent under the name openshell-sandbox, by itself, against a double of the gateway."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import egress
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

    def temporary(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-sup-"))
        self.addCleanup(shutil.rmtree, folder)
        return folder

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


class Policy(WithDouble):
    def policy(self, *endpoints):
        policy = gateway_double.policy_pb2.SandboxPolicy(version=1)
        policy.filesystem.include_workdir = True
        policy.filesystem.read_only.extend(["/usr", "/bin", "/lib", "/lib64", "/etc"])
        rule = policy.network_policies["web"]
        for endpoint in endpoints:
            rule.endpoints.add(**endpoint)
        rule.binaries.add(path="/usr/bin/curl")
        return policy

    def test_what_the_proxy_decided_is_summed_up(self):
        harness.need_tool("curl")
        address = egress.own_address()
        policy = self.policy({"host": address, "port": 1}, {"host": "169.254.169.254", "port": 80})
        deny = policy.network_policies["web"].endpoints.add(
            host=address, port=2, protocol="rest", enforcement="enforce")
        deny.rules.add().allow.CopyFrom(gateway_double.policy_pb2.L7Allow(method="GET", path="/a"))
        sandbox = self.double.add(policy=policy)
        self.started(sandbox, environment={"OPENSHELL_DENIAL_FLUSH_INTERVAL_SECS": "1",
                                           "OPENSHELL_ACTIVITY_FLUSH_INTERVAL_SECS": "1"})
        self.run_ssh(sandbox, f"curl -s http://{address}:3/ http://{address}:3/again "
                     f"http://169.254.169.254/ http://{address}:2/b; "
                     f"curl -sp -x $http_proxy http://{address}:4/; curl -s http://{address}:1/; true")

        def found():
            summed = {}
            for summary in (s for a in sandbox.analyses for s in a.summaries):
                count = summed.get((summary.host, summary.port), (0, 0))[1]
                summed[summary.host, summary.port] = (summary.denial_stage, count + summary.count)
                self.assertEqual(summary.binary, "/usr/bin/curl")
                self.assertEqual(summary.count, summary.total_count)
                self.assertLessEqual(summary.first_seen_ms, summary.last_seen_ms)
                self.assertTrue(summary.deny_reason)
            return summed
        wanted = {(address, 3): ("forward", 2), ("169.254.169.254", 80): ("ssrf", 1),
                  (address, 2): ("forward-l7-deny", 1), (address, 4): ("connect", 1)}
        harness.wait_until(lambda: found() == wanted, "the denials are summed up")

        def activity():
            counts = {}
            for summary in (s for a in sandbox.analyses for s in a.network_activity_summaries):
                counts["all"] = counts.get("all", 0) + summary.network_activity_count
                counts["denied"] = counts.get("denied", 0) + summary.denied_action_count
                for group in summary.denials_by_group:
                    counts[group.deny_group] = counts.get(group.deny_group, 0) + group.denied_count
            return counts
        harness.wait_until(lambda: activity() == {
            "all": 6, "denied": 6, "forward_policy": 2, "ssrf": 1, "l7_policy": 1,
            "connect_policy": 1, "unknown": 1}, "and so is the activity")
        self.assertEqual({a.analysis_mode for a in sandbox.analyses}, {"mechanistic", "activity"})

    def test_rego_that_nobody_evaluates_is_refused(self):
        supervisor = self.start(self.double.add(), arguments=("--policy-rules", "/x.rego",
                                                              "--policy-data", "/x.yaml"))
        self.assertEqual(supervisor.wait(), 2)
        self.assertIn("policy-rules: '/x.rego' would be Rego, and there is no engine for it",
                      supervisor.log())

    def test_two_ways_to_go_on_without_a_usable_policy(self):
        harness.need_tool("curl")
        address = egress.own_address()
        policy = self.policy({"host": address, "port": 1})  # where nobody listens
        sandbox = self.double.add(policy=policy)
        self.started(sandbox, environment={"OPENSHELL_POLICY_POLL_INTERVAL_SECS": "1"})

        def reason():
            done = self.double.ssh(sandbox, "sandbox@127.0.0.1", f"curl -s http://{address}:1/")
            return json.loads(done.stdout)["reason"]
        self.assertEqual(reason(), "unreachable")  # the policy lets it out
        wrong = gateway_double.policy_pb2.SandboxPolicy()
        wrong.CopyFrom(policy)
        wrong.network_policies["web"].endpoints[0].port = 99999
        sandbox.policy, sandbox.version = wrong, 2
        harness.wait_until(lambda: len(sandbox.reported) == 2, "the second is answered")
        self.assertEqual(sandbox.reported[1][:2], (2, 3))
        self.assertEqual(reason(), "quarantine")
        sandbox.failure_mode = "retain_last_valid"
        harness.wait_until(lambda: reason() == "unreachable", "the last good one holds again")
        sandbox.failure_mode = "fail_closed"
        harness.wait_until(lambda: reason() == "quarantine", "and no more")
        sandbox.policy, sandbox.version = policy, 3
        harness.wait_until(lambda: reason() == "unreachable", "until a usable one comes")


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

class Environment(WithDouble):
    def test_of_the_main_process_and_of_sessions(self):
        """An image's variables reach the main process; PATH reaches both; nothing of ours does."""
        sandbox = self.double.add()
        supervisor = self.started(
            sandbox, "/bin/sh", "-c", "env > main.env; sleep 1000",
            environment={"IMAGE_SAYS": "yes", "PATH": "/opt/tools:/usr/bin:/bin",
                         "OPENSHELL_USER_ENVIRONMENT": '{"OWNER": "is here", "OPENSHELL_X": "1"}'})
        session = dict(line.split("=", 1) for line in self.run_ssh(sandbox, "env").splitlines())
        harness.wait_until(lambda: (supervisor.work / "main.env").exists() and
                           "PWD=" in (supervisor.work / "main.env").read_text(), "it is written")
        main = dict(line.split("=", 1)
                    for line in (supervisor.work / "main.env").read_text().splitlines())
        self.assertEqual((main["IMAGE_SAYS"], main["OWNER"], main["PATH"]),
                         ("yes", "is here", "/opt/tools:/usr/bin:/bin"))
        self.assertNotIn("IMAGE_SAYS", session)
        self.assertEqual(session["OWNER"], "is here")
        for found in (main, session):
            self.assertEqual([key for key in found if key.startswith("OPENSHELL_")],
                             ["OPENSHELL_SANDBOX"])
            self.assertEqual((found["OPENSHELL_SANDBOX"], found["TERM"], found["SHELL"]),
                             ("1", "dumb", "/bin/bash"))

    @unittest.skipIf(os.geteuid() != 0, "needs root to choose users")
    def test_users(self):
        for environment, answer in (
                ({"OPENSHELL_SANDBOX_UID": "1234", "OPENSHELL_SANDBOX_GID": "2345"}, "1234:2345"),
                ({"OPENSHELL_OCI_IMAGE_USER": "1234:2345"}, "1234:2345"),
                ({"OPENSHELL_OCI_IMAGE_USER": "nobody", "OPENSHELL_SANDBOX_UID": ""}, "65534:65534")):
            sandbox = self.double.add()
            self.started(sandbox, environment=environment)
            self.assertEqual(self.run_ssh(sandbox, "echo $(id -u):$(id -g)"), answer + "\n")
        for environment, text in (
                ({"OPENSHELL_SANDBOX_UID": "1"}, "OPENSHELL_SANDBOX_UID needs OPENSHELL_SANDBOX_GID"),
                ({"OPENSHELL_SANDBOX_UID": "1", "OPENSHELL_SANDBOX_GID": "1",
                  "OPENSHELL_OCI_IMAGE_USER": "x"}, "exclude each other"),
                ({"OPENSHELL_OCI_IMAGE_USER": "root"}, "the image's user 'root' is root"),
                ({"OPENSHELL_OCI_IMAGE_USER": "1:0"}, "the image's user '1:0' is root")):
            supervisor = self.start(self.double.add(), environment=environment)
            self.assertEqual(supervisor.wait(), 1)
            self.assertIn(text, supervisor.log())


class Memory(WithDouble):
    def test_rest(self):
        """What only the start, or the last session, needed is given back."""
        sandbox = self.double.add()
        supervisor = self.started(sandbox)

        def is_given_back():
            status = pathlib.Path(f"/proc/{supervisor.process.pid}/status").read_text()
            peak, anonymous, file = (int(re.search(rf"{name}:\s+(\d+)", status).group(1))
                                     for name in ("VmHWM", "RssAnon", "RssFile"))
            return file < (peak - anonymous) * 3 // 4
        self.assertEqual(self.run_ssh(sandbox, "echo busy"), "busy\n")
        harness.wait_until(is_given_back, "memory is given back")


@unittest.skipIf(os.geteuid() != 0, "needs root to enter an image")
class ImagePolicy(WithDouble):
    """A sandbox without a policy of the gateway's takes its image's, and tells the gateway."""

    def run_in(self, text):
        image = self.temporary() / "image"
        (image / "etc/openshell").mkdir(parents=True)
        for name in ("tmp", "proc", "dev", "usr"):
            (image / name).mkdir()
        (image / "etc/openshell/policy.yaml").write_text(text)
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(
            ["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout)
        for path in ("/bin/sh", *libraries):
            (image / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, image / path[1:])
        image.parent.chmod(0o755)
        sandbox = self.double.add()
        supervisor = self.start(sandbox, "/bin/sh", "-c", "exit 4",
                                arguments=("--root", image, "--workdir", "/"))
        return sandbox, supervisor

    def test_it_holds_and_is_told(self):
        sandbox, supervisor = self.run_in(
            "version: 1\nfilesystem_policy:\n  read_only: [/bin, /lib, /lib64, /etc, /usr]\n")
        self.assertEqual(supervisor.wait(), 4, supervisor.log())
        self.assertIn("the image's policy holds", supervisor.log())
        self.assertEqual(list(sandbox.policy.filesystem.read_only), ["/bin", "/lib", "/lib64", "/etc", "/usr"])

    def test_one_that_cannot_be_used(self):
        sandbox, supervisor = self.run_in("version: 1\ncolour: red\n")
        supervisor.wait()
        self.assertIn("the image's policy cannot be used; the built-in one holds",
                      supervisor.log())
        self.assertIn("/tmp", sandbox.policy.filesystem.read_write)


def jwt(**claims):
    """A token as the gateway's look; nobody here checks its signature."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


class DebugRpc(WithDouble):
    """debug-rpc: exit statuses and lines that scripts depend on."""

    def run_command(self, *arguments, **environment):
        folder = self.temporary()
        (folder / "openshell-sandbox").symlink_to(harness.BIN / "openshell-agent")
        done = subprocess.run([folder / "openshell-sandbox", "debug-rpc", *arguments],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S,
                              env={"PATH": "/usr/bin:/bin", **environment})
        return done.returncode, done.stdout, done.stderr

    def calls(self, sandbox, *arguments, **environment):
        return self.run_command(*arguments, OPENSHELL_SANDBOX_TOKEN=sandbox.token,
                                OPENSHELL_ENDPOINT=f"http://127.0.0.1:{self.double.port}",
                                **environment)

    def test_get_sandbox_config(self):
        sandbox, other = self.double.add(), self.double.add()
        code, out, _ = self.calls(sandbox, "get-sandbox-config", "--sandbox-id", sandbox.id)
        self.assertEqual((code, out), (0, "version=0 policy_hash=hash-1 config_revision=1\n"))
        code, out, err = self.calls(sandbox, "get-sandbox-config", f"--sandbox-id={other.id}")
        self.assertEqual((code, out, err), (7, "", "PermissionDenied: token of another sandbox\n"))
        code, _, err = self.calls(sandbox, "get-sandbox-config", "--sandbox-id", "nobody")
        self.assertEqual((code, err), (5, "NotFound: no such sandbox\n"))
        code, _, err = self.calls(sandbox, "get-sandbox-config")
        self.assertEqual(code, 1)
        self.assertIn("needs --sandbox-id ID", err)
        self.double.down = True
        code, _, err = self.calls(sandbox, "get-sandbox-config", "--sandbox-id", sandbox.id)
        self.assertEqual((code, err), (1, "Unavailable: the gateway is down\n"))

    def test_refresh(self):
        sandbox = self.double.add()
        sandbox.token = jwt(sub="spiffe://openshell/sandbox/x", sandbox_id="x", iss="gw", exp=7)
        code, out, _ = self.calls(sandbox, "refresh")
        self.assertEqual(code, 0)
        digest = hashlib.sha256(sandbox.token.encode()).hexdigest()[:16]
        self.assertEqual(out.splitlines()[:2], [f"fingerprint=sha256:{digest}", "expires_at_ms=0"])
        old = gateway_double.Sandbox("none", None)
        code, _, err = self.calls(old, "refresh")
        self.assertEqual((code, err), (1, "Unauthenticated: an old token\n"))
        code, _, err = self.run_command("refresh", OPENSHELL_SANDBOX_TOKEN="x")
        self.assertEqual(code, 1)
        self.assertIn("OPENSHELL_ENDPOINT must be set", err)

    def test_tokens(self):
        token = jwt(sub="spiffe://openshell/sandbox/x", sandbox_id="x", iss="gw", exp=12)
        folder = self.temporary()
        (folder / "token").write_text(f"  {token}\n")
        digest = hashlib.sha256(token.encode()).hexdigest()[:16]
        code, out, _ = self.run_command("show-token",
                                        OPENSHELL_SANDBOX_TOKEN_FILE=str(folder / "token"))
        self.assertEqual((code, out), (
            0, f"fingerprint=sha256:{digest}\nexpires_at_ms=12000\nsandbox_id=x\n"
               "subject=spiffe://openshell/sandbox/x\nissuer=gw\n"))
        code, out, _ = self.run_command("show-principal", OPENSHELL_SANDBOX_TOKEN=token)
        self.assertEqual((code, json.loads(out)["exp"]), (0, 12))
        code, out, _ = self.run_command("show-token", OPENSHELL_SANDBOX_TOKEN="opaque")
        self.assertEqual((code, out.splitlines()[1:]),
                         (0, ["expires_at_ms=0", "sandbox_id=", "subject=", "issuer="]))
        code, _, err = self.run_command("show-principal", OPENSHELL_SANDBOX_TOKEN="opaque")
        self.assertEqual(code, 1)
        self.assertIn("the token is no JSON web token", err)
        code, _, err = self.run_command(
            "show-token", OPENSHELL_K8S_SA_TOKEN_FILE=str(folder / "token"))
        self.assertEqual(code, 1)
        self.assertIn("no token: set OPENSHELL_SANDBOX_TOKEN", err)

    def test_usage(self):
        code, out, err = self.run_command("--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("usage: openshell-sandbox debug-rpc", out)
        code, out, err = self.run_command("nonsense")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("'nonsense' is not known", err)
        self.assertEqual(self.run_command()[0], 1)


@unittest.skipIf(os.geteuid() != 0, "needs root to become another user")
class ValidateWorkspace(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-sup-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.program = self.folder / "openshell-sandbox"
        shutil.copy(harness.BIN / "openshell-agent", self.program)
        self.work = self.folder / "a" / "work"
        self.work.mkdir(parents=True)
        os.chown(self.work, 1234, 2345)

    def ask(self, workdir, uid="1234", gid="2345", user=1234, group=2345):
        done = subprocess.run(
            [self.program, "validate-workspace", "--workdir", workdir, "--expected-uid", uid,
             f"--expected-gid={gid}"], capture_output=True, text=True, env={}, cwd="/",
            user=user, group=group, extra_groups=[], timeout=harness.PATIENCE_S)
        self.assertEqual(done.stdout, "")
        return done.returncode, done.stderr

    def fails(self, text, *arguments, **options):
        code, err = self.ask(*arguments, **options)
        self.assertEqual(code, 1)
        self.assertIn(text, err)

    def test_what_is_good(self):
        self.assertEqual(self.ask(self.work), (0, ""))
        self.assertEqual(self.ask(f"/{self.work}//"), (0, ""))
        self.assertEqual(list(self.work.iterdir()), [])

    def test_what_is_not(self):
        self.fails("this runs as user 1234, group 2345 and not as 0, 2345", self.work, uid="0")
        self.fails("'x' is no number", self.work, uid="x")
        self.fails("is no absolute path", "work")
        self.fails("has '..'", f"{self.work}/../work")
        self.fails("is no folder that can be opened", self.work / "missing")
        self.fails("is no folder that can be opened", self.program)
        link = self.folder / "link"
        link.symlink_to(self.work)
        self.fails("is no folder that can be opened", link)
        self.fails("the user cannot make files", self.folder)
        self.work.parent.chmod(0o700)
        self.fails("the user may not pass", self.work)
        done = subprocess.run([self.program, "validate-workspace", "--workdir", self.work],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--expected-uid is missing", done.stderr)


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
        folder = self.temporary()
        (folder / "policy.yaml").write_text(POLICY)

        def run(number):
            return self.start(gateway_double.Sandbox("none", None), "/bin/sh", "-c",
                              f"exit {number % 7}", environment={
                                  "OPENSHELL_ENDPOINT": "", "OPENSHELL_SANDBOX_ID": "",
                                  "OPENSHELL_POLICY_DATA": str(folder / "policy.yaml")})
        self.repeat(run)


if __name__ == "__main__":
    harness.main()
