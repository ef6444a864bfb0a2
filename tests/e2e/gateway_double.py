# SPDX-License-Identifier: Apache-2.0
"""A double of openshell-server: it has sandboxes made by a driver, and holds their sessions.

It keeps the rules of the gateway's side, and notes in `broken` what the other side does against them.
"""
import base64
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from concurrent import futures

import harness

harness.use_grpcio()
import grpc  # noqa: E402

harness.generate("openshell/compute/v1/compute_driver.proto", "openshell/sandbox/v1/policy.proto",
                 "openshell/sandbox/v1/config.proto", "openshell/v1/supervisor.proto")
from openshell.compute.v1 import compute_driver_pb2 as compute  # noqa: E402
from openshell.compute.v1.compute_driver_pb2_grpc import ComputeDriverStub  # noqa: E402
from openshell.sandbox.v1 import config_pb2, policy_pb2  # noqa: E402
from openshell.v1 import supervisor_pb2 as gate  # noqa: E402
from openshell.v1.supervisor_pb2_grpc import OpenShellServicer, add_OpenShellServicer_to_server  # noqa: E402

Code = grpc.StatusCode
RELAY_CHUNK = 16384
STEPS = ("requesting_sandbox", "pulling_image", "starting_sandbox")
END = object()


class Session:
    """One ConnectSupervisor stream."""

    def __init__(self, instance_id):
        self.instance_id = instance_id
        self.out = queue.Queue()
        self.heartbeats = 0
        self.alive = True


class Sandbox:
    """What the gateway knows of one: its token, its policy, its session, its main process's end."""

    def __init__(self, name, policy):
        self.id = str(uuid.uuid4())
        self.name = name
        self.token = f"token-of-{self.id}-{uuid.uuid4()}"
        self.policy = policy
        self.failure_mode = ""
        self.version = 1
        self.session = None
        self.sessions = []
        self.exit = None
        self.reported = []
        self.refreshed = 0
        self.logs = []
        self.analyses = []
        self.lifetime = 0
        self.providers = gate.GetSandboxProviderEnvironmentResponse()
        self.provider_calls = 0

    def provide(self, revision, bound=(), plain=()):
        """Give it an environment of providers: bound as (key, value, host), plain as (key, value)."""
        reply = gate.GetSandboxProviderEnvironmentResponse(provider_env_revision=revision)
        for key, value, host in bound:
            reply.environment[key] = value
            binding = reply.static_credential_bindings[key]
            binding.credential_identity = "identity-of-" + key
            binding.endpoints.add(host=host, port=443)
        for key, value in plain:
            reply.environment[key] = value
            reply.non_secret_environment_keys.append(key)
        self.providers = reply

    def expires(self):
        return int((time.time() + self.lifetime) * 1000) if self.lifetime else 0

    def expiring(self, seconds):
        """Make its token one that expires."""
        self.lifetime = seconds
        claims = json.dumps({"exp": int(time.time() + seconds)}).encode()
        self.token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


class Faults(grpc.ServerInterceptor):
    """Methods that do something else: double.faults[NAME] is called with the context, once for each call."""

    def __init__(self, faults):
        self.faults = faults

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        fault = self.faults.get(details.method.rsplit("/", 1)[-1])
        if fault is None or handler is None:
            return handler
        if handler.response_streaming:
            def stream(_, context):
                fault(context)
                yield from ()
            return handler._replace(**{
                "stream_stream" if handler.request_streaming else "unary_stream": stream})

        def single(_, context):
            return fault(context)
        return handler._replace(**{
            "stream_unary" if handler.request_streaming else "unary_unary": single})


def hang(context):
    """Answer nothing for as long as the caller waits."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(harness.PATIENCE_S)
    context.abort(Code.UNAVAILABLE, "hung")


def refuse(code, text="refused by the test"):
    return lambda context: context.abort(code, text)


class Double(OpenShellServicer):
    """The gateway: its service for sandboxes, and its client of the driver."""

    def __init__(self, certificates=None):
        """@certificates: harness's; clients must then show a certificate of its authority."""
        self.faults = {}
        self.certificates = certificates
        self.sandboxes = {}
        self.relays = {}
        self.broken = []
        self.traces = []  # (method, traceparent, tracestate) of calls that have one
        self.lock = threading.Lock()
        self.down = False
        self.port = harness.free_port()
        self.serve()

    def serve(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(64), interceptors=[Faults(self.faults)])
        add_OpenShellServicer_to_server(self, self.server)
        address = f"127.0.0.1:{self.port}"
        if self.certificates is None:
            self.server.add_insecure_port(address)
        else:
            authority, key, cert = (pathlib.Path(path).read_bytes() for path in (
                self.certificates.ca, self.certificates.key, self.certificates.cert))
            self.server.add_secure_port(address, grpc.ssl_server_credentials(
                [(key, cert)], root_certificates=authority, require_client_auth=True))
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()

    def add(self, name="quiet-fox", policy=None):
        sandbox = Sandbox(name, policy)
        self.sandboxes[sandbox.id] = sandbox
        return sandbox

    def complain(self, text):
        self.broken.append(text)

    # ---- who calls ----

    def caller(self, context, sandbox_id):
        """The sandbox that a call comes from; only its own token speaks for it."""
        if self.down:
            context.abort(Code.UNAVAILABLE, "the gateway is down")
        metadata = dict(context.invocation_metadata())
        token = metadata.get("authorization", "")
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None:
            context.abort(Code.NOT_FOUND, "no such sandbox")
        if token != f"Bearer {sandbox.token}":
            context.abort(Code.PERMISSION_DENIED, "token of another sandbox")
        return sandbox

    def note_trace(self, method, context):
        metadata = dict(context.invocation_metadata())
        if "traceparent" in metadata:
            self.traces.append((method, metadata["traceparent"], metadata.get("tracestate")))

    def GetSandboxConfig(self, request, context):
        self.note_trace("GetSandboxConfig", context)
        sandbox = self.caller(context, request.sandbox_id)
        return config_pb2.GetSandboxConfigResponse(
            policy=sandbox.policy, version=sandbox.version if sandbox.policy else 0,
            policy_hash=f"hash-{sandbox.version}", config_revision=sandbox.version,
            policy_source=1, policy_validation_failure_mode=sandbox.failure_mode, workspace="default",
            provider_env_revision=sandbox.providers.provider_env_revision)

    def GetSandboxProviderEnvironment(self, request, context):
        sandbox = self.caller(context, request.sandbox_id)
        if not request.supports_static_credential_bindings:
            self.complain("a supervisor that does not keep to bindings")
        sandbox.provider_calls += 1
        return sandbox.providers

    def UpdateConfig(self, request, context):
        token = dict(context.invocation_metadata()).get("authorization", "")
        (sandbox,) = [s for s in self.sandboxes.values() if token == f"Bearer {s.token}"]
        if request.name != sandbox.name or request.workspace != "default":
            self.complain(f"UpdateConfig of {request.name} in {request.workspace}")
        sandbox.policy = request.policy
        return gate.UpdateConfigResponse(version=sandbox.version, policy_hash="hash-1")

    def RefreshSandboxToken(self, request, context):
        token = dict(context.invocation_metadata()).get("authorization", "")
        found = [s for s in self.sandboxes.values() if token == f"Bearer {s.token}"]
        if not found:
            context.abort(Code.UNAUTHENTICATED, "an old token")
        (sandbox,) = found
        sandbox.refreshed += 1
        sandbox.token = f"{sandbox.token.split('+')[0]}+{sandbox.refreshed}"
        return gate.RefreshSandboxTokenResponse(token=sandbox.token, expires_at_ms=sandbox.expires())

    def ReportPolicyStatus(self, request, context):
        sandbox = self.caller(context, request.sandbox_id)
        if request.version == 0:
            context.abort(Code.INVALID_ARGUMENT, "version is 0")
        sandbox.reported.append((request.version, request.status, request.load_error))
        return gate.ReportPolicyStatusResponse()

    def ReportMainProcessExit(self, request, context):
        sandbox = self.caller(context, request.sandbox_id)
        # An end so early that there was no session yet is taken, one of an instance before is not.
        if request.instance_id in [s.instance_id for s in sandbox.sessions] and \
                request.instance_id != sandbox.sessions[-1].instance_id:
            self.complain(f"exit of another instance: {request.instance_id}")
        sandbox.exit = request.exit_code
        return gate.ReportMainProcessExitResponse()

    def PushSandboxLogs(self, requests, context):
        for request in requests:
            sandbox = self.caller(context, request.sandbox_id)
            if len(request.logs) > 100:
                self.complain(f"{len(request.logs)} lines of log in one message")
            sandbox.logs += [(line.level, line.message) for line in request.logs]
        return gate.PushSandboxLogsResponse()

    def SubmitPolicyAnalysis(self, request, context):
        named = [s.id for s in self.sandboxes.values() if s.name == request.name]
        if len(named) != 1 or request.workspace != "default":
            self.complain(f"a summary of {request.name} in {request.workspace}")
        sandbox = self.caller(context, named[0] if named else None)
        sandbox.analyses.append(request)
        return gate.SubmitPolicyAnalysisResponse()

    # ---- sessions ----

    def ConnectSupervisor(self, requests, context):
        self.note_trace("ConnectSupervisor", context)
        first = next(requests, None)
        if first is None or first.WhichOneof("payload") != "hello" or not first.hello.sandbox_id:
            self.complain("a session did not begin with a hello")
            context.abort(Code.INVALID_ARGUMENT, "hello expected")
        sandbox = self.caller(context, first.hello.sandbox_id)
        session = Session(first.hello.instance_id)
        if sandbox.session and sandbox.session.alive:
            sandbox.session.out.put(END)
        sandbox.session = session
        sandbox.sessions.append(session)
        context.add_callback(lambda: session.out.put(END))
        threading.Thread(target=self.listen, args=(sandbox, session, requests), daemon=True).start()
        yield gate.GatewayMessage(session_accepted=gate.SessionAccepted(
            session_id=str(uuid.uuid4()), heartbeat_interval_secs=5))
        while True:
            message = session.out.get()
            if message is END:
                break
            yield message
        session.alive = False

    def listen(self, sandbox, session, requests):
        try:
            for message in requests:
                kind = message.WhichOneof("payload")
                if kind == "heartbeat":
                    session.heartbeats += 1
                elif kind == "relay_open_result":
                    relay = self.relays.get(message.relay_open_result.channel_id)
                    if relay is None:
                        self.complain("a result for a relay that was not asked for")
                    else:
                        relay.result.put(message.relay_open_result)
                else:
                    self.complain(f"unexpected {kind} in a session")
        except grpc.RpcError:
            pass
        session.alive = False

    # ---- relays ----

    def RelayStream(self, requests, context):
        first = next(requests, None)
        if first is None or first.WhichOneof("payload") != "init":
            self.complain("a relay did not begin with init")
            context.abort(Code.INVALID_ARGUMENT, "init expected")
        relay = self.relays.get(first.init.channel_id)
        if relay is None:
            context.abort(Code.NOT_FOUND, "no such relay")
        self.caller(context, relay.sandbox.id)
        if not relay.accepted:
            self.complain("a stream came before its result")
        threading.Thread(target=self.pour, args=(relay, requests), daemon=True).start()
        # A relay that breaks off ends its worker, too: Python waits for those before it exits.
        context.add_callback(lambda: relay.to_sandbox.put(END))
        while True:
            data = relay.to_sandbox.get()
            if data is END:
                return
            yield gate.RelayFrame(data=data)

    def pour(self, relay, requests):
        try:
            for frame in requests:
                if frame.WhichOneof("payload") != "data":
                    self.complain("a relay's frame is no data")
                elif len(frame.data) > RELAY_CHUNK:
                    self.complain(f"a relay's frame has {len(frame.data)} bytes")
                relay.from_sandbox.put(frame.data)
        except grpc.RpcError:
            pass
        relay.from_sandbox.put(END)

    def open_relay(self, sandbox, **target):
        """Ask for a relay; returns it, or the error text."""
        relay = Relay(sandbox)
        self.relays[relay.id] = relay
        sandbox.session.out.put(gate.GatewayMessage(
            relay_open=gate.RelayOpen(channel_id=relay.id, **target)))
        result = relay.result.get(timeout=harness.PATIENCE_S)
        return relay if result.success else result.error

    def port_for(self, sandbox, **target):
        """A TCP port here, each connection to which becomes a relay."""
        listener = socket.create_server(("127.0.0.1", 0))

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self.join, args=(sandbox, connection, target),
                                 daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        return listener

    def join(self, sandbox, connection, target):
        relay = self.open_relay(sandbox, **target)
        if isinstance(relay, str):
            connection.close()
            return

        def upload():
            try:
                while data := connection.recv(RELAY_CHUNK):
                    relay.to_sandbox.put(data)
            except OSError:
                pass
            relay.to_sandbox.put(END)
        threading.Thread(target=upload, daemon=True).start()
        while (data := relay.from_sandbox.get()) is not END:
            try:
                connection.sendall(data)
            except OSError:
                break
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def ssh(self, sandbox, *arguments, patience=harness.PATIENCE_S, **options):
        """Run the OpenSSH client through a relay."""
        listener = self.port_for(sandbox, ssh=gate.SshRelayTarget())
        ssh = harness.need_tool("ssh")
        try:
            return subprocess.run(
                [ssh, "-F", "none", "-p", str(listener.getsockname()[1]),
                 "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                 "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", *arguments],
                capture_output=True, timeout=patience, **options)
        finally:
            listener.close()


class Relay:
    def __init__(self, sandbox):
        self.id = str(uuid.uuid4())
        self.sandbox = sandbox
        self.result = queue.Queue()
        self.to_sandbox = queue.Queue()
        self.from_sandbox = queue.Queue()
        self.accepted = True


class Watch:
    """WatchSandboxes, read all the time and checked against the rules."""

    def __init__(self, stub, double):
        self.double = double
        self.events = []
        self.call = stub.WatchSandboxes(compute.WatchSandboxesRequest())
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for event in self.call:
                self.check(event)
                self.events.append(event)
        except grpc.RpcError:
            pass

    def check(self, event):
        kind = event.WhichOneof("payload")
        if kind == "sandbox":
            self.double_check(event.sandbox.sandbox)
        elif kind == "platform_event":
            metadata = event.platform_event.event.metadata
            for key, value in metadata.items():
                if key in ("openshell.progress.complete_step", "openshell.progress.active_step") \
                        and value not in STEPS:
                    self.double.complain(f"{key} is {value}")
            if event.platform_event.event.type not in ("Normal", "Warning"):
                self.double.complain(f"type of event: {event.platform_event.event.type}")

    def double_check(self, snapshot):
        known = self.double.sandboxes.get(snapshot.id)
        if known and snapshot.name != known.name:
            self.double.complain(f"name changed to {snapshot.name}")
        if not any(c.type == "Ready" for c in snapshot.status.conditions):
            self.double.complain("a snapshot has no condition Ready")
        if snapshot.spec.sandbox_token:
            self.double.complain("a snapshot shows the token")

    def of(self, sandbox, kind):
        found = []
        for event in list(self.events):
            if event.WhichOneof("payload") != kind:
                continue
            body = getattr(event, kind)
            if (body.sandbox.id if kind == "sandbox" else body.sandbox_id) == sandbox.id:
                found.append(body)
        return found

    def stop(self):
        self.call.cancel()
        self.thread.join(harness.PATIENCE_S)


class Driver:
    """openshell-driver in a folder of its own."""

    def __init__(self, double, *arguments, folder=None):
        self.double = double
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="osa-drv-"))
        self.state = self.folder / "state"
        self.socket = self.folder / "run" / "driver.sock"
        self.arguments = arguments
        self.process = None
        self.start()

    def start(self, program="openshell-driver"):
        self.log_path = self.folder / "log"
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [harness.BIN / program, "--name", "double", "--state-dir", self.state,
                 "--socket", self.socket, "--endpoint", f"http://127.0.0.1:{self.double.port}",
                 *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, start_new_session=True)
        try:
            harness.wait_until(self.ready, "the driver serves")
        except AssertionError:
            self.kill()
            raise
        # Not the connection of the channel before, which may just have failed with that driver.
        self.channel = grpc.insecure_channel(f"unix:{self.socket}",
                                             [("grpc.use_local_subchannel_pool", 1)])
        # What listens may be a child of the driver before, on its way to exec.
        grpc.channel_ready_future(self.channel).result(harness.PATIENCE_S)
        self.stub = ComputeDriverStub(self.channel)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the driver ended with {self.process.returncode}:\n{self.log()}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        return self.process.wait(harness.PATIENCE_S)

    def again(self, how=signal.SIGKILL):
        """End the driver and start another one on the same state."""
        self.channel.close()
        status = self.kill(how)
        self.start()
        return status

    def agents(self, sandbox=None):
        """Pids of this driver's agents."""
        return harness.processes_with(f"{self.state}/sandboxes/{sandbox.id if sandbox else ''}")

    def agent_log(self, sandbox):
        return (self.state / "sandboxes" / sandbox.id / "log").read_text(errors="replace")

    def request(self, sandbox, command=("/bin/sleep", "1000"), **template):
        return compute.CreateSandboxRequest(sandbox=compute.DriverSandbox(
            id=sandbox.id, name=sandbox.name, workspace="default",
            status=compute.DriverSandboxStatus(),
            spec=compute.DriverSandboxSpec(
                sandbox_token=sandbox.token, command=command,
                template=compute.DriverSandboxTemplate(**template))))

    def create(self, sandbox, *command, **template):
        request = self.request(sandbox, command or ("/bin/sleep", "1000"), **template)
        return self.stub.CreateSandbox(request, timeout=harness.PATIENCE_S)

    def get(self, sandbox):
        reply = self.stub.GetSandbox(compute.GetSandboxRequest(sandbox_id=sandbox.id),
                                     timeout=harness.PATIENCE_S)
        return reply.sandbox

    def delete(self, sandbox):
        return self.stub.DeleteSandbox(compute.DeleteSandboxRequest(sandbox_id=sandbox.id),
                                       timeout=harness.PATIENCE_S).deleted

    def stop_sandbox(self, sandbox):
        self.stub.StopSandbox(compute.StopSandboxRequest(sandbox_id=sandbox.id),
                              timeout=harness.PATIENCE_S)

    def start_sandbox(self, sandbox):
        self.stub.StartSandbox(compute.StartSandboxRequest(sandbox_id=sandbox.id),
                               timeout=harness.PATIENCE_S)

    def list(self):
        reply = self.stub.ListSandboxes(compute.ListSandboxesRequest(), timeout=harness.PATIENCE_S)
        return {s.id: s for s in reply.sandboxes}

    def remove(self):
        """End everything; asserts that nothing of it is left running."""
        try:
            for sandbox_id in self.list():
                self.stub.DeleteSandbox(compute.DeleteSandboxRequest(sandbox_id=sandbox_id),
                                        timeout=harness.PATIENCE_S)
            self.channel.close()
            assert self.kill(signal.SIGTERM) == 0, self.log()
            assert self.agents() == [], "agents are left"
        finally:
            for pid in self.agents():
                os.kill(pid, signal.SIGKILL)
            if self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


def ready(snapshot):
    """(status, reason, message) of the condition Ready."""
    for condition in snapshot.status.conditions:
        if condition.type == "Ready":
            return condition.status, condition.reason, condition.message
    return None


def suspended(snapshot):
    return any(c.type == "Suspended" and c.status == "True" for c in snapshot.status.conditions)


def wait_ready(sandbox):
    """Until the sandbox has a session, which is what makes it ready."""
    harness.wait_until(lambda: sandbox.session and sandbox.session.alive, "the sandbox is ready")


def settle(seconds=0.2):
    time.sleep(seconds)
