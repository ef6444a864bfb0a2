#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every source names its licence once, in its first three lines: spdx.py ROOT"""
import pathlib
import re
import sys

from csource import files, report

SOURCES = ("*.c", "*.h", "*.cc", "*.proto", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt", "Makefile",
           ".ci/run", "*.yaml", "*.service")
LINE = re.compile(r"SPDX-License-" r"Identifier: (.*?)(?: \*/| -->)?(?: ?-?}})?$", re.MULTILINE)


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    sources = [p for p in files(root, *SOURCES) if "corpus" not in p.parts]
    for path in sources:
        text = (root / path).read_text()
        head = "\n".join(text.splitlines()[:3])
        if LINE.findall(head) != ["Apache-2.0"]:
            problems.append(f"{path}: no line 'SPDX-License-" "Identifier: Apache-2.0' at its top")
        elif len(re.findall(r"^\W*SPDX-License-" "Identifier:", text, re.MULTILINE)) != 1:
            problems.append(f"{path}: more than one SPDX line")
    report(problems, len(sources))


main()
