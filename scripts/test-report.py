#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sum up ctest's JUnit files: test-report.py BUILD.xml…

Prints what hostile inputs came to at each level of isolation, a line for each build and label, every
skipped test with its reason, the slowest tests, and at last "N passed, N failed, N skipped". Exits 1
when a test failed or none passed.
"""
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as xml


def outcome(case):
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed" if case.get("status") == "run" else "failed"


def last_line(case):
    lines = (case.findtext("system-out") or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


# Rows of tests/integration/attack.c, below a line that names the level.
ATTACKS = re.compile(r"^attacks at level (\w+)$")
ATTEMPT = re.compile(r"^ *(\d+)  (.{32}) (allowed|denied|any|1 or more) +(\S+(?: \S+)?)")


def attacks_of(build, case):
    """Yields (column, id, attempt, expected, seen) of the tables in a test's output."""
    name, level = case.get("name"), None
    for line in (case.findtext("system-out") or "").splitlines():
        if begin := ATTACKS.match(line.strip("\r")):
            level = begin[1].lower()
        elif level and (row := ATTEMPT.match(line)):
            where = name.removeprefix("vm.") if name.startswith("vm.") else build
            yield f"{where} {level}", int(row[1]), row[2].strip(), row[3], row[4]


def print_attacks(rows):
    """One line for each attempt: what was expected, then what was seen in each column."""
    columns = list(dict.fromkeys(row[0] for row in rows))
    table = collections.defaultdict(dict)
    for column, number, attempt, expected, seen in rows:
        table[number, attempt][column] = (expected, seen)
    print("hostile inputs (docs/hostile-inputs.md), each beside a control on the host")
    for column, title in enumerate(columns):
        print(f"  column {column + 1}: {title}")
    print(f"{'id':>2}  {'attempt':<32} {'expected':<10}seen")
    for (number, attempt), cells in sorted(table.items(), key=lambda item: item[0][0]):
        usual = collections.Counter(cells[c][0] for c in cells).most_common(1)[0][0]
        told = []
        for expected, seen in (cells.get(c, (usual, "-")) for c in columns):
            told.append(seen if expected == usual else f"{seen} (expected: {expected})")
        print(f"{number:>2}  {attempt:<32} {usual:<10}" + " | ".join(told))


def main():
    table = collections.defaultdict(collections.Counter)
    total = collections.Counter()
    skipped, failed, times, attacks = [], [], [], []
    for path in map(pathlib.Path, sys.argv[1:]):
        for case in xml.parse(path).getroot().iter("testcase"):
            name, seconds, how = case.get("name"), float(case.get("time", 0)), outcome(case)
            row = table[path.stem, name.split(".")[0]]
            row[how] += 1
            row["seconds"] += seconds
            total[how] += 1
            times.append((seconds, f"{path.stem} {name}"))
            if path.stem == "release" and "attack" in name or name.startswith("vm."):
                attacks += attacks_of("this host", case)
            if how == "skipped":
                skipped.append(f"{path.stem} {name}: {last_line(case)}")
            elif how == "failed":
                failed.append(f"{path.stem} {name}")
    if attacks:
        print_attacks(attacks)
        print()
    print(f"{'build':<14}{'label':<14}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for (build, label), row in sorted(table.items()):
        print(f"{build:<14}{label:<14}{row['passed']:>8}{row['failed']:>8}{row['skipped']:>8}"
              f"{row['seconds']:>9.1f}")
    for heading, lines in (("skipped", skipped), ("failed", failed)):
        for line in lines:
            print(f"{heading}: {line}")
    slowest = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(times)[:-6:-1])
    print(f"slowest: {slowest}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


sys.exit(main())
