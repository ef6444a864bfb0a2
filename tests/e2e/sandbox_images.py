#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sandboxes on OCI images, from a registry and from layouts, through the compute driver."""
import base64
import json
import os
import signal
import subprocess
import unittest

import gateway_double
import harness
import oci
from driver import WithDriver
from gateway_double import Code, compute, ready, wait_ready

FREE = ("--image-min-free", "1Mi")


class WithRegistry(WithDriver):
    def setUp(self):
        self.registry = oci.Registry()
        self.addCleanup(self.registry.stop)
        super().setUp()

    @property
    def arguments(self):
        return (*FREE, "--image-insecure", self.registry.host)

    def on(self, image, *command, wait=True, **config):
        sandbox = self.double.add()
        template = compute.DriverSandboxTemplate(image=image)
        template.driver_config.update(config)
        self.driver.create(sandbox, *command, image=image, driver_config=template.driver_config)
        if wait:
            wait_ready(sandbox)
            self.runs(sandbox)
        return sandbox

    def says(self, sandbox, command):
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def failure(self, sandbox):
        harness.wait_until(lambda: ready(self.driver.get(sandbox))[1] not in
                           ("Starting", "BackendReady"), "it fails")
        return ready(self.driver.get(sandbox))[1:]

    def kept(self):
        return sorted(p.name for p in (self.driver.state / "images").iterdir() if p.name != "refs")

    def steps(self, watch, sandbox):
        return [e.event.reason for e in watch.of(sandbox, "platform_event")]


class Pulled(WithRegistry):
    def test_life_on_an_image(self):
        image = oci.Image(User="app", Env=["FROM_IMAGE=yes", "PATH=/bin", "BOTH=image"],
                          WorkingDir="/work")
        name = self.registry.add("a/b", image)
        watch = self.watch()
        sandbox = self.double.add()
        request = self.driver.request(sandbox, image=name)
        request.sandbox.spec.environment["BOTH"] = "owner"
        self.driver.stub.CreateSandbox(request)
        wait_ready(sandbox)
        self.runs(sandbox)
        self.assertEqual(self.steps(watch, sandbox),
                         ["Scheduled", "Pulling", "PullingLayer", "Unpacking",
                          "Pulled", "Created", "Started"])
        self.assertIn(image.digest, [e.event for e in watch.of(sandbox, "platform_event")
                                     if e.event.reason == "Pulled"][0].message)
        self.assertEqual(self.says(sandbox, "id -u; id -g; pwd; echo $FROM_IMAGE $BOTH; ls /usr"),
                         "4242\n4343\n/work\nyes owner\nbin\n")
        self.says(sandbox, "echo kept > /work/file")
        root = self.driver.state / "images" / image.digest.replace(":", "-") / "root"
        self.assertFalse((root / "work").exists(), "a sandbox has changed its image")
        self.driver.stop_sandbox(sandbox)
        self.driver.start_sandbox(sandbox)
        harness.wait_until(lambda: len(sandbox.sessions) == 2 and sandbox.session.alive, "it is back")
        self.assertEqual(self.says(sandbox, "cat /work/file"), "kept\n")

        other = self.on(name)  # its changes are its own, and nothing is pulled again
        self.assertEqual(self.steps(watch, other), ["Scheduled", "ImagePresent", "Created", "Started"])
        self.assertEqual(self.says(other, "ls /work"), "")
        self.assertEqual(self.registry.pulls(image), 1)
        self.assertTrue(self.driver.delete(sandbox))
        self.assertEqual(self.says(other, "echo alive"), "alive\n")

    def test_many_wait_for_one_pull(self):
        image = oci.Image()
        name = self.registry.add("many", image)
        self.registry.flow.clear()
        sandboxes = [self.on(name, wait=False) for _ in range(5)]
        harness.wait_until(lambda: self.registry.pulls(image) >= 1, "the layer is asked for")
        self.assertTrue(self.driver.delete(sandboxes[0]))  # the others still wait
        self.driver.stop_sandbox(sandboxes[1])
        self.assertEqual({ready(self.driver.get(s))[1] for s in sandboxes[2:]}, {"Starting"})
        self.registry.flow.set()
        for sandbox in sandboxes[2:]:
            wait_ready(sandbox)
        self.driver.start_sandbox(sandboxes[1])
        wait_ready(sandboxes[1])
        self.assertEqual(self.registry.pulls(image), 1)
        harness.wait_until(lambda: len(self.kept()) == 1, "one is kept")

    def test_what_nobody_waits_for_is_given_up(self):
        image = oci.Image()
        self.registry.flow.clear()
        sandbox = self.on(self.registry.add("none", image), wait=False)
        harness.wait_until(lambda: self.registry.pulls(image) >= 1, "the layer is asked for")
        self.assertEqual(len(harness.processes_with(f"{self.driver.state}/images/.new-")), 1)
        self.assertTrue(self.driver.delete(sandbox))
        harness.wait_until(lambda: not harness.processes_with(f"{self.driver.state}/images/.new-"),
                           "skopeo is killed")
        harness.wait_until(lambda: self.kept() == [], "what it had is removed")

    def test_death_of_the_driver_while_it_pulls(self):
        image = oci.Image()
        self.registry.flow.clear()
        sandbox = self.on(self.registry.add("dead", image), wait=False)
        harness.wait_until(lambda: self.registry.pulls(image) >= 1, "the layer is asked for")
        self.driver.again()
        self.registry.flow.set()
        wait_ready(sandbox)
        self.runs(sandbox)
        harness.wait_until(lambda: self.kept() == [image.digest.replace(":", "-")],
                           "no half is left")
        self.assertEqual(len(self.driver.agents(sandbox)), 1)

    def test_bad_images(self):
        image, damaged = oci.Image(), oci.Image({"file": (0o644, b"damaged")})
        self.registry.add("good", image)
        self.registry.damaged.add(damaged.layer)
        escape = oci.Image({"../../escaped": (0o644, b"x"), "bin": (0o777, "/etc"),
                            "bin/escaped": (0o644, b"x")})
        cases = (("absent", None, "it cannot be pulled: "),
                 ("damaged", damaged, "it cannot be pulled: "),
                 ("windows", oci.Image(document={"os": "windows"}), "windows"),
                 ("env", oci.Image(Env=["x" * 40000 + "=1"]), "a variable of its configuration"),
                 ("dir", oci.Image(WorkingDir="relative"), "User or WorkingDir"))
        for name, one, text in cases:
            with self.subTest(name):
                if one is not None:
                    self.registry.add(name, one)
                sandbox = self.on(f"{self.registry.host}/{name}", wait=False)
                reason, message = self.failure(sandbox)
                self.assertEqual(reason, "ImagePullFailed", message)
                self.assertIn(text, message)
                self.assertTrue(self.driver.delete(sandbox))
        sandbox = self.on(self.registry.add("escape", escape), wait=False)
        self.failure(sandbox)  # it has no program; what it tried stays inside
        self.assertFalse((self.driver.folder / "escaped").exists())
        self.assertFalse(os.path.exists("/etc/escaped"))
        self.on(f"{self.registry.host}/good")

    def test_names(self):
        sandbox = self.double.add()
        for name, code, text in (
                ("-x", Code.INVALID_ARGUMENT, "'-x' is no [HOST/]NAME[:TAG][@DIGEST]"),
                ("a b", Code.INVALID_ARGUMENT, "is no [HOST/]NAME"),
                ("//x", Code.INVALID_ARGUMENT, "is no [HOST/]NAME"),
                ("x" * 1025, Code.INVALID_ARGUMENT, "longer than 1024 bytes"),
                ("oci:../x", Code.INVALID_ARGUMENT, "is not oci:NAME"),
                ("oci:x", Code.FAILED_PRECONDITION, "no directory of layouts (image-layouts)")):
            self.fails(code, text, lambda name=name: self.driver.create(sandbox, image=name))
        self.fails(Code.FAILED_PRECONDITION, "is not kept here, and image_pull is never",
                   lambda: self.on("a/b", wait=False, image_pull="never"))
        self.fails(Code.FAILED_PRECONDITION, "set image_changes to discard",
                   lambda: self.on("a/b", wait=False, disk="64Mi"))
        self.fails(Code.INVALID_ARGUMENT, "driver_config.image_pull: 'now' is not one of missing, "
                   "always, never", lambda: self.on("a/b", wait=False, image_pull="now"))

    def test_a_tag_that_moves(self):
        first, second = oci.Image(Env=["N=1"]), oci.Image(Env=["N=2"])
        name = self.registry.add("moves:v1", first)
        one = self.on(name)
        self.registry.add("moves:v1", second)
        self.assertEqual(self.says(self.on(name), "echo $N"), "1\n")
        self.assertEqual(self.says(self.on(name, image_pull="always"), "echo $N"), "2\n")
        self.driver.stop_sandbox(one)
        self.driver.again()
        self.driver.start_sandbox(one)
        harness.wait_until(lambda: len(one.sessions) == 2 and one.session.alive, "it is back")
        self.assertEqual(self.says(one, "echo $N"), "1\n")  # a sandbox stays what it was
        self.assertEqual(self.says(self.on(f"{self.registry.host}/moves@{second.digest}"), "echo $N"),
                         "2\n")

    def test_changes_that_are_not_kept(self):
        sandbox = self.on(self.registry.add("lost", oci.Image()), image_changes="discard")
        self.says(sandbox, "echo x > file")
        self.driver.stop_sandbox(sandbox)
        self.driver.start_sandbox(sandbox)
        harness.wait_until(lambda: len(sandbox.sessions) == 2 and sandbox.session.alive, "it is back")
        self.assertEqual(self.says(sandbox, "ls"), "")


class Credentials(WithRegistry):
    @property
    def arguments(self):
        return (*super().arguments, "--image-auth-file", str(self.auth))

    def setUp(self):
        self.auth = harness.pathlib.Path(harness.tempfile.mkdtemp(prefix="osa-auth-")) / "auth.json"
        self.addCleanup(harness.shutil.rmtree, self.auth.parent)
        super().setUp()

    def test_registry_that_asks_who_it_is(self):
        self.registry.password = "sesame"
        name = self.registry.add("private", oci.Image())
        self.write("wrong")
        reason, message = self.failure(self.on(name, wait=False))
        self.assertEqual(reason, "ImagePullFailed")
        self.assertIn("unauthorized", message.lower())
        self.write("sesame")
        self.on(name)
        self.assertNotIn("sesame", self.driver.log())

    def write(self, password):
        both = base64.b64encode(f"user:{password}".encode()).decode()
        self.auth.write_text(json.dumps({"auths": {self.registry.host: {"auth": both}}}))


class Kept(WithRegistry):
    @property
    def arguments(self):
        return (*super().arguments, "--image-cache", "1", "--image-pulls", "1")

    def test_what_nobody_has_goes(self):
        first, second = oci.Image(Env=["N=1"]), oci.Image(Env=["N=2"])
        one = self.on(self.registry.add("one", first))
        two = self.on(self.registry.add("two", second))
        harness.wait_until(lambda: len(self.kept()) == 2, "both are kept, for they are in use")
        self.assertTrue(self.driver.delete(one))
        third = oci.Image(Env=["N=3"])
        self.on(self.registry.add("three", third))
        expected = sorted(i.digest.replace(":", "-") for i in (second, third))
        harness.wait_until(lambda: self.kept() == expected, "the first one is gone")
        self.assertEqual(self.says(two, "echo $N"), "2\n")
        before = self.registry.pulls(first)
        self.on(self.registry.add("one", first))  # and can be had again
        self.assertGreater(self.registry.pulls(first), before)


class FullDisk(WithRegistry):
    @property
    def arguments(self):
        return ("--image-insecure", self.registry.host, "--image-min-free", "8000Ti")

    def test_it(self):
        reason, message = self.failure(self.on(self.registry.add("a", oci.Image()), wait=False))
        self.assertEqual(reason, "ImagePullFailed")
        self.assertIn("the disk has too little left", message)


class Layouts(WithDriver):
    @property
    def arguments(self):
        return (*FREE, "--image-layouts", str(self.layouts), "--default-image", "oci:bb")

    def setUp(self):
        self.layouts = harness.pathlib.Path(harness.tempfile.mkdtemp(prefix="osa-layouts-"))
        self.addCleanup(harness.shutil.rmtree, self.layouts)
        oci.Image(User="0:0").write_layout(self.layouts / "bb")
        super().setUp()

    def test_default_image(self):
        sandbox = self.double.add()
        self.driver.create(sandbox)
        wait_ready(sandbox)
        done = self.double.ssh(sandbox, "sandbox@127.0.0.1", "id -u; ls /bin/busybox; pwd; touch x")
        # No image makes anybody root; who it is instead comes from the image, or is nobody.
        self.assertEqual(done.stdout, b"65534\n/bin/busybox\n/sandbox\n", done.stderr)
        host = self.created("/bin/sleep", "1000", image="host")
        self.assertEqual(self.double.ssh(host, "sandbox@127.0.0.1", "test -e /bin/bash").returncode, 0)


if __name__ == "__main__":
    for needed in ("openshell-driver", "openshell-agent"):
        if not (harness.BIN / needed).exists():
            harness.skip(f"{harness.BIN / needed} is missing (make)")
    if os.geteuid() != 0:
        harness.skip("root is needed: images are unpacked with their owners")
    for tool in ("ssh", "skopeo", "umoci"):
        harness.need_tool(tool)
    if not oci.BUSYBOX.exists():
        harness.skip("busybox-static is missing (scripts/setup.sh test)")
    unittest.main(verbosity=2)
