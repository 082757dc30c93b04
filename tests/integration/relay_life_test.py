# SPDX-License-Identifier: BSD-3-Clause
"""Forwards over time: the guest's own ports stay free, churn leaves nothing, and what the guest does to its tables, or whoever kills the
agent, ends no connection."""

import contextlib
import os
import signal
import socket
import struct
import threading

from tests.support import kernel, servers
from tests.support.case import main
from tests.support.features import need_feature
from tests.support.forwards import FULL, GUEST4, GUEST6, ForwardsTestCase, next_port
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6, LAN4, LAN6
from tests.support.skip import sanitized

FORWARDED = 60_000 if FULL else 3000  # connects closed by the client, over SERVICES ports
SERVICES = 3
OWN = 300                             # connects of the guest's own meanwhile, and as many after
FIRST_PORT = 10_000  # where no client of this program gets a port unasked
CHURN = 60_000 if FULL else 3000      # bench-forward --churn makes more of them, faster
KEPT = 64 + 16                        # stand-ins in stock, and idle pipes: kept for the next ones
ASK_PAUSE = 0.0 if FULL else 0.002     # s, after each answer of the flows that are open meanwhile
SILENT = KEPT + 20                    # clients: more than the stock, so that a descriptor kept of each shows
GROWTH = 1024 * (10 if sanitized() else 1)  # KiB that the allocator may keep after them


class Greeter:
    """A service that says one byte to each client and waits for its end: one thread, one client after another."""

    def __init__(self, netns, port):
        self.served = 0
        self._listener = servers.bound(netns, GUEST4, port, socket.SOCK_STREAM)
        self._listener.listen(1024)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(20)
                    connection.sendall(b"x")
                    self.served += 1
                    connection.recv(1)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class LifeTestCase(ForwardsTestCase):
    def greeted(self, port, source=None, reset=False):
        """One whole connection of a LAN client, which it ends."""
        with socket.socket() as client:
            client.settimeout(20)
            if source is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(source)
            client.connect((HOST_LAN4, port))
            self.assertEqual(client.recv(1), b"x")
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def resident(helper):
        """KiB."""
        with open(f"/proc/{helper.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class GuestsOwnPorts(LifeTestCase):
    def test_stay_free(self):
        """Each client port is one of the guest's own range, which has no other: a stand-in that took its port for itself would leave none."""
        ports = [next_port() for _ in range(SERVICES)]
        guest, helper = self.forwarding(*(f"0.0.0.0:{port}:{80 + number}" for number, port in enumerate(ports)))
        count = FORWARDED // SERVICES
        guest.run("sh", "-c", f"echo {FIRST_PORT} {FIRST_PORT + count - 1} >/proc/sys/net/ipv4/ip_local_port_range")
        greeters = [self._keep(Greeter(guest.netns_fd(), 80 + number)) for number in range(SERVICES)]
        own = self.tcp_server(guest.netns_fd(), "127.0.0.1", port=1080)
        own_done = 0
        with kernel.in_netns(self.lab.lan):
            for number in range(FORWARDED):
                self.greeted(ports[number // count], (LAN4, FIRST_PORT + number % count))
                if number * OWN >= own_done * FORWARDED:
                    self.own_connect(guest, own.port)
                    own_done += 1
        for _ in range(OWN):
            self.own_connect(guest, own.port)
        self.assertEqual(sum(greeter.served for greeter in greeters), FORWARDED)
        self.wait_flows(helper, 0)

    def own_connect(self, guest, port):
        with guest.connect("127.0.0.1", port) as connection:
            self.assert_tcp_echo(connection)


class Churn(LifeTestCase):
    def test_returns_descriptors_and_memory(self):
        ports = [next_port() for _ in range(SERVICES)]
        guest, helper = self.forwarding(*(f"0.0.0.0:{port}:80" for port in ports))
        self._keep(Greeter(guest.netns_fd(), 80))
        self.churn(ports, CHURN // 10)
        self.wait_flows(helper, 0)
        descriptors, memory = helper.fds(), self.resident(helper)
        self.churn(ports, CHURN)
        self.wait_flows(helper, 0)
        wait_until(lambda: helper.fds() <= descriptors + KEPT,
                   lambda: f"no more than {descriptors} descriptors and {KEPT}; now {helper.fds()}")
        self.assertLess(self.resident(helper), memory + GROWTH)

    def churn(self, ports, count):
        with kernel.in_netns(self.lab.lan):
            for number in range(count):
                self.greeted(ports[number % len(ports)], reset=number % 2 == 1)

    def test_clients_that_say_nothing_and_leave(self):
        port = next_port()
        guest, helper = self.forwarding(f"0.0.0.0:{port}:80")
        server = self.tcp_server(guest.netns_fd(), GUEST4, port=80)
        self.echoes(self.from_lan(port)).close()
        self.wait_flows(helper, 0)
        before = helper.fds()
        clients = [self.from_lan(port) for _ in range(SILENT)]
        self.wait_flows(helper, SILENT)
        wait_until(lambda: len(server.peers) == SILENT + 1, "all of them are there")
        for client in clients:
            client.close()
        self.wait_flows(helper, 0)
        # The stock may have been low when they were counted.
        wait_until(lambda: helper.fds() <= before + KEPT, lambda: f"no more than {before} descriptors and {KEPT}; now {helper.fds()}")


class Tables(LifeTestCase):
    """What the guest's root does to the tables that stand-ins need. A flow of each kind is open all the while."""

    def setUp(self):
        super().setUp()
        self.port_ = next_port()
        self.guest_, self.helper_ = self.forwarding(f"[::]:{self.port_}:80")
        self.servers_ = {HOST_LAN4: (self.tcp_server(self.guest_.netns_fd(), GUEST4, port=80), LAN4),
                         HOST_LAN6: (self.tcp_server(self.guest_.netns_fd(), GUEST6, port=80), LAN6)}
        self.flows_ = [self.echoes(self.from_lan(self.port_, dialled)) for dialled in self.servers_]

    def assert_as_before(self, patience=None):
        """Old flows go on, new ones come, and with their own addresses."""
        for flow in self.flows_:
            self.echoes(flow, b"an established flow goes on")
        for dialled, (server, seen) in self.servers_.items():
            if patience:
                wait_until(lambda dialled=dialled: self.answered(dialled), f"{dialled} is answered again", patience)
            self.echoes(self.from_lan(self.port_, dialled))
            self.assertEqual(server.peers[-1], seen)
        self.assert_relays(self.helper_)

    def answered(self, dialled):
        with contextlib.suppress(OSError):
            connection = self.client(self.lab.lan, dialled, self.port_, timeout=2)
            connection.sendall(b"ask")
            return connection.recv(3) == b"ask"
        return False

    @contextlib.contextmanager
    def traffic(self):
        """The open flows ask and are answered again and again while the body runs."""
        stop, problems = threading.Event(), []

        def run(flow):
            try:
                while not stop.wait(ASK_PAUSE):
                    self.assert_tcp_echo(flow)
            except (OSError, AssertionError) as error:
                problems.append(repr(error))

        threads = [threading.Thread(target=run, args=(flow,), daemon=True) for flow in self.flows_]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        self.assertEqual(problems, [])

    def test_nft_flush_ruleset(self):
        with self.traffic():
            for _ in range(5):
                self.guest_.run("nft", "flush", "ruleset")
        self.assert_as_before()

    def test_ip_rule_flush(self):
        """All rules go but the first; the guest's own come back by its own hand, ours by the agent's."""
        for family in ("-4", "-6"):
            self.guest_.run("ip", family, "rule", "flush")
            self.guest_.run("ip", family, "rule", "add", "pref", "32766", "lookup", "main")
        self.assert_as_before(patience=20)

    def test_ip_route_flush_of_every_table(self):
        for family in ("-4", "-6"):
            tables = {route.get("table") for route in self.guest_.ip(family, "route", "show", "table", "all")}
            for table in tables - {None, "main", "local", "default"}:
                self.guest_.run("ip", family, "route", "flush", "table", str(table))
        self.assert_as_before(patience=20)

    def test_conntrack_flush(self):
        need_feature("nf_conntrack")
        for first in ("client", "guest"):
            with self.subTest(speaks_first=first):
                port = next_port()
                self.add(self.helper_, f"0.0.0.0:{port}:81")
                listener = self.listener(self.guest_.netns_fd(), GUEST4, 81)
                client = self.from_lan(port)
                service, _ = self.accepted(listener)
                for _ in range(3):
                    self.guest_.run("conntrack", "-F")
                    one, other = (client, service) if first == "client" else (service, client)
                    for sender, reader in ((one, other), (other, one)):
                        sender.sendall(b"some bytes")
                        self.assertEqual(servers.receive_exactly(reader, 10), b"some bytes")
                listener.close()
        with self.traffic():
            for _ in range(20):
                self.guest_.run("conntrack", "-F")
        self.assert_as_before()

    def test_nothing_of_ours_is_left_at_the_end(self):
        before = self.tables()
        self.assertNotEqual(before, "")
        for flow in self.flows_:
            flow.close()
        self.helper_.stop()
        wait_until(lambda: self.tables() == "", lambda: f"nothing is left; now: {self.tables()}")

    def tables(self):
        """Tables of the guest, and rules beside the kernel's own."""
        rules = [line for family in ("-4", "-6") for line in self.guest_.run("ip", family, "rule", "show").stdout.splitlines()
                 if not line.endswith(("lookup local", "lookup main", "lookup default"))]
        return self.guest_.run("nft", "list", "ruleset").stdout + "\n".join(rules)


class AgentKilled(LifeTestCase):
    def test_old_flows_live_and_new_ones_take_libslirp(self):
        port = next_port()
        guest, helper = self.forwarding(f"0.0.0.0:{port}:80")
        server = self.tcp_server(guest.netns_fd(), GUEST4, port=80)
        old = self.echoes(self.from_lan(port))
        with self.events(helper, "path_changed") as next_event:
            self.signal_agent(helper, signal.SIGKILL)
            event = next_event("path_changed")
        self.assertEqual(event["path"], "libslirp")
        self.assertTrue(event["reason"])
        (rule,) = self.rules(helper).values()
        self.assertEqual([(one["path"], bool(one.get("reason"))) for one in rule["listeners"]], [("libslirp", True)])
        self.assertIsNone(helper.info()["agent_pid"])
        for _ in range(3):
            self.echoes(self.from_lan(port))
            self.assertEqual(server.peers[-1], LAN4)
            self.echoes(old, b"an established flow lives on")
        # The helper holds the table's owner, too.
        guest.run("nft", "flush", "ruleset")
        self.echoes(old, b"and on")

    def test_what_libslirp_cannot_do_says_so(self):
        path_port, port = next_port(), next_port()
        guest, helper = self.forwarding(f"0.0.0.0:{port}:127.0.0.1:80", f"0.0.0.0:{path_port}:80")
        self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
        with self.events(helper, "rule_failed") as next_event:
            self.signal_agent(helper, signal.SIGKILL)
            event = next_event("rule_failed")
        failed = next(rule for rule in self.rules(helper).values() if "127.0.0.1" in rule["spec"].get("guest_addr", ""))
        self.assertEqual(event["id"], failed["id"])
        self.assertTrue(event["reason"])
        self.echoes(self.from_lan(path_port))


if __name__ == "__main__":
    main()
