#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sum up ctest's JUnit files: test-report.py BUILD.xml…

Prints a line for each build and label, every skipped test with its reason, the slowest tests, and
at last "N passed, N failed, N skipped". Exits 1 when a test failed or none passed.
"""
import collections
import pathlib
import sys
import xml.etree.ElementTree as xml


def outcome(case):
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed" if case.get("status") == "run" else "failed"


def last_line(case):
    lines = (case.findtext("system-out") or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def main():
    table = collections.defaultdict(collections.Counter)
    total = collections.Counter()
    skipped, failed, times = [], [], []
    for path in map(pathlib.Path, sys.argv[1:]):
        for case in xml.parse(path).getroot().iter("testcase"):
            name, seconds, how = case.get("name"), float(case.get("time", 0)), outcome(case)
            row = table[path.stem, name.split(".")[0]]
            row[how] += 1
            row["seconds"] += seconds
            total[how] += 1
            times.append((seconds, f"{path.stem} {name}"))
            if how == "skipped":
                skipped.append(f"{path.stem} {name}: {last_line(case)}")
            elif how == "failed":
                failed.append(f"{path.stem} {name}")
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
