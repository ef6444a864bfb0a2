#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The list of what is inside the programs: complete, consistent, and free of what may not be there."""
import hashlib
import json
import pathlib
import subprocess
import tempfile
import unittest

import harness

SCRIPT = harness.SOURCE / "scripts/sbom.py"


class Sbom(unittest.TestCase):
    def make(self, bin_dir):
        programs = [bin_dir / name for name in ("openshell-agent", "openshell-agentctl", "openshell-driver")]
        for program in programs:
            if not program.exists() or not (bin_dir / f"{program.name}.map").exists():
                self.skipTest(f"{program} or its linker map is missing (make)")
        with tempfile.TemporaryDirectory() as folder:
            out, licences = pathlib.Path(folder, "out"), pathlib.Path(folder, "licences")
            subprocess.run([SCRIPT, *programs, "--build", bin_dir.parent, "--version", "1.2.3",
                            "--output", out, "--licences", licences], check=True)
            return programs, json.loads(out.read_text()), licences.read_text()

    def check(self, programs, document):
        """Returns program → (statically linked, dynamically linked)."""
        self.assertEqual(document["spdxVersion"], "SPDX-2.3")
        self.assertRegex(document["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        elements = {e["SPDXID"]: e for e in document["packages"]}
        self.assertEqual(len(elements), len(document["packages"]), "an id twice")
        described = set()
        links = {p.name: {"STATIC_LINK": set(), "DYNAMIC_LINK": set()} for p in programs}
        for relation in document["relationships"]:
            target = elements[relation["relatedSpdxElement"]]
            if relation["relationshipType"] == "DESCRIBES":
                described.add(target["name"])
            else:
                program = elements[relation["spdxElementId"]]["name"]
                links[program][relation["relationshipType"]].add(target["name"])
        self.assertEqual(described, {p.name for p in programs})
        for program in programs:
            element, = (e for e in elements.values() if e["name"] == program.name)
            self.assertEqual(element["checksums"][0]["checksumValue"],
                             hashlib.sha256(program.read_bytes()).hexdigest())
        for element in elements.values():
            licence = element["licenseConcluded"]
            self.assertTrue("GPL" not in licence or "LGPL" in licence or "exception" in licence,
                            f"{element['name']}: {licence}")
            if element["name"] not in described:
                self.assertRegex(element["externalRefs"][0]["referenceLocator"],
                                 r"^pkg:deb/debian/[a-z0-9.+-]+@\S+\?arch=\w+&upstream=")
        return links

    def test_static(self):
        programs, document, licences = self.make(harness.STATIC_BIN)
        links = self.check(programs, document)
        for program in programs:
            static = links[program.name]["STATIC_LINK"]
            self.assertLessEqual({"libgrpc-dev", "libssl-dev", "libprotobuf-c-dev", "libc6-dev",
                                  "libyaml-dev", "uthash-dev"}, static)
            self.assertEqual(links[program.name]["DYNAMIC_LINK"], set())
        self.assertIn("libseccomp-dev", links["openshell-agent"]["STATIC_LINK"])
        self.assertNotIn("libseccomp-dev", links["openshell-agentctl"]["STATIC_LINK"])
        for text in ("libgrpc-dev", "Apache License", "LESSER GENERAL PUBLIC LICENSE"):
            self.assertIn(text.lower(), licences.lower())

    def test_shared(self):
        programs, document, _ = self.make(harness.BIN)
        links = self.check(programs, document)
        self.assertLessEqual({"libc6"}, links["openshell-agent"]["DYNAMIC_LINK"])

    def test_an_unknown_licence_is_an_error(self):
        code = (f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import sbom\n"
                "print(sbom.licence_of('gcc-99')); sbom.licence_of('libnftnl')")
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", code], capture_output=True, text=True)
        self.assertEqual(done.stdout, "GPL-3.0-or-later WITH GCC-exception-3.1\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the licence of Debian's source package libnftnl is not in the table", done.stderr)


harness.main()
