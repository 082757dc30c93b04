# SPDX-License-Identifier: BSD-3-Clause
"""Whom the guest sees at the other end of a forward: a client of the LAN with its own address and port, one on the host's loopback as the
gateway. For services wherever they may be bound, and behind the guest."""

import contextlib
import socket

from tests.support import kernel
from tests.support.case import main
from tests.support.forwards import (BRIDGE4, GATEWAY4, GATEWAY6, GUEST4, GUEST6, INNER4, INNER6, ForwardsTestCase, next_port)
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6, LAN4, LAN6

# family: where the host listens, where a LAN client dials, who it is, the guest's address, its loopback, any, the gateway
V4 = ("0.0.0.0", HOST_LAN4, LAN4, GUEST4, "127.0.0.1", "0.0.0.0", GATEWAY4)
V6 = ("[::]", HOST_LAN6, LAN6, GUEST6, "::1", "::", GATEWAY6)
EPHEMERAL = 40_000   # lies in the guest's own ip_local_port_range
ORDINARY = 20_100    # outside of it
PRIVILEGED = 900     # below 1024


def bracketed(address):
    return f"[{address}]" if ":" in address else address


class AddressTestCase(ForwardsTestCase):
    def assert_seen(self, listener, client, seen_address, seen_port=None):
        """Accepted from this peer, and bytes go both ways."""
        service, peer = self.accepted(listener)
        self.assertEqual(peer[0], seen_address)
        if seen_port is not None:
            self.assertEqual(peer[1], seen_port)
        for one, other in ((client, service), (service, client)):
            one.sendall(b"some bytes")
            self.assertEqual(other.recv(64), b"some bytes")


class OwnAddress(AddressTestCase):
    def setUp(self):
        super().setUp()
        # No other client of the LAN happens to get the ports that clients here ask for.
        with kernel.in_netns(self.lab.lan), open("/proc/sys/net/ipv4/ip_local_reserved_ports", "w", encoding="ascii") as file:
            file.write(f"{EPHEMERAL}-{EPHEMERAL + 1}")

    def from_lan_to(self, family, service_address, guest_part="", options=()):
        host, dialled, lan = family[:3]
        port = next_port()
        guest, helper = self.forwarding(f"{host}:{port}:{guest_part}80", options=options)
        listener = self.listener(guest.netns_fd(), service_address, 80)
        client = self.from_lan(port, dialled)
        self.assert_seen(listener, client, lan, client.getsockname()[1])
        helper.stop()

    def test_service_on_every_address(self):
        for family in (V4, V6):
            with self.subTest(host=family[0]):
                self.from_lan_to(family, family[5])

    def test_service_on_the_guests_address(self):
        for family in (V4, V6):
            with self.subTest(host=family[0]):
                self.from_lan_to(family, family[3])

    def test_service_on_the_guests_loopback_by_the_rule(self):
        for family in (V4, V6):
            with self.subTest(host=family[0]):
                self.from_lan_to(family, family[4], f"{bracketed(family[4])}:")

    def test_service_on_the_guests_loopback_by_the_option(self):
        for family in (V4, V6):
            with self.subTest(host=family[0]):
                self.from_lan_to(family, family[4], options=("--forward-to-loopback",))

    def test_loopback_is_not_reached_unasked(self):
        port = next_port()
        guest, _ = self.forwarding(f"0.0.0.0:{port}:80")
        self.listener(guest.netns_fd(), "127.0.0.1", 80)
        with self.assertRaises(ConnectionResetError):
            self.from_lan(port).recv(1)

    def test_every_client_port(self):
        """Also one that the guest's own programs may get, and one that only its root may bind."""
        port = next_port()
        guest, _ = self.forwarding(f"0.0.0.0:{port}:80", f"[::]:{port}:80")
        # Ports of their own: one that the guest has bound by its number is closed to others for a while, in both families.
        for (host, dialled, lan, guest_address, *_), ephemeral in ((V4, EPHEMERAL), (V6, EPHEMERAL + 1)):
            listener = self.listener(guest.netns_fd(), guest_address, 80)
            for own in (ephemeral, ORDINARY, PRIVILEGED):
                with self.subTest(host=host, port=own):
                    client = self.client(self.lab.lan, dialled, port, source=(lan, own))
                    self.assert_seen(listener, client, lan, own)
            self.echo_of_guest_port(guest, ephemeral)

    def echo_of_guest_port(self, guest, port):
        """A program of the guest can have that port itself while a client uses the number."""
        with contextlib.closing(guest.socket()) as own:
            own.bind(("127.0.0.1", port))
            own.connect(self.listener(guest.netns_fd(), "127.0.0.1").getsockname())

    def test_one_client_port_to_two_host_ports_of_one_service(self):
        """In the guest both would be the same pair of ends: the second one keeps the address at least."""
        ports = next_port(), next_port()
        guest, _ = self.forwarding(*(f"0.0.0.0:{port}:80" for port in ports))
        listener = self.listener(guest.netns_fd(), GUEST4, 80)
        for port in ports:
            self.assert_seen(listener, self.client(self.lab.lan, HOST_LAN4, port, source=(LAN4, EPHEMERAL)), LAN4)

    def test_wildcard_dual_stack_by_one_listener(self):
        port = next_port()
        guest, helper = self.forwarding(f"[::]:{port}:80")
        (rule,) = self.rules(helper).values()
        self.assertEqual(len(rule["listeners"]), 1)
        for family in (V4, V6):
            listener = self.listener(guest.netns_fd(), family[3], 80)
            self.assert_seen(listener, self.from_lan(port, family[1]), family[2])

    def test_between_families(self):
        """The source is the gateway then."""
        for host, dialled, guest_address, gateway in (("[::]", HOST_LAN6, GUEST4, GATEWAY4), ("0.0.0.0", HOST_LAN4, GUEST6, GATEWAY6)):
            with self.subTest(host=host):
                port = next_port()
                guest, helper = self.forwarding(f"{host}:{port}:{bracketed(guest_address)}:80")
                listener = self.listener(guest.netns_fd(), guest_address, 80)
                self.assert_seen(listener, self.from_lan(port, dialled), gateway)
                helper.stop()


class BehindTheGuest(AddressTestCase):
    def test_by_the_rules_address(self):
        for family, inner in ((V4, INNER4), (V6, INNER6)):
            with self.subTest(inner=inner):
                port = next_port()
                guest, helper = self.forwarding(f"{family[0]}:{port}:{bracketed(inner)}:80")
                network = self.network_behind(guest)
                listener = self.listener(network.netns, inner, 80)
                client = self.from_lan(port, family[1])
                self.assert_seen(listener, client, family[2], client.getsockname()[1])
                self.assert_seen(listener, self.from_localhost(port, family[4]), family[6])
                helper.stop()

    def test_by_the_guests_own_dnat(self):
        """As dockerd under RootlessKit publishes a port of a container."""
        for family, inner, table in ((V4, INNER4, "ip"), (V6, INNER6, "ip6")):
            with self.subTest(inner=inner):
                port = next_port()
                guest, helper = self.forwarding(f"{family[0]}:{port}:8000")
                network = self.network_behind(guest)
                guest.run("nft", f"add table {table} own; "
                                 f"add chain {table} own pre {{ type nat hook prerouting priority -100; }}; "
                                 f"add chain {table} own out {{ type nat hook output priority -100; }}; "
                                 f"add chain {table} own post {{ type nat hook postrouting priority 100; }}; "
                                 f"add rule {table} own pre tcp dport 8000 dnat to {bracketed(inner)}:80; "
                                 f"add rule {table} own out tcp dport 8000 dnat to {bracketed(inner)}:80; "
                                 f"add rule {table} own post oifname tap0 masquerade")
                listener = self.listener(network.netns, inner, 80)
                client = self.from_lan(port, family[1])
                self.assert_seen(listener, client, family[2], client.getsockname()[1])
                helper.stop()

    def test_udp(self):
        for family, inner in ((V4, INNER4), (V6, INNER6)):
            with self.subTest(inner=inner):
                port = next_port()
                guest, helper = self.forwarding(f"{family[0]}:{port}:{bracketed(inner)}:53/udp")
                server = self.udp_server(self.network_behind(guest).netns, inner, 53)
                self.assert_udp_echo(self.from_lan(port, family[1], socket.SOCK_DGRAM))
                self.assertEqual(server.peers[-1], family[2])
                helper.stop()

    def test_the_bridges_own_address(self):
        port = next_port()
        guest, _ = self.forwarding(f"0.0.0.0:{port}:{BRIDGE4}:80")
        self.network_behind(guest)
        self.assert_seen(self.listener(guest.netns_fd(), BRIDGE4, 80), self.from_lan(port), LAN4)


class Localhost(AddressTestCase):
    """Host loopback is denied to the guest unless it is allowed; who comes from there is answered all the same."""

    def test_tcp_and_udp_as_the_gateway(self):
        for family in (V4, V6):
            for service in (family[3], family[4], family[5]):
                with self.subTest(service=service):
                    port = next_port()
                    goal = f"{bracketed(service)}:" if service == family[4] else ""
                    guest, helper = self.forwarding(f"{family[0]}:{port}:{goal}80", f"{family[0]}:{port}:{goal}80/udp")
                    listener = self.listener(guest.netns_fd(), service, 80)
                    self.assert_seen(listener, self.from_localhost(port, family[4]), family[6])
                    udp = self.udp_server(guest.netns_fd(), service, 80)
                    self.assert_udp_echo(self.from_localhost(port, family[4], socket.SOCK_DGRAM))
                    self.assertEqual(udp.peers[-1], family[6])
                    helper.stop()

    def test_a_client_with_the_guests_own_address(self):
        """A host's address that is the guest's too means the guest itself in there."""
        port = next_port()
        guest, helper = self.forwarding(f"0.0.0.0:{port}:80")
        guest.run("ip", "addr", "add", f"{LAN4}/32", "dev", "tap0")
        wait_until(lambda: f"{LAN4}/32" in self.ask(helper, "info")["tap_addresses"], "the helper has heard of the address")
        self.assert_seen(self.listener(guest.netns_fd(), GUEST4, 80), self.from_lan(port), GATEWAY4)


if __name__ == "__main__":
    main()
