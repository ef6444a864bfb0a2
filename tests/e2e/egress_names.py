#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that know no proxy: their names are resolved under the policy, their TCP is decided.

The name server is ours, so that names lead where a test wants. The guard refuses loopback whatever
the policy says, so the origin listens on another address of this machine.
"""
import collections
import ipaddress
import os
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import egress
import harness

PYTHON = os.path.realpath("/usr/bin/python3")
# Asks for a name and a type, by UDP or TCP, and prints code and addresses.
ASK = """
import socket, struct, sys
def ask(name, kind, server="127.0.0.1", tcp=False, labels=None):
    wire = labels if labels is not None else b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + wire + struct.pack(">HH", kind, 1)
    if tcp:
        with socket.create_connection((server, 53), 60) as s:
            s.sendall(struct.pack(">H", len(query)) + query)
            size, = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))
            reply = s.recv(size, socket.MSG_WAITALL)
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(60)
            s.connect((server, 53))
            s.send(query)
            reply = s.recv(4096)
    assert reply[:2] == query[:2]
    count, = struct.unpack(">H", reply[6:8])
    print(name, reply[3] & 15, socket.inet_ntoa(reply[-4:]) if count else "-")
"""


class NameServer(socketserver.ThreadingUDPServer):
    """Answers A from a table: a list of answers for each name, the last of which stays."""
    daemon_threads = True

    def __init__(self):
        self.table = {}
        self.seen = collections.Counter()
        super().__init__(("127.0.0.1", 0), NameHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, name, kind):
        self.seen[name] += 1
        turns = self.table.get(name)
        if turns is None or kind != 1:
            return turns is not None, []
        return True, turns.pop(0) if len(turns) > 1 else turns[0]


class NameHandler(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        kind, = struct.unpack(">H", data[at + 1:at + 3])
        known, addresses = self.server.answer(".".join(labels).lower(), kind)
        reply = data[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(addresses),
                                       0, 0) + data[12:at + 5]
        for address in addresses:
            reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        sock.sendto(reply, self.client_address)


class Greeter(socketserver.BaseRequestHandler):
    """Speaks first, then says back what it hears."""
    peers = 0

    def handle(self):
        Greeter.peers += 1
        self.request.sendall(b"220 ready\n")
        while data := self.request.recv(4096):
            self.request.sendall(data)


class Names(unittest.TestCase):
    prefix = ()
    owner = None
    ctl, run_in, events = egress.Egress.ctl, egress.Egress.run_in, egress.Egress.events

    @classmethod
    def setUpClass(cls):
        cls.address = egress.own_address()
        cls.names = NameServer()
        cls.server = socketserver.ThreadingTCPServer((cls.address, 0), Greeter)
        cls.server.daemon_threads = True
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.port = cls.server.server_address[1]
        cls.agent = harness.Agent("--egress-dns", f"127.0.0.1:{cls.names.server_address[1]}",
                                  prefix=cls.prefix, owner=cls.owner)
        cls.policy = cls.agent.folder / "policy.yaml"
        cls.policy.write_text(f"""version: 1
filesystem_policy: {egress.FILES}
network_policies:
  db:
    endpoints:
    - {{host: db.acme.test, port: {cls.port}, protocol: tcp}}
    - {{host: rebound.acme.test, port: {cls.port}, protocol: tcp}}
    - {{host: "*.wild.acme.test", port: {cls.port}, protocol: tcp}}
    - {{host: web.acme.test, port: {cls.port}}}
    binaries: [{{path: {PYTHON}}}]
""")

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        cls.server.shutdown()
        cls.server.server_close()
        cls.names.shutdown()
        cls.names.server_close()

    def setUp(self):
        Greeter.peers = 0
        self.names.seen.clear()
        self.names.table = {"db.acme.test": [[self.address]], "web.acme.test": [[self.address]],
                            "rebound.acme.test": [[self.address], ["127.0.0.1"]]}

    def python(self, text, status=0):
        return self.run_in(f"exec {PYTHON} - <<'E'\n{ASK}\n{text}\nE", status=status)

    def test_a_program_without_a_proxy_reaches_what_is_listed(self):
        out = self.python(f"""
with socket.create_connection(("DB.acme.test", {self.port}), 60) as s:
    print(s.getpeername()[0].rsplit(".", 2)[0], s.recv(10, socket.MSG_WAITALL).decode().strip())
    s.sendall(b"x" * 300000)
    s.shutdown(socket.SHUT_WR)
    print(sum(len(d) for d in iter(lambda: s.recv(65536), b"")))""")
        self.assertEqual(out, "198.18 220 ready\n300000\n")
        self.assertIn(f"tcp to db.acme.test:{self.port} by {PYTHON}", self.events("allowed")[-1])
        self.assertIn("by rule db", self.events("allowed")[-1])

    def test_names_that_are_not_listed_go_nowhere(self):
        out = self.python("""
ask("web.acme.test", 1)
ask("secret-data.evil.test", 1, "8.8.8.8")
ask("secret-data.evil.test", 28)
ask("db.acme.test", 15)
ask("db.acme.test", 28)
ask("no\\0such", 1, labels=b"\\2no\\xc0\\x0c")
ask("db.acme.test", 1, "192.0.2.1", tcp=True)
ask("evil.test", 1, tcp=True)""")
        self.assertEqual([line.split(" ")[1:] for line in out.splitlines()],
                         [["5", "-"], ["5", "-"], ["0", "-"], ["4", "-"], ["0", "-"], ["1", "-"],
                          ["0", "198.18.0.1"], ["5", "-"]])
        self.assertEqual(set(self.names.seen), {"db.acme.test"})
        self.assertTrue(any("dns to secret-data.evil.test by unknown" in line and
                            "endpoint-miss" in line for line in self.events("denied")))

    def test_a_name_that_leads_to_loopback_alone_has_no_address(self):
        self.names.table["db.acme.test"] = [["127.0.0.1", "169.254.169.254"]]
        self.assertEqual(self.python('ask("db.acme.test", 1)'), "db.acme.test 2 -\n")
        del self.names.table["db.acme.test"]
        self.assertEqual(self.python('ask("db.acme.test", 1)'), "db.acme.test 3 -\n")

    def test_a_name_that_is_rebound_is_not_followed(self):
        out = self.python(f"""
ask("rebound.acme.test", 1)
s = socket.create_connection(("rebound.acme.test", {self.port}), 60)
print(s.recv(10))""")
        self.assertEqual(out, "rebound.acme.test 0 198.18.0.1\nb''\n")
        self.assertEqual(Greeter.peers, 0)
        self.assertIn("declared-endpoint", self.events("denied")[-1])

    def test_a_wildcard_leads_to_public_addresses_alone(self):
        self.names.table["a.wild.acme.test"] = [[self.address]]
        out = self.python(f"""
s = socket.create_connection(("a.wild.acme.test", {self.port}), 60)
print(len(s.recv(10, socket.MSG_WAITALL)))""")
        public = ipaddress.ip_address(self.address).is_global
        self.assertEqual(out, "10\n" if public else "0\n")

    def test_another_program_or_port_is_refused(self):
        self.python(f"""
s = socket.create_connection(("db.acme.test", {self.port + 1}), 60)
print(s.recv(10))""")
        self.assertIn("endpoint-miss", self.events("denied")[-1])
        self.run_in(f"exec bash -c 'exec 3<>/dev/tcp/db.acme.test/{self.port}; read -r l <&3; "
                    "echo \"<$l>\"'")
        self.assertIn("binary-miss", self.events("denied")[-1])
        self.assertEqual(Greeter.peers, 0)

    def test_addresses_that_stand_for_nothing_lead_nowhere(self):
        out = self.python("""
for address in ("198.18.9.9", "198.19.255.254"):
    print(socket.create_connection((address, 80), 60).recv(10))
print(socket.create_connection(("127.0.0.1", 15001), 60).recv(10))""")
        self.assertEqual(out, "b''\nb''\nb''\n")
        self.assertIn("mapping-missing", self.events("denied")[-1])

    def test_tls_for_another_host_is_refused(self):
        out = self.python(f"""
import ssl
context = ssl._create_unverified_context()
s = socket.create_connection(("db.acme.test", {self.port}), 60)
s.recv(10, socket.MSG_WAITALL)
try:
    context.wrap_socket(s, server_hostname="other.acme.test")
    print("spoken to")
except OSError:
    print("cut")""")
        self.assertEqual(out, "cut\n")
        self.assertIn("tls-name", self.events("denied")[-1])

    def test_a_policy_without_tcp_endpoints_has_no_resolver_and_gets_none(self):
        plain = self.agent.folder / "plain.yaml"
        plain.write_text(self.policy.read_text().replace(", protocol: tcp", ""))
        sandbox = self.ctl("sandbox", "create", "--policy", str(plain)).strip()
        try:
            done = subprocess.run(
                [harness.BIN / "openshell-agentctl", "sandbox", "policy", sandbox, str(self.policy)],
                capture_output=True, text=True, timeout=harness.PATIENCE_S,
                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
            self.assertEqual(done.returncode, 1)
            self.assertIn("has no resolver: it was made without an endpoint of protocol tcp",
                          done.stderr)
        finally:
            self.ctl("sandbox", "rm", sandbox)

    def test_a_policy_that_lists_a_name_no_more_cuts_its_connections(self):
        nothing = self.agent.folder / "nothing.yaml"
        nothing.write_text(self.policy.read_text().replace("host: db.acme.test", "host: x.acme.test"))
        sandbox = self.ctl("sandbox", "create", "--policy", str(self.policy)).strip()
        script = f"""
import socket
s = socket.create_connection(("db.acme.test", {self.port}), 60)
print(s.recv(10), flush=True)
print(s.recv(10))"""
        try:
            run = subprocess.Popen(
                [harness.BIN / "openshell-agentctl", "run", "--sandbox", sandbox, "--", PYTHON,
                 "-c", script], stdout=subprocess.PIPE, text=True,
                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
            self.assertEqual(run.stdout.readline(), "b'220 ready\\n'\n")
            self.ctl("sandbox", "policy", sandbox, str(nothing))
            self.assertEqual(run.communicate(timeout=harness.PATIENCE_S)[0], "b''\n")
            out = self.ctl("run", "--sandbox", sandbox, "--", PYTHON, "-c",
                           ASK + '\nask("db.acme.test", 1)')
            self.assertEqual(out, "db.acme.test 5 -\n")
        finally:
            self.ctl("sandbox", "rm", sandbox)


class Corporate(socketserver.BaseRequestHandler):
    """Another proxy: it wants a password, and lets some addresses out."""
    heads, refused = [], set()

    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(1)
        lines = head.decode().split("\r\n")
        self.heads.append(lines)
        target = lines[0].split()[1]
        if "Proxy-Authorization: Basic dXNlcjpwYXNz" not in lines:
            self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        elif target.split(":")[0] in self.refused:
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        else:
            # What the server says first comes in one segment with the answer.
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n220 corporate\n")
            while data := self.request.recv(4096):
                self.request.sendall(data)


class ByAnotherProxy(unittest.TestCase):
    ctl, run_in, events = egress.Egress.ctl, egress.Egress.run_in, egress.Egress.events

    @classmethod
    def setUpClass(cls):
        cls.names = NameServer()
        cls.names.table = {"proxy.corp.test": [["127.0.0.1"]]}
        cls.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Corporate)
        cls.server.daemon_threads = True
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-corp-")
        cls.auth = f"{cls.folder.name}/auth"
        with open(cls.auth, "w") as file:
            file.write("user:pass\n")
        cls.agent = harness.Agent(
            "--egress-dns", f"127.0.0.1:{cls.names.server_address[1]}",
            "--upstream-proxy", f"http://proxy.corp.test:{cls.server.server_address[1]}",
            "--upstream-no-proxy", "direct.acme.test", "--upstream-proxy-auth-file", cls.auth,
            "--upstream-proxy-auth-allow-insecure")
        cls.policy = cls.agent.folder / "policy.yaml"
        cls.policy.write_text(f"""version: 1
filesystem_policy: {egress.FILES}
network_policies:
  db:
    endpoints:
    - {{host: db.acme.test, port: 5432, protocol: tcp}}
    - {{host: direct.acme.test, port: 1, protocol: tcp}}
    - {{host: web.acme.test, port: 25}}
    binaries: [{{path: {PYTHON}}}]
""")

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        for server in (cls.server, cls.names):
            server.shutdown()
            server.server_close()
        cls.folder.cleanup()

    def setUp(self):
        Corporate.heads.clear()
        Corporate.refused = set()
        self.names.table |= {name: [["10.99.0.1", "10.99.0.2"]] for name in
                             ("db.acme.test", "direct.acme.test", "web.acme.test")}

    def talk(self, host, port, size=14):
        return self.run_in(f"""exec {PYTHON} - <<'E'
import socket
s = socket.create_connection(("{host}", {port}), 60)
print(s.recv({size}, socket.MSG_WAITALL).decode().strip())
s.sendall(b"ping")
print(s.recv(4, socket.MSG_WAITALL).decode())
E""")

    def test_it_is_told_addresses_that_were_checked(self):
        Corporate.refused = {"10.99.0.1"}
        self.assertEqual(self.talk("db.acme.test", 5432), "220 corporate\nping\n")
        self.assertEqual([h[0] for h in Corporate.heads],
                         ["CONNECT 10.99.0.1:5432 HTTP/1.1", "CONNECT 10.99.0.2:5432 HTTP/1.1"])
        self.assertEqual(Corporate.heads[0][1:3],
                         ["Host: 10.99.0.1:5432", "Proxy-Authorization: Basic dXNlcjpwYXNz"])

    def test_tunnels_go_by_it_and_are_told_what_it_says(self):
        script = f"""exec {PYTHON} - <<'E'
import socket
s = socket.create_connection(("127.0.0.1", 3128), 60)
s.sendall(b"CONNECT web.acme.test:25 HTTP/1.1\\r\\nHost: web.acme.test:25\\r\\n\\r\\n")
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += s.recv(1)
print(head.split(b"\\r\\n")[0].decode())
print(s.makefile().readline().strip())
E"""
        self.assertEqual(self.run_in(script),
                         "HTTP/1.1 200 Connection Established\n220 corporate\n")
        Corporate.refused = {"10.99.0.1", "10.99.0.2"}
        out = self.run_in(script)
        self.assertTrue(out.startswith("HTTP/1.1 502 "), out)
        self.assertIn(f"the proxy proxy.corp.test:{self.server.server_address[1]} answered 403", out)

    def test_what_is_left_out_goes_directly(self):
        self.names.table["direct.acme.test"] = [[egress.own_address()]]
        self.run_in(f"""exec {PYTHON} - <<'E'
import socket
print(socket.create_connection(("direct.acme.test", 1), 60).recv(1))
E""")
        self.assertIn("direct.acme.test:1 cannot be reached", self.events("denied")[-1])
        self.assertEqual(Corporate.heads, [])

    def test_it_is_no_part_of_what_the_policy_decides(self):
        self.names.table["db.acme.test"] = [["169.254.169.254"], ["127.0.0.1"]]
        self.run_in(f"{PYTHON} -c 'import socket; socket.create_connection((\"db.acme.test\", "
                    "5432), 60)' 2>/dev/null; true")
        self.assertEqual(Corporate.heads, [])

    def test_options_that_do_not_fit_are_refused_at_the_start(self):
        for arguments, text in ((["--upstream-no-proxy", "*"], "means nothing without"),
                                (["--upstream-proxy", "http://p:1", "--upstream-proxy-auth-file",
                                  self.auth], "go together"),
                                (["--upstream-proxy", "https://p:1"], "has to be http://HOST:PORT")):
            done = subprocess.run([harness.BIN / "openshell-agent", "serve", "--listen",
                                   f"unix:{self.folder.name}/a.sock", "--state-dir",
                                   self.folder.name, *arguments], capture_output=True, text=True,
                                  timeout=harness.PATIENCE_S, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 1)
            self.assertIn(text, done.stderr)


@unittest.skipUnless(os.geteuid() == 0, "needs root, to become nobody")
class Rootless(Names):
    prefix = egress.Rootless.prefix
    owner = 65534

    @classmethod
    def setUpClass(cls):
        probe = subprocess.run([*cls.prefix, "unshare", "-Urn", "true"], capture_output=True)
        if probe.returncode != 0:
            raise unittest.SkipTest("nobody cannot make a user namespace here")
        super().setUpClass()


if __name__ == "__main__":
    sys.exit(harness.main())
