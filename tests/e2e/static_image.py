#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The static agent in images that hold nothing, or traps: no code of the image ever runs in it."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, Stub, _ = harness.stubs()

# Any library of the image: leaves a mark when it is loaded.
TRAP = r"""
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { close(open("/loaded", O_CREAT | O_WRONLY, 0666)); }
"""
# What a program does that trusts its image; the positive control.
TRUSTING_NSS = '#include <pwd.h>\nint main(void) { getpwnam("nobody-here"); return 0; }\n'
TRUSTING_SSL = ("#include <openssl/crypto.h>\nint main(void) "
                "{ OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, 0); return 0; }\n")
HELLO = '#include <stdio.h>\nint main(void) { puts("hello from scratch"); return 7; }\n'
OPENSSL_CNF = """openssl_conf = all
[all]
providers = providers
[providers]
trap = trap
[trap]
module = /trap.so
activate = 1
"""


def compile_c(text, output, *options):
    subprocess.run(["cc", "-x", "c", "-", "-o", output, *options], input=text, text=True, check=True,
                   stderr=subprocess.DEVNULL)


def in_image(image):
    """Command prefix: a mount namespace with the image as root, and what each container runtime adds."""
    script = ('for d in proc dev sys; do mount --rbind /$d "$0/$d" || exit 1; done; '
              'mount --make-rprivate /; exec chroot "$0" "$@"')
    return ["unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", script, image]


class Image(unittest.TestCase):
    def setUp(self):
        self.image = pathlib.Path(tempfile.mkdtemp(prefix="osa-image-"))
        self.addCleanup(shutil.rmtree, self.image)
        self.image.chmod(0o755)
        for folder in ("proc", "dev", "sys", "tmp", "bin", "etc"):
            (self.image / folder).mkdir()
        shutil.copy(harness.STATIC_BIN / "openshell-agent", self.image / "openshell-agent")
        compile_c(HELLO, self.image / "bin/hello", "-static")

    def start(self, *arguments, **more):
        agent = harness.Agent(*arguments, program="/openshell-agent", prefix=in_image(self.image),
                              inside=self.image, **more)
        self.addCleanup(lambda: self.assertEqual(agent.stop(), 0, agent.last_log))
        return agent

    def run_hello(self, agent, read_only=("/bin", "/etc"), **spec):
        policy = {"version": 1, "filesystem": {"read_only": read_only}}
        with agent.channel() as channel:
            stub = Stub(channel)
            process_id = stub.Spawn(pb.SpawnRequest(spec=pb.ProcessSpec(
                argv=["/bin/hello"], policy=policy, **spec)), timeout=harness.PATIENCE_S).process_id
            first = pb.AttachRequest(start=pb.AttachStart(process_id=process_id, follow=True))
            out = b"".join(m.output.data for m in stub.Attach(iter([first]),
                                                              timeout=harness.PATIENCE_S))
            end = stub.Wait(pb.WaitRequest(process_id=process_id), timeout=harness.PATIENCE_S).exit
        self.assertEqual((out, end.code), (b"hello from scratch\n", 7))


class Scratch(Image):
    def test_programs_are_static(self):
        for name in filter(lambda n: not n.endswith(".map"), os.listdir(harness.STATIC_BIN)):
            dynamic = subprocess.run(["readelf", "-d", harness.STATIC_BIN / name],
                                     capture_output=True, text=True, check=True).stdout
            self.assertNotIn("NEEDED", dynamic, name)
            headers = subprocess.run(["readelf", "-lW", harness.STATIC_BIN / name],
                                     capture_output=True, text=True, check=True).stdout
            self.assertNotIn("INTERP", headers, name)

    def test_serves_and_spawns(self):
        self.run_hello(self.start())


class Small(Image):
    """Images whose programs are not static, or are one program: musl as Alpine has it, and busybox."""

    def test_musl(self):
        compiler = harness.need_tool("musl-gcc")
        subprocess.run([compiler, "-x", "c", "-", "-o", self.image / "bin/hello"], input=HELLO, text=True,
                       check=True)
        needed = subprocess.run(["readelf", "-l", self.image / "bin/hello"], capture_output=True,
                                text=True, check=True).stdout
        loader = re.search(r"(/lib/ld-musl-\S+)\]", needed).group(1)
        (self.image / "lib").mkdir()
        shutil.copy(loader, self.image / "lib")
        self.run_hello(self.start(), read_only=["/bin", "/etc", "/lib"])

    def test_busybox(self):
        busybox = harness.TOOLS / "vm/busybox/bin/busybox"
        if not busybox.exists():
            self.skipTest("busybox is missing (tests/vm/run.sh fetches it)")
        shutil.copy(busybox, self.image / "bin/busybox")
        (self.image / "bin/sh").symlink_to("busybox")
        (self.image / "bin/hello").write_text("#!/bin/sh\necho hello from scratch\nexit 7\n")
        self.run_hello(self.start())


class Hostile(Image):
    def setUp(self):
        super().setUp()
        self.mark = self.image / "loaded"
        compile_c(TRAP, self.image / "trap.so", "-shared", "-fPIC")
        multiarch = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True,
                                   check=True).stdout.strip()
        folder = self.image / "lib" / multiarch
        for place in (folder, "usr/lib/gconv", "usr/lib/ssl", "etc/ssl"):
            (self.image / place).mkdir(parents=True, exist_ok=True)
        # The image's C library is the one that static programs were built with: it loads.
        for library in (f"/lib/{multiarch}/libc.so.6", *pathlib.Path("/lib64").glob("ld-linux-*.so.2")):
            shutil.copy(library, folder)
        for name in ("libnss_trap.so.2", "libnss_files.so.2", "libnss_dns.so.2"):
            shutil.copy(self.image / "trap.so", folder / name)
        (self.image / "etc/nsswitch.conf").write_text(
            "passwd: trap files\ngroup: trap files\nhosts: trap dns\n")
        (self.image / "etc/passwd").write_text("bob:x:1234:1234::/:/bin/hello\n")
        (self.image / "etc/group").write_text("bob:x:1234:\n")
        for path in ("etc/ssl/openssl.cnf", "usr/lib/ssl/openssl.cnf"):
            (self.image / path).write_text(OPENSSL_CNF)
        (self.image / "usr/lib/gconv/gconv-modules").write_text(
            "module UTF-8// INTERNAL /trap 1\nmodule INTERNAL UTF-8// /trap 1\n")
        (self.image / "etc/ld.so.preload").write_text("/trap.so\n")

    def control(self, text, *options):
        compile_c(text, self.image / "control", "-static", *options)
        subprocess.run([*in_image(self.image), "/control"], check=True)
        self.assertTrue(self.mark.exists(), "the trap does not work: a trusting program goes free")
        self.mark.unlink()

    def test_the_traps_work(self):
        self.control(TRUSTING_NSS)
        self.control(TRUSTING_SSL, "-lcrypto")

    def test_nothing_is_loaded(self):
        certificates = harness.Certificates(tempfile.mkdtemp(prefix="osa-tls-"))
        self.addCleanup(shutil.rmtree, certificates.folder)
        for name in ("server.pem", "server.key", "ca.pem"):
            shutil.copy(certificates.folder / name, self.image / name)
        port = harness.free_port()
        agent = self.start("--listen", f"127.0.0.1:{port}", "--tls-cert", "/server.pem", "--tls-key",
                           "/server.key", "--tls-client-ca", "/ca.pem",
                           env={"OPENSSL_CONF": "/etc/ssl/openssl.cnf", "LD_PRELOAD": "/trap.so",
                                "LOCPATH": "/", "GCONV_PATH": "/usr/lib/gconv"})
        self.run_hello(agent, user="bob")
        credentials = grpc.ssl_channel_credentials(
            certificates.ca.read_bytes(), certificates.client_key.read_bytes(),
            certificates.client_cert.read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            info = Stub(channel).GetInfo(pb.GetInfoRequest(), timeout=harness.PATIENCE_S)
        self.assertEqual(info.api_version, "v1")
        self.assertFalse(self.mark.exists(), "a library of the image was loaded")


if __name__ == "__main__":
    if os.geteuid() != 0:
        harness.skip("needs root: makes a root of its own with mount and chroot")
    harness.main(harness.STATIC_BIN)
