#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: what the chart renders, against the schemas of three Kubernetes versions, and as a
pod that podman plays, at each privilege profile, driven with grpcurl as a person would.

podman 4.3 differs from a kubelet in four ways that the test makes up for: it ignores defaultMode and
fsGroup of volumes, knows neither NetworkPolicy nor PodDisruptionBudget nor gRPC probes, and takes half a
minute to notice the end of an init container on a machine whose PID 1 does not reap; so the init
container's command is run by itself, from the same image and into the same volume.
"""
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import containers
from containers import PATIENCE_S, PREFIX, podman, run
from harness import SERVICE, SOURCE, TOOLS, main, need_tool, skip

CHART = SOURCE / "deploy/kubernetes/chart"
PROFILES = ("restricted", "baseline", "full")
HELM, GRPCURL = need_tool("helm"), need_tool("grpcurl")
POD = "agent-pod-0"

def render(profile, *settings):
    return run(HELM, "template", "agent", CHART, "--kube-version", "1.31.0", "--set",
               f"profile={profile}", *(word for s in settings for word in ("--set", s))).stdout

class Manifests(unittest.TestCase):
    def test_committed_ones_are_what_the_chart_renders(self):
        for profile in PROFILES:
            committed = (SOURCE / f"deploy/kubernetes/{profile}.yaml").read_text()
            self.assertEqual(committed.split("\n", 3)[3], render(profile),
                             "run deploy/kubernetes/render.sh")

    def test_schemas(self):
        import kubernetes_validate
        import yaml
        newest = kubernetes_validate.latest_version()
        major, minor = (int(part) for part in newest.split(".")[:2])
        kinds = set()
        for version in (f"{major}.{minor - back}" for back in range(3)):
            for text in [render(p) for p in PROFILES] + [
                    render("full", "runtime=boxlite", "boxlite.keySecret=k", "viewerToken=true",
                           "tls.clientCA=true", "hostUsers=false", "policy=version: 1",
                           "boxlite.kvmResource=devices.kubevirt.io/kvm")]:
                for document in yaml.safe_load_all(text):
                    kinds.add(document["kind"])
                    kubernetes_validate.validate(document, version, strict=True)
        self.assertEqual(kinds, {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget",
                                 "NetworkPolicy"})

    def test_nothing_is_privileged(self):
        for profile in PROFILES:
            text = render(profile)
            self.assertNotIn("privileged:", text)
            self.assertNotIn("hostPath", text)
            self.assertNotIn("hostNetwork", text)
            self.assertEqual(text.count("allowPrivilegeEscalation: false"), 2)

    def test_unknown_profile(self):
        done = run(HELM, "template", "agent", CHART, "--kube-version", "1.31.0", "--set",
                   "profile=root", check=False)
        self.assertIn("root is not restricted, baseline or full", done.stderr)

class Pod:
    """The same walk for each profile; the subclasses say what is to come out of it."""
    profile = level = user = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-kube-")
        cls.work = pathlib.Path(cls.folder.name)
        containers.configure()
        containers.build("agent")
        containers.debian()
        cls.secrets()
        cls.play()

    @classmethod
    def secrets(cls):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", cls.work / "tls.key", "-out", cls.work / "tls.crt", "-days", "2",
            "-subj", "/CN=agent", "-addext", "subjectAltName=DNS:agent")
        (cls.work / "token").write_text(os.urandom(32).hex())

    @classmethod
    def volume(cls, name):
        return pathlib.Path(podman("volume", "inspect", name, "--format",
                                       "{{.Mountpoint}}").stdout.strip())

    @classmethod
    def play(cls):
        cls.remove()
        documents = [d for d in render(cls.profile, f"workload.image={PREFIX}/debian",
                                       f"image.repository={PREFIX}/agent").split("\n---\n")
                     if "kind: Deployment" in d or "kind: ConfigMap" in d]
        for secret, keys in (("token", ["token"]), ("tls", ["tls.crt", "tls.key"])):
            documents.insert(0, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: openshell-agent-" +
                             secret + "\nstringData:\n" + "".join(f"  {key}: x\n" for key in keys))
        text = "\n---\n".join(documents)
        start, end = text.index("      initContainers:"), text.index("      containers:")
        text = text[:start] + text[end:]
        cls.yaml = cls.work / "pod.yaml"
        cls.yaml.write_text(text)
        podman("kube", "play", "--start=false", cls.yaml)
        cls.fill()
        podman("pod", "start", POD)
        infra = podman("pod", "inspect", POD, "--format", "{{.InfraContainerID}}").stdout.strip()
        cls.address = podman("inspect", infra, "--format",
                                 "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
                                 ).stdout.strip()
        end = time.monotonic() + PATIENCE_S
        while "SERVING" not in cls.health() and time.monotonic() < end:
            time.sleep(0.02)

    @classmethod
    def fill(cls):
        """What the kubelet does: modes and groups of volumes, and the init container."""
        for name, files in (("token", ["token"]), ("tls", ["tls.crt", "tls.key"])):
            folder = cls.volume(f"openshell-agent-{name}")
            for file in files:
                (folder / file).write_bytes((cls.work / file).read_bytes())
                os.chown(folder / file, 0, 65532)
                os.chmod(folder / file, 0o440 if cls.profile == "restricted" or name == "tls"
                         else 0o400)
        for name in "program", "run", "tmp":
            os.chown(cls.volume(name), 0, 65532)
            os.chmod(cls.volume(name), 0o2777)
        podman("run", "--rm", "--network=none", "--read-only", "--cap-drop=all",
                   "--user=65532:65532", "-v", "program:/openshell", f"{PREFIX}/agent",
                   "copy-self", "/openshell/")

    @classmethod
    def remove(cls):
        podman("pod", "rm", "-f", "-t", "0", POD, check=False)
        for name in ("openshell-agent-token", "openshell-agent-tls", "program", "run", "tmp",
                     "agent"):
            podman("volume", "rm", "-f", name, check=False)

    @classmethod
    def tearDownClass(cls):
        cls.remove()
        cls.folder.cleanup()

    @classmethod
    def health(cls):
        done = run(GRPCURL, "-plaintext", "-connect-timeout", "2", "-import-path", SOURCE / "proto",
                   "-proto", "grpc/health/v1/health.proto", f"{cls.address}:8086",
                   "grpc.health.v1.Health/Check", check=False)
        return done.stdout + done.stderr

    def grpcurl(self, method, request, port=7443):
        return run(GRPCURL, "-cacert", self.work / "tls.crt", "-authority", "agent",
                   "-expand-headers", "-H", "authorization: Bearer ${TOKEN}", "-d",
                   json.dumps(request), f"{self.address}:{port}", f"{SERVICE}/{method}",
                   env={**os.environ, "TOKEN": (self.work / "token").read_text()}, check=False)

    def ctl(self, *arguments):
        """Inside, over the Unix socket, as `kubectl exec` would."""
        return podman("exec", f"{POD}-agent", "/openshell/openshell-agent", *arguments,
                           "--config", "/run/secrets/openshell-agent/config/agent.yaml", check=False)

    def logs(self):
        done = podman("logs", f"{POD}-agent", check=False)
        return done.stdout + done.stderr

    def test_1_probes_are_answered_and_nothing_else(self):
        self.assertIn('"status": "SERVING"', self.health(), self.logs())
        done = run(GRPCURL, "-plaintext", f"{self.address}:8086", "list", check=False)
        self.assertIn("answers health checks alone", done.stderr)

    def test_1_metrics(self):
        import urllib.request
        with urllib.request.urlopen(f"http://{self.address}:9464/metrics", timeout=60) as reply:
            self.assertIn(b"\nopenshell_agent_sandboxes 0\n", reply.read())

    def test_2_runs_a_command_confined(self):
        done = self.grpcurl("Spawn", {"spec": {"argv": [
            "/bin/sh", "-c", "id -u; cat /etc/shadow; cat /run/secrets/openshell-agent/token/token; "
            "cat /run/openshell-agent/agent.sock; exit 7"]}})
        self.assertEqual(done.returncode, 0, done.stderr + self.logs())
        spawned = json.loads(done.stdout)
        self.assertEqual(spawned["isolation"]["level"], f"ISOLATION_LEVEL_{self.level}")
        self.assertEqual(spawned["isolation"]["seccompProfile"], "default")
        process = {"processId": spawned["processId"]}
        exit_ = json.loads(self.grpcurl("Wait", process).stdout)["exit"]
        self.assertEqual((exit_["reason"], exit_["code"]), ("REASON_EXITED", 7))
        output = self.grpcurl("Attach", {"start": process}).stdout

        text = b"".join(base64.b64decode(c) for c in re.findall(r'"data": "([^"]+)"', output))
        lines = text.decode().splitlines()
        self.assertEqual(lines[0], self.user, text)
        for line in lines[1:]:
            self.assertRegex(line, "Permission denied|No such file or directory")
        self.assertNotIn((self.work / "token").read_text(), text.decode())

    def test_3_without_token(self):
        done = run(GRPCURL, "-cacert", self.work / "tls.crt", "-authority", "agent",
                   f"{self.address}:7443", f"{SERVICE}/List", check=False)
        self.assertIn("Unauthenticated", done.stderr)

    def test_9_drains_as_prestop_does(self):
        self.assertEqual(self.ctl("drain").stdout, "drained: 0 ended, 0 killed\n", self.logs())
        self.assertIn("NOT_SERVING", self.health())
        podman("stop", "-t", "20", f"{POD}-agent")
        code = podman("inspect", f"{POD}-agent", "--format", "{{.State.ExitCode}}").stdout
        self.assertEqual(code.strip(), "0", self.logs())

class Restricted(Pod, unittest.TestCase):
    profile, level, user = "restricted", "RESTRICTED", "65532"

class Baseline(Pod, unittest.TestCase):
    profile, level, user = "baseline", "RESTRICTED", "65534"

class Full(Pod, unittest.TestCase):
    profile, level, user = "full", "FULL", "65534"

if pathlib.Path(sys.prefix).resolve() != (TOOLS / "python").resolve():
    python = TOOLS / "python/bin/python3"
    if not python.exists():
        skip("the Python environment is missing (scripts/setup.sh test)")
    os.execv(python, [python, *sys.argv])
if os.geteuid() != 0:
    skip("needs root for podman's volumes")
if not (containers.TREE / "etc/debian_version").exists():
    skip("the Debian tree is missing (tests/e2e/package.py makes it)")
main()
