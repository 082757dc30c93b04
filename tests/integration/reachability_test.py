# SPDX-License-Identifier: BSD-3-Clause
"""The host's loopback is out of reach without --allow-host-loopback, however its address is spelled; so is link-local.

A listener on every address of the host must not see a byte of what a guest sends to these, by sockets or by raw frames.
"""

from tests.support import frames
from tests.support.case import LabTestCase, main
from tests.support.lab import HOST_WAN4, METADATA

PORT = 7777
GUEST4, GUEST6 = "10.0.2.100", "fd00::100"

# What a guest's own kernel lets a program dial.
DIALLED = ("10.0.2.2", "10.0.2.3", "10.0.2.55", "fd00::2", "fd00::3", "fd00::1234")
# What only a raw socket can send.
SPELLINGS4 = DIALLED[:3] + ("10.0.2.0", "10.0.2.255", "255.255.255.255", "0.0.0.0", "0.0.0.1", "0.1.2.3", "127.0.0.1", "127.0.0.2",
                            "127.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1")
SPELLINGS6 = DIALLED[3:] + ("fd00::", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.2.2", "::ffff:0.0.0.0", "::127.0.0.1",
                            "::10.0.2.2", "::ffff:0:127.0.0.1", "ff01::1", "ff02::1", "ff05::1", "ff0e::1", "fe80::2",
                            "fe80::1")


class HostLoopback(LabTestCase):
    def test_refused_at_once_for_programs(self):
        tripwire = self.tripwire(self.lab.host, PORT)
        guest, _ = self.pair()
        for address in DIALLED:
            with self.subTest(address=address):
                with self.assertRaises(OSError) as caught:
                    guest.connect(address, PORT, timeout=5).close()
                self.assertNotIsInstance(caught.exception, TimeoutError, "no answer at all")
                with guest.udp(address, PORT) as flow:
                    flow.send(b"a datagram")
        wire = self._keep(frames.Wire(guest))
        wire.barrier()
        self.assertEqual(tripwire.tripped(), [])

    def test_raw_frames_do_not_reach_it(self):
        self._raw_frames()

    def test_nor_by_way_of_dns_or_without_it(self):
        self._raw_frames("--no-dns")

    def _raw_frames(self, *options):
        tripwire = self.tripwire(self.lab.host, PORT)
        guest, _ = self.pair(*options)
        wire = self._keep(frames.Wire(guest))
        for number, address in enumerate(SPELLINGS4 + SPELLINGS6):
            source = GUEST6 if ":" in address else GUEST4
            for to in (None, b"\xff" * 6):
                wire.send(frames.ip(source, address, frames.TCP, frames.tcp(source, address, 30000 + number, PORT)), destination=to)
                wire.send(frames.ip(source, address, frames.UDP, frames.udp(source, address, 30000 + number, PORT, b"secret")),
                          destination=to)
            # A source that is the host's own, or nobody's, must not help.
            for other in (("::1", "fd00::2", "::") if ":" in address else ("127.0.0.1", "10.0.2.2", "0.0.0.0")):
                wire.send(frames.ip(other, address, frames.UDP, frames.udp(other, address, 30000 + number, PORT, b"secret")))
        wire.barrier()
        self.assertEqual(tripwire.tripped(), [])

    def test_fragments_do_not_reach_it(self):
        """The ports are in the first fragment only: the verdict must hold for the whole."""
        tripwire = self.tripwire(self.lab.host, PORT)
        guest, _ = self.pair()
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

    def test_the_host_by_its_own_address_is_reached(self):
        guest, _ = self.pair()
        server = self.tcp_server(self.lab.host, HOST_WAN4)
        with guest.connect(HOST_WAN4, server.port) as connection:
            self.assert_tcp_echo(connection)

    def test_allowed_is_the_gateway_only(self):
        """With --allow-host-loopback the loopback's own spellings stay refused to frames."""
        guest, _ = self.pair("--allow-host-loopback")
        tripwire = self.tripwire(self.lab.host, PORT)
        wire = self._keep(frames.Wire(guest))
        for number, address in enumerate(("127.0.0.1", "0.0.0.0", "127.1.2.3", "::1", "::", "::ffff:127.0.0.1")):
            source = GUEST6 if ":" in address else GUEST4
            wire.send(frames.ip(source, address, frames.UDP, frames.udp(source, address, 32000 + number, PORT, b"secret")))
        wire.barrier()
        self.assertEqual(tripwire.tripped(), [])
        with guest.udp("10.0.2.2", PORT) as flow:
            flow.send(b"hello")
            wire.barrier()
        self.assertEqual([hit[2] for hit in tripwire.tripped()], [b"hello"])

    def test_listeners_on_loopback_ports_of_the_dns_address(self):
        """Port 53 of the DNS address is the forwarder; no other port leads to a resolver's host."""
        tripwire = self.tripwire(self.lab.host, 853)
        guest, _ = self.pair("--dns", "127.0.0.1")
        for address in ("10.0.2.3", "fd00::3"):
            with self.assertRaises(OSError):
                guest.connect(address, 853, timeout=5).close()
            with guest.udp(address, 853) as flow:
                flow.send(b"x")
        self._keep(frames.Wire(guest)).barrier()
        self.assertEqual(tripwire.tripped(), [])


class LinkLocal(LabTestCase):
    def test_metadata_service_is_refused(self):
        server = self.tcp_server(self.lab.internet, METADATA, port=80)
        guest, _ = self.pair()
        with self.assertRaises(OSError) as caught:
            guest.connect(METADATA, 80, timeout=5).close()
        self.assertNotIsInstance(caught.exception, TimeoutError)
        self.assertEqual(server.peers, [])

    def test_allowed_by_option(self):
        self.tcp_server(self.lab.internet, METADATA, port=80)
        guest, _ = self.pair("--allow-link-local")
        with guest.connect(METADATA, 80) as connection:
            self.assert_tcp_echo(connection)


if __name__ == "__main__":
    main()
