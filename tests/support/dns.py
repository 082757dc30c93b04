# SPDX-License-Identifier: BSD-3-Clause
"""A resolver for tests, over UDP and TCP, and a client that builds its queries by hand."""

import contextlib
import random
import socket
import struct

from tests.support import servers

A, TXT, AAAA = 1, 16, 28


def query(name, kind=A, identifier=None):
    identifier = random.getrandbits(16) if identifier is None else identifier
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def question(message):
    """(name, type, bytes of the question section)."""
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack_from("!H", message, at + 1)[0], message[12:at + 5]


def answer(message, data, truncated=False):
    """The answer with one record of the question's type."""
    _, kind, section = question(message)
    flags = 0x8180 | (0x0200 if truncated else 0)
    head = message[:2] + struct.pack("!HHHHH", flags, 1, 0 if truncated else 1, 0, 0) + section
    return head if truncated else head + struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data


def rcode(message):
    return message[3] & 0x0F


class RawResolver:
    """Answers each message by respond(message, "udp" or "tcp"); None: not at all."""

    def __init__(self, netns, address, respond, transports=("udp", "tcp")):
        self._respond = respond
        self._servers = []
        if "udp" in transports:
            self._servers.append(servers.UdpServer(netns, address, 53, answer=lambda message: respond(message, "udp")))
        if "tcp" in transports:
            self._servers.append(servers.TcpServer(netns, address, self._serve_tcp, 53))

    def _serve_tcp(self, connection):
        with contextlib.suppress(AssertionError):
            while True:
                reply = self._respond(receive_message(connection), "tcp")
                if reply is not None:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)

    def close(self):
        for server in self._servers:
            server.close()


class Resolver(RawResolver):
    """Answers A queries with `address`. Names that begin with "big" are truncated over UDP and long over TCP.

    silent: takes queries and never answers, as a dead resolver behind a firewall does.
    """

    def __init__(self, netns, address, answer_with, silent=False, **arguments):
        self._data = socket.inet_aton(answer_with)
        self._silent = silent
        self.names = []
        self.transports = []
        super().__init__(netns, address, self._answer, **arguments)

    def _answer(self, message, transport):
        name = question(message)[0]
        self.names.append(name)
        self.transports.append(transport)
        if self._silent:
            return None
        big = name.startswith("big")
        if big and transport == "tcp":
            return answer(message, b"".join(b"\xff" + b"t" * 255 for _ in range(16)))
        return answer(message, self._data, truncated=big)


def receive_message(connection):
    size, = struct.unpack("!H", servers.receive_exactly(connection, 2))
    return servers.receive_exactly(connection, size)


def exchange_udp(guest, server, message, timeout=15):
    """The answer to a message of any content, by its id."""
    with guest.udp(server, 53, timeout) as flow:
        flow.send(message)
        while (reply := flow.recv(65536))[:2] != message[:2]:
            pass
        return reply


def exchange_tcp(guest, server, message, timeout=15):
    with guest.connect(server, 53, timeout) as connection:
        # In two writes: a length and its message need not come together.
        connection.sendall(struct.pack("!H", len(message)))
        connection.sendall(message)
        return receive_message(connection)


def ask_udp(guest, server, name, kind=A, timeout=15):
    return exchange_udp(guest, server, query(name, kind), timeout)


def ask_tcp(guest, server, name, kind=A, timeout=15):
    return exchange_tcp(guest, server, query(name, kind), timeout)


def addresses(message):
    """The A records' addresses of a reply made by answer()."""
    count, = struct.unpack_from("!H", message, 6)
    return [socket.inet_ntoa(message[-4:])] if count else []
