# SPDX-License-Identifier: BSD-3-Clause
"""--tap-socket: another program made the TAP and hands it over through SCM_RIGHTS."""

import os
import socket
import stat

from tests.support import kernel
from tests.support.case import LabTestCase, main
from tests.support.guest import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR
from tests.support.helper import wait_until
from tests.support.lab import USER, USER_DIR

MANY = 253  # SCM_MAX_FD of the kernel: the most that one message carries


class TapSocketTestCase(LabTestCase):
    def start(self, **arguments):
        """(our end, helper that waits for a TAP)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(ours.close)
        with theirs:
            helper = self.helper("--tap-socket", str(theirs.fileno()), tap=None, pass_fds=[theirs.fileno()], wait=False, **arguments)
        return ours, helper


class Accepted(TapSocketTestCase):
    def test_over_an_inherited_socket(self):
        for flags in (0, IFF_VNET_HDR):
            with self.subTest(flags=flags):
                guest = self.guest()
                ours, helper = self.start()
                tap = guest.open_tap(flags=IFF_TAP | IFF_NO_PI | flags)
                socket.send_fds(ours, [b"tap"], [tap])
                os.close(tap)
                helper.wait_ready()
                self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])
                self.assert_works(guest)
                self.assertEqual(helper.stop(), 0)

    def test_listens_on_a_path_that_does_not_exist(self):
        guest = self.guest()
        path = f"{USER_DIR}/tap.sock"
        helper = self.helper("--tap-socket", path, tap=None, wait=False, control=True)
        wait_until(lambda: os.path.exists(path), "the socket appears")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        tap = guest.open_tap()
        with socket.socket(socket.AF_UNIX) as sender:
            sender.settimeout(10)
            with kernel.as_uid(USER):
                self._connect(sender, path)
            socket.send_fds(sender, [b"\0"], [tap])
            os.close(tap)
            helper.wait_ready()
        self.assertFalse(os.path.exists(path))
        self.assertEqual(helper.info()["target"]["kind"], "tap-socket")
        self.assert_works(guest)

    @staticmethod
    def _connect(sender, path):
        def connected():
            try:
                sender.connect(path)
                return True
            except ConnectionRefusedError:  # bound, not yet listening
                return False

        wait_until(connected, "connects")

    def test_connects_to_a_path_that_is_a_socket(self):
        guest = self.guest()
        path = f"{USER_DIR}/provider.sock"
        with socket.socket(socket.AF_UNIX) as provider:
            with kernel.as_uid(USER):
                provider.bind(path)
            provider.listen(1)
            provider.settimeout(20)
            helper = self.helper("--tap-socket", path, tap=None, wait=False)
            connection, _ = provider.accept()
            with connection:
                tap = guest.open_tap()
                socket.send_fds(connection, [b"\0"], [tap])
                os.close(tap)
                helper.wait_ready()
        self.assert_works(guest)
        self.assertTrue(os.path.exists(path), "the provider's socket is the provider's")


class Refused(TapSocketTestCase):
    def _refused(self, fds, *words):
        ours, helper = self.start()
        socket.send_fds(ours, [b"tap"], fds)
        self.assertEqual(helper.wait_exit(), 2)
        log = helper.log().lower()
        self.assertIn("tap-socket", log)
        for word in words:
            self.assertIn(word.lower(), log)

    def test_kinds(self):
        guest = self.guest()
        for number, (flags, word) in enumerate(((IFF_TUN | IFF_NO_PI, "IFF_TUN"), (IFF_TAP, "packet information"),
                                                (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, "multi-queue"))):
            with self.subTest(word=word):
                self._refused([self.close_later(guest.open_tap(f"t{number}", flags))], word)

    def test_something_else(self):
        self._refused([self.close_later(os.open("/dev/null", os.O_RDWR))])

    def test_no_descriptor(self):
        self._refused([])

    def test_two(self):
        guest = self.guest()
        self._refused([self.close_later(guest.open_tap("t1")), self.close_later(guest.open_tap("t2"))])

    def test_more_than_fit(self):
        guest = self.guest()
        self._refused([self.close_later(guest.open_tap("t1"))] * MANY)

    def test_end_of_the_connection(self):
        ours, helper = self.start()
        ours.close()
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn("tap-socket", helper.log())

    def test_path_of_a_plain_file(self):
        helper = self.helper("--tap-socket", "/etc/passwd", tap=None, wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertTrue(os.path.exists("/etc/passwd"))


class Waiting(TapSocketTestCase):
    def test_sigterm_while_it_waits(self):
        path = f"{USER_DIR}/never.sock"
        helper = self.helper("--tap-socket", path, tap=None, wait=False)
        wait_until(lambda: os.path.exists(path), "the socket appears")
        self.assertEqual(helper.stop(), 0)
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    main()
