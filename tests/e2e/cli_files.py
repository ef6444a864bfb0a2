#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agentctl cp and forward against a real agent."""
import concurrent.futures
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

import cli
import harness


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


class WithSandbox(cli.WithClient):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="osa-cp-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.box = self.ctl("sandbox", "create").stdout.strip()
        self.addCleanup(self.ctl, "sandbox", "rm", self.box)

    def inside(self, script):
        return self.ctl("run", "-s", self.box, "--", "/bin/sh", "-c", script).stdout

    def cp(self, *arguments, **more):
        return self.ctl("cp", *arguments, cwd=self.folder, **more)

    def refused(self, wanted, *arguments, status=1, **more):
        done = self.cp(*arguments, status=status, **more)
        err = done.stderr if isinstance(done.stderr, str) else done.stderr.decode()
        self.assertIn(wanted, err)


class Copies(WithSandbox):
    def test_tree_there_and_back(self):
        source = self.folder / "source"
        (source / "sub").mkdir(parents=True)
        (source / "file").write_bytes(os.urandom(500_000))
        (source / "sub/private").write_text("text")
        (source / "sub/private").chmod(0o600)
        os.utime(source / "sub/private", (5000, 5000))
        os.link(source / "file", source / "second")
        (source / "link").symlink_to("sub/private")
        (source / "ro").mkdir(mode=0o555)
        self.cp("source", f"{self.box}:/tmp")
        self.assertEqual(self.inside("cd /tmp/source && cat link && stat -c %h file"), "text2\n")
        self.cp(f"{self.box}:/tmp/source", "back")
        for name in ("file", "second", "sub/private", "ro", "sub", "."):
            a, b = os.lstat(source / name), os.lstat(self.folder / "back" / name)
            self.assertEqual((a.st_mode, int(a.st_mtime)), (b.st_mode, int(b.st_mtime)), name)
        self.assertEqual((self.folder / "back/file").read_bytes(), (source / "file").read_bytes())
        self.assertEqual(os.readlink(self.folder / "back/link"), "sub/private")
        self.assertTrue((self.folder / "back/file").samefile(self.folder / "back/second"))

    def test_where_a_copy_goes(self):
        (self.folder / "file").write_text("one")
        (self.folder / "dir").mkdir()
        self.cp("file", f"{self.box}:/tmp")              # into a directory
        self.cp("file", f"{self.box}:/tmp/new")          # a new name
        self.cp("dir", f"{self.box}:/tmp/tree")          # likewise
        self.cp("file", f"{self.box}:/tmp/tree/")        # must be a directory
        self.cp("dir/.", f"{self.box}:/tmp")             # contents
        self.assertEqual(self.inside("cd /tmp && find . -mindepth 1 | sort"),
                         "./file\n./new\n./tree\n./tree/file\n")
        (self.folder / "file").write_text("two")
        self.cp("file", f"{self.box}:/tmp/new")          # over a file
        self.assertEqual(self.inside("cat /tmp/new"), "two")
        self.refused("cannot be opened as a directory", "file", f"{self.box}:/tmp/none/")
        self.refused("cannot be opened as a directory", "file", f"{self.box}:/tmp/none/x")
        self.cp(f"{self.box}:/tmp/new", ".")
        self.cp(f"{self.box}:/tmp/new", "dir")
        self.cp(f"{self.box}:/tmp/new", "dir/renamed")
        self.cp(f"{self.box}:/tmp/new", "file")
        self.assertEqual(sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*")),
                         ["dir", "dir/new", "dir/renamed", "file", "new"])
        self.assertEqual((self.folder / "file").read_text(), "two")
        self.refused("cannot be opened as a directory", f"{self.box}:/tmp/new", "none/")
        self.refused("stands in the way of a directory", f"{self.box}:/tmp/tree", "file")

    def test_streams(self):
        data = archive(("a/b", b"content"))
        self.cp("-", f"{self.box}:/tmp", stdin=data, text=False)
        self.assertEqual(self.inside("cat /tmp/a/b"), "content")
        out = self.cp(f"{self.box}:/tmp/a", "-", stdin=b"", text=False).stdout
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            self.assertEqual(tar.getnames(), ["a", "a/b"])
        path = self.folder / "archive.tar"
        path.write_bytes(data)
        with open(path) as regular:  # a file, which cannot be polled
            done = subprocess.run([harness.BIN / "openshell-agentctl", "cp", "--json", "-",
                                   f"{self.box}:/tmp"], stdin=regular, capture_output=True,
                                  env=self.environment(), timeout=harness.PATIENCE_S)
        self.assertEqual(json.loads(done.stdout), {"bytes": str(len(data))})
        self.refused("not a tar archive", "-", f"{self.box}:/tmp", stdin=b"#" * 1024, text=False)
        self.refused("cannot be opened as a directory", "-", f"{self.box}:/tmp/none", stdin=data,
                     text=False)

    def test_root(self):
        """The root has no name of its own: contents go into the directory."""
        self.refused("Permission denied", f"{self.box}:/", "root")  # what nobody may read
        self.assertTrue((self.folder / "root").is_dir())

    def test_refusals(self):
        (self.folder / "file").write_text("x")
        (self.folder / "osa-new").write_text("x")
        os.mkfifo(self.folder / "fifo")
        self.refused("one of the two must be", "a", "b", status=2)
        self.refused("one of the two must be", "a:/b", "b:/a", status=2)
        self.refused("begins with a slash", "file", "box:tmp", status=2)
        self.refused("needs SANDBOX:PATH", "file", status=2)
        self.refused("sandbox ls", "file", "none:/tmp")
        self.refused("'missing' cannot be read: No such file", "missing", f"{self.box}:/tmp")
        self.refused("'fifo' is a named pipe, which is not packed", "fifo", f"{self.box}:/tmp")
        self.refused("'none' cannot be read: No such file", f"{self.box}:/tmp/none", ".")
        self.refused("(PERMISSION_DENIED)", "osa-new", f"{self.box}:/usr/bin")
        self.refused("user 0", "--user", "0:0", "file", f"{self.box}:/tmp")

    def test_links_that_lead_out_are_left_out(self):
        self.inside("mkdir /tmp/d && cd /tmp/d && ln -s /etc/passwd out && ln -s ../../.. up && "
                    "echo x >file && ln -s file in")
        self.refused("left out: d/out leads out of the copy, to /etc/passwd", f"{self.box}:/tmp/d", ".")
        self.assertEqual(sorted(os.listdir(self.folder / "d")), ["file", "in"])

    def test_interrupted(self):
        self.inside("truncate -s 300M /tmp/large")
        client = subprocess.Popen([harness.BIN / "openshell-agentctl", "cp", f"{self.box}:/tmp/large",
                                   self.folder / "part"], env=self.environment(),
                                  stderr=subprocess.PIPE)
        harness.wait_until(lambda: (self.folder / "part").exists(), "the copy has begun")
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(harness.PATIENCE_S), 130, client.stderr.read())
        client.stderr.close()
        self.assertFalse((self.folder / "part").exists())


class Forwards(WithSandbox):
    def serve(self, script, port=8123):
        server = ("import socket, threading\n"
                  f"s = socket.create_server(('127.0.0.1', {port}), backlog=200)\n"
                  f"print('up', flush=True)\n{script}\n"
                  "while True:\n    threading.Thread(target=one, args=(s.accept()[0],)).start()\n")
        process = self.ctl("run", "-d", "-s", self.box, "--", "/usr/bin/python3", "-c",
                           server).stdout.strip()
        harness.wait_until(lambda: self.ctl("logs", process).stdout == "up\n", "the server listens")

    def forward(self, *ports):
        client = subprocess.Popen([harness.BIN / "openshell-agentctl", "forward", "--json", self.box,
                                   *ports], env=self.environment(), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.stderr.close)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait, harness.PATIENCE_S)
        self.addCleanup(client.kill)
        return client, [json.loads(client.stdout.readline())["localPort"] for _ in ports]

    ECHO = ("def one(c):\n    while d := c.recv(65536): c.sendall(d)\n    c.close()")

    def connect(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    @staticmethod
    def read_all(connection):
        data = bytearray()
        while piece := connection.recv(65536):
            data += piece
        return bytes(data)

    def test_many_connections(self):
        self.serve(self.ECHO)
        client, (port,) = self.forward(":8123")

        def one(i):
            with socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE_S) as c:
                data = os.urandom(100_000 + i)
                with concurrent.futures.ThreadPoolExecutor(1) as writer:
                    sent = writer.submit(lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
                    back = self.read_all(c)
                    sent.result()
                return back == data

        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            self.assertEqual(set(pool.map(one, range(80))), {True})
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(harness.PATIENCE_S), 0, client.stderr.read())

    def test_each_direction_ends_by_itself(self):
        self.serve("def one(c):\n    c.sendall(b'first'); c.shutdown(socket.SHUT_WR)\n"
                   "    n = 0\n    while d := c.recv(65536): n += len(d)\n"
                   "    open('/tmp/n', 'w').write(str(n)); c.close()")
        _, (port,) = self.forward(":8123")
        connection = self.connect(port)
        self.assertEqual(self.read_all(connection), b"first")
        connection.sendall(b"x" * 3_000_000)
        connection.shutdown(socket.SHUT_WR)
        harness.wait_until(lambda: self.inside("cat /tmp/n 2>/dev/null || true") == "3000000",
                           "all has come")

    def test_slow_reader(self):
        """What this side does not take is held at its source."""
        self.serve("def one(c):\n    c.sendall(b'x' * 100_000_000); c.close()")
        client, (port,) = self.forward(":8123")
        connection = self.connect(port)
        connection.recv(1)

        def resident(pid):
            return int(pathlib.Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])

        time.sleep(0.5)
        self.assertLess(resident(client.pid), 100_000)
        self.assertLess(resident(self.agent.process.pid), 150_000)
        self.assertEqual(len(self.read_all(connection)), 99_999_999)

    def test_nothing_listens(self):
        client, (port,) = self.forward(":9")
        with self.assertRaises(ConnectionResetError):
            self.read_all(self.connect(port))
        self.assertIn("a connection to port 9 of", client.stderr.readline())
        self.assertIsNone(client.poll())  # it goes on

    def test_two_ports_and_the_sandboxs_end(self):
        self.serve(self.ECHO)
        self.serve(self.ECHO, 8124)
        client, ports = self.forward(":8123", "0:8124")
        connections = [self.connect(port) for port in ports]
        for connection in connections:
            connection.sendall(b"ping")
            self.assertEqual(connection.recv(4), b"ping")
        client.send_signal(signal.SIGTERM)
        self.assertEqual(client.wait(harness.PATIENCE_S), 0)
        for connection in connections:
            with self.assertRaises(ConnectionResetError):
                self.read_all(connection)

    def test_refusals(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assertIn("cannot be listened on; take another port",
                          self.ctl("forward", self.box, f"{port}:80", status=1).stderr)
        self.assertIn("is not [LOCAL:]PORT", self.ctl("forward", self.box, "0", status=2).stderr)
        self.assertIn("(NOT_FOUND)", self.ctl("forward", "none", "80", status=1).stderr)


if __name__ == "__main__":
    harness.main()
