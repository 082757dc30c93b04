# SPDX-License-Identifier: BSD-3-Clause
"""What a hostile or broken guest does to the kernel path: no loop, no crash, no work that goes on by itself; and afterwards all is as before."""

import errno
import os
import random
import signal

from tests.support import frames
from tests.support.case import QUIET_TURNS, WINDOW, main
from tests.support.features import need_feature
from tests.support.forwards import GUEST4, GUEST6, GATEWAY4, GATEWAY6
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4, USER_DIR
from tests.support.outbound import BOTH, OutboundTestCase
from tests.support.skip import not_tried

SYNS = 65_536
HOLE4, HOLE6 = "203.0.113.99", "2001:db8:80::99"  # of the lab's internet, and nobody's
SPOOFED = ("198.51.100.9", "127.0.0.1", "0.0.0.0", "224.0.0.1", "10.0.2.2", "10.0.2.77", "203.0.113.80", "fd00::2", "::1", "fe80::77",
           "2001:db8:80::80", "fd00::77")
RECOVERY = 150.0      # s; a connect that is not answered ends after 127 (tcp_syn_retries)
LARGEST_TABLE = 1 << 19  # entries of nf_conntrack that a test may fill: some 160 MB of the kernel's memory
TABLE = 300.0         # s; to fill or to empty nf_conntrack's table
SENDS = 200
BOUNDED_TURNS = 2000    # in a window: the guest's kernel sends a few segments of each of its flows again; a loop makes tens of thousands
IDLE_PIPES = 2 * 8      # descriptors that are kept for the next large flow


class AttackTestCase(OutboundTestCase):
    def wait_quiet(self, helper):
        """After a while nothing goes on by itself."""
        def quiet():
            seen.append(self.turns_in_window(helper))
            return seen[-1] <= QUIET_TURNS

        seen = []
        wait_until(quiet, lambda: f"turns in each {WINDOW} s: {seen}; {self.why(helper)}", RECOVERY)

    def assert_bounded(self, helper):
        """While the guest's kernel still tries: no segment goes round."""
        self.assertLess(self.turns_in_window(helper), BOUNDED_TURNS, f"it spins; {self.why(helper)}")


class Storm(AttackTestCase):
    def test_garbage_syns(self):
        guest, helper = self.outbound()
        old = [self.dial(guest, service) for service in BOTH]
        before = self.relay_descriptors(helper)
        wire = self._keep(frames.Wire(guest))
        live = {service: self.echo_ports_[service] for service in BOTH}
        refused = {service: 9 for service in BOTH}
        numbers = random.Random(1)
        # Some have an open connection's own addresses.
        open_ports = {service: connection.getsockname()[1] for service, connection in zip(BOTH, old)}
        goals = [*live.items(), *refused.items(), (HOLE4, 80), (HOLE6, 80), (GATEWAY4, 80), (GATEWAY6, 80)]
        for number in range(SYNS):
            goal, port = goals[number % len(goals)]
            sources = [source for source in SPOOFED if (":" in source) == (":" in goal)]
            # Every other one has the TAP's own address, and so is taken for one of the guest's.
            source = (GUEST6 if ":" in goal else GUEST4) if number & 8 else sources[numbers.randrange(len(sources))]
            own = goal in open_ports and number & 32
            syn = frames.tcp(source, goal, open_ports[goal] if own else numbers.randrange(1, 65536),
                             port if number & 16 else numbers.randrange(1, 65536), sequence=numbers.getrandbits(32))
            wire.send(frames.ip(source, goal, frames.TCP, syn))
        self.assertIsNone(helper.process.poll())
        wire.barrier()
        self.assertGreater(helper.info()["counters"]["outbound"]["challenged"], 0)
        self.assert_all_as_before(guest, helper, old, before)

    def assert_all_as_before(self, guest, helper, old, descriptors):
        wait_until(lambda: self.connects(guest), "the guest connects again", RECOVERY)
        self.wait_quiet(helper)
        for connection in old:
            self.echoes(connection, b"an established flow goes on")
            self.assert_relayed(helper, connection)
        self.wait_relayed(guest, helper)
        wait_until(lambda: len(self.outbound_flows(helper)) == len(old), "the garbage's flows are gone", RECOVERY)
        wait_until(lambda: self.relay_descriptors(helper) <= descriptors + IDLE_PIPES,
                   lambda: f"the kernel path's descriptors are free; {self.why(helper)}")

    def relay_descriptors(self, helper):
        return self.ask(helper, "stats")["limits"]["relay_fds"]["used"]

    def connects(self, guest):
        try:
            for service in BOTH:
                with guest.connect(service, self.echo_ports_[service], timeout=5) as connection:
                    self.assert_tcp_echo(connection)
        except OSError:
            return False
        return True

    def test_the_same_syn_again_and_again(self):
        """As of a guest that retransmits without a pause, to whoever answers and whoever does not."""
        guest, helper = self.outbound()
        old = [self.dial(guest, service) for service in BOTH]
        before = self.relay_descriptors(helper)
        wire = self._keep(frames.Wire(guest))
        for goal, port in ((SERVICE4, self.echo_ports_[SERVICE4]), (HOLE4, 80), (SERVICE4, 9)):
            packet = frames.ip(GUEST4, goal, frames.TCP, frames.tcp(GUEST4, goal, 999, port))
            for _ in range(SYNS // 16):
                wire.send(packet)
        self.assert_all_as_before(guest, helper, old, before)


class Forwarding(AttackTestCase):
    """The guest forwards, and our rules are gone: a stray segment that is written back into the TAP must not come out of it for ever."""

    def test_rules_gone(self):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(agent=number.name):
                guest, helper = self.outbound()
                flows = [self.dial(guest, service) for service in BOTH]
                agent = self._keep(self.agent(helper))
                agent.signal(number)  # or it would put them back
                guest.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; "
                                      "echo 2 >/proc/sys/net/ipv6/conf/tap0/accept_ra")
                self.drop_rules(guest)
                strays = helper.info()["counters"]["tap"]["strays"]
                for connection in flows:
                    connection.settimeout(0)
                    for _ in range(SENDS):
                        try:
                            connection.sendall(b"x" * 1000)
                        except OSError as error:
                            self.assertIn(error.errno, (errno.EAGAIN, errno.ECONNRESET, errno.EPIPE))
                            break
                self.assert_bounded(helper)
                self.assertGreaterEqual(helper.info()["counters"]["tap"]["strays"], strays)
                self.wait_quiet(helper)
                # What works without us works.
                wait_until(lambda: self.general_or_relayed(guest), "the guest connects again", RECOVERY)
                if number == signal.SIGSTOP:
                    agent.signal(signal.SIGCONT)
                    wait_until(lambda: len(self.our_rules(guest)) == 2, "our rules are put back")
                    self.wait_relayed(guest, helper)
                for connection in flows:
                    connection.close()
                helper.stop()

    def drop_rules(self, guest):
        for family, table in self.our_rules(guest):
            guest.run("sh", "-c", f"ip {family} route flush table {table}; ip {family} rule flush; "
                                  f"ip {family} rule add pref 32766 lookup main; nft flush ruleset")

    def general_or_relayed(self, guest):
        try:
            for service in BOTH:
                with guest.connect(service, self.echo_ports_[service], timeout=10) as connection:
                    self.assert_tcp_echo(connection)
        except OSError:
            return False
        return True


class FullTable(AttackTestCase):
    """nf_conntrack takes no further connection: its limit belongs to the whole machine, so the guest's table is really filled."""

    def test_conntrack_table_full(self):
        need_feature("nf_conntrack")
        guest, helper = self.outbound()
        limit = int(guest.run("cat", "/proc/sys/net/netfilter/nf_conntrack_max").stdout)
        if limit > LARGEST_TABLE:
            not_tried(f"nf_conntrack_max is {limit}: too many entries to make")
        old = [self.dial(guest, service) for service in BOTH]
        self.fill(guest, limit)
        self.assertGreaterEqual(self.entries(guest), limit * 0.99)
        for service in BOTH * 5:
            try:
                guest.connect(service, self.echo_ports_[service], timeout=1).close()
            except OSError as error:
                self.assertIn(error.errno, (errno.EPERM, None), error)  # None: not answered
        self.assert_bounded(helper)
        self.wait_quiet(helper)
        guest.run("conntrack", "-F", timeout=TABLE)
        self.wait_relayed(guest, helper)
        for connection in old:
            self.echoes(connection, b"an established flow goes on")
        with self.traffic(guest):
            pass

    @staticmethod
    def entries(guest):
        return int(guest.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)

    def fill(self, guest, count):
        path = f"{USER_DIR}/entries"
        self.addCleanup(os.unlink, path)
        with open(path, "w", encoding="ascii") as file:
            for number in range(count):
                file.write(f"-A -s 192.0.2.{number >> 16} -d 198.18.{number >> 8 & 255}.{number & 255} -p tcp --sport 1000 --dport 80 "
                           "--timeout 600 --state ESTABLISHED -u ASSURED,SEEN_REPLY\n")
        guest.run("conntrack", "-R", path, check=False, timeout=TABLE)


if __name__ == "__main__":
    main()
