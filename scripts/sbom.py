#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is linked into programs, as an SPDX 2.3 document: sbom.py --help

Reads what the linker did (BUILD/bin/PROGRAM.map, which every build writes) and asks dpkg whose files
those were: archives of which at least one member was taken, sources of packages that were compiled
in, and shared libraries that the program names. A source package whose licence is not in the table
below is an error, so that none comes in unseen. --licences writes the copyright files of what is inside
the programs. Needs Debian or a relative.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

# Debian source package → licence of what is linked from it. Prose and versions: third_party/README.md.
LICENCES = {
    "abseil": "Apache-2.0",
    "c-ares": "MIT",
    "curl": "curl",
    "gcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "glibc": "LGPL-2.1-or-later",
    "grpc": "Apache-2.0",
    "jansson": "MIT",
    "libnl3": "LGPL-2.1-only",
    "libseccomp": "LGPL-2.1-only",
    "libssh": "LGPL-2.1-or-later",
    "libyaml": "MIT",
    "nghttp2": "MIT",
    "nodejs": "MIT",
    "node-llhttp": "MIT",
    "node-undici": "MIT",
    "openssl": "Apache-2.0",
    "protobuf": "BSD-3-Clause",
    "protobuf-c": "BSD-2-Clause",
    "re2": "BSD-3-Clause",
    "upb": "BSD-3-Clause",
    "uthash": "BSD-1-Clause",
    "wslay": "MIT",
    "zlib": "Zlib",
}
# Headers and sources of packages that are compiled into our objects: file → library of ours in the map.
COMPILED_IN = {"/utlist.h": None, "/uthash.h": None, "/llhttp.c": "libosa_llhttp.a("}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def from_map(path):
    """Archives and objects outside of the build that gave something."""
    found = set()
    text = path.read_text(errors="replace")
    members, _, rest = text.partition("\nDiscarded input sections")
    for line in members.splitlines():
        if match := re.match(r"(/\S+\.a)\(", line):
            found.add(os.path.realpath(match[1]))
    for match in re.finditer(r"^LOAD (/\S+\.o)$", rest or text, re.MULTILINE):
        found.add(os.path.realpath(match[1]))
    return found


def shared(program):
    """Shared libraries that the program itself names."""
    needed = re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "-d", program))
    if not needed:
        return set()
    places = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", program), re.MULTILINE))
    return {os.path.realpath(places[name]) for name in needed if name in places}


def compiled_in(build, linker_map):
    """Files of packages that stand in the dependencies of our objects."""
    text = linker_map.read_text(errors="replace")
    wanted = [name for name, library in COMPILED_IN.items() if library is None or library in text]
    return {os.path.realpath(path)
            for path in map(str.strip, run("ninja", "-C", str(build), "-t", "deps").splitlines())
            if path.startswith("/usr/") and path.endswith(tuple(wanted))}


def packages(files):
    """Debian package → (version, source package, its version, homepage, architecture) of each file."""
    if not files:
        return {}
    names = {name: file for file in files for name in (file, file.removeprefix("/usr"))}
    done = subprocess.run(["dpkg", "-S", *names], capture_output=True, text=True)
    owners = {}
    for line in done.stdout.splitlines():
        owner, _, name = line.partition(": ")
        if name in names:
            owners[names[name]] = owner.split(",")[0]
    if missing := set(files) - set(owners):
        sys.exit(f"sbom.py: no package owns {', '.join(sorted(missing))}")
    fields = run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${source:Package}\t"
                 "${source:Version}\t${Homepage}\t${Architecture}\n", *sorted(set(owners.values())))
    return {line.split("\t")[0]: line.split("\t")[1:] for line in fields.splitlines()}


def licence_of(source):
    name = "gcc" if re.fullmatch(r"gcc-\d+", source) else source
    if name not in LICENCES:
        sys.exit(f"sbom.py: the licence of Debian's source package {source} is not in the table")
    return LICENCES[name]


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def package_of(name, fields):
    version, source, source_version, homepage, architecture = fields
    return {
        "SPDXID": spdx_id(name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "homepage": homepage or "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": licence_of(source),
        "licenseDeclared": licence_of(source),
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch={architecture}"
                                f"&upstream={source}@{source_version}",
        }],
    }


def document(programs, version, build):
    inside = {}
    elements = []
    relations = []
    for program in programs:
        linker_map = build / "bin" / f"{program.name}.map"
        static = packages(from_map(linker_map) | compiled_in(build, linker_map))
        dynamic = packages(shared(program))
        inside.update(static)
        elements.append({
            "SPDXID": spdx_id(program.name),
            "name": program.name,
            "versionInfo": version,
            "packageFileName": program.name,
            "primaryPackagePurpose": "APPLICATION",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "Apache-2.0",
            "licenseDeclared": "Apache-2.0",
            "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": "SHA256", "checksumValue":
                           hashlib.sha256(program.read_bytes()).hexdigest()}],
        })
        relations.append(("SPDXRef-DOCUMENT", "DESCRIBES", spdx_id(program.name)))
        for kind, found in (("STATIC_LINK", static), ("DYNAMIC_LINK", dynamic)):
            for name, fields in sorted(found.items()):
                if spdx_id(name) not in {e["SPDXID"] for e in elements}:
                    elements.append(package_of(name, fields))
                relations.append((spdx_id(program.name), kind, spdx_id(name)))
    body = {
        "packages": elements,
        "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
                          for a, kind, b in relations],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    created = int(os.environ.get("SOURCE_DATE_EPOCH") or max(p.stat().st_mtime for p in programs))
    return inside, {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"openshell-agent-{version}",
        "documentNamespace": f"urn:openshell-agent:sbom:{digest}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created)),
            "creators": ["Tool: openshell-agent-sbom"],
        },
        **body,
    }


def licence_texts(inside):
    texts = {}
    for name in sorted(inside):
        path = pathlib.Path("/usr/share/doc", name, "copyright")
        texts.setdefault(path.read_text(), []).append(name)
    rule = "=" * 98
    return "".join(f"{rule}\n{', '.join(names)}\n{rule}\n\n{text}\n" for text, names in texts.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help="where they were linked; they themselves may be stripped since")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--licences", type=pathlib.Path)
    arguments = parser.parse_args()
    inside, result = document(arguments.programs, arguments.version, arguments.build)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.licences:
        arguments.licences.write_text(licence_texts(inside))


if __name__ == "__main__":
    main()
