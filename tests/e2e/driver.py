#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-driver and its agents against a double of the gateway."""
import os
import signal
import subprocess
import threading
import unittest

import gateway_double
import harness
from gateway_double import Code, compute, ready, suspended, wait_ready

import grpc


class WithDriver(unittest.TestCase):
    arguments = ()

    def setUp(self):
        self.double = gateway_double.Double()
        self.addCleanup(self.double.stop)
        self.driver = gateway_double.Driver(self.double, *self.arguments)
        self.addCleanup(self.driver.remove)

    def tearDown(self):
        self.assertEqual(self.double.broken, [])

    def fails(self, code, text, call, *arguments):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertIn(text, caught.exception.details())

    def watch(self):
        watch = gateway_double.Watch(self.driver.stub, self.double)
        self.addCleanup(watch.stop)
        return watch

    def created(self, *command, **template):
        sandbox = self.double.add()
        self.driver.create(sandbox, *command, **template)
        wait_ready(sandbox)
        return sandbox

    def runs(self, sandbox):
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[0] == "True",
                           "the driver says that it runs")


class Life(WithDriver):
    def test_what_the_driver_is(self):
        reply = self.driver.stub.GetCapabilities(compute.GetCapabilitiesRequest())
        self.assertEqual((reply.driver_name, reply.default_image, reply.gateway_manages_lifecycle),
                         ("double", "host", True))
        listeners = self.driver.stub.GetGatewayListenerRequirements(
            compute.GetGatewayListenerRequirementsRequest())
        self.assertEqual(len(listeners.requirements), 0)
        self.driver.stub.EnsureWorkspace(compute.EnsureWorkspaceRequest(workspace="w"))
        self.driver.stub.DeleteWorkspace(compute.DeleteWorkspaceRequest(workspace="w"))
        self.assertEqual(self.driver.list(), {})

    def test_from_create_to_delete(self):
        watch = self.watch()
        sandbox = self.created()
        self.runs(sandbox)
        snapshot = self.driver.get(sandbox)
        self.assertEqual((snapshot.id, snapshot.name, snapshot.workspace),
                         (sandbox.id, sandbox.name, "default"))
        self.assertFalse(snapshot.HasField("spec"))
        self.assertEqual(ready(snapshot)[1], "BackendReady")
        self.assertIn("a process sandbox runs", ready(snapshot)[2])
        self.assertEqual(list(self.driver.list()), [sandbox.id])
        reasons = [e.event.reason for e in watch.of(sandbox, "platform_event")]
        self.assertEqual(reasons, ["Scheduled", "ImagePresent", "Created", "Started"])
        self.assertEqual({e.event.source for e in watch.of(sandbox, "platform_event")}, {"double"})
        states = [ready(e.sandbox)[:2] for e in watch.of(sandbox, "sandbox")]
        self.assertEqual(states, [("False", "Starting"), ("True", "BackendReady")])

        self.assertTrue(self.driver.delete(sandbox))
        harness.wait_until(lambda: watch.of(sandbox, "deleted"), "the watcher is told")
        self.assertTrue(watch.of(sandbox, "sandbox")[-1].sandbox.status.deleting)
        self.assertEqual(self.driver.agents(sandbox), [])
        # Its record goes last, when who watches has been told.
        harness.wait_until(lambda: not list((self.driver.state / "sandboxes").iterdir()),
                           "nothing is left")
        self.assertEqual(list((self.driver.state / "work").iterdir()), [])
        self.fails(Code.NOT_FOUND, "is not known here", self.driver.get, sandbox)
        self.assertFalse(self.driver.delete(sandbox))

    def test_exec(self):
        sandbox = self.created()
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", "cat; echo err >&2; pwd; exit 7",
                               input=b"some input\n")
        self.assertEqual(done.returncode, 7)
        work = self.driver.state / "work" / sandbox.id
        self.assertEqual(done.stdout.decode(), f"some input\n{work}\n")
        self.assertEqual(done.stderr, b"err\n")
        killed = self.double.ssh(sandbox, "sandbox@127.0.0.1", "kill -9 $$")
        self.assertEqual(killed.returncode, 137)
        terminal = self.double.ssh(sandbox, "-tt", "sandbox@127.0.0.1", "tty; echo $TERM")
        self.assertIn(b"/dev/pts/", terminal.stdout)
        large = self.double.ssh(sandbox, "sandbox@127.0.0.1", "head -c 3000000 /dev/zero; sleep 0.2")
        self.assertEqual((large.returncode, len(large.stdout)), (0, 3000000))

    def test_environment(self):
        sandbox = self.double.add()
        request = self.driver.request(sandbox, environment={"A": "template", "B": "template"})
        request.sandbox.spec.environment["B"] = "sandbox"
        self.driver.stub.CreateSandbox(request)
        wait_ready(sandbox)
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", "echo $A $B $OPENSHELL_SANDBOX; env")
        text = done.stdout.decode()
        self.assertTrue(text.startswith("template sandbox 1\n"), text)
        self.assertNotIn(sandbox.token, text)
        self.assertNotIn("OPENSHELL_ENDPOINT", text)
        for name in ("environ", "cmdline"):
            for pid in self.driver.agents(sandbox):
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    self.assertNotIn(sandbox.token.encode(), file.read())
        self.assertNotIn(sandbox.token, self.driver.log() + self.driver.agent_log(sandbox))

    def test_main_process(self):
        sandbox = self.created("/bin/sh", "-c", "echo from main; read x; echo got $x; exit 5")
        self.runs(sandbox)
        listener = self.double.port_for(sandbox, ssh=gateway_double.gate.SshRelayTarget())
        done = self.double.ssh(sandbox, "-s", "sandbox@127.0.0.1", "openshell-main",
                               input=b"a line\n")
        listener.close()
        self.assertEqual(done.stdout, b"from main\ngot a line\n")
        self.assertEqual(done.returncode, 5)
        harness.wait_until(lambda: sandbox.exit is not None, "the exit is reported")
        self.assertEqual(sandbox.exit, 5)
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "ProcessExited",
                           "the driver has seen it")
        self.assertEqual(ready(self.driver.get(sandbox))[2], "its main process ended with status 5")

    def test_stop_and_start(self):
        watch = self.watch()
        sandbox = self.created()
        self.double.ssh(sandbox, "sandbox@127.0.0.1", "echo kept > file")
        first = sandbox.session.instance_id
        self.driver.stop_sandbox(sandbox)
        self.assertEqual(self.driver.agents(sandbox), [])
        self.assertTrue(suspended(self.driver.get(sandbox)))
        self.assertIsNone(sandbox.exit)  # at its own shutdown the gateway would take it for a failure
        self.driver.stop_sandbox(sandbox)
        self.assertNotIn("ProcessExited",
                         [ready(e.sandbox)[1] for e in watch.of(sandbox, "sandbox")])
        self.driver.start_sandbox(sandbox)
        self.assertEqual(ready(self.driver.get(sandbox))[:2], ("False", "Starting"))
        self.assertFalse(suspended(self.driver.get(sandbox)))
        wait_ready(sandbox)
        self.assertNotEqual(sandbox.session.instance_id, first)
        self.driver.start_sandbox(sandbox)
        self.assertEqual(self.double.ssh(sandbox, "sandbox@127.0.0.1", "cat file").stdout, b"kept\n")
        unknown = self.double.add()
        self.fails(Code.NOT_FOUND, "is not known here", self.driver.stop_sandbox, unknown)
        self.fails(Code.NOT_FOUND, "is not known here", self.driver.start_sandbox, unknown)

    def test_port_relay(self):
        script = ("import socket; s=socket.create_server(('127.0.0.1',8000)); print('up',flush=True)\n"
                  "while True:\n c,_=s.accept(); c.sendall(c.recv(99).upper()); c.close()")
        sandbox = self.created("/usr/bin/python3", "-c", script)
        refused = self.double.open_relay(
            sandbox, tcp=gateway_double.gate.TcpRelayTarget(host="10.0.0.1", port=80))
        self.assertEqual(refused, "the host must be a loopback address of the sandbox or localhost")
        refused = self.double.open_relay(
            sandbox, tcp=gateway_double.gate.TcpRelayTarget(host="localhost", port=0))
        self.assertEqual(refused, "the port must be 1 to 65535")

        streams = []

        def connected():
            streams.append(self.double.open_relay(
                sandbox, tcp=gateway_double.gate.TcpRelayTarget(host="localhost", port=8000)))
            return not isinstance(streams[-1], str)
        harness.wait_until(connected, "the server listens")
        stream = streams[-1]
        stream.to_sandbox.put(b"hello")
        self.assertEqual(stream.from_sandbox.get(timeout=harness.PATIENCE_S), b"HELLO")
        self.assertIs(stream.from_sandbox.get(timeout=harness.PATIENCE_S), gateway_double.END)
        stream.to_sandbox.put(gateway_double.END)


class Gateway(WithDriver):
    def test_policy(self):
        sandbox = self.created()
        self.assertEqual(sandbox.policy.version, 1)  # the built-in one, told by the agent
        self.assertIn("/usr", sandbox.policy.filesystem.read_only)
        harness.wait_until(lambda: sandbox.reported == [(1, 2, "")], "it is acknowledged")

    def test_policy_of_the_gateway(self):
        policy = gateway_double.policy_pb2.SandboxPolicy(version=1)
        policy.filesystem.include_workdir = True
        policy.filesystem.read_only.extend(["/usr", "/bin", "/lib", "/lib64", "/etc/passwd"])
        sandbox = self.double.add(policy=policy)
        self.driver.create(sandbox)
        wait_ready(sandbox)
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", "cat /etc/passwd >/dev/null && "
                               "echo yes; cat /etc/hostname || echo no; echo x >file && echo yes")
        self.assertEqual(done.stdout, b"yes\nno\nyes\n")
        self.assertIn(b"/etc/hostname", done.stderr)
        harness.wait_until(lambda: sandbox.reported == [(1, 2, "")], "it is acknowledged")

    def test_another_policy(self):
        """The network's part of a later policy is put in force and acknowledged, or said to be wrong."""
        policy = gateway_double.policy_pb2.SandboxPolicy(version=1)
        policy.filesystem.include_workdir = True
        policy.filesystem.read_only.extend(["/usr", "/bin", "/lib", "/lib64"])
        rule = policy.network_policies["web"]
        rule.endpoints.add(host="example.com", port=443)
        rule.binaries.add(path="/usr/bin/curl")
        sandbox = self.double.add(policy=policy)
        self.driver.create(sandbox)
        wait_ready(sandbox)
        harness.wait_until(lambda: sandbox.reported == [(1, 2, "")], "the first is acknowledged")
        later = gateway_double.policy_pb2.SandboxPolicy()
        later.CopyFrom(policy)
        later.network_policies["web"].endpoints[0].host = "example.org"
        sandbox.policy, sandbox.version = later, 2
        harness.wait_until(lambda: sandbox.reported[1:] == [(2, 2, "")], "so is the second")
        wrong = gateway_double.policy_pb2.SandboxPolicy()
        wrong.CopyFrom(later)
        wrong.network_policies["web"].endpoints[0].port = 99999
        sandbox.policy, sandbox.version = wrong, 3
        harness.wait_until(lambda: len(sandbox.reported) == 3, "the third is answered")
        self.assertEqual(sandbox.reported[2][:2], (3, 3))
        self.assertIn("port", sandbox.reported[2][2])

    def test_a_policy_that_is_none(self):
        policy = gateway_double.policy_pb2.SandboxPolicy(version=1)
        policy.filesystem.read_only.append("relative")
        sandbox = self.double.add(policy=policy)
        self.driver.create(sandbox)
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "StartFailed", "it failed")
        self.assertIn("the gateway's policy: policy.filesystem", ready(self.driver.get(sandbox))[2])

    def test_logs(self):
        sandbox = self.created()
        self.double.ssh(sandbox, "sandbox@127.0.0.1", "exit 3")

        def seen(text):
            return any(level == "OCSF" and text in line for level, line in sandbox.logs)
        harness.wait_until(lambda: seen("PROC:LAUNCH [INFO] sleep("), "the main process is logged")
        harness.wait_until(lambda: seen("[exit:3]"), "the session's end is logged")

    def test_a_sandbox_that_nobody_knows(self):
        sandbox = self.double.add()
        del self.double.sandboxes[sandbox.id]  # the answer to its creation was lost, say
        self.driver.create(sandbox)
        harness.wait_until(lambda: sandbox.id not in self.driver.list(), "it is removed")
        self.assertEqual(self.driver.agents(sandbox), [])
        known = self.created()
        self.runs(known)
        self.driver.stop_sandbox(known)
        del self.double.sandboxes[known.id]
        self.driver.start_sandbox(known)
        harness.wait_until(lambda: ready(self.driver.get(known))[1] == "StartFailed", "it fails")
        self.assertIn("no such sandbox", ready(self.driver.get(known))[2])

    def test_hostile_messages(self):
        """Nothing that a gateway says ends an agent or its session's successor."""
        sandbox = self.created()
        (pid,) = self.driver.agents(sandbox)
        gate = gateway_double.gate
        for message in (
                gate.GatewayMessage(),
                gate.GatewayMessage(session_accepted=gate.SessionAccepted(session_id="again")),
                gate.GatewayMessage(session_rejected=gate.SessionRejected(reason="late")),
                gate.GatewayMessage(relay_close=gate.RelayClose(channel_id="unknown")),
                gate.GatewayMessage(relay_open=gate.RelayOpen(channel_id="x" * 5000)),
                gate.GatewayMessage(relay_open=gate.RelayOpen(
                    channel_id="c", tcp=gate.TcpRelayTarget(host="127.0.0.1\n", port=4000000000))),
                gate.GatewayMessage(heartbeat=gate.GatewayHeartbeat())):
            sandbox.session.out.put(message)
        self.assertEqual(self.double.ssh(sandbox, "sandbox@127.0.0.1", "echo alive").stdout,
                         b"alive\n")
        garbage = self.double.open_relay(sandbox, ssh=gate.SshRelayTarget())
        garbage.to_sandbox.put(os.urandom(70000))
        while garbage.from_sandbox.get(timeout=harness.PATIENCE_S) is not gateway_double.END:
            pass
        half = self.double.open_relay(sandbox, ssh=gate.SshRelayTarget())
        half.to_sandbox.put(b"SSH-2.0-x\r\n")
        half.to_sandbox.put(gateway_double.END)
        while half.from_sandbox.get(timeout=harness.PATIENCE_S) is not gateway_double.END:
            pass
        self.assertEqual(self.driver.agents(sandbox), [pid])
        self.assertEqual(self.double.ssh(sandbox, "sandbox@127.0.0.1", "echo alive").stdout,
                         b"alive\n")
        self.double.broken = [b for b in self.double.broken if "not asked for" not in b]

    def test_a_client_that_goes(self):
        """A session's process goes with its client."""
        marker = f"80{os.getpid()}"
        sandbox = self.created()
        with self.assertRaises(subprocess.TimeoutExpired):
            self.double.ssh(sandbox, "sandbox@127.0.0.1", f"sleep {marker}", patience=2)
        harness.wait_until(lambda: not harness.processes_with(f"sleep\0{marker}"), "it is gone")

    def test_token_is_renewed(self):
        sandbox = self.double.add()
        sandbox.expiring(2)
        self.driver.create(sandbox)
        wait_ready(sandbox)
        harness.wait_until(lambda: sandbox.refreshed >= 2, "it was renewed twice")
        before = sandbox.session
        before.out.put(gateway_double.END)
        harness.wait_until(lambda: sandbox.session is not before and sandbox.session.alive,
                           "the new one lets it in")


class Refusals(WithDriver):
    def validate(self, sandbox, **template):
        request = self.driver.request(sandbox, **template)
        request.sandbox.spec.sandbox_token = ""
        self.driver.stub.ValidateSandboxCreate(
            compute.ValidateSandboxCreateRequest(sandbox=request.sandbox))

    def test_validation(self):
        sandbox = self.double.add()

        def config(**values):
            template = compute.DriverSandboxTemplate()
            template.driver_config.update(values)
            return {"driver_config": template.driver_config}
        self.validate(sandbox, **config(runtime="process", pids_limit=100))
        self.fails(Code.INVALID_ARGUMENT, "driver_config.colour: is not known; known are runtime",
                   lambda: self.validate(sandbox, **config(colour="red")))
        self.fails(Code.INVALID_ARGUMENT, "'vm' is not one of process, boxlite, auto",
                   lambda: self.validate(sandbox, **config(runtime="vm")))
        self.fails(Code.FAILED_PRECONDITION, "no runtime for this sandbox (driver_config.runtime is "
                   "boxlite): boxlite: ", lambda: self.validate(sandbox, **config(runtime="boxlite")))
        self.fails(Code.INVALID_ARGUMENT, "resources.limits.cpu: 'lots'",
                   lambda: self.validate(sandbox, resources={"cpu_limit": "lots"}))
        self.fails(Code.INVALID_ARGUMENT, "'--debian' is no [HOST/]NAME[:TAG][@DIGEST]",
                   lambda: self.validate(sandbox, image="--debian"))
        self.assertEqual(self.driver.list(), {})

    def test_creation(self):
        sandbox = self.created()
        self.fails(Code.ALREADY_EXISTS, "exists already", self.driver.create, sandbox)
        self.assertEqual(len(self.driver.agents(sandbox)), 1)
        other = self.double.add()
        other.token = ""
        self.fails(Code.FAILED_PRECONDITION, "the gateway sent no token", self.driver.create, other)
        self.fails(Code.INVALID_ARGUMENT, "sandbox_id: is empty",
                   self.driver.stub.GetSandbox, compute.GetSandboxRequest())

    def test_images_without_the_programs_for_them(self):
        sandbox = self.double.add()
        self.driver.arguments = ("--skopeo", "/nowhere/skopeo")
        self.driver.again()
        self.fails(Code.FAILED_PRECONDITION, "skopeo and umoci must be installed (/nowhere/skopeo",
                   lambda: self.validate(sandbox, image="debian:12"))
        self.validate(sandbox, image="host")

    def test_a_program_that_is_missing(self):
        watch = self.watch()
        sandbox = self.double.add()
        self.driver.create(sandbox, "/nowhere/program")
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "StartFailed", "it failed")
        self.assertIn("main process: ", ready(self.driver.get(sandbox))[2])
        self.assertIn("No such file or directory", ready(self.driver.get(sandbox))[2])
        harness.wait_until(lambda: watch.of(sandbox, "platform_event")[-1].event.type == "Warning",
                           "the watch says it, too")
        self.assertEqual(self.driver.agents(sandbox), [])
        self.assertIn(sandbox.id, self.driver.list())

    def test_a_token_of_another(self):
        sandbox, other = self.double.add(), self.double.add("other")
        sandbox.token, right = other.token, sandbox.token
        self.driver.create(sandbox)
        sandbox.token = right
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "StartFailed", "it failed")
        self.assertIn("token of another sandbox", ready(self.driver.get(sandbox))[2])


class Room(WithDriver):
    arguments = ("--capacity-cpu", "1", "--capacity-memory", "1Gi", "--max-sandboxes", "2")

    def test_room(self):
        limits = {"cpu_limit": "600m", "memory_limit": "256Mi"}
        sandbox = self.created(resources=limits)
        seen = self.double.ssh(sandbox, "sandbox@127.0.0.1", "cat /sys/fs/cgroup/memory.max").stdout
        other = self.double.add()
        self.fails(Code.FAILED_PRECONDITION, "no room: 600m CPUs are asked for and 400m are left",
                   lambda: self.driver.create(other, resources=limits))
        self.driver.create(other, resources={"cpu_limit": "400m"})
        wait_ready(other)
        self.fails(Code.FAILED_PRECONDITION, "this driver keeps 2 sandboxes already",
                   self.driver.create, self.double.add())
        self.driver.stop_sandbox(other)
        self.assertTrue(self.driver.delete(sandbox))
        self.driver.start_sandbox(other)
        if seen:
            self.assertEqual(seen, b"268435456\n")


class Deaths(WithDriver):
    def test_of_the_driver(self):
        sandbox, stopped = self.created(), self.created()
        self.runs(sandbox)
        self.driver.stop_sandbox(stopped)
        pids = self.driver.agents(sandbox)
        session = sandbox.session
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.driver.again(how)
            self.assertEqual(self.driver.agents(sandbox), pids)
            self.assertIs(sandbox.session, session)
            self.assertTrue(session.alive)
            self.runs(sandbox)
            self.assertTrue(suspended(self.driver.get(stopped)))
            watch = self.watch()
            harness.wait_until(lambda: watch.of(stopped, "sandbox"), "the watcher has seen all")
            watch.stop()
        self.driver.start_sandbox(stopped)
        wait_ready(stopped)
        self.driver.stop_sandbox(sandbox)
        self.assertEqual(self.driver.agents(sandbox), [])

    def test_of_an_agent(self):
        marker = f"79{os.getpid()}"
        sandbox = self.created("/bin/sh", "-c", f"setsid sleep {marker} & sleep {marker}")
        harness.wait_until(lambda: len(harness.processes_with(f"sleep\0{marker}")) == 2, "it runs")
        self.runs(sandbox)
        (pid,) = self.driver.agents(sandbox)
        os.kill(pid, signal.SIGKILL)
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "AgentLost", "it is seen")
        # Fenced: whoever says that it is lost has waited for the end of all that ran there.
        self.assertEqual(harness.processes_with(f"sleep\0{marker}"), [])
        self.assertIn("killed by signal 9", ready(self.driver.get(sandbox))[2])
        self.driver.start_sandbox(sandbox)
        wait_ready(sandbox)

    def test_of_both(self):
        sandbox = self.created()
        self.runs(sandbox)
        (pid,) = self.driver.agents(sandbox)
        self.driver.channel.close()
        self.driver.kill()
        os.kill(pid, signal.SIGKILL)
        self.driver.start()
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] == "AgentLost",
                           "the next driver has seen it")

    def ended(self, sandbox):
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] not in ("Starting", "BackendReady"),
                           "the driver has seen the end")
        return ready(self.driver.get(sandbox))[1:]

    def test_of_a_main_process_that_is_quick(self):
        """Over before the driver has asked the agent: an end of it all the same, no failed start."""
        for status in (0, 3, 137):
            sandbox = self.double.add()
            self.driver.create(sandbox, "/bin/sh", "-c", "kill -9 $$" if status == 137 else
                               f"exit {status}")
            self.assertEqual(self.ended(sandbox),
                             ("ProcessExited", f"its main process ended with status {status}"))

    def test_of_a_main_process_while_no_driver_runs(self):
        sandbox = self.created("/bin/sh", "-c", "read x; exit 6")
        self.runs(sandbox)
        self.driver.channel.close()
        self.driver.kill()
        listener = self.double.port_for(sandbox, ssh=gateway_double.gate.SshRelayTarget())
        self.double.ssh(sandbox, "-s", "sandbox@127.0.0.1", "openshell-main", input=b"a line\n")
        listener.close()
        harness.wait_until(lambda: not self.driver.agents(sandbox), "its agent has ended")
        self.driver.start()
        expected = ("ProcessExited", "its main process ended with status 6")
        self.assertEqual(self.ended(sandbox), expected)
        self.driver.again()
        self.assertEqual(self.ended(sandbox), expected)
        self.driver.start_sandbox(sandbox)  # what it said then counts for no later start
        wait_ready(sandbox)
        self.runs(sandbox)
        self.driver.again()
        self.runs(sandbox)

    def test_of_the_gateway(self):
        sandbox = self.created()
        for _ in range(3):
            before = sandbox.session
            self.double.stop()
            harness.wait_until(lambda: not before.alive, "the session is over")
            self.double.serve()
            harness.wait_until(lambda: sandbox.session is not before and sandbox.session.alive,
                               "the sandbox is back")
            self.assertEqual(sandbox.session.instance_id, before.instance_id)

    def test_of_the_driver_while_it_creates(self):
        """Whatever the moment: listed or not there, one agent at most, and all of it deletable."""
        for step in range(12):
            sandbox = self.double.add()
            request = self.driver.request(sandbox)
            call = self.driver.stub.CreateSandbox.future(request)
            threading.Event().wait(step * 0.004)
            self.driver.again()
            listed = sandbox.id in self.driver.list()
            answered = call.code() == Code.OK
            self.assertTrue(listed or not answered, f"step {step}: a sandbox was lost")
            if listed:
                wait_ready(sandbox)
                harness.wait_until(lambda: ready(self.driver.get(sandbox))[0] == "True", "it runs")
            self.assertEqual(len(self.driver.agents(sandbox)), int(listed), f"step {step}")
            self.assertEqual(self.driver.delete(sandbox), listed)
            self.assertEqual(self.driver.agents(sandbox), [])

    def test_of_the_driver_while_it_deletes(self):
        for step in range(12):
            sandbox = self.created()
            call = self.driver.stub.DeleteSandbox.future(
                compute.DeleteSandboxRequest(sandbox_id=sandbox.id))
            threading.Event().wait(step * 0.004)
            self.driver.again()
            watch = self.watch()
            if call.code() != Code.OK and sandbox.id in self.driver.list() and \
                    not self.driver.get(sandbox).status.deleting:
                self.assertTrue(self.driver.delete(sandbox))  # it had not heard of it
            harness.wait_until(lambda: watch.of(sandbox, "deleted") or
                               call.code() == Code.OK, f"step {step}: the gateway is told")
            harness.wait_until(lambda: not self.driver.agents(sandbox), "its agent is gone")
            harness.wait_until(lambda: not list((self.driver.state / "sandboxes").iterdir()),
                               "nothing is left")
            watch.stop()


class Rivals(WithDriver):
    def test_two_drivers_on_one_state(self):
        done = subprocess.run([harness.BIN / "openshell-driver", "--state-dir", self.driver.state,
                               "--socket", self.driver.folder / "run" / "other.sock"],
                              capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"belongs to another driver that runs", done.stderr)

    def test_two_drivers_on_one_socket(self):
        done = subprocess.run([harness.BIN / "openshell-driver", "--socket", self.driver.socket,
                               "--state-dir", self.driver.folder / "other"],
                              capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.driver.list(), {})

    def test_a_socket_where_others_may_write(self):
        open_folder = self.driver.folder / "open"
        open_folder.mkdir()
        open_folder.chmod(0o777)
        done = subprocess.run([harness.BIN / "openshell-driver", "--state-dir",
                               self.driver.folder / "other", "--socket", open_folder / "d.sock"],
                              capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"into which nobody else may write", done.stderr)

    def test_options(self):
        done = subprocess.run([harness.BIN / "openshell-driver", "--endpoint", "gateway:1"],
                              capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual((done.returncode, done.stderr),
                         (2, b"openshell-driver: endpoint: 'gateway:1' begins with neither http:// "
                             b"nor https://\n"))
        done = subprocess.run([harness.BIN / "openshell-driver", "--version"], capture_output=True)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith(b"openshell-driver "))


class Crowd(WithDriver):
    def test_many_at_once(self):
        watch = self.watch()
        sandboxes = [self.double.add(f"s{i}") for i in range(20)]
        calls = [self.driver.stub.CreateSandbox.future(self.driver.request(s)) for s in sandboxes]
        self.driver.list()  # answered in the middle of it
        self.assertLess(sum(call.done() for call in calls), 20,
                        "a crowd of creations holds up everybody else")
        for call in calls:
            call.result(harness.PATIENCE_S)
        for sandbox in sandboxes:
            wait_ready(sandbox)
            self.runs(sandbox)
        self.assertEqual(len(self.driver.agents()), 20)
        calls = [self.driver.stub.DeleteSandbox.future(
            compute.DeleteSandboxRequest(sandbox_id=s.id)) for s in sandboxes]
        self.assertTrue(all(call.result(harness.PATIENCE_S).deleted for call in calls))
        harness.wait_until(lambda: all(watch.of(s, "deleted") for s in sandboxes), "all are told")
        self.assertEqual(self.driver.agents(), [])


if __name__ == "__main__":
    for needed in ("openshell-driver", "openshell-agent"):
        if not (harness.BIN / needed).exists():
            harness.skip(f"{harness.BIN / needed} is missing (make)")
    if os.geteuid() != 0:
        harness.skip("root is needed: sandboxes run as another user than the driver")
    harness.need_tool("ssh")
    unittest.main(verbosity=2)
