#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measure everything in one run and write docs/performance.md: run.py [SECTION…]

Sections: start, spawn, density, sandboxes, limits, syscalls, unary, stream, policy, egress,
boxes.
Absolute numbers are those of the machine; what is
compared was measured within the same minute, and the ratios are what the project promises. A
comparison that is not installed here, or does not run, is left out and named.
"""
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import boxes
import tls

SOURCE = pathlib.Path(__file__).resolve().parents[1]
BIN, STATIC = SOURCE / "build/bench/bin", SOURCE / "build/static/bin"
SERVICE = "openshell.agent.v1.SandboxAgent"
MIB = 1 << 20
TURNS = 5  # what is compared runs in turns, so that all see the same machine


def run(*command, **more):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                          **more).stdout


def netns():
    """Network namespaces that some process is in."""
    found = set()
    for link in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(link))
        except OSError:  # it has ended
            pass
    return len(found)


def cgroups():
    """Groups of agents; walk() passes over those that go meanwhile, for others have agents, too."""
    return sum(len(folders) for folder, folders, _ in os.walk("/sys/fs/cgroup")
               if "/openshell-agent-" in folder)


def pss_kib(name):
    total = 0
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == name:
                rollup = comm.with_name("smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines()
                              if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def seconds(usage, *keys):
    return sum(float(usage.get(key, "0s").rstrip("s")) for key in keys)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Server:
    """A program that serves on a Unix socket, pinned to the first core unless another or none is asked for."""

    def __init__(self, *command, socket, core=0):
        self.socket = socket
        pin = [] if core is None else ["taskset", "-c", str(core)]
        self.process = subprocess.Popen([*pin, *map(str, command)],
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

    def host(self):
        """What a sandbox or process could leave behind on the host, and in the agent."""
        states = run("ps", "-eo", "stat").split()
        mounts = pathlib.Path(f"/proc/{self.process.pid}/mounts").read_text().splitlines()
        return {"cgroups": cgroups(), "network namespaces": netns(),
                "interfaces": len(os.listdir("/sys/class/net")), "mounts": len(mounts),
                "zombies": sum(state.startswith("Z") for state in states),
                "descriptors in the agent": self.descriptors()}

    def call(self, method, request):
        return json.loads(run("grpcurl", "-plaintext", "-unix", "-d", json.dumps(request), self.socket,
                              f"{SERVICE}/{method}") or "{}")


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.text = []
        self.left_out = []
        self.failed = []

    def agent(self, *arguments, core=0):
        socket = self.folder / "agent.sock"
        return Server(BIN / "openshell-agent", "serve", "--listen", f"unix:{socket}", "--state-dir",
                      self.folder / "state", "--log-level", "warn", *arguments, socket=socket, core=core)

    def table(self, title, header, rows):
        self.text += [f"## {title}", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        self.text += ["| " + " | ".join(map(str, row)) + " |" for row in rows] + [""]
        print("\n".join(self.text[-len(rows) - 5:]), flush=True)

    def note(self, text):
        self.text += [text, ""]
        print(text + "\n", flush=True)

    def measure(self, section):
        """A section that fails is told, and the others follow."""
        began = time.monotonic()
        try:
            getattr(self, section)()
        except Exception as error:  # pylint: disable=broad-except
            said = (getattr(error, "stderr", None) or str(error) or repr(error)).strip().splitlines()
            self.failed.append(section)
            self.note(f"Section {section} failed: {type(error).__name__}: {said[-1]}")
        print(f"[{section}: {time.monotonic() - began:.0f} s]\n", flush=True)

    # ---- sections --------------------------------------------------------------------------

    def start(self):
        rows = []
        for name, binary in (("agent, static", STATIC), ("agent, ordinary", BIN)):
            socket = self.folder / "start.sock"

            def serving(idle_ms):
                return [int(word) for word in run(
                    BIN / "bench_serving", socket, idle_ms, binary / "openshell-agent", "serve",
                    "--listen", f"unix:{socket}", "--state-dir", self.folder / "state",
                    "--log-level", "error").split()]

            served = [serving(0)[0] for _ in range(21)]
            idle = [serving(6000) for _ in range(3)]  # five seconds after a call it gives memory back
            rows.append((name, f"{percentile(served, 50) / 1e6:.1f}", f"{percentile(served, 95) / 1e6:.1f}",
                         *(f"{percentile([sample[i] for sample in idle], 50) / 1024:.1f}" for i in (1, 2))))
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

        def bare(number, *program):
            return self.spawn_times(BIN / "bench_spawn", number, *program, count=number)

        bwrap = ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true")
        floors, existing, fresh, wrapped = [], [], [], []
        with self.agent() as agent:
            full = agent.call("CreateSandbox", {"sandbox_id": "full"})["sandbox"]

            def ours(sandbox, number):
                return self.spawn_times(BIN / "bench_client", agent.socket, "spawn", number, 1, sandbox,
                                        "/bin/true", count=number)

            ours("full", 50)
            for _ in range(TURNS):
                floors += bare(count // TURNS, "/bin/true")
                existing += ours("full", count // TURNS)
                fresh += ours("-", count // 5 // TURNS)
                if shutil.which("bwrap"):
                    wrapped += bare(count // 5 // TURNS, *bwrap)
        floor = percentile(floors, 50)
        level = full["isolation"]["level"].removeprefix("ISOLATION_LEVEL_").lower()
        add("posix_spawn + waitpid (the floor)", floors, floor)
        add(f"agent, in a sandbox that exists (level {level}), two RPCs", existing, floor)
        add("agent, with a fresh sandbox for each", fresh, floor)
        if wrapped:
            add("bwrap --unshare-all", wrapped, floor)
        for runtime in ("runc", "crun"):
            self.add_oci(runtime, floor, add)
        self.table("Spawn + Wait of /bin/true, one after the other, in turns",
                   ("how", "p50 ms", "p99 ms", "times the floor"), rows)

    def add_oci(self, runtime, floor, add):
        bundle = self.folder / runtime
        try:
            (bundle / "rootfs/usr").mkdir(parents=True)
            for name in ("bin", "lib", "lib64"):
                (bundle / "rootfs" / name).symlink_to(f"usr/{name}")
            run(runtime, "spec", cwd=bundle)
            config = json.loads((bundle / "config.json").read_text())
            config["process"].update(terminal=False, args=["/bin/true"])
            # A view of cgroups cannot be mounted on hosts that have v1 and v2 side by side.
            config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"] + [
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]
            (bundle / "config.json").write_text(json.dumps(config))
            times = self.spawn_times(BIN / "bench_spawn", 30, runtime, "run", "--bundle", bundle,
                                     f"bench-{runtime}-{os.getpid()}", count=30)
            add(f"{runtime} run", times, floor)
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", None) or str(error)
            self.left_out.append(f"{runtime}, which says: {why.strip().splitlines()[0]}")

    def density(self):
        rows = []
        with self.agent() as agent:
            client = (BIN / "bench_client", agent.socket)
            run(*client, "spawn", 500, 20, "-", "/bin/true")
            before = agent.host()
            agent.call("CreateSandbox", {"sandbox_id": "full"})
            live, base = 0, agent.memory_kib()
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
            time.sleep(1)
            left = self.difference(before, agent.host())
        self.table("Live processes in one sandbox",
                   ("live", "Spawn + Wait p50 ms", "p99 ms", "agent's KiB for each"), rows)
        self.note(f"10,000 spawns in a row took {in_a_row:.1f} s, 500 at once {at_once:.2f} s, without an "
                  f"error. Then, against before the first sandbox: {left}.")

    @staticmethod
    def difference(before, after):
        return ", ".join(f"{after[key] - before[key]:+d} {key}" for key in before)

    def sandboxes(self):
        count = 500
        with self.agent() as agent:
            client = (BIN / "bench_client", agent.socket)
            run(*client, "spawn", 50, 1, "-", "/bin/true")
            before, memory = agent.host(), agent.memory_kib()
            times = self.spawn_times(*client, "create", count, 1, "many", count=count)
            alive = agent.host()
            inits = pss_kib("openshell-init")
            memory = agent.memory_kib() - memory
            spawns = self.spawn_times(*client, "spawn", 200, 1, f"many-{count}", "/bin/true", count=200)
            began = time.monotonic()
        gone = time.monotonic() - began
        time.sleep(1)
        left = (cgroups() - before["cgroups"] +
                len(os.listdir("/sys/class/net")) - before["interfaces"])
        rows = [(f"{first + 1} to {first + 100}", f"{percentile(times[first:first + 100], 50) / 1e6:.2f}",
                 f"{percentile(times[first:first + 100], 99) / 1e6:.2f}") for first in range(0, count, 100)]
        self.table(f"{count} sandboxes alive at once, all namespaces, created one after the other",
                   ("sandbox", "CreateSandbox p50 ms", "p99 ms"), rows)
        self.note(f"Then: {self.difference(before, alive)}. For each sandbox {memory / count:.0f} KiB in the "
                  f"agent and {inits / count:.0f} KiB (PSS) in its init. Spawn + Wait in the last: p50 "
                  f"{percentile(spawns, 50) / 1e6:.2f} ms. The agent's end, which is theirs, took {gone:.1f} "
                  f"s; cgroups and interfaces left after it: {left}.")

    def limits(self):
        rows = []
        with self.agent(core=None) as agent:
            for millis in (100, 500):
                spawned = agent.call("Spawn", {"spec": {
                    "argv": ["/bin/sh", "-c", "while :; do :; done"], "timeout": "10s",
                    "resources": {"cpu_millis": millis}}})
                usage = agent.call("Wait", {"process_id": spawned["processId"]})["exit"]["usage"]
                got = seconds(usage, "user", "system") / seconds(usage, "wall") * 1000
                rows.append((f"CPU, {millis}m for 10 s", f"{got:.0f}m", f"{(got / millis - 1) * 100:+.1f} %"))
            client = (BIN / "bench_client", agent.socket, "reasons")
            hog = ("/bin/dd", "if=/dev/zero", "of=/dev/null", "count=1")
            for mib in (32, 256):
                lines = run(*client, 20, 1, "-", mib * MIB, *hog, f"bs={4 * mib}M").splitlines()
                peaks = [int(line.split()[2]) / MIB for line in lines if line.startswith("4 ")]
                worst = max(peaks, key=lambda peak: abs(peak - mib))
                rows.append((f"memory, {mib} MiB: peak of {len(peaks)} of 20 that were killed for it",
                             f"{worst:.2f} MiB", f"{(worst / mib - 1) * 100:+.1f} %"))
            self.table("Limits", ("limit", "in force", "off by"), rows)
            self.oom(agent, client, hog)

    def oom(self, agent, client, hog):
        agent.call("CreateSandbox", {"sandbox_id": "oom"})
        kinds = {"twice that": (300, "4", [*hog, "bs=64M"]),
                 "two thirds of that": (300, "1", [*hog, "bs=20M"]),
                 "a SIGKILL by itself": (400, "2", ["/bin/sh", "-c", "kill -9 $$"])}
        running = {name: subprocess.Popen([*map(str, client), str(count), "2", "oom", str(32 * MIB), *command],
                                          stdout=subprocess.PIPE, text=True)
                   for name, (count, _, command) in kinds.items()}
        told = []
        for name, (count, expected, _) in kinds.items():
            reasons = [line.split()[0] for line in running[name].communicate()[0].splitlines()]
            told.append(f"{count} with {name}, {count - reasons.count(expected)} of them reported as "
                        "something else")
        self.note("1,000 processes with 32 MiB each, six at a time in one sandbox: " + "; ".join(told) + ".")

    def syscalls(self):
        best = {}
        for line in "".join(run(BIN / "bench_syscalls") for _ in range(3)).splitlines():
            words = line.split()
            if words[1] == "compile":
                continue
            if words[0] == "landlock":
                values = {("landlock", words[2], words[5]): words[4]}
            else:
                values = {("seccomp", words[1], name): value for name, value in zip(words[2::2], words[3::2])}
            for key, value in values.items():
                best[key] = min(best.get(key, 1e9), float(value))
        rows = []
        for name in (name for kind, which, name in best if (kind, which) == ("seccomp", "none")):
            none, every, ours = (best["seccomp", which, name] for which in ("none", "allow-all", "default"))
            rows.append((name, f"{none:.0f}", f"{every:.0f}", f"{ours:.0f}", f"{(ours / every - 1) * 100:+.0f} %"))
        self.table("System calls under the filter, ns, least of three runs",
                   ("call", "no filter", "one that allows all", "default", "against one that allows all"), rows)
        paths = dict.fromkeys(path for kind, _, path in best if kind == "landlock")
        counts = dict.fromkeys(rules for kind, rules, _ in best if kind == "landlock")
        self.table("open and close under Landlock, ns, by path and number of rules",
                   ("path", *(f"{rules} rules" for rules in counts)),
                   [(path, *(f"{best['landlock', rules, path]:.0f}" for rules in counts)) for path in paths])
        self.build()

    def build(self):
        headers = ("stdio stdlib string unistd fcntl errno signal pthread time math locale wchar netdb "
                   "sys/socket sys/stat sys/types sys/wait netinet/in arpa/inet linux/filter linux/bpf").split()
        includes = " ".join(f"-include {name}.h" for name in headers)
        script = (f"i=0; while [ $i -lt 20 ]; do gcc -fsyntax-only {includes} -xc /dev/null || exit 1; "
                  "i=$((i+1)); done")
        argv, env = ["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}
        free, confined = [], []
        with self.agent() as agent:
            for _ in range(7):  # in turns
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(["taskset", "-c", "0", *argv], check=True, env=env)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                free.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                spawned = agent.call("Spawn", {"spec": {"argv": argv, "env": env}})
                end = agent.call("Wait", {"process_id": spawned["processId"]})["exit"]
                if end.get("code", 0) != 0:
                    raise RuntimeError(f"the build fails in the sandbox: {end}")
                confined.append(seconds(end["usage"], "user", "system"))
        self.note(f"A build with many opens (20 × gcc over {len(headers)} headers), CPU time, least of seven in "
                  f"turns: {min(free):.2f} s free, {min(confined):.2f} s in a sandbox with all namespaces, "
                  f"Landlock and the filter: {(min(confined) / min(free) - 1) * 100:+.1f} %.")

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

    def attach(self, socket, size, *process):
        took, got, lost = map(float, run(BIN / "bench_peer", "attach", socket, size, *process).split())
        return got / took / MIB, lost / MIB

    def attach_to_agent(self, size, program):
        with self.agent(core=None) as agent:
            spawned = agent.call("Spawn", {"spec": {"argv": program, "hold_output": "60s"}})
            return self.attach(agent.socket, size, spawned["processId"])

    def attach_to_peer(self, size, *program):
        socket, empty = self.folder / "peer.sock", self.folder / "empty"
        empty.write_bytes(b"")
        try:
            with Server(BIN / "bench_peer", "serve", socket, empty, *program, socket=socket, core=None):
                return self.attach(socket, size)
        finally:
            socket.unlink(missing_ok=True)

    def unread(self):
        """MiB that the agent grows by when nobody reads what five processes write."""
        with self.agent() as agent:
            run(BIN / "bench_client", agent.socket, "spawn", 20, 1, "-", "/bin/true")
            before = agent.memory_kib()
            spawned = [agent.call("Spawn", {"spec": {"argv": ["/usr/bin/head", "-c", str(200 * MIB),
                                                              "/dev/zero"]}}) for _ in range(5)]
            for process in spawned:
                agent.call("Wait", {"process_id": process["processId"]})
            return (agent.memory_kib() - before) / 1024

    def stream(self):
        """Nothing is pinned here: writer, server and client share the cores, whoever the server is."""
        count = 2000
        size = count * MIB
        program = ["/usr/bin/dd", "if=/dev/zero", "bs=1M", f"count={count}", "status=none"]
        ours, piped, made = [], [], []
        for _ in range(TURNS):
            ours.append(self.attach_to_agent(size, program))
            piped.append(self.attach_to_peer(size, *program))
            made.append(self.attach_to_peer(size))
        best = max(made)[0]
        self.table(f"Output through Attach, {count:,} MiB from /dev/zero, best of five in turns",
                   ("server", "MiB/s received", "MiB lost", "rate against C++ from memory"),
                   [(name, f"{max(runs)[0]:.0f}", f"{max(runs)[1]:.0f}", f"{max(runs)[0] / best:.2f}")
                    for name, runs in (("agent, of a process that writes them", ours),
                                       ("gRPC C++ server stream, of a process that writes them", piped),
                                       ("gRPC C++ server stream, bytes in memory", made))])
        self.note(f"Five processes that wrote 200 MiB each with nobody reading: the agent grew by "
                  f"{self.unread():.1f} MiB (1 MiB of output is kept for each).")

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
                  "proxy's memory each.")
        proxies = tls.measure(BIN / "bench_egress_tls")
        self.table("TLS that is looked into: small requests, one core",
                   ("proxy", "requests/s on a kept connection", "p50 µs", "CPU µs of each",
                    "fresh connections/s", "CPU µs of each"),
                   [(name, f"{one['requests_s']:.0f}", f"{one['p50_us']:.0f}", f"{one['request_cpu_us']:.0f}",
                     f"{one['connections_s']:.0f}", f"{one['connection_cpu_us']:.0f}")
                    for name, one in proxies.items()])
        if "squid" not in proxies:
            self.left_out.append("squid (squid-openssl is not installed)")

    def boxes(self):
        boxes.measure(self, percentile, run)


HEAD = """# Performance

Written by `make bench` ({when}; {cpus} × {cpu}, Linux {kernel}). One run, everything side by side: the
ratios are what counts, the absolute numbers are those of this machine. `bench/run.py` is the whole
method.
"""


def main():
    sections = sys.argv[1:] or ["start", "spawn", "density", "sandboxes", "limits", "syscalls", "unary",
                                "stream", "policy", "egress", "boxes"]
    with tempfile.TemporaryDirectory(prefix="osa-bench-") as folder:
        bench = Bench(pathlib.Path(folder))
        for section in sections:
            bench.measure(section)
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
    return 1 if bench.failed else 0


sys.exit(main())
