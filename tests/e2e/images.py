#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/images: the same twice, with nothing in them that is not needed, and each at its work: the agent,
the supervisor as OpenShell's drivers start it, the driver, the agent on Debian."""
import json
import os
import pathlib
import tempfile
import unittest

import harness

harness.use_grpcio()
import containers  # noqa: E402
import gateway_double  # noqa: E402
from containers import DEBIAN, PREFIX, podman  # noqa: E402
from gateway_double import compute  # noqa: E402

SCRATCH = {"agent": ["openshell-agent"], "supervisor": ["openshell-sandbox"],
           "driver": ["openshell-agent", "openshell-driver"]}
ALL = (*SCRATCH, "agent-debian")
MIB = 1 << 20


def inspect(image):
    return json.loads(podman("image", "inspect", f"{PREFIX}/{image}").stdout)[0]


class Built(unittest.TestCase):
    ids = None

    @classmethod
    def setUpClass(cls):
        Built.ids = Built.ids or containers.build(*ALL)

    def start(self, *arguments):
        """A container in the background, which ends with the test."""
        name = podman("run", "--detach", *arguments).stdout.strip()
        self.addCleanup(podman, "rm", "--force", "--time", "0", name, check=False)
        return name

    def volume(self):
        name = podman("volume", "create").stdout.strip()
        self.addCleanup(podman, "volume", "rm", "--force", name)
        return name

    def until(self, name, condition, what):
        try:
            harness.wait_until(condition, what)
        except AssertionError as failure:
            logs = podman("logs", name, check=False)
            raise AssertionError(f"{failure}\n{logs.stdout}{logs.stderr}") from None


class Contents(Built):
    def test_twice_the_same(self):
        self.assertEqual(self.ids, containers.build(*ALL, prefix=f"{PREFIX}-again"))
        podman("image", "rm", *(f"{PREFIX}-again/{name}" for name in ALL))

    def test_nothing_but_the_programs(self):
        for image, files in SCRATCH.items():
            root = pathlib.Path(podman("image", "mount", f"{PREFIX}/{image}").stdout.strip())
            self.addCleanup(podman, "image", "unmount", f"{PREFIX}/{image}")
            found = sorted(p for p in root.rglob("*") if p.is_file())
            self.assertEqual([str(p.relative_to(root)) for p in found], files)
            for path in found:
                self.assertEqual(path.stat().st_mode & 0o7777, 0o555, path)
                if path.name != "openshell-driver" and image != "driver":
                    self.assertLessEqual(path.stat().st_size, 20 * MIB, path)

    def test_nobody_is_root_without_need(self):
        for image, user in (("agent", "65532:65532"), ("agent-debian", "65532:65532"),
                            ("supervisor", ""), ("driver", "")):
            config = inspect(image)["Config"]
            self.assertEqual(config.get("User", ""), user, image)
            self.assertEqual(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0")

    def test_arm64_is_named_so(self):
        for image in SCRATCH:
            containers.build(image, prefix=f"{PREFIX}-arm64", arch="arm64",
                             OSA_ARM64_BIN=str(harness.STATIC_BIN))
            done = podman("image", "inspect", f"{PREFIX}-arm64/{image}", "--format",
                          "{{.Os}}/{{.Architecture}}")
            self.assertEqual(done.stdout.strip(), "linux/arm64")
            podman("image", "rm", f"{PREFIX}-arm64/{image}")

    def test_debian_has_no_traces_of_its_making(self):
        root = pathlib.Path(podman("image", "mount", f"{PREFIX}/agent-debian").stdout.strip())
        self.addCleanup(podman, "image", "unmount", f"{PREFIX}/agent-debian")
        for path in ("var/cache/apt", "var/lib/apt/lists", "var/log", "tmp", "etc/machine-id"):
            left = [p for p in (root / path).rglob("*") if p.is_file()]
            self.assertEqual(left, [])
        self.assertTrue((root / "usr/share/doc/openshell-agent/sbom.spdx.json").exists())
        self.assertTrue((root / "usr/share/doc/libssl3/copyright").exists())


class AtWork(Built):
    def agent(self, image, *options):
        name = self.start("--network", "none", "--read-only", "--cap-drop", "all",
                          "--tmpfs", "/run/openshell-agent:mode=0777", *options, f"{PREFIX}/{image}")
        program = inspect(image)["Config"]["Entrypoint"][0]

        def serving():
            return podman("exec", name, program, "health", "--listen",
                          "unix:/run/openshell-agent/agent.sock", check=False).stdout == "SERVING\n"
        self.until(name, serving, f"{image} serves")
        return name

    def test_agent_alone(self):
        self.agent("agent")

    def test_agent_on_debian(self):
        name = self.agent("agent-debian")
        done = podman("exec", name, "openshell-agentctl", "run", "--", "/bin/sh", "-c",
                      "id -u; cat /etc/shadow", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, "65532\n"), done.stderr)
        info = json.loads(podman("exec", name, "openshell-agentctl", "info", "--json").stdout)
        kinds = {entry["kind"]: entry for entry in info["runtimes"]}
        self.assertFalse(kinds["RUNTIME_KIND_BOXLITE"].get("available", False))
        self.assertNotIn("build", kinds["RUNTIME_KIND_BOXLITE"]["unavailableReason"])

    def test_supervisor_as_a_pod_of_the_gateway(self):
        """Init container, volume, command, capabilities and variables as its Kubernetes driver has them."""
        double = gateway_double.Double()
        self.addCleanup(double.stop)
        containers.debian()
        volume = self.volume()
        podman("run", "--rm", "--network", "none", "--read-only", "--volume",
               f"{volume}:/opt/openshell/bin", f"{PREFIX}/supervisor",
               "copy-self", "/opt/openshell/bin/openshell-sandbox")
        sandbox = double.add()
        with tempfile.NamedTemporaryFile("w") as token:
            token.write(sandbox.token)
            token.flush()
            name = self.start(
                "--network", "host", "--user", "0", "--security-opt", "seccomp=unconfined",
                *(f"--cap-add={c}" for c in ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG")),
                "--volume", f"{volume}:/opt/openshell/bin:ro", "--tmpfs", "/sandbox:mode=0755",
                "--volume", f"{token.name}:/etc/openshell/auth/sandbox.jwt:ro",
                "--env", "OPENSHELL_SANDBOX_TOKEN_FILE=/etc/openshell/auth/sandbox.jwt",
                "--env", f"OPENSHELL_ENDPOINT=http://127.0.0.1:{double.port}",
                "--env", f"OPENSHELL_SANDBOX_ID={sandbox.id}",
                "--env", f"OPENSHELL_SANDBOX={sandbox.name}",
                "--env", "OPENSHELL_NETWORK_RUNTIME_CAPABILITIES=",
                "--env", "OPENSHELL_OCI_IMAGE_USER=",
                "--env", "OPENSHELL_SANDBOX_UID=1000", "--env", "OPENSHELL_SANDBOX_GID=1000",
                "--env", 'OPENSHELL_MAIN_PROCESS_SPEC={"version":1,"command":["/bin/sleep","1000"],'
                         '"tty":false}',
                "--entrypoint", "/opt/openshell/bin/openshell-sandbox", DEBIAN,
                "--workdir", "/sandbox")
            self.until(name, lambda: sandbox.session is not None, "the session is there")
            done = double.ssh(sandbox, "sandbox@127.0.0.1", "id -u; cat /etc/shadow")
            self.assertEqual(done.stdout, b"1000\n", done.stderr)
            self.assertIn(b"denied", done.stderr)
            double.ssh(sandbox, "sandbox@127.0.0.1", "kill -TERM -1")
            self.until(name, lambda: sandbox.exit is not None, "the main process' exit is reported")
        self.assertEqual(double.broken, [])

    def test_driver(self):
        double = gateway_double.Double()
        self.addCleanup(double.stop)
        with tempfile.TemporaryDirectory(prefix="osa-driver-") as folder:
            name = self.start(
                "--network", "host", "--read-only", "--cap-drop", "all",
                "--security-opt", "seccomp=unconfined",
                *(f"--cap-add={c}" for c in ("SYS_ADMIN", "NET_ADMIN", "SETUID", "SETGID", "SETPCAP",
                                             "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE", "SYS_PTRACE",
                                             "SYS_RESOURCE")),
                "--tmpfs", "/var/lib/openshell-driver:mode=0700", "--tmpfs", "/tmp",
                "--volume", f"{folder}:/run/openshell-driver", f"{PREFIX}/driver",
                "--state-dir", "/var/lib/openshell-driver", "--socket",
                "/run/openshell-driver/driver.sock", "--endpoint", f"http://127.0.0.1:{double.port}")
            socket = f"{folder}/driver.sock"
            self.until(name, lambda: os.path.exists(socket), "the driver listens")
            import grpc
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                stub = gateway_double.ComputeDriverStub(channel)
                reply = stub.GetCapabilities(compute.GetCapabilitiesRequest(),
                                             timeout=harness.PATIENCE_S, wait_for_ready=True)
            self.assertEqual(reply.default_image, "host")
            podman("stop", "--time", "30", name)
            code = podman("inspect", name, "--format", "{{.State.ExitCode}}").stdout.strip()
            self.assertEqual(code, "0", podman("logs", name).stderr)


if os.geteuid() != 0:
    harness.skip("needs root for podman's storage")
for tool in "debootstrap", "cpack":
    harness.need_tool(tool)
containers.configure()
harness.main()
