# SPDX-License-Identifier: BSD-3-Clause
"""Many large flows at once, which relay threads move while the main thread counts them, lists them and ends some of them."""

import contextlib
import socket
import threading

from tests.support import servers
from tests.support.case import main
from tests.support.forwards import GUEST4, ForwardsTestCase, next_port
from tests.support.helper import wait_until

EACH_WAY = 6                 # flows that are let run to their end, of SIZE bytes
SIZE = 6 << 20               # six times what makes a flow large (src/base/limits.h: relay_large)
DOOMED = 4                   # flows that are killed under way,
KILLED_AFTER = 4 << 20       # bytes: by then a thread has them
PATIENCE = 120               # s


class Bulk(ForwardsTestCase):
    def test_all_at_once(self):
        guest = self.guest()
        sink = self.tcp_server(guest.netns_fd(), GUEST4, servers.sink)
        source = self.tcp_server(guest.netns_fd(), GUEST4, servers.source(SIZE))
        endless = self.tcp_server(guest.netns_fd(), GUEST4, servers.source(1 << 40))
        ports = [next_port() for _ in range(3)]
        _, helper = self.forwarding(*(f"[::]:{port}:{server.port}" for port, server in zip(ports, (sink, source, endless))),
                                    options=("--relay-threads", "2"), guest=guest)
        digest = servers.stream_digest(SIZE)
        problems = []

        def upload(connection):
            servers.send_stream(connection, SIZE)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(servers.receive_exactly(connection, len(digest)).decode(), digest)

        def download(connection):
            self.assertEqual(servers.receive_digest(connection), (SIZE, digest))

        def doomed(connection):
            with contextlib.suppress(ConnectionResetError):
                servers.receive_digest(connection)
                raise AssertionError("a killed flow has come to its end")

        def guarded(task, connection):
            try:
                with connection:
                    task(connection)
            except (OSError, AssertionError) as error:
                problems.append(f"{task.__name__}: {error!r}")

        tasks = [(upload, ports[0]), (download, ports[1])] * EACH_WAY + [(doomed, ports[2])] * DOOMED
        threads = [threading.Thread(target=guarded, args=(task, self.from_lan(port)), daemon=True) for task, port in tasks]
        for thread in threads:
            thread.start()
        killed = set()

        def all_killed():
            self.ask(helper, "stats")  # as flow.list, reads what the threads write
            for flow in self.ask(helper, "flow.list", limit=100)["flows"]:
                if flow["host_port"] == ports[2] and flow["bytes_to_host"] > KILLED_AFTER and flow["id"] not in killed:
                    self.ask(helper, "flow.kill", id=flow["id"])
                    killed.add(flow["id"])
            return len(killed) == DOOMED

        wait_until(all_killed, "every endless flow is large and killed", PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
        self.assertFalse(any(thread.is_alive() for thread in threads), "a flow has neither ended nor failed")
        self.assertEqual(problems, [])
        self.wait_flows(helper, 0)
        moved = self.ask(helper, "stats")
        self.assertGreaterEqual(moved["bytes_to_guest"], EACH_WAY * SIZE)
        self.assertGreaterEqual(moved["bytes_to_host"], EACH_WAY * SIZE)


if __name__ == "__main__":
    main()
