# SPDX-License-Identifier: BSD-3-Clause
"""Ends at the worst moment: of the agent, of the helper while it starts, of the TAP under it."""

import random
import signal
import time

from tests.support.case import LabTestCase, main, processes
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4
from tests.support.skip import sanitized

ROUNDS = 40 // (4 if sanitized() else 1)
START_TIME = 0.08 * (5 if sanitized() else 1)  # s; a start takes less


class Agent(LabTestCase):
    def test_killed(self):
        """Flows go on, new ones too; info says that there is no agent any more."""
        guest, helper = self.pair("--forward", "18410:80", control=True)
        self.tcp_server(guest.netns_fd(), "10.0.2.100", port=80)
        server = self.tcp_server(self.lab.internet, SERVICE4)
        with guest.connect(SERVICE4, server.port) as connection:
            self.assert_tcp_echo(connection)
            self.signal_agent(helper, signal.SIGKILL)
            wait_until(lambda: not helper.info()["agent_pid"], "info tells")
            self.assert_tcp_echo(connection)
        self.assert_works(guest)
        self.assertNotEqual(helper.info()["notes"], [])
        self.assertEqual(helper.children(), [], "no zombie")
        self.assertEqual(helper.stop(), 0)

    def test_stopped(self):
        """An agent that does not answer costs the guest nothing."""
        guest, helper = self.pair(control=True)
        self.signal_agent(helper, signal.SIGSTOP)
        self.assert_works(guest)
        self.assertEqual(helper.stop(), 0)


class Start(LabTestCase):
    def test_killed_at_any_moment(self):
        """SIGKILL or SIGTERM while it starts: nothing stays, and the next one works."""
        dice = random.Random(4)
        guest = self.guest()
        for number in range(ROUNDS):
            end = signal.SIGKILL if number % 2 else signal.SIGTERM
            helper = self.helper(guest=guest, wait=False)
            time.sleep(dice.uniform(0, START_TIME))
            helper.process.send_signal(end)
            # Before its handlers are there, SIGTERM ends it as SIGKILL does.
            self.assertIn(helper.wait_exit(), (0, -end), helper.log())
            wait_until(lambda: not processes(), "the agent goes too")
            wait_until(lambda: guest.link() is None, "the TAP goes")
        self.helper(guest=guest)
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])
        self.assert_works(guest)


class Tap(LabTestCase):
    def test_deleted_by_the_guest(self):
        guest, helper = self.pair()
        guest.run("ip", "link", "delete", "tap0")
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn("TAP", helper.log())

    def test_down_and_up_again(self):
        guest, helper = self.pair()
        guest.run("ip", "link", "set", "tap0", "down")
        guest.run("ip", "link", "set", "tap0", "up")
        guest.run("ip", "route", "replace", "default", "via", "10.0.2.2")
        self.assert_works(guest)
        self.assertIsNone(helper.process.poll())

    def test_flushed_and_given_other_addresses(self):
        """The guest may renumber itself within the network."""
        guest, _ = self.pair()
        guest.run("ip", "addr", "flush", "dev", "tap0")
        guest.run("ip", "addr", "add", "10.0.2.77/24", "dev", "tap0")
        guest.run("ip", "route", "replace", "default", "via", "10.0.2.2")
        self.assert_works(guest)


if __name__ == "__main__":
    main()
