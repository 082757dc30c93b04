# SPDX-License-Identifier: BSD-3-Clause
"""Names resolve through the DNS addresses, over UDP and TCP, whatever happens to the host's resolv.conf."""

import struct

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


def header(flags, *counts, identifier=7):
    """Of a message; counts of questions, answers, authority and additional records, 0 where left out."""
    return struct.pack("!HHHHHH", identifier, flags, *counts, *[0] * (4 - len(counts)))


def opt(size, extended_rcode=0, version=0, flags=0, options=b""):
    """An OPT record (RFC 6891 6.1.2)."""
    return struct.pack("!BHHBBHH", 0, 41, size, extended_rcode, version, flags, len(options)) + options


DO = 0x8000
NAME = b"\3oNe\4TeSt\0"
QUESTION = NAME + b"\0\1\0\1"
COOKIE = struct.pack("!HH", 10, 8) + b"12345678"
NSID = struct.pack("!HH", 3, 0)
ODD = {
    "root": header(0x0100, 1) + b"\0\0\2\0\1",
    "the longest labels and name": header(0x0100, 1) + 3 * (b"\x3f" + 63 * b"l") + b"\x3d" + 61 * b"l" + b"\0\0\1\0\1",
    "class CH": header(0x0100, 1) + NAME + b"\0\x10\0\3",
    "class and type ANY": header(0x0100, 1) + NAME + b"\0\xff\0\xff",
    "no question, a cookie": header(0, 0, 0, 0, 1) + opt(1232, options=COOKIE),
    "DO, cookie and NSID": header(0x0130, 1, 0, 0, 1) + QUESTION + opt(1232, flags=DO, options=COOKIE + NSID),
    "EDNS version 7 and an option of tomorrow": header(0x0100, 1, 0, 0, 1) + QUESTION + opt(1232, version=7, options=b"\xfe\xfe\0\1x"),
    "two questions": header(0x0100, 2) + QUESTION + b"\1b\0\0\1\0\1",
    "a compressed question": header(0x0100, 2) + QUESTION + b"\xc0\x0c\0\x1c\0\1",
    "trailing bytes": header(0x0100, 1) + QUESTION + b"trailing",
    "no bytes of its question": header(0x0100, 1),
    **{f"opcode {opcode}": header(opcode << 11, 1) + QUESTION for opcode in range(1, 16)},
    "UPDATE": header(5 << 11, 1, 0, 1) + NAME + b"\0\6\0\1" + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
}


class Odd(DnsTestCase):
    """What we do not understand is passed on unharmed, both ways."""

    def test_any_message(self):
        came = []

        def respond(message, _):
            came.append(message[2:])
            return message[:2] + bytes([message[2] | 0x80]) + message[3:] + b"and more"

        self._keep(dns.RawResolver(self.lab.internet, DNS4, respond))

        def observe(guest, _):
            for what, message in ODD.items():
                for exchange in (dns.exchange_udp, dns.exchange_tcp):
                    with self.subTest(what=what, exchange=exchange.__name__):
                        came.clear()
                        self.assertEqual(exchange(guest, "10.0.2.3", message),
                                         message[:2] + bytes([message[2] | 0x80]) + message[3:] + b"and more")
                        self.assertEqual(came, [message[2:]])

        self.on_both_paths(observe)

    def test_answers_without_a_question(self):
        """BADVERS of a server that repeats no question has no error in its header (RFC 6891 6.1.3)."""
        answers = {
            "BADVERS": header(0x8180, 0, 0, 0, 1) + opt(1232, extended_rcode=1),
            "FORMERR": header(0x8181),
            "an empty one": header(0x8180),
        }
        now = None
        self._keep(dns.RawResolver(self.lab.internet, DNS4, lambda message, _: message[:2] + now[2:]))
        guest, _ = self.pair()
        for what, now in answers.items():
            for exchange in (dns.exchange_udp, dns.exchange_tcp):
                with self.subTest(what=what, exchange=exchange.__name__):
                    self.assertEqual(exchange(guest, "10.0.2.3", header(0x0100, 1, 0, 0, 1) + QUESTION + opt(1232, version=1)), now)

    def test_one_id_from_one_socket(self):
        """glibc asks for A and AAAA from one socket; nothing says that the ids must differ."""
        self.resolver(DNS4)
        guest, _ = self.pair()
        asked = [dns.query(name, identifier=7) for name in ("one.test", "two.test", "ONE.test", "one.test")]
        with guest.udp("10.0.2.3", 53) as flow:
            for message in asked:
                flow.send(message)
            names = {dns.question(flow.recv(65536))[0] for _ in range(3)}
        self.assertEqual(names, {"one.test", "two.test", "ONE.test"})
        with guest.connect("10.0.2.3", 53) as connection:
            connection.sendall(b"".join(struct.pack("!H", len(message)) + message for message in asked))
            names = sorted(dns.question(dns.receive_message(connection))[0] for _ in asked)
        self.assertEqual(names, sorted(dns.question(message)[0] for message in asked))

    def test_answers_up_to_64_kib(self):
        """Each transport gives as much as it can; what the query does not allow over UDP is truncated."""
        sizes = {}

        def respond(message, transport):
            kind = dns.question(message)[1]
            answer = message[:2] + struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0) + dns.question(message)[2]
            while len(answer) + 512 <= sizes[kind, transport]:
                answer += struct.pack("!HHHIH", 0xC00C, kind, 1, 60, 500) + 500 * b"t"
                answer = answer[:7] + bytes([answer[7] + 1]) + answer[8:]
            return answer

        self._keep(dns.RawResolver(self.lab.internet, DNS4, respond))
        sizes[dns.TXT, "udp"], sizes[dns.TXT, "tcp"] = 6000, 65535

        def observe(guest, _):
            seen = {}
            for size in (None, 1232, 4096, 65535):
                message = dns.query("one.test", dns.TXT, identifier=7)
                if size:
                    message = message[:11] + b"\1" + message[12:] + opt(size)
                short, long = dns.exchange_udp(guest, "10.0.2.3", message), dns.exchange_tcp(guest, "10.0.2.3", message)
                self.assertLessEqual(len(short), size or 512)
                seen[size] = (len(short), short[2] & 0x02, short[7], len(long))
            return seen

        seen = self.on_both_paths(observe)
        self.assertEqual({size: (truncated, records) for size, (_, truncated, records, _) in seen.items()},
                         {None: (2, 0), 1232: (2, 2), 4096: (2, 7), 65535: (0, 11)})
        self.assertEqual({long for *_, long in seen.values()}, {26 + 127 * 512})


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


class ResolvConfOptions(DnsTestCase):
    """Those that say how resolvers are asked."""

    def test_use_vc(self):
        """A firewall may drop UDP, without a word."""
        udp = self.resolver(DNS4, SECOND, silent=True, transports=("udp",))
        tcp = self.resolver(DNS4, transports=("tcp",))
        self.lab.write_resolv_conf(f"nameserver {DNS4}\noptions edns0 use-vc\n", "rename")

        def observe(guest, _):
            self.assert_resolves(guest)
            short = dns.ask_udp(guest, "10.0.2.3", "big.test", dns.TXT)
            self.assertLessEqual(len(short), 512)
            self.assertTrue(short[2] & 0x02, "TC bit")

        self.on_both_paths(observe)
        self.assertEqual((udp.names, set(tcp.transports)), ([], {"tcp"}))

    def test_rotate(self):
        first, second = self.resolver(DNS4), self.resolver(DNS4_OTHER)
        self.lab.write_resolv_conf(f"nameserver {DNS4}\nnameserver {DNS4_OTHER}\noptions rotate\n", "rename")
        guest, _ = self.pair()
        for _ in range(6):
            dns.ask_udp(guest, "10.0.2.3", "one.test")
        self.assertEqual((len(first.names), len(second.names)), (3, 3))


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
