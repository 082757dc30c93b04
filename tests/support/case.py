# SPDX-License-Identifier: BSD-3-Clause
"""LabTestCase: a test in the lab that cleans up after itself. main(): how each test program runs.

Exit codes: 0 passed, 77 every test was skipped (or the lab cannot be made here), 1 failed.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback
import unittest

from tests.support import process, servers
from tests.support.guest import Guest
from tests.support.helper import Helper, wait_until
from tests.support.lab import HELPER, Lab, enter
from tests.support.skip import EXIT_SKIPPED, CannotRun, must_work, skip

WINDOW = 1.0       # s that a helper is watched for work that goes on by itself
QUIET_TURNS = 300  # turns of its loops in a window, at most; a loop that feeds itself makes tens of thousands
_HANGS_AFTER = 600  # s; then every thread's stack is printed and the program ends


def runs(executable):
    """For process.find(): whether a process of the lab runs this executable."""
    return lambda pid: os.readlink(f"/proc/{pid}/exe") == executable


def processes(executable=HELPER):
    """The pids of the lab that run this executable, zombies not counted."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if runs(executable)(name):
                found.append(int(name))
    return found


class LabTestCase(unittest.TestCase):
    """Everything a test makes through these functions is gone after it; a helper that is left is a failure."""

    maxDiff = None

    def setUp(self):
        self.lab = Lab.get()
        self.addCleanup(self._nothing_left)

    def _nothing_left(self):
        # The agent of a helper that was killed ends a moment later (PR_SET_PDEATHSIG).
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not processes(), "every helper and agent has ended")
        self.assertEqual(process.end_all(runs(HELPER)), [], "helper processes were left behind")

    def _keep(self, thing):
        self.addCleanup(thing.close)
        return thing

    def guest(self, **arguments):
        return self._keep(Guest(**arguments))

    def helper(self, *options, **arguments):
        """Started and, unless wait=False, ready."""
        wait = arguments.pop("wait", True)
        helper = self._keep(Helper(*options, wait=False, **arguments))
        if wait:
            helper.wait_ready()
        return helper

    def pair(self, *options, **arguments):
        """(guest, helper attached to it)."""
        guest = self.guest()
        return guest, self.helper(*options, guest=guest, **arguments)

    @staticmethod
    def agent(helper):
        """The agent's process, held; the caller closes it."""
        return process.Process(helper.info()["agent_pid"])

    def signal_agent(self, helper, number):
        with self.agent(helper) as agent:
            self.assertTrue(agent.signal(number), "the agent has ended by itself")

    def tcp_server(self, netns, address, serve=servers.echo, port=0):
        return self._keep(servers.TcpServer(netns, address, serve, port))

    def udp_server(self, netns, address, port=0, **arguments):
        return self._keep(servers.UdpServer(netns, address, port, **arguments))

    def tripwire(self, netns, port):
        return self._keep(servers.Tripwire(netns, port))

    def close_later(self, fd):
        self.addCleanup(os.close, fd)
        return fd

    def need_device(self):
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            skip("/dev/net/tun cannot be opened by everyone (chmod 0666, as distributions ship it)")

    # ---- what is asserted again and again ----
    def assert_tcp_echo(self, connection, data=b"some bytes"):
        connection.sendall(data)
        self.assertEqual(servers.receive_exactly(connection, len(data)), data)

    def assert_udp_echo(self, connected, data=b"a datagram", tries=5):
        """The first datagrams of a flow may be lost to an address resolution; the answer must be exact."""
        before = connected.gettimeout()
        connected.settimeout(1)
        for _ in range(tries):
            connected.send(data)
            with contextlib.suppress(TimeoutError):
                while (answer := connected.recv(65536)) != data:
                    self.assertEqual(answer[:16], data[:16])
                connected.settimeout(before)
                return
        self.fail(f"no answer to {tries} datagrams of {len(data)} bytes")

    @staticmethod
    def turns_in_window(helper):
        """How often its loops turn in WINDOW. Not its processor time: that depends on the machine and on who else runs there."""
        before = helper.turns()
        time.sleep(WINDOW)  # what is measured, not a wait for anything
        return helper.turns() - before

    def assert_quiet(self, helper):
        self.assertLessEqual(self.turns_in_window(helper), QUIET_TURNS, f"it spins; {helper.log()}")

    def assert_works(self, guest):
        """The guest reaches the outside by TCP."""
        server = self.tcp_server(self.lab.internet, "203.0.113.80")
        with guest.connect("203.0.113.80", server.port) as connection:
            self.assert_tcp_echo(connection)


def main(user_namespace=True):
    """Runs the calling module's tests in a lab."""
    # A shell without job control lets what it puts in the background ignore them, and so would all that we start.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        enter(user_namespace)
        Lab.get()
    except CannotRun as reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1 if must_work() else EXIT_SKIPPED)
    except Exception:  # the lab's process must not run on into the caller
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if not result.wasSuccessful():
        os._exit(1)
    os._exit(EXIT_SKIPPED if result.testsRun and len(result.skipped) == result.testsRun else 0)
