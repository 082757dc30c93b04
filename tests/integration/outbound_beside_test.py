# SPDX-License-Identifier: BSD-3-Clause
"""Guests that are hosts themselves: two helpers in one namespace, a helper inside a guest of a helper, containers on a bridge behind the
guest's own masquerade. All of their TCP goes by the kernel path."""

import signal

from tests.support.case import main
from tests.support.features import need_feature
from tests.support.forwards import GUEST4, GUEST6, INNER4, INNER6
from tests.support.guest import Guest
from tests.support.helper import wait_until
from tests.support.lab import HOST_WAN4, HOST_WAN6, SERVICE4, SERVICE6
from tests.support.outbound import BOTH, OWN, OutboundTestCase
from tests.support.servers import family_of
from tests.support.skip import need_tool

BYTES = 4 << 20
SECOND = {SERVICE4: ("10.0.3.100", "10.0.3.2", "10.0.3.0/24"), SERVICE6: ("fd01::100", "fd01::2", "fd01::/64")}
TOGETHER = 20
MASQUERADE = """
table inet own {
  chain post {
    type nat hook postrouting priority 100;
    oifname "tap0" masquerade
  }
}
"""
ONLY_ANSWERS = """
table inet fw {
  chain in {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    meta l4proto ipv6-icmp accept
  }
  chain through {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "br0" accept
  }
}
"""


class TwoHelpers(OutboundTestCase):
    def start(self):
        """(guest, the helper of tap0, the helper of tap1): routes by source, as whoever has two networks makes them."""
        guest, first = self.outbound()
        second = self.second(guest)
        for service, (own, gateway, _) in SECOND.items():
            family = "-6" if ":" in service else "-4"
            guest.run("ip", family, "rule", "add", "from", own, "lookup", "200")
            guest.run("ip", family, "route", "replace", "default", "via", gateway, "dev", "tap1", "table", "200")
            wait_until(lambda service=service: self.flow_of(second, self.by_second(guest, service)), f"{service} by tap1's kernel path")
        return guest, first, second

    def second(self, guest):
        """Configured by hand: default routes of its own would share the guest's connections out between the two."""
        cidr4, cidr6 = (SECOND[service][2] for service in BOTH)
        helper = self.helper("--no-configure", "--cidr", cidr4, "--cidr6", cidr6, guest=guest, tap="tap1", control=True)
        guest.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/tap1/accept_ra; ip link set tap1 up")
        for own, _, network in SECOND.values():
            guest.run("ip", "address", "add", f"{own}/{network.rpartition('/')[2]}", "dev", "tap1", *(["nodad"] if ":" in own else []))
        return helper

    def by_second(self, guest, service):
        connection = guest.socket(family_of(service))
        self.addCleanup(connection.close)
        connection.bind((SECOND[service][0], 0))
        connection.connect((service, self.echo_ports_[service]))
        return self.echoes(connection)

    def assert_each_has_its_own(self, guest, first, second):
        for service in BOTH:
            one, other = self.dial(guest, service), self.by_second(guest, service)
            self.assertEqual(self.assert_relayed(first, one)["guest_addr"], OWN[service])
            self.assertIsNone(self.flow_of(second, one))
            self.assertEqual(self.assert_relayed(second, other)["guest_addr"], SECOND[service][0])
            self.assertIsNone(self.flow_of(first, other))
            for connection in (one, other):
                self.echoes(connection, b"x" * 100_000)

    def test_each_has_its_own_flows_and_rules(self):
        guest, first, second = self.start()
        self.assertEqual(len(self.our_tables(guest)), 4)
        self.assertEqual(len(set(self.our_rules(guest))), 4)
        with self.traffic(guest):
            self.assert_each_has_its_own(guest, first, second)

    def test_the_end_of_one_is_not_the_others(self):
        guest, first, second = self.start()
        old = [self.dial(guest, service) for service in BOTH]
        with self.traffic(guest) as traffic:
            for how in (signal.SIGTERM, signal.SIGKILL):
                second.stop(how)
                traffic.wait_progress(f"after {how.name} of the other")
                wait_until(lambda: not guest.link("tap1"), "tap1 is gone")
                second = self.second(guest)
                self.assertIsNone(first.process.poll())
        for connection in old:
            self.echoes(connection)
            self.assert_relayed(first, connection)
        second.stop()
        wait_until(lambda: len(self.our_rules(guest)) == 2, "the rules of the first are left alone")
        self.assert_one_set(guest)

    def test_in_the_same_moment(self):
        guest = self.guest()
        helpers = [self.helper("--cidr", f"10.0.{number}.0/24", "--cidr6", f"fd0{number}::/64", guest=guest, tap=f"tap{number}", control=True,
                               wait=False) for number in (2, 3)]
        for helper in helpers:
            helper.wait_ready()
        for number, helper in zip((2, 3), helpers):
            guest.run("ip", "rule", "add", "from", f"10.0.{number}.100", "lookup", f"20{number}")
            guest.run("ip", "route", "replace", "default", "via", f"10.0.{number}.2", "dev", f"tap{number}", "table", f"20{number}")

            def relayed(helper=helper, number=number):
                connection = guest.socket()
                self.addCleanup(connection.close)
                connection.bind((f"10.0.{number}.100", 0))
                connection.connect((SERVICE4, self.echo_ports_[SERVICE4]))
                self.echoes(connection)
                return self.flow_of(helper, connection)

            wait_until(relayed, f"tap{number} by its kernel path")


class Nested(OutboundTestCase):
    """A helper inside a guest of a helper: both relay."""

    def test_both_show_relays(self):
        need_tool("nsenter", "util-linux")
        outer, outer_helper = self.outbound()
        into = ("nsenter", "-t", str(outer.pid), "-U", "-n", "--preserve-credentials")
        inner = self._keep(Guest(command=[*into, "unshare", "-Urn", "sh", "-c", "echo; exec sleep infinity"]))
        inner_helper = self.helper(guest=inner, control=True, wrapper=into)
        self.wait_relayed(inner, inner_helper)
        with self.traffic(inner), self.traffic(outer):
            for service in BOTH:
                connection = self.dial(inner, service)
                flow = self.assert_relayed(inner_helper, connection)
                self.assertEqual((flow["guest_addr"], flow["seen_addr"]), (OWN[service], service))
                # The inner helper's own connection is one of the outer guest's.
                outside = self.flow_between(outer_helper, flow["host_port"], (service, self.echo_ports_[service]))
                self.assertIsNotNone(outside, self.why(outer_helper))
                self.assertEqual((outside["path"], outside["guest_addr"]), ("relay", OWN[service]))
                self.echoes(connection, b"x" * 100_000)
        inner_helper.stop()
        self.wait_relayed(outer, outer_helper)


class Containers(OutboundTestCase):
    """On a bridge in the guest; the guest forwards and masquerades."""

    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.outbound()
        self.network_ = self.network_behind(self.guest_)
        self.guest_.run("nft", MASQUERADE)

    def from_container(self, service, port=None):
        return self.client(self.network_.netns, service, port or self.echo_ports_[service])

    def relayed_port(self, service):
        """The guest's port of the one connection to this service that is there."""
        flows = [flow for flow in self.outbound_flows(self.helper_) if flow["seen_addr"] == service]
        return flows[0] if len(flows) == 1 else None

    def test_one(self):
        for service, inner, own, host in ((SERVICE4, INNER4, GUEST4, HOST_WAN4), (SERVICE6, INNER6, GUEST6, HOST_WAN6)):
            with self.subTest(service=service):
                listener = self.listener(self.lab.internet, service)
                connection = self.from_container(service, listener.getsockname()[1])
                far, peer = self.accepted(listener)
                self.assertEqual(peer[0], host)
                self.assertEqual((connection.getsockname()[0], connection.getpeername()[0]), (inner, service))
                for one, other in ((connection, far), (far, connection)):
                    one.sendall(b"some bytes")
                    self.assertEqual(other.recv(64), b"some bytes")
                flow = self.relayed_port(service)
                self.assertIsNotNone(flow, self.why(self.helper_))
                self.assertEqual((flow["path"], flow["guest_addr"]), ("relay", own))
                connection.shutdown(1)
                self.assertEqual(far.recv(1), b"")
                far.sendall(b"after the end")
                far.close()
                self.assertEqual(connection.recv(64), b"after the end")
                self.assertEqual(connection.recv(64), b"")

    def test_beside_the_guests_own(self):
        """Many at once, of both, with traffic; the guest's firewall lets nothing in but answers."""
        self.guest_.run("nft", ONLY_ANSWERS)
        with self.traffic(self.guest_) as traffic:
            connections = [self.from_container(service) for _ in range(TOGETHER) for service in BOTH]
            own = [self.dial(self.guest_, service) for _ in range(TOGETHER) for service in BOTH]
            for connection in connections + own:
                self.echoes(connection, b"x" * 10_000)
            for connection in own:
                self.assert_relayed(self.helper_, connection)
            general = self.ask(self.helper_, "stats")["flows"]["now"]["libslirp"]
            self.assertEqual(general, 0, self.why(self.helper_))
            traffic.wait_progress("beside a container's")
            for connection in connections:
                self.echoes(connection)

    def test_refused_and_unreachable(self):
        for service in BOTH:
            with self.assertRaises(ConnectionRefusedError):
                self.from_container(service, 9)

    def test_lives_through_flushes(self):
        need_feature("nf_conntrack")
        connections = [self.from_container(service) for service in BOTH]
        for connection in connections:
            self.echoes(connection)
        self.guest_.run("nft", "delete table inet own")
        self.guest_.run("nft", MASQUERADE)
        for connection in connections:
            self.echoes(connection, b"the guest's own tables were loaded anew")


if __name__ == "__main__":
    main()
