#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agentctl cp from an agent that sends what no agent of ours would: nothing gets out of the
place that was asked for."""
import concurrent.futures
import io
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

import harness

harness.use_grpcio()
import grpc  # noqa: E402

pb, _, _ = harness.stubs()


def archive(*entries):
    """entries: (name, content) or (name, type, link target)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, *rest in entries:
            entry = tarfile.TarInfo(name)
            if len(rest) == 2:
                entry.type, entry.linkname = rest
                tar.addfile(entry)
            else:
                entry.size = len(rest[0])
                tar.addfile(entry, io.BytesIO(rest[0]))
    return data.getvalue()


class HostileAgent(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = self.folder / "home"
        self.home.mkdir()
        (self.folder / "secret").write_text("untouched")
        self.data = b""
        method = grpc.unary_stream_rpc_method_handler(
            self.copy_out, request_deserializer=pb.CopyOutRequest.FromString,
            response_serializer=pb.CopyOutResponse.SerializeToString)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            harness.SERVICE, {"CopyOut": method})])
        self.server.add_insecure_port(f"unix:{self.folder}/agent.sock")
        self.server.start()
        self.addCleanup(self.server.stop, None)

    def copy_out(self, request, context):
        for at in range(0, len(self.data), 1000):
            yield pb.CopyOutResponse(data=self.data[at:at + 1000])

    def cp(self, data, target="."):
        self.data = data
        return subprocess.run(
            [harness.BIN / "openshell-agentctl", "--address", f"unix:{self.folder}/agent.sock", "cp",
             "box:/tmp/data", target], cwd=self.home, capture_output=True, text=True,
            timeout=harness.PATIENCE_S)

    def test_archives(self):
        link, hard, device = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
        cases = [
            ("is a second tree", [("data/x", b"x"), (".bashrc", b"evil")]),
            ("is a second tree", [("data", b"x"), ("./", tarfile.DIRTYPE, "")]),
            ("has a '..'", [("../secret", b"evil")]),
            ("has a '..'", [("data/../../secret", b"evil")]),
            ("absolute path", [(f"{self.folder}/secret", b"evil")]),
            ("has a '..'", [("data/x", hard, "../secret")]),
            ("absolute path", [("data/x", hard, f"{self.folder}/secret")]),
            ("leads out of the copy", [("data/way", link, "../..")]),
            ("is a device", [("data/x", device, "")]),
            ("leads through a symbolic link", [("data/in", link, "sub"), ("data/in/x", b"evil")]),
            ("not supported", [("data/x", b"M", "")]),
        ]
        for target in (".", "new"):
            for text, entries in cases:
                shutil.rmtree(self.home)
                self.home.mkdir()
                done = self.cp(archive(*entries), target)
                self.assertEqual(done.returncode, 1, entries)
                self.assertIn(text, done.stderr)
                self.assertEqual((self.folder / "secret").read_text(), "untouched")
                self.assertLessEqual(set(os.listdir(self.folder)), {"home", "secret", "agent.sock"})
                self.assertLessEqual(set(os.listdir(self.home)), {"data", "new"})
                self.assertEqual(os.stat(self.folder / "secret").st_nlink, 1)

    def test_a_link_that_was_left_out_is_no_way(self):
        """What would have come through it lands in a directory of the copy."""
        done = self.cp(archive(("data/way", tarfile.SYMTYPE, "../.."), ("data/way/secret", b"evil")))
        self.assertEqual(done.returncode, 1)
        self.assertEqual((self.folder / "secret").read_text(), "untouched")
        self.assertEqual((self.home / "data/way/secret").read_text(), "evil")

    def test_a_link_that_was_there_is_no_way(self):
        (self.home / "data").symlink_to(self.folder)
        done = self.cp(archive(("data/secret", b"evil")))
        self.assertIn("leads through a symbolic link", done.stderr)
        self.assertEqual((self.folder / "secret").read_text(), "untouched")
        done = self.cp(archive(("data", b"new")))  # replaced, not followed
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.home / "data").read_text(), "new")

    def test_broken_streams(self):
        whole = archive(("data/a", b"a"), ("data/b", b"b" * 3000))
        for data, text in ((b"", "missing"), (b"#" * 3000, "not a tar archive"),
                           (whole[:2000], "inside of 'data/b'"), (whole[:1030], "missing")):
            done = self.cp(data)
            self.assertEqual(done.returncode, 1)
            self.assertIn(text, done.stderr)
            self.assertNotIn("b", os.listdir(self.home / "data") if data[:4] == b"data" else [])

    def test_names_do_not_reach_the_terminal_raw(self):
        done = self.cp(archive(("data/\x1b]0;owned\x07", tarfile.FIFOTYPE, "")))
        self.assertNotIn("\x1b", done.stderr)
        self.assertIn("\\x1b]0;owned\\x07", done.stderr)


if __name__ == "__main__":
    harness.main()
