#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The package under a running systemd: Debian boots in a guest, the units are started, used, hung,
stopped, measured and purged there by systemd_guest.sh, whose words are checked here.

The guest's kernel is the one that tests/vm/run.sh keeps; its disk is made once, from the Debian tree of
package.py and systemd, and stays as it is: what a run writes goes to memory.
"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import SOURCE, TOOLS, debian_package, main, need_tool, skip

TREE = TOOLS / "debian-12"
GUEST = SOURCE / "tests/e2e/systemd_guest.sh"
BUSYBOX = TOOLS / "vm/busybox/bin/busybox"
# The disk's, and those that sandboxes' networks are made with.
MODULES = ("drivers/virtio/*.ko", "drivers/block/virtio_blk.ko", "net/netfilter/nf*.ko",
           "net/ipv4/netfilter/nf*.ko", "net/ipv6/netfilter/nf*.ko", "net/netfilter/x_tables.ko",
           "lib/libcrc32c.ko", "crypto/crc32c_generic.ko")
# The emulator is given whatever it needs on a busy machine; ctest has a longer end than this.
PATIENCE_S = 540

# Runs as the first program: the disk, what is to be tested, and on to systemd.
INIT = """#!/bin/busybox sh
depmod $(uname -r)
modprobe virtio_pci
modprobe virtio_blk
mount -t devtmpfs dev /dev
mkdir -p /root
mount -t ext4 /dev/vda /root
cp -r /package /root/
cp -r /lib/modules /root/lib/
cp /package/test.service /root/etc/systemd/system/
mkdir -p /root/etc/systemd/system/multi-user.target.wants
ln -s ../test.service /root/etc/systemd/system/multi-user.target.wants/
exec switch_root /root /sbin/init
"""
UNIT = """[Unit]
Description=What an operator does

[Service]
Type=simple
ExecStart=/package/systemd_guest.sh
StandardOutput=file:/dev/ttyS1
StandardError=journal
"""
INSTALL = """
set -e
mount --make-rprivate /
cp /etc/resolv.conf "$1/etc/resolv.conf"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} \
    sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh $2
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
"""


def make_disk(deb):
    """A Debian that boots and has what the package depends on; made anew when that changes."""
    depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, capture_output=True,
                             text=True).stdout
    names = sorted({"systemd-sysv", "kmod", "procps", *re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends)})
    key = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    disk = TOOLS / f"vm/systemd-{key}.ext4"
    if disk.exists():
        return disk
    with tempfile.TemporaryDirectory(prefix="osa-systemd-") as folder:
        tree = pathlib.Path(folder) / "tree"
        subprocess.run(["cp", "-a", TREE, tree], check=True)
        done = subprocess.run(["unshare", "-m", "bash", "-c", INSTALL, "install", tree, " ".join(names)],
                              capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            skip("systemd could not be fetched: " + done.stderr.strip().splitlines()[-1])
        (tree / "etc/machine-id").write_text("uninitialized\n")
        for old in disk.parent.glob("systemd-*.ext4*"):
            old.unlink()
        subprocess.run([need_tool("mke2fs"), "-q", "-t", "ext4", "-d", tree, f"{disk}.new", "700M"],
                       check=True, stdout=subprocess.DEVNULL)
    os.rename(f"{disk}.new", disk)
    return disk


def kernel():
    found = sorted((TOOLS / "vm/debian/boot").glob("vmlinuz-*"))
    if not found or not BUSYBOX.exists():
        skip("the guest's kernel is missing (tests/vm/run.sh fetches it)")
    return found[-1]


class Systemd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory(prefix="osa-systemd-") as folder:
            cls.boot(pathlib.Path(folder))

    @classmethod
    def boot(cls, work):
        image = kernel()
        deb = debian_package(work)
        disk = make_disk(deb)
        release = image.name.removeprefix("vmlinuz-")
        modules = TOOLS / "vm/debian/lib/modules" / release / "kernel"
        root = work / "root"
        for name in "bin", "dev", "package":
            (root / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for applet in "sh", "uname", "depmod", "modprobe", "mount", "mkdir", "cp", "ln", "switch_root":
            (root / "bin" / applet).symlink_to("busybox")
        target = root / "lib/modules" / release / "kernel"
        for module in (path for pattern in MODULES for path in modules.glob(pattern)):
            (target / module.relative_to(modules)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, target / module.relative_to(modules))
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        shutil.copy(deb, root / "package")
        shutil.copy(GUEST, root / "package")
        (root / "package/test.service").write_text(UNIT)
        subprocess.run("find . | cpio --quiet -o -H newc | gzip -1 >../initramfs", shell=True,
                       cwd=root, check=True)
        command = [need_tool("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max",
                   "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot",
                   "-serial", f"file:{work}/console", "-serial", f"file:{work}/words",
                   "-drive", f"file={disk},format=raw,if=virtio,snapshot=on",
                   "-kernel", image, "-initrd", work / "initramfs", "-append",
                   "console=ttyS0 quiet panic=-1 systemd.show_status=false systemd.log_level=notice"]
        for _ in range(2):
            try:
                subprocess.run(command, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, capture_output=True)
            except subprocess.TimeoutExpired:
                pass  # the checks below show how far it got
            # Of a kernel and its own int3 on emulated CPUs: see tests/vm/run.sh.
            if "Oops: int3" not in (work / "console").read_text(errors="replace"):
                break
        words = (work / "words").read_text(errors="replace").replace("\r", "")
        console = (work / "console").read_text(errors="replace").replace("\r", "")
        cls.log = words + "\n".join(console.splitlines()[-150:])
        cls.seen = dict(line.split("=", 1) for line in words.splitlines() if "=" in line)

    def see(self, name, value):
        self.assertEqual(self.seen.get(name), value, self.log)

    def test_0_the_guest_came_to_the_end(self):
        self.see("booted", "running")
        self.see("end", "1")

    def test_1_installing_starts_nothing(self):
        self.see("installed", "0")
        self.see("after_install", "inactive inactive inactive")

    def test_2_socket_activation(self):
        self.see("socket", "active inactive")
        self.see("hello", "hello from a sandbox")
        self.see("started", "active main 30s")

    def test_3_what_the_full_unit_gives(self):
        self.assertIn("ISOLATION_LEVEL_FULL", self.seen.get("level", ""), self.log)
        self.assertIn("limited", self.seen.get("limits", ""), self.log)
        self.see("oom", "137")
        self.assertRegex(self.seen.get("hidden", ""), "No such file|Permission denied", self.log)

    def test_4_watchdog(self):
        self.see("sleeping", "1")
        self.see("watchdog", "Watchdog timeout")
        self.see("after_watchdog", "active 0")

    def test_5_stop_drains(self):
        self.see("stopped", "inactive success 0")
        self.see("drain", "draining")

    def test_6_without_privileges(self):
        self.assertRegex(self.seen.get("restricted", ""), "^openshell-agent .*Permission denied", self.log)
        self.see("restricted_state", "active inactive")
        self.assertIn("ISOLATION_LEVEL_RESTRICTED", self.seen.get("restricted_level", ""), self.log)

    def test_7_exposure(self):
        for name, most in (("exposure_full", 6.3), ("exposure_driver", 6.3),
                           ("exposure_restricted", 2.0)):
            print(name, self.seen.get(name))
            self.assertLessEqual(float(self.seen.get(name, "10")), most, self.log)

    def test_8_driver(self):
        self.see("driver", "active serving")
        self.see("driver_socket", "600 root 700 root")
        self.see("driver_again", "active success")

    def test_9_purge(self):
        self.see("purged", "0")
        self.see("left", "")
        self.see("orphans", "0")
        self.see("units_left", "")
        self.see("failed_units", "")


if os.geteuid() != 0:
    skip("needs root: a disk is made from a Debian tree")
if not (TREE / "etc/debian_version").exists():
    skip("the Debian tree is missing (tests/e2e/package.py makes it)")
if os.uname().machine != "x86_64":
    skip("the guest is x86_64 only")
kernel()
main()
