#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/hostile-inputs.md names tests that are there: hostile_inputs.py ROOT

Each row names attacks ("attack 23", which tests/attack must have) or files, whose functions follow.
Every number from 1 to 55, 75, 76 and 78 has a row; every attack stands in its own.
"""
import pathlib
import re
import sys

IDS = [*range(1, 56), 75, 76, 78]


def attacks(root):
    texts = (path.read_text() for path in sorted((root / "tests/attack").glob("*.c")))
    return {int(n) for text in texts for n in re.findall(r'^    \{ (\d+), "', text, re.MULTILINE)}


def wrong_names(root, cell):
    """What a row names and the tree has not."""
    for place, names in re.findall(r"`(tests/[^`]*)`([^·|`]*)", cell):
        path = root / place
        if not path.is_file():
            yield place
            continue
        text = path.read_text()
        for name in filter(None, (n.strip() for n in names.split(","))):
            short = name.removeprefix("test_")
            if not re.search(rf"\b(?:{re.escape(name)}|TEST\({re.escape(short)}\))", text):
                yield f"{place} {name}"


def main():
    root = pathlib.Path(sys.argv[1])
    rows = dict(re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$",
                           (root / "docs/hostile-inputs.md").read_text(), re.MULTILINE))
    known = attacks(root)
    problems = [f"{n} has no row" for n in IDS if str(n) not in rows]
    for number, cell in rows.items():
        problems += [f"{number}: there is no {name}" for name in wrong_names(root, cell)]
        named = {int(n) for n in re.findall(r"attack (\d+)", cell)}
        problems += [f"{number}: there is no attack {n}" for n in sorted(named - known)]
        if int(number) in known and int(number) not in named:
            problems.append(f"{number}: its attack is not named")
        if not named and "`tests/" not in cell:
            problems.append(f"{number}: names no test")
    for problem in problems:
        print(f"docs/hostile-inputs.md: {problem}")
    print(f"{len(problems)} problems" if problems else f"{len(rows)} rows, no problem")
    return 1 if problems else 0


sys.exit(main())
