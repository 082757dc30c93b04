# SPDX-License-Identifier: BSD-3-Clause
"""Slirp4netns: one run of slirp4netns's command line, by our binary through a link of that name or by the packaged original."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess

from tests.support import kernel
from tests.support.case import LabTestCase
from tests.support.guest import DEADLINE
from tests.support.helper import HelperFailed
from tests.support.lab import HELPER, RUN, USER, USER_DIR
from tests.support.skip import environment_for, need_tool

_OURS = f"{RUN}/as/slirp4netns"


def ours():
    """Our binary's path under slirp4netns's name."""
    if not os.path.islink(_OURS):
        os.makedirs(os.path.dirname(_OURS), exist_ok=True)
        os.symlink(HELPER, _OURS)
    return _OURS


def theirs():
    """Debian's slirp4netns; the test is skipped without it."""
    return need_tool("slirp4netns", "slirp4netns")


class Slirp4netns:
    """words: the whole command line, with @READY@, @EXIT@ and @API@ for what this class makes."""

    _count = 0

    def __init__(self, binary, *words, user=USER, pass_fds=(), wrapper=(), cwd="/"):
        Slirp4netns._count += 1
        base = f"{USER_DIR}/s{Slirp4netns._count}"
        self.api_path = f"{base}.sock"
        self._out, self._err = f"{base}.out", f"{base}.err"
        self.ready_fd, ready_write = os.pipe()
        exit_read, self.exit_fd = os.pipe()
        known = {"@READY@": str(ready_write), "@EXIT@": str(exit_read), "@API@": self.api_path}
        self.command = [*wrapper, binary, *(known.get(word, word) for word in words)]
        fds = [fd for word, fd in (("@READY@", ready_write), ("@EXIT@", exit_read)) if word in words]
        try:
            with open(self._out, "wb") as out, open(self._err, "wb") as err:
                self.process = subprocess.Popen(self.command, user=user, group=user, extra_groups=[], stdin=subprocess.DEVNULL,
                                                stdout=out, stderr=err, pass_fds=[*fds, *pass_fds], cwd=cwd,
                                                env=environment_for(self.command))
        finally:
            os.close(ready_write)
            os.close(exit_read)
        self.pid = self.process.pid

    def wait_ready(self):
        readable = select.select([self.ready_fd], [], [], DEADLINE)[0]
        data = os.read(self.ready_fd, 16) if readable else None
        if data != b"1":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            raise HelperFailed(f"not ready ({data!r}), exit code {self.process.poll()}: {' '.join(self.command)}\n{self.err()}{self.out()}")
        return self

    def wait_exit(self):
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise HelperFailed(f"has not ended: {' '.join(self.command)}\n{self.err()}") from None

    def end_by_exit_fd(self):
        os.close(self.exit_fd)
        self.exit_fd = -1
        return self.wait_exit()

    def out(self):
        with open(self._out, encoding="utf-8", errors="replace") as file:
            return file.read()

    def err(self):
        with open(self._err, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ask_bytes(self, request, half_close=True):
        """One connection as slirp4netns's clients make it: the request, then everything until the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(DEADLINE)
            with kernel.as_uid(USER):
                client.connect(self.api_path)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have had enough
                client.sendall(request)
                if half_close:
                    client.shutdown(socket.SHUT_WR)
            reply = b""
            with contextlib.suppress(ConnectionResetError):  # slirp4netns's end where it has not read everything
                while data := client.recv(65536):
                    reply += data
            return reply

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(DEADLINE)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            raise HelperFailed(f"does not end at SIGTERM: {' '.join(self.command)}")
        for fd in (self.ready_fd, self.exit_fd):
            if fd >= 0:
                os.close(fd)
        if "Sanitizer" in self.err() or "runtime error:" in self.err():
            raise HelperFailed(f"sanitizer report:\n{self.err()}")
        if self.process.returncode in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGSYS):
            raise HelperFailed(f"died of signal {-self.process.returncode}: {' '.join(self.command)}\n{self.err()}")


class Slirp4netnsTestCase(LabTestCase):
    """both(): a test's body once with each binary, so that what is claimed of slirp4netns is seen on slirp4netns too."""

    def both(self):
        yield ours()
        if shutil.which("slirp4netns"):
            yield theirs()
        else:
            theirs()  # a failure in continuous integration

    def slirp(self, binary, *words, **arguments):
        """Started; ready too if the words name a ready fd."""
        run = self._keep(Slirp4netns(binary, *words, **arguments))
        return run.wait_ready() if "@READY@" in words else run

    def attached(self, binary, *words, **arguments):
        """(guest, run attached to it by pid, configured and ready)."""
        guest = self.guest()
        return guest, self.slirp(binary, "-c", "-r", "@READY@", *words, str(guest.pid), "tap0", **arguments)

    @staticmethod
    def call(binary, *words, **arguments):
        """A run that ends by itself."""
        return subprocess.run([binary, *words], capture_output=True, text=True, timeout=DEADLINE, user=USER, group=USER,
                              extra_groups=[], check=False, **arguments)
