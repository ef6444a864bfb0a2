#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes of the C sources, as a report and not as a gate: sizes.py ROOT

A function runs from a "{" in column 0 to the next "}" in column 0.
"""
import pathlib
import statistics
import sys

from csource import files

AIMS = {"file": (250, 700, 1000), "function": (18, 60, 120)}


def functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield number - start + 1, f"{path}:{start}"
            start = None


def row(what, sizes):
    ordered = sorted(size for size, _ in sizes)
    high = 0.95 if what == "function" else 0.9
    values = (statistics.median(ordered), ordered[int(high * (len(ordered) - 1))], ordered[-1])
    print(f"lines per {what}: {len(ordered)} {what}s, median {values[0]:.0f}, p{high * 100:.0f} "
          f"{values[1]}, most {values[2]} (aims: {', '.join(map(str, AIMS[what]))})")
    for size, where in sorted(sizes, reverse=True)[:3]:
        print(f"    {size:5} {where}")


def main():
    root = pathlib.Path(sys.argv[1])
    per_file, per_function = [], []
    for path in files(root, "src/*.c", "src/*.h"):
        lines = (root / path).read_text().splitlines()
        per_file.append((len(lines), str(path)))
        per_function += functions(path, lines)
    row("file", per_file)
    row("function", per_function)


main()
