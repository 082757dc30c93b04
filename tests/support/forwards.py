# SPDX-License-Identifier: BSD-3-Clause
"""ForwardsTestCase: what the tests of port forwards share: rules by the control socket, clients anywhere, networks behind the guest."""

import contextlib
import itertools
import os
import select
import socket
import subprocess

from tests.support import kernel, servers
from tests.support.case import LabTestCase
from tests.support.features import need_feature
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6

GUEST4, GUEST6, GATEWAY4, GATEWAY6 = "10.0.2.100", "fd00::100", "10.0.2.2", "fd00::2"
BRIDGE4, INNER4 = "10.99.0.1", "10.99.0.2"  # the guest's own bridge, and a container on it
BRIDGE6, INNER6 = "fd99::1", "fd99::2"
FULL = os.environ.get("NETNS_HELPER_FULL") == "1"

_ports = itertools.count(20000)


def next_port(count=1):
    """The first of so many ports that no other test of this program uses."""
    first = next(_ports)
    for _ in range(count - 1):
        next(_ports)
    return first


def closed(connection):
    """How the other side has ended it: "eof", or the error's name."""
    try:
        while connection.recv(65536):
            pass
        return "eof"
    except ConnectionResetError:
        return "reset"


class Network:
    """A network namespace on a bridge of the guest's own, as a container engine in the guest makes one."""

    def __init__(self, guest):
        self.netns = kernel.new_netns()
        guest.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        with guest.netns():
            subprocess.run(["ip", "link", "add", "inner0", "type", "veth", "peer", "name", "eth0", "netns", f"/proc/self/fd/{self.netns}"],
                           check=True, timeout=30, pass_fds=(self.netns,))
        for words in ("link add br0 type bridge",
                      "link set inner0 master br0", f"addr add {BRIDGE4}/24 dev br0", f"addr add {BRIDGE6}/64 dev br0 nodad",
                      "link set inner0 up", "link set br0 up"):
            guest.run("ip", *words.split())
        with kernel.in_netns(self.netns):
            for words in ("link set lo up", f"addr add {INNER4}/24 dev eth0", f"addr add {INNER6}/64 dev eth0 nodad", "link set eth0 up",
                          f"route add default via {BRIDGE4}", f"-6 route add default via {BRIDGE6} dev eth0"):
                subprocess.run(["ip", *words.split()], check=True, timeout=30)

    def close(self):
        os.close(self.netns)


class ForwardsTestCase(LabTestCase):
    # ---- the control socket ----
    def ask(self, helper, command, **arguments):
        """The reply's "return"."""
        with helper.control() as control:
            reply = control.ask({"execute": command, "arguments": arguments, "id": 1})
        if "return" not in reply:
            raise AssertionError(f"{command} {arguments}: {reply}\n{helper.log()}")
        return reply["return"]

    def refused(self, helper, command, **arguments):
        """The reply's "error"."""
        with helper.control() as control:
            reply = control.ask({"execute": command, "arguments": arguments, "id": 1})
        self.assertIn("error", reply)
        return reply["error"]

    def rules(self, helper):
        """id -> rule, as forward.list has them."""
        return {rule["id"]: rule for rule in self.ask(helper, "forward.list")["rules"]}

    def add(self, helper, *rules):
        return self.ask(helper, "forward.add", rules=list(rules))["rules"]

    def forwarding(self, *rules, options=(), guest=None):
        """(guest, helper with these rules, its control socket open): TCP goes by relays, or the test fails with the reason."""
        guest = guest or self.guest()
        words = [word for rule in rules for word in ("--forward", rule)]
        helper = self.helper(*words, *options, guest=guest, control=True)
        self.assert_relays(helper)
        return guest, helper

    def assert_relays(self, helper):
        need_feature("nf_tables")
        for rule in self.rules(helper).values():
            for listener in rule["listeners"]:
                if listener["proto"] == "tcp":
                    self.assertEqual(listener["path"], "relay", f"{rule['text']}: {listener.get('reason')}")

    @staticmethod
    def bound_port(rule, proto="tcp"):
        """Where a rule of one port really listens."""
        return next(listener["host_port"] for listener in rule["listeners"] if listener["proto"] == proto)

    @contextlib.contextmanager
    def events(self, helper, *names):
        """A subscription: next_event(name) reads on until an event of that name."""
        with helper.control() as control:
            reply = control.ask({"execute": "events.subscribe", "arguments": {"events": list(names)} if names else {}, "id": 1})
            self.assertIn("return", reply)

            def next_event(name):
                while (event := control.read_reply())["event"] != name:
                    pass
                return event["data"]

            yield next_event

    # ---- clients and services ----
    def client(self, netns, address, port, kind=socket.SOCK_STREAM, source=None, timeout=20):
        with kernel.in_netns(netns):
            result = socket.socket(servers.family_of(address), kind)
        self.addCleanup(result.close)
        result.settimeout(timeout)
        if source is not None:
            result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            result.bind(source)
        result.connect((address, port))
        return result

    def from_lan(self, port, address=HOST_LAN4, kind=socket.SOCK_STREAM):
        return self.client(self.lab.lan, address, port, kind)

    def from_localhost(self, port, address="127.0.0.1", kind=socket.SOCK_STREAM):
        return self.client(self.lab.host, address, port, kind)

    def lan_of(self, address):
        return HOST_LAN6 if ":" in address else HOST_LAN4

    def assert_refused(self, netns, address, port):
        with self.assertRaises(ConnectionRefusedError):
            self.client(netns, address, port)

    def echoes(self, connection, data=b"some bytes"):
        """Answered by an echo; the connection is left open."""
        self.assert_tcp_echo(connection, data)
        return connection

    def accepted(self, listener):
        """The next connection of a listening socket of the test's own: (connection, peer's address and port)."""
        readable = select.select([listener], [], [], 20)[0]
        self.assertTrue(readable, "nobody connects")
        connection, peer = listener.accept()
        self.addCleanup(connection.close)
        connection.settimeout(20)
        return connection, peer[:2]

    def listener(self, netns, address, port=0):
        result = servers.bound(netns, address, port, socket.SOCK_STREAM)
        self.addCleanup(result.close)
        result.listen(512)
        return result

    def network_behind(self, guest):
        need_feature("bridge")
        return self._keep(Network(guest))

    def wait_flows(self, helper, count, **query):
        """Until flow.list has so many; gives them."""
        def flows():
            found = self.ask(helper, "flow.list", **query)["flows"]
            return found if len(found) == count else None

        if count:
            return wait_until(flows, f"{count} flows")
        wait_until(lambda: flows() is not None, "no flow")
        return []
