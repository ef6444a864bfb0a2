# SPDX-License-Identifier: Apache-2.0
"""The double of a BoxLite server, as a process of its own."""
import json
import subprocess
import tempfile
import urllib.request

import harness

DOUBLE = harness.SOURCE / "tests/boxlite/double.py"
KEY = "e2e-key"


class Double:
    def __init__(self, *arguments, prefix=()):
        self.process = subprocess.Popen([*prefix, "/usr/bin/python3", DOUBLE, "--api-key", KEY, *arguments],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            if self.process.wait() == 77:
                harness.skip("no pid namespace can be made here")
            raise AssertionError("the double did not start")
        self.key_file = tempfile.NamedTemporaryFile("w", prefix="osa-boxlite-key-")
        self.key_file.write(KEY + "\n")
        self.key_file.flush()
        self.url = f"http://127.0.0.1:{int(line)}"

    def options(self):
        """Of an agent that uses it."""
        return ("--runtime", "boxlite", "--boxlite-url", self.url, "--boxlite-key-file",
                self.key_file.name)

    def state(self):
        with urllib.request.urlopen(f"{self.url}/double/state") as reply:
            return json.load(reply)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.key_file.close()
