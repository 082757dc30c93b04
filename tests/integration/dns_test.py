# SPDX-License-Identifier: BSD-3-Clause
"""Names resolve through the DNS addresses, over UDP and TCP, whatever happens to the host's resolv.conf."""

from tests.support import dns
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import DNS4, DNS4_OTHER, DNS6, WAN4
from tests.support.outbound import OutboundTestCase

FORWARDERS = ("10.0.2.3", "fd00::3")
FIRST, SECOND = "192.0.2.1", "192.0.2.2"  # what the resolvers answer, to tell them apart


class DnsTestCase(OutboundTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.write_resolv_conf, f"nameserver {DNS4}\n", "rename")

    def resolver(self, address, answer=FIRST, netns=None, **arguments):
        return self._keep(dns.Resolver(self.lab.internet if netns is None else netns, address, answer, **arguments))

    def assert_resolves(self, guest, answer=FIRST, servers=FORWARDERS):
        for server in servers:
            with self.subTest(server=server):
                self.assertEqual(dns.addresses(dns.ask_udp(guest, server, "one.test")), [answer])
                self.assertEqual(dns.addresses(dns.ask_tcp(guest, server, "one.test")), [answer])


class Forwarder(DnsTestCase):
    """TCP to the DNS addresses is the forwarder's, whichever path the guest's other TCP goes."""

    def test_udp_and_tcp(self):
        self.resolver(DNS4)
        self.on_both_paths(lambda guest, _: self.assert_resolves(guest))

    def test_long_answer_comes_by_tcp(self):
        resolver = self.resolver(DNS4)

        def observe(guest, _):
            short = dns.ask_udp(guest, "10.0.2.3", "big.test", dns.TXT)
            self.assertTrue(short[2] & 0x02, "TC bit")
            long = [dns.ask_tcp(guest, server, "big.test", dns.TXT) for server in FORWARDERS]
            self.assertEqual(set(resolver.transports), {"udp", "tcp"})
            return [len(answer) for answer in long]

        self.assertGreater(min(self.on_both_paths(observe)), 4096)

    def test_first_resolver_silent(self):
        dead = self.resolver(DNS4, silent=True)
        self.resolver(DNS4_OTHER, SECOND)
        self.lab.write_resolv_conf(f"nameserver {DNS4}\nnameserver {DNS4_OTHER}\n", "rename")
        guest, _ = self.pair()
        self.assert_resolves(guest, SECOND)
        self.assertTrue(dead.names, "the first was asked")

    def test_first_resolver_refuses(self):
        """Nothing listens on the first: its ICMP error must not become the answer."""
        self.resolver(DNS4_OTHER, SECOND)
        self.lab.write_resolv_conf(f"nameserver {WAN4}\nnameserver {DNS4_OTHER}\n", "rename")
        guest, _ = self.pair()
        self.assert_resolves(guest, SECOND)

    def test_ipv6_only_resolver(self):
        self.resolver(DNS6)
        self.lab.write_resolv_conf(f"nameserver {DNS6}\n", "rename")
        guest, _ = self.pair()
        self.assert_resolves(guest)

    def test_resolver_on_the_hosts_loopback(self):
        """A local stub resolver serves the guest though the host's loopback is out of reach."""
        self.resolver("127.0.0.53", netns=self.lab.host)
        self.lab.write_resolv_conf("nameserver 127.0.0.53\n", "rename")
        self.on_both_paths(lambda guest, _: self.assert_resolves(guest))

    def test_all_dead_is_an_answer(self):
        """A client that waits for ever is worse than one that is told."""
        self.resolver(DNS4, silent=True)
        guest, _ = self.pair()
        self.assertEqual(dns.rcode(dns.ask_udp(guest, "10.0.2.3", "one.test", timeout=30)), 2)

    def test_without_ipv6(self):
        self.resolver(DNS4)
        guest, _ = self.pair("--no-ipv6")
        self.assert_resolves(guest, servers=FORWARDERS[:1])


class Options(DnsTestCase):
    def test_given_resolvers_in_place_of_resolv_conf(self):
        own = self.resolver(DNS4)
        self.resolver(DNS4_OTHER, SECOND)
        guest, _ = self.pair("--dns", DNS4_OTHER)
        self.assert_resolves(guest, SECOND)
        self.assertEqual(own.names, [])

    def test_given_twice_the_second_serves_when_the_first_is_dead(self):
        self.resolver(DNS4, silent=True)
        self.resolver(DNS6, SECOND)
        guest, _ = self.pair("--dns", DNS4, "--dns", DNS6)
        self.assert_resolves(guest, SECOND)

    def test_off(self):
        resolver = self.resolver(DNS4)

        def observe(guest, _):
            for server in FORWARDERS:
                with self.assertRaises(OSError):
                    dns.ask_udp(guest, server, "one.test", timeout=1)
                with self.assertRaises(OSError):
                    dns.ask_tcp(guest, server, "one.test", timeout=1)

        self.on_both_paths(observe, "--no-dns")
        self.assertEqual(resolver.names, [])


class ResolvConf(DnsTestCase):
    """The host's file changes while the helper runs: the next queries go where it says."""

    def _follows(self, how):
        self.resolver(DNS4)
        self.resolver(DNS4_OTHER, SECOND)
        guest, _ = self.pair()
        self.assert_resolves(guest, FIRST, FORWARDERS[:1])
        self.lab.write_resolv_conf(f"nameserver {DNS4_OTHER}\n", how)
        wait_until(lambda: dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")) == [SECOND], f"follows a {how}")
        # Once more, from what the first change has left.
        self.lab.write_resolv_conf(f"nameserver {DNS4}\n", how)
        wait_until(lambda: dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")) == [FIRST], f"follows a second {how}")

    def test_written_in_place(self):
        self._follows("write")

    def test_replaced_by_rename(self):
        self._follows("rename")

    def test_replaced_by_a_symlink_to_another_directory(self):
        self._follows("symlink")


if __name__ == "__main__":
    main()
