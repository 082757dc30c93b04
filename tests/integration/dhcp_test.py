# SPDX-License-Identifier: BSD-3-Clause
"""A guest that configures itself: a DHCP lease by a real client, IPv6 by router advertisement."""

import os

from tests.support.case import LabTestCase, main
from tests.support.helper import wait_until
from tests.support.lab import RUN, SERVICE6
from tests.support.skip import need_tool

# What udhcpc runs at each event: the lease's values are in its environment.
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
echo "$ip $mask $router $dns" > "$LEASE"
"""


class Dhcp(LabTestCase):
    def test_lease_by_a_real_client(self):
        need_tool("busybox", "busybox or busybox-static")
        script, lease = f"{RUN}/udhcpc-script", f"{RUN}/lease"
        with open(script, "w", encoding="ascii") as file:
            file.write(SCRIPT)
        os.chmod(script, 0o755)
        guest, helper = self.pair("--no-configure", control=True)
        guest.run("ip", "link", "set", "tap0", "up")
        guest.run("env", f"LEASE={lease}", "busybox", "udhcpc", "-i", "tap0", "-f", "-q", "-n", "-t", "5", "-T", "1", "-s", script)
        with open(lease, encoding="ascii") as file:
            self.assertEqual(file.read().split(), ["10.0.2.15", "24", "10.0.2.2", "10.0.2.3"])
        self.assertEqual(guest.ping("10.0.2.2").returncode, 0)
        self.assert_works(guest)
        self.assertEqual(helper.process.poll(), None)


class RouterAdvertisement(LabTestCase):
    def test_address_and_route(self):
        guest, _ = self.pair("--no-configure")
        guest.run("ip", "link", "set", "tap0", "up")
        wait_until(lambda: any(address.startswith("fd00::") and length == 64 for address, length in guest.addresses()) and
                   not any(a.get("tentative") for a in guest.link()["addr_info"]), "an address of fd00::/64")
        wait_until(lambda: guest.ip("-6", "route", "show", "default"), "a default route")
        server = self.tcp_server(self.lab.internet, SERVICE6)
        with guest.connect(SERVICE6, server.port) as connection:
            self.assert_tcp_echo(connection)


if __name__ == "__main__":
    main()
