#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-sandbox against a gateway that refuses, vanishes at each step, or talks nonsense."""
import pathlib
import shutil
import tempfile

import gateway_double
import harness
from gateway_double import Code, gate, hang, refuse
from supervisor import WithDouble

FAST = {"OPENSHELL_POLICY_POLL_INTERVAL_SECS": "1"}


class Refusals(WithDouble):
    """What the gateway refuses at the start ends the program: status 1, and why on standard error."""

    def refused(self, sandbox, *texts, **environment):
        supervisor = self.start(sandbox, "/bin/touch", "ran", environment=environment)
        self.assertEqual(supervisor.wait(), 1)
        for text in texts:
            self.assertIn(text, supervisor.log())
        self.assertFalse((supervisor.work / "ran").exists())

    def test_a_token_of_another_sandbox(self):
        mine, other = self.double.add(), self.double.add()
        self.refused(mine, "GetSandboxConfig: token of another sandbox",
                     OPENSHELL_SANDBOX_TOKEN=other.token)

    def test_no_token(self):
        self.refused(self.double.add(), "token", OPENSHELL_SANDBOX_TOKEN_FILE="/does/not/exist")

    def test_an_expired_token(self):
        self.double.faults["GetSandboxConfig"] = refuse(Code.UNAUTHENTICATED, "token expired")
        self.refused(self.double.add(), "GetSandboxConfig: token expired")

    def test_a_sandbox_that_is_unknown(self):
        sandbox = self.double.add()
        del self.double.sandboxes[sandbox.id]
        self.refused(sandbox, "GetSandboxConfig: no such sandbox")

    def test_a_service_account_that_is_refused(self):
        self.double.faults["IssueSandboxToken"] = refuse(Code.UNAUTHENTICATED, "not reviewed")
        self.refused(self.double.add(), "IssueSandboxToken: not reviewed",
                     OPENSHELL_SANDBOX_TOKEN_FILE="",
                     OPENSHELL_K8S_SA_TOKEN_FILE=self.account())

    def account(self):
        path = self.temporary() / "account"
        path.write_text("a-token-of-the-cluster\n")
        return str(path)


class ServiceAccount(WithDouble):
    def test_it_is_exchanged(self):
        """The account's token is good for one call, the sandbox's for all others."""
        sandbox = self.double.add()
        seen = []

        def issue(context):
            seen.append(dict(context.invocation_metadata())["authorization"])
            return gate.IssueSandboxTokenResponse(token=sandbox.token)
        self.double.faults["IssueSandboxToken"] = issue
        path = self.temporary() / "account"
        path.write_text("a-token-of-the-cluster\n")
        self.started(sandbox, environment={"OPENSHELL_SANDBOX_TOKEN_FILE": "",
                                           "OPENSHELL_K8S_SA_TOKEN_FILE": str(path)})
        self.assertEqual(seen, ["Bearer a-token-of-the-cluster"])
        self.assertEqual(self.run_ssh(sandbox, "echo hello"), "hello\n")

    def test_again_when_the_token_is_lost(self):
        """Tokens that expire at once: the second is refused, and the account's is exchanged anew."""
        sandbox = self.double.add()
        path = self.temporary() / "account"
        path.write_text("a-token-of-the-cluster\n")
        seen = []

        def issue(context):
            seen.append(dict(context.invocation_metadata())["authorization"])
            path.write_text(f"a-token-of-the-cluster-{len(seen)}\n")
            return gate.IssueSandboxTokenResponse(token=sandbox.token, expires_at_ms=1)
        self.double.faults["IssueSandboxToken"] = issue
        self.double.faults["RefreshSandboxToken"] = refuse(Code.UNAUTHENTICATED, "expired")
        self.started(sandbox, environment={"OPENSHELL_SANDBOX_TOKEN_FILE": "",
                                           "OPENSHELL_K8S_SA_TOKEN_FILE": str(path)})
        harness.wait_until(lambda: len(seen) >= 2, "the account's token is exchanged again")
        self.assertEqual(seen[:2], ["Bearer a-token-of-the-cluster",
                                    "Bearer a-token-of-the-cluster-1"])
        self.double.faults.clear()
        harness.wait_until(lambda: self.run_ssh(sandbox, "echo hello") == "hello\n", "it lives")


class Vanishing(WithDouble):
    """Each step fails or hangs for a while; the sandbox gets there, or goes on without."""

    def lives(self, sandbox):
        self.assertEqual(self.run_ssh(sandbox, "echo alive"), "alive\n")

    def test_at_the_configuration(self):
        self.double.faults["GetSandboxConfig"] = refuse(Code.UNAVAILABLE)
        sandbox = self.double.add()
        supervisor = self.start(sandbox)
        harness.wait_until(lambda: "the gateway does not answer; tried again" in supervisor.log(),
                           "it has tried")
        self.double.faults.clear()
        gateway_double.wait_ready(sandbox)
        self.lives(sandbox)

    def test_at_the_environment_of_providers(self):
        self.double.faults["GetSandboxProviderEnvironment"] = refuse(Code.INTERNAL)
        sandbox = self.double.add()
        sandbox.provide(1, plain=[("REGION", "eu")])
        self.started(sandbox, environment=FAST)
        self.assertEqual(self.run_ssh(sandbox, "echo [$REGION]"), "[]\n")
        self.double.faults.clear()
        harness.wait_until(lambda: self.run_ssh(sandbox, "echo [$REGION]") ==
                           "[openshell:resolve:env:v1_REGION]\n", "it was asked again")

    def test_at_the_offer_of_a_policy(self):
        self.double.faults["UpdateConfig"] = refuse(Code.FAILED_PRECONDITION)
        sandbox = self.double.add()
        self.started(sandbox)
        self.lives(sandbox)

    def test_at_the_session(self):
        self.double.faults["ConnectSupervisor"] = refuse(Code.UNAVAILABLE)
        sandbox = self.double.add()
        supervisor = self.start(sandbox)
        harness.wait_until(lambda: "no session; connecting again" in supervisor.log(), "it tries")
        self.double.faults.clear()
        gateway_double.wait_ready(sandbox)
        self.lives(sandbox)

    def test_at_the_logs_and_the_polls(self):
        for name in ("PushSandboxLogs", "ReportPolicyStatus"):
            self.double.faults[name] = hang
        sandbox = self.double.add()
        supervisor = self.started(sandbox, environment=FAST)
        self.double.faults["GetSandboxConfig"] = hang
        self.lives(sandbox)
        self.assertEqual(supervisor.end(), 143)

    def test_at_the_report_of_the_exit(self):
        self.double.faults["ReportMainProcessExit"] = refuse(Code.INTERNAL)
        sandbox = self.double.add()
        supervisor = self.started(sandbox, "/bin/sh", "-c", "read x; exit 6")
        listener = self.double.port_for(sandbox, ssh=gate.SshRelayTarget())
        self.addCleanup(listener.close)
        self.double.ssh(sandbox, "-s", "x@127.0.0.1", "openshell-main", input=b"go\n")
        harness.wait_until(lambda: "the exit cannot be reported" in supervisor.log(), "it tries")
        self.assertIsNone(supervisor.process.poll())
        self.double.faults.clear()
        self.assertEqual(supervisor.wait(), 6)
        self.assertEqual(sandbox.exit, 6)

    def test_for_good(self):
        """Whoever stops it is not kept by a gateway that is no more."""
        sandbox = self.double.add()
        supervisor = self.started(sandbox)
        self.double.stop()
        harness.wait_until(lambda: "no session; connecting again" in supervisor.log(), "it tries")
        self.assertEqual(supervisor.end(), 143)


class Nonsense(WithDouble):
    def setUp(self):
        super().setUp()
        self.sandbox = self.double.add()
        self.supervisor = self.started(self.sandbox)

    def say(self, **message):
        self.sandbox.session.out.put(gate.GatewayMessage(**message))

    def lives(self):
        self.assertEqual(self.run_ssh(self.sandbox, "echo alive"), "alive\n")

    def test_messages_out_of_turn(self):
        self.say(session_accepted=gate.SessionAccepted(session_id="again"))
        self.say(session_rejected=gate.SessionRejected(reason="too late"))
        self.say(relay_close=gate.RelayClose(channel_id="nothing", reason="x" * 10000))
        self.say()
        self.say(heartbeat=gate.GatewayHeartbeat())
        self.lives()
        self.assertEqual(len(self.sandbox.sessions), 1)

    def test_relays_that_cannot_be(self):
        for target, text in ((("192.0.2.1", 80), "the host must be a loopback address"),
                             (("127.0.0.1", 0), "the port must be 1 to 65535"),
                             (("127.0.0.1", 65536), "the port must be 1 to 65535"),
                             (("", 80), "the host must be a loopback address"),
                             (("127.0.0.1.example.com", 80), "the host must be a loopback"),
                             (("127.0.0.1", 1), "refused")):
            error = self.double.open_relay(
                self.sandbox, tcp=gate.TcpRelayTarget(host=target[0], port=target[1]))
            self.assertIsInstance(error, str, target)
            self.assertIn(text, error)
        self.say(relay_open=gate.RelayOpen(channel_id="c" * 300))
        self.lives()

    def test_relays_that_nobody_claims(self):
        """Their streams are NOT_FOUND; nothing of them stays."""
        before = self.open_sockets()
        self.double.faults["RelayStream"] = refuse(Code.NOT_FOUND)
        for _ in range(200):
            self.double.open_relay(self.sandbox, ssh=gate.SshRelayTarget())
        self.double.faults.clear()
        harness.wait_until(lambda: self.open_sockets() < before + 20, "their sockets are closed")
        self.lives()

    def open_sockets(self):
        return len(list(pathlib.Path(f"/proc/{self.supervisor.process.pid}/fd").iterdir()))

    def test_a_relay_that_stays_open_does_not_hold_the_end(self):
        relays = [self.double.open_relay(self.sandbox, ssh=gate.SshRelayTarget())
                  for _ in range(10)]
        self.assertEqual(self.supervisor.end(), 143)
        for relay in relays:
            while relay.from_sandbox.get(timeout=harness.PATIENCE_S) is not gateway_double.END:
                pass

    def test_a_relay_that_takes_nothing(self):
        """A client that does not read stops its process, not the agent."""
        relay = self.double.open_relay(self.sandbox, ssh=gate.SshRelayTarget())
        relay.to_sandbox.put(b"SSH-2.0-silent\r\n")
        self.lives()
        relay.to_sandbox.put(gateway_double.END)


class MutualTls(WithDouble):
    """https: the gateway is believed for its authority and name, and we show a certificate."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="osa-pki-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.certificates = harness.Certificates(cls.folder)
        cls.other = cls.certificates.authority("other")

    def setUp(self):
        super().setUp()
        self.tls = gateway_double.Double(self.certificates)
        self.addCleanup(self.tls.stop)
        self.sandbox = self.double.add()
        self.tls.sandboxes[self.sandbox.id] = self.sandbox

    def environment(self, **changes):
        return {"OPENSHELL_ENDPOINT": f"https://127.0.0.1:{self.tls.port}",
                "OPENSHELL_TLS_CA": str(self.certificates.ca),
                "OPENSHELL_TLS_CERT": str(self.certificates.client_cert),
                "OPENSHELL_TLS_KEY": str(self.certificates.client_key), **changes}

    def runs(self, **changes):
        """One run; its exit is reported, so the last call went through as well."""
        supervisor = self.start(self.sandbox, "/bin/sh", "-c", "exit 3",
                                environment=self.environment(**changes))
        self.assertEqual(supervisor.wait(), 3, supervisor.log())
        self.assertEqual(self.sandbox.exit, 3)

    def fails(self, status, text, **changes):
        supervisor = self.start(self.sandbox, environment=self.environment(**changes))
        self.assertEqual(supervisor.wait(), status, supervisor.log())
        self.assertIn(text, supervisor.log())

    def test_it_works(self):
        self.runs()

    def test_another_name(self):
        self.runs(OPENSHELL_GATEWAY_TLS_SERVER_NAME="localhost")

    def test_half_a_configuration(self):
        for name in ("CA", "CERT", "KEY"):
            self.fails(2, "https needs OPENSHELL_TLS_CA, OPENSHELL_TLS_CERT and OPENSHELL_TLS_KEY",
                       **{f"OPENSHELL_TLS_{name}": ""})

    def test_a_gateway_that_is_not_believed(self):
        wrong = (({"OPENSHELL_TLS_CA": str(self.other)}, "certificate verify failed"),
                 ({"OPENSHELL_GATEWAY_TLS_SERVER_NAME": "gateway.example.com"},
                  "is not in peer certificate"))
        runs = [(self.start(self.sandbox, environment=self.environment(**changes)), text)
                for changes, text in wrong]
        for supervisor, text in runs:
            self.assertEqual(supervisor.wait(), 1, supervisor.log())
            self.assertIn(text, supervisor.log())

    def test_a_key_that_is_missing(self):
        self.fails(1, "/does/not/exist", OPENSHELL_TLS_KEY="/does/not/exist")


class Sessions(WithDouble):
    def test_rejected(self):
        sandbox = self.double.add()
        answers = [gate.GatewayMessage(session_rejected=gate.SessionRejected(reason="not you")),
                   gate.GatewayMessage(heartbeat=gate.GatewayHeartbeat())]
        original = self.double.ConnectSupervisor

        def reject(requests, context):
            if not answers:
                yield from original(requests, context)
                return
            next(requests)
            yield answers.pop(0)
            hang(context)
        self.double.ConnectSupervisor = reject
        self.double.stop()
        self.double.serve()
        supervisor = self.start(sandbox)
        gateway_double.wait_ready(sandbox)
        self.assertIn('the gateway refuses the session reason="not you"', supervisor.log())
        self.assertIn('reason="its first message is no answer to the hello"', supervisor.log())
        self.assertEqual(self.run_ssh(sandbox, "echo alive"), "alive\n")


if __name__ == "__main__":
    harness.main()
