# SPDX-License-Identifier: Apache-2.0
"""A pod of the chart, played by podman as a kubelet would start it.

podman 4.3 differs from a kubelet in four ways that this makes up for: it ignores defaultMode and
fsGroup of volumes, knows neither NetworkPolicy nor PodDisruptionBudget nor gRPC probes, and takes half a
minute to notice the end of an init container on a machine whose PID 1 does not reap; so the init
container's command is run by itself, from the same image and into the same volume.
"""
import json
import os
import pathlib
import re
import shutil
import tempfile

import harness
from containers import DEBIAN, PREFIX, podman, run
from harness import SERVICE, SOURCE, need_tool

CHART = SOURCE / "deploy/kubernetes/chart"
CONFIG = "/run/secrets/openshell-agent/config/agent.yaml"
HELM, GRPCURL = need_tool("helm"), need_tool("grpcurl")
SECRETS = {"token": ["token"], "tls": ["tls.crt", "tls.key"]}
VOLUMES = ("program", "run", "tmp")


def render(*settings, release="agent", check=True):
    done = run(HELM, "template", release, CHART, "--kube-version", "1.31.0",
               *(word for s in settings for word in ("--set", s)), check=check)
    return done.stdout if check else done.stderr


class Pod:
    """settings: of the chart; without: names of Secrets that are left empty; edit: changes the text."""

    def __init__(self, *settings, without=(), edit=None, program="/openshell/openshell-agent"):
        self.name = f"osa-{os.getpid()}"  # of everything, for podman's names are the machine's
        self.secrets = {name: list(keys) for name, keys in SECRETS.items()}
        self.settings, self.without, self.edit, self.program = settings, without, edit, program
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="osa-kube-"))
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", self.work / "tls.key", "-out", self.work / "tls.crt", "-days", "2",
            "-subj", "/CN=agent", "-addext", "subjectAltName=DNS:agent")
        (self.work / "token").write_text(os.urandom(32).hex())

    # ---- life ----

    def manifest(self):
        documents = [d for d in render(f"workload.image={DEBIAN}", f"image.repository={PREFIX}/agent",
                                       f"boxlite.image.repository={PREFIX}/agent-debian",
                                       f"tokenSecret={self.name}-token", f"tls.secret={self.name}-tls",
                                       *self.settings, release=self.name).split("\n---\n")
                     if "kind: Deployment" in d or "kind: ConfigMap" in d]
        for secret, keys in self.secrets.items():
            documents.insert(0, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: "
                             f"{self.name}-{secret}\nstringData:\n" +
                             "".join(f"  {key}: x\n" for key in keys))
        text = "\n---\n".join(documents)
        if "      initContainers:" in text:
            start, end = text.index("      initContainers:"), text.index("      containers:")
            text = text[:start] + text[end:]
        text = re.sub(rf"\bname: ({'|'.join(VOLUMES)})\b", rf"name: {self.name}-\1", text)
        # What ended stays ended, and can be looked at.
        text = text.replace("      containers:", "      restartPolicy: Never\n      containers:")
        self.group = "fsGroup:" in text
        return self.edit(text) if self.edit else text

    def play(self):
        """Make it and start it; it need not come up."""
        self.remove()
        (self.work / "pod.yaml").write_text(self.manifest())
        podman("kube", "play", "--start=false", self.work / "pod.yaml")
        self.fill_volumes()
        self.begin()

    def begin(self):
        podman("pod", "start", self.pod)
        infra = podman("pod", "inspect", self.pod, "--format", "{{.InfraContainerID}}").stdout.strip()
        self.address = podman("inspect", infra, "--format",
                              "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
                              ).stdout.strip()

    def start(self):
        self.play()
        self.until_serving()

    def until_serving(self):
        try:
            harness.wait_until(lambda: '"SERVING"' in self.health(), "the pod serves")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.health()}\n{self.logs()[-4000:]}") from None

    def volume(self, name):
        """Where it is; None when the manifest has none of that name."""
        done = podman("volume", "inspect", f"{self.name}-{name}", "--format", "{{.Mountpoint}}",
                      check=False)
        return pathlib.Path(done.stdout.strip()) if done.returncode == 0 else None

    def fill_volumes(self):
        """What the kubelet does: modes and groups of volumes, and the init container."""
        for secret, files in self.secrets.items():
            for file in (self.volume(secret) / name for name in files):
                file.unlink(missing_ok=True)
                if secret not in self.without:
                    file.write_bytes((self.work / file.name).read_bytes())
                    os.chown(file, 0, 65532 if self.group else 0)
                    os.chmod(file, 0o440 if self.group else 0o400)
        for name in filter(self.volume, VOLUMES):
            os.chown(self.volume(name), 0, 65532 if self.group else 0)
            os.chmod(self.volume(name), 0o2777 if self.group else 0o777)
        if self.volume("program"):
            podman("run", "--rm", "--network=none", "--read-only", "--cap-drop=all",
                   "--user=65532:65532", "-v", f"{self.name}-program:/openshell", f"{PREFIX}/agent",
                   "copy-self", "/openshell/")

    def remove(self):
        podman("pod", "rm", "-f", "-t", "0", self.pod, check=False)
        for name in (*SECRETS, *VOLUMES):
            podman("volume", "rm", "-f", f"{self.name}-{name}", check=False)
        podman("volume", "rm", "-f", self.name, check=False)

    def close(self):
        self.remove()
        shutil.rmtree(self.work, ignore_errors=True)

    # ---- what it says ----

    @property
    def pod(self):
        return f"{self.name}-pod-0"

    @property
    def container(self):
        return f"{self.pod}-agent"

    def state(self):
        """status, exit code"""
        done = podman("inspect", self.container, "--format", "{{.State.Status}} {{.State.ExitCode}}")
        status, code = done.stdout.split()
        return status, int(code)

    def health(self, service="", patience=5):
        done = run(GRPCURL, "-plaintext", "-connect-timeout", "2", "-max-time", patience, "-d",
                   json.dumps({"service": service}), "-import-path", SOURCE / "proto", "-proto",
                   "grpc/health/v1/health.proto", f"{self.address}:8086",
                   "grpc.health.v1.Health/Check", check=False)
        return done.stdout + done.stderr

    def grpcurl(self, method, request, port=7443):
        return run(GRPCURL, "-cacert", self.work / "tls.crt", "-authority", "agent",
                   "-expand-headers", "-H", "authorization: Bearer ${TOKEN}", "-d",
                   json.dumps(request), f"{self.address}:{port}", f"{SERVICE}/{method}",
                   env={**os.environ, "TOKEN": (self.work / "token").read_text()}, check=False)

    def exec(self, *arguments):
        """Inside, over the Unix socket, as `kubectl exec` would."""
        return podman("exec", self.container, self.program, *arguments, "--config", CONFIG,
                      check=False)

    def logs(self):
        done = podman("logs", self.container, check=False)
        return done.stdout + done.stderr

    def channel(self):
        """For Python's gRPC, with the token."""
        import grpc
        token = (self.work / "token").read_text()
        return grpc.secure_channel(f"{self.address}:7443", grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials((self.work / "tls.crt").read_bytes()),
            grpc.access_token_call_credentials(token)),
            options=[("grpc.ssl_target_name_override", "agent")])
