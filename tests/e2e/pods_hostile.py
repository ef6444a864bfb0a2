#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pods that are not given what they need, or are treated badly: clear words, no lost exit, no orphan."""
import json
import os
import threading
import unittest

import harness

harness.use_grpcio()
import containers  # noqa: E402
import grpc  # noqa: E402
from containers import DEBIAN, podman, run  # noqa: E402
from kube import Pod  # noqa: E402

pb, Stub, _ = harness.stubs()
CAPABILITIES = ("add: [SYS_ADMIN, NET_ADMIN, SETUID, SETGID, SETPCAP, KILL, CHOWN, FOWNER, DAC_OVERRIDE, "
                "SYS_PTRACE, SYS_RESOURCE]")
MARK = f"osa-pod-{os.getpid()}"


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        containers.configure()
        containers.build("agent")
        containers.debian()

    def pod(self, *settings, **options):
        pod = Pod(*settings, **options)
        self.addCleanup(self.nothing_is_left)
        self.addCleanup(pod.close)
        return pod

    def nothing_is_left(self):
        harness.wait_until(lambda: not harness.processes_with(MARK), "nothing of the pod runs")

    def spec(self, script):
        return {"spec": {"argv": ["/bin/sh", "-c", f"{script} # {MARK}"]}}

    def process_kind(self, pod):
        info = json.loads(pod.grpcurl("GetInfo", {}).stdout)
        kind, = (r for r in info["runtimes"] if r["kind"] == "RUNTIME_KIND_PROCESS")
        return kind

    def ends_by_itself(self, pod, *words):
        """The pod's agent says what is wrong and ends, so that the kubelet can show it."""
        def told():
            return all(word in pod.logs() for word in words)
        try:
            harness.wait_until(told, "the agent has said why")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{pod.logs()[-2000:]}") from None
        self.assertNotIn('"SERVING"', pod.health())


class Wants(Hostile):
    """What is missing from the start."""

    def test_without_capabilities(self):
        pod = self.pod("profile=full", edit=lambda text: text.replace(CAPABILITIES, "add: [SETUID]"))
        pod.start()
        done = pod.grpcurl("Spawn", self.spec("true"))
        self.assertIn("Unavailable", done.stderr)
        self.assertIn("give the agent CAP_SETGID", done.stderr)
        self.assertIn("CAP_SETGID", self.process_kind(pod)["unavailableReason"])

    def test_without_one_capability(self):
        pod = self.pod("profile=full", edit=lambda text: text.replace("NET_ADMIN, ", ""))
        pod.start()
        done = pod.grpcurl("Spawn", self.spec("true"))
        self.assertIn("FailedPrecondition", done.stderr)
        self.assertIn("min_isolation is higher", done.stderr)
        self.assertNotEqual(self.process_kind(pod)["isolation"]["level"], "ISOLATION_LEVEL_FULL")

    def test_without_secrets(self):
        for secret, file in ("token", "token/token"), ("tls", "tls/tls.crt"):
            pod = self.pod("profile=restricted", without=(secret,))
            pod.play()
            self.ends_by_itself(pod, "cannot start", f"/run/secrets/openshell-agent/{file}")
            pod.close()

    def test_without_a_place_to_write(self):
        pod = self.pod("profile=restricted", edit=lambda text: "\n".join(
            line for line in text.split("\n") if "mountPath: /run/openshell-agent" not in line))
        pod.play()
        self.ends_by_itself(pod, "cannot start", "/run/openshell-agent")


class Hurt(Hostile):
    """What befalls one that serves."""

    def test_64_mib(self):
        pod = self.pod("profile=restricted", "resources.limits.memory=64Mi",
                       "resources.requests.memory=32Mi")
        pod.start()
        with pod.channel() as channel:
            stub = Stub(channel)
            for _ in range(5):
                ids = [stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=["/bin/true"])),
                                  timeout=harness.PATIENCE_S).process_id for _ in range(20)]
                for process in ids:
                    end = stub.Wait(pb.WaitRequest(process_id=process), timeout=harness.PATIENCE_S).exit
                    self.assertEqual((end.reason, end.code), (pb.Exit.REASON_EXITED, 0))
            # The workload grows beyond the pod's limit: it is the one to die, and the agent tells.
            hog = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=[
                "/bin/sh", "-c", f"a=x; while :; do a=$a$a; done # {MARK}"])),
                timeout=harness.PATIENCE_S).process_id
            end = stub.Wait(pb.WaitRequest(process_id=hog), timeout=harness.PATIENCE_S).exit
            self.assertIn((end.reason, end.signal), ((pb.Exit.REASON_SIGNALED, 9),
                                                     (pb.Exit.REASON_OOM_KILLED, 9)))
        self.assertIn('"SERVING"', pod.health())
        self.assertEqual(pod.state()[0], "running")

    def test_killed(self):
        pod = self.pod("profile=full")
        pod.start()
        for _ in range(3):
            self.assertEqual(pod.grpcurl("Spawn", self.spec("sleep 1000")).returncode, 0)
        harness.wait_until(lambda: len(harness.processes_with(MARK)) >= 3, "they run")
        podman("kill", "--signal", "KILL", pod.container)
        harness.wait_until(lambda: pod.state() == ("exited", 137), "the container has ended")
        self.nothing_is_left()
        podman("pod", "stop", "-t", "0", pod.pod, check=False)
        pod.begin()  # the kubelet would start the container again
        pod.until_serving()
        self.assertEqual(pod.grpcurl("Spawn", self.spec("true")).returncode, 0)

    def test_frozen(self):
        pod = self.pod("profile=restricted")
        pod.start()
        podman("kill", "--signal", "STOP", pod.container)
        for service in "", "grpc.health.v1.Health":  # both probes of the kubelet find out
            self.assertIn("deadline exceeded", pod.health(service, patience=2).lower())
        podman("kill", "--signal", "CONT", pod.container)
        pod.until_serving()
        self.assertIn('"SERVING"', pod.health("grpc.health.v1.Health"))

    def test_drained_amid_a_hundred_spawns(self):
        pod = self.pod("profile=full")
        pod.start()
        ended, refused, wrong = [], [], []
        begun = threading.Semaphore(0)

        def one(stub, number):
            try:
                process = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(argv=[
                    "/bin/sh", "-c", f"sleep 0.1; exit {number} # {MARK}"])),
                    timeout=harness.PATIENCE_S).process_id
                begun.release()
                end = stub.Wait(pb.WaitRequest(process_id=process), timeout=harness.PATIENCE_S).exit
                ended.append((end.reason, end.code == number))
            except grpc.RpcError as error:
                begun.release()
                (refused if error.code() == grpc.StatusCode.UNAVAILABLE else wrong).append(error.details())

        with pod.channel() as channel:
            stub = Stub(channel)
            threads = [threading.Thread(target=one, args=(stub, number)) for number in range(100)]
            for thread in threads:
                thread.start()
            for _ in range(20):
                begun.acquire()
            drained = pod.exec("drain")
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(ended) + len(refused), 100)
        self.assertGreaterEqual(len(ended), 20)
        self.assertEqual(set(ended), {(pb.Exit.REASON_EXITED, True)})
        self.assertRegex(drained.stdout, r"^drained: \d+ ended, 0 killed\n$")
        for text in refused:
            self.assertIn("drain", text)
        podman("stop", "-t", "30", pod.container)
        self.assertEqual(pod.state(), ("exited", 0), pod.logs()[-2000:])


class UserNamespace(Hostile):
    """hostUsers: false, which podman gives by maps of its own."""

    def ctl(self, name, *arguments):
        return podman("exec", name, "/openshell/openshell-agentctl", "--address",
                      "unix:/run/openshell-agent/agent.sock", *arguments, check=False)

    def test_isolates_in_full(self):
        name = podman("run", "--detach", "--network", "none", "--uidmap", "0:1000000:65536",
                      "--gidmap", "0:1000000:65536", "--security-opt", "seccomp=unconfined", "--cap-drop",
                      "all", *(f"--cap-add={c.strip()}" for c in CAPABILITIES[6:-1].split(",")),
                      "--volume", f"{harness.STATIC_BIN}:/openshell:ro", "--tmpfs",
                      "/run/openshell-agent", DEBIAN, "/openshell/openshell-agent", "serve",
                      "--state-dir", "/run/openshell-agent", "--listen",
                      "unix:/run/openshell-agent/agent.sock", "--min-isolation", "full").stdout.strip()
        self.addCleanup(podman, "rm", "--force", "--time", "0", name, check=False)
        harness.wait_until(lambda: self.ctl(name, "info").returncode == 0, "it serves")
        pid = podman("inspect", name, "--format", "{{.State.Pid}}").stdout.strip()
        self.assertEqual(harness.pathlib.Path(f"/proc/{pid}/uid_map").read_text().split(),
                         ["0", "1000000", "65536"])
        done = self.ctl(name, "run", "--", "/bin/sh", "-c", "id -u; ls /proc | grep -c '^[0-9]'; "
                        "cat /etc/shadow")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"^65534\n[1-5]\n$")  # of a pid namespace of its own
        self.assertIn("denied", done.stderr)


if os.geteuid() != 0:
    harness.skip("needs root for podman's volumes")
if not (containers.TREE / "etc/debian_version").exists():
    harness.skip("the Debian tree is missing (tests/e2e/package.py makes it)")
harness.main()
