# SPDX-License-Identifier: Apache-2.0
"""What stands for a microVM: pid 1 of a namespace of its own, which starts real processes.

The double forks one for each box that is started. Requests and reports are JSON, one a packet; the
descriptors of an exec come along. When this process dies, all that it started dies with it.
"""
import ctypes
import ctypes.util
import fcntl
import json
import os
import select
import signal
import socket
import termios

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24
# The 14 capabilities of a container: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
# setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
MORE = {"NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_RESOURCE": 24}
libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def enter_namespaces():
    """A pid and a mount namespace; with a user namespace where only that allows them."""
    if libc.unshare(CLONE_NEWPID | CLONE_NEWNS) != 0:
        uid, gid = os.geteuid(), os.getegid()
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS), "unshare")
        for name, value in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(value)


def possible():
    """Can this process make what a guest needs?"""
    pid = os.fork()
    if pid == 0:
        try:
            enter_namespaces()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def capabilities(more):
    return CAPABILITIES | {MORE[name] for name in more}


def set_up(capabilities):
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    check(libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    for number in range(64):
        if number not in capabilities:
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # above the last one there is: EINVAL


def run(request, fds, report):
    """In the child: the program; what prevents it goes to the descriptor report."""
    try:
        for number in range(1, 65):
            if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                libc.signal(number, None)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        if request["tty"]:
            fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.dup2(report, 3, inheritable=False)
        libc.close_range(4, 0xFFFFFFFF, 0)
        report = 3
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        os.write(report, str(error).encode())
    os._exit(127)


def start(request, fds):
    """Returns (pid, what went wrong); in the second case the pid is still to be reaped."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        run(request, fds, writer)
    for fd in (writer, *fds):
        os.close(fd)
    problem = os.read(reader, 4096)
    os.close(reader)
    return pid, problem.decode()


def serve(sock, main):
    """The life of pid 1; ends when the double closes its socket, or with the main command."""
    pids = {}
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    null = os.open("/dev/null", os.O_RDWR)
    main_pid, _ = start({**main, "tty": False}, [os.dup(null), os.dup(null), os.dup(null)])
    while True:
        ready, _, _ = select.select([sock, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if pid == 0:
                    break
                if pid == main_pid:
                    os._exit(0)
                if pid in pids:
                    code = os.waitstatus_to_exitcode(status)
                    sock.send(json.dumps({"id": pids.pop(pid), "exit": code}).encode())
        if sock in ready:
            data, fds, _, _ = socket.recv_fds(sock, 1 << 20, 3)
            if not data:
                os._exit(0)
            request = json.loads(data)
            if request["op"] == "exec":
                pid, problem = start(request, fds)
                answer = {"id": request["id"], "started": problem == "", "problem": problem}
                if problem:
                    os.waitpid(pid, 0)
                else:
                    pids[pid] = request["id"]
                sock.send(json.dumps(answer).encode())
            else:
                for pid, owner in pids.items():
                    if owner == request["id"]:
                        os.kill(pid, request["signal"])


def boot(main, capabilities):
    """Fork a guest whose main command is main and whose processes have these capabilities; returns (pid to reap, socket)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        signal.set_wakeup_fd(-1)
        ours.close()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        enter_namespaces()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        keep = theirs.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, 1 << 12)
        set_up(capabilities)
        serve(theirs, main)
    except BaseException as error:  # noqa: BLE001: nothing of this may reach the double's loop
        os.write(2, f"guest: {error!r}\n".encode())
    finally:
        os._exit(1)
