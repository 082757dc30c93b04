# SPDX-License-Identifier: BSD-3-Clause
"""--outbound-addr and --outbound-addr6: which of the host's addresses the outside sees, on the kernel path and on the general one."""

import subprocess

from tests.support.case import main
from tests.support.lab import HOST_WAN4, HOST_WAN6, SERVICE4, SERVICE6
from tests.support.outbound import OutboundTestCase

OTHER4, OTHER6 = "198.51.100.7", "2001:db8:1::7"


class Outbound(OutboundTestCase):
    def setUp(self):
        super().setUp()
        for address, tail in ((f"{OTHER4}/24", ()), (f"{OTHER6}/64", ("nodad", "preferred_lft", "0"))):
            subprocess.run(["ip", "addr", "replace", address, "dev", "wan0", *tail], check=True)

    def _seen(self, family_service, *options):
        tcp = self.tcp_server(self.lab.internet, family_service)
        udp = self.udp_server(self.lab.internet, family_service)

        def observe(guest, _):
            with guest.connect(family_service, tcp.port) as connection:
                self.assert_tcp_echo(connection)
            with guest.udp(family_service, udp.port) as flow:
                self.assert_udp_echo(flow)
            return {tcp.peers[-1], udp.peers[-1]}

        return self.on_both_paths(observe, *options, services=(family_service,))

    def test_without(self):
        self.assertEqual(self._seen(SERVICE4), {HOST_WAN4})
        self.assertEqual(self._seen(SERVICE6), {HOST_WAN6})

    def test_by_address(self):
        self.assertEqual(self._seen(SERVICE4, "--outbound-addr", OTHER4), {OTHER4})
        self.assertEqual(self._seen(SERVICE6, "--outbound-addr6", OTHER6), {OTHER6})

    def test_by_interface(self):
        self.assertEqual(self._seen(SERVICE4, "--outbound-addr", "wan0"), {HOST_WAN4})
        self.assertIn(self._seen(SERVICE6, "--outbound-addr6", "wan0"), ({HOST_WAN6}, {OTHER6}))

    def test_unknown_is_a_failure_that_names_the_option(self):
        for option, value in (("--outbound-addr", "nosuch0"), ("--outbound-addr6", "nosuch0")):
            with self.subTest(option=option):
                helper = self.helper(option, value, guest=self.guest(), wait=False)
                self.assertIn(helper.wait_exit(), (1, 2))
                self.assertIn("outbound-addr", helper.log())


if __name__ == "__main__":
    main()
