# SPDX-License-Identifier: Apache-2.0
"""Proxies that look into TLS, one after the other on one core, the same client and origin on another."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

SQUID, CERTGEN = "/usr/sbin/squid", "/usr/lib/squid/security_file_certgen"
REQUESTS, CONNECTIONS = 20000, 500
PATIENCE_S = 60


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.99", 9))  # nothing is sent
        return probe.getsockname()[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def program(core, *command, **more):
    process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], text=True, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def squid_folder(folder):
    """What squid wants to have; returns its configuration, its port and its authority."""
    port = free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=squid", "-keyout", folder / "squid.key", "-out",
                    folder / "squid.pem"], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "squid.key").read_text() + (folder / "squid.pem").read_text())
    subprocess.run([CERTGEN, "-c", "-s", folder / "db", "-M", "4MB"], check=True, capture_output=True)
    if os.geteuid() == 0:  # squid gives root up
        for path in [folder / "db", *(folder / "db").rglob("*")]:
            shutil.chown(path, "proxy")
    text = f"""http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on tls-cert={both}
sslcrtd_program {CERTGEN} -s {folder}/db -M 4MB
tls_outgoing_options cafile={folder}/outside.pem
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
"""
    (folder / "squid.conf").write_text(text)
    return folder / "squid.conf", port, folder / "squid.pem"


def ask(tool, process, port, target, authority):
    """What the client saw, and CPU time of the proxy for each request and each fresh connection."""
    def once(requests, connections):
        before = cpu_s(process.pid)
        out = subprocess.run(["taskset", "-c", "1", tool, "ask", str(port), target, authority, str(requests),
                              str(connections)], check=True, capture_output=True, text=True).stdout
        return json.loads(out), cpu_s(process.pid) - before
    once(1, 1)
    kept, kept_cpu = once(REQUESTS, 0)
    fresh, fresh_cpu = once(1, CONNECTIONS)
    return {"requests_s": kept["requests_s"], "p50_us": kept["request_p50_us"],
            "connections_s": fresh["connections_s"], "request_cpu_us": kept_cpu / REQUESTS * 1e6,
            "connection_cpu_us": fresh_cpu / CONNECTIONS * 1e6}


def wait_for(port):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens on {port}")
        time.sleep(0.1)


def measure(tool):
    """{name: figures} of our proxy, and of squid where it is installed."""
    tool, address, found = str(tool), own_address(), {}
    with tempfile.TemporaryDirectory(prefix="osa-tls-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        origin = stack.enter_context(program(1, tool, "origin", folder, address, stdout=subprocess.PIPE))
        target = f"{address}:{origin.stdout.readline().strip()}"
        with program(0, tool, "proxy", folder, address, target.rpartition(":")[2],
                     stdout=subprocess.PIPE) as proxy:
            port = int(proxy.stdout.readline())
            found["this proxy"] = ask(tool, proxy, port, target, folder / "inside.pem")
        if os.path.exists(SQUID) and os.path.exists(CERTGEN):
            configuration, port, authority = squid_folder(folder)
            with program(0, SQUID, "-N", "-f", configuration, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL) as squid:
                wait_for(port)
                found["squid"] = ask(tool, squid, port, target, authority)
    return found
