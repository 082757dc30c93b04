# SPDX-License-Identifier: BSD-3-Clause
"""UDP forwards at full size: large datagrams, bursts, many clients, errors, services on the guest's loopback."""

import contextlib
import errno
import itertools
import os
import socket

from tests.support import kernel, servers
from tests.support.case import LabTestCase, main
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6, LAN4, LAN6

GUEST4, GUEST6, GATEWAY4, GATEWAY6 = "10.0.2.100", "fd00::100", "10.0.2.2", "fd00::2"
ATTEMPTS = 4
STOCK = 70         # descriptors of stand-ins in stock, steering included; CLIENTS are many more
LARGEST = 65507  # bytes, limits::datagram
WINDOW = 32      # datagrams under way in a burst: no buffer on the way is smaller
BURSTS = 200
CLIENTS = int(os.environ.get("NETNS_HELPER_UDP_CLIENTS", "2000"))  # of one port; 10,000 takes half a minute
AT_ONCE = 500    # sockets that the test holds
BUFFER = 1 << 20
_ports = itertools.count(21000)


class UdpTestCase(LabTestCase):
    def udp(self, netns, address=None, port=None, bind=None):
        """A client; `address` and `port` are what it is connected to, `bind` what it is bound to."""
        with kernel.in_netns(netns):
            result = socket.socket(servers.family_of(address or bind[0]), socket.SOCK_DGRAM)
        self.addCleanup(result.close)
        result.settimeout(10)
        result.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        if bind:
            result.bind(bind)
        if address:
            result.connect((address, port))
        return result

    def ways(self):
        """(host part of a spec, guest address, client's namespace, address to dial, address that the guest sees)"""
        return (("0.0.0.0", GUEST4, self.lab.lan, HOST_LAN4, LAN4), ("[::]", GUEST6, self.lab.lan, HOST_LAN6, LAN6),
                ("127.0.0.1", GUEST4, self.lab.host, "127.0.0.1", GATEWAY4), ("[::1]", GUEST6, self.lab.host, "::1", GATEWAY6))


class Datagrams(UdpTestCase):
    def asked(self, flow, payload):
        """Some 45 fragments each way: on a busy machine one may be lost."""
        flow.settimeout(3)
        for _ in range(ATTEMPTS):
            flow.send(payload)
            with contextlib.suppress(TimeoutError):
                return flow.recv(65536)
        raise AssertionError(f"no answer to {ATTEMPTS} datagrams of {len(payload)} bytes")

    def test_the_largest_datagram_goes_both_ways(self):
        for host, guest_address, netns, dialled, _ in self.ways():
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp", "--mtu", "1500")
                server = self.udp_server(guest.netns_fd(), guest_address, port=53)
                payload = os.urandom(LARGEST)
                flow = self.udp(netns, dialled, port)
                self.assertEqual(self.asked(flow, payload), payload)
                self.assertEqual(server.datagrams[-1], payload)
                helper.stop()

    def test_bursts_arrive_whole_and_in_order(self):
        """Neighbours of one size travel together; sizes change within a burst, and every byte is compared."""
        for host, guest_address, netns, dialled, seen in self.ways():
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp", "--mtu", "1500")
                service = self.udp(guest.netns_fd(), bind=(guest_address, 53))
                flow = self.udp(netns, dialled, port)
                for burst in range(BURSTS):
                    sizes = [(100, 1400, 1452, 4000)[burst % 4]] * WINDOW  # the last ones are fragmented on both sides
                    sizes[burst % WINDOW] = burst  # another size somewhere, an empty one in the first burst
                    sent = [os.urandom(size) for size in sizes]
                    for datagram in sent:
                        flow.send(datagram)
                    for datagram in sent:
                        data, peer = service.recvfrom(65536)
                        self.assertEqual(data, datagram)
                        self.assertEqual(peer[0], seen)
                    for datagram in sent:
                        service.sendto(datagram, peer)
                    for datagram in sent:
                        self.assertEqual(flow.recv(65536), datagram)
                helper.stop()

    def test_datagrams_sent_as_one_by_either_side(self):
        """UDP_SEGMENT on the client's socket and on the guest's."""
        udp_segment = 103  # linux/udp.h
        port = next(_ports)
        guest, _ = self.pair("--forward", f"0.0.0.0:{port}:53/udp", "--mtu", "1500")
        service = self.udp(guest.netns_fd(), bind=(GUEST4, 53))
        flow = self.udp(self.lab.lan, HOST_LAN4, port)
        payload = os.urandom(20000)
        flow.setsockopt(socket.IPPROTO_UDP, udp_segment, 1200)
        flow.send(payload)
        data, peer = service.recvfrom(65536)
        while len(data) < len(payload):
            data += service.recv(65536)
        self.assertEqual(data, payload)
        service.setsockopt(socket.IPPROTO_UDP, udp_segment, 1300)
        service.sendto(payload, peer)
        data = b""
        while len(data) < len(payload):
            data += flow.recv(65536)
        self.assertEqual(data, payload)


class Errors(UdpTestCase):
    def test_the_guest_is_told_that_its_client_is_gone(self):
        for host, guest_address, netns, dialled, _ in self.ways():
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp")
                service = self.udp(guest.netns_fd(), bind=(guest_address, 53))
                flow = self.udp(netns, dialled, port)
                flow.send(b"question")
                service.connect(service.recvfrom(64)[1])
                flow.close()
                service.send(b"answer")
                with self.assertRaises(OSError) as caught:
                    service.recv(64)
                self.assertEqual(caught.exception.errno, errno.ECONNREFUSED)
                helper.stop()

    def test_nobody_listens_in_the_guest(self):
        """The flow ends; the client is not told, and is served as soon as somebody listens."""
        for host, guest_address, netns, dialled, _ in self.ways():
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp", control=True)
                flow = self.udp(netns, dialled, port)
                flow.send(b"anybody?")
                wait_until(lambda helper=helper: self.counters(helper)["refused"] == 1, "the guest's refusal")
                self.assertEqual(self.counters(helper)["flows"], 0)
                self.udp_server(guest.netns_fd(), guest_address, port=53)
                flow.send(b"now")
                self.assertEqual(flow.recv(64), b"now")
                helper.stop()

    @staticmethod
    def counters(helper):
        return helper.info()["counters"]["udp_forwards"]


class ManyClients(UdpTestCase):
    def test_each_gets_its_own_answer_and_one_flow(self):
        port = next(_ports)
        guest, helper = self.pair("--forward", f"0.0.0.0:{port}:53/udp", control=True)
        self.udp_server(guest.netns_fd(), GUEST4, port=53)
        fds = helper.fds()
        local_ports = iter(range(30000, 30000 + CLIENTS))
        while chunk := list(itertools.islice(local_ports, AT_ONCE)):
            with contextlib.ExitStack() as stack:
                flows = []
                for local_port in chunk:
                    with kernel.in_netns(self.lab.lan):
                        flow = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    flow.settimeout(10)
                    flow.bind((LAN4, local_port))
                    flow.connect((HOST_LAN4, port))
                    flow.send(f"client {local_port}".encode())
                    flows.append(flow)
                    if len(flows) % WINDOW == 0:
                        self.assertEqual(flow.recv(64), f"client {local_port}".encode())
                        flow.send(f"client {local_port}".encode())
                for flow, local_port in zip(flows, chunk, strict=True):
                    self.assertEqual(flow.recv(64), f"client {local_port}".encode())
        counters = helper.info()["counters"]["udp_forwards"]
        self.assertEqual(counters["flows"], CLIENTS)
        self.assertEqual(counters["dropped_table_full"], 0)
        # But stand-ins are laid in stock meanwhile, and the control connection's own is closed a moment after the reply.
        wait_until(lambda: helper.fds() <= fds + STOCK, "a client costs no descriptor")


class GuestLoopback(UdpTestCase):
    """Services that listen on the guest's 127.0.0.1 and ::1 alone."""

    def goals(self):
        return (("0.0.0.0", "127.0.0.1", self.lab.lan, HOST_LAN4, LAN4), ("[::]", "::1", self.lab.lan, HOST_LAN6, LAN6),
                ("127.0.0.1", "127.0.0.1", self.lab.host, "127.0.0.1", GATEWAY4), ("[::1]", "::1", self.lab.host, "::1", GATEWAY6))

    def test_is_reached_with_the_clients_address(self):
        for host, service, netns, dialled, seen in self.goals():
            with self.subTest(host=host, service=service):
                port = next(_ports)
                goal = f"[{service}]" if ":" in service else service
                guest, helper = self.pair("--forward", f"{host}:{port}:{goal}:53/udp", control=True)
                server = self.udp_server(guest.netns_fd(), service, port=53)
                flow = self.udp(netns, dialled, port)
                for payload in (b"small", b"l" * 4000, os.urandom(LARGEST)):
                    flow.send(payload)
                    self.assertEqual(flow.recv(65536), payload)
                self.assertEqual(server.peers[-1], seen)
                self.assertEqual(helper.info()["counters"]["udp_forwards"]["stand_ins"], 1)
                helper.stop()

    def test_a_refusal_ends_the_flow_and_its_descriptor(self):
        port = next(_ports)
        _, helper = self.pair("--forward", f"0.0.0.0:{port}:127.0.0.1:53/udp", control=True)
        flow = self.udp(self.lab.lan, HOST_LAN4, port)
        flow.send(b"anybody?")
        wait_until(lambda: helper.info()["counters"]["udp_forwards"]["refused"] == 1, "the guest's refusal")
        self.assertEqual(helper.info()["counters"]["udp_forwards"]["stand_ins"], 0)


if __name__ == "__main__":
    main()
