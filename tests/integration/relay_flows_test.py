# SPDX-License-Identifier: BSD-3-Clause
"""What is told of forwarded flows: flow.list, the counters, the events; and flow.kill."""

import contextlib
import socket
import struct

from tests.support import servers
from tests.support.case import main
from tests.support.forwards import GATEWAY4, GUEST4, GUEST6, ForwardsTestCase, next_port
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6, LAN4, LAN6

UP, DOWN = 100_000, 250_000  # bytes, told apart
MANY = 25
UNREAD_ROUNDS = 20           # of RULES rules added and removed before a subscriber that does not read
RULES = 200


class FlowsTestCase(ForwardsTestCase):
    def setUp(self):
        super().setUp()
        self.port_ = next_port()
        self.guest_, self.helper_ = self.forwarding(f"[::]:{self.port_}:80")
        (self.rule_,) = self.rules(self.helper_)
        self.listeners_ = {address: self.listener(self.guest_.netns_fd(), address, 80) for address in (GUEST4, GUEST6)}

    def pair_(self, dialled=HOST_LAN4, guest_address=GUEST4):
        """(a LAN client, the service's end of it)."""
        client = self.from_lan(self.port_, dialled)
        service, _ = self.accepted(self.listeners_[guest_address])
        return client, service

    @staticmethod
    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


class Listed(FlowsTestCase):
    def test_every_member(self):
        for dialled, guest_address, lan in ((HOST_LAN4, GUEST4, LAN4), (HOST_LAN6, GUEST6, LAN6)):
            with self.subTest(dialled=dialled):
                client, service = self.pair_(dialled, guest_address)
                port = client.getsockname()[1]
                client.sendall(b"u" * UP)
                servers.receive_exactly(service, UP)
                service.sendall(b"d" * DOWN)
                servers.receive_exactly(client, DOWN)
                wait_until(lambda: self.ask(self.helper_, "flow.list")["flows"][0]["bytes_to_host"] == DOWN, "its bytes are counted")
                (flow,) = self.ask(self.helper_, "flow.list")["flows"]
                expected = {"rule": self.rule_, "proto": "tcp", "path": "relay", "direction": "in", "state": "open",
                            "peer_addr": lan, "peer_port": port, "host_addr": dialled, "host_port": self.port_,
                            "seen_addr": lan, "seen_port": port, "guest_addr": guest_address, "guest_port": 80,
                            "bytes_to_guest": UP, "bytes_to_host": DOWN}
                self.assertEqual({name: flow[name] for name in expected}, expected)
                self.assertGreaterEqual(flow["age"], 0)
                client.close()
                service.close()
                self.wait_flows(self.helper_, 0)

    def test_a_local_client_is_seen_as_the_gateway(self):
        client = self.from_localhost(self.port_)
        _, peer = self.accepted(self.listeners_[GUEST4])
        (flow,) = self.wait_flows(self.helper_, 1)
        self.assertEqual((flow["peer_addr"], flow["peer_port"]), ("127.0.0.1", client.getsockname()[1]))
        self.assertEqual((flow["seen_addr"], flow["seen_port"]), tuple(peer))
        self.assertEqual(flow["seen_addr"], GATEWAY4)

    def test_page_by_page(self):
        pairs = [self.pair_() for _ in range(MANY)]
        wait_until(lambda: len(self.ask(self.helper_, "flow.list")["flows"]) == MANY, "all flows")
        ids, after = [], 0
        for _ in range(MANY):
            page = self.ask(self.helper_, "flow.list", after=after, limit=10)
            self.assertLessEqual(len(page["flows"]), 10)
            ids += [flow["id"] for flow in page["flows"]]
            after = page["next"]
            if after is None:
                break
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(len(ids), len(pairs))

    def test_of_one_rule(self):
        other = next_port()
        (entry,) = self.add(self.helper_, f"0.0.0.0:{other}:80")
        self.pair_()
        client = self.from_lan(other)
        self.accepted(self.listeners_[GUEST4])
        (flow,) = self.wait_flows(self.helper_, 1, rule=entry["id"])
        self.assertEqual(flow["peer_port"], client.getsockname()[1])
        self.assertEqual(len(self.ask(self.helper_, "flow.list")["flows"]), 2)

    def test_udp_flows_too(self):
        port = next_port()
        (entry,) = self.add(self.helper_, f"0.0.0.0:{port}:53/udp")
        self.udp_server(self.guest_.netns_fd(), GUEST4, 53)
        self.assert_udp_echo(self.from_lan(port, kind=socket.SOCK_DGRAM))
        (flow,) = self.wait_flows(self.helper_, 1, rule=entry["id"])
        self.assertEqual((flow["proto"], flow["path"], flow["peer_addr"]), ("udp", "frames", LAN4))


class Killed(FlowsTestCase):
    def test_both_sides_are_reset(self):
        client, service = self.pair_()
        other = self.pair_()
        flows = self.wait_flows(self.helper_, 2)
        mine = next(flow["id"] for flow in flows if flow["peer_port"] == client.getsockname()[1])
        with self.events(self.helper_, "flow_closed") as next_event:
            self.ask(self.helper_, "flow.kill", id=mine)
            event = next_event("flow_closed")
        self.assertEqual((event["id"], event["end"]), (mine, "killed"))
        for end in (client, service):
            with self.assertRaises(ConnectionResetError):
                end.recv(1)
        other[0].sendall(b"untouched")
        self.assertEqual(servers.receive_exactly(other[1], 9), b"untouched")
        self.assertEqual(self.refused(self.helper_, "flow.kill", id=mine)["field"], "id")


class Counted(FlowsTestCase):
    def test_by_rule_and_in_all(self):
        before = self.ask(self.helper_, "stats")
        client, service = self.pair_()
        client.sendall(b"u" * UP)
        servers.receive_exactly(service, UP)
        client.close()
        service.sendall(b"d" * DOWN)
        service.close()
        self.wait_flows(self.helper_, 0)
        for listener in self.listeners_.values():
            listener.close()
        with self.assertRaises(ConnectionResetError):
            self.from_lan(self.port_).recv(1)
        self.wait_flows(self.helper_, 0)
        rule = self.rules(self.helper_)[self.rule_]
        self.assertEqual((rule["flows"], rule["flows_opened"], rule["flows_failed"], rule["bytes_to_guest"]), (0, 1, 1, UP))
        after = self.ask(self.helper_, "stats")
        self.assertEqual(after["bytes_to_guest"] - before["bytes_to_guest"], UP)
        self.assertEqual(after["flows"]["now"]["relay"], 0)
        self.assertEqual(after["flows"]["ended"]["refused"] - before["flows"]["ended"]["refused"], 1)


class Events(FlowsTestCase):
    def test_how_flows_end(self):
        def both_close(client, service):
            client.close()
            service.close()

        for end, act in (("closed", both_close), ("reset_by_host", lambda client, service: self.reset(client)),
                         ("reset_by_guest", lambda client, service: self.reset(service))):
            with self.subTest(end=end), self.events(self.helper_, "flow_opened", "flow_closed") as next_event:
                client, service = self.pair_()
                port = client.getsockname()[1]
                opened = next_event("flow_opened")
                self.assertEqual((opened["peer_addr"], opened["peer_port"], opened["rule"]), (LAN4, port, self.rule_))
                act(client, service)
                told = next_event("flow_closed")
                self.assertEqual((told["id"], told["end"]), (opened["id"], end))

    def test_refused(self):
        for listener in self.listeners_.values():
            listener.close()
        with self.events(self.helper_) as next_event:
            # The reset may come as early as within connect(2).
            with contextlib.suppress(ConnectionResetError):
                self.from_lan(self.port_)
            self.assertEqual(next_event("flow_closed")["end"], "refused")

    def test_rules(self):
        with self.events(self.helper_, "rule_added", "rule_removed") as next_event:
            (entry,) = self.add(self.helper_, f"{next_port()}:80")
            self.assertEqual(next_event("rule_added")["id"], entry["id"])
            self.ask(self.helper_, "forward.remove", id=entry["id"])
            self.assertEqual(next_event("rule_removed")["id"], entry["id"])

    def test_a_subscriber_that_does_not_read_is_dropped(self):
        """And nobody waits for it."""
        port = next_port(RULES)
        with self.helper_.control() as deaf:
            deaf.ask({"execute": "events.subscribe", "id": 1})
            client, service = self.pair_()
            for _ in range(UNREAD_ROUNDS):
                entries = self.add(self.helper_, *(f"{port + number}:80" for number in range(RULES)))
                self.ask(self.helper_, "forward.remove", ids=[entry["id"] for entry in entries])
            client.sendall(b"undisturbed")
            self.assertEqual(servers.receive_exactly(service, 11), b"undisturbed")
            with self.assertRaises((ConnectionResetError, BrokenPipeError)):
                while deaf.read_reply() is not None:
                    pass
                deaf.send({"execute": "stats", "id": 2})
                deaf.send({"execute": "stats", "id": 3})


if __name__ == "__main__":
    main()
