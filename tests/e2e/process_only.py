# SPDX-License-Identifier: Apache-2.0
"""A build without OPENSHELL_AGENT_BOXLITE has nothing of it, and says so to who asks for the kind."""
import os
import pathlib
import subprocess
import unittest

import harness

BIN = pathlib.Path(os.environ.get("OSA_PROCESS_ONLY_BIN") or harness.SOURCE / "build/process-only/bin")
WITH = pathlib.Path(harness.BIN)
AGENT = "openshell-agent"
# Text that only code of the backend and of its options has.
MARKS = (b"boxlite-key-file", b"/executions/", b"Sec-WebSocket-Key")
LIBRARIES = ("libcurl", "libwslay")


def libraries(program):
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    return {name for name in LIBRARIES if name in done.stdout}


class ProcessOnly(unittest.TestCase):
    def test_nothing_of_it_is_in_the_program(self):
        bare, full = (BIN / AGENT).read_bytes(), (WITH / AGENT).read_bytes()
        for mark in MARKS:
            self.assertIn(mark, full)
            self.assertNotIn(mark, bare)
        self.assertIn("libcurl", libraries(WITH / AGENT))
        self.assertEqual(libraries(BIN / AGENT), set())

    def test_no_options(self):
        text = subprocess.run([BIN / AGENT, "serve", "--help"], capture_output=True, text=True, check=True)
        self.assertNotIn("--boxlite-url", text.stdout)
        refused = subprocess.run([BIN / AGENT, "serve", "--boxlite-url", "http://localhost"],
                                 capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2)

    def test_the_kind_is_refused_by_name(self):
        agent = harness.Agent(bin_dir=BIN)
        try:
            done = subprocess.run(
                [BIN / "openshell-agentctl", "--address", f"unix:{agent.socket}", "run", "--runtime",
                 "boxlite", "true"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 125, done.stderr)
            self.assertIn("FAILED_PRECONDITION", done.stderr)
            self.assertIn("built without the option OPENSHELL_AGENT_BOXLITE", done.stderr)
        finally:
            agent.stop()


harness.main(BIN)
