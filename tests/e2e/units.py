#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The systemd units: systemd accepts them as installed, and their exposure stays where it is."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from harness import BIN, PATIENCE_S, main, need_tool

ANALYZE = need_tool("systemd-analyze")
UNITS = ("openshell-agent.service", "openshell-agent.socket",
         "openshell-agent-restricted.service", "openshell-agent-restricted.socket",
         "openshell-driver.service")


def analyze(*arguments):
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True,
                          timeout=PATIENCE_S)


class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-units-")
        subprocess.run(["cmake", "--install", str(BIN.parent), "--prefix", f"{cls.folder.name}/usr"],
                       env={k: v for k, v in os.environ.items() if k != "DESTDIR"}, check=True,
                       capture_output=True, timeout=PATIENCE_S)
        cls.units = pathlib.Path(cls.folder.name) / "usr/lib/systemd/system"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_systemd_accepts_them(self):
        for unit in UNITS:
            done = analyze("verify", "--man=no", str(self.units / unit))
            # Users and documentation of this machine are not the unit's concern.
            wrong = [line for line in done.stderr.splitlines() if unit in line]
            self.assertEqual(wrong, [], unit)

    def test_they_start_the_installed_program(self):
        for unit in UNITS[0], UNITS[2], UNITS[4]:
            text = (self.units / unit).read_text()
            program = re.search(r"^ExecStart=(\S+)", text, re.M).group(1)
            self.assertTrue(os.access(program, os.X_OK), program)
            options = re.findall(r"--[a-z-]+", text.split("ExecStart=")[1].splitlines()[0])
            known = subprocess.run([program, *re.findall(r"ExecStart=\S+ (serve)", text), "--help"], capture_output=True, text=True,
                                   timeout=PATIENCE_S).stdout
            for option in options:
                self.assertIn(option, known)

    def test_exposure(self):
        for unit, most in ((UNITS[0], 6.3), (UNITS[2], 2.0), (UNITS[4], 6.3)):
            out = analyze("security", "--offline=true", "--no-pager", str(self.units / unit)).stdout
            level = float(re.search(r"exposure level for \S+: ([\d.]+)", out).group(1))
            print(f"exposure of {unit}: {level}")
            self.assertLessEqual(level, most)


main()
