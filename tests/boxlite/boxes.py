# SPDX-License-Identifier: Apache-2.0
"""Boxes and executions of the double, and their WebSocket."""
import asyncio
import codecs
import collections
import fcntl
import json
import os
import pty
import secrets
import signal
import socket
import struct
import termios
import time
import uuid

import faults
import guest
import wire

SIGNALS = {1, 2, 3, 6, 10, 12, 15, 28}
CHUNK_BYTES = 1024
BACKLOG_BYTES = 256 << 10
QUEUE_CHUNKS = 256
STOPPED = "container is not running: init exited"
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Stream:
    """Output of one stream: decoded, kept for replay, and queued for the client."""

    def __init__(self, channel):
        self.channel = channel
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.backlog = collections.deque()
        self.backlog_bytes = 0
        self.total = 0

    def take(self, data, final=False):
        encoded = self.decoder.decode(data, final).encode()
        if not encoded:
            return None
        self.backlog.append(encoded)
        self.backlog_bytes += len(encoded)
        self.total += len(encoded)
        while self.backlog_bytes > BACKLOG_BYTES and len(self.backlog) > 1:
            self.backlog_bytes -= len(self.backlog.popleft())
        return bytes([self.channel]) + encoded


class Execution:
    def __init__(self, box, tty):
        self.box = box
        self.id = str(uuid.uuid4())
        self.tty = tty
        self.stdin = -1
        self.streams = {}
        self.open = 0
        self.exit_code = None
        self.finished = asyncio.Event()
        self.started = asyncio.get_running_loop().create_future()
        self.transport = None  # of the attached client
        self.client = None  # queue of the attached client

    def watch(self, fd, channel):
        self.streams[channel] = Stream(channel)
        self.open += 1
        asyncio.get_running_loop().create_task(self.pump(fd, self.streams[channel]))

    async def pump(self, fd, stream):
        loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        ready = asyncio.Event()
        loop.add_reader(fd, ready.set)
        data = b"x"
        while data:
            await ready.wait()
            ready.clear()
            try:
                data = os.read(fd, CHUNK_BYTES)
            except BlockingIOError:
                data = b"x"
                continue
            except OSError:
                data = b""  # a terminal whose last process has gone
            ready.set()
            self.deliver(stream.take(data, final=not data))
            while self.client is not None and self.client.qsize() > QUEUE_CHUNKS // 2 and not self.client.stalled:
                await asyncio.sleep(0.001)
        loop.remove_reader(fd)
        os.close(fd)
        self.open -= 1
        self.settle()

    def deliver(self, message):
        if message is not None and self.client is not None:
            self.client.put_nowait((wire.BINARY, message))

    def settle(self):
        if self.exit_code is None or self.open > 0:
            return
        self.finished.set()
        if self.client is not None:
            self.client.put_nowait(self.exit_frame())

    def exit_frame(self):
        return wire.TEXT, json.dumps({"type": "exit", "exit_code": self.exit_code}).encode()

    def resize(self, rows, columns):
        if not self.tty:
            return False
        fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        return True

    def close_stdin(self):
        if self.stdin >= 0 and self.tty:
            os.write(self.stdin, b"\x04")
        elif self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1


class Box:
    def __init__(self, spec):
        self.id = "".join(secrets.choice(LETTERS) for _ in range(12))
        self.spec = spec
        self.status = "configured"
        self.executions = {}  # that paths find
        self.reported = {}  # that the guest tells about
        self.pid = None
        self.sock = None

    def describe(self):
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000000+00:00", time.gmtime())
        rootfs = self.spec.get("rootfs_path")
        return {"box_id": self.id, "name": self.spec.get("name"), "status": self.status,
                "created_at": now, "updated_at": now, "pid": self.pid,
                "image": f"rootfs:{rootfs}" if rootfs else self.spec.get("image", "alpine:latest"),
                "cpus": self.spec.get("cpus", 1), "memory_mib": self.spec.get("memory_mib", 1024),
                "labels": {}, "auto_stop": 0, "auto_delete": 0, "auto_resume": True,
                "network": self.spec.get("network", {})}

    def environment(self):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"} | self.spec.get("env", {})

    def start(self):
        argv = (self.spec.get("entrypoint") or []) + (self.spec.get("cmd") or [])
        main = {"argv": argv or ["sleep", "infinity"], "cwd": "/", "env": self.environment()}
        more = self.spec.get("advanced", {}).get("capabilities", {}).get("add", [])
        self.pid, self.sock = guest.boot(main, guest.capabilities(more))
        self.sock.setblocking(False)
        self.status = "running"
        asyncio.get_running_loop().add_reader(self.sock, self.on_report)

    def on_report(self):
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone()
            return
        report = json.loads(data)
        execution = self.reported.get(report["id"])
        if execution is None:
            return
        if "started" in report:
            execution.started.set_result(report["problem"])
        else:
            execution.exit_code = report["exit"]
            execution.settle()

    def gone(self):
        if self.sock is None:
            return
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()
        self.sock = None
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.status = "stopped"
        for execution in self.reported.values():
            if not execution.started.done():
                execution.started.set_result(STOPPED)
            if execution.exit_code is None:
                execution.exit_code = -9
                execution.settle()

    async def stop(self):
        self.gone()

    async def execute(self, spec):
        execution = Execution(self, spec.get("tty", False))
        env = self.environment() | spec.get("env", {})
        request = {"op": "exec", "id": execution.id, "argv": [spec["command"], *spec.get("args", [])],
                   "env": env, "cwd": spec.get("working_dir") or self.spec.get("working_dir") or "/",
                   "tty": execution.tty}
        if execution.tty:
            master, slave = pty.openpty()
            theirs = [slave, slave, slave]
            execution.stdin, outputs = os.dup(master), [(master, 1)]
        else:
            (stdin, execution.stdin), (out, out_write), (err, err_write) = os.pipe(), os.pipe(), os.pipe()
            theirs, outputs = [stdin, out_write, err_write], [(out, 1), (err, 2)]
            os.set_blocking(execution.stdin, False)
        socket.send_fds(self.sock, [json.dumps(request).encode()], theirs)
        for fd in set(theirs):
            os.close(fd)
        self.executions[execution.id] = self.reported[execution.id] = execution
        for fd, channel in outputs:
            execution.watch(fd, channel)
        problem = await execution.started
        if problem:
            del self.executions[execution.id], self.reported[execution.id]
            return None, problem
        return execution, ""

    def signal(self, execution, number):
        if self.sock is not None:
            self.sock.send(json.dumps({"op": "signal", "id": execution.id, "signal": number}).encode())


class Client(asyncio.Queue):
    stalled = False


async def write_stdin(execution, data):
    """Queued without a bound, as the real one does it; here simply until the pipe takes it."""
    while data and execution.stdin >= 0:
        try:
            data = data[os.write(execution.stdin, data):]
        except BlockingIOError:
            await asyncio.sleep(0.002)
        except OSError:
            return


async def receive(execution, reader, queue, inputs):
    try:
        while True:
            opcode, payload = await wire.read_frame(reader)
            if opcode == wire.BINARY:
                inputs.put_nowait(payload)
            elif opcode == wire.PING:
                queue.put_nowait((wire.PONG, payload))
            elif opcode == wire.CLOSE:
                queue.put_nowait((wire.CLOSE, payload[:2]))
                return
            elif opcode == wire.TEXT:
                control(execution, json.loads(payload), queue, inputs)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        queue.put_nowait(None)


def control(execution, message, queue, inputs):
    if message.get("type") == "stdin_eof":
        inputs.put_nowait(None)
    elif message.get("type") == "resize" and execution.resize(message["rows"], message["cols"]):
        pass
    elif message.get("type") == "signal" and message.get("sig") in SIGNALS:
        execution.box.signal(execution, message["sig"])
    else:
        error = {"type": "error", "message": f"rejected: {message}"}
        queue.put_nowait((wire.TEXT, json.dumps(error).encode()))


async def feed(execution, inputs):
    while (data := await inputs.get()) is not None:
        await write_stdin(execution, data)
    execution.close_stdin()


async def attach(request, execution, reader, writer, fault):
    if "sec-websocket-key" not in request.headers:
        return wire.text(400, "`Connection` header did not include 'upgrade'")
    if execution.client is not None:
        error = {"message": "another client is attached", "type": "InvalidStateError", "code": "invalid_state"}
        return wire.Reply(409, {"error": error})
    queue = execution.client = Client()
    execution.transport = writer.transport
    queue.put_nowait((wire.PING, b""))
    for stream in execution.streams.values():
        for chunk in stream.backlog:
            queue.put_nowait((wire.BINARY, bytes([stream.channel]) + chunk))
    if execution.finished.is_set():
        queue.put_nowait(execution.exit_frame())
    accept = wire.accept_key(request.headers["sec-websocket-key"])
    writer.write(wire.Reply(101, headers={"Upgrade": "websocket", "Connection": "Upgrade",
                                          "Sec-WebSocket-Accept": accept}).head())
    inputs = asyncio.Queue()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(receive(execution, reader, queue, inputs)), loop.create_task(feed(execution, inputs))]
    try:
        while (message := await queue.get()) is not None:
            opcode, payload = message
            if fault and await faults.in_stream(fault, opcode, payload, writer):
                break
            writer.write(wire.frame(opcode, payload))
            queue.stalled = True
            await writer.drain()
            queue.stalled = False
            if opcode == wire.CLOSE:
                break
            if opcode == wire.TEXT and b'"exit"' in payload:
                writer.write(wire.frame(wire.CLOSE, b""))
                await asyncio.wait(tasks[:1], timeout=5)
                break
    finally:
        execution.client = execution.transport = None
        for task in tasks:
            task.cancel()
    return None
