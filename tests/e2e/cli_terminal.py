#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agentctl where a person sits: keys that detach, sizes, and a connection that breaks."""
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

import cli
import harness

DETACH = b"\x10\x11"  # ctrl-p ctrl-q


class Terminal:
    """The client with a pseudo-terminal at its standard input and output."""

    def __init__(self, test, *arguments, size=(24, 80)):
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.client = subprocess.Popen(
            [harness.BIN / "openshell-agentctl", *arguments], stdin=self.slave, stdout=self.slave,
            stderr=subprocess.PIPE, env={**test.environment(), "TERM": "dumb"},
            start_new_session=True)
        test.addCleanup(self.close)

    def close(self):
        if self.client.poll() is None:
            self.client.kill()
        self.client.wait()
        self.client.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def expect(self, text):
        deadline = time.monotonic() + harness.PATIENCE_S
        while text not in self.seen:
            if not select.select([self.master], [], [], deadline - time.monotonic())[0]:
                raise AssertionError(f"{text} is not in {self.seen}")
            self.seen += os.read(self.master, 65536)

    def end(self):
        """Returns (status, what was written to standard error)."""
        err = self.client.stderr.read()
        return self.client.wait(harness.PATIENCE_S), err.decode()


class WithProcesses(cli.WithClient):
    def tearDown(self):
        for process in self.listed():
            self.ctl("kill", "-g", "0s", process["processId"])

    def listed(self, *more):
        return json.loads(self.ctl("ps", "--json", *more).stdout).get("processes", [])


class Keys(WithProcesses):
    def ready(self, *arguments, **options):
        """cat -v in a terminal that does not echo or edit, so that what comes back is what it got."""
        terminal = Terminal(self, "run", "-it", *arguments, "--", "/bin/sh", "-c",
                            "stty raw -echo; echo ready; exec cat -v", **options)
        terminal.expect(b"ready")
        process, = {p["processId"] for p in self.listed() if p["state"] == "STATE_RUNNING"}
        return terminal, process

    def expect_detached(self, terminal, process):
        status, err = terminal.end()
        self.assertEqual((status, err), (0, f"openshell-agentctl: detached from {process}\n"))
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
        self.assertEqual([p["state"] for p in self.listed()], ["STATE_RUNNING"])

    def test_detach_and_attach_again(self):
        terminal, process = self.ready()
        self.assertNotEqual(termios.tcgetattr(terminal.slave), terminal.before)  # raw
        terminal.type(b"one")
        terminal.expect(b"one")
        terminal.type(DETACH)
        self.expect_detached(terminal, process)
        again = Terminal(self, "attach", "--replay", process)
        again.expect(b"one")
        again.type(b"two")
        again.expect(b"two")
        again.type(DETACH)
        self.expect_detached(again, process)

    def test_keys_apart_from_each_other(self):
        terminal, process = self.ready()
        terminal.type(DETACH[:1])
        time.sleep(0.3)
        self.assertIsNone(terminal.client.poll())
        terminal.type(DETACH[1:])
        self.expect_detached(terminal, process)

    def test_keys_that_do_not_detach(self):
        terminal, process = self.ready()
        terminal.type(b"\x10x")  # the first was held back, and comes with the next
        terminal.expect(b"^Px")
        terminal.type(b"\x11")
        terminal.expect(b"^Px^Q")
        terminal.type(b"\x03\x04")  # no interrupt, no end: they are the process's
        terminal.expect(b"^Px^Q^C^D")
        terminal.type(b"\x10" + DETACH)
        self.expect_detached(terminal, process)
        self.assertTrue(self.ctl("logs", process).stdout.endswith("^Px^Q^C^D^P"))

    def test_the_client_dies_and_the_process_lives(self):
        terminal, process = self.ready()
        terminal.client.kill()
        terminal.client.wait()
        self.assertEqual([p["state"] for p in self.listed()], ["STATE_RUNNING"])

    def test_size(self):
        terminal = Terminal(self, "run", "-it", "--", "/bin/sh", "-c",
                            "trap 'stty size; exit 5' WINCH; stty size; while :; do sleep 0.05; done",
                            size=(33, 111))
        terminal.expect(b"33 111")
        terminal.resize(44, 122)
        terminal.client.send_signal(signal.SIGWINCH)
        terminal.expect(b"44 122")
        self.assertEqual(terminal.end(), (5, ""))


class Proxy:
    """A Unix socket in front of the agent's, whose connections can be cut."""

    def __init__(self, target):
        self.folder = tempfile.TemporaryDirectory(prefix="osa-proxy-")
        self.path = f"{self.folder.name}/sock"
        self.target = str(target)
        self.pairs = []
        self.lock = threading.Lock()
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve(self, listener):
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            there = socket.socket(socket.AF_UNIX)
            there.connect(self.target)
            with self.lock:
                self.pairs.append((here, there))
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def cut(self):
        with self.lock:
            for pair in self.pairs:
                for end in pair:
                    end.shutdown(socket.SHUT_RDWR)
                    end.close()
            self.pairs.clear()

    def close(self):
        """Cut, and let nobody in."""
        os.unlink(self.path)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class Broken(WithProcesses):
    def setUp(self):
        self.proxy = Proxy(self.agent.socket)
        self.addCleanup(self.proxy.folder.cleanup)

    def start(self, *arguments, **options):
        client = subprocess.Popen(
            [harness.BIN / "openshell-agentctl", "--address", f"unix:{self.proxy.path}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, **options)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.stderr.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return client

    def test_output_goes_on_where_it_ended(self):
        client = self.start("run", "--", "/bin/sh", "-c",
                            "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit 9")
        lines = [client.stdout.readline() for _ in range(20)]
        self.proxy.cut()
        lines += [client.stdout.readline() for _ in range(20)]
        self.proxy.cut()
        lines += client.stdout.readlines()
        self.assertEqual(lines, [f"{i}\n" for i in range(300)])
        self.assertEqual(client.wait(harness.PATIENCE_S), 9)
        self.assertIn("the connection broke; retry in 500 ms", client.stderr.read())

    def test_input_goes_on(self):
        client = self.start("run", "-i", "--", "/bin/cat", stdin=subprocess.PIPE)
        client.stdin.write("one\n")
        self.assertEqual(client.stdout.readline(), "one\n")
        self.proxy.cut()
        self.assertIn("the connection broke", client.stderr.readline())
        client.stdin.write("two\n")
        client.stdin.close()
        self.assertEqual(client.stdout.read(), "two\n")
        self.assertEqual(client.wait(harness.PATIENCE_S), 0)

    def test_the_end_came_meanwhile(self):
        client = self.start("run", "--", "/bin/sh", "-c", "echo begun; sleep 1; echo ended; exit 4")
        self.assertEqual(client.stdout.readline(), "begun\n")
        self.proxy.close()
        harness.wait_until(lambda: any(p.get("exit", {}).get("code") == 4 for p in self.listed("-a")),
                           "it has ended")
        self.proxy.open()
        self.assertEqual(client.stdout.read(), "ended\n")
        self.assertEqual(client.wait(harness.PATIENCE_S), 4)

    def test_an_interrupt_ends_the_waiting(self):
        """The timer of the next try is armed when the session stops; it must not come to fire."""
        client = self.start("run", "--", "/bin/sh", "-c", "echo begun; exec sleep 60")
        self.assertEqual(client.stdout.readline(), "begun\n")
        self.proxy.close()
        self.assertIn("the connection broke", client.stderr.readline())
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(harness.PATIENCE_S), 125)
        self.assertIn("gave up", client.stderr.read())

    def test_nobody_comes_back(self):
        client = self.start("run", "--", "/bin/sh", "-c", "echo begun; exec sleep 60")
        self.assertEqual(client.stdout.readline(), "begun\n")
        self.proxy.close()
        self.assertEqual(client.wait(harness.PATIENCE_S), 125)
        self.assertIn("(UNAVAILABLE)", client.stderr.read())


if __name__ == "__main__":
    harness.main()
