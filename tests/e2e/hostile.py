#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile input as clients with credentials and workloads can give it, each beside what is honest."""
import os
import pathlib
import subprocess
import threading
import time
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, Status = harness.stubs()
Code = grpc.StatusCode
T = harness.PATIENCE_S
FORK_BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
# C0 and C1 controls, and what turns the direction of writing.
OBEYED = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"


class Hostile(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.agent = harness.Agent("--exit-retain-count", "100", *cls.arguments)
        cls.channel = cls.agent.channel()
        cls.stub = Stub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        status = cls.agent.stop()
        assert status == 0, cls.agent.last_log

    def spawn(self, *argv, sandbox="", key="", **spec):
        return self.stub.Spawn(pb.SpawnRequest(sandbox_id=sandbox, idempotency_key=key,
                                               spec=pb.ProcessSpec(argv=argv, **spec)),
                               timeout=T).process_id

    def shell(self, script, **spec):
        return self.spawn("/bin/sh", "-c", script, **spec)

    def wait(self, process):
        return self.stub.Wait(pb.WaitRequest(process_id=process), timeout=T).exit

    def kill(self, process):
        return self.stub.Kill(pb.KillRequest(process_id=process, grace={}), timeout=T).exit

    def sandbox(self, **spec):
        name = self.stub.CreateSandbox(pb.CreateSandboxRequest(spec=pb.SandboxSpec(**spec)),
                                       timeout=T).sandbox.sandbox_id
        self.addCleanup(self.delete, name)
        return name

    def delete(self, sandbox):
        try:
            self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox), timeout=T)
        except grpc.RpcError as error:
            if error.code() != Code.NOT_FOUND:
                raise

    def attach(self, process, **start):
        start.setdefault("follow", True)
        return self.stub.Attach(iter([pb.AttachRequest(start=pb.AttachStart(
            process_id=process, **start))]), timeout=T)

    def refused(self, code, text, call, *arguments, **keywords):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **keywords)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertIn(text, caught.exception.details())

    def raw(self, method, request):
        return self.channel.unary_unary(f"/{harness.SERVICE}/{method}")(request, timeout=T)

    def memory_mib(self):
        with open(f"/proc/{self.agent.process.pid}/statm") as file:
            _, resident, of_files = file.read().split()[:3]  # code comes and goes with its use
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE") >> 20


def entry(key, value):
    """A map entry as bytes."""
    inner = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return bytes([len(inner)]) + inner


class Requests(Hostile):
    def test_arguments(self):
        fds = f"/proc/{self.agent.process.pid}/fd"
        self.assertEqual(self.wait(self.spawn("true", *["x" * 100000] * 5)).code, 0)
        before = len(os.listdir(fds))
        for _ in range(20):
            for argv, text in ((["../bin/true"], "holds '..'"), (["a/../true"], "holds '..'"),
                               (["/bin/true", *["x" * 100000] * 11], "at most 1048576 are allowed")):
                self.refused(Code.INVALID_ARGUMENT, text, self.spawn, *argv)
        harness.wait_until(lambda: len(os.listdir(fds)) <= before, "descriptors are closed")

    def test_environment(self):
        self.assertEqual(self.wait(self.spawn("true", env={"A": "b", "http_proxy": "x"})).code, 0)
        for name in ("LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES", "GCONV_PATH"):
            self.refused(Code.INVALID_ARGUMENT, f"{name} changes what every program loads", self.spawn,
                         "true", env={name: "x"})
        # SpawnRequest.spec = 2, ProcessSpec.env twice with the same key: a map that is none.
        number = pb.ProcessSpec.DESCRIPTOR.fields_by_name["env"].number
        spec = b"\x0a\x04true" + b"".join(bytes([number << 3 | 2]) + entry(b"A", value)
                                          for value in (b"1", b"2"))
        self.refused(Code.INVALID_ARGUMENT, "'A' is given twice", self.raw, "Spawn",
                     b"\x12" + bytes([len(spec)]) + spec)

    def test_a_map_of_half_a_million_keys(self):
        number = pb.ListRequest.DESCRIPTOR.fields_by_name["labels"].number
        one = bytes([number << 3 | 2]) + entry(b"k", b"")
        self.assertIsNotNone(self.raw("List", one * 1000))
        self.refused(Code.RESOURCE_EXHAUSTED, "exceeds the elements of one message",
                     self.raw, "List", one * 400000)

    def test_directories_that_lead_elsewhere(self):
        """A working directory is looked up inside of the confinement, after everything is in force."""
        sandbox = self.sandbox()
        self.assertEqual(self.wait(self.spawn("true", sandbox=sandbox, cwd="/tmp")).code, 0)
        self.assertEqual(self.wait(self.shell(
            "ln -s /root /tmp/root; ln -s /proc/1/root /tmp/one; ln -s /usr /tmp/usr",
            sandbox=sandbox)).code, 0)
        self.assertEqual(self.wait(self.spawn("true", sandbox=sandbox, cwd="/tmp/usr")).code, 0)
        for path in [f"/proc/self/fd/{fd}" for fd in range(3, 30)] + [
                "/tmp/root", "/tmp/one", "/proc/1/root", "/proc/1/cwd", "/root"]:
            self.refused(Code.FAILED_PRECONDITION, path, self.spawn, "true", sandbox=sandbox, cwd=path)

    def test_one_key_a_hundred_times(self):
        replies, errors = [], []

        def ask(text):
            try:
                replies.append(self.spawn("/bin/sh", "-c", "echo once >>/tmp/count; sleep 1000",
                                          sandbox=sandbox, key="the key", labels={"text": text}))
            except grpc.RpcError as error:
                errors.append(error.code())

        sandbox = self.sandbox()
        threads = [threading.Thread(target=ask, args=("same",)) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(replies), len(set(replies)), errors), (100, 1, []))
        ask("another")
        self.assertEqual(errors, [Code.ALREADY_EXISTS])
        script = "while [ ! -s /tmp/count ]; do sleep 0.01; done; cat /tmp/count"
        out = b"".join(m.output.data for m in self.attach(self.shell(script, sandbox=sandbox)))
        self.assertEqual(out, b"once\n")
        listed = self.stub.List(pb.ListRequest(sandbox_id=sandbox), timeout=T).processes
        self.assertEqual([p.process_id for p in listed], [replies[0]])

    def test_handles_that_are_no_more(self):
        """One that was forgotten and one that never was cannot be told apart."""
        old = self.spawn("true")
        self.wait(old)
        for _ in range(101):
            self.wait(self.spawn("true"))
        never = old[:-1] + ("a" if old[-1] != "a" else "b")
        for process in (old, never):
            for method, request in (("Wait", pb.WaitRequest), ("Kill", pb.KillRequest),
                                    ("Get", pb.GetRequest)):
                self.refused(Code.NOT_FOUND, f"there is no process '{process}'",
                             getattr(self.stub, method), request(process_id=process), timeout=T)
            self.refused(Code.NOT_FOUND, f"there is no process '{process}'", self.stub.Signal,
                         pb.SignalRequest(process_id=process, signal="TERM"), timeout=T)

    def test_signals_hit_nobody_else(self):
        """While pids are used again and again, signals to what has exited reach no stranger."""
        sandbox = self.sandbox()
        witness = self.shell("trap 'echo hit' USR1; echo ready; while :; do sleep 0.01; done",
                             sandbox=sandbox)
        reader = self.attach(witness)
        while b"ready" not in next(reader).output.data:
            pass
        storm = self.shell("while :; do /bin/true; done", sandbox=sandbox)
        gone = [self.spawn("true", sandbox=sandbox) for _ in range(50)]
        for process in gone:
            self.wait(process)
        for _ in range(20):
            for process in gone:
                self.refused(Code.FAILED_PRECONDITION, "has exited", self.stub.Signal,
                             pb.SignalRequest(process_id=process, signal="USR1",
                                              scope=pb.SIGNAL_SCOPE_TREE), timeout=T)
        # The control: the witness does hear what is meant for it, and that alone.
        self.stub.Signal(pb.SignalRequest(process_id=witness, signal="USR1"), timeout=T)
        while b"hit" not in (data := next(reader).output.data):
            pass
        self.kill(storm)
        self.kill(witness)
        rest = b"".join(m.output.data for m in reader)
        self.assertEqual((data + rest).count(b"hit"), 1)


class Workloads(Hostile):
    def test_fork_bomb_while_it_is_killed(self):
        marker = f"79{os.getpid()}"
        sandbox = self.sandbox(resources={"pids_max": 64})
        # A shell ends where it cannot fork, and its bomb with it; this one goes on until it is killed.
        bomb = self.spawn("/usr/bin/python3", "-c", FORK_BOMB, marker, sandbox=sandbox)
        harness.wait_until(lambda: self.usage(sandbox).pids > 30, "it has grown")
        self.assertLessEqual(self.usage(sandbox).pids, 64)
        self.stub.GetInfo(pb.GetInfoRequest(), timeout=T)
        self.kill(bomb)
        harness.wait_until(lambda: not harness.processes_with(marker), "all of it is dead")
        self.assertEqual(self.wait(self.spawn("true", sandbox=sandbox)).code, 0)

    def usage(self, sandbox):
        return next(self.stub.Stats(pb.StatsRequest(sandbox_id=sandbox), timeout=T))

    def test_kill_of_the_frozen(self):
        sandbox = self.sandbox()
        process = self.spawn("/bin/sleep", "1000", sandbox=sandbox)
        self.stub.Pause(pb.PauseRequest(sandbox_id=sandbox), timeout=T)
        self.assertEqual(self.kill(process).signal, 9)

    def test_two_thousand_daemons(self):
        """Each forked twice, in a session of its own, and ended at once: nobody stays a zombie."""
        sandbox = self.sandbox()
        process = self.shell("i=0; while [ $i -lt 2000 ]; do (setsid sh -c 'exit 0' &) ; i=$((i+1)); "
                             "done; echo done", sandbox=sandbox)
        self.assertEqual(self.wait(process).code, 0)

        def zombies():
            found = []
            for pid in harness.descendants(self.agent.process.pid):
                try:
                    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
                    found += [pid] if text[text.rindex(")") + 2] == "Z" else []
                except OSError:
                    pass
            return found
        harness.wait_until(lambda: not zombies(), "all are reaped")

    def test_text_that_a_terminal_would_obey(self):
        """Control characters of arguments, labels and output: escaped where people read, untouched in streams."""
        evil = "\x1b]0;owned\x07\u202e\x9b31m"
        process = self.spawn("/usr/bin/printf", "%s", evil)
        self.wait(process)
        out = b"".join(m.output.data for m in self.attach(process))
        self.assertEqual(out, evil.encode())
        self.refused(Code.INVALID_ARGUMENT, "control character", self.spawn, "true",
                     labels={"x": evil})
        self.refused(Code.FAILED_PRECONDITION, "exec", self.spawn, "/no/" + evil)
        for arguments in (("ps", "--all"), ("events",), ("inspect", process)):
            done = subprocess.run([harness.BIN / "openshell-agentctl", "-H",
                                   f"unix:{self.agent.socket}", *arguments], capture_output=True,
                                  timeout=T, check=True)
            self.assertIn(b"owned", done.stdout)
            self.assertNotRegex(done.stdout.decode(), OBEYED)
        self.assertNotRegex(self.agent.log_path.read_text(), OBEYED)


class Readers(Hostile):
    """Output that nobody takes, beside somebody who does."""

    NOISE = "head -c 200000000 /dev/zero"

    def consume(self, reader):
        """Returns bytes, and those that were told to be lost."""
        got = lost = 0
        for message in reader:
            got += len(message.output.data)
            lost += message.gap.lost_bytes
        return got, lost

    def stalled(self, process):
        reader = self.attach(process)
        next(reader)  # it has begun, and now nobody reads on
        return reader

    def test_stalled_beside_live(self):
        memory = self.memory_mib()
        process = self.shell(f"read x; {self.NOISE}", stdin=True)
        asleep = [self.stalled(process) for _ in range(5)]
        awake = [self.attach(process) for _ in range(3)]
        results = []
        threads = [threading.Thread(target=lambda r=r: results.append(self.consume(r)))
                   for r in awake]
        for thread in threads:
            thread.start()
        list(self.stub.Attach(iter([
            pb.AttachRequest(start=pb.AttachStart(process_id=process, no_output=True)),
            pb.AttachRequest(stdin=b"go\n"), pb.AttachRequest(stdin_end={})]), timeout=T))
        self.assertEqual(self.wait(process).code, 0)
        for thread in threads:
            thread.join()
        for got, lost in results + [self.consume(reader) for reader in asleep]:
            self.assertEqual(got + lost, 200000000)
        self.assertLess(self.memory_mib() - memory, 100)

    def held(self):
        """A process that is held for a reader which has just stalled."""
        process = self.shell("while :; do head -c 1000000 /dev/zero; done")
        return process, self.stalled(process)

    def test_kill_while_held(self):
        process, reader = self.held()
        self.assertEqual(self.kill(process).signal, 9)
        self.consume(reader)

    def test_reader_that_goes_while_held(self):
        process, reader = self.held()
        reader.cancel()
        before = self.written(process)
        harness.wait_until(lambda: self.written(process) > before + 10000000, "it writes on")
        self.kill(process)

    def written(self, process):
        return self.stub.Get(pb.GetRequest(process_id=process), timeout=T).process.output_bytes

    def test_timeout_while_held(self):
        process = self.shell("while :; do head -c 1000000 /dev/zero; done", timeout={"nanos": 300000000})
        reader = self.stalled(process)
        self.assertEqual(self.wait(process).reason, pb.Exit.REASON_TIMEOUT)
        self.consume(reader)

    def test_pause_and_delete_while_held(self):
        sandbox = self.sandbox()
        process = self.shell("while :; do head -c 1000000 /dev/zero; done", sandbox=sandbox)
        reader = self.stalled(process)
        self.stub.Pause(pb.PauseRequest(sandbox_id=sandbox), timeout=T)
        time.sleep(0.1)  # not to wait for anything: it may be held or let go, both are fine
        self.stub.Resume(pb.ResumeRequest(sandbox_id=sandbox), timeout=T)
        self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=sandbox), timeout=T)
        self.assertEqual(self.wait(process).reason, pb.Exit.REASON_SANDBOX_LOST)
        self.consume(reader)

    def test_fifty_readers(self):
        process = self.shell("read x; head -c 3000000 /dev/zero", stdin=True)
        results = []
        threads = [threading.Thread(target=lambda r=self.attach(process): results.append(
            self.consume(r))) for _ in range(50)]
        for thread in threads:
            thread.start()
        list(self.stub.Attach(iter([
            pb.AttachRequest(start=pb.AttachStart(process_id=process, no_output=True)),
            pb.AttachRequest(stdin=b"go\n"), pb.AttachRequest(stdin_end={})]), timeout=T))
        for thread in threads:
            thread.join()
        self.assertEqual([got + lost for got, lost in results], [3000000] * 50)


class DrainWhileHeld(Hostile):
    def test_drain(self):
        process = self.shell("while :; do head -c 1000000 /dev/zero; done")
        reader = self.attach(process)
        next(reader)
        reply = self.stub.Drain(pb.DrainRequest(timeout={"nanos": 100000000}), timeout=T)
        self.assertEqual((reply.ended, reply.killed), (0, 1))
        for _ in reader:
            pass


if __name__ == "__main__":
    harness.main()
