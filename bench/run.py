#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measure everything in one run and write docs/performance.md: run.py [SECTION…]

Sections: start, spawn, density, unary, stream, policy. Absolute numbers are those of the machine; what is
compared was measured within the same minute, and the ratios are what the project promises. A
comparison that is not installed here, or does not run, is left out and named.
"""
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
BIN, STATIC = SOURCE / "build/bench/bin", SOURCE / "build/static/bin"
SERVICE = "openshell.agent.v1.SandboxAgent"
MIB = 1 << 20


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                          **more).stdout


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Server:
    """A program that serves on a Unix socket, pinned to the first core."""

    def __init__(self, *command, socket):
        self.socket = socket
        self.process = subprocess.Popen(["taskset", "-c", "0", *map(str, command)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not socket.exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"{command[0]} does not serve")
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def memory_kib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1])
        raise RuntimeError("no Rss")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def call(self, method, request):
        return json.loads(run("grpcurl", "-plaintext", "-unix", "-d", json.dumps(request), self.socket,
                              f"{SERVICE}/{method}") or "{}")


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.text = []
        self.left_out = []

    def agent(self, *arguments, binary=BIN):
        socket = self.folder / "agent.sock"
        return Server(binary / "openshell-agent", "serve", "--listen", f"unix:{socket}", "--state-dir",
                      self.folder / "state", "--log-level", "warn", *arguments, socket=socket)

    def table(self, title, header, rows):
        self.text += [f"## {title}", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        self.text += ["| " + " | ".join(map(str, row)) + " |" for row in rows] + [""]
        print("\n".join(self.text[-len(rows) - 5:]), flush=True)

    def note(self, text):
        self.text += [text, ""]

    # ---- sections --------------------------------------------------------------------------

    def start(self):
        rows = []
        for name, binary in (("agent, static", STATIC), ("agent, ordinary", BIN)):
            socket = self.folder / "start.sock"
            samples = [run(BIN / "bench_serving", socket, binary / "openshell-agent", "serve",
                           "--listen", f"unix:{socket}", "--state-dir", self.folder / "state",
                           "--log-level", "error").split() for _ in range(21)]
            served = [int(s[0]) for s in samples]
            rows.append((name, f"{percentile(served, 50) / 1e6:.1f}", f"{percentile(served, 95) / 1e6:.1f}",
                         f"{percentile([int(s[1]) for s in samples], 50) / 1024:.1f}",
                         f"{percentile([int(s[2]) for s in samples], 50) / 1024:.1f}"))
        self.table("From exec to serving", ("program", "p50 ms", "p95 ms", "idle RSS MiB", "idle PSS MiB"),
                   rows)

    def spawn_times(self, *command, count):
        return [int(line) for line in run(*command[:1], *command[1:]).split()][-count:]

    def spawn(self):
        count = 1000
        rows = []

        def add(name, times, floor):
            p50 = percentile(times, 50)
            rows.append((name, f"{p50 / 1e6:.2f}", f"{percentile(times, 99) / 1e6:.2f}",
                         f"{p50 / floor:.1f}"))
            return p50

        floor_times = self.spawn_times(BIN / "bench_spawn", count, "/bin/true", count=count)
        floor = percentile(floor_times, 50)
        add("posix_spawn + waitpid (the floor)", floor_times, floor)
        with self.agent() as agent:
            full = agent.call("CreateSandbox", {"sandbox_id": "full"})["sandbox"]
            agent.call("CreateSandbox", {"sandbox_id": "light", "spec": {
                "min_isolation": "ISOLATION_LEVEL_RESTRICTED"}})

            def ours(sandbox, number):
                return self.spawn_times(BIN / "bench_client", agent.socket, "spawn", number, 1, sandbox,
                                        "/bin/true", count=number)

            ours("full", 50)
            level = full["isolation"]["level"].removeprefix("ISOLATION_LEVEL_").lower()
            add(f"agent, in a sandbox that exists (level {level}), two RPCs", ours("full", count), floor)
            add("agent, with a fresh sandbox for each", ours("-", count // 5), floor)
        if shutil.which("bwrap"):
            add("bwrap --unshare-all", self.spawn_times(
                BIN / "bench_spawn", 100, "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc",
                "/proc", "--dev", "/dev", "/bin/true", count=100), floor)
        for runtime in ("runc", "crun"):
            self.add_oci(runtime, floor, add)
        self.table("Spawn + Wait of /bin/true, one after the other",
                   ("how", "p50 ms", "p99 ms", "times the floor"), rows)

    def add_oci(self, runtime, floor, add):
        bundle = self.folder / runtime
        try:
            (bundle / "rootfs").mkdir(parents=True)
            run(runtime, "spec", cwd=bundle)
            config = json.loads((bundle / "config.json").read_text())
            config["process"].update(terminal=False, args=["/bin/true"])
            config["root"].update(path="/", readonly=True)
            (bundle / "config.json").write_text(json.dumps(config))
            times = self.spawn_times(BIN / "bench_spawn", 30, runtime, "run", "--bundle", bundle,
                                     f"bench-{runtime}-{os.getpid()}", count=30)
            add(f"{runtime} run", times, floor)
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", None) or str(error)
            self.left_out.append(f"{runtime}: {why.strip().splitlines()[-1]}")

    def density(self):
        rows = []
        with self.agent() as agent:
            agent.call("CreateSandbox", {"sandbox_id": "full"})
            client = (BIN / "bench_client", agent.socket)
            run(*client, "spawn", 200, 1, "full", "/bin/true")
            before, files = agent.memory_kib(), agent.descriptors()
            live, base = 0, before
            for wanted in (1, 10, 100, 1000):
                run(*client, "hold", wanted - live, min(wanted - live, 20), "full", "/bin/sleep", "3600")
                live = wanted
                times = self.spawn_times(*client, "spawn", 300, 1, "full", "/bin/true", count=300)
                rows.append((live, f"{percentile(times, 50) / 1e6:.2f}",
                             f"{percentile(times, 99) / 1e6:.2f}",
                             f"{(agent.memory_kib() - base) / live:.0f}"))
            agent.call("DeleteSandbox", {"sandbox_id": "full"})
            agent.call("CreateSandbox", {"sandbox_id": "soak"})
            began = time.monotonic()
            run(*client, "spawn", 10_000, 1, "soak", "/bin/true")
            in_a_row = time.monotonic() - began
            began = time.monotonic()
            run(*client, "spawn", 500, 500, "soak", "/bin/true")
            at_once = time.monotonic() - began
            agent.call("DeleteSandbox", {"sandbox_id": "soak"})
            children = run("ps", "-eo", "stat,ppid").splitlines()
            zombies = sum(line.split()[0].startswith("Z") for line in children)
            left = agent.descriptors() - files
        self.table("Live processes in one sandbox",
                   ("live", "Spawn + Wait p50 ms", "p99 ms", "agent's KiB for each"), rows)
        self.note(f"10,000 spawns in a row took {in_a_row:.1f} s, 500 at once {at_once:.2f} s, without an "
                  f"error. After that: {zombies} zombies, {left:+d} descriptors in the agent.")

    def ghz(self, socket, reflection):
        protoset = [] if reflection else ["--protoset", SOURCE / "build/bench/proto/osa_proto_agent.ds"]
        report = json.loads(run("taskset", "-c", "1", "ghz", "--insecure", *protoset, "--call",
                                f"{SERVICE}/GetInfo", "-d", "{}", "-n", 60_000, "-c", 50,
                                "--connections", 5, "-O", "json", f"unix://{socket}"))
        if list(report["statusCodeDistribution"]) != ["OK"]:
            raise RuntimeError(f"ghz: {report['statusCodeDistribution']}")
        p99 = next(d["latency"] for d in report["latencyDistribution"] if d["percentage"] == 99)
        return report["rps"], p99

    def unary(self):
        with self.agent() as agent:
            reply = self.folder / "reply"
            with open(reply, "wb") as file:
                subprocess.run([BIN / "bench_peer", "getinfo", agent.socket], check=True, stdout=file)
        ours, theirs = [], []
        peer_socket = self.folder / "peer.sock"
        for _ in range(3):  # in turns, so that both see the same machine
            with self.agent() as agent:
                ours.append(self.ghz(agent.socket, reflection=True))
            with Server(BIN / "bench_peer", "serve", peer_socket, reply, socket=peer_socket):
                theirs.append(self.ghz(peer_socket, reflection=False))
            peer_socket.unlink(missing_ok=True)
        (our_rate, our_p99), (their_rate, their_p99) = max(ours), max(theirs)
        self.table(f"Unary calls: GetInfo, {reply.stat().st_size} bytes, server on one core, ghz on the other",
                   ("server", "calls/s", "p99 ms", "rate against C++"), [
                       ("agent", f"{our_rate:.0f}", f"{our_p99 / 1e6:.2f}", f"{our_rate / their_rate:.2f}"),
                       ("gRPC C++, asynchronous", f"{their_rate:.0f}", f"{their_p99 / 1e6:.2f}", "1.00")])

    def stream(self):
        size = 2000 * MIB

        def attach(socket, *process):
            seconds, got, lost = map(float, run("taskset", "-c", "1", BIN / "bench_peer", "attach", socket,
                                                size, *process).split())
            return got / seconds / MIB, lost

        peer_socket = self.folder / "peer.sock"
        (self.folder / "empty").write_bytes(b"")
        ours, theirs, stalled = [], [], 0
        for _ in range(3):
            with self.agent() as agent:
                spawned = agent.call("Spawn", {"spec": {"argv": ["/usr/bin/head", "-c", str(size),
                                                                 "/dev/zero"]}})
                ours.append(attach(agent.socket, spawned["processId"]))
            with Server(BIN / "bench_peer", "serve", peer_socket, self.folder / "empty",
                        socket=peer_socket):
                theirs.append(attach(peer_socket))
            peer_socket.unlink(missing_ok=True)
        with self.agent() as agent:
            run(BIN / "bench_client", agent.socket, "spawn", 20, 1, "-", "/bin/true")
            before = agent.memory_kib()
            for _ in range(5):
                agent.call("Spawn", {"spec": {"argv": ["/usr/bin/head", "-c", str(200 * MIB),
                                                       "/dev/zero"]}})
            time.sleep(5)
            stalled = (agent.memory_kib() - before) / 1024
        ours_best, theirs_best = max(ours), max(theirs)
        self.table("Output through Attach, 2,000 MiB from /dev/zero",
                   ("server", "MiB/s received", "MiB lost", "rate against C++"), [
                       ("agent", f"{ours_best[0]:.0f}", f"{ours_best[1] / MIB:.0f}",
                        f"{ours_best[0] / theirs_best[0]:.2f}"),
                       ("gRPC C++ server stream", f"{theirs_best[0]:.0f}", "0", "1.00")])
        self.note(f"Five processes that wrote 200 MiB each with nobody reading: the agent grew by "
                  f"{stalled:.1f} MiB (1 MiB of output is kept for each).")

    def opa_ns(self, opa):
        rule = {"binaries": [{"path": "/usr/bin/app"}, {"path": "/opt/*/bin/*"}]}
        endpoint = {"ports": [443], "protocol": "rest",
                    "rules": [{"allow": {"method": "GET", "path": "/docs/**"}},
                              {"allow": {"method": "GET", "path": "/repos/*/issues/*"}}],
                    "deny_rules": [{"method": "*", "path": "/repos/*/keys"}]}
        question = {"document": 0, "host": "l77.acme.test", "port": 443, "binary": "/usr/bin/app",
                    "ancestors": ["/usr/bin/bash", "/usr/local/bin/agent"],
                    "request": {"method": "GET", "path": "/repos/agent/issues/1234", "query": {"page": ["2"]}}}
        document = {f"r{i:04}": rule | {"endpoints": [endpoint | {"host": f"l{i}.acme.test"}]} for i in range(1000)}
        asked = self.folder / "opa.json"
        asked.write_text(json.dumps({"documents": [document], "questions": [question]}))
        result = json.loads(run(opa, "bench", "--format", "json", "--count", "1", "--data",
                                SOURCE / "tests/data/policy/decisions.rego", "--input", asked,
                                "data.decisions.answers"))
        return result["T"] / result["N"]

    def policy(self):
        words = {"connect-exact": "connection, host as it is written",
                 "connect-star": "connection, host under a *, executable under a *",
                 "connect-miss": "connection that no rule lists",
                 "request-rest": "request, REST: canonical path, endpoint, rules; the connection's included",
                 "request-rest-denied": "the same, denied",
                 "request-graphql": "the same, GraphQL", "request-mcp": "the same, MCP"}
        lines = [line.split() for line in run(BIN / "bench_policy").splitlines()]
        rows = [(words[name], p50, p99) for name, p50, p99 in lines if name in words]
        self.table("Policy decisions, 1,000 rules", ("decision", "p50 ns", "p99 ns"), rows)
        opa = shutil.which("opa")
        if opa is None:
            self.left_out.append("the same question to OPA (opa is not installed)")
        else:
            self.note(f"OPA answers the REST question in {self.opa_ns(opa) / 1e6:.0f} ms, from "
                      "tests/data/policy/decisions.rego over 1,000 such rules.")
        load, compile_ = (next(int(p50) / 1e6 for name, p50, _ in lines if name == wanted)
                          for wanted in ("load", "compile"))
        self.note(f"Reading and checking that document takes {load:.0f} ms, compiling it {compile_:.0f} ms.")


    def egress(self):
        got = json.loads(run(BIN / "bench_egress", "6000", "10000"))
        self.table("Egress proxy, beside a bare splice relay on the same loop",
                   ("what", "direct", "bare relay", "proxy"), [
                       ("tunnel, MiB/s", "", f"{got['relay_mib_s']}",
                        f"{got['tunnel_mib_s']} ({got['tunnel_of_relay']:.2f} of the relay)"),
                       ("one byte there and back, p50 µs", f"{got['echo_direct_us']}",
                        f"{got['echo_relay_us']}", f"{got['echo_tunnel_us']}"),
                       ("small request on a kept connection, p50 µs", f"{got['request_direct_us']}",
                        "", f"{got['request_proxy_us']}")])
        self.note(f"{got['idle_tunnels']:,} idle tunnels take {got['idle_tunnel_bytes']:.0f} bytes of the "
                  "agent's own memory each.")


HEAD = """# Performance

Written by `make bench` ({when}; {cpus} × {cpu}, Linux {kernel}). One run, everything side by side: the
ratios are what counts, the absolute numbers are those of this machine. `bench/run.py` is the whole
method.
"""


def main():
    sections = sys.argv[1:] or ["start", "spawn", "density", "unary", "stream", "policy", "egress"]
    with tempfile.TemporaryDirectory(prefix="osa-bench-") as folder:
        bench = Bench(pathlib.Path(folder))
        for section in sections:
            getattr(bench, section)()
    if bench.left_out:
        bench.note("Left out: " + "; ".join(bench.left_out) + ".")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), platform.machine())
    head = HEAD.format(when=time.strftime("%Y-%m-%d"), cpus=os.cpu_count(), cpu=cpu,
                       kernel=platform.release())
    if not sys.argv[1:]:
        report = SOURCE / "docs/performance.md"
        # What a person wrote about the figures stays; it may need another look afterwards.
        mark, remarks = "## Where it stands", ""
        if report.exists() and mark in report.read_text():
            remarks = "\n\n" + mark + report.read_text().split(mark, 1)[1]
        figures = "\n".join([head, *bench.text]).rstrip()
        report.write_text((figures + remarks).rstrip() + "\n")


main()
