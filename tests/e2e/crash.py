#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent killed with SIGKILL under load leaves nothing running, and its successor cleans up."""
import io
import os
import pathlib
import random
import signal
import tarfile
import threading
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()
ROUNDS = 8


def left_overs():
    """What the kernel keeps by name outside of cgroups: interfaces, mounts; and files of agents."""
    names = [p.name for p in pathlib.Path("/sys/class/net").iterdir() if p.name.startswith("osa")]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    names += [m.split()[4] for m in mounts if "osa-e2e" in m]
    return set(names + [str(p) for d in ("/tmp", "/dev/shm", "/run", "/var/tmp")
                        for p in pathlib.Path(d).glob("openshell-*")])


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 1 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


class Killed(unittest.TestCase):
    def spawns(self, stub, marker):
        scripts = (f"exec sleep {marker}", f"setsid sleep {marker} & exit",
                   f"(setsid sleep {marker} &); trap '' TERM; while :; do echo; done")
        stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
            argv=["/bin/sh", "-c", random.choice(scripts)])), timeout=harness.PATIENCE_S)

    def attaches(self, stub, marker):
        """To a process that reads and one that writes without end; both are left as they are."""
        process = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
            argv=["/bin/sh", "-c", f"sleep {marker} & exec cat /dev/zero -"], stdin=True)),
            timeout=harness.PATIENCE_S).process_id
        start = pb.AttachRequest(start=pb.AttachStart(process_id=process, follow=True))
        call = stub.Attach(iter([start, pb.AttachRequest(stdin=b"x" * 100000)]),
                           timeout=harness.PATIENCE_S)
        for _ in range(20):
            next(call)

    def copies(self, stub, marker):
        box = stub.CreateSandbox(pb.CreateSandboxRequest(), timeout=harness.PATIENCE_S)
        name = box.sandbox.sandbox_id
        stub.Spawn(pb.SpawnRequest(sandbox_id=name, spec=pb.ProcessSpec(
            argv=["/bin/sleep", marker])), timeout=harness.PATIENCE_S)
        stub.CopyIn(iter([pb.CopyInRequest(start=pb.CopyInStart(sandbox_id=name, path="/tmp")),
                          pb.CopyInRequest(data=archive())]), timeout=harness.PATIENCE_S)
        list(stub.CopyOut(pb.CopyOutRequest(sandbox_id=name, path="/tmp"),
                          timeout=harness.PATIENCE_S))
        if random.random() < 0.5:
            stub.Pause(pb.PauseRequest(sandbox_id=name), timeout=harness.PATIENCE_S)

    def load(self, agent, marker, started, stop):
        """Until the agent has gone: sleeps, escapees, chatter, streams in both directions, copies."""
        with agent.channel() as channel:
            stub = Stub(channel)
            while not stop.is_set():
                try:
                    random.choice((self.spawns, self.spawns, self.attaches, self.copies))(stub, marker)
                    started.append(1)
                except grpc.RpcError as error:
                    # The agent has gone; whatever else it says is a failure of this test.
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                        self.strange.append(error)
                    return

    def test_nothing_survives(self):
        before, names = left_overs(), set()
        self.strange = []
        for number in range(ROUNDS):
            marker = f"77{os.getpid()}{number}"
            agent = harness.Agent()
            stop, started = threading.Event(), []
            threads = [threading.Thread(target=self.load, args=(agent, marker, started, stop))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            # A random moment, measured in spawns and not in time.
            enough = random.randrange(1, 25)
            harness.wait_until(lambda: len(started) >= enough, "some processes were spawned")
            self.assertNotEqual(harness.processes_with(marker), [])
            names |= harness.cgroup_names(harness.descendants(agent.process.pid))
            self.assertEqual(agent.stop(signal.SIGKILL), -signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join()
            harness.wait_until(lambda: not harness.processes_with(marker),
                               f"round {number}: everything that the agent had started is gone")

        # What the kernel keeps by name goes with the next agent.
        self.assertEqual(self.strange, [])
        if os.geteuid() == 0:
            self.assertNotEqual(names, set())
        successor = harness.Agent()
        self.assertEqual(harness.cgroups(names), [])
        self.assertEqual(successor.stop(), 0)
        # Another test's may be among them, but not for long.
        harness.wait_until(lambda: not left_overs() - before, "nothing is left")


class Terminated(unittest.TestCase):
    def test_sigterm_ends_all(self):
        marker = f"78{os.getpid()}"
        agent = harness.Agent("--drain-timeout", "0s")
        with agent.channel() as channel:
            Stub(channel).Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
                argv=["/bin/sh", "-c", f"trap '' TERM; setsid sleep {marker} & sleep {marker}"])),
                timeout=harness.PATIENCE_S)
            harness.wait_until(lambda: harness.processes_with(marker), "the process runs")
        self.assertEqual(agent.stop(), 0)
        self.assertEqual(harness.processes_with(marker), [])


if __name__ == "__main__":
    harness.main()
