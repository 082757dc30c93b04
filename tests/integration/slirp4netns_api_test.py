# SPDX-License-Identifier: BSD-3-Clause
"""In slirp4netns's place: the API socket, byte by byte beside slirp4netns, and what is better."""

import json
import os
import socket

from tests.support import kernel
from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.lab import LAN4, LAN6, HOST_LAN4, HOST_LAN6
from tests.support.servers import receive_exactly
from tests.support.slirp4netns import Slirp4netnsTestCase, ours, theirs

PORT = 18470


def add(proto="tcp", host_port=PORT, guest_port=80, **more):
    return json.dumps({"execute": "add_hostfwd",
                       "arguments": {"proto": proto, "host_port": host_port, "guest_port": guest_port, **more}}).encode()


# Asked in this order, one connection each; the replies of both must be the same bytes.
SAME = (
    add(), add("udp"), add(),  # the third: the port is taken
    add(host_addr="127.0.0.1", host_port=PORT + 1, guest_addr="10.0.2.100"), add(host_addr="", guest_addr="", host_port=PORT + 2),
    add(host_addr="0.0.0.0", host_port=PORT + 3, guest_addr="0.0.0.0"), add() + b"\n", b"  " + add(host_port=PORT + 4) + b"\r\n",
    b'{"execute":"remove_hostfwd","arguments":{"id":1}}', b'{"execute":"remove_hostfwd","arguments":{"id":1}}',
    b'{"execute":"remove_hostfwd","arguments":{"id":99}}', b'{"execute":"remove_hostfwd","arguments":{"id":"2"}}',
    b'{"execute":"remove_hostfwd","arguments":{}}', b'{"execute":"remove_hostfwd"}', add(host_port=PORT + 5),
    b"", b"\n", b"{", b"x", b"[]", b"1", b"{}", b'{"execute":5}', b'{"execute":"nothing"}', b'{"arguments":{}}', b"{" + b" " * 5000 + b"}",
    add("sctp"), add("TCP"), add(host_addr="1.2.3"), add(host_addr="x"), add(guest_addr="x"), add(host_port="80"),
    add(guest_port="80"), add(guest_port=0), add(host_addr="203.0.113.99"),
)


class Replies(Slirp4netnsTestCase):
    def test_byte_by_byte(self):
        replies = {}
        for binary in self.both():
            _, run = self.attached(binary, "-a", "@API@")
            replies[binary] = [run.ask_bytes(request) for request in SAME]
            run.process.terminate()
            run.wait_exit()
        if len(replies) == 2:
            for request, mine, original in zip(SAME, replies[ours()], replies[theirs()]):
                with self.subTest(request=request[:200]):
                    self.assertEqual(mine, original)

    def test_list_has_both_shapes(self):
        """The documented one, and the real one byte by byte."""
        lists = []
        for binary in self.both():
            _, run = self.attached(binary, "-a", "@API@")
            for request in (add(), add("udp", host_addr="127.0.0.1", guest_addr="10.0.2.15")):
                run.ask_bytes(request)
            lists.append(run.ask_bytes(b'{"execute":"list_hostfwd"}'))
            run.process.terminate()
            run.wait_exit()
        mine = json.loads(lists[0])
        self.assertEqual(mine["return"], {"entries": mine["entries"]})
        if len(lists) == 2:
            real = lists[1]
            self.assertTrue(lists[0].endswith(real[1:]), (lists[0], real))

    def test_without_newline_and_half_close_the_end_comes(self):
        for binary in self.both():
            _, run = self.attached(binary, "-a", "@API@")
            for request in (add(), b'{"execute":"remove_hostfwd","arguments":{"id":1}}', b'{"execute":"nothing"}', b"[]"):
                self.assertTrue(run.ask_bytes(request, half_close=False))

    def test_a_flood_is_answered(self):
        for binary in self.both():
            _, run = self.attached(binary, "-a", "@API@")
            self.assertEqual(run.ask_bytes(b"\0" * 4096), b'{"error":{"desc":"bad request: too large message"}}')

    def test_socket_is_there_at_ready(self):
        _, run = self.attached(ours(), "-a", "@API@")
        self.assertTrue(os.path.exists(run.api_path))


class Better(Slirp4netnsTestCase):
    def test_no_proto_ports_out_of_range_and_silent_clients(self):
        guest, run = self.attached(ours(), "-a", "@API@")
        silent = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for client in silent:
            self._keep(client).connect(run.api_path)
        self.assertEqual(run.ask_bytes(b'{"execute":"add_hostfwd","arguments":{"host_port":1,"guest_port":1}}'),
                         b'{"error":{"desc":"bad request: add_hostfwd: bad arguments.proto"}}')
        for port in (70000, 70080, 65536, -1, 1.5):
            self.assertEqual(run.ask_bytes(add(host_port=port)), b'{"error":{"desc":"bad request: add_hostfwd: bad arguments.host_port"}}')
            self.assertEqual(run.ask_bytes(add(guest_port=port)), b'{"error":{"desc":"bad request: add_hostfwd: bad arguments.guest_port"}}')
        self.assert_works(guest)

    def test_port_zero_is_chosen_and_told(self):
        guest, run = self.attached(ours(), "-a", "@API@")
        reply = json.loads(run.ask_bytes(add(host_addr="127.0.0.1", host_port=0)))
        port = reply["return"]["host_port"]
        self.assertEqual(reply["return"]["id"], 1)
        listener = self._keep(guest.listen("10.0.2.100", 80))
        with socket.create_connection(("127.0.0.1", port), DEADLINE):
            self._keep(listener.accept()[0])

    def test_ipv6_host_and_guest(self):
        guest, run = self.attached(ours(), "-a", "@API@", "-6", "--macaddress=02:00:00:00:00:07")
        mine = "fd00::ff:fe00:7"
        for more in ({}, {"guest_addr": mine}):
            self.assertIn(b'"return"', run.ask_bytes(add(host_addr="::", host_port=PORT + len(more), **more)))
            listener = self._keep(guest.listen(mine, 80))
            with self._connected_from_lan(LAN6, HOST_LAN6, PORT + len(more)):
                connection, peer = listener.accept()
                connection.close()
                self.assertEqual(peer[0], LAN6)
            listener.close()
        self.assertIn(b'"return"', run.ask_bytes(add("udp", host_addr="::1", host_port=PORT)))

    def _connected_from_lan(self, source, destination, port):
        with kernel.in_netns(self.lab.lan):
            return socket.create_connection((destination, port), DEADLINE, source_address=(source, 0))

    def test_ipv6_client_of_a_guest_without_ipv6(self):
        """It comes from the gateway."""
        guest, run = self.attached(ours(), "-a", "@API@")
        self.assertEqual(run.ask_bytes(add(host_addr="::1")), b'{"return":{"id":1}}')
        listener = self._keep(guest.listen("10.0.2.100", 80))
        with kernel.in_netns(self.lab.host):
            client = self._keep(socket.create_connection(("::1", PORT), DEADLINE))
        server, peer = listener.accept()
        self._keep(server)
        self.assertEqual(peer[0], "10.0.2.2")
        client.sendall(b"six")
        self.assertEqual(server.recv(3), b"six")


class Forwards(Slirp4netnsTestCase):
    def test_tcp_with_the_clients_address(self):
        for binary in self.both():
            guest, run = self.attached(binary, "-a", "@API@", "--disable-host-loopback")
            self.assertEqual(run.ask_bytes(add()), b'{"return":{"id":1}}')
            listener = self._keep(guest.listen("10.0.2.100", 80))
            with kernel.in_netns(self.lab.lan):
                client = self._keep(socket.create_connection((HOST_LAN4, PORT), DEADLINE))
            server, peer = listener.accept()
            self._keep(server)
            self.assertEqual(peer[0], LAN4)
            client.sendall(b"through")
            self.assertEqual(receive_exactly(server, 7), b"through")
            with socket.create_connection(("127.0.0.1", PORT), DEADLINE):
                server, peer = listener.accept()
                server.close()
                self.assertEqual(peer[0], "10.0.2.2")
            run.process.terminate()
            run.wait_exit()

    def test_udp_answers_localhost_though_host_loopback_is_denied(self):
        guest, run = self.attached(ours(), "-a", "@API@", "--disable-host-loopback")
        self.assertEqual(run.ask_bytes(add("udp", guest_port=53)), b'{"return":{"id":1}}')
        server = self.udp_server(guest.netns_fd(), "10.0.2.100", 53)
        for address in ("127.0.0.1", HOST_LAN4):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(DEADLINE)
                client.connect((address, PORT))
                self.assert_udp_echo(client)
        self.assertEqual(server.port, 53)

    def test_removed_is_closed_and_ids_are_not_used_again(self):
        for binary in self.both():
            _, run = self.attached(binary, "-a", "@API@")
            run.ask_bytes(add())
            run.ask_bytes(b'{"execute":"remove_hostfwd","arguments":{"id":1}}')
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", PORT), 5)
            self.assertEqual(run.ask_bytes(add()), b'{"return":{"id":2}}')
            run.process.terminate()
            run.wait_exit()


if __name__ == "__main__":
    main()
