#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An agent in a memory cgroup of 64 MiB, its launcher and inits with it: work that would take more is
served, slowed down or refused, and nobody is killed for want of memory. What fills a sandbox's own
memory hits that sandbox alone."""
import os
import pathlib
import random
import threading
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()
MIB = 1 << 20
CAP = 64 * MIB
T = harness.PATIENCE_S


def hierarchy():
    """Where the memory controller is: its mount, and the files that hold the limit and count kills."""
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "memory/memory.limit_in_bytes").exists() or (root / "memory/cgroup.procs").exists():
        return root / "memory", "memory.limit_in_bytes", "memory.oom_control"
    if (root / "cgroup.controllers").exists() and "memory" in (root / "cgroup.controllers").read_text():
        return root, "memory.max", "memory.events"
    return harness.skip("no memory controller is mounted at /sys/fs/cgroup")


class SmallMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mount, limit, cls.events = hierarchy()
        cls.group = mount / f"osa-e2e-{os.getpid()}"
        try:
            cls.group.mkdir()
            (cls.group / limit).write_text(str(CAP))
        except OSError as error:
            harness.skip(f"no memory cgroup can be made: {error}")
        cls.boxes = f"/osa-e2e-boxes-{os.getpid()}"
        cls.agent = harness.Agent("--cgroup-parent", cls.boxes, "--output-retain", "128Ki",
                                  "--output-retain-total", "8Mi",
                                  prefix=("/bin/sh", "-c", f'echo $$ >{cls.group}/cgroup.procs && exec "$@"',
                                          "sh"))
        cls.channel = cls.agent.channel()
        cls.stub = Stub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        status = cls.agent.stop()
        # The launcher has gone when its agent has, to within a moment.
        harness.wait_until(lambda: not (cls.group / "cgroup.procs").read_text(), "nobody is in the cgroup")
        cls.group.rmdir()
        for folder in pathlib.Path("/sys/fs/cgroup").glob(f"*{cls.boxes}"):
            folder.rmdir()
        assert status == 0, status

    def kills(self):
        words = (self.group / self.events).read_text().split()
        return int(words[words.index("oom_kill") + 1])

    def spawn(self, *argv, sandbox="", **spec):
        return self.stub.Spawn(pb.SpawnRequest(sandbox_id=sandbox, spec=pb.ProcessSpec(argv=argv, **spec)),
                               timeout=T).process_id

    def ends(self, process):
        return self.stub.Wait(pb.WaitRequest(process_id=process), timeout=T).exit

    # ---- what takes memory ----

    def chatter(self, stub):
        self.ends(self.spawn("/usr/bin/head", "-c", str(3 * MIB), "/dev/zero"))

    def large(self, stub):
        """Requests of almost 1 MiB, which are also kept for as long as the exits are."""
        self.ends(self.spawn("/bin/true", *["x" * 100_000] * 9))

    def copy(self, stub):
        """64 MiB out of a sandbox, to a reader that gives up."""
        call = stub.CopyOut(pb.CopyOutRequest(sandbox_id="box", path="/tmp/large"), timeout=T)
        for _ in range(random.randrange(20)):
            next(call, None)
        call.cancel()

    def stalled(self, stub):
        process = self.spawn("/bin/cat", "/dev/zero")
        call = stub.Attach(iter([pb.AttachRequest(start=pb.AttachStart(process_id=process, follow=True))]),
                           timeout=T)
        next(call)
        self.stalled_readers.append((process, call))

    def load(self, number):
        choose = random.Random(number)
        with self.agent.channel() as channel:
            stub = Stub(channel)
            for _ in range(25):
                try:
                    choose.choice((self.chatter, self.large, self.copy, self.stalled))(stub)
                except grpc.RpcError as error:
                    # Refused for want of memory is an answer.
                    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                        self.strange.append(error)

    def test_more_work_than_memory(self):
        self.strange, self.stalled_readers = [], []
        self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox_id="box"), timeout=T)
        made = self.ends(self.spawn("/bin/sh", "-c", f"head -c {64 * MIB} /dev/zero >/tmp/large",
                                    sandbox="box"))
        self.assertEqual((made.code, made.signal), (0, 0))
        threads = [threading.Thread(target=self.load, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.strange, [])
        self.assertEqual(self.kills(), 0)
        for process, call in self.stalled_readers:
            call.cancel()
            self.stub.Kill(pb.KillRequest(process_id=process), timeout=T)
        # It holds what it promises, as before.
        end = self.ends(self.spawn("/bin/sh", "-c", "cat /etc/shadow /root/.ssh 2>/dev/null; echo $?"))
        self.assertEqual(end.code, 0)
        self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id="box"), timeout=T)

    def test_a_hog_hits_itself(self):
        spec = pb.ProcessSpec(argv=["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"],
                              resources=pb.Resources(memory_bytes=96 * MIB))
        process = self.stub.Spawn(pb.SpawnRequest(spec=spec), timeout=T).process_id
        self.assertEqual(self.ends(process).reason, pb.Exit.REASON_OOM_KILLED)
        self.assertEqual(self.kills(), 0)
        self.assertEqual(self.ends(self.spawn("/bin/true")).code, 0)


if __name__ == "__main__":
    if os.geteuid() != 0:
        harness.skip("a cgroup needs root")
    harness.main()
