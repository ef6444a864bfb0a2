# SPDX-License-Identifier: Apache-2.0
"""An image for boxes, as an OCI layout: busybox and nothing else. layout.py BUSYBOX FOLDER"""
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image"


def layer(busybox):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        def add(name, data=b"", kind=tarfile.REGTYPE, mode=0o644, target=""):
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.mode, entry.linkname = len(data), kind, mode, target
            tar.addfile(entry, io.BytesIO(data))

        for name in ("usr", "usr/bin", "usr/sbin", "usr/lib", "etc", "root", "var", "proc", "sys", "dev", "run"):
            add(name, kind=tarfile.DIRTYPE, mode=0o755)
        for name in ("tmp", "var/tmp"):
            add(name, kind=tarfile.DIRTYPE, mode=0o1777)
        for name in ("bin", "sbin", "lib"):
            add(name, kind=tarfile.SYMTYPE, target=f"usr/{name}")
        add("usr/bin/busybox", busybox.read_bytes(), mode=0o755)
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for applet in listed.stdout.split():
            if applet != "busybox":
                add(f"usr/bin/{applet}", kind=tarfile.SYMTYPE, target="busybox")
        add("etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        add("etc/shadow", b"root:*:1::::::\n", mode=0o600)
    return buffer.getvalue()


def main():
    busybox, folder = map(pathlib.Path, sys.argv[1:])
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layer_blob = blob("layer.v1.tar", layer(busybox))
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin"], "Cmd": ["/bin/sh"]},
              "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]}, "history": [{"created_by": "layout.py"}]}
    manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
                "config": blob("config.v1+json", json.dumps(config).encode()), "layers": [layer_blob]}
    entry = {**blob("manifest.v1+json", json.dumps(manifest).encode()),
             "platform": {"architecture": "amd64", "os": "linux"}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


main()
