# SPDX-License-Identifier: BSD-3-Clause
"""Helper: one run of netns-helper, and Control: its control socket as a client sees it."""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import time

from tests.support import kernel
from tests.support.guest import DEADLINE
from tests.support.lab import HELPER, USER, USER_DIR
from tests.support.skip import environment_for, sanitized

_numbers = itertools.count(1)
# Options for every helper of a run: the whole suite once more under "--sandbox --seccomp", by hand.
EVERYWHERE = os.environ.get("NETNS_HELPER_TEST_OPTIONS", "").split()
START = DEADLINE * (3 if sanitized() else 1)


class HelperFailed(AssertionError):
    pass


class Helper:
    """Started as the lab's user unless told; ready when the constructor returns, unless wait=False."""

    def __init__(self, *options, guest=None, tap="tap0", wait=True, control=False, exit_pipe=False, user=USER, pass_fds=(),
                 wrapper=(), stderr=None, ready=True):
        """guest: attached to by --pid. wrapper: words before the command (strace, prlimit). stderr: an fd instead of the file."""
        self.number = next(_numbers)
        self._own_stderr = stderr is None
        self.wrapped = bool(wrapper)
        self.user = user
        self.stderr_path = f"{USER_DIR}/helper-{self.number}.log"
        self.control_path = f"{USER_DIR}/control-{self.number}" if control else None
        command = [*wrapper, HELPER, *EVERYWHERE, *options]
        if guest is not None:
            command += ["--pid", str(guest.pid)]
        if self.control_path:
            command += ["--api-socket", self.control_path]
        fds = list(pass_fds)
        self.ready_fd, ready_write = os.pipe() if ready else (-1, -1)
        if ready:
            command += ["--ready-fd", str(ready_write)]
            fds.append(ready_write)
        self.exit_fd = -1
        exit_read = -1
        if exit_pipe:
            exit_read, self.exit_fd = os.pipe()
            command += ["--exit-fd", str(exit_read)]
            fds.append(exit_read)
        if tap is not None:
            command.append(tap)
        self.command = command
        err = os.open(self.stderr_path, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644) if stderr is None else stderr
        try:
            self.process = subprocess.Popen(command, user=user, group=user, extra_groups=[], stdin=subprocess.DEVNULL,
                                            stdout=err, stderr=err, pass_fds=fds, cwd="/",
                                            env=environment_for(command))
        finally:
            for fd in (ready_write, exit_read, err if stderr is None else -1):
                if fd >= 0:
                    os.close(fd)
        self.pid = self.process.pid
        if wait:
            self.wait_ready()

    # ---- life ----
    def wait_ready(self, timeout=START):
        readable = select.select([self.ready_fd], [], [], timeout)[0]
        data = os.read(self.ready_fd, 16) if readable else None
        if data != b"1":
            if data == b"":
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(5)
            raise HelperFailed(f"not ready ({data!r}), exit code {self.process.poll()}: {' '.join(self.command)}\n{self.log()}")
        if self.wrapped:  # strace holds the other end open
            return
        if not select.select([self.ready_fd], [], [], timeout)[0] or os.read(self.ready_fd, 16) != b"":
            raise HelperFailed("the ready fd is not closed after its one byte")

    def wait_exit(self, timeout=DEADLINE):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise HelperFailed(f"has not ended within {timeout} s: {' '.join(self.command)}\n{self.log()}") from None

    def stop(self, signal_number=signal.SIGTERM):
        """Asked to end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.wait_exit()

    def close(self):
        """For clean-up: whatever the test has done, the process is gone and has not been found faulty by a sanitizer."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise HelperFailed(f"does not end at SIGTERM: {' '.join(self.command)}\n{self.log()}") from None
        self.close_exit_fd()
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1
        log = self.log()
        if "Sanitizer" in log or "runtime error:" in log:
            raise HelperFailed(f"sanitizer report:\n{log}")
        if self.process.returncode in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE):
            raise HelperFailed(f"died of signal {-self.process.returncode}: {' '.join(self.command)}\n{log}")

    def close_exit_fd(self):
        if self.exit_fd >= 0:
            os.close(self.exit_fd)
            self.exit_fd = -1

    def log(self):
        if not self._own_stderr:
            return "(stderr is the test's)"
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- what it says of itself ----
    def control(self, timeout=DEADLINE):
        return Control(self.control_path, timeout, self.user)

    def ask(self, execute, arguments=None):
        request = {"execute": execute}
        if arguments is not None:
            request["arguments"] = arguments
        with self.control() as control:
            return control.ask(request)

    def info(self):
        return self.ask("info")["return"]

    def turns(self):
        """Turns of the main loop and of the relays' since the start. Two are the asking's own."""
        return self.ask("stats")["return"]["loop"]["turns"] + self.info()["counters"]["relays"]["turns"]

    def drops(self):
        """Drop reason -> count."""
        return self.info()["counters"]["guard"]["drops"]

    def forward(self, host_port, guest_port, proto="tcp", host_addr=None, guest_addr=None):
        """add_hostfwd; returns the reply's "return"."""
        arguments = {"proto": proto, "host_port": host_port, "guest_port": guest_port}
        if host_addr is not None:
            arguments["host_addr"] = host_addr
        if guest_addr is not None:
            arguments["guest_addr"] = guest_addr
        reply = self.ask("add_hostfwd", arguments)
        if "return" not in reply:
            raise AssertionError(f"add_hostfwd {arguments}: {reply}")
        return reply["return"]

    # ---- what the kernel says of it ----
    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def state(self):
        """Of the process, as proc(5) has it: "T" is stopped by a signal."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]


class Control:
    """A connection to a control socket, made as the lab's user unless told."""

    def __init__(self, path, timeout=DEADLINE, user=USER):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            with kernel.as_uid(user):
                self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def read_reply(self):
        """One JSON value; None at the end of the connection."""
        decoder = json.JSONDecoder()
        while True:
            text = self._rest.decode(errors="replace").lstrip()
            if text:
                try:
                    value, end = decoder.raw_decode(text)
                    self._rest = text[end:].encode()
                    return value
                except ValueError:
                    pass
            data = self.socket.recv(65536)
            if not data:
                if text:
                    raise AssertionError(f"half a reply: {text!r}")
                return None
            self._rest += data

    def ask(self, request):
        self.send(request if isinstance(request, (bytes, dict)) else json.dumps(request))
        return self.read_reply()


def wait_until(condition, what, timeout=DEADLINE):
    """Polls what cannot be waited for. Returns the condition's true value. what: a failure's text, or a function that gives it when the
    time is over: a text that tells what is there must not be made before."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.01)
