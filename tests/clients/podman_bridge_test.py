# SPDX-License-Identifier: BSD-3-Clause
"""Podman's user-defined networks: one helper for all containers, which stand on a bridge inside the guest, behind its NAT."""

from tests.support import clients, dns
from tests.support.case import main
from tests.support.lab import DNS4, HOST_LAN4, HOST_WAN4, SERVICE4
from tests.support.podman import PodmanTestCase, podman
from tests.support.servers import receive_exactly

ANSWER = "192.0.2.1"
PORT = 7777
NETWORK = "bridged"


class Bridge(PodmanTestCase):
    tools = (*PodmanTestCase.tools, ("iptables", "iptables"), ("/usr/lib/podman/netavark", "netavark"))

    def setUp(self):
        super().setUp()
        self.addCleanup(podman, "network", "rm", "--force", NETWORK)
        podman("network", "create", "--disable-dns", "--subnet", "10.89.7.0/24", NETWORK)

    def echoes(self, guest, address, port=PORT):
        with guest.connect(address, port) as connection:
            connection.sendall(b"hello")
            return receive_exactly(connection, 5)

    def test_two_containers(self):
        server = self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        self.udp_server(self.lab.internet, SERVICE4, port=PORT)
        self._keep(dns.Resolver(self.lab.internet, DNS4, ANSWER))

        def observe(binary):
            server.peers.clear()
            first = self.run_container(binary, NETWORK, "--ip", "10.89.7.11", name="first")
            helper = self.the_helper(binary)
            second = self.run_container(binary, NETWORK, "--ip", "10.89.7.12", name="second")
            self.assertEqual(self.the_helper(binary), helper, "the same helper serves both")
            words = clients.command_line(helper)[1:]
            words[words.index("--netns-type=path") + 1] = "PATH"
            for guest in (first, second):
                self.assertEqual(self.echoes(guest, SERVICE4), b"hello")
                with guest.udp(SERVICE4, PORT) as flow:
                    self.assert_udp_echo(flow)
                self.assertEqual(dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")), [ANSWER])
                with self.assertRaises(OSError):
                    self.echoes(guest, HOST_WAN4, PORT + 1)
            self.tcp_server(second.netns_fd(), "10.89.7.12", port=PORT)
            self.assertEqual(self.echoes(first, "10.89.7.12"), b"hello")
            seen = {"options": words, "peers": list(server.peers), "resolv.conf": self.resolv_conf(first),
                    "name": ANSWER in self.in_container("nslookup", "one.test", name="first", check=False).stdout}  # AAAA fails
            self.remove("first")
            # The bridge may have had its MAC address from the port that went.
            second.run("ip", "neighbour", "flush", "all")
            self.assertEqual(self.echoes(second, SERVICE4), b"hello")
            self.remove("second")
            self.wait_gone(binary)
            return seen

        seen = self.same(observe)
        self.assertEqual(seen["peers"], [HOST_WAN4] * 2)
        self.assertTrue(seen["name"])

    def test_published_port(self):
        """Podman's proxy, the container's port reached from outside and from another container of the bridge."""
        def observe(binary):
            guest = self.run_container(binary, NETWORK, "-p", "18080:80", "--ip", "10.89.7.11")
            tcp = self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
            with clients.socket_in(self.lab.lan) as client:
                client.connect((HOST_LAN4, 18080))
                client.sendall(b"hello")
                self.assertEqual(receive_exactly(client, 5), b"hello")
            self.remove("guest")
            self.wait_gone(binary)
            return len(tcp.peers)

        self.assertEqual(self.same(observe), 1)

    def test_tcp_goes_by_the_kernel_path(self):
        """From behind the bridge and its masquerade."""
        server = self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        guest = self.run_container(clients.CONTROLLED, NETWORK)
        self.assert_kernel_path(self.the_helper(), guest, SERVICE4, PORT)
        self.assertEqual(server.peers[-1], HOST_WAN4)
        self.remove("guest")
        self.wait_gone()


if __name__ == "__main__":
    main()
