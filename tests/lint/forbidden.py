#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Functions and marks that have no place in the sources: forbidden.py ROOT"""
import pathlib
import re
import sys

from csource import blank, comments, files, line_of, report

# Function → what to use instead. In src/, tests/ and bench/.
EVERYWHERE = {
    "strcpy": "snprintf or memcpy with a known size",
    "strcat": "struct osa_buf or snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "getline",
    "atoi": "strtol with its errors looked at",
    "atol": "strtol with its errors looked at",
    "atoll": "strtoll with its errors looked at",
    "atof": "strtod with its errors looked at",
    "strtok": "strtok_r or strcspn",
    "system": "posix_spawn: no shell of ours runs",
    "popen": "posix_spawn: no shell of ours runs",
    "usleep": "a deadline and poll: never sleep to wait",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "alloca": "a fixed array or the heap",
    "signal": "sigaction",
    "readdir_r": "readdir",
}
# The same in src/ alone: pattern of the call, where it may stand, what to use instead.
IN_SOURCES = [
    (r"fork|vfork|_Fork|daemon", ("src/launcher/",),
     "the launcher: a process that runs gRPC never forks"),
    (r"posix_spawnp?", ("src/backends/process/launcher", "src/base/linux_child"),
     "the launcher, which alone starts what a client names, or osa_child_start()"),
    (r"getenv|secure_getenv", ("src/base/option", "src/base/paths", "src/base/service_manager", "src/cli/",
                                "src/launcher/"),
     "the option table, which alone reads the environment"),
    (r"getpw\w+|getgr(?:nam|gid|ent)\w*|getaddrinfo|gethostby\w+|iconv_open|dlopen", (),
     "our own parser or c-ares: these load code of the image (NSS, gconv)"),
    (r"setlocale", (), "nothing: the programs run in the C locale"),
    (r"strerror", (), "strerrordesc_np or osa_errno_name: strerror shares one buffer"),
]
# In src/launcher, where only async-signal-safe calls are legal.
LAUNCHER = (r"printf|fprintf|perror|syslog|strerror_r|pthread_create|fopen",
            "write(2) of a fixed record: the launcher runs between fork and exec")
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def calls(pattern, code):
    """Calls and uses as a function's name, members such as ops->signal( left out."""
    return re.finditer(r"(?<![\w.>])(" + pattern + r")\s*\(", code)


def check(path, text):
    code = blank(text)
    found = []
    for match in calls("|".join(EVERYWHERE), code):
        found.append((match.start(), f"{match[1]}() is forbidden; use {EVERYWHERE[match[1]]}"))
    if path.parts[0] == "src":
        for pattern, places, instead in IN_SOURCES:
            if not str(path).startswith(places):
                for match in calls(pattern, code):
                    found.append((match.start(), f"{match[1]}() is forbidden here; use {instead}"))
    if str(path).startswith("src/launcher/"):
        for match in calls(LAUNCHER[0], code):
            found.append((match.start(), f"{match[1]}() is forbidden here; use {LAUNCHER[1]}"))
    for offset, comment in comments(text):
        if comment.startswith("//") and not comment.startswith("// SPDX-"):
            found.append((offset, "// marks debug code; a comment that stays is /* … */"))
        if MARKS.search(comment):
            found.append((offset, f"{MARKS.search(comment)[1]} marks unfinished work"))
    return [f"{path}:{line_of(text, offset)}: {problem}" for offset, problem in sorted(found)]


def main():
    root = pathlib.Path(sys.argv[1])
    sources = files(root, "src/*.c", "src/*.h", "tests/*.c", "tests/*.h", "bench/*.c")
    problems = []
    for path in sources:
        problems += check(path, (root / path).read_text())
    report(problems, len(sources))


main()
