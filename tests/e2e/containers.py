# SPDX-License-Identifier: Apache-2.0
"""podman for the tests: a configuration of its own, our images, and a Debian made from packages."""
import atexit
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

from harness import BIN, SOURCE, STATIC_BIN, TOOLS, need_tool, skip

PODMAN = need_tool("podman")
PATIENCE_S = 240
PREFIX = "localhost/openshell-test"
DEBIAN = f"{PREFIX}/debian"
# A Debian that the package's test made; any image would do.
TREE = TOOLS / "debian-12"
DEFAULT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE",
                        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=PATIENCE_S, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def podman(*arguments, **options):
    return run(PODMAN, *arguments, **options)


def configure():
    """runc, control groups without systemd, and limits that this machine can give."""
    folder = tempfile.mkdtemp(prefix="osa-podman-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    hard = {n: min(4096, resource.getrlimit(l)[1]) for n, l in
            (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))}
    conf = pathlib.Path(folder) / "containers.conf"
    conf.write_text('[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
                    '[containers]\ndefault_ulimits = [' +
                    ", ".join(f'"{n}={v}:{v}"' for n, v in hard.items()) + "]\n")
    os.environ["CONTAINERS_CONF"] = str(conf)


def build(*images, prefix=PREFIX, arch="amd64", **env):
    """Returns the images' ids."""
    done = run(SOURCE / "deploy/images/build.sh", "--tag-prefix", prefix, "--arch", arch, *images,
               env={**os.environ, "OSA_STATIC_BIN": str(STATIC_BIN),
                    "OSA_RELEASE": str(BIN.parent), **env})
    return done.stdout.split()


def debian():
    """The image DEBIAN, imported once."""
    if not (TREE / "etc/debian_version").exists():
        skip("the Debian tree is missing (tests/e2e/package.py makes it)")
    if podman("image", "exists", DEBIAN, check=False).returncode != 0:
        subprocess.run(f"tar -C {TREE} -c . | {PODMAN} import -q - {DEBIAN}", shell=True, check=True,
                       capture_output=True, timeout=PATIENCE_S)
