# SPDX-License-Identifier: BSD-3-Clause
"""Too few descriptors, a log that nobody reads, a helper that was stopped for a while: it gets slower, not wrong."""

import contextlib
import fcntl
import os
import signal
import socket

from tests.support.case import LabTestCase, main
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4
from tests.support.skip import need_tool

F_SETPIPE_SZ = 1031
FEW = 64
FLOWS = 200
FORWARD_FLOWS = 40    # libslirp keeps the descriptor of a flow that has ended for 10 s (2 MSL)
RECOVERY = 60.0       # s


class Log(LabTestCase):
    def test_nobody_reads_it(self):
        """stderr is a full pipe: frames and control go on."""
        read, write = os.pipe()
        self.close_later(read)
        fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 512)
        os.set_blocking(write, True)
        guest = self.guest()
        try:
            helper = self.helper("--log-level", "debug", guest=guest, control=True, stderr=write)
        finally:
            os.close(write)
        for _ in range(50):
            helper.ask("nonsense")
        self.assert_works(guest)
        self.assertEqual(helper.stop(), 0)

    def test_the_reader_goes_away(self):
        read, write = os.pipe()
        guest = self.guest()
        try:
            helper = self.helper("--log-level", "debug", guest=guest, control=True, stderr=write)
        finally:
            os.close(write)
        os.close(read)
        helper.ask("nonsense")
        self.assert_works(guest)
        self.assertEqual(helper.stop(), 0)


class Descriptors(LabTestCase):
    def test_starved(self):
        """More flows than descriptors: control answers, it does not spin, and all works again once they are gone."""
        need_tool("prlimit", "util-linux")
        guest = self.guest()
        helper = self.helper(guest=guest, control=True, wrapper=("prlimit", f"--nofile={FEW}:{FEW}"))
        server = self.tcp_server(self.lab.internet, SERVICE4)
        with contextlib.ExitStack() as flows:
            for _ in range(FLOWS):
                flow = flows.enter_context(guest.socket())
                flow.setblocking(False)
                flow.connect_ex((SERVICE4, server.port))
            self.assertEqual(helper.ask("list_hostfwd")["entries"], [])
            self.assert_quiet(helper)
            self.assertIn("limits", helper.info())
        wait_until(lambda: self._connects(guest, server), "connects again")
        self.assertIsNone(helper.process.poll())

    def test_starved_by_a_forward(self):
        guest = self.guest()
        helper = self.helper("--forward", "18400:80", guest=guest, control=True, wrapper=("prlimit", f"--nofile={FEW}:{FEW}"))
        self.tcp_server(guest.netns_fd(), "10.0.2.100", port=80)
        with contextlib.ExitStack() as flows:
            for _ in range(FORWARD_FLOWS):
                flow = flows.enter_context(socket.socket())
                flow.setblocking(False)
                flow.connect_ex(("127.0.0.1", 18400))
            self.assertEqual(len(helper.ask("list_hostfwd")["entries"]), 1)
            self.assert_quiet(helper)

        def answers():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 18400), 1) as connection:
                connection.sendall(b"x")
                return connection.recv(1) == b"x"
            return False

        wait_until(answers, "the forward answers again", RECOVERY)

    @staticmethod
    def _connects(guest, server):
        with contextlib.suppress(OSError), guest.connect(SERVICE4, server.port, timeout=2) as connection:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"
        return False


class Stopped(LabTestCase):
    def test_goes_on_after_sigcont(self):
        guest, helper = self.pair(control=True)
        server = self.tcp_server(self.lab.internet, SERVICE4)
        with guest.connect(SERVICE4, server.port) as connection:
            self.assert_tcp_echo(connection)
            helper.process.send_signal(signal.SIGSTOP)
            connection.sendall(b"while it sleeps")
            wait_until(lambda: helper.state() == "T", "it stands still")
            helper.process.send_signal(signal.SIGCONT)
            self.assertEqual(connection.recv(64), b"while it sleeps")
        self.assertEqual(helper.info()["pid"], helper.pid)
        self.assert_quiet(helper)


if __name__ == "__main__":
    main()
