# SPDX-License-Identifier: BSD-3-Clause
"""Frames as a hostile guest writes them: builders, and Wire, a raw socket on the guest's TAP."""

import select
import socket
import struct
import time

from tests.support.guest import DEADLINE

ETH_ARP, ETH_IPV4, ETH_IPV6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _pseudo(source, destination, protocol, length):
    source, destination = packed(source), packed(destination)
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IHBB", length, 0, 0, protocol)


def udp(source, destination, source_port, port, payload=b""):
    length = 8 + len(payload)
    head = struct.pack("!HHH", source_port, port, length)
    value = checksum(_pseudo(source, destination, UDP, length) + head + b"\0\0" + payload) or 0xFFFF
    return head + struct.pack("!H", value) + payload


def tcp(source, destination, source_port, port, sequence=1000, acknowledgement=0, flags=SYN, window=65535, payload=b"", urgent=0,
        options=b""):
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBH", source_port, port, sequence & 0xFFFFFFFF, acknowledgement & 0xFFFFFFFF, offset, flags, window)
    tail = struct.pack("!H", urgent) + options + payload
    value = checksum(_pseudo(source, destination, TCP, len(head) + 2 + len(tail)) + head + b"\0\0" + tail)
    return head + struct.pack("!H", value) + tail


def icmp(kind, code=0, rest=b"\0\0\0\0", payload=b""):
    body = rest + payload
    return struct.pack("!BBH", kind, code, checksum(struct.pack("!BBH", kind, code, 0) + body)) + body


def icmp6(source, destination, kind, code=0, rest=b"\0\0\0\0", payload=b""):
    body = rest + payload
    value = checksum(_pseudo(source, destination, ICMP6, 4 + len(body)) + struct.pack("!BBH", kind, code, 0) + body)
    return struct.pack("!BBH", kind, code, value) + body


def ipv4(source, destination, protocol, payload, identification=1, fragment=0, more=False, ttl=64, options=b"", length=None):
    """fragment: the offset in bytes."""
    head_length = 20 + len(options)
    total = head_length + len(payload) if length is None else length
    head = struct.pack("!BBHHHBB", 0x40 | head_length // 4, 0, total & 0xFFFF, identification,
                       (0x2000 if more else 0) | fragment // 8, ttl, protocol)
    addresses = packed(source) + packed(destination) + options
    return head + struct.pack("!H", checksum(head + b"\0\0" + addresses)) + addresses + payload


def ipv6(source, destination, protocol, payload, hop_limit=64, length=None):
    return struct.pack("!IHBB", 6 << 28, len(payload) if length is None else length, protocol, hop_limit) + \
        packed(source) + packed(destination) + payload


def ip(source, destination, protocol, payload, **more):
    return (ipv6 if ":" in destination else ipv4)(source, destination, protocol, payload, **more)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, operation) + sender_mac + packed(sender) + target_mac + packed(target)


class Wire:
    """A packet socket on the guest's TAP: sends frames as they are, sees what comes and goes."""

    def __init__(self, guest, tap="tap0"):
        self.mac = mac(guest.link(tap)["address"])
        self.gateway_mac = mac("52:55:0a:00:02:02")
        self.socket = guest.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.socket.bind((tap, 0x0003))

    def close(self):
        self.socket.close()

    def send(self, packet, ether_type=None, destination=None, source=None):
        if ether_type is None:
            ether_type = ETH_IPV6 if packet and packet[0] >> 4 == 6 else ETH_IPV4
        self.send_frame((destination or self.gateway_mac) + (source or self.mac) + struct.pack("!H", ether_type) + packet)

    def send_frame(self, frame):
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                self.socket.send(frame)
                return
            except OSError:  # ENOBUFS: the TAP's queue is full
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.001)

    def expect(self, accept, what, timeout=DEADLINE):
        """The first frame to the guest that accept(frame) likes."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            frame, address = self.socket.recvfrom(70000)
            if address[2] != socket.PACKET_OUTGOING and accept(frame):
                return frame
        raise AssertionError(f"no {what} within {timeout} s")

    def barrier(self, identifier=0xBA44):
        """Returns when the helper has dealt with all that was sent before: an echo to the gateway comes back. Asked again each second:
        Linux 6.18 drops a frame without an error when the TAP's queue is full."""
        Wire._barriers += 1
        mark = struct.pack("!HH", identifier, Wire._barriers & 0xFFFF)
        deadline = time.monotonic() + DEADLINE
        while True:
            self.send(ipv4("10.0.2.100", "10.0.2.2", ICMP, icmp(8, rest=mark)))
            try:
                self.expect(lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == ICMP and frame[34:35] + frame[38:42] == b"\0" + mark,
                            "answer to the echo request", 1)
                return
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    _barriers = 0
