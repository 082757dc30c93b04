# SPDX-License-Identifier: BSD-3-Clause
"""What the guest's interfaces look like when the helper says it is ready, and that they stay so."""

import time

from tests.support import frames
from tests.support.case import LabTestCase, main
from tests.support.lab import SERVICE6, USER

SETTLE = 1.0  # s; what a router advertisement could add has come by then


def snapshot(guest, tap="tap0"):
    """Addresses and routes without what counts down."""
    addresses = [{key: value for key, value in address.items() if not key.endswith("life_time")}
                 for address in guest.link(tap)["addr_info"]]
    routes = [{key: value for key, value in route.items() if key != "expires"}
              for family in ("-4", "-6") for route in guest.ip(family, "route", "show", "table", "all")
              if route.get("dev") == tap]
    return sorted(addresses, key=str), sorted(routes, key=str)


def default_routes(guest, family):
    return [(route.get("gateway"), route.get("dev")) for route in guest.ip(family, "route", "show", "default")]


class AtReady(LabTestCase):
    def test_complete(self):
        guest, _ = self.pair()
        lo, tap = guest.link("lo"), guest.link()
        self.assertIn("UP", lo["flags"])
        self.assertIn("UP", tap["flags"])
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])
        for address in tap["addr_info"]:
            self.assertNotIn("tentative", address, address)
        self.assertEqual(default_routes(guest, "-4"), [("10.0.2.2", "tap0")])
        self.assertEqual(default_routes(guest, "-6"), [("fe80::2", "tap0")])
        neighbours = {entry["dst"]: entry["state"] for entry in guest.ip("neigh", "show", "dev", "tap0")}
        for gateway in ("10.0.2.2", "fe80::2"):
            self.assertEqual(neighbours.get(gateway), ["PERMANENT"])

    def test_the_same_a_second_later(self):
        """A router advertisement, asked for in case none comes by itself, adds neither an address nor a route."""
        guest, _ = self.pair()
        before = snapshot(guest)
        deadline = time.monotonic() + SETTLE
        wire = self._keep(frames.Wire(guest))
        source = [a["local"] for a in guest.link()["addr_info"] if a["local"].startswith("fe80:")]
        for address in source or ["::"]:
            message = frames.icmp6(address, "ff02::2", 133)
            wire.send(frames.ipv6(address, "ff02::2", frames.ICMP6, message, hop_limit=255), destination=frames.mac("33:33:00:00:00:02"))
        wire.barrier()
        time.sleep(max(0.0, deadline - time.monotonic()))
        self.assertEqual(snapshot(guest), before)

    def test_first_packets_are_not_lost(self):
        """Ready means usable: the first datagram of each family is answered, no retry."""
        for address in ("203.0.113.80", SERVICE6):
            server = self.udp_server(self.lab.internet, address)
            guest, helper = self.pair()
            with guest.udp(address, server.port, timeout=5) as flow:
                flow.send(b"first")
                self.assertEqual(flow.recv(64), b"first")
            helper.stop()


class Options(LabTestCase):
    def test_leave_lo(self):
        guest, _ = self.pair("--leave-lo")
        self.assertNotIn("UP", guest.link("lo")["flags"])
        self.assert_works(guest)

    def test_mac(self):
        guest, _ = self.pair("--mac", "02:11:22:33:44:55")
        self.assertEqual(guest.link()["address"], "02:11:22:33:44:55")
        self.assert_works(guest)

    def test_mtu(self):
        for mtu in (576, 1280, 9000, 65520):
            with self.subTest(mtu=mtu):
                guest, helper = self.pair("--mtu", str(mtu))
                self.assertEqual(guest.link()["mtu"], mtu)
                self.assert_works(guest)
                helper.stop()

    def test_mtu_too_small_for_ipv6_switches_it_off_and_says_so(self):
        guest, helper = self.pair("--mtu", "1279")
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24)])
        self.assertIn("IPv6", helper.log())

    def test_cidr(self):
        for cidr, address in (("192.168.5.0/24", "192.168.5.100"), ("10.0.135.128/25", "10.0.135.228"), ("172.16.0.0/16", "172.16.0.100")):
            with self.subTest(cidr=cidr):
                guest, helper = self.pair("--cidr", cidr)
                self.assertIn((address, int(cidr.split("/")[1])), guest.addresses())
                self.assert_works(guest)
                helper.stop()

    def test_cidr6(self):
        guest, _ = self.pair("--cidr6", "fd12:3456:789a::/64")
        self.assertIn(("fd12:3456:789a::100", 64), guest.addresses())
        self.assertEqual(default_routes(guest, "-6"), [("fe80::2", "tap0")])
        server = self.tcp_server(self.lab.internet, SERVICE6)
        with guest.connect(SERVICE6, server.port) as connection:
            self.assert_tcp_echo(connection)

    def test_no_ipv6(self):
        guest, _ = self.pair("--no-ipv6")
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24)])
        self.assertEqual(default_routes(guest, "-6"), [])
        self.assert_works(guest)

    def test_no_configure(self):
        guest, _ = self.pair("--no-configure")
        self.assertNotIn("UP", guest.link()["flags"])
        self.assertNotIn("UP", guest.link("lo")["flags"])
        self.assertEqual(guest.addresses(), [])
        self.assertEqual(default_routes(guest, "-4"), [])

    def test_other_tap_name(self):
        guest, helper = self.pair(tap="eth0", control=True)
        self.assertEqual(guest.addresses("eth0"), [("10.0.2.100", 24), ("fd00::100", 64)])
        self.assertEqual(helper.info()["tap"]["name"], "eth0")
        self.assert_works(guest)

    def test_ipv6_disabled_in_the_guest(self):
        """disable_ipv6 set by the runtime: IPv4 works, or the start says why not; it never hangs half-made."""
        guest = self.guest()
        guest.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
        helper = self.helper("--no-ipv6", guest=guest)
        self.assert_works(guest)
        helper.stop()

    def test_guest_that_can_have_no_ipv6(self):
        """disable_ipv6, and /proc/sys is read-only: IPv4 alone, said so; what was built for IPv6 meanwhile is not in the way."""
        guest = self.guest()
        guest.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
        read_only = ("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro,nosuid,nodev,noexec /proc/sys && "
                     f'exec setpriv --reuid={USER} --regid={USER} --clear-groups "$@"')
        helper = self.helper(guest=guest, user=0, wrapper=("unshare", "-m", "sh", "-c", read_only, "sh"))
        self.assertIn("IPv6 is left out", helper.log())
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24)])
        self.assert_works(guest)
        helper.stop()


class Failure(LabTestCase):
    def test_a_failed_step_is_named_and_undone(self):
        """The name is taken by an interface that is no TAP: the guest is left as it was."""
        guest = self.guest()
        guest.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "other")
        before = guest.ip("address", "show")
        helper = self.helper(guest=guest, wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertIn("tap0", helper.log())
        self.assertEqual(guest.ip("address", "show"), before)


if __name__ == "__main__":
    main()
