#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that people use, through TLS that is looked into, with nothing set but what the sandbox sets.

The origin is a server of ours with a certificate that the agent was told of; each client asks it for
what it usually asks for, and for something that a rule denies.
"""
import base64
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import zipfile

import harness
from egress import own_address
from egress_names import NameServer

HOST = "origin.osa.test"

JAVA = """
import java.net.*;
import java.net.http.*;
public class Fetch {
    public static void main(String[] a) throws Exception {
        for (String path : new String[] { "/v1/java", "/v1/secret" }) {
            HttpResponse<String> r = HttpClient.newHttpClient().send(
                HttpRequest.newBuilder(URI.create(a[0] + path)).build(), HttpResponse.BodyHandlers.ofString());
            System.out.println(r.statusCode() + " " + r.version() + " " + r.body().trim().split(",")[0]);
        }
        HttpURLConnection old = (HttpURLConnection) new URL(a[0] + "/v1/old").openConnection();
        System.out.println(old.getResponseCode());
    }
}
"""


def wheel():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("osathing.py", "answer = 42\n")
        z.writestr("osathing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: osathing\nVersion: 1.0\n")
        z.writestr("osathing-1.0.dist-info/WHEEL",
                   "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("osathing-1.0.dist-info/RECORD", "")
    return out.getvalue()


def npm_package():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        data = json.dumps({"name": "osathing", "version": "1.0.0"}).encode()
        info = tarfile.TarInfo("package/package.json")
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def go_module():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("osa.test/thing@v1.0.0/go.mod", "module osa.test/thing\n")
        z.writestr("osa.test/thing@v1.0.0/thing.go", "package thing\n")
    return out.getvalue()


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []
    files = {}

    def do_GET(self):
        Origin.seen.append(self.path)
        body = Origin.files.get(self.path.partition("?")[0])
        if body is None and self.path.startswith("/v1/"):
            body = f"GET {self.path}\n".encode()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that does not like the certificate


class EgressClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.address = own_address()
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-clients-")
        os.chmod(cls.folder.name, 0o755)
        certificates = harness.Certificates(cls.folder.name)
        certificate, key = certificates.leaf("origin", "origin", f"DNS:{HOST}")
        cls.server = Server((cls.address, 0), Origin)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        cls.server.socket = context.wrap_socket(cls.server.socket, server_side=True,
                                                do_handshake_on_connect=False)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.port = cls.server.server_address[1]
        cls.url = f"https://{HOST}:{cls.port}"
        cls.names = NameServer()
        cls.names.table = {HOST: [[cls.address]]}
        cls.agent = harness.Agent("--egress-ca", str(certificates.ca), "--egress-dns",
                                  f"127.0.0.1:{cls.names.server_address[1]}")

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.server.shutdown()
        cls.server.server_close()
        cls.names.shutdown()
        cls.names.server_close()
        cls.folder.cleanup()

    def tool(self, name):
        found = shutil.which(name)
        if found is None:
            self.skipTest(f"{name} is missing")
        return pathlib.Path(found).resolve()

    def run_in(self, script, *binaries, readable=(), env=()):
        """Run a script in a fresh sandbox that lets these binaries reach the origin."""
        policy = self.agent.folder / "policy.yaml"
        folders = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev/urandom",
                   self.folder.name, *map(str, readable)]
        policy.write_text(json.dumps({
            "version": 1,
            "filesystem_policy": {"read_only": folders, "read_write": ["/tmp", "/dev/null"]},
            "network_policies": {"origin": {
                "endpoints": [{"host": HOST, "port": self.port, "protocol": "rest",
                               "enforcement": "enforce",
                               "rules": [{"allow": {"method": "GET", "path": "/**"}}],
                               "deny_rules": [{"method": "GET", "path": "/v1/secret"}]}],
                "binaries": [{"path": str(b)} for b in binaries]}}}))
        Origin.seen.clear()
        arguments = [harness.BIN / "openshell-agentctl", "run", "--policy", policy]
        for pair in (*env, "HOME=/tmp"):
            arguments += ["-e", pair]
        done = subprocess.run([*map(str, arguments), "--", "/bin/sh", "-ec", script], text=True,
                              capture_output=True, timeout=4 * harness.PATIENCE_S,
                              env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_curl(self):
        curl = self.tool("curl")
        out = self.run_in(f"curl -sS {self.url}/v1/a; curl -sS {self.url}/v1/secret", curl)
        self.assertTrue(out.startswith('GET /v1/a\n{"error":"policy_denied"'), out)

    def test_git(self):
        git = self.tool("git")
        helpers = pathlib.Path(subprocess.run([git, "--exec-path"], capture_output=True, text=True,
                                              check=True).stdout.strip())
        remote = (helpers / "git-remote-https").resolve()
        Origin.files = {"/repo.git/info/refs": b"0123456789012345678901234567890123456789\trefs/heads/main\n",
                        "/repo.git/HEAD": b"ref: refs/heads/main\n"}
        out = self.run_in(f"git ls-remote {self.url}/repo.git", git, remote)
        self.assertIn("0123456789012345678901234567890123456789\trefs/heads/main", out)

    def test_pip(self):
        python = pathlib.Path("/usr/bin/python3").resolve()
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode != 0:
            self.skipTest("pip is missing")
        name = "osathing-1.0-py3-none-any.whl"
        Origin.files = {"/simple/osathing/": f'<a href="/files/{name}">{name}</a>'.encode(),
                        f"/files/{name}": wheel()}
        self.run_in(f"/usr/bin/python3 -m pip --no-cache-dir --disable-pip-version-check download --no-deps "
                    f"--index-url {self.url}/simple -d /tmp/got osathing && test -e /tmp/got/{name}", python)

    def test_node_and_npm(self):
        node, npm = self.tool("node"), self.tool("npm")
        package = npm_package()
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
        Origin.files = {
            "/osathing": json.dumps({"name": "osathing", "dist-tags": {"latest": "1.0.0"}, "versions": {
                "1.0.0": {"name": "osathing", "version": "1.0.0",
                          "dist": {"tarball": f"{self.url}/osathing.tgz", "integrity": integrity}}}}).encode(),
            "/osathing.tgz": package}
        self.run_in(f"mkdir /tmp/p && cd /tmp/p && npm install --no-audit --no-fund --registry {self.url} "
                    "osathing >&2 && test -e node_modules/osathing/package.json", node,
                    readable={npm.parents[1], node.parents[1]})

    def test_go(self):
        go = self.tool("go")
        base = "/osa.test/thing/@v/v1.0.0"
        Origin.files = {f"{base}.info": b'{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}',
                        f"{base}.mod": b"module osa.test/thing\n", f"{base}.zip": go_module()}
        out = self.run_in("go mod download -json osa.test/thing@v1.0.0", go, readable={go.parents[1]},
                          env=(f"GOPROXY={self.url}", "GONOSUMDB=*", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local",
                               f"PATH={go.parent}:/usr/bin:/bin"))
        self.assertEqual(json.loads(out)["Version"], "v1.0.0")

    def test_java(self):
        java = self.tool("java")
        self.tool("javac")
        home = java.parents[1]
        (pathlib.Path(self.folder.name) / "Fetch.java").write_text(JAVA)
        subprocess.run(["javac", "-nowarn", "-d", self.folder.name, f"{self.folder.name}/Fetch.java"],
                       check=True, capture_output=True)
        os.chmod(f"{self.folder.name}/Fetch.class", 0o644)
        out = self.run_in(f"{java} -Xmx64m -cp {self.folder.name} Fetch {self.url}", java, readable={home})
        self.assertEqual(out.splitlines(), ["200 HTTP_1_1 GET /v1/java",
                                            '403 HTTP_1_1 {"error":"policy_denied"', "200"])


if __name__ == "__main__":
    sys.exit(harness.main())
