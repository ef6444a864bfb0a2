#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The workload against the agent's own socket, token and state: unseen, unread, and turned away."""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import unittest

import harness

harness.use_grpcio()

pb, Stub, _ = harness.stubs()
USER = pwd.getpwnam("nobody")

# Says what it finds: the first byte of the agent's HTTP/2 settings, and the token.
PROBE = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(30)
    try:
        s.connect(sys.argv[1])
        print("socket", "answers" if s.recv(1) else "hangs up")
    except OSError as e:
        print("socket", e.strerror)
for path in sys.argv[2:]:
    try:
        print(len(open(path).read().strip()))
    except OSError as e:
        print(e.strerror)
"""
POLICY = pb.ProcessSpec().policy.__class__(version=1)
POLICY.filesystem.read_only.extend(["/usr", "/lib", "/lib64", "/bin", "/proc", "/etc"])


def run_in(agent, *paths, sandbox="", user="nobody"):
    """The probe as a process of a sandbox whose policy shows where all of this lies."""
    argv = ["/usr/bin/python3", "-c", PROBE, *map(str, paths)]
    spec = pb.ProcessSpec(argv=argv, user=user)
    if not sandbox:
        spec.policy.CopyFrom(POLICY)
    with agent.channel() as channel:
        stub = Stub(channel)
        reply = stub.Spawn(pb.SpawnRequest(sandbox_id=sandbox, spec=spec), timeout=harness.PATIENCE_S)
        start = pb.AttachRequest(start=pb.AttachStart(process_id=reply.process_id, follow=True))
        out = b"".join(m.output.data for m in stub.Attach(iter([start]), timeout=harness.PATIENCE_S)
                       if m.WhichOneof("message") == "output")
    return out.decode().splitlines()


class OwnFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            harness.skip("root is missing")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-own-", dir="/tmp"))
        os.chmod(cls.folder, 0o755)
        POLICY.filesystem.read_write.append(str(cls.folder))
        cls.private = cls.folder / "private"
        cls.private.mkdir(0o700)
        # The user whom the sandbox runs as is one whom the socket lets in.
        cls.agent = harness.Agent("--listen", f"unix:{cls.private}/a.sock", "--token-file",
                                  str(cls.private / "token"), "--viewer-token-file",
                                  str(cls.token(cls.folder / "viewer")), "--unix-uid",
                                  str(USER.pw_uid), "--listen", f"unix:{cls.folder}/b.sock")

    @staticmethod
    def token(path):
        path.write_text("0123456789abcdef\n")
        os.chmod(path, 0o600)
        return path

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        shutil.rmtree(cls.folder)

    def paths(self):
        return self.folder / "b.sock", self.folder / "viewer", self.private / "token"

    def test_control(self):
        """Out here the same user is let in, and whoever may read the files reads them."""
        os.chmod(self.folder / "b.sock", 0o666)
        done = subprocess.run(["/usr/bin/python3", "-c", PROBE, *map(str, self.paths())],
                              capture_output=True, text=True, user=USER.pw_uid)
        self.assertEqual(done.stdout.splitlines()[0], "socket answers", done.stderr)
        done = subprocess.run(["/usr/bin/python3", "-c", PROBE, *map(str, self.paths())],
                              capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines(), ["socket answers", "16", "64"], done.stderr)

    def test_not_from_a_sandbox(self):
        for path in self.paths()[1:]:  # even if they belonged to the sandbox's user
            os.chown(path, USER.pw_uid, USER.pw_gid)
        os.chmod(self.folder / "b.sock", 0o666)
        found = run_in(self.agent, *self.paths())
        self.assertEqual(found[1:], ["Permission denied", "Permission denied"])
        self.assertNotEqual(found[0], "socket answers")
        self.assertNotEqual(found[0], "socket hangs up")  # it does not even get so far

    def test_not_after_a_rename(self):
        """A token that is replaced while the sandbox runs stays out of sight."""
        with self.agent.channel() as channel:
            Stub(channel).CreateSandbox(pb.CreateSandboxRequest(sandbox_id="stays",
                                                                spec=pb.SandboxSpec(policy=POLICY,
                                                                                    user="nobody")))
        fresh = self.token(self.private / "token.new")
        os.chown(fresh, USER.pw_uid, USER.pw_gid)
        os.rename(fresh, self.private / "token")
        self.assertEqual(run_in(self.agent, *self.paths(), sandbox="stays")[2], "Permission denied")


class Unconfined(unittest.TestCase):
    """RESTRICTED, as the agent's own user: no mount hides anything, and file modes do not either."""

    def setUp(self):
        if os.geteuid() != 0:
            harness.skip("root is missing")
        # In a chroot the kernel makes no user namespace, so nothing better than RESTRICTED is left.
        self.root = tempfile.mkdtemp(prefix="osa-root-")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-own-", dir="/var/tmp"))
        (self.folder / "token").write_text("0123456789abcdef\n")
        (self.folder / "beside").write_text("seen")
        for path in self.folder, self.folder / "token", self.folder / "beside":
            os.chown(path, USER.pw_uid, USER.pw_gid)
        os.chmod(self.folder / "token", 0o600)
        prefix = ["unshare", "-m", "sh", "-c",
                  f'mount --rbind / {self.root} && exec chroot --userspec=nobody:nogroup --groups= '
                  f'{self.root} "$@"', "sh"]
        self.agent = harness.Agent("--min-isolation", "restricted", "--token-file",
                                   str(self.folder / "token"), prefix=prefix, owner=USER.pw_uid)

    def tearDown(self):
        self.agent.stop()
        os.rmdir(self.root)
        shutil.rmtree(self.folder)

    def test_turned_away_without_mount_namespace(self):
        """The path of the socket is there, the door stays shut."""
        found = run_in(self.agent, self.agent.socket, user="")
        self.assertEqual(found, ["socket hangs up"])
        refused = [r for r in self.agent.log_records() if r.get("msg") == "connection refused"]
        self.assertEqual(refused[0]["reason"], "processes of a sandbox may not connect")

    def spawn(self, **shown):
        policy = pb.ProcessSpec().policy.__class__(version=1)
        policy.filesystem.read_only.extend(["/usr", "/lib", "/lib64", "/bin", "/etc"])
        for how, path in shown.items():
            getattr(policy.filesystem, how).append(str(path))
        spec = pb.ProcessSpec(argv=["/bin/sh", "-c", f"cat {self.folder}/beside {self.folder}/token"],
                              policy=policy)
        with self.agent.channel() as channel:
            stub = Stub(channel)
            reply = stub.Spawn(pb.SpawnRequest(spec=spec), timeout=harness.PATIENCE_S)
            start = pb.AttachRequest(start=pb.AttachStart(process_id=reply.process_id, follow=True))
            return b"".join(m.output.data
                            for m in stub.Attach(iter([start]), timeout=harness.PATIENCE_S)
                            if m.WhichOneof("message") == "output").decode()

    def test_token_in_a_directory_that_the_policy_shows(self):
        for shown in self.folder, self.folder.parent:
            self.assertEqual(self.spawn(read_only=shown),
                             f"seencat: {self.folder}/token: Permission denied\n")

    def test_token_in_a_directory_that_the_policy_makes_writable(self):
        import grpc
        with self.assertRaises(grpc.RpcError) as caught:
            self.spawn(read_write=self.folder)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn(f"the agent's own '{self.folder}/token' cannot be kept from a process of its "
                      f"user, for the policy makes '{self.folder}' writable",
                      caught.exception.details())


if __name__ == "__main__":
    harness.main()
