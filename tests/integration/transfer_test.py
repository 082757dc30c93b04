# SPDX-License-Identifier: BSD-3-Clause
"""A large file through TCP each way arrives as it was sent, at every MTU."""

import os
import socket

from tests.support import servers
from tests.support.case import LabTestCase, main
from tests.support.lab import SERVICE4, SERVICE6
from tests.support.skip import sanitized

MTUS = (576, 1280, 1500, 9000, 65520)
_FULL, _CI = 512 << 20, 32 << 20  # bytes
SIZE = (_FULL if os.environ.get("NETNS_HELPER_FULL") == "1" else _CI) // (10 if sanitized() else 1)
PATIENCE = 120.0  # s without a byte


class LargeFile(LabTestCase):
    @classmethod
    def setUpClass(cls):
        cls.digest = servers.stream_digest(SIZE)

    def _upload(self, guest, address):
        server = self.tcp_server(self.lab.internet, address, servers.sink)
        with guest.connect(address, server.port, timeout=PATIENCE) as connection:
            servers.send_stream(connection, SIZE)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(servers.receive_exactly(connection, 64).decode(), self.digest)

    def _download(self, guest, address):
        server = self.tcp_server(self.lab.internet, address, servers.source(SIZE))
        with guest.connect(address, server.port, timeout=PATIENCE) as connection:
            self.assertEqual(servers.receive_digest(connection), (SIZE, self.digest))

    def test_ipv4_at_every_mtu(self):
        for mtu in MTUS:
            with self.subTest(mtu=mtu):
                guest, helper = self.pair("--mtu", str(mtu))
                self.assertEqual(guest.link()["mtu"], mtu)
                self._upload(guest, SERVICE4)
                self._download(guest, SERVICE4)
                helper.stop()

    def test_ipv6(self):
        """Its headers differ, the way of the bytes does not: at the smallest and at the usual MTU."""
        for mtu in (1280, 1500):
            with self.subTest(mtu=mtu):
                guest, helper = self.pair("--mtu", str(mtu))
                self._upload(guest, SERVICE6)
                self._download(guest, SERVICE6)
                helper.stop()

    def test_through_a_forward(self):
        guest, helper = self.pair(control=True)
        listener = servers.TcpServer(guest.netns_fd(), "10.0.2.100", servers.sink)
        self._keep(listener)
        port = helper.forward(18099, listener.port)
        self.assertIn("id", port)
        with socket.create_connection(("127.0.0.1", 18099), PATIENCE) as connection:
            servers.send_stream(connection, SIZE)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(servers.receive_exactly(connection, 64).decode(), self.digest)


if __name__ == "__main__":
    main()
