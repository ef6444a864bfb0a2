#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package, in a Debian of its own: made, installed, used, removed, purged.

The tree comes from debootstrap, once; it is kept beside the other tools. Each run works on an
overlay of it in a mount namespace of its own, so that nothing has to be cleaned up.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import SOURCE, TOOLS, debian_package, main, need_tool, skip

TREE = TOOLS / "debian-12"
# What the package depends on; a change only makes apt-get fetch the rest at each run.
LIBRARIES = ("adduser,ca-certificates,libcurl4,libjansson4,libnl-3-200,libnl-route-3-200,"
             "libprotobuf-c1,libseccomp2,libssl3,libstdc++6,libyaml-0-2,zlib1g")
PATIENCE_S = 600

# Runs inside; $1 is the package. Everything that can be asked is printed as NAME=VALUE.
INSIDE = r"""
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
if ! dpkg -i "$1" >/tmp/dpkg.log 2>&1; then
    apt-get update -qq && apt-get install -y -qq -f >>/tmp/dpkg.log 2>&1
fi
echo "status=$(dpkg-query -W -f '${Status}' openshell-agent)"
echo "user=$(getent passwd openshell-agent | cut -d: -f6,7)"
echo "units=$(ls /usr/lib/systemd/system | grep -c openshell-)"
openshell-agent serve --config /etc/openshell-agent/agent.yaml --state-dir /var/lib/openshell-agent &
agent=$!
for _ in $(seq 200); do
    openshell-agent health >/dev/null 2>&1 && break
    sleep 0.05
done
echo "health=$(openshell-agent health)"
echo "ran=$(openshell-agentctl run -- /bin/sh -c 'id -un; exit 0')"
kill $agent
wait $agent
echo "drained=$?"
echo "#changed" >>/etc/openshell-agent/agent.yaml
dpkg --remove openshell-agent >>/tmp/dpkg.log 2>&1
echo "config_kept=$(test -e /etc/openshell-agent/agent.yaml && echo yes)"
dpkg --purge openshell-agent >>/tmp/dpkg.log 2>&1
echo "left=$(find / -xdev -name '*openshell*' -not -path '/proc/*' -not -path '/package/*' \
    -not -path '/var/log/*' | sort | tr '\n' ' ')"
"""

SETUP = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mkdir -p package .old
cp "$3" package/
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
cp /etc/resolv.conf etc/resolv.conf
pivot_root . .old
cd /
umount -l .old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${PROXY:-} bash -c "$4" inside "/package/$(basename "$3")"
"""


def make_tree():
    if (TREE / "etc/debian_version").exists():
        return
    need_tool("debootstrap")
    shutil.rmtree(f"{TREE}.new", ignore_errors=True)
    done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={LIBRARIES}", "bookworm",
                           f"{TREE}.new"], capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode != 0:
        skip("no Debian mirror was reached: " + done.stdout.strip().splitlines()[-1])
    os.rename(f"{TREE}.new", TREE)


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-package-")
        work = pathlib.Path(cls.folder.name)
        cls.deb = debian_package(work)
        (work / "mnt").mkdir()
        done = subprocess.run(["unshare", "-m", "bash", "-c", SETUP, "setup", str(TREE),
                               str(work / "mnt"), str(cls.deb), INSIDE],
                              capture_output=True, text=True, timeout=PATIENCE_S)
        cls.log = done.stdout + done.stderr
        cls.seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        cls.status = done.returncode

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_seen(self, name, value):
        self.assertEqual(self.seen.get(name), value, self.log)

    def test_installs(self):
        self.assert_seen("status", "install ok installed")
        self.assert_seen("user", "/var/lib/openshell-agent:/usr/sbin/nologin")
        self.assert_seen("units", "5")

    def test_runs(self):
        self.assert_seen("health", "SERVING")
        self.assert_seen("ran", "nobody")
        self.assert_seen("drained", "0")

    def test_goes_without_a_trace(self):
        self.assert_seen("config_kept", "yes")
        self.assert_seen("left", "")
        self.assertEqual(self.status, 0, self.log)

    def test_names_what_it_links(self):
        out = subprocess.run(["dpkg-deb", "-c", str(self.deb)], check=True, capture_output=True,
                             text=True).stdout
        for path in ("./usr/share/doc/openshell-agent/copyright",
                     "./usr/share/doc/openshell-agent/third-party.md",
                     "./usr/share/man/man8/openshell-agent.8.gz", "./etc/openshell-agent/agent.yaml",
                     "./etc/openshell-agent/driver.yaml"):
            self.assertIn(path, out)
        self.assertNotIn(str(SOURCE), out)


if os.geteuid() != 0:
    skip("needs root: the package is installed into a Debian tree")
make_tree()
main()
