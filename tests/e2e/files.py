#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Copies and forwarded ports by an independent client: against Python's and GNU's tar what goes in comes
out; what breaks off on the way leaves nothing; each direction of a connection ends by itself."""
import concurrent.futures
import io
import os
import pathlib
import subprocess
import tarfile
import threading
import time

import harness
from python_client import Code, PATIENCE, Stub, WithAgent, pb

import grpc  # after python_client, which finds it

LONG = "long name " * 20  # 200 bytes: more than ustar's name field
DEEP = "/".join(["directory"] * 30)


def make_tar(fmt, entries):
    """entries: (name, content or None, attributes of TarInfo)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=fmt) as tar:
        for name, content, attributes in entries:
            entry = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(entry, key, value)
            entry.size = len(content or b"")
            tar.addfile(entry, io.BytesIO(content or b""))
    return archive.getvalue()


TREE = [
    ("t", None, {"type": tarfile.DIRTYPE, "mode": 0o750, "mtime": 1000}),
    ("t/empty", None, {"type": tarfile.DIRTYPE, "mode": 0o555, "mtime": 2000}),
    ("t/file", b"content\n", {"mode": 0o640, "mtime": 3000}),
    ("t/nothing", b"", {"mode": 0o600}),
    ("t/" + LONG, b"x" * 70_000, {"mode": 0o644}),
    ("t/" + DEEP, None, {"type": tarfile.DIRTYPE, "mode": 0o755}),
    ("t/" + DEEP + "/ünïcode", b"deep", {"mode": 0o644}),
    ("t/link", None, {"type": tarfile.SYMTYPE, "linkname": "file", "mode": 0o777}),
    ("t/far", None, {"type": tarfile.SYMTYPE, "linkname": "/" + "far/" * 60, "mode": 0o777}),
    ("t/second", None, {"type": tarfile.LNKTYPE, "linkname": "t/file", "mode": 0o640}),
]


class Copies(WithAgent):
    def setUp(self):
        self.need("copy")
        self.box = self.create().sandbox_id

    def requests(self, data, path="/tmp", piece=50_000, box=None):
        yield pb.CopyInRequest(start=pb.CopyInStart(sandbox_id=box or self.box, path=path))
        for at in range(0, len(data), piece):
            yield pb.CopyInRequest(data=data[at:at + piece])

    def copy_in(self, data, **options):
        return self.stub.CopyIn(self.requests(data, **options), timeout=PATIENCE)

    def copy_out(self, path):
        return b"".join(m.data for m in self.stub.CopyOut(
            pb.CopyOutRequest(sandbox_id=self.box, path=path), timeout=PATIENCE))

    def copy_refused(self, code, text, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual((error.code(), text in error.details()), (code, True),
                         f"{error.code()}: {error.details()} (expected {code}: … {text} …)")

    def copiers(self):
        """Copiers below this test's agent."""
        parents = {}
        found = set()
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                head, _, tail = entry.read_text().rpartition(")")
            except OSError:
                continue
            pid = int(entry.parent.name)
            parents[pid] = int(tail.split()[1])
            if head.endswith("(openshell-copy"):
                found.add(pid)

        def ours(pid):
            while pid > 1 and pid != self.agent.process.pid:
                pid = parents.get(pid, 0)
            return pid == self.agent.process.pid

        return {pid for pid in found if ours(pid)}

    def no_copiers(self):
        harness.wait_until(lambda: not self.copiers(), "no copier is left")

    def test_round_trip(self):
        for fmt in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            data = make_tar(fmt, TREE)
            self.assertEqual(self.copy_in(data).bytes, len(data))
            back = self.copy_out("/tmp/t")
            listing = subprocess.run(["tar", "-tf", "-"], input=back, capture_output=True, check=True)
            self.assertEqual(listing.stderr, b"")
            with tarfile.open(fileobj=io.BytesIO(back)) as tar:
                seen = {m.name: m for m in tar.getmembers()}
                implied = {"t/" + "/".join(["directory"] * n) for n in range(1, 30)}
                self.assertEqual(set(seen), {name for name, _, _ in TREE} | implied)
                for name, content, attributes in TREE:
                    got = seen[name]
                    if name in ("t/file", "t/second"):
                        continue
                    self.assertEqual(got.type, attributes.get("type", tarfile.REGTYPE), name)
                    self.assertEqual(got.linkname, attributes.get("linkname", ""), name)
                    self.assertEqual(got.mode, attributes["mode"], name)
                    if content is not None:
                        self.assertEqual(tar.extractfile(got).read(), content)
                # Which of two names of a file comes first is the file system's affair.
                pair = [seen["t/file"], seen["t/second"]]
                self.assertEqual(sorted(m.type for m in pair), [tarfile.REGTYPE, tarfile.LNKTYPE])
                self.assertEqual({m.mtime for m in pair}, {3000})
                self.assertEqual(tar.extractfile(pair[0]).read(), b"content\n")
                self.assertEqual(seen["t/empty"].mtime, 2000)

    def test_codes(self):
        good = make_tar(tarfile.PAX_FORMAT, [("f", b"x", {})])
        cases = [
            (Code.NOT_FOUND, "No such file", lambda: self.copy_in(good, path="/tmp/none")),
            (Code.FAILED_PRECONDITION, "Not a directory",
             lambda: self.copy_in(good, path="/usr/bin/env")),
            (Code.PERMISSION_DENIED, "'f' cannot be made", lambda: self.copy_in(good, path="/usr")),
            (Code.INVALID_ARGUMENT, "path", lambda: self.copy_in(good, path="tmp")),
            (Code.INVALID_ARGUMENT, "not a tar archive", lambda: self.copy_in(b"#" * 4096)),
            (Code.INVALID_ARGUMENT, "missing", lambda: self.copy_in(good[:600])),
            (Code.INVALID_ARGUMENT, "missing", lambda: self.copy_in(b"")),
            (Code.INVALID_ARGUMENT, "has a '..'", lambda: self.copy_in(
                make_tar(tarfile.PAX_FORMAT, [("../f", b"x", {})]))),
            (Code.NOT_FOUND, "none", lambda: self.copy_in(good, box="none")),
            (Code.NOT_FOUND, "No such file", lambda: self.copy_out("/tmp/none")),
            (Code.FAILED_PRECONDITION, "is a device", lambda: self.copy_out("/dev/null")),
        ]
        for code, text, call in cases:
            self.copy_refused(code, text, call)
        self.no_copiers()

    def test_cancel(self):
        data = make_tar(tarfile.PAX_FORMAT, [("big", b"x" * 3_000_000, {})])

        def half():
            yield from self.requests(data[:1_000_000])
            while True:
                time.sleep(3600)

        call = self.stub.CopyIn.future(half(), timeout=PATIENCE)
        harness.wait_until(self.copiers, "the copier runs")
        call.cancel()
        self.no_copiers()
        stream = self.stub.CopyOut(pb.CopyOutRequest(sandbox_id=self.box, path="/usr"))
        next(stream)
        self.assertTrue(self.copiers())
        stream.cancel()
        self.no_copiers()

    def test_delete_meanwhile(self):
        stream = self.stub.CopyOut(pb.CopyOutRequest(sandbox_id=self.box, path="/usr"))
        next(stream)
        self.delete(self.box)
        self.copy_refused(Code.ABORTED, "the sandbox has ended", lambda: list(stream))
        self.no_copiers()

    def test_slow_reader(self):
        """Neither the agent nor the copier stores what the client does not take."""
        self.run_to_end("truncate", "-s", "300M", "/tmp/large", sandbox=self.box)
        stream = self.stub.CopyOut(pb.CopyOutRequest(sandbox_id=self.box, path="/tmp/large"))
        next(stream)

        def resident():
            status = pathlib.Path(f"/proc/{self.agent.process.pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        before = resident()
        time.sleep(1)
        self.assertLess(resident() - before, 30_000)
        self.assertTrue(self.copiers())
        self.assertGreater(sum(len(m.data) for m in stream), 290 << 20)
        self.no_copiers()

    def test_reader_that_waits(self):
        """The copier has gone, the rest waits in its socket: no reason for the agent to be busy."""
        # How much is under way between client and agent is theirs to choose; one size will fit.
        sizes = range(200_000, 1_500_000, 50_000)
        for size in sizes:
            self.run_to_end("truncate", "-s", str(size), f"/tmp/{size}", sandbox=self.box)
        channel = self.agent.channel(**{"grpc.http2.bdp_probe": 0, "grpc.http2.lookahead_bytes": 65536})
        self.addCleanup(channel.close)
        streams = [Stub(channel).CopyOut(pb.CopyOutRequest(sandbox_id=self.box, path=f"/tmp/{size}"))
                   for size in sizes]
        for stream in streams:
            next(stream)
        time.sleep(0.5)

        def cpu():
            stat = pathlib.Path(f"/proc/{self.agent.process.pid}/stat").read_text()
            return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

        before = cpu()
        time.sleep(1)
        self.assertLess(cpu() - before, 0.3)
        for stream, size in zip(streams, sizes):
            self.assertGreater(sum(len(m.data) for m in stream), size - 100_000)

    def test_many(self):
        content = os.urandom(200_000)

        def one(i):
            data = make_tar(tarfile.PAX_FORMAT, [(f"many/{i}", content, {})])
            self.copy_in(data)
            with tarfile.open(fileobj=io.BytesIO(self.copy_out(f"/tmp/many/{i}"))) as tar:
                return tar.extractfile(str(i)).read() == content

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            self.assertEqual(set(pool.map(one, range(40))), {True})
        self.no_copiers()


class Forwards(WithAgent):
    def serve(self, script):
        """Runs a server in a sandbox that says "up" when it listens on 8123; returns (sandbox, process)."""
        self.need("port_forward")
        box = self.create().sandbox_id
        process = self.spawn("/usr/bin/python3", "-c", "import socket\n"
                             "s = socket.create_server(('127.0.0.1', 8123)); print('up', flush=True)\n"
                             "c, _ = s.accept()\n" + script, sandbox=box).process_id
        stream = self.attach(process)
        for message in stream:
            if b"up" in message.output.data:
                break
        stream.cancel()
        return box, process

    def start(self, box, **more):
        return pb.PortForwardRequest(start=pb.PortForwardStart(sandbox_id=box, port=8123, **more))

    def test_each_direction_ends_by_itself(self):
        box, process = self.serve("c.sendall(b'bye'); c.shutdown(socket.SHUT_WR)\n"
                                  "got = b''\nwhile d := c.recv(65536): got += d\n"
                                  "print(len(got))")
        ended = threading.Event()

        def requests():
            yield self.start(box, half_close=True)
            ended.wait(PATIENCE)
            for _ in range(20):
                yield pb.PortForwardRequest(data=b"x" * 50_000)

        answers = []
        for answer in self.stub.PortForward(requests(), timeout=PATIENCE):
            answers.append(answer)
            if answer.end:
                ended.set()
        self.assertEqual(b"".join(a.data for a in answers), b"bye")
        self.assertEqual([a.end for a in answers], [False] * (len(answers) - 1) + [True])
        self.assertEqual(self.wait(process).code, 0)
        out = b"".join(m.output.data for m in self.attach(process) if m.HasField("output"))
        self.assertEqual(out, b"up\n1000000\n")

    def test_broken_connection_ends_the_call(self):
        box, process = self.serve("c.sendall(b'bye'); c.shutdown(socket.SHUT_WR)\n"
                                  "import struct; c.recv(1)\n"
                                  "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, "
                                  "struct.pack('ii', 1, 0)); c.close()")
        ended = threading.Event()

        def requests():
            yield self.start(box, half_close=True)
            ended.wait(PATIENCE)
            yield pb.PortForwardRequest(data=b"x")
            threading.Event().wait(PATIENCE)  # never half-closed

        for answer in self.stub.PortForward(requests(), timeout=PATIENCE):
            if answer.end:
                ended.set()
        self.assertEqual(self.wait(process).code, 0)


class End(Copies):
    """Each test ends the agent."""

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()

    @classmethod
    def setUpClass(cls):
        cls.arguments = ("--drain-timeout", "1s")
        super().setUpClass()

    test_round_trip = test_codes = test_cancel = test_delete_meanwhile = None
    test_slow_reader = test_reader_that_waits = test_many = None

    def test_term_meanwhile(self):
        stream = self.stub.CopyOut(pb.CopyOutRequest(sandbox_id=self.box, path="/usr"))
        next(stream)
        copier, = self.copiers()
        self.assertEqual(self.agent.stop(), 0)
        with self.assertRaises(grpc.RpcError):
            list(stream)
        self.assertFalse(pathlib.Path(f"/proc/{copier}").exists())

    def delete(self, sandbox_id):
        if self.agent.process.poll() is None:
            super().delete(sandbox_id)


if __name__ == "__main__":
    harness.main()
