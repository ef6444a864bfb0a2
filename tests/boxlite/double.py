#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A double of `boxlite serve`, for tests: the REST and WebSocket surface of 0.10 and 0.11.

Boxes are pid namespaces in which real programs run, so that bytes, exits and signals are real ones;
what the real server does to them (output decoded as UTF-8, exits that wait for strangers on the
pipes, signals for the leader only) is done here, too.

PUT /double/faults takes a list of {"route", "kind", "times", "value"}: how routes misbehave next,
see faults.py; GET /double/state tells what there is; PUT /double/cut and /double/kill end every
attach, every execution. Options: --port, --api-key, --version 0.7 |
0.10.0 | 0.10 | 0.11. Prints the port once it listens.
"""
import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.parse

import boxes
import faults
import guest
import wire
from wire import Reply

ERRORS = {"invalid_argument": (400, "InvalidArgumentError"), "not_found": (404, "NotFoundError"),
          "invalid_state": (409, "InvalidStateError"), "internal": (500, "InternalError"),
          "unauthenticated": (401, "AuthError"), "storage_error": (500, "StorageError"),
          "engine_unavailable": (503, "EngineError")}
CREATE_KEYS = {"name", "image", "rootfs_path", "cpus", "memory_mib", "disk_size_gb", "working_dir", "env",
               "entrypoint", "cmd", "user", "tty", "advanced", "network", "auto_stop", "auto_delete",
               "auto_resume", "detach", "secrets", "volumes"}


def envelope(code, message):
    status, kind = ERRORS[code]
    return Reply(status, {"error": {"message": message, "type": kind, "code": code}})


class Double:
    def __init__(self, options):
        self.options = options
        self.boxes = {}
        self.faults = []
        self.requests = 0
        self.traces = []

    # ---- routes ----

    def config(self, request):
        if self.options.version == "0.7":
            return Reply(200, {"defaults": {"cpus": 2, "memory_mib": 512, "disk_size_gb": 10}})
        flags = ["linux_capabilities", "snapshots", "clone", "export", "import"]
        if self.options.version == "0.11":
            flags.append("exec_user")
        return Reply(200, {"capabilities": {f"{flag}_enabled": True for flag in flags}})

    def me(self, request):
        return Reply(200, {"sub": "local-anonymous", "principal_type": "service_account",
                           "prefix": self.options.prefix or None, "scopes": [], "expires_at": None})

    def images(self, request):
        if self.options.version == "0.10.0":
            return Reply(404)
        return Reply(200, {"images": []})

    def create(self, request):
        try:
            spec = request.json()
        except ValueError as error:
            return wire.text(400, f"Failed to parse the request body as JSON: {error}")
        unknown = set(spec) - CREATE_KEYS
        if unknown:
            return wire.text(422, f"Failed to deserialize: unknown field `{unknown.pop()}`")
        if any(box.spec.get("name") == spec.get("name") for box in self.boxes.values() if spec.get("name")):
            return envelope("invalid_argument", f"box with name '{spec['name']}' already exists")
        cpus = spec.get("cpus", 1)
        if self.options.version == "0.11" and not 1 <= cpus <= 16:
            return envelope("invalid_argument", "cpus must be between 1 and 16")
        if spec.get("volumes"):
            return envelope("invalid_argument", "volumes are not supported")
        box = boxes.Box(spec)
        self.boxes[box.id] = box
        return Reply(201, box.describe())

    def list(self, request):
        return Reply(200, {"boxes": [box.describe() for box in self.boxes.values()]})

    def get(self, request, box):
        return Reply(200, box.describe())

    async def delete(self, request, box):
        force = request.query.get("force", "true")
        if force not in ("true", "false"):
            return wire.text(400, "Failed to deserialize query string: force")
        if force == "false" and box.status == "running":
            return envelope("invalid_state", "box is running")
        del self.boxes[box.id]
        await box.stop()
        return Reply(204)

    async def start(self, request, box):
        if self.options.boot_ms:
            await asyncio.sleep(self.options.boot_ms / 1000)
        if box.status != "running":
            box.start()
        return Reply(200, box.describe())

    async def stop(self, request, box):
        await box.stop()
        return Reply(200, box.describe())

    async def exec(self, request, box):
        spec = request.json()
        if "command" not in spec:
            return wire.text(422, "Failed to deserialize: missing field `command`")
        if box.status != "running":
            return envelope("invalid_state", f"box is {box.status}; start it first")
        if self.options.version != "0.11":
            spec.pop("user", None)
        execution, problem = await box.execute(spec)
        if problem == boxes.STOPPED:
            return envelope("internal", f"internal error: {problem}")
        if execution is None:
            return envelope("internal", f"internal error: spawn_failed: {spec['command']}: {problem}")
        return Reply(201, {"execution_id": execution.id})

    def status(self, request, box, execution):
        answer = {"execution_id": execution.id, "status": "running"}
        if execution.finished.is_set():
            answer |= {"status": "completed", "exit_code": execution.exit_code}
        return Reply(200, answer)

    def kill(self, request, box, execution):
        box.signal(execution, signal.SIGKILL)
        del box.executions[execution.id]
        return Reply(204)

    def signal(self, request, box, execution):
        number = request.json()["signal"]
        if number not in boxes.SIGNALS:
            return envelope("invalid_argument", f"signal {number} is not allowed")
        if execution.exit_code is not None:
            return envelope("internal", "no such process")
        box.signal(execution, number)
        return Reply(204)

    def resize(self, request, box, execution):
        size = request.json()
        if not execution.resize(size["rows"], size["cols"]):
            return envelope("internal", "not a terminal")
        return Reply(204)

    # ---- finding them ----

    def find_box(self, name):
        if name in self.boxes:
            return self.boxes[name]
        return next((box for box in self.boxes.values() if box.spec.get("name") == name), None)

    def route(self, request):
        """(name, handler arguments) of a request; a Reply when there is nothing for it."""
        parts = request.path.strip("/").split("/")
        base = ["v1", "local"] if self.options.version == "0.7" else ["v1"]
        plain = {"/v1/config": "config", "/v1/me": "me"}.get(request.path)
        if plain and request.method == "GET":
            return plain, ()
        if self.options.prefix:
            base += self.options.prefix.split("/")
        if parts[:len(base)] != base or request.path.endswith("/"):
            return Reply(404)
        parts = parts[len(base):]
        names = {("GET", 0): "list", ("POST", 0): "create", ("GET", 1): "get", ("DELETE", 1): "delete"}
        if parts == ["images"] and request.method == "GET":
            return "images", ()
        if not parts or parts[0] != "boxes":
            return Reply(404)
        name = names.get((request.method, len(parts) - 1))
        if len(parts) == 1:
            return (name, ()) if name else Reply(405)
        box = self.find_box(urllib.parse.unquote(parts[1]))
        if box is None:
            return envelope("not_found", f"box not found: {parts[1]}")
        if len(parts) == 3 and request.method == "POST" and parts[2] in ("start", "stop", "exec"):
            name = parts[2]
        if len(parts) < 4:
            return (name, (box,)) if name else Reply(404)
        execution = box.executions.get(parts[3])
        if execution is None or parts[2] != "executions":
            return envelope("not_found", f"execution not found: {parts[3]}")
        if len(parts) == 4:
            name = {"GET": "status", "DELETE": "kill"}.get(request.method)
        elif len(parts) == 5:
            name = {("POST", "signal"): "signal", ("POST", "resize"): "resize",
                    ("GET", "attach"): "attach"}.get((request.method, parts[4]))
        return (name, (box, execution)) if name else Reply(405)

    # ---- connections ----

    def authorised(self, request):
        given = request.headers.get("authorization", "")
        return not self.options.api_key or request.path == "/v1/config" or given in (
            f"Bearer {self.options.api_key}", f"bearer {self.options.api_key}")

    def control(self, request):
        if request.path == "/double/faults":
            self.faults = [dict(fault) for fault in request.json()]
            return Reply(204)
        executions = [e for box in self.boxes.values() for e in box.executions.values()]
        if request.path == "/double/cut":
            for execution in executions:
                if execution.transport is not None:
                    execution.transport.abort()
            return Reply(204)
        if request.path == "/double/kill":
            for execution in executions:
                execution.box.signal(execution, signal.SIGKILL)
            return Reply(204)
        running = sum(len(box.executions) for box in self.boxes.values())
        return Reply(200, {"boxes": [box.spec for box in self.boxes.values()], "executions": running,
                           "requests": self.requests, "traces": self.traces})

    async def answer(self, request, reader, writer):
        if request.path.startswith("/double/"):
            return self.control(request)
        self.requests += 1
        if not self.authorised(request):
            return envelope("unauthenticated", "invalid or missing API key")
        found = self.route(request)
        if isinstance(found, Reply):
            return found
        name, arguments = found
        if "traceparent" in request.headers:
            self.traces.append((name, request.headers["traceparent"], request.headers.get("tracestate")))
        fault = faults.take(self.faults, name)
        if fault and not faults.is_late(fault):
            return await faults.misbehave(fault, request, writer)
        if name == "attach":
            return await boxes.attach(request, arguments[1], reader, writer, fault)
        if name in ("create", "exec", "signal", "resize") and not request.headers.get(
                "content-type", "").startswith("application/json"):
            return wire.text(415, "Expected request with `Content-Type: application/json`")
        reply = getattr(self, name)(request, *arguments)
        if asyncio.iscoroutine(reply):
            reply = await reply
        return await faults.spoil(fault, reply, request, writer) if fault else reply

    async def connection(self, reader, writer):
        try:
            while True:
                try:
                    request = await wire.read_request(reader, writer)
                except wire.TooLarge:
                    writer.write(wire.text(413, "length limit exceeded").head() + b"length limit exceeded")
                    break
                if request is None:
                    break
                reply = await self.answer(request, reader, writer)
                if reply is None:
                    break  # the handler has used the connection up
                writer.write(reply.head() + (reply.body or b""))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", nargs="?", choices=["serve"], help="as of boxlite: the host's alias is here")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key", default=os.environ.get("BOXLITE_SERVE_API_KEY", ""))
    parser.add_argument("--version", default="0.10")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--boot-ms", type=int, default=0)
    options = parser.parse_args()
    if not guest.possible():
        print("no pid namespace can be made here", file=sys.stderr)
        os._exit(77)
    if options.command and [name for _, name in socket.if_nameindex()] == ["lo"]:
        # Boxes of the double share its network, where a real one's gateway knows this address.
        subprocess.run(["ip", "address", "add", "192.168.127.254/32", "dev", "lo"], check=False)
    double = Double(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(double.connection, options.host, options.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    for box in list(double.boxes.values()):
        await box.stop()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
