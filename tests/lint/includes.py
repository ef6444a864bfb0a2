#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: includes.py ROOT

The link graph is the first check. Distributions put all headers into one directory, so a wrong
#include compiles all the same; this is the second. The table is that of docs/architecture.md.
"""
import pathlib
import re
import sys

from csource import blank, files, line_of, report

# Folder below src/ → folders, or single headers, that it may include.
OURS = {
    "base": {"base"},
    "io": {"io", "base"},
    "rpc": {"rpc", "base"},
    "tar": {"tar", "base"},
    "policy": {"policy", "io/yaml.h", "io/json_value.h", "base"},
    "wire": {"wire", "policy", "base"},
    "backends": {"backends", "policy", "io", "base"},
    "backends/process": {"backends", "policy", "io", "base", "launcher/landlock.h",
                         "launcher/mounts.h", "launcher/mounts_plan.h", "launcher/plan.h",
                         "launcher/privileges.h", "launcher/protocol.h", "launcher/sweep.h",
                         "launcher/wire.h"},
    "backends/boxlite": {"backends", "guest", "policy", "io", "base"},
    "guest": {"guest", "backends", "policy", "io/digest.h", "base"},
    "egress": {"egress", "policy", "io", "base"},
    "agent": {"agent", "egress", "backends", "wire", "policy", "rpc", "io", "base"},
    "driver": {"driver", "backends", "wire", "policy", "rpc", "io", "base"},
    "launcher": {"launcher", "policy/plan.h", "tar", "base"},
    "cli": {"cli", "wire", "policy", "rpc", "tar", "base"},
}
# Files that wire everything together.
PROGRAMS = {"main", "program"}
# Subfolders that only they themselves, and the programs, may include.
PRIVATE = {"backends/process", "backends/boxlite", "backends/fake"}

# Foreign header → folders that may include it.
FOREIGN = [
    (r"(curl|netlink|libssh|nghttp2|openssl|wslay)/.*|yaml\.h|jansson\.h|ares\.h|zlib\.h|llhttp\.h", {"io"}),
    (r"openssl/.*", {"rpc"}),
    (r"grpc/.*", {"rpc"}),
    (r"protobuf-c/protobuf-c\.h", {"rpc", "wire", "agent", "cli", "driver"}),
    (r"(google|grpc)/.*\.pb-c\.h", {"rpc", "wire", "agent/service", "agent/gateway", "cli", "driver"}),
    (r"openshell/.*\.pb-c\.h", {"wire", "agent/service", "agent/gateway", "cli", "driver"}),
    (r"seccomp\.h", {"backends/process"}),
    (r"uthash\.h|utlist\.h|utarray\.h", {"base", "io", "rpc", "policy", "backends", "egress",
                                         "agent", "driver", "cli", "guest", "launcher"}),
]

PORTABLE = set("""
    arpa/inet.h assert.h ctype.h dirent.h dlfcn.h errno.h fcntl.h fnmatch.h ftw.h getopt.h grp.h ifaddrs.h
    inttypes.h langinfo.h limits.h locale.h math.h net/if.h netdb.h netinet/in.h netinet/tcp.h
    poll.h pthread.h pwd.h regex.h sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h
    strings.h sys/file.h sys/ioctl.h sys/mman.h sys/random.h sys/resource.h sys/select.h sys/socket.h sys/stat.h
    sys/statvfs.h sys/time.h sys/times.h sys/types.h sys/uio.h sys/un.h sys/utsname.h sys/wait.h
    syslog.h termios.h time.h unistd.h wchar.h
""".split())
# Everything else in angle brackets that is not foreign is taken for a header of Linux or glibc.
LINUX_FOLDERS = ("backends/process", "launcher")
LINUX_CALLS = re.compile(
    r"\b(unshare|setns|clone|clone3|prctl|pivot_root|memfd_create|epoll_(?:create1?|ctl|p?wait)|"
    r"signalfd|timerfd_\w+|eventfd|inotify_\w+|fanotify_\w+|pidfd_\w+|signalfd|umount2|mount|"
    r"process_vm_\w+|ptrace|syscall|personality|close_range)\s*\(")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def within(folder, allowed):
    return any(folder == a or folder.startswith(a + "/") for a in allowed)


def rule_of(folder):
    """The row of OURS for a folder: its own, else that of its parent."""
    while folder and folder not in OURS:
        folder = folder.rpartition("/")[0]
    return OURS.get(folder)


def check_ours(path, folder, header, headers):
    if path.stem in PROGRAMS or folder == "":
        return None  # programs wire everything together
    if header not in headers:
        return f'"{header}" is not a header below src/; ours are included by their path from there'
    target = header.rpartition("/")[0]
    if pathlib.PurePosixPath(header).stem.endswith("_internal") and target != folder:
        return f"{header} is private to src/{target}"
    for private in PRIVATE:
        if within(target, {private}) and not within(folder, {private}):
            return f"{header} is private to src/{private}"
    allowed = rule_of(folder)
    if allowed is None:
        return f"src/{folder} is not in the module map (docs/architecture.md, tests/lint/includes.py)"
    if header in allowed or within(target, allowed):
        return None
    return f"src/{folder} may not include {header}; it may include {', '.join(sorted(allowed))}"


def check_foreign(path, folder, header):
    known = [allowed for pattern, allowed in FOREIGN if re.fullmatch(pattern, header)]
    if known:
        if any(within(folder, allowed) for allowed in known) or path.stem in PROGRAMS:
            return None
        places = ", ".join(sorted(set().union(*known)))
        return f"<{header}> is foreign here; it may stand in src/ {places}"
    if header in PORTABLE:
        return None
    if within(folder, LINUX_FOLDERS) or folder in ("base", "guest") and path.name.startswith("linux_"):
        return None
    return (f"<{header}> is a header of Linux; those stand in src/backends/process, src/launcher "
            "and src/base/linux_* only")


def main():
    root = pathlib.Path(sys.argv[1])
    sources = files(root, "src/*.c", "src/*.h")
    headers = {str(p.relative_to("src")) for p in sources if p.suffix == ".h"}
    problems = []
    for path in sources:
        folder = str(path.parent.relative_to("src")).replace(".", "", 1)
        text = (root / path).read_text()
        with_strings = blank(text, keep="strings")
        for kind, header in INCLUDE.findall(with_strings):
            if header.endswith(".pb-c.h") or kind == "<":
                problem = check_foreign(path, folder, header)
            else:
                problem = check_ours(path, folder, header, headers)
            if problem:
                line = line_of(text, text.find(header))
                problems.append(f"{path}:{line}: {problem}")
        if within(folder, LINUX_FOLDERS) or path.name.startswith("linux_"):
            continue
        for match in LINUX_CALLS.finditer(blank(text)):
            line = line_of(text, match.start())
            problems.append(f"{path}:{line}: {match[1]}() is a call of Linux; those stand in "
                            "src/backends/process, src/launcher and src/base/linux_* only")
    report(problems, len(sources))


main()
