# SPDX-License-Identifier: BSD-3-Clause
"""A SYN of the guest with the addresses of an open connection: a forged one ends nothing, and a port that is in use again connects, whatever
became of the connection that had it before."""

import signal
import socket
import struct
import threading

from tests.support import frames, servers
from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.outbound import BOTH, OWN, OutboundTestCase

TCP_REPAIR = 19  # linux/tcp.h
SYNS = 20


class ReuseTestCase(OutboundTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.outbound()

    def counter(self, name):
        return self.helper_.info()["counters"]["outbound"][name]


class Forged(ReuseTestCase):
    def setUp(self):
        super().setUp()
        self.wire_ = self._keep(frames.Wire(self.guest_))

    def test_from_a_raw_socket(self):
        """As another program of the guest forges it: the guest's packet filter and connection tracking see it."""
        for service in BOTH:
            with self.subTest(service=service):
                raw = self._keep(self.guest_.socket(servers.family_of(service), socket.SOCK_RAW, socket.IPPROTO_RAW))
                self.assert_unharmed(service, lambda packet, raw=raw, service=service: raw.sendto(packet, (service, 0)))

    def test_from_the_link(self):
        """The guest's connection tracking knows nothing of it."""
        for service in BOTH:
            with self.subTest(service=service):
                self.assert_unharmed(service, self.wire_.send)

    def assert_unharmed(self, service, send):
        """An idle connection, and one on which the guest has sent FIN and waits for the answer."""
        may_answer = threading.Event()

        def answer_at_the_end(connection):
            servers.echo(connection)
            may_answer.wait(DEADLINE)
            connection.sendall(b"answer")

        server = self.tcp_server(self.lab.internet, service, answer_at_the_end)
        idle, ending = self.dial(self.guest_, service), self.dial(self.guest_, service, server.port)
        ending.shutdown(socket.SHUT_WR)
        flow = self.assert_relayed(self.helper_, idle)
        for number in range(SYNS):
            for connection in (idle, ending):
                send(self.syn_of(connection, 1000 + number))
        self.wire_.barrier()
        self.echoes(idle, b"goes on")
        self.assertEqual(self.assert_relayed(self.helper_, idle)["id"], flow["id"])
        may_answer.set()
        self.assertEqual(servers.receive_exactly(ending, 6), b"answer")
        self.assertEqual(ending.recv(1), b"")
        self.assertGreaterEqual(self.counter("challenged"), 2 * SYNS)

    @staticmethod
    def syn_of(connection, sequence):
        (source, port), (destination, service_port) = connection.getsockname()[:2], connection.getpeername()[:2]
        return frames.ip(source, destination, frames.TCP, frames.tcp(source, destination, port, service_port, sequence=sequence))


class Reused(ReuseTestCase):
    def connecting(self, service, port):
        """A socket that is connecting from that port."""
        result = self._keep(self.guest_.socket(servers.family_of(service)))
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result.bind((OWN[service], port))
        result.setblocking(False)
        result.connect_ex((service, self.echo_ports_[service]))
        result.settimeout(DEADLINE)
        return result

    def assert_port_connects_again(self, end, then=lambda: None):
        """end(connection) frees its port; then() is called when the next SYN is on its way."""
        for service in BOTH:
            with self.subTest(service=service):
                first = self.dial(self.guest_, service)
                flow, port = self.assert_relayed(self.helper_, first), first.getsockname()[1]
                end(first)
                again = self.connecting(service, port)
                then()
                self.echoes(again)
                self.assertNotEqual(self.assert_relayed(self.helper_, again)["id"], flow["id"])
                wait_until(lambda port=port: self.flows_of_port(port) == 1, "the first connection's flow has ended")

    def flows_of_port(self, port):
        return sum(flow["guest_port"] == port for flow in self.outbound_flows(self.helper_))

    def test_after_a_reset(self):
        self.assert_port_connects_again(self.reset)

    def test_reset_and_syn_at_once(self):
        """The helper sees both in one turn of its loop."""
        def end(connection):
            self.helper_.process.send_signal(signal.SIGSTOP)
            self.reset(connection)

        self.addCleanup(self.helper_.process.send_signal, signal.SIGCONT)
        self.assert_port_connects_again(end, lambda: self.helper_.process.send_signal(signal.SIGCONT))

    def test_after_a_socket_that_was_forgotten(self):
        """It says neither FIN nor reset, as of a container that is destroyed: the guest's kernel is asked, and answers by a reset."""
        def end(connection):
            connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            connection.close()

        self.assert_port_connects_again(end)
        self.assertGreaterEqual(self.counter("challenged"), len(BOTH))

    @staticmethod
    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


if __name__ == "__main__":
    main()
