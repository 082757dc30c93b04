# SPDX-License-Identifier: BSD-3-Clause
"""OutboundTestCase: what the tests of the guest's own connections share. Traffic: connections of every kind that must live through what a
test does meanwhile."""

import contextlib
import hashlib
import threading

from tests.support import servers
from tests.support.features import need_feature
from tests.support.forwards import FULL, GUEST4, GUEST6, ForwardsTestCase
from tests.support.helper import wait_until
from tests.support.lab import SERVICE4, SERVICE6

BLOCK = 1 << 16
# s, after each block, answer and connection: without them the traffic takes every processor for as long as a test waits for something else.
BULK_PAUSE, ASK_PAUSE, CONNECT_PAUSE = (0.001, 0.0, 0.005) if FULL else (0.005, 0.002, 0.02)
PROGRESS = 5         # steps of each of the traffic's connections
MOVES_AGAIN = 60.0   # s; the kernel's retransmissions back off
BOTH = (SERVICE4, SERVICE6)
OWN = {SERVICE4: GUEST4, SERVICE6: GUEST6}  # the guest's address of the family
GENERAL = ("--kernel-path=off",)


class Traffic:
    """For each service a bulk stream to it, a flow of requests and answers, and connections that come and go, until stop()."""

    def __init__(self, guest, echo_ports, sink_ports):
        """Ports by the service's address."""
        self.problems = []
        self.steps = {}
        self._guest, self._stop, self._tolerated = guest, threading.Event(), ()
        self._threads = []
        for address, port in echo_ports.items():
            self._start(self._ask, f"requests to {address}", address, port)
            self._start(self._connect, f"connections to {address}", address, port)
        for address, port in sink_ports.items():
            self._start(self._stream, f"stream to {address}", address, port)

    def _start(self, run, name, address, port):
        self.steps[name] = 0

        def body():
            try:
                run(name, address, port)
            except (OSError, AssertionError) as error:
                self.problems.append(f"{name}, after {self.steps[name]} steps: {error!r}")

        self._threads.append(threading.Thread(target=body, daemon=True))
        self._threads[-1].start()

    def _ask(self, name, address, port):
        with self._guest.connect(address, port, MOVES_AGAIN) as flow:
            while not self._stop.wait(ASK_PAUSE):
                question = self.steps[name].to_bytes(8, "big")
                flow.sendall(question)
                if servers.receive_exactly(flow, 8) != question:
                    raise AssertionError("another answer")
                self.steps[name] += 1

    def _stream(self, name, address, port):
        digest = hashlib.sha256()
        with self._guest.connect(address, port, MOVES_AGAIN) as flow:
            while not self._stop.wait(BULK_PAUSE):
                block = hashlib.sha256(self.steps[name].to_bytes(8, "big")).digest() * (BLOCK // 32)
                flow.sendall(block)
                digest.update(block)
                self.steps[name] += 1
            flow.shutdown(1)
            if servers.receive_exactly(flow, 64).decode() != digest.hexdigest():
                raise AssertionError("other bytes arrived than were sent")

    def _connect(self, name, address, port):
        while not self._stop.wait(CONNECT_PAUSE):
            try:
                with self._guest.connect(address, port, MOVES_AGAIN) as flow:
                    flow.sendall(b"new")
                    if servers.receive_exactly(flow, 3) != b"new":
                        raise AssertionError("another answer")
                self.steps[name] += 1
            except OSError as error:
                if error.errno not in self._tolerated:
                    raise

    @contextlib.contextmanager
    def tolerating(self, *errors):
        """What a new connection may end with while the body runs, because the guest has asked for it."""
        self._tolerated = errors
        try:
            yield
        finally:
            self._tolerated = ()

    def wait_progress(self, when):
        """Each of them comes on, from now."""
        before = dict(self.steps)

        def behind():
            return [name for name, steps in self.steps.items() if steps < before[name] + PROGRESS]

        try:
            wait_until(lambda: self.problems or not behind(), "progress", MOVES_AGAIN)
        except AssertionError:
            self.problems.append(f"{when}: no progress of {behind()}")
        if self.problems:
            raise AssertionError(f"{when}: {self.problems}")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(MOVES_AGAIN)
        if any(thread.is_alive() for thread in self._threads):
            self.problems.append("does not end")


class OutboundTestCase(ForwardsTestCase):
    def setUp(self):
        super().setUp()
        self.echo_ports_ = {address: self.tcp_server(self.lab.internet, address).port for address in BOTH}

    def outbound(self, *options, guest=None, **arguments):
        """(guest, helper), once the guest's TCP of both families goes by the kernel path."""
        guest = guest or self.guest()
        helper = self.helper(*options, guest=guest, control=True, **arguments)
        for service in BOTH:
            self.wait_relayed(guest, helper, service)
        return guest, helper

    def on_both_paths(self, observe, *options, services=BOTH):
        """observe(guest, helper) once with TCP on the kernel path and once without; it must tell the same. Gives it."""
        seen = {}
        for path in ((), GENERAL):
            with self.subTest(options=path):
                guest = self.guest()
                helper = self.helper(*path, *options, guest=guest, control=True)
                if not path:
                    self.wait_relayed(guest, helper, *services)
                seen[path] = observe(guest, helper)
                if path:
                    self.assertEqual(self.ask(helper, "stats")["flows"]["opened"]["relay"], 0)
                helper.stop()
        self.assertEqual(len(seen), 2, "one of them failed")
        self.assertEqual(seen[()], seen[GENERAL])
        return seen[()]

    # ---- which way a connection goes ----
    def flow_of(self, helper, connection):
        """Of a connection of the guest that has carried bytes: its entry in flow.list; None: it goes by the general path."""
        port = connection.getsockname()[1]
        return self.flow_between(helper, port, connection.getpeername()[:2])

    def flow_between(self, helper, guest_port, dialled):
        for flow in self.outbound_flows(helper):
            if flow["guest_port"] == guest_port and (flow["seen_addr"], flow["seen_port"]) == tuple(dialled):
                return flow
        return None

    def outbound_flows(self, helper):
        flows, after = [], 0
        while after is not None:
            page = self.ask(helper, "flow.list", after=after)
            flows += [flow for flow in page["flows"] if flow["direction"] == "out" and flow["proto"] == "tcp"]
            after = page["next"]
        return flows

    def dial(self, guest, service, port=None, timeout=20):
        """A new connection, which has carried bytes."""
        connection = guest.connect(service, port or self.echo_ports_[service], timeout)
        self.addCleanup(connection.close)
        return self.echoes(connection)

    def assert_relayed(self, helper, connection):
        flow = self.flow_of(helper, connection)
        self.assertIsNotNone(flow, f"not in flow.list: it goes by the general path. {self.why(helper)}")
        self.assertEqual(flow["path"], "relay")
        return flow

    def assert_general(self, helper, connection):
        self.assertIsNone(self.flow_of(helper, connection))
        self.assertGreater(self.ask(helper, "stats")["flows"]["now"]["libslirp"], 0)

    def relayed(self, guest, helper, service, timeout=20):
        """Whether a connection that is dialled now goes by the kernel path."""
        with guest.connect(service, self.echo_ports_[service], timeout) as connection:
            self.assert_tcp_echo(connection)
            return self.flow_of(helper, connection) is not None

    def wait_relayed(self, guest, helper, *services):
        need_feature("nf_tables")
        for service in services or BOTH:
            wait_until(lambda service=service: self.relayed(guest, helper, service),
                       lambda service=service: f"{service} by the kernel path; {self.why(helper)}")

    def why(self, helper):
        """What the helper tells of the path, for a failure's text."""
        info = self.ask(helper, "info")
        return f"kernel_path {info['kernel_path']}, notes {info['notes']}, counters {info['counters'].get('outbound')}\n{helper.log()}"

    @contextlib.contextmanager
    def path_events(self, helper):
        """next_path() reads on until the path of the guest's own connections has changed."""
        with self.events(helper, "path_changed") as next_event:
            def next_path():
                while (event := next_event("path_changed"))["direction"] != "out":
                    pass
                return event

            yield next_path

    # ---- connections that live through a test ----
    @contextlib.contextmanager
    def traffic(self, guest, services=BOTH):
        """Traffic before, during and after the body; nothing of it may be lost."""
        sinks = {address: self.tcp_server(self.lab.internet, address, servers.sink).port for address in services}
        traffic = Traffic(guest, {address: self.echo_ports_[address] for address in services}, sinks)
        try:
            traffic.wait_progress("before")
            yield traffic
            traffic.wait_progress("after")
        finally:
            traffic.stop()
        self.assertEqual(traffic.problems, [])

    # ---- what is in the guest's tables ----
    @staticmethod
    def our_tables(guest):
        """Names of our nf_tables tables, by family."""
        lines = guest.run("nft", "list", "tables").stdout.splitlines()
        return [tuple(line.split()[1:]) for line in lines if "netns-helper" in line]

    @staticmethod
    def our_rules(guest):
        """(family, table) of our rules of routing."""
        return [(family, rule["table"]) for family in ("-4", "-6") for rule in guest.ip(family, "rule", "show")
                if str(rule.get("protocol")) == "78"]

    def assert_one_set(self, guest):
        """Of rules of ours: one table a family, one rule, one route."""
        tables = self.our_tables(guest)
        self.assertEqual(sorted(family for family, _ in tables), ["ip", "ip6"], tables)
        rules = self.our_rules(guest)
        self.assertEqual(sorted(family for family, _ in rules), ["-4", "-6"], rules)
        routes = [(family, route["table"]) for family in ("-4", "-6") for route in guest.ip(family, "route", "show", "table", "all")
                  if str(route.get("protocol")) == "78"]
        self.assertEqual(sorted(routes), sorted(rules))
        self.assertEqual({name for _, name in tables}, {f"netns-helper-{table}" for _, table in rules})

    def assert_none_left(self, guest):
        wait_until(lambda: not self.our_tables(guest) and not self.our_rules(guest),
                   lambda: f"nothing of ours is left; now: {self.our_tables(guest)} {self.our_rules(guest)}")
