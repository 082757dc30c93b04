# SPDX-License-Identifier: BSD-3-Clause
"""What libslirp has been broken by, sent by a guest's raw socket: each is dropped under its name, and the network lives on."""

import random
import struct

from tests.support import frames
from tests.support.case import LabTestCase, main
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4, SERVICE6
from tests.support.skip import sanitized

GUEST4, GUEST6, GATEWAY4, GATEWAY6 = "10.0.2.100", "fd00::100", "10.0.2.2", "fd00::2"
MUTATIONS = 3000 if sanitized() else 20000


def udp4(payload=b"x", source=GUEST4, to=SERVICE4, port=9, source_port=4000):
    return frames.udp(source, to, source_port, port, payload)


def ip4(protocol, payload, to=SERVICE4, source=GUEST4, **more):
    return frames.ipv4(source, to, protocol, payload, **more)


def tcp4(**more):
    return ip4(frames.TCP, frames.tcp(GUEST4, SERVICE4, 4001, 9, **more))


def spoil(packet, at, value):
    """The packet with some bytes replaced."""
    return packet[:at] + value + packet[at + len(value):]


def frame_list(wire):
    """(drop reason, ether type or None, packet)."""
    dhcp = struct.pack("!BBBB", 1, 1, 6, 0) + b"\0" * 24 + wire.mac + b"\0" * 202 + bytes.fromhex("63825363")
    return (
        ("ether_type", 0x88F8, b"\0" * 60),                                                       # CVE-2020-29129: NC-SI
        ("ether_type", 0x8100, b"\0" * 60),
        ("arp_malformed", frames.ETH_ARP, frames.arp(1, wire.mac, GUEST4, b"\0" * 6, GATEWAY4)[:20]),  # CVE-2020-29130
        ("arp_malformed", frames.ETH_ARP, b""),
        ("arp_spoofed", frames.ETH_ARP, frames.arp(2, wire.mac, GATEWAY4, b"\0" * 6, GUEST4)),
        ("arp_spoofed", frames.ETH_ARP, frames.arp(1, wire.mac, GUEST4, b"\0" * 6, "10.0.2.200")),
        ("ip_version", frames.ETH_IPV4, spoil(ip4(frames.UDP, udp4()), 0, b"\x65")),
        ("ip_header", None, ip4(frames.UDP, udp4(), length=4000)),
        ("ip_header", None, ip4(frames.UDP, udp4(), length=19)),
        ("ip_header", None, spoil(ip4(frames.UDP, udp4()), 0, b"\x4f")),
        ("ip_header", None, spoil(ip4(frames.UDP, udp4()), 10, b"\0\0")),
        ("ip_ttl", None, ip4(frames.UDP, udp4(), ttl=0)),
        ("ip_source", None, ip4(frames.UDP, udp4(source=GATEWAY4), source=GATEWAY4)),
        ("ip_source", None, ip4(frames.UDP, udp4(source="127.0.0.1"), source="127.0.0.1")),
        ("ip_source", None, ip4(frames.UDP, udp4(source="203.0.113.7"), source="203.0.113.7")),
        ("ip_protocol", None, ip4(2, b"\x16" + b"\0" * 7)),                                       # IGMP
        ("ip_protocol", None, ip4(132, b"\0" * 12)),                                              # SCTP
        ("fragment_tcp", None, ip4(frames.TCP, frames.tcp(GUEST4, SERVICE4, 4001, 9) + b"\0" * 4, more=True)),
        ("fragment_malformed", None, ip4(frames.UDP, b"\0" * 13, more=True)),
        ("fragment_malformed", None, ip4(frames.UDP, b"\0" * 1000, fragment=65528)),              # beyond 64 KiB
        ("tcp_header", None, spoil(tcp4(), 20 + 12, b"\x10")),
        ("tcp_header", None, spoil(tcp4(), 20 + 12, b"\xf0")),
        ("tcp_flags", None, tcp4(flags=0)),
        ("tcp_flags", None, tcp4(flags=frames.SYN | frames.FIN)),
        ("tcp_flags", None, tcp4(flags=frames.SYN | frames.RST)),
        ("tcp_checksum", None, spoil(tcp4(), 20 + 16, b"\x12\x34")),
        ("port_zero", None, ip4(frames.UDP, frames.udp(GUEST4, SERVICE4, 0, 9, b"x"))),            # CVE-2014-3640
        ("port_zero", None, ip4(frames.UDP, frames.udp(GUEST4, SERVICE4, 4000, 0, b"x"))),
        ("port_zero", None, ip4(frames.TCP, frames.tcp(GUEST4, SERVICE4, 0, 9))),
        ("udp_length", None, spoil(ip4(frames.UDP, udp4()), 24, b"\0\x07")),                      # CVE-2021-3594
        ("udp_length", None, spoil(ip4(frames.UDP, udp4()), 24, b"\x40\0")),
        ("udp_checksum", None, spoil(ip4(frames.UDP, udp4()), 26, b"\x12\x34")),
        ("tftp", None, ip4(frames.UDP, udp4(b"\0\x01/etc/passwd\0octet\0", to=GATEWAY4, port=69), GATEWAY4)),  # CVE-2021-3595
        ("dhcp_malformed", None, ip4(frames.UDP, udp4(dhcp[:100], to=GATEWAY4, port=67), GATEWAY4)),  # CVE-2021-3592
        ("dhcp_malformed", None, ip4(frames.UDP, udp4(dhcp + b"\x35\xff\1", to=GATEWAY4, port=67), GATEWAY4)),  # CVE-2017-11434
        ("icmp_type", None, ip4(frames.ICMP, frames.icmp(5, 1, b"\x0a\0\2\2", b"\0" * 28))),       # redirect
        ("icmp_checksum", None, spoil(ip4(frames.ICMP, frames.icmp(8)), 22, b"\x12\x34")),
        ("icmp_error_unmatched", None, ip4(frames.ICMP, frames.icmp(3, 3, payload=ip4(
            frames.UDP, udp4(source=SERVICE4, to=GUEST4), GUEST4, SERVICE4)))),
        ("ndp_spoofed", None, frames.ipv6(GUEST6, "ff02::1", frames.ICMP6, frames.icmp6(
            GUEST6, "ff02::1", 136, rest=b"\x20\0\0\0", payload=frames.packed(GATEWAY6) + b"\2\1" + wire.mac), hop_limit=255)),
        ("icmp_type", None, frames.ipv6("fe80::1", "ff02::1", frames.ICMP6, frames.icmp6(
            "fe80::1", "ff02::1", 134, rest=b"\x40\0\x07\x08", payload=b"\0" * 8), hop_limit=255)),   # router advertisement
        ("icmp_malformed", None, frames.ipv6(GUEST6, GATEWAY6, frames.ICMP6, b"\x80\0")),           # CVE-2020-10756
        ("udp_length", None, frames.ipv6(GUEST6, SERVICE6, frames.UDP, b"\x10\0\0\x09\0\x05\x12\x34")),  # CVE-2021-3593
        ("ipv6_extension", None, frames.ipv6(GUEST6, SERVICE6, 0, b"\x3a\0\0\0\0\0\0\0" + b"\0" * 8)),
        ("ip_header", None, frames.ipv6(GUEST6, SERVICE6, frames.UDP, b"\0" * 8, length=3000)),
        ("ip_source", None, frames.ipv6("::1", SERVICE6, frames.UDP, frames.udp("::1", SERVICE6, 1, 2, b"x"))),
    )


class DropReasons(LabTestCase):
    def test_each_is_counted_under_its_name(self):
        guest = self.guest()
        # The guest's kernel repeats its multicast listener reports when it likes: they would be counted beside ours.
        guest.run("nft", "add table ip6 quiet; add chain ip6 quiet out { type filter hook output priority 0; }; "
                         "add rule ip6 quiet out icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } drop")
        helper = self.helper(guest=guest, control=True)
        wire = self._keep(frames.Wire(guest))
        for number, (reason, ether_type, packet) in enumerate(frame_list(wire)):
            with self.subTest(number=number, reason=reason, packet=packet[:60].hex()):
                before = helper.drops()
                wire.send(packet, ether_type)
                wire.barrier()
                # A source that is new is asked about before it is refused.
                after = wait_until(lambda: self._changed(helper, before), "a drop is counted", timeout=5)
                self.assertEqual({name: count - before[name] for name, count in after.items() if count != before[name]}, {reason: 1})
        self.assert_works(guest)

    @staticmethod
    def _changed(helper, before):
        after = helper.drops()
        return after if after != before else None

    def test_fragments_that_overlap_drop_the_whole(self):
        """CVE-2019-15890, CVE-2020-1983 and their family."""
        guest, helper = self.pair(control=True)
        server = self.udp_server(self.lab.internet, SERVICE4)
        wire = self._keep(frames.Wire(guest))
        whole = udp4(b"a" * 2000, port=server.port)
        for at, size, more in ((0, 1480, True), (1472, 536, False), (0, 8, True), (0, 1480, True)):
            wire.send(ip4(frames.UDP, whole[at:at + size], identification=77, fragment=at, more=more))
        wire.barrier()
        self.assertGreaterEqual(helper.drops()["fragment_overlap"], 1)
        # In any order and without an overlap it arrives.
        for at in (1480, 0):
            wire.send(ip4(frames.UDP, whole[at:at + 1480], identification=78, fragment=at, more=at == 0))
        with guest.udp(SERVICE4, server.port) as flow:
            self.assert_udp_echo(flow)
        self.assertIn(b"a" * 2000, server.datagrams)
        self.assertEqual(server.datagrams.count(b"a" * 2000), 1)

    def test_more_fragments_than_are_kept(self):
        guest, helper = self.pair(control=True)
        wire = self._keep(frames.Wire(guest))
        for number in range(5000):
            wire.send(ip4(frames.UDP, udp4(b"a" * 1000), identification=number, more=True))
        wire.barrier()
        self.assertGreater(helper.drops()["fragment_limit"], 0)
        self.assert_works(guest)

    def test_urgent_data_arrives_in_line(self):
        """CVE-2026-9539, CVE-2022-39423: the urgent pointer is taken away, the bytes are not. The kernel path keeps it, as it must."""
        guest, helper = self.pair("--kernel-path=off", control=True)
        server = self.tcp_server(self.lab.internet, SERVICE4)
        with guest.connect(SERVICE4, server.port) as connection:
            for _ in range(50):
                connection.sendall(b"normal")
                connection.send(b"!", 1)  # MSG_OOB
            got = b""
            while len(got) < 350:
                got += connection.recv(4096)
        self.assertEqual(got, b"normal!" * 50)
        self.assertIsNone(helper.process.poll())

    def test_neighbour_of_the_gateway_is_not_replaced(self):
        """A lie about the gateway changes neither the helper's nor the guest's table."""
        guest, _ = self.pair()
        wire = self._keep(frames.Wire(guest))
        for operation in (1, 2):
            wire.send(frames.arp(operation, wire.mac, GATEWAY4, b"\xff" * 6, GATEWAY4), frames.ETH_ARP, destination=b"\xff" * 6)
        wire.barrier()
        self.assert_works(guest)


class Mutations(LabTestCase):
    def test_many(self):
        """Frames of every kind with some bytes changed: the helper lives, and serves an honest flow afterwards."""
        guest, helper = self.pair(control=True)
        wire = self._keep(frames.Wire(guest))
        dice = random.Random(5)
        seeds = [(kind, packet) for _, kind, packet in frame_list(wire) if packet]
        seeds += [(None, ip4(frames.UDP, udp4(to=GATEWAY4, port=port), GATEWAY4)) for port in (53, 67, 69, 113, 21, 6667)]
        seeds += [(None, tcp4()), (None, tcp4(flags=frames.SYN, payload=b"data")), (None, tcp4(flags=frames.ACK | frames.URG, urgent=9)),
                  (None, tcp4(flags=frames.RST)), (None, ip4(frames.ICMP, frames.icmp(8), GATEWAY4))]
        for number in range(MUTATIONS):
            kind, packet = dice.choice(seeds)
            data = bytearray(packet)
            for _ in range(dice.randrange(4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            if dice.randrange(4) == 0:
                del data[dice.randrange(1, len(data) + 1):]
            data = data or bytearray(1)
            # An IPv4 header's checksum is put right half of the time, so that what lies behind it is reached.
            if dice.randrange(2) and len(data) >= 20 and data[0] >> 4 == 4:
                data[10:12] = b"\0\0"
                data[10:12] = struct.pack("!H", frames.checksum(bytes(data[:20])))
            wire.send(bytes(data), kind)
            if number % 500 == 499:
                wire.barrier()
        self.assertIsNone(helper.process.poll(), helper.log())
        self.assert_works(guest)
        self.assertGreater(sum(helper.drops().values()), MUTATIONS // 2)


if __name__ == "__main__":
    main()
