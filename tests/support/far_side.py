# SPDX-License-Identifier: BSD-3-Clause
"""FarSide: what the rows of dial_rows.py meet: servers and a firewall in the lab's internet, routes of the lab's host. One a process."""

import contextlib
import json
import queue
import socket
import subprocess
import threading
import time

from tests.support import kernel
from tests.support.dial_rows import ADDRESSES, OTHERS, ROWS
from tests.support.ends import End
from tests.support.guest import DEADLINE
from tests.support.servers import family_of

_BACKLOG = 128
# Errors are answered each time; the queue of a listener that knows Fast Open takes data on the SYN.
_SYSCTLS = {"ipv4/icmp_ratelimit": "0", "ipv6/icmp/ratelimit": "0", "ipv4/tcp_fastopen": "3"}


def plain(value):
    """As it comes out of JSON, so that both ends' notes are alike."""
    return json.loads(json.dumps(value, default=repr))


class Service:
    """A row's listener."""

    def __init__(self, netns, row, address):
        self._row, self.deadline = row, DEADLINE
        with kernel.in_netns(netns):
            self._listener = socket.socket(family_of(address), socket.SOCK_STREAM, row.listener_protocol)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        row.prepare_listener(self._listener)
        self._listener.bind((address, row.port))
        self._listener.listen(_BACKLOG)
        self._seen = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        log = {"server": []}
        try:
            self._row.server(End("server", connection, log, self.deadline))
        except (AssertionError, OSError) as error:
            log["server"].append(("never", f"{type(error).__name__}: {error}"))
        connection.close()
        self._seen.put(plain(log["server"]))

    def seen(self, until):
        """What the server's end of the next connection noted; None if nobody came until then, or it is not done."""
        try:
            return self._seen.get(timeout=max(0.001, until - time.monotonic()))
        except queue.Empty:
            return None

    def forget(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self._seen.get_nowait()


class FarSide:
    def __init__(self, lab):
        with kernel.in_netns(lab.internet):
            for name, value in _SYSCTLS.items():
                with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                    file.write(value)
        self._firewall(lab.internet)
        self._routes()
        self._services = {(row.name, family): Service(lab.internet, row, ADDRESSES[family])
                          for row in ROWS.values() for family in row.families if row.far.get(family) == "serve"}
        for row in ROWS.values():  # the other family's, of a row that names both
            for family in set(row.far) - set(row.families):
                if row.far[family] == "serve":
                    self._services[(row.name, family)] = Service(lab.internet, row, ADDRESSES[family])

    @staticmethod
    def _firewall(netns):
        rules = []
        for family, table, word in ((4, "ip", "ip"), (6, "ip6", "ip6")):
            rules.append(f"add table {table} far")
            rules.append(f"add chain {table} far in {{ type filter hook input priority 0; }}")
            for row in ROWS.values():
                for address, verdicts in ((ADDRESSES[family], row.far), (OTHERS[family], row.other)):
                    verdict = verdicts.get(family, "closed")
                    if verdict not in ("serve", "closed"):
                        rules.append(f"add rule {table} far in {word} daddr {address} tcp dport {row.port} {verdict}")
        with kernel.in_netns(netns):
            subprocess.run(["nft", "-f", "-"], input="\n".join(rules) + "\n", text=True, check=True, timeout=DEADLINE)

    @staticmethod
    def _routes():
        for row in ROWS.values():
            if row.name.startswith("route "):
                for family in row.families:
                    subprocess.run(["ip", f"-{family}", "route", "add", row.name.split()[1], row.to[family]], check=True, timeout=DEADLINE)

    def service(self, row, family):
        return self._services.get((row.name, family))

    def begin(self, deadline):
        """What came late of a way before is forgotten; what is waited for must come within so many seconds."""
        for service in self._services.values():
            service.forget()
            service.deadline = deadline
