# SPDX-License-Identifier: Apache-2.0
"""What the agent adds to a BoxLite server, over the double of one: the double's own pace is in both."""
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
DOUBLE = SOURCE / "tests/boxlite/double.py"
KEY = "bench-key"


class Raw:
    """The server's API by itself, as little code as can be."""

    def __init__(self, port):
        self.port = port

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
        reply = connection.getresponse().read()
        connection.close()
        return json.loads(reply or b"null")

    def box(self, name):
        box = self.call("POST", "/v1/boxes", {"name": name, "cmd": ["sleep", "100000"]})["box_id"]
        self.call("POST", f"/v1/boxes/{box}/start")
        return box

    def run(self, box, *argv):
        """Exec, attach, read to the exit; returns the bytes of output."""
        execution = self.call("POST", f"/v1/boxes/{box}/exec", {"command": argv[0], "args": argv[1:]})["execution_id"]
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            key = base64.b64encode(os.urandom(16)).decode()
            link.sendall(f"GET /v1/boxes/{box}/executions/{execution}/attach HTTP/1.1\r\nHost: x\r\n"
                         f"Authorization: Bearer {KEY}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
            stream = link.makefile("rb")
            while stream.readline().strip():
                pass
            total = 0
            while True:
                first, second = stream.read(2)
                length = second & 127
                if length == 126:
                    length = int.from_bytes(stream.read(2), "big")
                elif length == 127:
                    length = int.from_bytes(stream.read(8), "big")
                payload = stream.read(length)
                if first & 15 == 1 and json.loads(payload)["type"] == "exit":
                    return total
                if first & 15 == 2:
                    total += length - 1


def timed(call, count):
    times = []
    for _ in range(count):
        begin = time.monotonic_ns()
        call()
        times.append(time.monotonic_ns() - begin)
    return times


def start_double():
    double = subprocess.Popen([sys.executable, DOUBLE, "--api-key", KEY], stdout=subprocess.PIPE, text=True)
    return double, int(double.stdout.readline())


def spawns(bench, client, raw, percentile):
    box = raw.box("raw")
    direct = timed(lambda: raw.run(box, "true"), 200)
    agent = bench.spawn_times(*client, "spawn", 200, 1, "one", "/bin/true", count=200)
    floor = percentile(direct, 50)
    bench.table("Spawn + Wait of true in a running box", ("way", "p50 ms", "p99 ms", "of the first"),
                [(name, f"{percentile(times, 50) / 1e6:.2f}", f"{percentile(times, 99) / 1e6:.2f}",
                  f"{percentile(times, 50) / floor:.2f}")
                 for name, times in (("the server's exec and attach, by Python", direct), ("the agent", agent))])


def rush(bench, agent, client, percentile, run):
    """Twenty creates at once, and whether anybody waits for them; then a hundred boxes."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        creates = pool.submit(run, *client, "create", 20, 20, "rush")
        asked = []
        while not creates.done():
            asked += bench.spawn_times(*client, "spawn", 20, 1, "one", "/bin/true", count=20)
        twenty = time.monotonic() - begin
        creates.result()
    before = agent.memory_kib()
    run(*client, "create", 80, 8, "more")
    known = len(agent.call("ListSandboxes", {}).get("sandboxes", []))
    each = (agent.memory_kib() - before) / 80
    bench.note(f"20 creates at once took {twenty:.2f} s; meanwhile Spawn + Wait in another box took "
               f"{percentile(asked, 50) / 1e6:.2f} ms (p50) and {max(asked) / 1e6:.1f} ms (longest of {len(asked)}). "
               f"With {known} sandboxes known, the agent has {each:.0f} KiB for each box.")


def measure(bench, percentile, run):
    double, port = start_double()
    key = bench.folder / "boxlite-key"
    key.write_text(KEY)
    try:
        with bench.agent("--runtime", "boxlite", "--boxlite-url", f"http://127.0.0.1:{port}",
                         "--boxlite-key-file", key, core=None) as agent:
            raw, client = Raw(port), (bench_client(), agent.socket)
            agent.call("CreateSandbox", {"sandbox_id": "one"})
            spawns(bench, client, raw, percentile)
            rush(bench, agent, client, percentile, run)
    finally:
        double.terminate()
        double.wait()


def bench_client():
    return SOURCE / "build/bench/bin/bench_client"
