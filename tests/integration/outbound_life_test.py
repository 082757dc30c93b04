# SPDX-License-Identifier: BSD-3-Clause
"""The guest's own connections over time: what its root does to the tables that the kernel path needs, a helper that is killed and started again,
an agent that is killed, addresses and routes that change. With traffic before, during and after."""

import contextlib
import errno
import signal

from tests.support.case import main
from tests.support.features import need_feature
from tests.support.forwards import GUEST4
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4, SERVICE6
from tests.support.outbound import BOTH, OutboundTestCase
from tests.support.servers import family_of

FLUSHES = 10
RESTARTS = 50
ADDED = {SERVICE4: ("10.0.2.200", 24), SERVICE6: ("fd00::200", 64)}


class Tables(OutboundTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.outbound()

    def established(self):
        """One relayed connection of each family."""
        return [self.dial(self.guest_, service) for service in BOTH]

    def assert_as_before(self, established):
        """Old flows go on, on the kernel path; new ones take it too."""
        for connection in established:
            self.echoes(connection, b"an established flow goes on")
            self.assert_relayed(self.helper_, connection)
        self.wait_relayed(self.guest_, self.helper_)
        self.assert_one_set(self.guest_)

    def test_nft_flush_ruleset(self):
        established = self.established()
        self.guest_.run("nft", "add table inet own; add chain inet own in { type filter hook input priority 0; }")
        with self.traffic(self.guest_) as traffic:
            for number in range(FLUSHES):
                self.guest_.run("nft", "flush", "ruleset")
                traffic.wait_progress(f"after flush {number}")
        self.assertEqual({family for family, _ in self.our_tables(self.guest_)}, {"ip", "ip6"}, "an owned table is not flushed")
        self.assert_as_before(established)

    def test_our_table_cannot_be_deleted(self):
        established = self.established()
        before = self.guest_.run("nft", "-s", "list", "ruleset").stdout
        with self.traffic(self.guest_) as traffic:
            for family, name in self.our_tables(self.guest_):
                for words in ("delete table", "flush table"):
                    done = self.guest_.run("nft", *words.split(), family, name, check=False)
                    self.assertNotEqual(done.returncode, 0, f"{words}: {done.stdout}")
                for chain in ("out", "pre"):
                    done = self.guest_.run("nft", "flush", "chain", family, name, chain, check=False)
                    self.assertNotEqual(done.returncode, 0, f"flush chain {chain}")
            traffic.wait_progress("after the attempts")
        self.assertEqual(self.guest_.run("nft", "-s", "list", "ruleset").stdout, before)
        self.assert_as_before(established)

    def test_conntrack_flush(self):
        need_feature("nf_conntrack")
        established = self.established()
        with self.traffic(self.guest_) as traffic:
            for number in range(FLUSHES):
                self.guest_.run("conntrack", "-F")
                traffic.wait_progress(f"after flush {number}")
        self.assert_as_before(established)

    def test_ip_rule_flush(self):
        """All rules go but the first. The guest's own come back by its own hand, ours by the agent's."""
        established = self.established()
        with self.traffic(self.guest_) as traffic:
            for number in range(FLUSHES):
                for family in ("-4", "-6"):
                    with traffic.tolerating(errno.ENETUNREACH, errno.EHOSTUNREACH):
                        self.guest_.run("sh", "-c", f"ip {family} rule flush; ip {family} rule add pref 32766 lookup main; "
                                                    f"ip {family} rule add pref 32767 lookup default")
                        traffic.wait_progress(f"after {family} flush {number}")
        wait_until(lambda: len(self.our_rules(self.guest_)) == 2, "our rules are put back")
        self.assert_as_before(established)

    def test_flush_of_our_routes(self):
        established = self.established()
        with self.traffic(self.guest_) as traffic:
            for number in range(FLUSHES):
                for family, table in self.our_rules(self.guest_):
                    self.guest_.run("ip", family, "route", "flush", "table", str(table))
                    traffic.wait_progress(f"after {family} flush {number}")
        self.assert_as_before(established)

    def test_all_of_them_again_and_again(self):
        need_feature("nf_conntrack")
        established = self.established()
        with self.traffic(self.guest_) as traffic, traffic.tolerating(errno.ENETUNREACH, errno.EHOSTUNREACH):
            for number in range(FLUSHES):
                for family, table in self.our_rules(self.guest_):
                    self.guest_.run("sh", "-c", f"ip {family} route flush table {table}; conntrack -F; nft flush ruleset; "
                                                f"ip {family} rule flush; ip {family} rule add pref 32766 lookup main; "
                                                f"ip {family} rule add pref 32767 lookup default")
                traffic.wait_progress(f"after flush {number}")
        self.assert_as_before(established)


class Restart(OutboundTestCase):
    def test_killed_and_started_again_and_again(self):
        """Each one finds and replaces what the one before has left."""
        guest = self.guest()
        for _ in range(RESTARTS):
            helper = self.helper(guest=guest, control=True)
            for service in BOTH:
                self.wait_relayed(guest, helper, service)
            self.assert_one_set(guest)
            helper.stop(signal.SIGKILL)
            wait_until(lambda: not guest.link(), "the TAP of the killed one is gone")
        helper = self.helper(guest=guest, control=True)
        self.wait_relayed(guest, helper)
        self.assert_one_set(guest)
        with self.traffic(guest):
            pass
        helper.stop()
        self.assert_none_left(guest)


class AgentKilled(OutboundTestCase):
    def test_old_flows_live_and_new_ones_take_the_general_path(self):
        need_feature("nf_conntrack")
        guest, helper = self.outbound()
        old = [self.dial(guest, service) for service in BOTH]
        with self.traffic(guest) as traffic:
            with self.path_events(helper) as next_path:
                self.signal_agent(helper, signal.SIGKILL)
                event = next_path()
            self.assertEqual(event["path"], "libslirp")
            self.assertTrue(event["reason"])
            traffic.wait_progress("after the kill")
            info = helper.info()
            self.assertIsNone(info["agent_pid"])
            self.assertEqual((info["kernel_path"]["ipv4"], info["kernel_path"]["ipv6"]), (False, False))
            self.assertTrue(info["kernel_path"]["reason"])
            for service in BOTH:
                self.assert_general(helper, self.dial(guest, service))
            # The helper holds the tables' owner, too; a stray segment heals without the agent.
            self.guest_loses_state(guest)
            traffic.wait_progress("after a flush")
            for connection in old:
                self.echoes(connection, b"an established flow lives on")
                before = self.assert_relayed(helper, connection)["bytes_to_host"]
                self.echoes(connection, b"on the kernel path")
                self.assertGreater(self.assert_relayed(helper, connection)["bytes_to_host"], before)

    @staticmethod
    def guest_loses_state(guest):
        guest.run("nft", "flush", "ruleset")
        guest.run("conntrack", "-F")


class Follows(OutboundTestCase):
    """Who configures the guest, and when, is the guest's affair."""

    def from_address(self, guest, service, address):
        connection = guest.socket(family_of(service))
        self.addCleanup(connection.close)
        connection.bind((address, 0))
        connection.connect((service, self.echo_ports_[service]))
        return self.echoes(connection)

    def test_an_address_that_comes_later(self):
        guest, helper = self.outbound()
        with self.traffic(guest):
            for service, (address, length) in ADDED.items():
                guest.run("ip", "address", "add", f"{address}/{length}", "dev", "tap0", *(["nodad"] if ":" in address else []))
                connection = self.from_address(guest, service, address)
                wait_until(lambda service=service, address=address: self.flow_of(helper, self.from_address(guest, service, address)),
                           f"a flow of {address} by the kernel path")
                self.echoes(connection, b"the first one goes on, whichever way")
                self.assertEqual(self.assert_relayed(helper, self.from_address(guest, service, address))["guest_addr"], address)

    def test_an_address_that_goes(self):
        guest, helper = self.outbound()
        for service, (address, length) in ADDED.items():
            guest.run("ip", "address", "add", f"{address}/{length}", "dev", "tap0", *(["nodad"] if ":" in address else []))
            own = self.from_address(guest, service, address)
            guest.run("ip", "address", "del", f"{address}/{length}", "dev", "tap0")
            own.close()
        self.wait_relayed(guest, helper)

    def test_the_default_route_goes_and_comes(self):
        guest, helper = self.outbound()
        with self.traffic(guest) as traffic, traffic.tolerating(errno.ENETUNREACH, errno.EHOSTUNREACH):
            guest.run("sh", "-c", "ip route del default; ip route add default via 10.0.2.2 dev tap0")
            guest.run("sh", "-c", "r=$(ip -6 route show default | head -1); ip -6 route del $r; ip -6 route add $r")
        self.wait_relayed(guest, helper)

    def test_the_interface_goes_down_and_up(self):
        guest, helper = self.outbound()
        addresses = guest.addresses()
        guest.run("ip", "link", "set", "tap0", "down")
        guest.run("ip", "link", "set", "tap0", "up")
        for address, length in addresses:
            guest.run("ip", "address", "replace", f"{address}/{length}", "dev", "tap0", *(["nodad"] if ":" in address else []))
        guest.run("ip", "route", "replace", "default", "via", "10.0.2.2", "dev", "tap0")
        self.wait_relayed(guest, helper, SERVICE4)

    def test_configured_by_the_guest_after_ready(self):
        """As RootlessKit does. Until then there is nothing to carry."""
        guest = self.guest()
        helper = self.helper("--no-configure", guest=guest, control=True)
        for words in ("link set lo up", "link set tap0 up", "address add 10.0.2.100/24 dev tap0", "route add default via 10.0.2.2"):
            guest.run("ip", *words.split())
        self.wait_relayed(guest, helper, SERVICE4)
        guest.run("ip", "address", "add", "fd00::100/64", "dev", "tap0", "nodad")
        with contextlib.suppress(AssertionError):  # an advertisement of the router may have been faster
            guest.run("ip", "-6", "route", "add", "default", "via", "fd00::2", "dev", "tap0")
        self.wait_relayed(guest, helper, SERVICE6)
        flow = self.assert_relayed(helper, self.dial(guest, SERVICE4))
        self.assertEqual((flow["guest_addr"], flow["seen_addr"], flow["peer_addr"]), (GUEST4, SERVICE4, SERVICE4))


if __name__ == "__main__":
    main()
