# SPDX-License-Identifier: BSD-3-Clause
"""In slirp4netns's place: what the guest reaches by default, what options deny, resolvers, sources."""

import errno
import subprocess

from tests.support import dns, frames
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import DNS4, DNS4_OTHER, DNS6, HOST_WAN4, HOST_WAN6, METADATA, SERVICE4, SERVICE6
from tests.support.slirp4netns import Slirp4netnsTestCase, ours

PORT = 7778
FIRST, SECOND = "192.0.2.1", "192.0.2.2"  # what the resolvers answer, to tell them apart
OTHER6 = "2001:db8:1::7"


class HostLoopback(Slirp4netnsTestCase):
    def test_reached_by_default(self):
        for binary in self.both():
            guest, _ = self.attached(binary)
            server = self.tcp_server(self.lab.host, "127.0.0.1")
            with guest.connect("10.0.2.2", server.port) as connection:
                self.assert_tcp_echo(connection)
            self.assertEqual(guest.ping("10.0.2.2").returncode, 0)

    def test_denied_is_unreachable_and_still_answers_ping(self):
        for binary in self.both():
            guest, _ = self.attached(binary, "--disable-host-loopback")
            server = self.tcp_server(self.lab.host, "127.0.0.1")
            with self.assertRaises(OSError) as caught:
                guest.connect("10.0.2.2", server.port, timeout=10).close()
            self.assertEqual(caught.exception.errno, errno.ENETUNREACH)  # "Network is unreachable"
            self.assertEqual(guest.ping("10.0.2.2").returncode, 0)

    def test_denied_holds_for_raw_frames(self):
        """slirp4netns lets these through."""
        tripwire = self.tripwire(self.lab.host, PORT)
        guest, _ = self.attached(ours(), "--disable-host-loopback", "-6")
        wire = self._keep(frames.Wire(guest))
        mine6 = next(a for a, _ in guest.addresses() if a.startswith("fd00::"))
        for number, address in enumerate(("127.0.0.1", "0.0.0.0", "127.9.9.9", "10.0.2.2", "10.0.2.55", "255.255.255.255", "fd00::2",
                                          "fd00::77", "::1", "::", "::ffff:127.0.0.1", "ff02::1")):
            source = mine6 if ":" in address else "10.0.2.100"
            wire.send(frames.ip(source, address, frames.TCP, frames.tcp(source, address, 31000 + number, PORT)))
            wire.send(frames.ip(source, address, frames.UDP, frames.udp(source, address, 31000 + number, PORT, b"secret")))
        wire.barrier()
        self.assertEqual(tripwire.tripped(), [])

    def test_link_local_passes(self):
        for binary in self.both():
            guest, _ = self.attached(binary)
            server = self.tcp_server(self.lab.internet, METADATA)
            with guest.connect(METADATA, server.port) as connection:
                self.assert_tcp_echo(connection)


class Resolvers(Slirp4netnsTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.write_resolv_conf, f"nameserver {DNS4}\n", "rename")

    def resolver(self, address, answer=FIRST, **arguments):
        return self._keep(dns.Resolver(self.lab.internet, address, answer, **arguments))

    @staticmethod
    def resolved(guest):
        return dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test"))

    def test_the_hosts_resolver_and_its_successor(self):
        self.resolver(DNS4)
        self.resolver(DNS4_OTHER, SECOND)
        for binary in self.both():
            self.lab.write_resolv_conf(f"nameserver {DNS4}\n", "rename")
            guest, _ = self.attached(binary)
            self.assertEqual(self.resolved(guest), [FIRST])
            self.assertEqual(dns.addresses(dns.ask_tcp(guest, "10.0.2.3", "one.test")), [FIRST])
            self.lab.write_resolv_conf(f"nameserver {DNS4_OTHER}\n", "rename")
            wait_until(lambda g=guest: self.resolved(g) == [SECOND], "resolv.conf is followed")

    def test_a_resolver_on_the_hosts_loopback_though_that_is_denied(self):
        self._keep(dns.Resolver(self.lab.host, "127.0.0.53", FIRST))
        self.lab.write_resolv_conf("nameserver 127.0.0.53\n", "rename")
        for binary in self.both():
            guest, _ = self.attached(binary, "--disable-host-loopback")
            self.assertEqual(self.resolved(guest), [FIRST])

    def test_the_second_serves_when_the_first_is_dead(self):
        """slirp4netns asks the first only."""
        self.resolver(DNS4, silent=True)
        self.resolver(DNS4_OTHER, SECOND)
        self.lab.write_resolv_conf(f"nameserver {DNS4}\nnameserver {DNS4_OTHER}\n", "rename")
        guest, _ = self.attached(ours())
        self.assertEqual(self.resolved(guest), [SECOND])

    def test_an_ipv6_resolver_serves_the_ipv4_address(self):
        """slirp4netns needs one of the family."""
        self.resolver(DNS6)
        self.lab.write_resolv_conf(f"nameserver {DNS6}\n", "rename")
        guest, _ = self.attached(ours())
        self.assertEqual(self.resolved(guest), [FIRST])

    def test_disabled_is_an_ordinary_address(self):
        for binary in self.both():
            guest, _ = self.attached(binary, "--disable-dns")
            with self.assertRaises(TimeoutError):
                guest.connect("10.0.2.3", 53, timeout=3).close()
            self.assertEqual(guest.ping("10.0.2.2").returncode, 0)


class Sources(Slirp4netnsTestCase):
    def setUp(self):
        super().setUp()
        subprocess.run(["ip", "addr", "replace", f"{OTHER6}/64", "dev", "wan0", "nodad", "preferred_lft", "0"], check=True)

    def seen(self, binary, service, *words):
        server = self.tcp_server(self.lab.internet, service)
        guest, _ = self.attached(binary, *words)
        if ":" in service:
            wait_until(lambda: guest.ip("-6", "route", "show", "default") and
                       not any(a.get("tentative") for a in guest.link()["addr_info"]), "IPv6")
        with guest.connect(service, server.port) as connection:
            self.assert_tcp_echo(connection)
        return server.peers[-1]

    def test_by_address_and_interface(self):
        for binary in self.both():
            self.assertEqual(self.seen(binary, SERVICE4, f"--outbound-addr={HOST_WAN4}"), HOST_WAN4)
            self.assertEqual(self.seen(binary, SERVICE4, "--outbound-addr=wan0"), HOST_WAN4)
            self.assertEqual(self.seen(binary, SERVICE6, "-6", f"--outbound-addr6={OTHER6}"), OTHER6)

    def test_ipv6_by_interface_uses_its_own_value(self):
        """slirp4netns looks up the value of --outbound-addr instead."""
        self.assertIn(self.seen(ours(), SERVICE6, "-6", "--outbound-addr6=wan0"), (HOST_WAN6, OTHER6))

    def test_an_address_that_is_not_there_yet(self):
        """The start is no time to be strict about it: slirp4netns starts, and so do its containers at boot."""
        for binary in self.both():
            guest, _ = self.attached(binary, "--outbound-addr=198.51.100.77")
            server = self.tcp_server(self.lab.internet, SERVICE4)
            with self.assertRaises(OSError):
                guest.connect(SERVICE4, server.port, timeout=5).close()
            subprocess.run(["ip", "addr", "add", "198.51.100.77/24", "dev", "wan0"], check=True)
            try:
                with guest.connect(SERVICE4, server.port) as connection:
                    self.assert_tcp_echo(connection)
                self.assertEqual(server.peers[-1], "198.51.100.77")
            finally:
                subprocess.run(["ip", "addr", "del", "198.51.100.77/24", "dev", "wan0"], check=True)


if __name__ == "__main__":
    main()
