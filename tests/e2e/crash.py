#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent killed with SIGKILL under load leaves nothing running, and its successor cleans up."""
import os
import pathlib
import random
import signal
import threading
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()
ROUNDS = 8


def left_overs():
    """Names on this machine that hold a sandbox id: cgroups, interfaces, mounts."""
    names = [str(p) for p in pathlib.Path("/sys/fs/cgroup").rglob("*osa-*") if p.is_dir()]
    names += [p.name for p in pathlib.Path("/sys/class/net").iterdir() if p.name.startswith("osa")]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return set(names + [m.split()[4] for m in mounts if "osa-e2e" in m])


class Killed(unittest.TestCase):
    def load(self, agent, marker, started, stop):
        """Spawn until the agent has gone: sleeps, escapees, chatter."""
        with agent.channel() as channel:
            stub = Stub(channel)
            scripts = (f"exec sleep {marker}", f"setsid sleep {marker} & exit",
                       f"(setsid sleep {marker} &); trap '' TERM; while :; do echo; done")
            while not stop.is_set():
                try:
                    stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
                        argv=["/bin/sh", "-c", random.choice(scripts)])), timeout=harness.PATIENCE_S)
                    started.append(1)
                except grpc.RpcError:
                    return

    def test_nothing_survives(self):
        before = left_overs()
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
            self.assertEqual(agent.stop(signal.SIGKILL), -signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join()
            harness.wait_until(lambda: not harness.processes_with(marker),
                               f"round {number}: everything that the agent had started is gone")

        # What the kernel keeps by name goes with the next agent.
        successor = harness.Agent()
        self.assertEqual(successor.stop(), 0)
        self.assertEqual(left_overs() - before, set())


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
