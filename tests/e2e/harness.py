# SPDX-License-Identifier: Apache-2.0
"""Real programs for the end-to-end tests: the agent, its certificates, grpcurl and gRPC clients.

The environment names what to test: OSA_BIN (folder of the programs), OSA_STATIC_BIN (the same of
the static build), OSA_SOURCE (the checkout). What a test needs and this machine lacks ends it with
77, which ctest counts as skipped.
"""
import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOOLS = pathlib.Path(os.environ.get("OPENSHELL_TOOLS") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                                  pathlib.Path.home() / ".cache") / "openshell-agent")
SOURCE = pathlib.Path(os.environ.get("OSA_SOURCE") or pathlib.Path(__file__).parents[2])
BIN = pathlib.Path(os.environ.get("OSA_BIN") or SOURCE / "build/release/bin")
STATIC_BIN = pathlib.Path(os.environ.get("OSA_STATIC_BIN") or SOURCE / "build/static/bin")
SERVICE = "openshell.agent.v1.SandboxAgent"
# Freed memory that ASan keeps back would look like a leak where memory is measured.
SANITIZERS = {"ASAN_OPTIONS": "quarantine_size_mb=16"}
# Nothing takes this long; a test that gets here fails, so no test depends on speed.
PATIENCE_S = 60


def skip(reason):
    print(reason)
    sys.exit(77)


def need_tool(name):
    found = shutil.which(name, path=f"{TOOLS}/bin:{os.environ['PATH']}")
    return found or skip(f"{name} is missing (scripts/setup.sh test)")


def use_grpcio():
    """Run this program again with the Python that has grpcio, unless it is this one."""
    python = TOOLS / "python/bin/python3"
    if not python.exists():
        skip("grpcio is missing (scripts/setup.sh test)")
    if pathlib.Path(sys.prefix).resolve() != (TOOLS / "python").resolve():
        os.execv(python, [python, *sys.argv])


def generate(*files):
    """Generate Python code from .proto files of ours with grpcio's own protoc, and make it importable."""
    folder = tempfile.mkdtemp(prefix="osa-stubs-")
    from grpc_tools import protoc
    include = pathlib.Path(sys.modules["grpc_tools"].__file__).parent / "_proto"
    proto = SOURCE / "proto"
    code = protoc.main(["protoc", f"-I{proto}", f"-I{include}", f"--python_out={folder}",
                        f"--grpc_python_out={folder}", *files])
    if code != 0:
        raise RuntimeError("grpcio's protoc refuses our .proto files")
    sys.path.insert(0, folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def stubs():
    """Code for our API; returns (agent_pb2, stub, Status)."""
    generate("google/rpc/status.proto", "openshell/sandbox/v1/policy.proto",
             "openshell/agent/v1/agent.proto")
    from google.rpc import status_pb2
    from openshell.agent.v1 import agent_pb2, agent_pb2_grpc
    return agent_pb2, agent_pb2_grpc.SandboxAgentStub, status_pb2.Status


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.02)


def processes_with(marker):
    """Pids of the whole machine whose command line holds the marker; zombies have none."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
        except OSError:
            pass  # it has just gone
    return found


def descendants(pid):
    """All processes below this one, zombies included."""
    below = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
            parent = int(text[text.rindex(")") + 4:].split()[0])
            below.setdefault(parent, []).append(int(stat.parent.name))
        except (OSError, ValueError):
            pass  # it has just gone
    found, todo = [], [pid]
    while todo:
        more = below.get(todo.pop(), [])
        found += more
        todo += more
    return found


def cgroup_names(pids):
    """The directories that agents have made for these processes: openshell-agent-KEY."""
    names = set()
    for pid in pids:
        try:
            names.update(re.findall("openshell-agent-[a-z0-9]+",
                                    pathlib.Path(f"/proc/{pid}/cgroup").read_text()))
        except OSError:
            pass
    return names


def cgroups(names):
    """All cgroups of agents with these names, in every hierarchy."""
    found = []
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):  # what vanishes meanwhile is passed over
        if names.intersection(folder.split("/")):
            found.append(folder)
        elif any(name.startswith("openshell-agent-") for name in folders):
            folders[:] = [f for f in folders if f in names or not f.startswith("openshell-agent-")]
    return sorted(found)


class Agent:
    """One agent in a directory of its own, listening on a Unix socket there."""

    def __init__(self, *arguments, bin_dir=BIN, program=None, prefix=(), env=None, owner=None,
                 inside=""):
        """inside: what the agent's own root is called out here, when prefix gives it another one"""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-e2e-", dir=inside or None))
        seen = self.folder.relative_to(inside or "/")
        if owner is not None:
            os.chown(self.folder, owner, owner)
        self.socket = self.folder / "agent.sock"
        self.log_path = self.folder / "log"
        self.log_file = open(self.log_path, "w")
        self.doors = 1 + arguments.count("--listen")
        self.process = subprocess.Popen(
            [*prefix, program or bin_dir / "openshell-agent", "serve", "--listen", f"unix:/{seen}/agent.sock", "--state-dir",
             f"/{seen}/state", "--log-format", "json", *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **SANITIZERS, **(env or {})}, start_new_session=True)
        try:
            wait_until(self.ready, "the agent serves")
        except AssertionError:
            self.stop()
            raise

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.log()}")
        if self.log().count('"msg":"serving"') < self.doors:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_records(self):
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def channel(self, **options):
        import grpc
        options = {"grpc.use_local_subchannel_pool": 1, **options}  # not one that failed for another
        return grpc.insecure_channel(f"unix:{self.socket}", options=list(options.items()))

    def stop(self, how=signal.SIGTERM):
        """End the agent; returns its exit status. Its folder goes too."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the agent does not end") from None
        finally:
            self.log_file.close()
        self.last_log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


def debian_package(folder):
    """Make the Debian package of this build below folder; returns its path."""
    subprocess.run(["cpack", "-G", "DEB", "-B", str(folder), "--config",
                    str(BIN.parent / "CPackConfig.cmake")], check=True, capture_output=True,
                   cwd=folder, timeout=600)
    return next(pathlib.Path(folder).glob("openshell-agent_*.deb"))


class Certificates:
    """An authority, a server certificate for localhost and a client's, made with openssl."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        need_tool("openssl")
        self.ca = self.authority("ca")
        self.cert, self.key = self.leaf("server", "localhost", "DNS:localhost,IP:127.0.0.1")
        self.client_cert, self.client_key = self.leaf("client", "operator-1", "DNS:operator-1")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                     "-out", f"{name}.pem")
        return self.folder / f"{name}.pem"

    def leaf(self, name, common_name, alternative, ca="ca"):
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", f"/CN={common_name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey",
                     f"{ca}.key", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def main(bin_dir=BIN):
    for program in ("openshell-agent",):
        if not (bin_dir / program).exists():
            skip(f"{bin_dir / program} is missing (make)")
    unittest.main(verbosity=2)
