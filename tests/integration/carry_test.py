# SPDX-License-Identifier: BSD-3-Clause
"""What a guest can do with its network: echo, TCP, UDP, both families, to the host and to the outside."""

import socket

from tests.support.case import LabTestCase, main
from tests.support.lab import SERVICE4, SERVICE6

BIG = 4000  # bytes of a datagram that is larger than the MTU


class Outside(LabTestCase):
    """One guest serves all: nothing here changes it."""

    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.pair()

    def test_gateway_answers_ping(self):
        self.assertEqual(self.guest_.ping("10.0.2.2").returncode, 0)
        self.assertEqual(self.guest_.ping("fd00::2").returncode, 0)

    def test_tcp(self):
        for address in (SERVICE4, SERVICE6):
            with self.subTest(address=address):
                server = self.tcp_server(self.lab.internet, address)
                with self.guest_.connect(address, server.port) as connection:
                    self.assert_tcp_echo(connection)

    def test_tcp_end_of_one_direction_leaves_the_other(self):
        server = self.tcp_server(self.lab.internet, SERVICE4, serve=_answer_after_the_end)
        with self.guest_.connect(SERVICE4, server.port) as connection:
            connection.sendall(b"question")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(64), b"question, answered")
            self.assertEqual(connection.recv(64), b"")

    def test_tcp_refused_is_refused(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        for address in (SERVICE4, SERVICE6):
            with self.subTest(address=address), self.assertRaises(ConnectionRefusedError):
                self.guest_.connect(address, port)

    def test_udp(self):
        for address in (SERVICE4, SERVICE6):
            with self.subTest(address=address):
                server = self.udp_server(self.lab.internet, address)
                with self.guest_.udp(address, server.port) as flow:
                    self.assert_udp_echo(flow)

    def test_udp_larger_than_the_mtu_both_ways(self):
        data = bytes(range(256)) * 16
        for address in (SERVICE4, SERVICE6):
            with self.subTest(address=address):
                server = self.udp_server(self.lab.internet, address)
                with self.guest_.udp(address, server.port) as flow:
                    self.assert_udp_echo(flow, data[:BIG])
                self.assertEqual(server.datagrams[-1], data[:BIG])

    def test_ping_outside(self):
        self.assertEqual(self.guest_.ping(SERVICE4).returncode, 0)


class HostService(LabTestCase):
    """--allow-host-loopback: the gateway address is the host's loopback."""

    def test_tcp_and_udp_through_the_gateway(self):
        guest, _ = self.pair("--allow-host-loopback")
        for gateway, loopback in (("10.0.2.2", "127.0.0.1"), ("fd00::2", "::1")):
            with self.subTest(gateway=gateway):
                tcp = self.tcp_server(self.lab.host, loopback)
                with guest.connect(gateway, tcp.port) as connection:
                    self.assert_tcp_echo(connection)
                udp = self.udp_server(self.lab.host, loopback)
                with guest.udp(gateway, udp.port) as flow:
                    self.assert_udp_echo(flow)
                with guest.udp(gateway, udp.port) as flow:
                    self.assert_udp_echo(flow, b"x" * BIG)


def _answer_after_the_end(connection):
    question = b""
    while data := connection.recv(64):
        question += data
    connection.sendall(question + b", answered")


if __name__ == "__main__":
    main()
