# SPDX-License-Identifier: Apache-2.0
"""OCI images made on the spot, and a registry that serves them as well or as badly as a test wants."""
import base64
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import tarfile
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
BUSYBOX = pathlib.Path("/bin/busybox")
APPLETS = ("sh", "ls", "cat", "id", "pwd", "sleep", "true", "echo", "env", "touch", "mkdir", "rm",
           "chmod", "mount", "head", "kill", "grep")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files):
    """A layer of {path: (mode, content)}; content None is a directory, a str a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (mode, content) in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = mode
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def busybox():
    files = {"usr": (0o755, None), "usr/bin": (0o755, None), "bin": (0o777, "usr/bin"),
             "usr/bin/busybox": (0o755, BUSYBOX.read_bytes())}
    files.update({f"usr/bin/{name}": (0o777, "busybox") for name in APPLETS})
    files["usr/bin/bash"] = (0o755, b'#!/bin/sh\nexec sh "$@"\n')  # sessions ask for it
    for name in ("dev", "proc", "sys", "etc", "var", "run"):
        files[name] = (0o755, None)
    for name in ("tmp", "var/tmp"):
        files[name] = (0o1777, None)
    files["etc/passwd"] = (0o644, b"root:x:0:0::/root:/bin/sh\napp:x:4242:4343::/home/app:/bin/sh\n")
    files["etc/group"] = (0o644, b"root:x:0:\napp:x:4343:\n")
    return files


class Image:
    """One image: blobs by digest, and the digest of its manifest."""

    def __init__(self, files=None, **config):
        self.blobs = {}
        plain = layer(busybox() if files is None else files)
        packed = gzip.compress(plain, 1, mtime=0)
        document = {"architecture": "amd64", "os": "linux", "config": config,
                    "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}
        document.update(config.pop("document", {}))
        body = json.dumps(document).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": {"mediaType": CONFIG, "digest": self.keep(body), "size": len(body)},
                    "layers": [{"mediaType": LAYER, "digest": self.keep(packed),
                                "size": len(packed)}]}
        self.layer = digest(packed)
        self.manifest = json.dumps(manifest).encode()
        self.digest = self.keep(self.manifest)

    def keep(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def write_layout(self, folder):
        folder = pathlib.Path(folder)
        (folder / "blobs/sha256").mkdir(parents=True)
        for name, data in self.blobs.items():
            (folder / "blobs/sha256" / name[7:]).write_bytes(data)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest)}]}))


class Registry:
    """Reads of the OCI distribution API on a loopback port.

    stall: set it to make blobs wait until it is cleared. password: what "user" must give.
    """

    def __init__(self):
        self.images = {}
        self.blobs = {}
        self.asked = []
        self.password = None
        self.flow = threading.Event()
        self.flow.set()
        self.damaged = set()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                registry.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name, image):
        self.images[name] = image
        self.blobs.update(image.blobs)
        return f"{self.host}/{name}"

    def answer(self, request):
        self.asked.append(request.path)
        if self.password is not None:
            expected = "Basic " + base64.b64encode(f"user:{self.password}".encode()).decode()
            if request.headers.get("Authorization") != expected:
                return self.send(request, 401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
        if request.path == "/v2/":
            return self.send(request, 200, b"{}", {})
        parts = request.path.split("/")
        name, kind, which = "/".join(parts[2:-2]), parts[-2], parts[-1]
        image = self.images.get(f"{name}:{which}") or self.images.get(name)
        manifest = self.blobs.get(which) or (image.manifest if image else None)
        if manifest is not None and kind == "manifests":
            return self.send(request, 200, manifest, {"Content-Type": MANIFEST,
                                                      "Docker-Content-Digest": digest(manifest)})
        if kind == "blobs" and which in self.blobs:
            self.flow.wait()
            data = self.blobs[which]
            if which in self.damaged:
                data = data[:-1] + bytes([data[-1] ^ 1])
            return self.send(request, 200, data, {"Content-Type": "application/octet-stream"})
        return self.send(request, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', {})

    @staticmethod
    def send(request, status, body, headers):
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(body)
        except OSError:
            pass  # who asked has gone

    def pulls(self, image):
        return sum(path.endswith(image.layer) for path in self.asked)

    def stop(self):
        self.flow.set()
        self.server.shutdown()
        self.server.server_close()
