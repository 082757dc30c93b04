# SPDX-License-Identifier: BSD-3-Clause
"""The control socket, asked well, badly, slowly and not at all, while a flow of the guest goes on undisturbed."""

import contextlib
import json
import os
import random
import stat
import threading
import time

from tests.support.case import LabTestCase, main
from tests.support.helper import Control, wait_until
from tests.support.lab import SERVICE4
from tests.support.schema import CheckedControl, Schema

MALFORMED = 500
SILENT, SLOW = 20, 5

GOOD = {"proto": "tcp", "host_port": 18500, "guest_port": 80}


class Flow:
    """Asks and answers through the guest's network, one after another, and counts them."""

    def __init__(self, connection):
        self._connection = connection
        self._stop = threading.Event()
        self.rounds, self.problem = 0, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                self._connection.sendall(b"ask")
                if self._connection.recv(16) != b"ask":
                    raise OSError("the flow has ended")
                self.rounds += 1
        except OSError as error:
            self.problem = error

    def close(self):
        self._stop.set()
        self._thread.join(10)
        self._connection.close()


class ControlTestCase(LabTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.pair(control=True)

    @contextlib.contextmanager
    def undisturbed(self):
        """A flow of the guest goes on while the body runs, and after it the helper answers."""
        server = self.tcp_server(self.lab.internet, SERVICE4)
        flow = Flow(self.guest_.connect(SERVICE4, server.port))
        self.addCleanup(flow.close)
        wait_until(lambda: flow.rounds, "the flow begins")
        yield flow
        before = flow.rounds
        wait_until(lambda: flow.rounds > before or flow.problem, "the flow goes on")
        self.assertIsNone(flow.problem)
        self.assertIsNone(self.helper_.process.poll(), self.helper_.log())
        self.assertEqual(self.helper_.info()["pid"], self.helper_.pid)


class Protocol(ControlTestCase):
    def test_socket_is_the_owners(self):
        status = os.stat(self.helper_.control_path)
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)

    def test_info(self):
        info = self.helper_.info()
        self.assertEqual(info["pid"], self.helper_.pid)
        self.assertEqual(info["tap"]["name"], "tap0")
        self.assertEqual(info["tap"]["mac"], self.guest_.link()["address"])
        self.assertEqual(info["mtu"], self.guest_.link()["mtu"])
        self.assertEqual(info["addresses"]["ipv4"], {"network": "10.0.2.0/24", "gateway": "10.0.2.2", "dns": "10.0.2.3",
                                                     "guest": "10.0.2.100"})
        self.assertEqual(info["addresses"]["ipv6"]["guest"], "fd00::100")
        self.assertIsInstance(info["limits"], dict)
        self.assertGreater(len(info["counters"]["guard"]["drops"]), 20)
        self.assertTrue(info["libslirp"]["version"])

    def test_many_requests_on_one_connection_in_order(self):
        with self.helper_.control() as control:
            control.send(b"".join(json.dumps({"execute": "list_hostfwd", "id": n}).encode() + b"\n" for n in range(100)))
            self.assertEqual([control.read_reply()["id"] for _ in range(100)], list(range(100)))

    def test_without_newlines_and_in_pieces(self):
        with self.helper_.control() as control:
            text = json.dumps({"execute": "info", "id": {"any": ["thing", 1]}}).encode()
            for at in range(0, len(text), 7):
                control.send(text[at:at + 7])
            self.assertEqual(control.read_reply()["id"], {"any": ["thing", 1]})
            control.send(text + text)
            for _ in range(2):
                self.assertEqual(control.read_reply()["id"], {"any": ["thing", 1]})

    def test_as_clients_of_slirp4netns_do(self):
        """One request, no newline: a reply and the end, which they wait for."""
        for end_ours in (False, True):
            with self.helper_.control() as control:
                control.send(b'{"execute":"list_hostfwd"}')
                if end_ours:
                    control.socket.shutdown(1)
                self.assertEqual(control.read_reply()["entries"], [])
                self.assertIsNone(control.read_reply())

    def test_shapes_of_errors(self):
        for request, words in (("{", "cannot parse JSON"), ('{"execute":"nothing"}', "unknown execute"), ("{}", "no execute found")):
            with self.subTest(request=request), self.helper_.control() as control:
                control.send(request.encode())
                control.socket.shutdown(1)
                self.assertIn(words, control.read_reply()["error"]["desc"])

    def test_gone_at_the_end(self):
        self.assertEqual(self.helper_.stop(), 0)
        self.assertFalse(os.path.exists(self.helper_.control_path))


class Rules(ControlTestCase):
    """A whole session of the native commands, each word of it checked against the schema."""

    def setUp(self):
        super().setUp()
        self.schema = Schema()
        self.control = CheckedControl(self.helper_.control_path, self.schema)
        self.addCleanup(self.control.close)

    def ask(self, execute, **arguments):
        return self.control.ask({"execute": execute, "arguments": arguments, "id": 1})

    def test_session(self):
        everything = self.ask("events.subscribe")["return"]["events"]
        self.assertEqual(set(everything), self.schema.events())
        first, second = self.ask("forward.add", rules=["127.0.0.1:0:80", {"proto": "udp", "host_port": 0, "guest_port": 53}])["return"]["rules"]
        self.assertEqual(self.control.wait_event("rule_added")["data"]["id"], first["id"])
        self.assertEqual(self.control.wait_event("rule_added")["data"]["id"], second["id"])
        self.assertNotEqual(first["listeners"][0]["host_port"], 0)
        third = self.ask("forward.add", kind="forward", host_addr="127.0.0.1", host_port="0", guest_port="22")["return"]["rules"][0]
        self.assertEqual([rule["id"] for rule in self.ask("forward.list")["return"]["rules"]], [first["id"], second["id"], third["id"]])

        # What is told of a rule is the rule; what stays is not touched.
        kept = self.ask("forward.replace", rules=[third["spec"], second["text"], "127.0.0.1:0:81"])["return"]["rules"]
        self.assertEqual([rule["id"] for rule in kept[:2]], [second["id"], third["id"]])
        self.assertEqual([rule["listeners"] for rule in kept[:2]], [second["listeners"], third["listeners"]])
        self.assertEqual(self.control.wait_event("rule_removed")["data"]["id"], first["id"])
        self.ask("forward.remove", id=second["id"])
        self.ask("forward.remove", ids=[rule["id"] for rule in kept if rule["id"] != second["id"]])
        self.assertEqual(self.ask("forward.list")["return"]["rules"], [])

        before = self.ask("stats")["return"]
        self.assertAlmostEqual(before["time"], time.monotonic(), delta=60)
        self.assertGreaterEqual(self.ask("stats")["return"]["time"], before["time"])
        self.ask("flow.list", after=0, limit=10)
        self.assertEqual(self.ask("flow.kill", id=10**6)["error"]["code"], "missing")
        self.assertEqual(self.ask("info")["return"]["pid"], self.helper_.pid)
        old = self.ask("add_hostfwd", **GOOD)["return"]["id"]
        self.assertEqual([entry["id"] for entry in self.ask("list_hostfwd")["return"]["entries"]], [old])
        self.ask("remove_hostfwd", id=old)
        self.assertEqual(self.control.wait_event("rule_removed")["data"]["id"], kept[0]["id"])
        self.assertEqual(self.schema.commands() - self.control.asked, {"flow.kill"})

    def test_refusals(self):
        """All or none, and the rule at fault is named."""
        busy = self.ask("forward.add", host_port=0, guest_port=80)["return"]["rules"][0]["listeners"][0]["host_port"]
        for rules, field in ((["127.0.0.1:0:80", f"127.0.0.1:{busy}:80"], "rules[1].host_port"),
                             (["127.0.0.1:0:80", "127.0.0.1:0:99999"], "rules[1].guest_port"),
                             (["127.0.0.1:0:80", {"host_port": 0, "guest_port": 80, "host_prot": 1}], "rules[1].host_prot"),
                             (["127.0.0.1:0:80", 7], "rules[1]"), ("127.0.0.1:0:80", "rules")):
            with self.subTest(rules=rules):
                self.assertEqual(self.ask("forward.add", rules=rules)["error"]["field"], field)
                self.assertEqual(len(self.ask("forward.list")["return"]["rules"]), 1)
        self.assertEqual(self.ask("forward.remove", ids=[1, 99])["error"]["field"], "ids")
        self.assertEqual(self.ask("no.such")["error"]["field"], "execute")

    def test_two_hundred_rules(self):
        rules = [{"kind": "forward", "proto": "tcp", "host_addr": "127.0.0.1", "host_port": 0, "guest_port": 1000 + number}
                 for number in range(200)]
        self.assertEqual(len(self.ask("forward.add", rules=rules)["return"]["rules"]), 200)
        self.assertEqual(len(self.ask("forward.list")["return"]["rules"]), 200)
        self.assertEqual(self.ask("forward.replace", rules=[])["return"]["rules"], [])

    def test_deaf_subscriber(self):
        """One that does not read is dropped; everybody else notices nothing."""
        self.ask("events.subscribe")
        with self.undisturbed():
            rounds = 0
            with self.helper_.control() as other:
                while self.helper_.info()["counters"]["control"]["events_ended"] == 0:
                    rounds += 1
                    self.assertLess(rounds, 1000)
                    for _ in range(20):
                        other.send({"execute": "forward.replace", "arguments": {"rules": ["127.0.0.1:0:1/udp"]}, "id": 1})
                        other.send({"execute": "forward.replace", "arguments": {"rules": []}, "id": 1})
                    for _ in range(40):
                        self.assertIn("return", other.read_reply())


class Crashers(ControlTestCase):
    """What ends, freezes or misleads slirp4netns."""

    def test_no_proto(self):
        with self.undisturbed():
            for arguments in ({}, {"host_port": 18501, "guest_port": 80}):
                error = self.helper_.ask("add_hostfwd", arguments)["error"]
                self.assertEqual(error["field"], "proto")

    def test_silent_client(self):
        with self.undisturbed() as flow, contextlib.ExitStack() as clients:
            for _ in range(SILENT):
                clients.enter_context(self.helper_.control())
            before = flow.rounds
            wait_until(lambda: flow.rounds > before + 100, "the flow goes on beside silent clients")
            self.assertEqual(self.helper_.ask("list_hostfwd")["entries"], [])

    def test_port_70080(self):
        with self.undisturbed():
            for port in (70080, 65536, -1, 10**9, 10**30, 0.5, 80.5, "8080", "", None, True, [8080], {}):
                for field in ("host_port", "guest_port"):
                    with self.subTest(port=port, field=field):
                        error = self.helper_.ask("add_hostfwd", GOOD | {field: port})["error"]
                        self.assertEqual(error["field"], field)
            self.assertEqual(self.helper_.ask("list_hostfwd")["entries"], [])


class Malformed(ControlTestCase):
    def test_flood(self):
        """Each request that is an object is answered with the name of the member at fault; the others with an error."""
        dice = random.Random(2)
        junk = (None, True, -1, 0, 65536, 1e300, "", "x", "\u0000", "tcp\u0000", "1.2.3.4.5", "::g", "é" * 300, [], [[]], {}, {"a": 1})
        fields = ("proto", "host_port", "guest_port", "host_addr", "guest_addr")
        valid = {"proto": ("udp",), "host_port": (0,), "guest_port": (), "host_addr": ("", None), "guest_addr": ("", None)}
        with self.undisturbed():
            asked = 0
            while asked < MALFORMED:
                field = dice.choice(fields)
                value = dice.choice(junk)
                if value in valid[field] and not isinstance(value, bool):
                    continue
                asked += 1
                with self.helper_.control() as control:
                    reply = control.ask({"execute": "add_hostfwd", "arguments": GOOD | {field: value}})
                    self.assertIn("error", reply, (field, value))
                    self.assertEqual(reply["error"].get("field"), field, (value, reply))
            self.assertEqual(self.helper_.ask("list_hostfwd")["entries"], [])

    def test_not_json(self):
        dice = random.Random(3)
        whole = json.dumps({"execute": "add_hostfwd", "arguments": GOOD}).encode()
        with self.undisturbed():
            for _ in range(200):
                data = bytearray(whole)
                for _ in range(dice.randrange(1, 6)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                with self.helper_.control() as control:
                    control.send(bytes(data))
                    with contextlib.suppress(OSError):
                        control.socket.shutdown(1)
                    reply = control.read_reply()
                    self.assertTrue(reply and ("error" in reply or "return" in reply), data)
                    if "return" in reply:  # a change that broke no rule
                        self.helper_.ask("remove_hostfwd", {"id": reply["return"]["id"]})

    def test_deep_wide_and_long(self):
        with self.undisturbed():
            for data in (b"[" * (1 << 20), b'{"a":' * 100000, b'{"execute":"' + b"x" * (1 << 20) + b'"}', b"\0" * 100000,
                         b'{"execute":"info","arguments":{' + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}}",
                         b'{"execute":"info","execute":"list_hostfwd"}\n', b'{"execute":"info"}garbage\n', b'"\xff\xfe"'):
                with self.subTest(data=data[:30]), self.helper_.control() as control:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        control.send(data)
                        control.socket.shutdown(1)
                    with contextlib.suppress(ConnectionResetError):
                        reply = control.read_reply()
                        if reply is not None and "return" in reply:
                            reply = control.read_reply()
                        self.assertTrue(reply is None or "error" in reply, reply)


class Slow(ControlTestCase):
    def test_half_requests(self):
        with self.undisturbed() as flow, contextlib.ExitStack() as clients:
            for number in range(SLOW):
                clients.enter_context(self.helper_.control()).send(b'{"execute":"list_hostfwd"'[:3 + number])
            before = flow.rounds
            wait_until(lambda: flow.rounds > before + 100, "the flow goes on beside half requests")
            self.assertEqual(self.helper_.ask("list_hostfwd")["entries"], [])

    def test_half_a_request_is_not_kept_for_ever(self):
        with self.helper_.control(timeout=30) as control:
            control.send(b'{"execute":')
            self.assertIn("error", control.read_reply())
            self.assertIsNone(control.read_reply())

    def test_client_that_never_reads(self):
        with self.undisturbed() as flow:
            with self.helper_.control(timeout=1) as control:
                request = json.dumps({"execute": "info", "id": "x" * 1000}).encode() + b"\n"
                with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                    for _ in range(5000):
                        control.send(request)
                before = flow.rounds
                wait_until(lambda: flow.rounds > before + 100, "the flow goes on beside a client who does not read")
                self.assertEqual(self.helper_.ask("list_hostfwd")["entries"], [])

    def test_more_clients_than_there_are_places(self):
        with self.undisturbed():
            with contextlib.ExitStack() as clients:
                for _ in range(200):
                    with contextlib.suppress(BlockingIOError):  # the backlog is full
                        clients.enter_context(Control(self.helper_.control_path))
            wait_until(self._answers, "answers again after they have gone")

    def _answers(self):
        try:
            return "return" in (self.helper_.ask("info") or {})
        except OSError:
            return False


if __name__ == "__main__":
    main()
