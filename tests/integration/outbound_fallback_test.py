# SPDX-License-Identifier: BSD-3-Clause
"""Where the kernel path cannot be, or must not be, or would be in the way of the guest's own firewall and marks: what works without us works."""

import contextlib
import os
import socket
import struct

from tests.support.case import main
from tests.support.forwards import GUEST4
from tests.support.helper import START, wait_until
from tests.support.lab import SERVICE4
from tests.support.outbound import BOTH, OutboundTestCase
from tests.support.refuse_nftables import WRAPPER

LATER = 20     # connections after the first one that had to wait
DIALS = 10     # from one port, one after another
OWN_MARK = "0x5"
OWN_MARK_PORT = 7070
OTHER4 = "10.0.2.77"  # another address of the guest, which only its own marks lead to
FIREWALL = """
table inet own {
  chain in {
    type filter hook input priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    meta l4proto ipv6-icmp accept
  }
}
"""
OUTPUT_TOO = """
table inet own_out {
  chain out {
    type filter hook output priority 0; policy drop;
    ct state established,related accept
    meta l4proto ipv6-icmp accept
    oifname "tap0" ct state new accept
  }
}
"""
NO_BARE_SYN = """
table inet own {
  chain in {
    type filter hook input priority 0;
    tcp flags & (syn|ack) == syn drop
  }
}
"""


class WithoutKernelPath(OutboundTestCase):
    def assert_all_general(self, guest, helper):
        """TCP of both families, with traffic, and not one relay."""
        with self.traffic(guest) as traffic:
            for service in BOTH:
                self.assert_general(helper, self.dial(guest, service))
            guest.run("nft", "flush", "ruleset")
            traffic.wait_progress("after a flush of the guest's tables")
        stats = self.ask(helper, "stats")
        self.assertEqual(stats["flows"]["opened"]["relay"], 0)
        self.assertEqual(self.outbound_flows(helper), [])

    def test_off(self):
        guest = self.guest()
        helper = self.helper("--kernel-path=off", guest=guest, control=True)
        self.assert_all_general(guest, helper)
        self.assertEqual((helper.info()["kernel_path"]["wanted"], helper.info()["kernel_path"]["ipv4"]), ("off", False))
        self.assert_none_left(guest)

    def test_off_refuses_the_forwards_that_need_it(self):
        for rule in ("unix:/tmp/netns-helper-no-such-directory/socket:80", "8080:127.0.0.1:80"):
            helper = self.helper("--kernel-path=off", "--forward", rule, guest=self.guest(), wait=False)
            self.assertEqual(helper.wait_exit(START), 1, helper.log())
            self.assert_never_ready(helper)
            self.assertRegex(helper.log(), "--forward.*--kernel-path=off")
        helper = self.helper("--kernel-path=off", "--forward", "reverse:8080:80", guest=self.guest(), control=True)

        def listener():
            return self.ask(helper, "forward.list")["rules"][0]["listeners"][0]

        wait_until(lambda: "reason" not in listener(), lambda: f"the guest's socket: {listener()}")
        self.assertEqual(listener()["path"], "relay")

    def test_nftables_refused(self):
        guest = self.guest()
        helper = self.helper(guest=guest, control=True, wrapper=WRAPPER)
        wait_until(lambda: "Operation not permitted" in self.told_reason(helper), lambda: f"the reason; {self.why(helper)}")
        self.assert_all_general(guest, helper)
        self.assert_none_left(guest)

    def test_nftables_refused_and_required(self):
        """Ends with the reason, and never says that it is ready."""
        guest = self.guest()
        helper = self.helper("--kernel-path=require", guest=guest, wrapper=WRAPPER, wait=False)
        self.assertEqual(helper.wait_exit(START), 1)
        self.assert_never_ready(helper)
        self.assertRegex(helper.log(), "Operation not permitted")
        self.assertRegex(helper.log(), "kernel.path")
        self.assertIsNone(guest.link(), "the TAP is taken back")

    def assert_never_ready(self, helper):
        self.assertEqual(os.read(helper.ready_fd, 16), b"")

    def test_required_and_there(self):
        guest = self.guest()
        helper = self.helper("--kernel-path=require", guest=guest, control=True)
        for service in BOTH:
            self.assert_relayed(helper, self.dial(guest, service))
        with self.traffic(guest):
            pass

    def told_reason(self, helper):
        return helper.info()["kernel_path"]["reason"]


class Firewall(OutboundTestCase):
    """The guest's own, which knows nothing of us."""

    def firewalled(self, *rulesets, before=True):
        guest = self.guest()
        for rules in rulesets if before else ():
            self.load(guest, rules)
        guest, helper = self.outbound(guest=guest)
        for rules in () if before else rulesets:
            self.load(guest, rules)
        return guest, helper

    @staticmethod
    def load(guest, rules):
        guest.run("nft", rules)

    def test_input_is_dropped_by_default(self):
        for before in (True, False):
            with self.subTest(before=before):
                guest, helper = self.firewalled(FIREWALL, before=before)
                with self.traffic(guest):
                    for service in BOTH:
                        self.assert_relayed(helper, self.dial(guest, service))
                self.assertEqual(retransmissions(guest), 0, "a SYN had to wait")
                helper.stop()

    def test_output_too(self):
        guest, helper = self.firewalled(FIREWALL, OUTPUT_TOO)
        with self.traffic(guest):
            for service in BOTH:
                self.assert_relayed(helper, self.dial(guest, service))

    def test_strict_reverse_path_filter(self):
        guest = self.guest()
        guest.run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done")
        guest, helper = self.outbound(guest=guest)
        guest.run("sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done")
        with self.traffic(guest):
            for service in BOTH:
                self.assert_relayed(helper, self.dial(guest, service))

    def test_bare_syns_are_dropped_from_the_start(self):
        """No simultaneous open is possible."""
        guest = self.guest()
        self.load(guest, NO_BARE_SYN)
        helper = self.helper(guest=guest, control=True)
        self.assert_general_without_waiting(guest, helper)

    def test_bare_syns_are_dropped_later(self):
        """The first ones may pay for it with a SYN's retransmission, the ones that are dialled after them must not."""
        guest, helper = self.outbound()
        old = [self.dial(guest, service) for service in BOTH]
        with self.path_events(helper) as next_path:
            self.load(guest, NO_BARE_SYN)
            for service in BOTH:
                self.assert_general(helper, self.dial(guest, service))
            while next_path()["path"] != "libslirp":
                pass
        self.assert_general_without_waiting(guest, helper)
        for connection in old:
            self.echoes(connection, b"an established flow goes on")
            self.assert_relayed(helper, connection)
        # And back, once a probe succeeds.
        guest.run("nft", "delete table inet own")
        self.wait_relayed(guest, helper)

    def assert_general_without_waiting(self, guest, helper):
        with self.traffic(guest):
            pass
        before = retransmissions(guest)
        for _ in range(LATER):
            for service in BOTH:
                connection = self.dial(guest, service)
                self.assert_general(helper, connection)
                connection.close()
        self.assertLessEqual(retransmissions(guest) - before, 2, f"SYNs had to wait. {self.why(helper)}")


def retransmissions(guest):
    """SYNs and SYN-ACKs that the guest has sent again, of both families."""
    names, values = (line.split() for line in guest.run("cat", "/proc/net/netstat").stdout.splitlines() if line.startswith("TcpExt:"))
    return int(values[names.index("TCPSynRetrans")])


class Marks(OutboundTestCase):
    """Of the guest's own."""

    def test_policy_routing_by_socket_marks(self):
        """What is marked leaves from another address, by a table of the guest's; the answers' connection mark is the guest's."""
        for before in (True, False):
            with self.subTest(before=before):
                guest = self.guest()
                if before:
                    self.own_rule(guest)
                helper = self.helper(guest=guest, control=True)
                if not before:
                    self.own_rule(guest)
                self.own_marks(guest)
                self.wait_relayed(guest, helper)
                with self.traffic(guest):
                    for mark, source in ((0, GUEST4), (int(OWN_MARK, 16), OTHER4)):
                        connection = guest.socket()
                        self.addCleanup(connection.close)
                        if mark:
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
                        connection.connect((SERVICE4, self.echo_ports_[SERVICE4]))
                        self.echoes(connection)
                        self.assertEqual(connection.getsockname()[0], source)
                        self.assert_relayed(helper, connection)
                counted = guest.run("nft", "list", "table", "ip", "own").stdout
                self.assertNotIn("packets 0", counted, "the guest's own rule does not match any longer")
                helper.stop()

    @staticmethod
    def own_rule(guest):
        guest.run("ip", "rule", "add", "fwmark", f"{OWN_MARK}/0xff", "lookup", "5")

    @staticmethod
    def own_marks(guest):
        guest.run("ip", "address", "add", f"{OTHER4}/24", "dev", "tap0")
        guest.run("ip", "route", "add", "default", "via", "10.0.2.2", "dev", "tap0", "src", OTHER4, "table", "5")
        guest.run("nft", f"""
            table ip own {{
              chain out {{
                type route hook output priority -150;
                meta mark & 0xff == {OWN_MARK} ct mark set ct mark & 0xffffff00 or {OWN_MARK}
                ct mark & 0xff == {OWN_MARK} counter
              }}
            }}""")

    def test_marks_of_whole_connections(self):
        """CONNMARK --save-mark and --restore-mark without a mask, as many scripts have them: they write over every bit there is."""
        for hooks in (("output",), ("output", "prerouting"), ("output", "prerouting", "postrouting")):
            with self.subTest(hooks=hooks):
                guest, helper = self.outbound()
                old = [self.dial(guest, service) for service in BOTH]
                rules = {"output": f"type route hook output priority -150; meta mark set ct mark; "
                                   f"tcp dport {OWN_MARK_PORT} meta mark set {OWN_MARK}; ct state new ct mark set meta mark;",
                         "prerouting": "type filter hook prerouting priority -150; meta mark set ct mark;",
                         "postrouting": "type filter hook postrouting priority -150; ct mark set meta mark;"}
                self.load_chains(guest, {hook: rules[hook] for hook in hooks})
                with self.traffic(guest):
                    for service in BOTH:
                        self.dial(guest, service)
                    for connection in old:
                        self.echoes(connection, b"what was there before goes on")
                helper.stop()

    @staticmethod
    def load_chains(guest, chains):
        body = "\n".join(f"chain {name} {{ {rules} }}" for name, rules in chains.items())
        guest.run("nft", f"table inet own {{\n{body}\n}}")

    def test_taken_bits(self):
        """Rules of the guest that are there before us have their bits for themselves."""
        guest = self.guest()
        for family in ("-4", "-6"):
            for bit in (30, 29, 28, 20):
                guest.run("ip", family, "rule", "add", "fwmark", f"{1 << bit:#x}/{1 << bit:#x}", "prohibit")
        guest, helper = self.outbound(guest=guest)
        with self.traffic(guest):
            for service in BOTH:
                self.assert_relayed(helper, self.dial(guest, service))


class Ports(OutboundTestCase):
    def test_a_guest_that_listens_on_the_port_that_it_dials(self):
        guest, helper = self.outbound()
        for service in BOTH:
            for address in ("0.0.0.0", "::", GUEST4):
                with self.subTest(service=service, listens=address):
                    listener = guest.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
                    self.addCleanup(listener.close)
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind((address, self.echo_ports_[service]))  # "::" takes both families
                    listener.listen(4)
                    connection = self.dial(guest, service)
                    self.assert_relayed(helper, connection)
                    self.assertEqual(connection.getpeername()[:2], (service, self.echo_ports_[service]))
                    listener.settimeout(0)
                    with self.assertRaises(BlockingIOError):
                        listener.accept()
                    connection.close()
                    listener.close()

    def test_one_port_to_many_services(self):
        guest, helper = self.outbound()
        ports = [self.tcp_server(self.lab.internet, SERVICE4).port for _ in range(DIALS)]
        own = self.own_port(guest)
        connections = [self.from_port(guest, own, (SERVICE4, port)) for port in ports]
        for connection in connections:
            self.echoes(connection)
            self.assert_relayed(helper, connection)

    def test_one_port_to_one_service_again_and_again(self):
        """The server says goodbye first, so that the guest's end is free at once; a reset frees both."""
        guest, helper = self.outbound()
        for service in BOTH:
            for name, end in (("server", self.server_closes), ("reset", self.reset)):
                with self.subTest(service=service, ends=name):
                    port = self.tcp_server(self.lab.internet, service, one_echo).port
                    own = self.own_port(guest)
                    general = 0
                    for _ in range(DIALS):
                        connection = self.from_port(guest, own, (service, port))
                        self.echoes(connection, b"12345678")
                        general += self.flow_of(helper, connection) is None
                        end(connection)
                    self.assertEqual(general, 0, f"of {DIALS} went by the general path. {self.why(helper)}")

    @staticmethod
    def own_port(guest):
        with contextlib.closing(guest.socket(socket.AF_INET6)) as one:
            one.bind(("::", 0))
            return one.getsockname()[1]

    def from_port(self, guest, own, goal):
        connection = guest.socket(socket.AF_INET6 if ":" in goal[0] else socket.AF_INET)
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(("", own))
        connection.connect(goal)
        return connection

    def server_closes(self, connection):
        connection.sendall(b"goodbye!")
        self.assertEqual(connection.recv(8), b"")
        connection.close()

    @staticmethod
    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def one_echo(connection):
    """Answers messages of eight bytes until it is told goodbye."""
    while (message := connection.recv(8)) and message != b"goodbye!":
        connection.sendall(message)


if __name__ == "__main__":
    main()
