#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: what the chart renders, against the schemas of three Kubernetes versions, and as a
pod that podman plays, at each privilege profile, driven with grpcurl as a person would."""
import base64
import json
import os
import re
import sys
import pathlib
import unittest
import urllib.request

import boxlite_double
import containers
from containers import podman, run
from harness import SERVICE, SOURCE, TOOLS, main, skip, wait_until
from kube import GRPCURL, Pod, render

MANIFESTS = {"restricted": "profile=restricted", "baseline": "profile=baseline",
             "full": "profile=full", "boxlite": "runtime=boxlite"}
# Everything that can be set, at once.
FULLEST = ("runtime=boxlite", "boxlite.keySecret=k", "boxlite.server.image=boxlite", "viewerToken=true",
           "tls.clientCA=true", "hostUsers=false", "policy=version: 1", "priorityClassName=p",
           "runtimeClassName=r", "imagePullSecrets[0].name=s", "nodeSelector.kvm=yes",
           "tolerations[0].key=kvm", "tolerations[0].operator=Exists",
           "topologySpreadConstraints[0].maxSkew=1",
           "topologySpreadConstraints[0].topologyKey=kubernetes.io/hostname",
           "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
           "networkPolicy.egress[0].ports[0].port=8100")


class Manifests(unittest.TestCase):
    def test_committed_ones_are_what_the_chart_renders(self):
        for name, setting in MANIFESTS.items():
            committed = (SOURCE / f"deploy/kubernetes/{name}.yaml").read_text()
            self.assertEqual(committed.split("\n", 3)[3], render(setting),
                             "run deploy/kubernetes/render.sh")

    def test_schemas(self):
        import kubernetes_validate
        import yaml
        newest = kubernetes_validate.latest_version()
        major, minor = (int(part) for part in newest.split(".")[:2])
        kinds = set()
        texts = [render(setting) for setting in MANIFESTS.values()]
        texts += [render(*FULLEST), render("profile=full", "appArmorUnconfined=true")]
        for version in (f"{major}.{minor - back}" for back in range(3)):
            for text in texts:
                for document in yaml.safe_load_all(text):
                    kinds.add(document["kind"])
                    kubernetes_validate.validate(document, version, strict=True)
        self.assertEqual(kinds, {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget",
                                 "NetworkPolicy"})

    def test_nothing_is_privileged(self):
        for setting in MANIFESTS.values():
            text = render(setting)
            self.assertNotIn("privileged:", text)
            self.assertNotIn("hostPath", text)
            self.assertNotIn("hostNetwork", text)
            self.assertEqual(text.count("allowPrivilegeEscalation: false"),
                             1 if "boxlite" in setting else 2)

    def test_device_is_the_server_s_alone(self):
        import yaml
        deployment, = (d for d in yaml.safe_load_all(render(*FULLEST)) if d["kind"] == "Deployment")
        template = deployment["spec"]["template"]
        limits = {c["name"]: c["resources"]["limits"] for c in template["spec"]["containers"]}
        self.assertEqual(limits["boxlite"]["devices.kubevirt.io/kvm"], "1")
        self.assertNotIn("devices.kubevirt.io/kvm", limits["agent"])
        self.assertEqual(template["metadata"]["labels"]["openshell.io/runtime-kind"], "boxlite")
        self.assertEqual(template["spec"]["nodeSelector"], {"kvm": "yes"})
        self.assertIs(template["spec"]["hostUsers"], False)

    def test_a_new_configuration_makes_new_pods(self):
        sums = {re.search("checksum/config: (.*)", render(setting)).group(1)
                for setting in ("drainSeconds=30", "drainSeconds=31", "logLevel=debug", "policy=a: b")}
        self.assertEqual(len(sums), 4)

    def test_selectors_do_not_change_with_versions(self):
        import yaml
        for document in yaml.safe_load_all(render()):
            selector = document["spec"].get("selector", {}) if "spec" in document else {}
            for labels in selector.get("matchLabels", selector), :
                self.assertLessEqual(set(labels), {"app.kubernetes.io/name",
                                                   "app.kubernetes.io/instance"})

    def test_wrong_values(self):
        for setting, text in (("profile=root", "profile"), ("polciy=x", "polciy"),
                              ("service.port=0", "service.port"), ("tls.clientCa=true", "clientCa"),
                              ("boxlite.url=ftp://x", "boxlite.url")):
            self.assertIn(text, render(setting, check=False), setting)


class Played:
    """The same walk for each profile; the subclasses say what is to come out of it."""
    profile = level = user = None

    @classmethod
    def setUpClass(cls):
        containers.configure()
        containers.build("agent")
        containers.debian()
        cls.pod = Pod(f"profile={cls.profile}")
        cls.addClassCleanup(cls.pod.close)
        cls.pod.start()

    def test_1_probes_are_answered_and_nothing_else(self):
        for service in "", "grpc.health.v1.Health":
            self.assertIn('"status": "SERVING"', self.pod.health(service))
        done = run(GRPCURL, "-plaintext", f"{self.pod.address}:8086", "list", check=False)
        self.assertIn("answers health checks alone", done.stderr)

    def test_1_metrics(self):
        with urllib.request.urlopen(f"http://{self.pod.address}:9464/metrics", timeout=60) as reply:
            self.assertIn(b"\nopenshell_agent_sandboxes 0\n", reply.read())

    def test_1_root_is_read_only(self):
        done = podman("inspect", self.pod.container, "--format", "{{.HostConfig.ReadonlyRootfs}}")
        self.assertEqual(done.stdout, "true\n")

    def test_2_runs_a_command_confined(self):
        done = self.pod.grpcurl("Spawn", {"spec": {"argv": [
            "/bin/sh", "-c", "id -u; cat /etc/shadow; cat /run/secrets/openshell-agent/token/token; "
            "cat /run/openshell-agent/agent.sock; exit 7"]}})
        self.assertEqual(done.returncode, 0, done.stderr + self.pod.logs())
        spawned = json.loads(done.stdout)
        self.assertEqual(spawned["isolation"]["level"], f"ISOLATION_LEVEL_{self.level}")
        self.assertEqual(spawned["isolation"]["seccompProfile"], "default")
        self.assertGreater(spawned["isolation"]["landlock"]["abi"], 0)
        process = {"processId": spawned["processId"]}
        exit_ = json.loads(self.pod.grpcurl("Wait", process).stdout)["exit"]
        self.assertEqual((exit_["reason"], exit_["code"]), ("REASON_EXITED", 7))
        output = self.pod.grpcurl("Attach", {"start": process}).stdout
        text = b"".join(base64.b64decode(c) for c in re.findall(r'"data": "([^"]+)"', output))
        lines = text.decode().splitlines()
        self.assertEqual(lines[0], self.user, text)
        for line in lines[1:]:
            self.assertRegex(line, "Permission denied|No such file or directory")
        self.assertNotIn((self.pod.work / "token").read_text(), text.decode())

    def test_3_without_token(self):
        done = run(GRPCURL, "-cacert", self.pod.work / "tls.crt", "-authority", "agent",
                   f"{self.pod.address}:7443", f"{SERVICE}/List", check=False)
        self.assertIn("Unauthenticated", done.stderr)

    def test_3_limits_of_a_sandbox_are_refused_by_name(self):
        done = self.pod.grpcurl("CreateSandbox", {"spec": {"resources": {"memoryBytes": 67108864}}})
        self.assertIn("FailedPrecondition", done.stderr)
        self.assertIn("memory", done.stderr)
        info = json.loads(self.pod.grpcurl("GetInfo", {}).stdout)
        process, = (r for r in info["runtimes"] if r["kind"] == "RUNTIME_KIND_PROCESS")
        self.assertNotIn("memory_limit", process["capabilities"])

    def test_9_drains_as_prestop_does(self):
        self.assertEqual(self.pod.exec("drain").stdout, "drained: 0 ended, 0 killed\n", self.pod.logs())
        self.assertIn("NOT_SERVING", self.pod.health())
        podman("stop", "-t", "20", self.pod.container)
        self.assertEqual(self.pod.state(), ("exited", 0), self.pod.logs())


class Restricted(Played, unittest.TestCase):
    profile, level, user = "restricted", "RESTRICTED", "65532"

    def test_4_recipes_of_the_documentation(self):
        """Word for word, in the pod's network namespace, where what is forwarded is the agent itself."""
        text = (SOURCE / "docs/kubernetes.md").read_text()
        recipe = text.split("## Looking into a pod")[1].split("```")[1]
        kubectl = self.pod.work / "kubectl"
        kubectl.write_text(f"""#!/bin/sh
command=$1
shift 2
case $command in
port-forward) ;;
logs) exec podman logs {self.pod.container} 2>&1 ;;
exec) shift && exec podman exec {self.pod.container} "$@" ;;
esac
""")
        kubectl.chmod(0o755)
        pid = podman("inspect", self.pod.container, "--format", "{{.State.Pid}}").stdout.strip()
        path = f"{self.pod.work}:{TOOLS}/bin:{os.environ['PATH']}"
        done = run("nsenter", "-t", pid, "-n", "bash", "-euo", "pipefail", "-c", recipe,
                   cwd=self.pod.work, env={**os.environ, "PATH": path}, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for line in (SERVICE, '"REASON_EXITED"', "hello", "SERVING"):
            self.assertIn(f"\n{line}\n", "\n" + done.stdout)
        self.assertRegex(done.stdout, '"level": "ISOLATION_LEVEL_RESTRICTED"')
        self.assertRegex(done.stdout, '"/openshell.agent.v1.SandboxAgent/List".*"trace_id":"4bf92f35')


class Baseline(Played, unittest.TestCase):
    profile, level, user = "baseline", "RESTRICTED", "65534"


class Full(Played, unittest.TestCase):
    profile, level, user = "full", "FULL", "65534"


class BoxLite(unittest.TestCase):
    """The pod for microVMs, with a double in the place of its server's container."""

    def test_runs_a_command(self):
        containers.configure()
        containers.build("agent-debian")
        key = "boxlite_key_file: /run/secrets/openshell-agent/token/key"
        pod = Pod("runtime=boxlite", program="/usr/bin/openshell-agent",
                  edit=lambda text: text.replace("    boxlite_url:", f"    {key}\n    boxlite_url:"))
        self.addCleanup(pod.close)
        pod.secrets["token"] = ["token", "key"]
        (pod.work / "key").write_text(boxlite_double.KEY)
        pod.start()
        pid = podman("inspect", pod.container, "--format", "{{.State.Pid}}").stdout.strip()
        double = boxlite_double.Double("--port", "8100", prefix=("nsenter", "-t", pid, "-n"))
        self.addCleanup(double.stop)

        def available():
            info = json.loads(pod.grpcurl("GetInfo", {}).stdout or '{"runtimes": []}')
            return any(r.get("available") for r in info["runtimes"]
                       if r["kind"] == "RUNTIME_KIND_BOXLITE")
        wait_until(available, "the server has been found")
        done = pod.grpcurl("Spawn", {"spec": {"argv": ["/bin/sh", "-c", "exit 7"]}})
        self.assertEqual(done.returncode, 0, done.stderr + pod.logs())
        spawned = json.loads(done.stdout)
        self.assertEqual(spawned["isolation"]["level"], "ISOLATION_LEVEL_VM")
        exit_ = json.loads(pod.grpcurl("Wait", {"processId": spawned["processId"]}).stdout)["exit"]
        self.assertEqual((exit_["reason"], exit_["code"]), ("REASON_EXITED", 7))


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
