#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that is to be portable compiles for macOS: macos.py ROOT GENERATED LLHTTP

Linux stands in src/backends/process, src/launcher and files called linux_… only (tests/lint/
includes.py); all other sources are compiled here for aarch64-macos, with the C library's headers
of macOS, which the compiler of the ziglang package carries. Headers of foreign libraries are the
ones of this machine, taken one by one so that none of its C library's gets in between.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TARGET = "aarch64-macos"
LINUX = re.compile(r"src/(backends/process|launcher)/|/linux_")
# Files of one linker or one library that macOS has not.
NOT_THERE = {
    "src/io/netlink.c": "Linux's netlink",
    "src/rpc/accept_guard.c": "built where the linker can wrap calls",
}
FOREIGN = ("ares.h ares_build.h ares_dns.h ares_rules.h ares_version.h curl grpc jansson.h jansson_config.h "
           "libssh nghttp2 openssl protobuf-c utarray.h uthash.h utlist.h wslay yaml.h").split()
PLACES = [pathlib.Path("/usr/include"), *pathlib.Path("/usr/include").glob("*-linux-gnu")]


def find_zig():
    tools = pathlib.Path(os.environ.get("OPENSHELL_TOOLS") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "openshell-agent")
    found = next(iter(sorted(tools.glob("zig/lib/python3*/site-packages/ziglang/zig"))), None)
    if found is None:
        print("the ziglang compiler is missing (scripts/setup.sh test)")
        sys.exit(77)
    return str(found)


def gather(folder):
    """A folder of links to the foreign headers; parts of one library may lie in two places."""
    for name in FOREIGN:
        for place in PLACES:
            source, link = place / name, folder / name
            if source.is_dir():
                link.mkdir(exist_ok=True)
                for header in source.rglob("*"):
                    to = link / header.relative_to(source)
                    if header.is_dir():
                        to.mkdir(exist_ok=True)
                    elif not to.exists():
                        to.symlink_to(header)
            elif source.exists() and not link.exists():
                link.symlink_to(source)


def main():
    root, generated, llhttp = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    zig = find_zig()
    listed = subprocess.run(["git", "ls-files", "src/*.c"], cwd=root, capture_output=True, text=True, check=True)
    sources = [path for path in listed.stdout.split() if not LINUX.search(path) and path not in NOT_THERE]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-macos-"))
    (folder / "include").mkdir()
    gather(folder / "include")

    def compile_one(path):
        command = [zig, "cc", "-target", TARGET, "-std=gnu17", "-c", "-w", "-Werror=implicit-function-declaration",
                   "-D_GNU_SOURCE", "-DOSA_BOXLITE", '-DOSA_VERSION="0"', "-I", root / "src", "-I", generated,
                   "-I", folder / "include", "-I", llhttp, root / path, "-o",
                   folder / (path.replace("/", "_") + ".o")]
        done = subprocess.run(command, capture_output=True, text=True)
        return path, done.returncode, done.stderr

    failed = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, status, text in pool.map(compile_one, sources):
                if status != 0:
                    failed += 1
                    print(f"{path}: does not compile for {TARGET}\n{text}")
        objects = list(folder.glob("*.o"))
        kinds = {path.read_bytes()[:4] for path in objects}
    finally:
        shutil.rmtree(folder)
    if kinds - {b"\xcf\xfa\xed\xfe"}:  # 64-bit Mach-O, little-endian
        print(f"objects that are not Mach-O: {kinds}")
        failed += 1
    print(f"{len(sources) - failed} of {len(sources)} portable sources compile for {TARGET}")
    sys.exit(1 if failed or len(objects) != len(sources) else 0)


main()
