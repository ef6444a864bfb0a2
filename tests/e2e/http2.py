#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as no library speaks it, from strangers without a token: the agent's memory stays bounded,
whoever floods is cut off, and others are served meanwhile."""
import os
import select
import socket
import ssl
import struct
import tempfile
import time
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# What 300 MB of attack may leave in a process that has 12 MiB; sanitizers take three times as much.
GROWTH_MIB = 200
GET_INFO = "/openshell.agent.v1.SandboxAgent/GetInfo"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def length(n):
    """RFC 7541, 5.1, with a prefix of seven bits."""
    if n < 127:
        return bytes([n])
    out, n = [127], n - 127
    while n >= 128:
        out, n = [*out, n % 128 + 128], n // 128
    return bytes([*out, n])


def literal(name, value, kind=0):
    """A header with a new name; kind 0x40 puts it into the peer's table, too."""
    name, value = name.encode(), value.encode()
    return bytes([kind]) + length(len(name)) + name + length(len(value)) + value


def request_headers(path=GET_INFO):
    pairs = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x",
             "te": "trailers", "content-type": "application/grpc"}
    return b"".join(literal(*pair) for pair in pairs.items())


class Stranger:
    """A connection that sends what it is told and remembers what comes back."""

    WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

    def __init__(self, port, context=None):
        self.socket = socket.create_connection(("127.0.0.1", port))
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.setblocking(False)
        self.got = b""
        self.closed = False
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def read(self):
        """Takes what is there; returns whether the connection still stands."""
        try:
            while not self.closed:
                data = self.socket.recv(65536)
                self.closed = not data
                self.got = (self.got + data)[-1000000:]
        except self.WAIT:
            pass
        except OSError:
            self.closed = True
        return not self.closed

    def send(self, data):
        """Returns whether the connection still stands."""
        end = time.monotonic() + harness.PATIENCE_S
        while self.read() and data and time.monotonic() < end:
            try:
                data = data[self.socket.send(data):]
            except self.WAIT:
                select.select([self.socket], [self.socket], [], 1)
            except OSError:
                self.closed = True
        return not self.closed

    def send_until_closed(self, data, times):
        return any(not self.send(data) for _ in range(times))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Floods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-http2-")
        certificates = harness.Certificates(cls.folder.name)
        cls.token = os.path.join(cls.folder.name, "token")
        cls.port, cls.tls_port = harness.free_port(), harness.free_port()
        cls.plain = harness.Agent("--listen", f"127.0.0.1:{cls.port}", "--token-file", cls.token)
        cls.tls = harness.Agent("--listen", f"127.0.0.1:{cls.tls_port}", "--tls-cert",
                                str(certificates.cert), "--tls-key", str(certificates.key),
                                "--token-file", cls.token)
        cls.context = ssl.create_default_context(cafile=certificates.ca)
        cls.context.set_alpn_protocols(["h2"])

    @classmethod
    def tearDownClass(cls):
        cls.plain.stop()
        cls.tls.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.before = {agent: self.memory_mib(agent) for agent in (self.plain, self.tls)}

    def tearDown(self):
        """The others are served, and what the attack took is bounded."""
        for agent in (self.plain, self.tls):
            with agent.channel() as channel:
                Stub(channel).GetInfo(pb.GetInfoRequest(), timeout=harness.PATIENCE_S)
            self.assertLess(self.memory_mib(agent) - self.before[agent], GROWTH_MIB)

    @staticmethod
    def memory_mib(agent):
        with open(f"/proc/{agent.process.pid}/statm") as file:
            _, resident, of_files = file.read().split()[:3]  # code comes and goes with its use
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE") >> 20

    def doors(self):
        yield self.port, None
        yield self.tls_port, self.context

    def test_control(self):
        """The same frames, well-behaved, are an ordinary call; it lacks a token."""
        for port, context in self.doors():
            with Stranger(port, context) as peer:
                peer.send(frame(HEADERS, 0, 1, request_headers()) +
                          frame(CONTINUATION, END_HEADERS, 1, literal("x-a", "b")) +
                          frame(DATA, END_STREAM, 1, bytes(5)))
                harness.wait_until(lambda: peer.read() and b"grpc-status\x0216" in peer.got, "UNAUTHENTICATED came")
                self.assertFalse(peer.closed)

    def test_headers_that_do_not_end(self):
        for port, context in self.doors():
            for part, times in ((literal("x-a", "b" * 4000) * 4, 20000), (b"", 1000000)):
                with Stranger(port, context) as peer:
                    peer.send(frame(HEADERS, 0, 1, request_headers()))
                    self.assertTrue(peer.send_until_closed(frame(CONTINUATION, 0, 1, part), times))

    def test_header_bomb(self):
        """One large header in the table, and twelve thousand references to it in each call."""
        with Stranger(self.port) as peer:
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                            request_headers() + literal("x-big", "v" * 3900, kind=0x40)))
            for stream in range(3, 203, 2):
                peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream,
                                request_headers() + b"\xbe" * 12000))
            self.assertNotIn(b"grpc-status\x010", peer.got)

    def test_rapid_reset(self):
        """Calls that are reset at once; a new connection does not bring a new allowance."""
        headers, made = request_headers(), 0
        for port, context in self.doors():
            for attempt in range(20):
                with Stranger(port, context) as peer:
                    for stream in range(1, 20001, 2):
                        if not peer.send(frame(HEADERS, END_HEADERS, stream, headers) +
                                         frame(RST_STREAM, 0, stream, struct.pack(">I", 8))):
                            break
                        made += 1
            agent = self.plain if context is None else self.tls
            self.assertIn("resets calls faster than they can be answered", agent.log())
        self.assertGreater(made, 1000)

    def test_resets_that_the_server_makes(self):
        """Frames that are wrong make the server reset the stream, and count no less."""
        with Stranger(self.port) as peer:
            wrong = b"".join(frame(HEADERS, END_HEADERS, s, request_headers()) +
                             frame(WINDOW_UPDATE, 0, s, bytes(4)) for s in range(1, 401, 2))
            self.assertTrue(peer.send_until_closed(wrong, 1000))

    def test_settings_and_pings(self):
        """Each asks for an answer that the peer does not take: it is not read any further, or cut off."""
        for kind, payload in ((SETTINGS, b""), (PING, b"pingpong")):
            peer = socket.create_connection(("127.0.0.1", self.port))
            peer.settimeout(2)
            with self.assertRaises(OSError):
                peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
                for _ in range(100000):
                    peer.sendall(frame(kind, 0, 0, payload) * 1000)
            peer.close()

    def test_windows(self):
        huge = frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2
        too_large = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))
        nothing = frame(WINDOW_UPDATE, 0, 0, bytes(4))
        for wrong in (too_large, nothing):
            with Stranger(self.port) as peer:
                peer.send(wrong)
                harness.wait_until(lambda: not peer.read(), "the connection is cut off")
        with Stranger(self.port) as peer:
            peer.send(huge)  # core clamps it; a window cannot hurt the sender

    def test_messages_that_do_not_end(self):
        """Four megabytes announced and almost sent on each of a hundred streams, without a token."""
        with Stranger(self.port) as peer:
            streams, chunk = range(1, 201, 2), b"a" * 16000
            for stream in streams:
                peer.send(frame(HEADERS, END_HEADERS, stream, request_headers()) +
                          frame(DATA, 0, stream, b"\0" + struct.pack(">I", 4000000)))
            worst = 0
            for _ in range(240):
                for stream in streams:
                    if not peer.send(frame(DATA, 0, stream, chunk)):
                        break
                worst = max(worst, self.memory_mib(self.plain))
            self.assertLess(worst - self.before[self.plain], GROWTH_MIB)

    def test_many_strangers(self):
        """Connections that say nothing take the place of each other, never that of a known one."""
        with open(self.token) as file:
            metadata = [("authorization", f"Bearer {file.read().strip()}")]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = Stub(channel)
            events = stub.Events(pb.EventsRequest(follow=True), metadata=metadata)
            stub.GetInfo(pb.GetInfoRequest(), metadata=metadata, timeout=harness.PATIENCE_S)
            silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(1000)]
            fds = f"/proc/{self.plain.process.pid}/fd"
            harness.wait_until(lambda: len(os.listdir(fds)) < 400, "most of them are gone")
            spawned = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=["/bin/true"])),
                                 metadata=metadata, timeout=harness.PATIENCE_S)
            self.assertTrue(any(e.process_id == spawned.process_id for e in events))
            for one in silent:
                one.close()


if __name__ == "__main__":
    harness.main()
