# SPDX-License-Identifier: BSD-3-Clause
"""Host ports that lead into the guest: who is reached, whom the guest sees, and what a refusal says."""

import contextlib
import itertools
import socket

from tests.support import kernel, servers
from tests.support.case import LabTestCase, main
from tests.support.lab import HOST_LAN4, HOST_LAN6, LAN4, LAN6

GUEST4, GUEST6, GATEWAY4 = "10.0.2.100", "fd00::100", "10.0.2.2"
CLIENTS = 50  # of one UDP forward at the same time
BIG = 4000    # bytes of a datagram beyond the MTU
_ports = itertools.count(18000)


class ForwardTestCase(LabTestCase):
    def client(self, netns, address, port, kind=socket.SOCK_STREAM):
        with kernel.in_netns(netns):
            result = socket.socket(servers.family_of(address), kind)
        self.addCleanup(result.close)
        result.settimeout(10)
        result.connect((address, port))
        return result

    def assert_tcp(self, server, netns, address, port, seen):
        self.assert_tcp_echo(self.client(netns, address, port))
        self.assertEqual(server.peers[-1], seen)

    def assert_udp(self, server, netns, address, port, seen):
        flow = self.client(netns, address, port, socket.SOCK_DGRAM)
        self.assert_udp_echo(flow)
        self.assert_udp_echo(flow, b"l" * BIG)
        self.assertEqual(server.peers[-1], seen)


class ByOption(ForwardTestCase):
    def test_tcp_from_the_lan_with_the_clients_address(self):
        for host, guest_address, lan, lan_client in (("0.0.0.0", GUEST4, HOST_LAN4, LAN4), ("[::]", GUEST6, HOST_LAN6, LAN6)):
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:80")
                server = self.tcp_server(guest.netns_fd(), guest_address, port=80)
                self.assert_tcp(server, self.lab.lan, lan, port, lan_client)
                helper.stop()

    def test_tcp_from_localhost_with_host_loopback_denied(self):
        for host, guest_address, dialled in (("127.0.0.1", GUEST4, "127.0.0.1"), ("[::1]", GUEST6, "::1")):
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:80")
                server = self.tcp_server(guest.netns_fd(), guest_address, port=80)
                self.assert_tcp_echo(self.client(self.lab.host, dialled, port))
                self.assertNotIn(server.peers[-1], ("127.0.0.1", "::1"))
                helper.stop()

    def test_udp_from_the_lan_with_the_clients_address(self):
        for host, guest_address, lan, lan_client in (("0.0.0.0", GUEST4, HOST_LAN4, LAN4), ("[::]", GUEST6, HOST_LAN6, LAN6)):
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp")
                server = self.udp_server(guest.netns_fd(), guest_address, port=53)
                self.assert_udp(server, self.lab.lan, lan, port, lan_client)
                helper.stop()

    def test_udp_from_localhost_with_host_loopback_denied(self):
        for host, guest_address, dialled, seen in (("127.0.0.1", GUEST4, "127.0.0.1", GATEWAY4), ("[::1]", GUEST6, "::1", "fd00::2")):
            with self.subTest(host=host):
                port = next(_ports)
                guest, helper = self.pair("--forward", f"{host}:{port}:53/udp")
                server = self.udp_server(guest.netns_fd(), guest_address, port=53)
                self.assert_udp(server, self.lab.host, dialled, port, seen)
                helper.stop()

    def test_default_is_localhost_only(self):
        port = next(_ports)
        guest, _ = self.pair("--forward", f"{port}:80")
        self.tcp_server(guest.netns_fd(), GUEST4, port=80)
        self.assert_tcp_echo(self.client(self.lab.host, "127.0.0.1", port))
        with self.assertRaises(ConnectionRefusedError):
            self.client(self.lab.lan, HOST_LAN4, port)

    def test_to_another_address_of_the_guest(self):
        port = next(_ports)
        guest, _ = self.pair("--forward", f"{port}:10.0.2.50:80", "--forward", f"{port}:10.0.2.50:80/udp")
        guest.run("ip", "addr", "add", "10.0.2.50/24", "dev", "tap0")
        tcp, udp = self.tcp_server(guest.netns_fd(), "10.0.2.50", port=80), self.udp_server(guest.netns_fd(), "10.0.2.50", 80)
        self.assert_tcp_echo(self.client(self.lab.host, "127.0.0.1", port))
        self.assert_udp_echo(self.client(self.lab.host, "127.0.0.1", port, socket.SOCK_DGRAM))
        self.assertTrue(tcp.peers and udp.peers)

    def test_usable_at_ready(self):
        """No retry: the listener is there when the ready byte is."""
        port = next(_ports)
        guest = self.guest()
        server = None
        helper = self.helper("--forward", f"{port}:80", guest=guest)
        server = self.tcp_server(guest.netns_fd(), GUEST4, port=80)
        self.assert_tcp(server, self.lab.host, "127.0.0.1", port, GATEWAY4)
        helper.stop()
        with self.assertRaises(ConnectionRefusedError):
            self.client(self.lab.host, "127.0.0.1", port)

    def test_nobody_listens_in_the_guest(self):
        """The client is told by an end or a reset, soon."""
        port = next(_ports)
        self.pair("--forward", f"{port}:80")
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(self.client(self.lab.host, "127.0.0.1", port).recv(1), b"")


class UdpClients(ForwardTestCase):
    def test_many_clients_each_get_their_own_answer(self):
        port = next(_ports)
        guest, _ = self.pair("--forward", f"0.0.0.0:{port}:53/udp")
        server = self.udp_server(guest.netns_fd(), GUEST4, 53)
        flows = [self.client(netns, address, port, socket.SOCK_DGRAM) for _ in range(CLIENTS // 2)
                 for netns, address in ((self.lab.lan, HOST_LAN4), (self.lab.host, "127.0.0.1"))]
        for number, flow in enumerate(flows):
            flow.send(f"client {number}".encode())
        for number, flow in enumerate(flows):
            self.assertEqual(flow.recv(64), f"client {number}".encode())
        self.assertEqual(set(server.peers), {LAN4, GATEWAY4})

    def test_the_guest_speaks_again_unasked(self):
        port = next(_ports)
        guest, _ = self.pair("--forward", f"{port}:53/udp")
        service = guest.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(service.close)
        service.bind((GUEST4, 53))
        flow = self.client(self.lab.host, "127.0.0.1", port, socket.SOCK_DGRAM)
        flow.send(b"question")
        data, peer = service.recvfrom(64)
        self.assertEqual((data, peer[0]), (b"question", GATEWAY4))
        for number in range(5):
            service.sendto(f"answer {number}".encode(), peer)
            self.assertEqual(flow.recv(64), f"answer {number}".encode())

    def test_answers_come_from_the_address_that_was_asked(self):
        """A forward on every address of the host answers from the one the client asked, also for an unconnected client."""
        port = next(_ports)
        guest, _ = self.pair("--forward", f"0.0.0.0:{port}:53/udp")
        self.udp_server(guest.netns_fd(), GUEST4, 53)
        with kernel.in_netns(self.lab.host):
            flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(flow.close)
        flow.settimeout(10)
        for address in ("127.0.0.5", HOST_LAN4):
            flow.sendto(b"question", (address, port))
            self.assertEqual(flow.recvfrom(64), (b"question", (address, port)))


class ByControlSocket(ForwardTestCase):
    def test_add_list_remove(self):
        guest, helper = self.pair(control=True)
        port = next(_ports)
        self.assertEqual(helper.forward(port, 80), {"id": 1})
        self.assertEqual(helper.forward(port, 53, "udp", "127.0.0.1", GUEST4), {"id": 2})
        self.assertEqual(helper.forward(port + 10000, 80, host_addr="::1"), {"id": 3})
        tcp, udp = self.tcp_server(guest.netns_fd(), GUEST4, port=80), self.udp_server(guest.netns_fd(), GUEST4, 53)
        tcp6 = self.tcp_server(guest.netns_fd(), GUEST6, port=80)
        self.assert_tcp_echo(self.client(self.lab.host, "127.0.0.1", port))
        self.assert_tcp(tcp, self.lab.lan, HOST_LAN4, port, LAN4)
        self.assert_udp(udp, self.lab.host, "127.0.0.1", port, GATEWAY4)
        self.assert_tcp_echo(self.client(self.lab.host, "::1", port + 10000))
        self.assertTrue(tcp6.peers)
        reply = helper.ask("list_hostfwd")
        self.assertEqual(reply["entries"], reply["return"]["entries"])
        self.assertEqual(reply["entries"][0], {"id": 1, "proto": "tcp", "host_addr": "0.0.0.0", "host_port": port,
                                               "guest_addr": GUEST4, "guest_port": 80})
        self.assertEqual([entry["id"] for entry in reply["entries"]], [1, 2, 3])
        open_flow = self.client(self.lab.host, "127.0.0.1", port)
        self.assert_tcp_echo(open_flow)
        for number in (1, 2, 3):
            self.assertEqual(helper.ask("remove_hostfwd", {"id": number}), {"return": {}})
        self.assertEqual(helper.ask("list_hostfwd")["entries"], [])
        with self.assertRaises(ConnectionRefusedError):
            self.client(self.lab.host, "127.0.0.1", port)
        self.assert_tcp_echo(open_flow, b"an established flow goes on")
        self.assertEqual(helper.forward(port, 80)["id"], 4, "no id twice")
        self.assertIn("error", helper.ask("remove_hostfwd", {"id": 1}))

    def test_port_zero_is_chosen_and_told(self):
        guest, helper = self.pair(control=True)
        self.tcp_server(guest.netns_fd(), GUEST4, port=80)
        self.udp_server(guest.netns_fd(), GUEST4, 80)
        for proto, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            with self.subTest(proto=proto):
                port = helper.forward(0, 80, proto)["host_port"]
                self.assertGreater(port, 0)
                client = self.client(self.lab.host, "127.0.0.1", port, kind)
                (self.assert_tcp_echo if proto == "tcp" else self.assert_udp_echo)(client)
                self.assertIn(port, [entry["host_port"] for entry in helper.ask("list_hostfwd")["entries"]])

    def test_port_in_use(self):
        _, helper = self.pair(control=True)
        for proto, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            with self.subTest(proto=proto), servers.bound(self.lab.host, "0.0.0.0", 0, kind) as other:
                if kind == socket.SOCK_STREAM:
                    other.listen(1)
                port = other.getsockname()[1]
                self._refused(helper, proto, port, "in use")

    def test_privileged_port(self):
        _, helper = self.pair(control=True)
        for proto in ("tcp", "udp"):
            with self.subTest(proto=proto):
                self._refused(helper, proto, 80, "ip_unprivileged_port_start")

    def test_address_that_is_not_the_hosts(self):
        _, helper = self.pair(control=True)
        reply = helper.ask("add_hostfwd", {"proto": "tcp", "host_addr": "203.0.113.1", "host_port": next(_ports), "guest_port": 80})
        self.assertEqual(reply["error"]["field"], "host_addr")

    def _refused(self, helper, proto, port, words):
        reply = helper.ask("add_hostfwd", {"proto": proto, "host_port": port, "guest_port": 80})
        self.assertIn("error", reply)
        self.assertIn(str(port), reply["error"]["desc"])
        self.assertIn(words, reply["error"]["desc"].lower())
        self.assertEqual(reply["error"]["field"], "host_port")
        self.assertEqual(helper.ask("list_hostfwd")["entries"], [])


class StartFails(ForwardTestCase):
    def test_when_a_forward_cannot_be_made(self):
        with servers.bound(self.lab.host, "127.0.0.1", 0, socket.SOCK_STREAM) as other:
            other.listen(1)
            port = other.getsockname()[1]
            for spec, word in ((f"{port}:80", "in use"), ("80:80", "ip_unprivileged_port_start")):
                with self.subTest(spec=spec):
                    guest = self.guest()
                    helper = self.helper("--forward", spec, guest=guest, wait=False)
                    self.assertEqual(helper.wait_exit(), 1)
                    self.assertIn(word, helper.log().lower())
                    self.assertIn(spec.split(":", maxsplit=1)[0], helper.log())


if __name__ == "__main__":
    main()
