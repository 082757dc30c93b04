# SPDX-License-Identifier: BSD-3-Clause
"""Many of the guest's own connections: what they leave behind, what each costs while it is held, and that those that wait are in nobody's way."""

import os
import resource
import socket
import struct
import subprocess
import sys

from tests.support import kernel, servers
from tests.support.case import main
from tests.support.features import need_feature
from tests.support.forwards import FULL
from tests.support.helper import wait_until
from tests.support.outbound import BOTH, OutboundTestCase
from tests.support.skip import sanitized

CHURN = 600_000 if FULL else 3000
SERVICES = 8            # ports of each address
KEPT = 64 * 2 + 16      # stand-ins in stock, and idle pipes: kept for the next ones
GROWTH = 1024 * (10 if sanitized() else 1)  # KiB that the allocator may keep
HELD = 10_000 if FULL else 300
PER_FLOW = 512          # bytes of ours for a connection that is held
ASIDE = 300             # descriptors of a process for everything else
WAITING = 1000
HOLE4 = "203.0.113.99"  # of the lab's internet, and nobody's
FEW = 16                # conntrack entries of the address resolutions and probes that may be there at any time

# In a process of its own: it is to keep the other processor busy, not the test's interpreter.
GREETER = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    try:
        connection.settimeout(20)
        connection.sendall(b"x")
        connection.recv(1)
    except OSError:
        pass
    connection.close()
"""


class LoadTestCase(OutboundTestCase):
    @staticmethod
    def resident(helper):
        """Bytes."""
        with open(f"/proc/{helper.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wait_no_flow(self, helper, patience=60):
        wait_until(lambda: not self.outbound_flows(helper), "no outbound flow is left", patience)


class Churn(LoadTestCase):
    def test_leaves_nothing(self):
        need_feature("nf_conntrack")
        guest, helper = self.outbound()
        # What the kernel itself keeps of a connection that has ended is kept for a second.
        for name in ("time_wait", "close", "close_wait", "fin_wait", "last_ack"):
            guest.run("sh", "-c", f"echo 1 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{name}")
        for where in (guest.netns_fd(), self.lab.host):
            with kernel.in_netns(where):
                subprocess.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo '1024 65535' >/proc/sys/net/ipv4/ip_local_port_range"],
                               check=True)
        goals = [(service, self.greeter(service)) for _ in range(SERVICES) for service in BOTH]
        self.churn(guest, goals, CHURN // 10)
        self.wait_no_flow(helper)
        descriptors, memory, ruleset = helper.fds(), self.resident(helper), self.ruleset(guest)
        opened = self.opened(helper)
        self.churn(guest, goals, CHURN)
        self.wait_no_flow(helper)
        self.assertEqual(self.opened(helper) - opened, CHURN, "not all of them went by the kernel path")
        wait_until(lambda: helper.fds() <= descriptors + KEPT,
                   lambda: f"no more than {descriptors} descriptors and {KEPT}; now {helper.fds()}")
        self.assertLess(self.resident(helper), memory + GROWTH * 1024)
        self.assertEqual(self.ruleset(guest), ruleset)
        self.assert_one_set(guest)
        wait_until(lambda: self.entries(guest) <= FEW,
                   lambda: f"the entries of nf_conntrack are gone; now {self.entries(guest)}", 120)

    def greeter(self, service):
        """A port where everyone gets one byte."""
        listener = servers.bound(self.lab.internet, service, 0, socket.SOCK_STREAM)
        listener.listen(1024)
        process = subprocess.Popen([sys.executable, "-c", GREETER, str(listener.fileno())], pass_fds=[listener.fileno()])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        port = listener.getsockname()[1]
        listener.close()
        return port

    def opened(self, helper):
        return self.ask(helper, "stats")["flows"]["opened"]["relay"]

    @staticmethod
    def ruleset(guest):
        rules = guest.run("nft", "-s", "list", "ruleset").stdout
        return rules + "".join(guest.run("ip", family, *what.split()).stdout for family in ("-4", "-6")
                               for what in ("rule show", "route show table all"))

    @staticmethod
    def entries(guest):
        return int(guest.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)

    def churn(self, guest, goals, count):
        """One after another; every other one is reset."""
        linger = struct.pack("ii", 1, 0)
        with guest.netns():
            for number in range(count):
                goal = goals[number % len(goals)]
                with socket.socket(servers.family_of(goal[0])) as client:
                    client.settimeout(20)
                    client.connect(goal)
                    if client.recv(1) != b"x":
                        self.fail(f"connection {number} is not greeted")
                    if number // len(goals) % 2:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class Held(LoadTestCase):
    def test_what_each_costs(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        guest, helper = self.outbound()
        listeners = {service: self.listener(self.lab.internet, service) for service in BOTH}
        allowed = self.ask(helper, "stats")["limits"]["relays"]["limit"]
        count = min(HELD, allowed - ASIDE // 2, (hard - ASIDE) // 2)
        print(f"holds {count} connections; the limit of open files is {hard}", file=sys.stderr)
        self.hold(guest, helper, listeners, 50)  # what is made once
        self.wait_no_flow(helper)
        before = self.resident(helper)
        connections = self.hold(guest, helper, listeners, count, close=False)
        each = (self.resident(helper) - before) / count  # before their list is made, which takes more than they do
        flows = self.outbound_flows(helper)
        self.assertEqual(len(flows), count, f"not all of them go by the kernel path. {self.why(helper)}")
        print(f"{each:.0f} bytes of the helper's memory each", file=sys.stderr)
        if FULL and not sanitized():
            self.assertLessEqual(each, PER_FLOW)
        for service in BOTH:
            connections.append(self.dial(guest, service))
            self.assert_relayed(helper, connections[-1])
        for one in connections:
            one.close()
        self.wait_no_flow(helper)

    def hold(self, guest, helper, listeners, count, close=True):
        """Both ends of each."""
        ends = []
        for number in range(count):
            service = BOTH[number % len(BOTH)]
            client = guest.connect(service, listeners[service].getsockname()[1])
            far, _ = listeners[service].accept()
            ends += [client, far]
        for client, far in zip(ends[::2], ends[1::2]):
            client.sendall(b"held")
            self.assertEqual(servers.receive_exactly(far, 4), b"held")
        if close:
            for one in ends:
                one.close()
        return ends


class BlackHole(LoadTestCase):
    def test_those_that_wait_are_in_nobodys_way(self):
        guest, helper = self.outbound()
        before = helper.fds()
        waiting = []
        with guest.netns():
            for _ in range(WAITING):
                waiting.append(socket.socket())
        for one in waiting:
            one.setblocking(False)
            one.connect_ex((HOLE4, 80))
        with self.traffic(guest):
            for service in BOTH:
                waiting.append(self.dial(guest, service))
                self.assert_relayed(helper, waiting[-1])
        for one in waiting:
            one.close()
        self.wait_no_flow(helper, 150)
        wait_until(lambda: helper.fds() <= before + KEPT, lambda: f"no more than {before} descriptors; now {helper.fds()}", 150)


if __name__ == "__main__":
    main()
