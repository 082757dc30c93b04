# SPDX-License-Identifier: BSD-3-Clause
"""Podman's published ports: by the helper's API with `port_handler=slirp4netns`, else by podman's own proxy."""

import glob
import json
import socket

from tests.support import clients, kernel
from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.lab import HOST_LAN4, LAN4, USER
from tests.support.podman import IMAGE, PodmanTestCase, podman
from tests.support.servers import bound, receive_exactly

API = "slirp4netns:port_handler=slirp4netns"
TCP, UDP = 18080, 18053


class Published(PodmanTestCase):
    def ask_tcp(self, netns, address, port=TCP):
        """One exchange with the echo server in the container."""
        with kernel.in_netns(netns):
            client = socket.socket()
        with client:
            client.settimeout(10)
            client.connect((address, port))
            client.sendall(b"hello")
            return receive_exactly(client, 5)

    def ask_udp(self, netns, address, port=UDP):
        with bound(netns, "0.0.0.0", 0, socket.SOCK_DGRAM) as client:
            client.connect((address, port))
            client.settimeout(10)
            self.assert_udp_echo(client)

    def asks_udp(self, netns, address):
        """Whether it is answered: slirp4netns does not answer on the host's loopback."""
        try:
            self.ask_udp(netns, address)
        except AssertionError:
            return False
        return True

    def api_sockets(self):
        """Every API socket in podman's directory."""
        return set(glob.glob(f"{clients.RUNTIME_DIR}/libpod/tmp/*.net"))

    def test_by_the_api(self):
        """TCP and UDP, each client's address kept."""
        def observe(binary):
            before = self.api_sockets()
            guest = self.run_container(binary, API, "-p", f"{TCP}:80", "-p", f"{UDP}:53/udp")
            words = clients.command_line(self.the_helper(binary))
            self.assertEqual(self.api_sockets() - before, {words[words.index("--api-socket") + 1]})
            tcp = self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
            udp = self.udp_server(guest.netns_fd(), "0.0.0.0", port=53)
            self.ask_tcp(self.lab.lan, HOST_LAN4)
            self.ask_udp(self.lab.lan, HOST_LAN4)
            self.ask_tcp(self.lab.host, "127.0.0.1")
            self.ask_tcp(self.lab.host, HOST_LAN4)
            seen = {"tcp": list(tcp.peers), "udp": list(dict.fromkeys(udp.peers))}
            self.remove("guest")
            self.wait_gone(binary)
            if binary == clients.OURS:
                self.assertEqual(self.api_sockets() - before, set(), "the API socket's file went with the container")
            return seen

        self.assertEqual(self.same(observe), {"tcp": [LAN4, "10.0.2.2", HOST_LAN4], "udp": [LAN4]})

    def test_api_replies(self):
        """Byte by byte, on podman's own socket; only our list has both shapes, the documented one and slirp4netns's."""
        def add(**arguments):
            return json.dumps({"execute": "add_hostfwd", "arguments": arguments}).encode()

        requests = (
            add(proto="tcp", host_addr="0.0.0.0", host_port=18081, guest_port=81) + b"\n",
            add(proto="tcp", host_addr="0.0.0.0", host_port=18081, guest_port=82),
            add(proto="udp", host_port=18081, guest_addr="10.0.2.100", guest_port=81),
            add(proto="sctp", host_port=18082, guest_port=82),
            add(proto="tcp", host_addr="nowhere", host_port=18082, guest_port=82),
            add(proto="tcp", host_addr="0.0.0.0", guest_port=82),
            b'{"execute": "remove_hostfwd", "arguments": {"id": 2}}',
            b'{"execute": "remove_hostfwd", "arguments": {"id": 99}}',
            b'{"execute": "remove_hostfwd", "arguments": {}}',
            b'{"execute": "nothing"}', b"{}", b"[]\n", b"not JSON", b'{"execute": "list_hostfwd"}')

        def observe(binary):
            self.run_container(binary, API, "-p", f"{TCP}:80")
            words = clients.command_line(self.the_helper(binary))
            path = words[words.index("--api-socket") + 1]
            replies = []
            for request in requests:
                with socket.socket(socket.AF_UNIX) as client, kernel.as_uid(USER):
                    client.settimeout(DEADLINE)
                    client.connect(path)
                    client.sendall(request)
                    replies.append(b"".join(iter(lambda one=client: one.recv(4096), b"")))
            self.remove("guest")
            self.wait_gone(binary)
            return replies

        seen = self.both(observe)
        lists = {name: json.loads(replies.pop()) for name, replies in seen.items()}
        self.assertEqual(seen["netns-helper"], seen["slirp4netns"])
        self.assertEqual(lists["netns-helper"]["entries"], lists["slirp4netns"]["entries"])
        self.assertEqual(lists["netns-helper"]["return"]["entries"], lists["slirp4netns"]["entries"])

    def test_udp_from_localhost(self):
        """Ours answers, slirp4netns does not under the --disable-host-loopback that podman sets."""
        def observe(binary):
            guest = self.run_container(binary, API, "-p", f"{UDP}:53/udp")
            self.the_helper(binary)
            self.udp_server(guest.netns_fd(), "0.0.0.0", port=53)
            seen = self.asks_udp(self.lab.host, "127.0.0.1")
            self.remove("guest")
            self.wait_gone(binary)
            return seen

        self.assertEqual(self.both(observe), {"slirp4netns": False, "netns-helper": True})

    def test_on_one_address(self):
        """-p ADDRESS:PORT:PORT is heard there and nowhere else."""
        def observe(binary):
            guest = self.run_container(binary, API, "-p", f"127.0.0.1:{TCP}:80")
            self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
            self.ask_tcp(self.lab.host, "127.0.0.1")
            with self.assertRaises(ConnectionRefusedError):
                self.ask_tcp(self.lab.lan, HOST_LAN4)
            self.remove("guest")
            self.wait_gone(binary)
            return True

        self.assertTrue(self.same(observe))

    def test_range(self):
        """A range is a request each."""
        def observe(binary):
            guest = self.run_container(binary, API, "-p", f"{TCP}-{TCP + 4}:80-84")
            for number in range(5):
                tcp = self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80 + number)
                self.ask_tcp(self.lab.lan, HOST_LAN4, TCP + number)
                self.assertEqual(tcp.peers, [LAN4])
            self.remove("guest")
            self.wait_gone(binary)
            return True

        self.assertTrue(self.same(observe))

    def test_port_taken(self):
        """The user is told, in the helper's words, and nothing is left."""
        self.tcp_server(self.lab.host, "0.0.0.0", port=TCP)

        def observe(binary):
            before = self.api_sockets()
            done = podman("run", "--rm", "--network", API, "-p", f"{TCP}:80", IMAGE, "true", binary=binary, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.wait_gone(binary)
            if binary == clients.OURS:
                self.assertEqual(self.api_sockets() - before, set())
            return done.returncode, done.stderr

        seen = self.both(observe)
        self.assertIn("slirp_add_hostfwd failed", seen["slirp4netns"][1])
        self.assertEqual(seen["netns-helper"][0], seen["slirp4netns"][0])
        self.assertIn("add_hostfwd: slirp_add_hostfwd failed", seen["netns-helper"][1])

    def test_by_podmans_own_proxy(self):
        """The default port handler dials into the namespace: the helper only has to be there."""
        def observe(binary):
            guest = self.run_container(binary, "slirp4netns", "-p", f"{TCP}:80")
            tcp = self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
            self.ask_tcp(self.lab.lan, HOST_LAN4)
            self.ask_tcp(self.lab.host, "127.0.0.1")
            self.remove("guest")
            self.wait_gone(binary)
            return tcp.peers

        self.assertEqual(self.same(observe), ["10.0.2.100"] * 2)


if __name__ == "__main__":
    main()
