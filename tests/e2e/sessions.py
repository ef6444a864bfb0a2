#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SSH sessions of openshell-sandbox: OpenSSH's client through relays, and clients that misbehave."""
import fcntl
import os
import pathlib
import pty
import select
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time
import unittest

import gateway_double
import harness
from supervisor import WithDouble

gate = gateway_double.gate
OPTIONS = ("-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "LogLevel=ERROR", "-o", "BatchMode=yes")


class Terminal:
    """An OpenSSH client on a terminal of its own."""

    def __init__(self, port, *arguments, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [harness.need_tool("ssh"), *OPTIONS, "-p", str(port), "-tt", *arguments],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data):
        os.write(self.master, data)

    def expect(self, text):
        """Read until the text has come; what follows it stays."""
        deadline = time.monotonic() + harness.PATIENCE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
            assert ready, (text, self.seen)
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            assert data, (text, self.seen)
            self.seen += data
        self.seen = self.seen.split(text, 1)[1]

    def end(self):
        """Its exit status; whoever reads no more must not keep it waiting."""
        def drain():
            try:
                while os.read(self.master, 65536):
                    pass
            except OSError:
                pass
        reader = threading.Thread(target=drain)
        reader.start()
        status = self.process.wait(harness.PATIENCE_S)
        reader.join()
        os.close(self.master)
        return status


class WithSandbox(WithDouble):
    command = ("/bin/sleep", "1000")

    def setUp(self):
        super().setUp()
        self.sandbox = self.double.add()
        self.supervisor = self.started(self.sandbox, *self.command)

    def ssh(self, *arguments, **options):
        return self.double.ssh(self.sandbox, *arguments, **options)

    def listener(self):
        listener = self.double.port_for(self.sandbox, ssh=gate.SshRelayTarget())
        self.addCleanup(listener.close)
        return listener.getsockname()[1]

    def terminal(self, *arguments, **options):
        return Terminal(self.listener(), *arguments, **options)

    def processes(self, marker):
        """What of the sandbox runs with this in its command line, the client's own left out."""
        found = []
        for pid in harness.processes_with(marker):
            try:
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue  # it has just gone
            if b"StrictHostKeyChecking" not in line:
                found.append(pid)
        return found


class Sessions(WithSandbox):
    def test_shell_on_pipes(self):
        done = self.ssh("-T", "x@127.0.0.1", input=b"echo out; echo err >&2; exit 4\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, b"out\n", b"err\n"))

    def test_shell_on_a_terminal(self):
        terminal = self.terminal("x@127.0.0.1", rows=31, columns=97)
        terminal.type(b"stty size; echo $((40 + 2))-$TERM\n")
        terminal.expect(b"31 97")
        terminal.expect(b"42-")
        terminal.resize(44, 133)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.type(b"until [ \"$(stty size)\" = '44 133' ]; do sleep 0.1; done; echo got-$((1))\n")
        terminal.expect(b"got-1")
        terminal.type(b"exit 9\n")
        self.assertEqual(terminal.end(), 9)

    def test_interrupt_on_a_terminal(self):
        terminal = self.terminal("x@127.0.0.1", "trap 'echo trapped; exit 3' INT; echo ready; "
                                 "while :; do sleep 0.1; done")
        terminal.expect(b"ready")
        terminal.type(b"\x03")
        terminal.expect(b"trapped")
        self.assertEqual(terminal.end(), 3)

    def test_environment_of_the_client_is_ignored(self):
        done = self.ssh("-o", "SetEnv=FOO=bar", "x@127.0.0.1", "echo [$FOO]")
        self.assertEqual((done.returncode, done.stdout), (0, b"[]\n"))

    def test_ends(self):
        for command, status in (("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143),
                                ("kill -SEGV $$", 139), ("/no/such/program", 127)):
            self.assertEqual(self.ssh("x@127.0.0.1", command).returncode, status, command)
        done = self.ssh("-s", "x@127.0.0.1", "nothing")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"subsystem request failed", done.stderr)

    def test_a_command_that_is_too_long(self):
        done = self.ssh("x@127.0.0.1", "true " + "x" * 120000)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)

    def test_input_both_ways(self):
        data = os.urandom(2_000_000)
        done = self.ssh("x@127.0.0.1", "cat", input=data)
        self.assertEqual((done.returncode, done.stdout), (0, data))

    def test_background_process_does_not_hold_the_session(self):
        done = self.ssh("x@127.0.0.1", "sleep 555 & echo done")
        self.assertEqual((done.returncode, done.stdout), (0, b"done\n"))

    def test_a_client_that_is_killed_takes_its_process_along(self):
        client = subprocess.Popen(
            [harness.need_tool("ssh"), *OPTIONS, "-p", str(self.listener()), "x@127.0.0.1",
             "setsid sleep 7654321 & exec sleep 7654321"], stdin=subprocess.DEVNULL)
        harness.wait_until(lambda: len(self.processes("7654321")) >= 2, "both run")
        client.kill()
        client.wait()
        harness.wait_until(lambda: not self.processes("7654321"), "neither runs")

    def test_sessions_are_listed(self):
        client = subprocess.Popen(
            [harness.need_tool("ssh"), *OPTIONS, "-p", str(self.listener()), "x@127.0.0.1",
             "exec sleep 7654322"], stdin=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)

        def listed():
            return subprocess.run(
                [harness.BIN / "openshell-agentctl", "--address",
                 f"unix:{self.supervisor.folder}/agent.sock", "ps"], capture_output=True,
                text=True, timeout=harness.PATIENCE_S).stdout
        harness.wait_until(lambda: "7654322" in listed(), "the session is in the list")

    def test_many_channels_at_once(self):
        clients = [subprocess.Popen(
            [harness.need_tool("ssh"), *OPTIONS, "-p", str(self.listener()), "x@127.0.0.1",
             f"echo {n}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for n in range(12)]
        for n, client in enumerate(clients):
            out, _ = client.communicate(timeout=harness.PATIENCE_S)
            self.assertEqual((client.returncode, out), (0, f"{n}\n".encode()))

    def test_files(self):
        if not any(pathlib.Path(p, "sftp-server").exists() for p in (
                "/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec")):
            done = self.ssh("-s", "x@127.0.0.1", "sftp", input=b"")
            self.assertEqual(done.returncode, 127)
            self.assertIn(b"there is no sftp-server in this sandbox", done.stderr)
            return
        source = self.supervisor.folder / "source"
        source.write_bytes(os.urandom(300_000))
        done = subprocess.run(
            [harness.need_tool("sftp"), *OPTIONS, "-P", str(self.listener()), "-b", "-",
             "x@127.0.0.1"], input=f"put {source} copy\nget copy {source}.back\n".encode(),
            capture_output=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(f"{source}.back").read_bytes(), source.read_bytes())
        self.assertEqual((self.supervisor.work / "copy").read_bytes(), source.read_bytes())


class Forwarding(WithSandbox):
    SERVER = ("import socket; s = socket.create_server(('127.0.0.1', 0)); "
              "open('port', 'w').write(str(s.getsockname()[1]) + chr(10)); c, _ = s.accept(); "
              "c.sendall(b'you said ' + c.recv(100)); c.close()")

    def serve(self):
        server = subprocess.Popen(
            [harness.need_tool("ssh"), *OPTIONS, "-p", str(self.listener()), "x@127.0.0.1",
             f"exec /usr/bin/python3 -c \"{self.SERVER}\""], stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        port = self.supervisor.work / "port"
        harness.wait_until(lambda: port.exists() and port.read_text().endswith("\n"),
                           "the port is known")
        return int(port.read_text())

    def test_ports_of_the_sandbox(self):
        for host in ("127.0.0.1", "localhost"):
            (self.supervisor.work / "port").unlink(missing_ok=True)
            done = self.ssh("-W", f"{host}:{self.serve()}", "x@127.0.0.1", input=b"hello")
            self.assertEqual((done.returncode, done.stdout), (0, b"you said hello"), done.stderr)

    def test_nothing_else(self):
        for target in ("192.0.2.1:80", "example.com:80", "[2001:db8::1]:80", "0.0.0.0:80"):
            done = self.ssh("-W", target, "x@127.0.0.1", input=b"")
            self.assertEqual(done.returncode, 255)
            self.assertEqual(done.stderr, b"stdio forwarding failed\r\n", target)

    def test_remote_forwarding_is_refused(self):
        done = self.ssh("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "x@127.0.0.1",
                        "echo unreached")
        self.assertEqual((done.returncode, done.stdout), (255, b""))


class MainProcess(WithSandbox):
    command = ("--interactive", "--", "/bin/sh", "-c",
               "echo Ready; while read line; do echo \"got <$line>\"; done")

    def test_detach_and_come_back(self):
        first = self.terminal("-s", "x@127.0.0.1", "openshell-main")
        first.expect(b"Ready")
        first.type(b"one\n")
        first.expect(b"got <one>")
        first.type(b"\x10\x11")
        self.assertEqual(first.end(), 0)
        second = self.terminal("-s", "x@127.0.0.1", "openshell-main")
        second.expect(b"got <one>")
        second.type(b"two\n")
        second.expect(b"got <two>")
        second.type(b"\x10\x11")
        self.assertEqual(second.end(), 0)

    def test_one_types(self):
        first = self.terminal("-s", "x@127.0.0.1", "openshell-main")
        first.expect(b"Ready")
        second = self.terminal("-s", "x@127.0.0.1", "openshell-main")
        second.expect(b"openshell: ")
        second.expect(b"attached read-only")
        second.type(b"not heard\n")
        first.type(b"heard\n")
        second.expect(b"got <heard>")
        first.type(b"\x10\x11")
        self.assertEqual(first.end(), 0)
        second.type(b"\x10\x11")
        self.assertEqual(second.end(), 0)
        third = self.terminal("-o", "SetEnv=OPENSHELL_MAIN_READ_ONLY=1", "-s", "x@127.0.0.1",
                              "openshell-main")
        third.expect(b"got <heard>")
        self.assertNotIn(b"not heard", third.seen)
        fourth = self.terminal("-s", "x@127.0.0.1", "openshell-main")
        fourth.type(b"free again\n")
        fourth.expect(b"got <free again>")
        for terminal in (third, fourth):
            terminal.type(b"\x10\x11")
            self.assertEqual(terminal.end(), 0)


class Socket(WithDouble):
    def run_at(self, path):
        sandbox = self.double.add()
        supervisor = self.started(sandbox, environment={"OPENSHELL_SSH_SOCKET_PATH": path})
        return sandbox, supervisor

    def banner(self, address):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(harness.PATIENCE_S)
            client.connect(address)
            return client.recv(8)

    def test_a_file(self):
        sandbox = self.double.add()
        path = f"/tmp/osa-ssh-{os.getpid()}/sub/ssh.sock"
        os.mkdir(os.path.dirname(os.path.dirname(path)))
        self.addCleanup(os.rmdir, os.path.dirname(os.path.dirname(path)))
        self.addCleanup(os.rmdir, os.path.dirname(path))
        supervisor = self.started(sandbox, environment={"OPENSHELL_SSH_SOCKET_PATH": path})
        mode = os.stat(path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        self.assertEqual(self.banner(path), b"SSH-2.0-")
        self.assertEqual(self.run_ssh(sandbox, "echo too"), "too\n")
        supervisor.end()
        self.assertFalse(os.path.exists(path))

    def test_an_abstract_name(self):
        name = f"osa-ssh-{os.getpid()}"
        self.run_at("@" + name)
        self.assertEqual(self.banner("\0" + name), b"SSH-2.0-")
        second = self.start(self.double.add(), environment={"OPENSHELL_SSH_SOCKET_PATH": "@" + name})
        self.assertEqual(second.wait(), 1)
        self.assertIn(f"ssh-socket-path '@{name}': the name cannot be had", second.log())


class Hostile(WithSandbox):
    def raw(self, data, close=True):
        relay = self.double.open_relay(self.sandbox, ssh=gate.SshRelayTarget())
        for start in range(0, len(data), 16384):
            relay.to_sandbox.put(data[start:start + 16384])
        if close:
            relay.to_sandbox.put(gateway_double.END)
        return relay

    def ended(self, relay):
        while relay.from_sandbox.get(timeout=harness.PATIENCE_S) is not gateway_double.END:
            pass

    def test_what_is_no_ssh(self):
        for data in (b"", b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.0-old\r\n",
                     b"SSH-2.0-" + b"x" * 5000 + b"\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 50_000,
                     b"SSH-2.0-x\r\n" + bytes.fromhex("7fffffff") + b"\0" * 1000,
                     b"SSH-2.0-x\r\n" + bytes.fromhex("0000000c0a1400") + b"\0" * 100):
            self.ended(self.raw(data))
        self.assertEqual(self.run_ssh(self.sandbox, "echo fine"), "fine\n")

    def test_relays_that_say_nothing(self):
        relays = [self.raw(b"", close=False) for _ in range(40)]
        self.assertEqual(self.run_ssh(self.sandbox, "echo fine"), "fine\n")
        for relay in relays:
            relay.to_sandbox.put(gateway_double.END)
        for relay in relays:
            self.ended(relay)

    def test_too_many_connections(self):
        relays = []
        while len(relays) < 300:
            relay = self.double.open_relay(self.sandbox, ssh=gate.SshRelayTarget())
            if isinstance(relay, str):
                break
            relays.append(relay)
        self.assertEqual(relay, "256 SSH connections are open already")
        for relay in relays:
            relay.to_sandbox.put(gateway_double.END)
        for relay in relays:
            self.ended(relay)
        harness.wait_until(lambda: not isinstance(self.raw(b""), str), "there is room again")


if __name__ == "__main__":
    harness.main()
