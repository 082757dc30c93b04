# SPDX-License-Identifier: BSD-3-Clause
"""Every way to name the guest."""

import os

from tests.support import kernel
from tests.support.case import LabTestCase, main
from tests.support.guest import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR
from tests.support.helper import wait_until
from tests.support.lab import USER, USER_DIR


class ByPid(LabTestCase):
    def test_mapped(self):
        guest, helper = self.pair(control=True)
        info = helper.info()
        self.assertEqual(info["target"]["kind"], "pid")
        self.assertEqual(info["pid"], helper.pid)
        self.assertIn(info["agent_pid"], helper.children())
        self.assert_works(guest)

    def test_id_maps(self):
        """A range of ids; one that leaves our own id out; none at all."""
        for id_map in (f"0 {USER} 1\n1 2000 10\n", "0 2000 10\n", ""):
            with self.subTest(id_map=id_map):
                guest = self.guest(id_map=id_map)
                helper = self.helper(guest=guest)
                self.assert_works(guest)
                self.assertEqual(helper.stop(), 0)

    def test_somebody_elses(self):
        guest = self.guest(user=USER + 1)
        helper = self.helper(guest=guest, wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn(str(guest.pid), helper.log())
        self.assertIsNone(guest.link())

    def test_process_in_our_own_network_namespace(self):
        helper = self.helper("--pid", str(os.getpid()), wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertNotEqual(helper.log(), "")

    def test_no_such_process(self):
        helper = self.helper("--pid", "4194303", wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn("4194303", helper.log())


class ByNamespace(LabTestCase):
    def test_path(self):
        guest = self.guest()
        helper = self.helper("--netns", f"/proc/{guest.pid}/ns/net", control=True)
        self.assertEqual(helper.info()["target"]["kind"], "netns-path")
        self.assert_works(guest)

    def test_bound_path_whose_maker_is_gone(self):
        guest = self.guest()
        path = self._bind(guest, "bound")
        helper = self.helper("--netns", path)
        guest.kill()
        self.assert_works(guest)
        self.assertIsNone(helper.process.poll())

    def test_fd(self):
        guest = self.guest()
        helper = self.helper("--netns", str(guest.netns_fd()), pass_fds=[guest.netns_fd()], control=True)
        self.assertEqual(helper.info()["target"]["kind"], "netns-fd")
        self.assert_works(guest)

    def test_user_namespace_given(self):
        guest = self.guest()
        self.helper("--netns", f"/proc/{guest.pid}/ns/net", "--userns", f"/proc/{guest.pid}/ns/user")
        self.assert_works(guest)

    def test_wrong_user_namespace(self):
        guest, other = self.guest(), self.guest()
        helper = self.helper("--netns", f"/proc/{guest.pid}/ns/net", "--userns", f"/proc/{other.pid}/ns/user", wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn("namespace", helper.log())

    def test_not_a_network_namespace(self):
        guest = self.guest()
        for path in (f"/proc/{guest.pid}/ns/uts", "/etc/passwd", "/nowhere"):
            with self.subTest(path=path):
                helper = self.helper("--netns", path, wait=False)
                self.assertIn(helper.wait_exit(), (1, 2))
                self.assertIn(path, helper.log())

    def _bind(self, guest, name):
        path = f"{USER_DIR}/{name}-{guest.pid}"
        with open(path, "w", encoding="ascii"):
            pass
        kernel.mount(f"/proc/{guest.pid}/ns/net", path, flags=kernel.MS_BIND)
        self.addCleanup(os.unlink, path)
        self.addCleanup(kernel.umount, path)
        return path


class ByTapFd(LabTestCase):
    def test_plain_and_with_vnet_header(self):
        for flags in (0, IFF_VNET_HDR):
            with self.subTest(flags=flags):
                guest = self.guest()
                tap = guest.open_tap(flags=IFF_TAP | IFF_NO_PI | flags)
                try:
                    helper = self.helper("--tap-fd", str(tap), tap=None, pass_fds=[tap], control=True)
                finally:
                    os.close(tap)
                self.assertEqual(helper.info()["target"]["kind"], "tap-fd")
                self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])
                self.assert_works(guest)
                self.assertEqual(helper.stop(), 0)

    def test_refused_by_name(self):
        guest = self.guest()
        for number, (flags, word) in enumerate(((IFF_TUN | IFF_NO_PI, "IFF_TUN"), (IFF_TAP, "packet information"),
                                                (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, "multi-queue"))):
            with self.subTest(word=word):
                tap = self.close_later(guest.open_tap(f"t{number}", flags))
                helper = self.helper("--tap-fd", str(tap), tap=None, pass_fds=[tap], wait=False)
                self.assertEqual(helper.wait_exit(), 2)
                self.assertIn(word.lower(), helper.log().lower())

    def test_no_tap_at_all(self):
        null = self.close_later(os.open("/dev/null", os.O_RDWR))
        helper = self.helper("--tap-fd", str(null), tap=None, pass_fds=[null], wait=False)
        self.assertEqual(helper.wait_exit(), 2)
        self.assertIn("tap-fd", helper.log())


class ExistingTap(LabTestCase):
    def test_persistent_one_is_opened_and_left(self):
        guest = self.guest()
        os.close(guest.open_tap(persist=True))
        index = guest.link()["ifindex"]
        for _ in range(2):
            helper = self.helper(guest=guest)
            self.assertEqual(guest.link()["ifindex"], index)
            self.assert_works(guest)
            self.assertEqual(helper.stop(), 0)
        self.assertIsNotNone(guest.link())

    def test_in_use_by_another_helper(self):
        guest, first = self.pair()
        second = self.helper(guest=guest, wait=False)
        self.assertEqual(second.wait_exit(), 1)
        self.assertIn("tap0", second.log())
        self.assertIsNone(first.process.poll())
        self.assert_works(guest)

    def test_ours_is_gone_at_the_end(self):
        guest, helper = self.pair()
        self.assertEqual(helper.stop(), 0)
        wait_until(lambda: guest.link() is None, "the TAP goes")


if __name__ == "__main__":
    main()
