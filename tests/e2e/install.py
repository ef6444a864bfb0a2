#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts where, and that it is usable from there."""
import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import BIN, PATIENCE_S, main

EXPECTED = {
    "bin/openshell-agent",
    "bin/openshell-agentctl",
    "share/man/man1/openshell-agentctl.1",
    "share/man/man8/openshell-agent.8",
    "share/bash-completion/completions/openshell-agentctl",
    "share/zsh/site-functions/_openshell-agentctl",
    "share/fish/vendor_completions.d/openshell-agentctl.fish",
}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="osa-install-")
        subprocess.run(["cmake", "--install", str(BIN.parent), "--prefix", "/opt/there"],
                       env={**os.environ, "DESTDIR": cls.folder.name}, check=True,
                       capture_output=True, timeout=PATIENCE_S)
        cls.top = pathlib.Path(cls.folder.name) / "opt" / "there"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_there(self, *command, **options):
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=True, **options)

    def test_obeys_destdir_and_prefix(self):
        found = {str(p.relative_to(self.top)) for p in self.top.rglob("*") if p.is_file()}
        self.assertEqual(EXPECTED - found, set())
        above = {p for p in pathlib.Path(self.folder.name).rglob("*") if p.is_file()}
        self.assertEqual({p for p in above if self.top not in p.parents}, set())

    def test_programs_start_from_there(self):
        for name in ("openshell-agent", "openshell-agentctl"):
            out = self.run_there(str(self.top / "bin" / name), "--version").stdout
            self.assertRegex(out, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_man_pages_have_no_mistakes(self):
        for page in self.top.rglob("man*/*.[18]"):
            done = self.run_there("groff", "-man", "-Tutf8", "-P-c", "-ww", str(page))
            self.assertEqual(done.stderr, "", page)
            self.assertTrue("E\bEX\bXI\bIT\bT" in done.stdout, "no text in " + str(page))

    def test_agent_page_has_every_option(self):
        page = (self.top / "share/man/man8/openshell-agent.8").read_text().replace("\\-", "-")
        text = self.run_there(str(self.top / "bin/openshell-agent"), "serve", "--help").stdout
        flags = [word.rstrip(",") for word in text.split() if word.startswith("--")]
        self.assertGreater(len(flags), 20)
        for flag in flags:
            self.assertIn(flag, page)

    def test_bash_completes_a_command(self):
        script = self.top / "share/bash-completion/completions/openshell-agentctl"
        out = self.run_there(
            "bash", "-c", 'source "$1"; COMP_WORDS=("$2" insp); COMP_CWORD=1; '
            '_openshell_agentctl; echo "${COMPREPLY[@]}"', "bash", str(script),
            str(self.top / "bin/openshell-agentctl")).stdout
        self.assertEqual(out.split(), ["inspect"])


if __name__ == "__main__":
    main()
