#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two thousand operations of every kind, failures and calls given up among them: afterwards the agent
and the kernel hold what they held before."""
import io
import os
import pathlib
import random
import tarfile
import threading
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()
OPERATIONS = 2000
CLIENTS = 8
SPARES = 4 * 3 * 2  # two files each, in three hierarchies at most: backends/process/cgroup_spare.c
T = harness.PATIENCE_S


def namespaces(pid):
    """Those that processes below are in; one without a process would need a descriptor or a mount."""
    found = set()
    for member in harness.descendants(pid):
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(os.readlink(f"/proc/{member}/ns/{kind}"))
            except OSError:
                pass  # it has just gone
    return sorted(found)


def archive(name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(f"{name}/file")
        info.size = 5000
        tar.addfile(info, io.BytesIO(bytes(5000)))
    return out.getvalue()


class Leaks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = harness.Agent("--exit-retain-count", "16", "--max-sandboxes", "200",
                                  "--output-retain-total", "1Mi")
        cls.channel = cls.agent.channel()
        cls.stub = Stub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.agent.stop()

    # ---- what is done ----

    def spawn(self, *argv, sandbox="", **spec):
        return self.stub.Spawn(pb.SpawnRequest(sandbox_id=sandbox, spec=pb.ProcessSpec(
            argv=argv, **spec)), timeout=T).process_id

    def op_run(self):
        self.stub.Wait(pb.WaitRequest(process_id=self.spawn("/bin/true")), timeout=T)

    def op_run_in_sandbox(self):
        self.stub.Wait(pb.WaitRequest(process_id=self.spawn("/bin/true", sandbox="stays")), timeout=T)

    def op_start_that_fails(self):
        with self.assertRaises(grpc.RpcError):
            self.spawn("/no/such/program", sandbox=random.choice(("", "stays")))

    def op_wrong_request(self):
        with self.assertRaises(grpc.RpcError):
            self.spawn("/bin/true", cwd="relative")

    def op_kill(self):
        process = self.spawn("/bin/sh", "-c", "trap '' TERM; (setsid sleep 1000 &); sleep 1000")
        self.stub.Kill(pb.KillRequest(process_id=process, grace={"nanos": 1000000}), timeout=T)

    def op_leave_a_daemon(self):
        """Which ends with the sandbox, and that with the process that it was made for."""
        self.spawn("/bin/sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &")

    def op_signal(self):
        process = self.spawn("/bin/sleep", "1000", sandbox="stays")
        self.stub.Signal(pb.SignalRequest(process_id=process, signal="KILL"), timeout=T)

    def op_attach(self):
        process = self.spawn("/bin/cat", stdin=True)
        requests = [pb.AttachRequest(start=pb.AttachStart(process_id=process, follow=True)),
                    pb.AttachRequest(stdin=b"x" * 3000), pb.AttachRequest(stdin_end={})]
        got = sum(len(m.output.data) for m in self.stub.Attach(iter(requests), timeout=T))
        self.assertEqual(got, 3000)

    def op_attach_to_a_terminal_and_leave(self):
        process = self.spawn("/bin/sh", "-c", "echo here; sleep 1000", tty={})
        call = self.stub.Attach(iter([pb.AttachRequest(start=pb.AttachStart(
            process_id=process, follow=True))]), timeout=T)
        next(call)
        call.cancel()
        self.stub.Kill(pb.KillRequest(process_id=process, grace={}), timeout=T)

    def op_wait_given_up(self):
        process = self.spawn("/bin/sleep", "1000")
        with self.assertRaises(grpc.RpcError):
            self.stub.Wait(pb.WaitRequest(process_id=process), timeout=0.01)
        self.stub.Kill(pb.KillRequest(process_id=process, grace={}), timeout=T)

    def op_spawn_given_up(self):
        call = self.stub.Spawn.future(pb.SpawnRequest(spec=pb.ProcessSpec(
            argv=["/bin/true"])), timeout=T)
        call.cancel()

    def op_sandbox(self):
        name = self.stub.CreateSandbox(pb.CreateSandboxRequest(), timeout=T).sandbox.sandbox_id
        process = self.spawn("/bin/sh", "-c", "sleep 1000 & sleep 1000", sandbox=name)
        self.stub.Pause(pb.PauseRequest(sandbox_id=name), timeout=T)
        if random.random() < 0.5:
            self.stub.Resume(pb.ResumeRequest(sandbox_id=name), timeout=T)
        self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=name), timeout=T)
        self.assertEqual(self.stub.Wait(pb.WaitRequest(process_id=process), timeout=T).exit.reason,
                         pb.Exit.REASON_SANDBOX_LOST)

    def op_copy(self):
        name = f"some{random.getrandbits(64)}"
        parts = [pb.CopyInRequest(start=pb.CopyInStart(sandbox_id="stays", path="/tmp")),
                 pb.CopyInRequest(data=archive(name))]
        self.stub.CopyIn(iter(parts), timeout=T)
        out = self.stub.CopyOut(pb.CopyOutRequest(sandbox_id="stays", path=f"/tmp/{name}"), timeout=T)
        if random.random() < 0.5:
            out.cancel()
        else:
            self.assertGreater(sum(len(m.data) for m in out), 5000)

    def op_port_that_is_closed(self):
        call = self.stub.PortForward(iter([pb.PortForwardRequest(start=pb.PortForwardStart(
            sandbox_id="stays", port=9))]), timeout=T)
        with self.assertRaises(grpc.RpcError):
            list(call)

    def op_look(self):
        self.stub.List(pb.ListRequest(include_exited=True), timeout=T)
        list(self.stub.Stats(pb.StatsRequest(), timeout=T))
        self.stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=T)
        follow = self.stub.Events(pb.EventsRequest(follow=True), timeout=T)
        follow.cancel()

    # ---- what is there ----

    def settled(self):
        """Nothing runs but what stays; handles of processes that are retained hold nothing open."""
        listed = self.stub.List(pb.ListRequest(), timeout=T).processes
        for process in listed:
            self.stub.Kill(pb.KillRequest(process_id=process.process_id, grace={}), timeout=T)
        return not listed and len(self.stub.ListSandboxes(
            pb.ListSandboxesRequest(), timeout=T).sandboxes) == 1

    def measure(self):
        harness.wait_until(self.settled, "nothing runs any more")
        # The retained exits are always the same number of the same kind.
        for _ in range(20):
            self.op_run()
        harness.wait_until(self.settled, "nothing runs any more")
        pid = self.agent.process.pid
        harness.wait_until(lambda: len(harness.descendants(pid)) <= self.staying, "children end")
        return {
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "children": len(harness.descendants(pid)),
            "cgroups": len(harness.cgroups(self.names)),
            "mounts": len(pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()),
            "interfaces": sorted(p for p in os.listdir("/sys/class/net") if p.startswith("osa")),
            "namespaces": namespaces(pid),
        }

    def threads(self):
        return len(os.listdir(f"/proc/{self.agent.process.pid}/task"))

    def resident_kib(self):
        with open(f"/proc/{self.agent.process.pid}/statm") as file:
            _, resident, of_files = file.read().split()[:3]  # code comes and goes with its use
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE") >> 10

    def work(self, share, failures):
        operations = [getattr(self, name) for name in dir(self) if name.startswith("op_")]
        for _ in range(share):
            operation = random.choice(operations)
            try:
                operation()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(f"{operation.__name__}: {error}")

    def test_nothing_is_left(self):
        self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox_id="stays"), timeout=T)
        failures = []
        self.work(50, failures)  # what is made once is there then
        harness.wait_until(self.settled, "nothing runs any more")
        held = self.spawn("/bin/sleep", "1000", sandbox="stays")
        self.names = harness.cgroup_names(harness.descendants(self.agent.process.pid))
        self.stub.Kill(pb.KillRequest(process_id=held, grace={}), timeout=T)
        self.staying = len(harness.descendants(self.agent.process.pid))
        before, memory, count = self.measure(), self.resident_kib(), self.threads()
        threads = [threading.Thread(target=self.work, args=(OPERATIONS // CLIENTS, failures))
                   for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        after = self.measure()
        # The sandbox that stays keeps some cgroups for later processes: so many at most.
        for what in ("descriptors", "cgroups"):
            self.assertLessEqual(after.pop(what), before.pop(what) + SPARES)
        self.assertEqual(after, before)
        self.assertLess(self.threads(), count + 8)  # core's own pool comes and goes
        # Measured: some hundred KiB, of the allocator and of the ring of events; ASan keeps more.
        sanitized = b"__asan_init" in (harness.BIN / "openshell-agent").read_bytes()
        self.assertLess(self.resident_kib() - memory, 32768 if sanitized else 8192)


if __name__ == "__main__":
    harness.main()
