# SPDX-License-Identifier: BSD-3-Clause
"""Every system call of the start fails once: a message and exit code 1, or it works all the same; nothing is left behind."""

import os
import signal

from tests.support import process
from tests.support.case import LabTestCase, main, processes
from tests.support.helper import wait_until
from tests.support.lab import USER_DIR
from tests.support.skip import need_tool, not_tried, sanitized

# What the start does, and how it can fail. Memory and the loader's calls are not ours to test.
CALLS = (("socket", "EMFILE"), ("socketpair", "EMFILE"), ("openat", "EMFILE"), ("ioctl", "EPERM"), ("sendmsg", "ENOBUFS"),
         ("recvmsg", "ENOBUFS"), ("bind", "EADDRINUSE"), ("listen", "EADDRINUSE"), ("epoll_create1", "EMFILE"), ("epoll_ctl", "ENOSPC"),
         ("timerfd_create", "EMFILE"), ("signalfd4", "EMFILE"), ("eventfd2", "EMFILE"), ("pipe2", "EMFILE"), ("pidfd_open", "EMFILE"),
         ("setns", "EPERM"), ("clone", "EAGAIN"), ("clone3", "EAGAIN"), ("fork", "EAGAIN"), ("prctl", "EPERM"), ("prlimit64", "EPERM"),
         ("inotify_init1", "EMFILE"), ("inotify_add_watch", "ENOSPC"), ("getsockname", "ENOBUFS"),
         ("setsockopt", "ENOPROTOOPT"))
MOST = 8  # occurrences of one call that are tried
FEW = range(7, 24)  # limits of open files; below, the loader has none for the libraries; with the last ones the start succeeds


class EachFails(LabTestCase):
    def test_once(self):
        need_tool("strace", "strace")
        if sanitized():
            not_tried("the sanitizers' own calls would fail too")
        guest = self.guest()
        for call, error in CALLS:
            count = self._count(guest, call)
            for number in range(1, min(count, MOST) + 1):
                with self.subTest(call=call, error=error, number=number):
                    self._one(guest, call, error, number)

    def _helper(self, guest, *strace):
        return self.helper("--forward", "18420:80", "--forward", "18420:80/udp", guest=guest, control=True, wait=False,
                           wrapper=("strace", "-f", "-qq", "-o", f"{USER_DIR}/trace", *strace))

    def _stop(self, helper):
        for pid in helper.children():
            process.send(pid, signal.SIGTERM)
        return helper.wait_exit()

    def _count(self, guest, call):
        """How often the call is made until it is ready. 0: this machine does not have it, or it is not used."""
        helper = self._helper(guest, "-e", f"trace=?{call}")
        helper.wait_ready()
        self._stop(helper)
        wait_until(lambda: guest.link() is None, "the TAP goes")
        with open(f"{USER_DIR}/trace", encoding="utf-8", errors="replace") as file:
            return sum(f" {call}(" in line for line in file)

    def _one(self, guest, call, error, number):
        helper = self._helper(guest, "-e", f"trace=?{call}", "-e", f"inject=?{call}:error={error}:when={number}")
        try:
            helper.wait_ready()
        except AssertionError:
            self.assertEqual(helper.wait_exit(), 1, helper.log())
            self.assertIn("netns-helper: ", helper.log())
        else:
            self.assertIn(self._stop(helper), (0, 1), helper.log())
        wait_until(lambda: not processes(), "no process is left")
        wait_until(lambda: guest.link() is None, "no TAP is left")
        if helper.control_path:
            self.assertFalse(os.path.exists(helper.control_path), "the control socket is left")

    def test_too_few_descriptors(self):
        """The first one that is missing is named, wherever it is: no library ends the process in our place."""
        need_tool("prlimit", "util-linux")
        guest = self.guest()
        started = 0
        for limit in FEW:
            with self.subTest(limit=limit):
                helper = self.helper(guest=guest, wait=False, wrapper=("prlimit", f"--nofile={limit}:{limit}"))
                try:
                    helper.wait_ready()
                except AssertionError:
                    self.assertEqual(helper.wait_exit(), 1, helper.log())
                    self.assertIn("EMFILE", helper.log())
                else:
                    started += 1
                    self.assertEqual(helper.stop(), 0, helper.log())
                wait_until(lambda: guest.link() is None, "no TAP is left")
        self.assertGreater(started, 0)


if __name__ == "__main__":
    main()
