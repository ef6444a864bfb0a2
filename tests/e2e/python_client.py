#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent client: Python's gRPC with code that it generates from our .proto by itself."""
import concurrent.futures
import io
import os
import tarfile
import threading
import tempfile
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, Status = harness.stubs()
from google.protobuf.duration_pb2 import Duration  # noqa: E402

Code = grpc.StatusCode
PATIENCE = harness.PATIENCE_S


def seconds(value):
    return Duration(seconds=int(value), nanos=round(value % 1 * 1e9))


def detail(error):
    """The ErrorDetail that came with an error."""
    trailers = dict(error.trailing_metadata())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    found = pb.ErrorDetail()
    assert status.details[0].Unpack(found), status
    assert status.code == error.code().value[0]
    return found


class WithAgent(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.agent = harness.Agent(*cls.arguments, env={"AGENT_SECRET": "hunter2"})
        cls.channel = cls.agent.channel()
        cls.stub = Stub(cls.channel)
        info = cls.stub.GetInfo(pb.GetInfoRequest(), timeout=PATIENCE)
        cls.capabilities = {name for r in info.runtimes if r.kind == pb.RUNTIME_KIND_PROCESS
                            for name in r.capabilities}

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        status = cls.agent.stop()
        assert status == 0, f"the agent ended with {status}:\n{cls.agent.last_log}"

    def call(self, method, request):
        return getattr(self.stub, method)(request, timeout=PATIENCE)

    def need(self, *capabilities):
        missing = set(capabilities) - self.capabilities
        if missing:
            self.skipTest(f"the process backend lacks {', '.join(sorted(missing))} here")

    def spawn(self, *argv, sandbox="", key="", **spec):
        spec.setdefault("env", {"PATH": "/usr/bin:/bin"})
        return self.call("Spawn", pb.SpawnRequest(
            sandbox_id=sandbox, idempotency_key=key, spec=pb.ProcessSpec(argv=argv, **spec)))

    def wait(self, process_id):
        return self.call("Wait", pb.WaitRequest(process_id=process_id)).exit

    def run_to_end(self, *argv, **spec):
        """Spawn, read all output, wait. Returns (exit, stdout, stderr)."""
        process_id = self.spawn(*argv, **spec).process_id
        out = {pb.OUTPUT_STREAM_STDOUT: b"", pb.OUTPUT_STREAM_STDERR: b""}
        for message in self.attach(process_id):
            if message.HasField("output"):
                out[message.output.stream] += message.output.data
        return self.wait(process_id), *out.values()

    def attach(self, process_id, *more, **start):
        start.setdefault("follow", True)
        first = pb.AttachRequest(start=pb.AttachStart(process_id=process_id, **start))
        return self.stub.Attach(iter([first, *more]), timeout=PATIENCE)

    def create(self, **spec):
        sandbox = self.call("CreateSandbox", pb.CreateSandboxRequest(spec=pb.SandboxSpec(**spec)))
        self.addCleanup(self.delete, sandbox.sandbox.sandbox_id)
        return sandbox.sandbox

    def delete(self, sandbox_id):
        try:
            self.call("DeleteSandbox", pb.DeleteSandboxRequest(sandbox_id=sandbox_id))
        except grpc.RpcError as error:
            if error.code() != Code.NOT_FOUND:
                raise

    def refused(self, code, text, method, request):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call(method, request)
        error = caught.exception
        self.assertEqual((error.code(), text in error.details()), (code, True),
                         f"{error.code()}: {error.details()} (expected {code}: … {text} …)")
        # What the codec refuses before it knows the method's messages has no details.
        return detail(error) if any(k == "grpc-status-details-bin"
                                    for k, _ in error.trailing_metadata()) else None


class Info(WithAgent):
    def test_info(self):
        info = self.call("GetInfo", pb.GetInfoRequest())
        self.assertRegex(info.instance_id, r"^[0-9a-z-]{8,}$")
        self.assertRegex(info.version, r"^\d+\.\d+\.\d+")
        self.assertEqual(info.api_version, "v1")
        self.assertEqual(info.runtime_kind, pb.RUNTIME_KIND_PROCESS)
        process = [r for r in info.runtimes if r.kind == pb.RUNTIME_KIND_PROCESS]
        self.assertEqual(len(process), 1)
        self.assertTrue(process[0].available, process[0].unavailable_reason)
        self.assertGreaterEqual(process[0].isolation.level, pb.ISOLATION_LEVEL_RESTRICTED)
        self.assertEqual(info.host.cpus, os.cpu_count())
        self.assertEqual(info.host.kernel, os.uname().release)
        self.assertEqual(info.host.memory_bytes,
                         os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self.assertFalse(info.draining)

    def test_reserved_and_unknown_kinds(self):
        self.refused(Code.INVALID_ARGUMENT, "runtime", "Spawn", pb.SpawnRequest(
            spec=pb.ProcessSpec(argv=["true"], runtime=77)))


class Life(WithAgent):
    def test_exit_codes(self):
        for status in (0, 1, 7, 255):
            end = self.wait(self.spawn("/bin/sh", "-c", f"exit {status}").process_id)
            self.assertEqual((end.reason, end.code, end.signal), (pb.Exit.REASON_EXITED, status, 0))

    def test_signal_exit(self):
        end = self.wait(self.spawn("/bin/sh", "-c", "kill -USR1 $$").process_id)
        self.assertEqual((end.reason, end.code, end.signal, end.signal_name),
                         (pb.Exit.REASON_SIGNALED, 0, 10, "SIGUSR1"))
        self.assertFalse(end.core_dumped)

    def test_reply_of_spawn(self):
        reply = self.spawn("true")
        self.assertNotRegex(reply.process_id, r"^\d*$")
        self.assertEqual(reply.runtime, pb.RUNTIME_KIND_PROCESS)
        self.assertTrue(reply.isolation.no_new_privs)
        self.assertTrue(reply.isolation.capabilities_dropped)
        info = self.call("GetInfo", pb.GetInfoRequest())
        promised, = [r.isolation for r in info.runtimes if r.kind == pb.RUNTIME_KIND_PROCESS]
        self.assertEqual(reply.isolation.level, promised.level)
        self.assertEqual(reply.isolation.namespaces, promised.namespaces)
        self.assertEqual(reply.isolation.seccomp_profile, promised.seccomp_profile)
        if promised.seccomp_profile:  # what a request without one gets, and what it asks for
            self.assertEqual(reply.isolation.seccomp_profile, "default")
            self.assertEqual(self.spawn("true", seccomp_profile="strict").isolation.seccomp_profile,
                             "strict")

    def test_usage(self):
        end = self.wait(self.spawn("/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
                        .process_id)
        self.assertGreater(end.usage.user.ToNanoseconds(), 0)
        self.assertGreaterEqual(end.usage.wall.ToNanoseconds(), 0)
        self.assertGreater(end.usage.peak_memory_bytes, 100_000)

    def test_output_streams_apart(self):
        end, out, err = self.run_to_end("/bin/sh", "-c", "echo to out; echo to err >&2")
        self.assertEqual((end.code, out, err), (0, b"to out\n", b"to err\n"))

    def test_environment_is_the_given_one(self):
        _, out, _ = self.run_to_end("/usr/bin/env", env={"PATH": "/usr/bin", "A": "b=c", "EMPTY": ""})
        names = {line.split(b"=")[0] for line in out.splitlines()}
        self.assertIn(b"A=b=c", out.splitlines())
        self.assertIn(b"EMPTY=", out.splitlines())
        self.assertNotIn(b"AGENT_SECRET", names)

    def test_working_directory(self):
        _, out, _ = self.run_to_end("/bin/pwd", cwd="/usr/bin")
        self.assertEqual(out, b"/usr/bin\n")

    def test_stdin(self):
        process_id = self.spawn("cat", stdin=True).process_id
        end = pb.AttachRequest(stdin_end=pb.StdinEnd())
        data = [pb.AttachRequest(stdin=bytes([i]) * 50_000) for i in range(20)]
        seen = b"".join(m.output.data for m in self.attach(process_id, *data, end))
        self.assertEqual(seen, b"".join(bytes([i]) * 50_000 for i in range(20)))
        self.assertEqual(self.wait(process_id).code, 0)

    def test_no_stdin(self):
        end, out, _ = self.run_to_end("cat")
        self.assertEqual((end.code, out), (0, b""))

    def test_terminal(self):
        process_id = self.spawn("/bin/sh", "-c", "test -t 0 && stty size; read line; stty size",
                                tty=pb.Terminal(size=pb.TerminalSize(rows=33, columns=101))).process_id
        seen, go_on = b"", threading.Event()

        def requests():
            yield pb.AttachRequest(start=pb.AttachStart(process_id=process_id, follow=True))
            go_on.wait(PATIENCE)
            yield pb.AttachRequest(resize=pb.TerminalSize(rows=44, columns=55))
            yield pb.AttachRequest(stdin=b"\n")

        for message in self.stub.Attach(requests(), timeout=PATIENCE):
            seen += message.output.data
            if b"33 101\r\n" in seen:
                go_on.set()
        self.assertIn(b"44 55\r\n", seen)

    def test_wait_of_many_and_late(self):
        process_id = self.spawn("/bin/sh", "-c", "read x; exit 5", stdin=True).process_id
        waits = [self.stub.Wait.future(pb.WaitRequest(process_id=process_id), timeout=PATIENCE)
                 for _ in range(20)]
        list(self.attach(process_id, pb.AttachRequest(stdin_end=pb.StdinEnd())))
        exits = [w.result().exit for w in waits] + [self.wait(process_id)]
        self.assertEqual({(e.reason, e.code) for e in exits}, {(pb.Exit.REASON_EXITED, 5)})
        self.assertEqual(len({e.exited_at.ToNanoseconds() for e in exits}), 1)

    def test_wait_does_not_wait_for_the_output(self):
        sandbox = self.create()
        process_id = self.spawn("/bin/sh", "-c", "sleep 3600 & exit 3",
                                sandbox=sandbox.sandbox_id).process_id
        self.assertEqual(self.wait(process_id).code, 3)

    def test_deadline_of_wait_leaves_the_process(self):
        process_id = self.spawn("sleep", "3600").process_id
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Wait(pb.WaitRequest(process_id=process_id), timeout=0.1)
        self.assertEqual(caught.exception.code(), Code.DEADLINE_EXCEEDED)
        state = self.call("Get", pb.GetRequest(process_id=process_id)).process.state
        self.assertEqual(state, pb.Process.STATE_RUNNING)
        self.call("Kill", pb.KillRequest(process_id=process_id, grace=seconds(0)))

    def test_cancelled_attach_leaves_the_process(self):
        process_id = self.spawn("/bin/sh", "-c", "echo ready; read x; exit 4", stdin=True).process_id
        stream = self.attach(process_id)
        self.assertTrue(next(stream).HasField("started"))
        stream.cancel()
        list(self.attach(process_id, pb.AttachRequest(stdin_end=pb.StdinEnd())))
        self.assertEqual(self.wait(process_id).code, 4)

    def test_timeout(self):
        end = self.wait(self.spawn("sleep", "3600", timeout=seconds(0.2)).process_id)
        self.assertEqual((end.reason, end.signal), (pb.Exit.REASON_TIMEOUT, 9))

    def test_late_readers_are_told_what_they_lost(self):
        total, kept = 3_000_000, 65_536
        process_id = self.spawn("head", "-c", str(total), "/dev/zero",
                                output_retain_bytes=kept).process_id
        self.assertEqual(self.wait(process_id).code, 0)
        messages = list(self.attach(process_id))
        self.assertTrue(messages[0].HasField("started"))
        gaps = [m.gap for m in messages if m.HasField("gap")]
        outputs = [m.output for m in messages if m.HasField("output")]
        got = sum(len(o.data) for o in outputs)
        self.assertEqual((len(gaps), gaps[0].offset), (1, 0))
        self.assertEqual(gaps[0].lost_bytes + got, total)
        self.assertLessEqual(got, kept)
        self.assertGreater(got, 0)
        self.assertEqual(outputs[0].offset, gaps[0].lost_bytes)
        process = self.call("Get", pb.GetRequest(process_id=process_id)).process
        self.assertEqual((process.output_bytes, process.output_first), (total, gaps[0].lost_bytes))

    def held(self, process_id):
        return self.call("Get", pb.GetRequest(process_id=process_id)).process.output_held

    def test_output_waits_for_the_first_follower(self):
        for tty in (False, True):
            spec = {"tty": pb.Terminal()} if tty else {}
            process_id = self.spawn("head", "-c", "3000000", "/dev/zero", hold_output=seconds(60),
                                    **spec).process_id
            harness.wait_until(lambda: self.held(process_id), "the output is held")
            list(self.attach(process_id, follow=False))  # who does not follow ends no waiting
            self.assertTrue(self.held(process_id))
            messages = list(self.attach(process_id))
            self.assertEqual([m for m in messages if m.HasField("gap")], [])
            self.assertEqual(sum(len(m.output.data) for m in messages), 3_000_000)
            self.assertFalse(self.held(process_id))
            self.assertEqual(self.wait(process_id).code, 0)

    def test_output_waits_no_longer_than_was_asked_for(self):
        process_id = self.spawn("head", "-c", "3000000", "/dev/zero",
                                hold_output=seconds(0.3)).process_id
        self.assertEqual(self.wait(process_id).code, 0)
        self.assertFalse(self.held(process_id))
        gaps = [m.gap for m in self.attach(process_id) if m.HasField("gap")]
        self.assertEqual(gaps[0].lost_bytes, 3_000_000 - 1_048_576)
        for bad in (seconds(0), seconds(3601)):
            self.refused(Code.INVALID_ARGUMENT, "spec.hold_output", "Spawn", pb.SpawnRequest(
                spec=pb.ProcessSpec(argv=["true"], hold_output=bad)))

    def test_attach_from_an_offset_and_without_follow(self):
        process_id = self.spawn("printf", "0123456789").process_id
        self.wait(process_id)
        list(self.attach(process_id))  # to the end
        messages = list(self.attach(process_id, offset=4, follow=False))
        self.assertEqual(messages[0].started.offset, 4)
        self.assertEqual(b"".join(m.output.data for m in messages), b"456789")


class Signals(WithAgent):
    def sleeper(self, script="exec sleep 3600"):
        process_id = self.spawn("/bin/sh", "-c", f"echo ready; {script}").process_id
        stream = self.attach(process_id)
        for message in stream:
            if b"ready" in message.output.data:
                break
        stream.cancel()
        return process_id

    def test_by_name_and_number(self):
        for name, number in (("TERM", 15), ("SIGHUP", 1), ("10", 10), ("RTMIN+3", 37)):
            process_id = self.sleeper()
            self.call("Signal", pb.SignalRequest(process_id=process_id, signal="0"))
            self.call("Signal", pb.SignalRequest(process_id=process_id, signal=name))
            end = self.wait(process_id)
            self.assertEqual((end.reason, end.signal), (pb.Exit.REASON_SIGNALED, number), name)

    def test_bad_signals(self):
        process_id = self.sleeper()
        for bad in ("", "-1", "65", "SIGNOPE", "TERM ", "15x", "99999999999999999999"):
            got = self.refused(Code.INVALID_ARGUMENT, "signal", "Signal",
                               pb.SignalRequest(process_id=process_id, signal=bad))
            self.assertEqual((got.kind, got.field), (pb.ErrorDetail.KIND_INVALID, "signal"), bad)
        self.call("Kill", pb.KillRequest(process_id=process_id, grace=seconds(0)))

    def test_after_exit(self):
        process_id = self.spawn("true").process_id
        self.wait(process_id)
        self.refused(Code.FAILED_PRECONDITION, "exited", "Signal",
                     pb.SignalRequest(process_id=process_id, signal="TERM"))

    def test_unknown_process(self):
        for method, request in (
            ("Wait", pb.WaitRequest(process_id="no-such")),
            ("Signal", pb.SignalRequest(process_id="no-such", signal="TERM")),
            ("Kill", pb.KillRequest(process_id="no-such")),
            ("Get", pb.GetRequest(process_id="no-such")),
        ):
            self.refused(Code.NOT_FOUND, "no-such", method, request)

    def test_kill_of_the_willing(self):
        end = self.call("Kill", pb.KillRequest(process_id=self.sleeper())).exit
        self.assertEqual((end.reason, end.signal), (pb.Exit.REASON_SIGNALED, 15))

    def test_kill_of_the_unwilling_and_of_escapees(self):
        marker = f"36{os.getpid()}"
        process_id = self.sleeper(
            f"trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep {marker}' & "
            f"(setsid sleep {marker} & ) ; while :; do sleep {marker}; done")
        harness.wait_until(lambda: len(harness.processes_with(f"sleep\0{marker}")) >= 3,
                           "all the sleeps run")
        end = self.call("Kill", pb.KillRequest(process_id=process_id, grace=seconds(0.1))).exit
        self.assertEqual((end.reason, end.signal), (pb.Exit.REASON_SIGNALED, 9))
        self.assertEqual(harness.processes_with(f"sleep\0{marker}"), [])

    def test_kill_of_the_stopped(self):
        process_id = self.sleeper()
        self.call("Signal", pb.SignalRequest(process_id=process_id, signal="STOP"))
        end = self.call("Kill", pb.KillRequest(process_id=process_id, grace=seconds(0))).exit
        self.assertEqual(end.signal, 9)

    def test_kill_after_exit_answers_with_that_exit(self):
        process_id = self.spawn("/bin/sh", "-c", "exit 9").process_id
        self.wait(process_id)
        end = self.call("Kill", pb.KillRequest(process_id=process_id)).exit
        self.assertEqual((end.reason, end.code), (pb.Exit.REASON_EXITED, 9))


class BadSpawns(WithAgent):
    def bad(self, field, text, **spec):
        spec.setdefault("argv", ["true"])
        before = len(self.call("List", pb.ListRequest(include_exited=True)).processes)
        got = self.refused(Code.INVALID_ARGUMENT, text, "Spawn",
                           pb.SpawnRequest(spec=pb.ProcessSpec(**spec)))
        if text != "NUL":  # that is the codec's
            self.assertEqual((got.kind, got.field), (pb.ErrorDetail.KIND_INVALID, field))
        after = len(self.call("List", pb.ListRequest(include_exited=True)).processes)
        self.assertEqual(after, before, "a refused Spawn left a handle")

    def test_argv(self):
        self.bad("spec.argv", "argv", argv=[])
        self.bad("spec.argv", "argv", argv=["", "x"])
        self.bad("spec.argv", "NUL", argv=["true", "a\0b"])
        self.bad("spec.argv", "argv", argv=["true", "x" * 140_000])

    def test_environment(self):
        self.bad("spec.env", "env", env={"A=B": "c"})
        self.bad("spec.env", "env", env={"": "c"})
        self.bad("spec.env.value", "NUL", env={"A": "b\0c"})
        self.bad("spec.env", "OPENSHELL_", env={"OPENSHELL_X": "1"})

    def test_directory_user_and_time(self):
        self.bad("spec.cwd", "absolute", cwd="tmp")
        for user in ("-1", "4294967295", "4294967296", " 0", "0x0", "1000:x y", ":", "a:b:c"):
            self.bad("spec.user", "user", user=user)
        self.bad("spec.timeout", "timeout", timeout=seconds(-1))

    def test_rlimits(self):
        self.bad("spec.rlimits", "nope", rlimits=[pb.Rlimit(type="nope", soft=1, hard=1)])
        self.bad("spec.rlimits", "soft", rlimits=[pb.Rlimit(type="nofile", soft=10, hard=5)])

    def test_what_belongs_to_the_sandbox(self):
        sandbox = self.create()
        for field, value in (("image", "x"), ("root", "/"), ("runtime", pb.RUNTIME_KIND_PROCESS)):
            got = self.refused(Code.INVALID_ARGUMENT, field, "Spawn", pb.SpawnRequest(
                sandbox_id=sandbox.sandbox_id, spec=pb.ProcessSpec(argv=["true"], **{field: value})))
            self.assertEqual(got.field, f"spec.{field}")

    def test_text_that_is_not_utf8(self):
        # SpawnRequest.spec.argv[0] = ff fe; Python's own messages cannot hold it.
        raw = self.channel.unary_unary(f"/{harness.SERVICE}/Spawn")
        with self.assertRaises(grpc.RpcError) as caught:
            raw(b"\x12\x04\x0a\x02\xff\xfe", timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), Code.INVALID_ARGUMENT)
        self.assertIn("UTF-8", caught.exception.details())

    def test_bytes_that_are_no_message(self):
        raw = self.channel.unary_unary(f"/{harness.SERVICE}/Spawn")
        for junk in (b"\x12", b"\x12\xff", b"\xff" * 40, b"\x0b" * 200):
            with self.assertRaises(grpc.RpcError) as caught:
                raw(junk, timeout=PATIENCE)
            self.assertEqual(caught.exception.code(), Code.INVALID_ARGUMENT, junk)

    def test_message_too_large(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.spawn("true", "x" * 5_000_000)
        self.assertEqual(caught.exception.code(), Code.RESOURCE_EXHAUSTED)

    def test_starts_that_fail(self):
        for argv, spec, stage, name in (
            (["/no/such/program"], {}, "exec", "ENOENT"),
            (["no-such-program"], {}, "exec", "ENOENT"),
            (["/etc/passwd"], {}, "exec", "EACCES"),
            (["true"], {"cwd": "/no/such"}, "cwd", "ENOENT"),
        ):
            with self.assertRaises(grpc.RpcError) as caught:
                self.spawn(*argv, **spec)
            got = detail(caught.exception)
            self.assertEqual((got.stage, got.errno_name), (stage, name), f"{argv}: {got}")
            self.assertEqual(caught.exception.code(), Code.FAILED_PRECONDITION)
            self.assertIn((argv[0] if stage == "exec" else "/no/such"), caught.exception.details())

    def test_unknown_user(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.spawn("true", user="no-such-user")
        self.assertIn("no-such-user", caught.exception.details())


class Idempotency(WithAgent):
    def test_same_key(self):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: self.spawn("sleep", "3600", key="k1"), range(100)))
        self.assertEqual(len({r.process_id for r in replies}), 1)
        self.call("Kill", pb.KillRequest(process_id=replies[0].process_id, grace=seconds(0)))
        self.refused(Code.ALREADY_EXISTS, "k1", "Spawn", pb.SpawnRequest(
            idempotency_key="k1", spec=pb.ProcessSpec(argv=["true"])))


class Sandboxes(WithAgent):
    def test_life(self):
        created = self.call("CreateSandbox", pb.CreateSandboxRequest(
            sandbox_id="box-1", spec=pb.SandboxSpec(labels={"team": "blue"}, env={"SHARED": "1"})))
        self.assertEqual(created.sandbox.sandbox_id, "box-1")
        self.assertEqual(created.sandbox.state, pb.Sandbox.STATE_READY)
        self.assertFalse(created.sandbox.ephemeral)
        self.refused(Code.ALREADY_EXISTS, "box-1", "CreateSandbox",
                     pb.CreateSandboxRequest(sandbox_id="box-1"))
        _, out, _ = self.run_to_end("/usr/bin/env", sandbox="box-1")
        self.assertIn(b"SHARED=1", out.splitlines())
        sleeper = self.spawn("sleep", "3600", sandbox="box-1", labels={"a": "b"}).process_id
        listed = self.call("List", pb.ListRequest(sandbox_id="box-1")).processes
        self.assertEqual([p.process_id for p in listed], [sleeper])
        listed = self.call("List", pb.ListRequest(labels={"a": "b"})).processes
        self.assertEqual([p.process_id for p in listed], [sleeper])
        boxes = self.call("ListSandboxes", pb.ListSandboxesRequest(labels={"team": "blue"})).sandboxes
        self.assertEqual([b.sandbox_id for b in boxes], ["box-1"])
        self.assertEqual(
            len(self.call("ListSandboxes", pb.ListSandboxesRequest(labels={"team": "red"})).sandboxes), 0)
        waiting = self.stub.Wait.future(pb.WaitRequest(process_id=sleeper), timeout=PATIENCE)
        self.call("Get", pb.GetRequest(process_id=sleeper))  # the Wait before it has arrived
        self.call("DeleteSandbox", pb.DeleteSandboxRequest(sandbox_id="box-1"))
        self.assertEqual(waiting.result().exit.reason, pb.Exit.REASON_SANDBOX_LOST)
        self.refused(Code.NOT_FOUND, "box-1", "GetSandbox", pb.GetSandboxRequest(sandbox_id="box-1"))
        self.refused(Code.NOT_FOUND, "box-1", "Spawn", pb.SpawnRequest(
            sandbox_id="box-1", spec=pb.ProcessSpec(argv=["true"])))

    def test_bad_names(self):
        for name in ("Upper", "-a", "a-", "a" * 64, "a/b", "..", "a b"):
            self.refused(Code.INVALID_ARGUMENT, "sandbox_id", "CreateSandbox",
                         pb.CreateSandboxRequest(sandbox_id=name))

    def test_files(self):
        self.need("copy")
        sandbox = self.create().sandbox_id
        content = os.urandom(300_000)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("dir/file")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        data = archive.getvalue()

        def requests():
            yield pb.CopyInRequest(start=pb.CopyInStart(sandbox_id=sandbox, path="/tmp"))
            for at in range(0, len(data), 60_000):
                yield pb.CopyInRequest(data=data[at:at + 60_000])

        self.assertEqual(self.stub.CopyIn(requests(), timeout=PATIENCE).bytes, len(data))
        end, out, _ = self.run_to_end("wc", "-c", "/tmp/dir/file", sandbox=sandbox)
        self.assertEqual(out, b"300000 /tmp/dir/file\n")
        back = b"".join(m.data for m in self.stub.CopyOut(
            pb.CopyOutRequest(sandbox_id=sandbox, path="/tmp/dir"), timeout=PATIENCE))
        with tarfile.open(fileobj=io.BytesIO(back)) as tar:
            self.assertEqual(tar.extractfile("dir/file").read(), content)

    def test_port(self):
        self.need("port_forward")
        sandbox = self.create().sandbox_id
        server = ("import socket; s = socket.create_server(('127.0.0.1', 8123)); print('up', flush=True)\n"
                  "c, _ = s.accept()\nwhile d := c.recv(65536): c.sendall(d.upper())")
        process_id = self.spawn("/usr/bin/python3", "-c", server, sandbox=sandbox).process_id
        stream = self.attach(process_id)
        for message in stream:
            if b"up" in message.output.data:
                break
        stream.cancel()

        def requests(port, *data):
            yield pb.PortForwardRequest(start=pb.PortForwardStart(sandbox_id=sandbox, port=port))
            for piece in data:
                yield pb.PortForwardRequest(data=piece)

        answers = list(self.stub.PortForward(requests(8123, b"hello ", b"port"), timeout=PATIENCE))
        self.assertEqual(answers[0].data, b"")
        self.assertEqual(b"".join(a.data for a in answers), b"HELLO PORT")
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.stub.PortForward(requests(1), timeout=PATIENCE))
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)

    def test_pause(self):
        self.need("pause")
        sandbox = self.create().sandbox_id
        for _ in range(2):  # idempotent
            self.call("Pause", pb.PauseRequest(sandbox_id=sandbox))
        state = self.call("GetSandbox", pb.GetSandboxRequest(sandbox_id=sandbox)).sandbox.state
        self.assertEqual(state, pb.Sandbox.STATE_PAUSED)
        for _ in range(2):
            self.call("Resume", pb.ResumeRequest(sandbox_id=sandbox))
        self.assertEqual(self.run_to_end("true", sandbox=sandbox)[0].code, 0)


class Limits(WithAgent):
    MIB = 1 << 20

    def test_out_of_memory(self):
        self.need("memory_limit", "oom")
        reply = self.spawn("/usr/bin/python3", "-c", "x = b'x' * (512 << 20)",
                           resources=pb.Resources(memory_bytes=64 * self.MIB))
        self.assertEqual(reply.effective_resources.memory_bytes, 64 * self.MIB)
        end = self.wait(reply.process_id)
        self.assertEqual((end.reason, end.signal), (pb.Exit.REASON_OOM_KILLED, 9))
        self.assertGreaterEqual(end.oom_kills, 1)

    def test_no_false_out_of_memory(self):
        self.need("memory_limit", "oom")
        end = self.wait(self.spawn("/bin/sh", "-c", "kill -9 $$",
                                   resources=pb.Resources(memory_bytes=64 * self.MIB)).process_id)
        self.assertEqual((end.reason, end.signal, end.oom_kills), (pb.Exit.REASON_SIGNALED, 9, 0))

    def test_process_count(self):
        self.need("pids_limit")
        end, _, err = self.run_to_end(
            "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 3600 & done; echo all",
            resources=pb.Resources(pids_max=5))
        self.assertNotEqual(end.code, 0)
        self.assertIn(b"fork", err.lower())

    def test_stats_and_update(self):
        self.need("stats", "update_resources", "memory_limit")
        sandbox = self.create(resources=pb.Resources(memory_bytes=256 * self.MIB)).sandbox_id
        self.spawn("sleep", "3600", sandbox=sandbox)
        once = list(self.stub.Stats(pb.StatsRequest(sandbox_id=sandbox), timeout=PATIENCE))
        self.assertEqual(len(once), 1)
        self.assertGreater(once[0].memory_bytes, 0)
        self.assertGreaterEqual(once[0].pids, 1)
        self.assertEqual(once[0].limits.memory_bytes, 256 * self.MIB)
        updated = self.call("UpdateResources", pb.UpdateResourcesRequest(
            sandbox_id=sandbox, resources=pb.Resources(memory_bytes=128 * self.MIB)))
        self.assertEqual(updated.effective_resources.memory_bytes, 128 * self.MIB)
        stream = self.stub.Stats(pb.StatsRequest(sandbox_id=sandbox, interval=seconds(0.1)),
                                 timeout=PATIENCE)
        rounds = [next(stream) for _ in range(3)]
        stream.cancel()
        self.assertEqual({r.limits.memory_bytes for r in rounds}, {128 * self.MIB})

    def test_bad_limits(self):
        self.refused(Code.INVALID_ARGUMENT, "memory", "Spawn", pb.SpawnRequest(spec=pb.ProcessSpec(
            argv=["true"], resources=pb.Resources(memory_bytes=1))))


class Events(WithAgent):
    def test_order(self):
        first = self.stub.Events(pb.EventsRequest(follow=True), timeout=PATIENCE)
        process_id = self.spawn("/bin/sh", "-c", "exit 6").process_id
        self.wait(process_id)
        events = list(self.stub.Events(pb.EventsRequest(from_sequence=1), timeout=PATIENCE))
        first.cancel()
        self.assertEqual([e.sequence for e in events], list(range(1, len(events) + 1)))
        mine = [e for e in events if e.process_id == process_id]
        self.assertEqual([e.type for e in mine],
                         [pb.Event.TYPE_PROCESS_STARTED, pb.Event.TYPE_PROCESS_EXITED])
        self.assertEqual(mine[1].exit.code, 6)

    def test_live(self):
        info = self.call("GetInfo", pb.GetInfoRequest())
        stream = self.stub.Events(pb.EventsRequest(from_sequence=1, follow=True), timeout=PATIENCE)
        process_id = self.spawn("true").process_id
        for event in stream:
            self.assertEqual(event.instance_id, info.instance_id)
            if event.process_id == process_id and event.type == pb.Event.TYPE_PROCESS_EXITED:
                break
        stream.cancel()

    def test_from_the_future(self):
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.stub.Events(pb.EventsRequest(from_sequence=1 << 60), timeout=PATIENCE))
        self.assertEqual(caught.exception.code(), Code.OUT_OF_RANGE)


class Probes(unittest.TestCase):
    """As grpc_health_probe and the kubelet ask: Check and Watch, with and without a service's name."""

    @classmethod
    def setUpClass(cls):
        cls.tcp, cls.open = harness.free_port(), harness.free_port()
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-probes-")
        cls.agent = harness.Agent("--listen", f"127.0.0.1:{cls.tcp}", "--health-listen",
                                  f"127.0.0.1:{cls.open}", "--token-file", f"{cls.folder.name}/token")

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.folder.cleanup()

    def channels(self):
        """None of them shows a token."""
        yield self.agent.channel()
        for port in (self.tcp, self.open):
            yield grpc.insecure_channel(f"127.0.0.1:{port}")

    def test_check(self):
        for channel in self.channels():
            with channel:
                check = channel.unary_unary(Draining.HEALTH)
                for service in ("", harness.SERVICE, "grpc.health.v1.Health"):
                    self.assertEqual(check(health_request(service), timeout=PATIENCE), Draining.SERVING)
                with self.assertRaises(grpc.RpcError) as caught:
                    check(health_request("no.such.Service"), timeout=PATIENCE)
                self.assertEqual(caught.exception.code(), Code.NOT_FOUND)
                self.assertEqual(caught.exception.details(),
                                 "this server has no service 'no.such.Service'")

    def test_watch(self):
        for channel in self.channels():
            with channel:
                watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
                known = watch(health_request(harness.SERVICE), timeout=PATIENCE)
                self.assertEqual(next(known), Draining.SERVING)
                unknown = watch(health_request("no.such.Service"), timeout=PATIENCE)
                self.assertEqual(next(unknown), b"\x08\x03")  # SERVICE_UNKNOWN, and it stays open
                known.cancel()
                unknown.cancel()

    def test_nothing_else_at_the_address_for_health(self):
        with grpc.insecure_channel(f"127.0.0.1:{self.open}") as channel:
            with open(f"{self.folder.name}/token") as file:
                metadata = [("authorization", f"Bearer {file.read().strip()}")]
            with self.assertRaises(grpc.RpcError) as caught:
                Stub(channel).GetInfo(pb.GetInfoRequest(), metadata=metadata, timeout=PATIENCE)
            self.assertEqual(caught.exception.code(), Code.UNAUTHENTICATED)
            self.assertIn("this address answers health checks alone", caught.exception.details())


def health_request(service):
    """HealthCheckRequest.service = 1, below 128 bytes."""
    return b"\x0a" + bytes([len(service)]) + service.encode() if service else b""


class Draining(unittest.TestCase):
    HEALTH = "/grpc.health.v1.Health/Check"
    SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse.status

    def setUp(self):
        self.agent = harness.Agent()
        self.addCleanup(self.agent.stop)
        channel = self.agent.channel()
        self.addCleanup(channel.close)
        self.stub = Stub(channel)
        self.health = channel.unary_unary(self.HEALTH)

    def test_drain(self):
        self.assertEqual(self.health(b"", timeout=PATIENCE), self.SERVING)
        sleeper = self.stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
            argv=["/bin/sleep", "3600"])), timeout=PATIENCE).process_id
        waiting = self.stub.Wait.future(pb.WaitRequest(process_id=sleeper), timeout=PATIENCE)
        drained = self.stub.Drain.future(pb.DrainRequest(timeout=seconds(1)), timeout=PATIENCE)
        harness.wait_until(lambda: self.health(b"", timeout=PATIENCE) == self.NOT_SERVING,
                           "health says NOT_SERVING")
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=["/bin/true"])), timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)
        self.assertEqual((drained.result().ended, drained.result().killed), (0, 1))
        self.assertEqual(waiting.result().exit.signal, 9)


class OrdinaryUser(unittest.TestCase):
    """The agent without any privilege of its own."""

    def test_spawn(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        agent = harness.Agent(prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                              owner=65534)
        self.addCleanup(agent.stop)
        channel = agent.channel()
        self.addCleanup(channel.close)
        stub = Stub(channel)
        reply = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=["/usr/bin/id", "-u"])),
                           timeout=PATIENCE)
        self.assertIn(reply.isolation.level,
                      (pb.ISOLATION_LEVEL_RESTRICTED, pb.ISOLATION_LEVEL_ROOTLESS))
        self.assertTrue(reply.isolation.no_new_privs)
        end = stub.Wait(pb.WaitRequest(process_id=reply.process_id), timeout=PATIENCE).exit
        self.assertEqual((end.reason, end.code), (pb.Exit.REASON_EXITED, 0))


if __name__ == "__main__":
    harness.main()
