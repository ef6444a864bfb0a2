#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""openshell-agent serve, health and drain as a person or a pod uses them: exit statuses and words."""
import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from harness import BIN, PATIENCE_S, Certificates, free_port, main

AGENT = str(BIN / "openshell-agent")


def run(*arguments):
    done = subprocess.run([AGENT, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout + done.stderr


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="osa-commands-")
        folder = pathlib.Path(self.folder.name)
        self.token = folder / "token"
        self.unix = f"unix:{folder}/agent.sock"
        self.agent = subprocess.Popen(
            [AGENT, "serve", "--listen", self.unix, "--listen", "127.0.0.1:0",
             "--token-file", str(self.token)], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE_S
        while run("health", "--listen", self.unix)[0] != 0:
            self.assertLess(time.monotonic(), end, "it never served")
            self.assertIsNone(self.agent.poll(), "it ended")
            time.sleep(0.05)

    def tearDown(self):
        if self.agent.poll() is None:
            self.agent.terminate()
        _, self.log = self.agent.communicate(timeout=PATIENCE_S)
        self.folder.cleanup()

    def test_health(self):
        self.assertEqual(run("health", "--listen", self.unix), (0, "SERVING\n"))
        status, text = run("health", "--listen", self.unix + ".none")
        self.assertEqual(status, 3)
        self.assertIn("UNAVAILABLE", text)

    def test_files_are_private(self):
        self.assertEqual(stat.S_IMODE(self.token.stat().st_mode), 0o600)
        self.assertEqual(len(self.token.read_text().strip()), 64)
        socket = pathlib.Path(self.unix.removeprefix("unix:"))
        self.assertEqual(stat.S_IMODE(socket.stat().st_mode), 0o600)

    def test_drain(self):
        status, text = run("drain", "--listen", self.unix)
        self.assertEqual((status, text), (0, "drained: 0 ended, 0 killed\n"))
        self.assertEqual(run("health", "--listen", self.unix), (1, "NOT_SERVING\n"))

    def test_sigterm_drains(self):
        self.agent.send_signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(timeout=PATIENCE_S), 0)
        self.assertFalse(os.path.exists(self.unix.removeprefix("unix:")))

    def test_sigterm_before_it_serves(self):
        """It comes while the default sandbox is made; nothing is served, nothing hangs."""
        def pending():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            os.kill(os.getpid(), signal.SIGTERM)  # outlives the exec
        done = subprocess.run([AGENT, "serve", "--sandbox", "--listen", self.unix + ".2"],
                              capture_output=True, text=True, timeout=PATIENCE_S,
                              preexec_fn=pending)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("ended by a signal before it served", done.stderr)
        self.assertFalse(os.path.exists(self.unix.removeprefix("unix:") + ".2"))

    def test_second_agent(self):
        status, text = run("serve", "--listen", self.unix)
        self.assertEqual(status, 1)
        self.assertIn("is served by another process already", text)
        self.assertEqual(run("health", "--listen", self.unix)[0], 0)

    def test_health_and_drain_over_tls(self):
        """With the agent's own certificate at hand, or as a client that has its authority's."""
        certificates = Certificates(self.folder.name)
        port = free_port()
        serve = ["--listen", f"127.0.0.1:{port}", "--tls-cert", str(certificates.cert), "--tls-key",
                 str(certificates.key), "--tls-client-ca", str(certificates.ca)]
        client = ["--listen", f"127.0.0.1:{port}", "--tls-ca", str(certificates.ca)]
        shown = ["--tls-cert", str(certificates.client_cert), "--tls-key",
                 str(certificates.client_key)]
        with subprocess.Popen([AGENT, "serve", *serve], stderr=subprocess.DEVNULL) as agent:
            end = time.monotonic() + PATIENCE_S
            while run("health", *client, *shown)[0] != 0:
                self.assertLess(time.monotonic(), end, run("health", *client, *shown))
                time.sleep(0.05)
            self.assertEqual(run("health", *client)[0], 3)  # who shows nothing is not let in
            status, text = run("health", "--listen", f"127.0.0.1:{port}", *shown)
            self.assertEqual(status, 3)  # that certificate is not the agent's
            self.assertIn("certificate verify failed", text)
            status, text = run("health", *client, *shown, "--tls-server-name", "elsewhere")
            self.assertEqual(status, 3)
            self.assertIn("Peer name elsewhere is not in peer certificate", text)
            self.assertEqual(run("health", *client, *shown, "--tls-server-name", "localhost")[0], 0)
            # The server's own options do, when its authority signed its certificate, too.
            self.assertEqual(run("health", *serve, "--tls-ca", str(certificates.ca))[0], 0)
            self.assertEqual(run("drain", *client, *shown), (0, "drained: 0 ended, 0 killed\n"))
            agent.terminate()

    def test_wrong_usage(self):
        for arguments, status, words in (
                ((), 2, "usage:"),
                (("bogus",), 2, "'bogus' is not a command"),
                (("serve", "--bogus"), 2, "--bogus: unknown option"),
                (("serve", "--listen", "0.0.0.0:0", "--token-file", str(self.token)), 1, "loopback"),
                (("serve", "--policy", "/no/such"), 1, "/no/such"),
                (("--help",), 0, "usage:"),
                (("serve", "--help"), 0, "--listen")):
            got, text = run(*arguments)
            self.assertEqual(got, status, f"{arguments}: {text}")
            self.assertIn(words, text)


class CopySelf(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="osa-copy-")
        self.top = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def assert_copied(self, path):
        self.assertEqual(path.read_bytes(), pathlib.Path(AGENT).read_bytes())
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o755)
        self.assertEqual([p.name for p in path.parent.iterdir()], [path.name])

    def test_new_folders(self):
        self.assertEqual(run("copy-self", f"{self.top}/a/b/agent"), (0, ""))
        self.assert_copied(self.top / "a/b/agent")

    def test_folder_and_old_one_that_runs(self):
        self.assertEqual(run("copy-self", str(self.top)), (0, ""))
        copied = self.top / "openshell-agent"
        self.assert_copied(copied)
        running = subprocess.Popen([str(copied), "serve", "--listen", f"unix:{self.top}/s"],
                                   stderr=subprocess.DEVNULL)
        status, text = run("copy-self", str(self.top))
        running.terminate()
        running.wait(timeout=PATIENCE_S)
        self.assertEqual((status, text), (0, ""))
        self.assert_copied(copied)

    def test_refused(self):
        (self.top / "file").touch()
        status, text = run("copy-self", f"{self.top}/file/agent")
        self.assertEqual(status, 1)
        self.assertIn("Not a directory", text)
        for arguments in ([], [""], ["a", "b"]):
            self.assertEqual(run("copy-self", *arguments)[0], 2)


class ServiceManager(unittest.TestCase):
    """The test plays systemd: it opens the socket, listens for READY and the watchdog, and stops."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="osa-service-")
        folder = pathlib.Path(self.folder.name)
        self.path = folder / "agent.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(PATIENCE_S)

    def tearDown(self):
        self.listener.close()
        self.notify.close()
        self.folder.cleanup()

    def start(self, *arguments, name="agent"):
        # The descriptor has to be number 3, and LISTEN_PID the number of the agent itself.
        fd = self.listener.fileno()
        script = f'exec 3<&{fd} {fd}<&-; LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"'
        if fd == 3:
            script = 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"'
        return subprocess.Popen(
            ["bash", "-c", script, "bash", AGENT, "serve", *arguments], pass_fds=[fd],
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": name, "WATCHDOG_USEC": "200000",
                 "NOTIFY_SOCKET": str(pathlib.Path(self.folder.name) / "notify")})

    def test_activation_ready_watchdog_and_stop(self):
        agent = self.start("--listen", "fd:agent")
        self.assertEqual(self.notify.recv(256), b"READY=1\nSTATUS=serving")
        for _ in range(3):
            self.assertEqual(self.notify.recv(256), b"WATCHDOG=1")
        self.assertEqual(run("health", "--listen", f"unix:{self.path}"), (0, "SERVING\n"))
        agent.send_signal(signal.SIGTERM)
        heard = self.notify.recv(256)
        while heard == b"WATCHDOG=1":
            heard = self.notify.recv(256)
        self.assertEqual(heard, b"STOPPING=1\nSTATUS=draining")
        _, log = agent.communicate(timeout=PATIENCE_S)
        self.assertEqual(agent.returncode, 0, log)
        self.assertTrue(self.path.exists(), "the file is the manager's, and stays")

    def test_a_name_that_was_not_passed(self):
        agent = self.start("--listen", "fd:agent", name="other")
        _, log = agent.communicate(timeout=PATIENCE_S)
        self.assertEqual(agent.returncode, 1)
        self.assertIn("fd:agent: the service manager passed no socket of that name", log)


main()
