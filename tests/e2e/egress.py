#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The way out of a sandbox, with curl and Python inside and an origin of ours outside.

The guard refuses loopback whatever the policy says, so the origin listens on another address of
this machine, which the policy names.
"""
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import harness

FILES = ("{include_workdir: true, read_only: [/usr, /lib, /lib64, /bin, /etc, /proc, /dev/urandom], "
         "read_write: [/tmp, /dev/null]}")


def own_address():
    """An IPv4 address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.99", 9))
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        harness.skip("this machine has no IPv4 address but loopback")
    return address


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = []

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        Origin.seen.append((self.command, self.path, dict(self.headers), body))
        reply = f"{self.command} {self.path} {len(body)}\n".encode()
        if self.path == "/slow":
            self.drip()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def drip(self):
        """A response that never ends by itself."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"1\r\nx\r\n")
            time.sleep(0.05)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients that refuse our certificate are what some tests want


class Egress(unittest.TestCase):
    prefix = ()
    owner = None
    options = ()

    @classmethod
    def setUpClass(cls):
        harness.need_tool("curl")
        cls.address = own_address()
        cls.server = Server((cls.address, 0), Origin)
        cls.port = cls.server.server_address[1]
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-egress-")
        os.chmod(cls.folder.name, 0o755)
        certificates = harness.Certificates(cls.folder.name)
        good = certificates.leaf("origin", "origin", f"IP:{cls.address}")
        certificates.authority("stranger")
        cls.secure, cls.secure_port = cls.secure_origin(*good)
        cls.strange, cls.strange_port = cls.secure_origin(
            *certificates.leaf("strange", "origin", f"IP:{cls.address}", ca="stranger"))
        cls.agent = harness.Agent("--egress-ca", str(certificates.ca), *cls.options,
                                  prefix=cls.prefix, owner=cls.owner)
        cls.policy = cls.agent.folder / "policy.yaml"
        cls.policy.write_text(f"""version: 1
filesystem_policy: {FILES}
network_policies:
  origin:
    endpoints:
    - {{host: {cls.address}, ports: [{cls.port}, {cls.secure_port}, {cls.strange_port}]}}
    binaries: [{{path: /usr/bin/curl}}]
""")

        cls.rules = cls.agent.folder / "rules.yaml"
        cls.rules.write_text(f"""version: 1
filesystem_policy: {FILES}
network_policies:
  api:
    endpoints:
    - host: {cls.address}
      ports: [{cls.port}, {cls.secure_port}]
      protocol: rest
      enforcement: enforce
      rules: [{{allow: {{method: GET, path: "/v1/**"}}}}]
      deny_rules: [{{method: GET, path: /v1/secret}}]
    binaries: [{{path: /usr/bin/curl}}]
""")

    @classmethod
    def secure_origin(cls, certificate, key):
        server = Server((cls.address, 0), Origin)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, server.server_address[1]

    @classmethod
    def tearDownClass(cls):
        cls.agent.stop()
        for server in (cls.server, cls.secure, cls.strange):
            server.shutdown()
            server.server_close()
        cls.folder.cleanup()

    def setUp(self):
        Origin.seen.clear()
        self.origin = f"http://{self.address}:{self.port}"

    def ctl(self, *arguments, status=0):
        done = subprocess.run([harness.BIN / "openshell-agentctl", *arguments], capture_output=True,
                              text=True, timeout=harness.PATIENCE_S,
                              env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def run_in(self, script, status=0, policy=None):
        return self.ctl("run", "--policy", str(policy or self.policy), "--", "/bin/sh", "-c", script,
                        status=status)

    def events(self, kind):
        return [line for line in self.ctl("events").splitlines() if f" {kind} " in line]

    def test_the_variables_lead_to_the_proxy(self):
        self.assertEqual(self.run_in("echo $http_proxy $HTTPS_PROXY $NO_PROXY"),
                         "http://127.0.0.1:3128 http://127.0.0.1:3128 127.0.0.1,localhost,::1\n")
        self.assertEqual(self.ctl("run", "--policy", str(self.policy), "-e", "http_proxy=mine", "--",
                                  "/bin/sh", "-c", "echo $http_proxy"), "mine\n")

    def test_what_the_policy_allows_gets_through(self):
        out = self.run_in(f"curl -sS {self.origin}/a?b -d body {self.origin}/c; "
                          f"curl -sS -p -x $http_proxy {self.origin}/tunnel")
        self.assertEqual(out, "POST /a?b 4\nPOST /c 4\nGET /tunnel 0\n")
        self.assertEqual([s[2].get("Via") for s in Origin.seen],
                         ["1.1 openshell-sandbox", "1.1 openshell-sandbox", None])
        allowed = self.events("allowed")
        self.assertIn(f"forward POST to {self.address}:{self.port}/a by /usr/bin/curl",
                      "\n".join(allowed))
        self.assertIn("by rule origin", allowed[-1])

    def test_over_ipv6_as_well(self):
        if not pathlib.Path("/proc/net/if_inet6").exists():
            self.skipTest("this kernel has no IPv6")
        self.assertEqual(self.run_in(f"curl -sS -x http://[::1]:3128 {self.origin}/6"),
                         "GET /6 0\n")

    def test_tls_is_looked_into(self):
        url = f"https://{self.address}:{self.secure_port}"
        out = self.run_in(f"curl -sS -d body {url}/x {url}/y && "
                          f"curl -sSv {url}/z 2>&1 | grep -i issuer")
        self.assertTrue(out.startswith("POST /x 4\nPOST /y 4\n"), out)
        self.assertIn("CN=OpenShell Sandbox CA", out)
        self.assertEqual(Origin.seen[0][2]["Host"], f"{self.address}:{self.secure_port}")
        self.assertTrue(any(f"http POST to {self.address}:{self.secure_port}/x by /usr/bin/curl"
                            in line for line in self.events("allowed")), self.events("allowed"))
        out = self.run_in(f"curl -s -H 'Host: elsewhere.test' {url}/")
        self.assertEqual(json.loads(out)["error"], "request_authority_mismatch")

    def test_rules_about_requests_hold_in_the_clear_and_in_tls(self):
        for url in (self.origin, f"https://{self.address}:{self.secure_port}"):
            Origin.seen.clear()
            out = self.run_in(f"curl -sS {url}/v1/./a?b; curl -sS {url}/v1/secret; echo; "
                              f"curl -sS -X PUT -d x {url}/v1/a", policy=self.rules).splitlines()
            self.assertEqual(out[0], "GET /v1/a?b 0")
            denied, missing = json.loads(out[1]), json.loads(out[2])
            self.assertEqual((denied["error"], denied["policy"], denied["reason"], denied["path"]),
                             ("policy_denied", "api", "deny-rule", "/v1/secret"))
            self.assertEqual((missing["reason"], missing["rule"], missing["rule_missing"]["method"]),
                             ("not-permitted", "PUT /v1/a", "PUT"))
            self.assertEqual([s[1] for s in Origin.seen], ["/v1/a?b"])

    def test_strict_enforces_where_the_policy_says_nothing(self):
        lax = self.agent.folder / "lax.yaml"
        lax.write_text(self.rules.read_text().replace("      enforcement: enforce\n", ""))
        put = f"curl -sS -X PUT -d x {self.origin}/v1/a"
        self.assertEqual(self.run_in(put, policy=lax), "PUT /v1/a 1\n")
        usual, strict = self.agent, harness.Agent("--policy-strict", *self.options, prefix=self.prefix,
                                                  owner=self.owner)
        try:
            self.agent = strict
            self.assertEqual(json.loads(self.run_in(put, policy=lax))["reason"], "not-permitted")
        finally:
            self.agent = usual
            strict.stop()

    def test_a_server_that_nobody_vouches_for_is_not_spoken_to(self):
        out = self.run_in(f"curl -s https://{self.address}:{self.strange_port}/")
        answer = json.loads(out)
        self.assertEqual(answer["error"], "upstream_unreachable")
        self.assertIn("its certificate: ", answer["detail"])
        self.assertEqual(Origin.seen, [])

    def test_the_authority_is_the_sandboxs_own(self):
        script = ("for v in SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO "
                  "NODE_EXTRA_CA_CERTS DENO_CERT; do eval cat \\$$v | grep -c BEGIN; done | sort -nu "
                  "| head -1; sed -n 2p $NODE_EXTRA_CA_CERTS; (: > $SSL_CERT_FILE) 2>/dev/null; ls "
                  "/dev/openshell")
        one, other = self.run_in(script).splitlines(), self.run_in(script).splitlines()
        self.assertEqual(one[0], "1")
        self.assertEqual(one[2:], ["ca-bundle.p12", "ca-bundle.pem", "openshell-ca.pem"])
        self.assertNotEqual(one[1], other[1])
        harness.wait_until(lambda: not list((self.agent.folder / "state").glob("egress-*/*")),
                           "nothing is left of them")

    def test_another_port_is_refused_with_reasons(self):
        out = self.run_in(f"curl -s -w ' %{{http_code}}' http://{self.address}:1/")
        body, code = out.rsplit(" ", 1)
        answer = json.loads(body)
        self.assertEqual(code, "403")
        self.assertEqual((answer["error"], answer["reason"], answer["host"], answer["port"],
                          answer["binary"]),
                         ("policy_denied", "endpoint-miss", self.address, 1, "/usr/bin/curl"))
        self.assertIn(f"no rule lists {self.address}:1; add under network_policies",
                      answer["detail"])
        self.assertIn("endpoint-miss", self.events("denied")[-1])

    def test_another_program_is_refused(self):
        out = self.run_in(f"""exec /usr/bin/python3 - <<'E'
import urllib.error, urllib.request
try:
    urllib.request.urlopen("{self.origin}/")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
E""")
        code, body = out.split(" ", 1)
        answer = json.loads(body)
        self.assertEqual((code, answer["reason"]), ("403", "binary-miss"))
        self.assertEqual(answer["binary"], os.path.realpath("/usr/bin/python3"))
        self.assertEqual(Origin.seen, [])

    def test_an_allowed_program_under_another_name_is_not_it(self):
        out = self.run_in("cp /usr/bin/curl /tmp/osa-curl-$$ && "
                          f"/tmp/osa-curl-$$ -s {self.origin}/; rm /tmp/osa-curl-$$")
        self.assertEqual(json.loads(out)["reason"], "binary-miss")

    def test_a_link_in_the_policy_is_as_good_as_what_it_leads_to(self):
        if not os.path.islink("/usr/bin/python3"):
            self.skipTest("python3 is no link here")
        linked = self.agent.folder / "linked.yaml"
        linked.write_text(self.policy.read_text().replace("/usr/bin/curl", "/usr/bin/python3"))
        out = self.run_in(f"""exec /usr/bin/python3 - <<'E'
import urllib.request
print(urllib.request.urlopen("{self.origin}/linked").read().decode(), end="")
E""", policy=linked)
        self.assertEqual(out, "GET /linked 0\n")

    host_identity = "GET /proven 0\n"

    def test_who_asks_is_known_from_the_host(self):
        proven = self.agent.folder / "proven.yaml"
        proven.write_text(self.policy.read_text().replace("{path: /usr/bin/curl}",
                                                          "{path: 'host:/usr/bin/curl'}"))
        out = self.run_in(f"curl -sS {self.origin}/proven", policy=proven)
        self.assertIn(self.host_identity, out)

    def test_another_policy_drops_nothing_that_it_allows_and_cuts_the_rest(self):
        wider = self.agent.folder / "wider.yaml"
        wider.write_text(self.policy.read_text() + "  more:\n    endpoints: [{host: a.test, port: 1}]\n"
                         "    binaries: [{path: /usr/bin/curl}]\n")
        nothing = self.agent.folder / "nothing.yaml"
        nothing.write_text(self.policy.read_text().replace("/usr/bin/curl", "/usr/bin/other"))
        sandbox = self.ctl("sandbox", "create", "--policy", str(self.policy)).strip()
        try:
            # Requests on one kept connection, one after the other, while policies come and go.
            urls = " ".join(f"{self.origin}/{i}" for i in range(1000))
            load = subprocess.Popen(
                [harness.BIN / "openshell-agentctl", "run", "--sandbox", sandbox, "--", "/bin/sh",
                 "-c", f"curl -sS -f {urls} | grep -c ^GET"], stdout=subprocess.PIPE, text=True,
                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
            versions = 1
            while load.poll() is None:
                for policy in (wider, self.policy):
                    versions += 1
                    self.assertEqual(self.ctl("sandbox", "policy", sandbox, str(policy)),
                                     f"version {versions}\n")
            self.assertEqual(load.communicate()[0], "1000\n")
            self.assertGreater(versions, 3)
            # A tunnel that nobody may have any more ends.
            tunnel = subprocess.Popen(
                [harness.BIN / "openshell-agentctl", "run", "--sandbox", sandbox, "--", "/bin/sh",
                 "-c", f"curl -s -p -x $http_proxy {self.origin}/slow"],
                stdout=subprocess.DEVNULL,
                env={"OPENSHELL_AGENT_ADDRESS": f"unix:{self.agent.socket}"})
            harness.wait_until(lambda: any(s[1] == "/slow" for s in Origin.seen), "it is open")
            self.ctl("sandbox", "policy", sandbox, str(nothing))
            self.assertNotEqual(tunnel.wait(harness.PATIENCE_S), 0)
            out = self.ctl("run", "--sandbox", sandbox, "--", "/usr/bin/curl", "-s",
                           f"{self.origin}/")
            self.assertEqual(json.loads(out)["reason"], "binary-miss")
            fixed = self.agent.folder / "fixed.yaml"
            fixed.write_text(self.policy.read_text().replace("[/tmp,", "[/var/tmp,"))
            self.ctl("sandbox", "policy", sandbox, str(fixed), status=1)
        finally:
            self.ctl("sandbox", "rm", sandbox)
        self.assertTrue(any("policy updated" in line for line in
                            self.ctl("events").splitlines()))

    def test_a_flood_of_decisions_leaves_the_event_log_readable(self):
        urls = " ".join(f"{self.origin}/{i}" for i in range(400))
        self.run_in(f"curl -sS -f {urls} | grep -c ^GET")
        time.sleep(0.2)  # some tokens come back
        self.run_in(f"curl -sS {self.origin}/last")
        sandboxes = [line.split("sandbox=")[1].split()[0] for line in self.events("allowed")]
        flooded = [s for s in set(sandboxes) if sandboxes.count(s) > 40]
        self.assertTrue(flooded)
        self.assertLess(max(sandboxes.count(s) for s in flooded), 300)

    def test_loopback_and_metadata_of_the_host_are_out_of_reach(self):
        out = self.run_in("curl -s http://169.254.169.254/; curl -s http://[::ffff:127.0.0.1]:1/")
        for line in out.replace("}{", "}\n{").splitlines():
            self.assertIn(json.loads(line)["error"], ("policy_denied", "ssrf_denied"))
        self.assertEqual(out.count('"error"'), 2)

    def test_nothing_leads_past_the_proxy(self):
        self.run_in(f"curl -sS --noproxy '*' {self.origin}/", status=7)
        self.assertEqual(Origin.seen, [])
        self.assertTrue(any(f"network tcp to {self.address}:{self.port}" in line
                            for line in self.events("denied")), self.events("denied"))

    def test_decisions_are_written_as_ocsf_events(self):
        path = self.agent.folder / "events.json"
        usual, writing = self.agent, harness.Agent("--ocsf-file", str(path), prefix=self.prefix,
                                                   owner=self.owner)
        try:
            self.agent = writing
            path.rename(path.with_suffix(".old"))  # rotated before the first
            self.run_in(f"curl -sS {self.origin}/v1/a?secret; curl -s {self.origin}/v1/secret; "
                        f"curl -sp -x $http_proxy http://{self.address}:1/; true",
                        policy=self.rules)
            text = path.read_text()
        finally:
            self.agent = usual
            writing.stop()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("?secret", text)
        allowed, rule, connect = map(json.loads, text.splitlines())
        self.assertEqual((allowed["type_uid"], allowed["action"], allowed["disposition"],
                          allowed["http_request"]["url"], allowed["firewall_rule"]["name"]),
                         (400203, "Allowed", "Allowed", f"{self.address}:{self.port}/v1/a", "api"))
        self.assertEqual((rule["class_uid"], rule["severity"], rule["status_code"],
                          rule["firewall_rule"]["type"], rule["actor"]["process"]["name"]),
                         (4002, "Medium", "deny-rule", "l7", "/usr/bin/curl"))
        self.assertEqual((connect["type_uid"], connect["activity_name"], connect["action_id"],
                          connect["dst_endpoint"], connect["firewall_rule"]),
                         (400105, "Refuse", 2, {"domain": self.address, "port": 1},
                          {"name": "-", "type": "opa"}))
        self.assertEqual({e["metadata"]["version"] for e in (allowed, rule, connect)}, {"1.8.0"})

    def test_without_network_policies_there_is_no_proxy(self):
        self.assertEqual(self.ctl("run", "--", "/bin/sh", "-c", "echo \"<$http_proxy>\""), "<>\n")


@unittest.skipUnless(os.geteuid() == 0, "needs root, to become nobody")
class Rootless(Egress):
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    owner = 65534

    @classmethod
    def setUpClass(cls):
        probe = subprocess.run([*cls.prefix, "unshare", "-Urn", "true"], capture_output=True)
        if probe.returncode != 0:
            raise unittest.SkipTest("nobody cannot make a user namespace here")
        super().setUpClass()


@unittest.skipUnless(os.geteuid() == 0, "needs root, to make veth pairs")
class Veth(Egress):
    """The same with an interface beside loopback: the proxy listens at its other end."""
    options = ("--veth-pool", "10.213.0.0/16")

    def test_the_variables_lead_to_the_proxy(self):
        out = self.run_in("echo $http_proxy; grep -c eth0: /proc/net/dev")
        self.assertRegex(out, r"^http://10\.213\.\d+\.\d+:3128\n1\n$")

    def test_over_ipv6_as_well(self):
        if not os.path.exists("/proc/net/if_inet6"):
            self.skipTest("this kernel has no IPv6")
        # The two ends have neighbouring addresses, the even one is the host's.
        gateway = ("import ipaddress; print(ipaddress.ip_address(bytes.fromhex([w for w in map(str.split, "
                   "open('/proc/net/if_inet6')) if w[5] == 'eth0' and w[0][:2] == 'fd'][0][0])) - 1)")
        self.assertEqual(self.run_in(f'curl -sS -x "http://[$(python3 -c "{gateway}")]:3128" {self.origin}/6'),
                         "GET /6 0\n")

    def test_nobody_else_reaches_the_proxy(self):
        """Not the host by the gateway's own address, and not the next sandbox."""
        waiting = subprocess.Popen(
            [harness.BIN / "openshell-agentctl", "--address", f"unix:{self.agent.socket}", "run", "-i",
             "--policy", self.policy, "--", "/bin/sh", "-c", "echo $http_proxy; read -r _"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            host, port = waiting.stdout.readline().strip().removeprefix("http://").split(":")
            with self.assertRaises(TimeoutError):
                socket.create_connection((host, int(port)), timeout=2).close()
            self.run_in(f"curl -sS -x http://{host}:{port} {self.origin}/", status=7)
        finally:
            waiting.communicate("\n", timeout=harness.PATIENCE_S)

    def test_a_dead_agents_interfaces_go_with_its_successor(self):
        agent = harness.Agent(*self.options)
        mine = lambda: {name for _, name in socket.if_nameindex() if name.startswith("osa")}
        others = mine()
        command = [harness.BIN / "openshell-agentctl", "--address", f"unix:{agent.socket}", "run", "-d",
                   "--policy", self.policy, "--", "/bin/sleep", "600"]
        subprocess.run(command, check=True, capture_output=True)
        made = mine() - others
        self.assertEqual(len(made), 1)
        agent.stop(signal.SIGKILL)
        successor = harness.Agent(*self.options)
        harness.wait_until(lambda: not made & mine(), "its interface has gone")
        self.assertEqual(successor.stop(), 0)


if __name__ == "__main__":
    sys.exit(harness.main())
