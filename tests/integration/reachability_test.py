# SPDX-License-Identifier: BSD-3-Clause
"""The host's loopback is out of reach without --allow-host-loopback, however its address is spelled; so is link-local.

A listener on every address of the host must not see a byte of what a guest sends to these, by sockets or by raw frames.
"""

import contextlib

from tests.support import frames
from tests.support.case import main
from tests.support.ends import name_of
from tests.support.lab import HOST_WAN4, HOST_WAN6, METADATA, SERVICE4, SERVICE6
from tests.support.outbound import OutboundTestCase

PORT = 7777
UNUSED = 9  # nobody listens there
GUEST4, GUEST6 = "10.0.2.100", "fd00::100"

# What a guest's own kernel lets a program dial.
DIALLED = ("10.0.2.2", "10.0.2.3", "10.0.2.55", "fd00::2", "fd00::3", "fd00::1234")
# What only a raw socket can send.
SPELLINGS4 = DIALLED[:3] + ("10.0.2.0", "10.0.2.255", "255.255.255.255", "0.0.0.0", "0.0.0.1", "0.1.2.3", "127.0.0.1", "127.0.0.2",
                            "127.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1")
SPELLINGS6 = DIALLED[3:] + ("fd00::", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.2.2", "::ffff:0.0.0.0", "::127.0.0.1",
                            "::10.0.2.2", "::ffff:0:127.0.0.1", "ff01::1", "ff02::1", "ff05::1", "ff0e::1", "fe80::2",
                            "fe80::1")


def outcome(guest, address, port):
    """Of a connect: whose greeting comes, or the error's name."""
    try:
        with guest.connect(address, port, timeout=5) as connection:
            connection.sendall(b"hello")
            return connection.recv(5)
    except OSError as error:
        return name_of(error)


class HostLoopback(OutboundTestCase):
    """Each on the kernel path and on the general one: there is one policy for both."""

    def test_refused_at_once_for_programs(self):
        tripwire = self.tripwire(self.lab.host, PORT)

        def observe(guest, _):
            seen = {}
            for address in DIALLED:
                seen[address] = outcome(guest, address, PORT)
                with guest.udp(address, PORT) as flow:
                    flow.send(b"a datagram")
            self.barrier(guest)
            self.assertEqual(tripwire.tripped(), [])
            return seen

        seen = self.on_both_paths(observe)
        self.assertNotIn("TimeoutError", seen.values(), "no answer at all")
        self.assertNotIn(b"hello", seen.values())

    def barrier(self, guest):
        with contextlib.closing(frames.Wire(guest)) as wire:
            wire.barrier()

    def test_raw_frames_do_not_reach_it(self):
        self._raw_frames()

    def test_nor_by_way_of_dns_or_without_it(self):
        self._raw_frames("--no-dns")

    def _raw_frames(self, *options):
        tripwire = self.tripwire(self.lab.host, PORT)

        def observe(guest, _):
            wire = self._keep(frames.Wire(guest))
            for number, address in enumerate(SPELLINGS4 + SPELLINGS6):
                source = GUEST6 if ":" in address else GUEST4
                for to in (None, b"\xff" * 6):
                    wire.send(frames.ip(source, address, frames.TCP, frames.tcp(source, address, 30000 + number, PORT)), destination=to)
                    wire.send(frames.ip(source, address, frames.UDP, frames.udp(source, address, 30000 + number, PORT, b"secret")),
                              destination=to)
                # A source that is the host's own, or nobody's, must not help.
                for other in (("::1", "fd00::2", "::") if ":" in address else ("127.0.0.1", "10.0.2.2", "0.0.0.0")):
                    wire.send(frames.ip(other, address, frames.TCP, frames.tcp(other, address, 30000 + number, PORT)))
                    wire.send(frames.ip(other, address, frames.UDP, frames.udp(other, address, 30000 + number, PORT, b"secret")))
            wire.barrier()
            self.assertEqual(tripwire.tripped(), [])

        self.on_both_paths(observe, *options)

    def test_fragments_do_not_reach_it(self):
        """The ports are in the first fragment only: the verdict must hold for the whole."""
        tripwire = self.tripwire(self.lab.host, PORT)

        def observe(guest, _):
            wire = self._keep(frames.Wire(guest))
            for number, address in enumerate(SPELLINGS4):
                whole = frames.udp(GUEST4, address, 31000, PORT, b"s" * 2000)
                for first in (True, False):
                    pieces = ((0, whole[:1480], True), (1480, whole[1480:], False))
                    for at, piece, more in (pieces if first else pieces[::-1]):
                        wire.send(frames.ipv4(GUEST4, address, frames.UDP, piece, identification=number * 2 + first + 1, fragment=at,
                                              more=more))
            wire.barrier()
            self.assertEqual(tripwire.tripped(), [])

        self.on_both_paths(observe)

    def test_the_host_by_its_own_address_is_reached(self):
        servers = {address: self.tcp_server(self.lab.host, address) for address in (HOST_WAN4, HOST_WAN6)}

        def observe(guest, _):
            seen = [outcome(guest, address, server.port) for address, server in servers.items()]
            seen += [outcome(guest, address, UNUSED) for address in servers]
            for address, server in servers.items():
                seen.append(server.peers[-1])
                self.assertEqual(server.peers[-1], address, "the host's own")
            return seen

        self.assertEqual(self.on_both_paths(observe)[:4], [b"hello"] * 2 + ["ECONNREFUSED"] * 2)

    def test_allowed_is_the_gateway_only(self):
        """With --allow-host-loopback the loopback's own spellings stay refused to frames."""
        tripwire = self.tripwire(self.lab.host, PORT)

        def observe(guest, _):
            wire = self._keep(frames.Wire(guest))
            for number, address in enumerate(("127.0.0.1", "0.0.0.0", "127.1.2.3", "::1", "::", "::ffff:127.0.0.1")):
                source = GUEST6 if ":" in address else GUEST4
                wire.send(frames.ip(source, address, frames.TCP, frames.tcp(source, address, 32000 + number, PORT)))
                wire.send(frames.ip(source, address, frames.UDP, frames.udp(source, address, 32000 + number, PORT, b"secret")))
            wire.barrier()
            self.assertEqual(tripwire.tripped(), [])
            with guest.udp("10.0.2.2", PORT) as flow:
                flow.send(b"hello")
                wire.barrier()
            self.assertEqual([hit[2] for hit in tripwire.tripped()], [b"hello"])

        self.on_both_paths(observe, "--allow-host-loopback")

    def test_the_gateway_leads_to_loopback_if_allowed(self):
        servers = {gateway: self.tcp_server(self.lab.host, loopback) for gateway, loopback in (("10.0.2.2", "127.0.0.1"), ("fd00::2", "::1"))}
        dns = self.tcp_server(self.lab.host, "127.0.0.1", port=servers["10.0.2.2"].port + 1)

        def observe(guest, _):
            seen = {}
            for gateway, server in servers.items():
                for address in (gateway, *DIALLED):
                    if (":" in address) == (":" in gateway):
                        seen[address] = outcome(guest, address, server.port)
                seen[gateway, "peer"] = server.peers[-1]
                seen[gateway, "refused"] = outcome(guest, gateway, UNUSED)
                with guest.connect(gateway, server.port) as connection:
                    seen[gateway, "name"] = connection.getpeername()[:2]
            seen["dns"] = outcome(guest, "10.0.2.3", dns.port)
            return seen

        seen = self.on_both_paths(observe, "--allow-host-loopback")
        for gateway, loopback in (("10.0.2.2", "127.0.0.1"), ("fd00::2", "::1")):
            self.assertEqual((seen[gateway], seen[gateway, "peer"], seen[gateway, "refused"], seen[gateway, "name"]),
                             (b"hello", loopback, "ECONNREFUSED", (gateway, servers[gateway].port)))
        for address in set(DIALLED) - {"10.0.2.2", "fd00::2"}:
            self.assertNotEqual(seen[address], b"hello", address)

    def test_listeners_on_loopback_ports_of_the_dns_address(self):
        """Port 53 of the DNS address is the forwarder; no other port leads to a resolver's host."""
        tripwire = self.tripwire(self.lab.host, 853)

        def observe(guest, _):
            seen = []
            for address in ("10.0.2.3", "fd00::3"):
                seen.append(outcome(guest, address, 853))
                with guest.udp(address, 853) as flow:
                    flow.send(b"x")
            self.barrier(guest)
            self.assertEqual(tripwire.tripped(), [])
            return seen

        self.assertNotIn(b"hello", self.on_both_paths(observe, "--dns", "127.0.0.1"))


class LinkLocal(OutboundTestCase):
    def test_metadata_service_is_refused(self):
        server = self.tcp_server(self.lab.internet, METADATA, port=80)
        seen = self.on_both_paths(lambda guest, _: outcome(guest, METADATA, 80))
        self.assertNotIn(seen, ("TimeoutError", b"hello"))
        self.assertEqual(server.peers, [])

    def test_allowed_by_option(self):
        server = self.tcp_server(self.lab.internet, METADATA, port=80)
        seen = self.on_both_paths(lambda guest, _: (outcome(guest, METADATA, 80), server.peers[-1]), "--allow-link-local")
        self.assertEqual(seen, (b"hello", HOST_WAN4))


class WithoutIpv6(OutboundTestCase):
    def test_no_ipv6_flow_leaves(self):
        server = self.tcp_server(self.lab.internet, SERVICE6)

        def observe(guest, _):
            guest.run("ip", "-6", "address", "add", f"{GUEST6}/64", "dev", "tap0", "nodad", check=False)
            guest.run("ip", "-6", "route", "add", "default", "dev", "tap0", check=False)
            return outcome(guest, SERVICE6, server.port)

        self.assertNotEqual(self.on_both_paths(observe, "--no-ipv6", services=(SERVICE4,)), b"hello")
        self.assertEqual(server.peers, [])


if __name__ == "__main__":
    main()
