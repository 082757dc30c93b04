# SPDX-License-Identifier: BSD-3-Clause
"""Rootless podman with `--network slirp4netns`: what a container sees under our helper is what it sees under slirp4netns."""

import signal

from tests.support import clients, dns, process
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import DNS4, HOST_LAN4, HOST_WAN4, HOST_WAN6, LAN4, LAN6, SERVICE4, SERVICE6
from tests.support.podman import IMAGE, PodmanTestCase, interface, options_of, podman, routes
from tests.support.servers import receive_exactly

ANSWER = "192.0.2.1"
PORT = 7777


class Container(PodmanTestCase):
    """One container, one helper."""

    def under_both(self, network, observe, *options):
        """Starts a container under each binary; observe(guest, helper) must tell the same. Returns it."""
        def one(binary):
            guest = self.run_container(binary, network, *options)
            try:
                return observe(guest, self.the_helper(binary))
            finally:
                self.remove("guest")
                self.wait_gone(binary)

        return self.same(one)

    def reaches(self, guest, address, port=PORT):
        """Whether a TCP connection carries bytes, or the error's name."""
        try:
            with guest.connect(address, port) as connection:
                connection.sendall(b"hello")
                return receive_exactly(connection, 5) == b"hello"
        except OSError as error:
            return type(error).__name__ if error.errno is None else error.strerror

    def test_network(self):
        def observe(guest, helper):
            return {"options": options_of(helper), "interface": interface(guest), "routes": routes(guest),
                    "lo": guest.link("lo")["operstate"], "resolv.conf": self.resolv_conf(guest),
                    "hosts": self.in_container("cat", "/etc/hosts").stdout.count("10.0.2.100")}

        seen = self.under_both("slirp4netns", observe)
        self.assertEqual(seen["interface"]["ipv4"], [("10.0.2.100", 24, "10.0.2.255", "global")])
        self.assertEqual(seen["interface"]["mtu"], 65520)
        self.assertEqual(seen["routes"], [("10.0.2.0/24", None, "tap0", "link", "10.0.2.100"),
                                          ("default", "10.0.2.2", "tap0", "global", None)])
        self.assertEqual(seen["resolv.conf"].splitlines()[0], "nameserver 10.0.2.3")
        for option in ("--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", "--mtu=65520"):
            self.assertIn(option, seen["options"])

    def test_traffic(self):
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        self.udp_server(self.lab.internet, SERVICE4, port=PORT)
        self._keep(dns.Resolver(self.lab.internet, DNS4, ANSWER))
        host = self.tcp_server(self.lab.host, "127.0.0.1", port=PORT)
        self.tcp_server(self.lab.host, HOST_WAN4, port=PORT)

        def observe(guest, _):
            with guest.udp(SERVICE4, PORT) as flow:
                self.assert_udp_echo(flow)
            return {"tcp": self.reaches(guest, SERVICE4),
                    "tcp from the container": self.in_container("sh", "-c", f"echo hello | nc -w 10 {SERVICE4} {PORT}").stdout,
                    "refused": self.reaches(guest, SERVICE4, PORT + 1),
                    "name": ANSWER in self.in_container("nslookup", "one.test", check=False).stdout,  # AAAA fails
                    "name at .3": dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")),
                    "name at .3 by TCP": dns.addresses(dns.ask_tcp(guest, "10.0.2.3", "one.test")),
                    "ping": self.in_container("ping", "-c", "1", "-W", "10", "10.0.2.2", check=False).returncode,
                    "ping outside": self.in_container("ping", "-c", "1", "-W", "10", SERVICE4, check=False).returncode,
                    "host's loopback": self.reaches(guest, "10.0.2.2"),
                    "host by its address": self.reaches(guest, HOST_WAN4)}

        seen = self.under_both("slirp4netns", observe, "--cap-add", "NET_RAW")
        self.assertEqual(seen["tcp from the container"], "hello\n")
        self.assertEqual(seen["name at .3"], [ANSWER])
        self.assertEqual(seen["name at .3 by TCP"], [ANSWER])
        self.assertEqual((seen["ping"], seen["ping outside"]), (0, 0))
        self.assertEqual(seen["host's loopback"], "Network is unreachable")
        self.assertTrue(seen["host by its address"])
        self.assertEqual(host.peers, [], "nobody reached the host's loopback")

    def test_tcp_goes_by_the_kernel_path(self):
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        guest = self.run_container(clients.CONTROLLED, "slirp4netns")
        self.assert_kernel_path(self.the_helper(), guest, SERVICE4, PORT)
        self.remove("guest")
        self.wait_gone()

    def test_host_loopback_when_asked(self):
        host = self.tcp_server(self.lab.host, "127.0.0.1", port=PORT)
        self.udp_server(self.lab.host, "127.0.0.1", port=PORT)

        def observe(guest, helper):
            with guest.udp("10.0.2.2", PORT) as flow:
                self.assert_udp_echo(flow)
            return self.reaches(guest, "10.0.2.2"), "--disable-host-loopback" in options_of(helper)

        self.assertEqual(self.under_both("slirp4netns:allow_host_loopback=true", observe), (True, False))
        self.assertEqual(host.peers, ["127.0.0.1"] * 2)

    def test_ipv6(self):
        self.tcp_server(self.lab.internet, SERVICE6, port=PORT)

        def observe(guest, helper):
            # slirp4netns's address comes by an advertisement, a second after it said that it was ready.
            wait_until(lambda: any(address.startswith("fd00::") for address, _ in guest.addresses()), "a global IPv6 address")
            return {"options": options_of(helper), "interface": interface(guest), "ipv4 routes": routes(guest),
                    "default": [(r["gateway"], r["dev"]) for r in guest.ip("-6", "route", "show", "default")],
                    "prefix": [p for a, p in guest.addresses() if a.startswith("fd00::")],
                    "tcp": self.reaches(guest, SERVICE6)}

        seen = self.under_both("slirp4netns:enable_ipv6=true", observe)
        self.assertEqual(seen["default"], [("fe80::2", "tap0")])
        self.assertTrue(seen["tcp"])

    def test_ipv6_from_the_first_instruction(self):
        """Ours alone: the address is usable when the container's command starts."""
        self.tcp_server(self.lab.internet, SERVICE6, port=PORT)
        done = podman("run", "--rm", "--network", "slirp4netns:enable_ipv6=true", IMAGE, "sh", "-c",
                      f"ip -6 -o addr show dev tap0 scope global; echo hello | nc -w 10 {SERVICE6} {PORT}")
        self.assertIn("inet6 fd00::", done.stdout)
        self.assertNotIn("tentative", done.stdout)
        self.assertTrue(done.stdout.endswith("hello\n"), done.stdout)
        self.wait_gone()

    def test_no_ipv6(self):
        def observe(guest, helper):
            # Nobody advertises anything: the link-local address is all there will be.
            return "--enable-ipv6" in options_of(helper), guest.addresses(), guest.ip("-6", "route", "show", "default")

        self.assertEqual(self.under_both("slirp4netns:enable_ipv6=false", observe), (False, [("10.0.2.100", 24)], []))

    def test_cidr(self):
        def observe(guest, helper):
            return {"options": options_of(helper), "interface": interface(guest), "routes": routes(guest),
                    "resolv.conf": self.resolv_conf(guest), "ping": guest.ping("10.41.0.2").returncode}

        seen = self.under_both("slirp4netns:cidr=10.41.0.0/16", observe)
        self.assertEqual(seen["interface"]["ipv4"], [("10.41.0.100", 16, "10.41.255.255", "global")])
        self.assertEqual(seen["resolv.conf"].splitlines()[0], "nameserver 10.41.0.3")
        self.assertIn("--cidr=10.41.0.0/16", seen["options"])
        self.assertEqual(seen["ping"], 0)

    def test_outbound_addr(self):
        """The source address that a server sees, by address and by interface: not the one that the route would choose."""
        tcp = self.tcp_server(self.lab.lan, LAN4, port=PORT)
        udp = self.udp_server(self.lab.lan, LAN4, port=PORT)

        def observe(guest, _):
            with guest.udp(LAN4, PORT) as flow:
                self.assert_udp_echo(flow)
            return self.reaches(guest, LAN4)

        for chosen, expected in (("", HOST_LAN4), (f":outbound_addr={HOST_WAN4}", HOST_WAN4), (":outbound_addr=wan0", HOST_WAN4)):
            tcp.peers.clear()
            udp.peers.clear()
            self.assertTrue(self.under_both(f"slirp4netns{chosen}", observe))
            self.assertEqual(tcp.peers, [expected] * 2)
            self.assertEqual(set(udp.peers), {expected})

    def test_outbound_addr6(self):
        """The same of IPv6. By interface under ours alone: slirp4netns looks up the interface of --outbound-addr."""
        tcp = self.tcp_server(self.lab.lan, LAN6, port=PORT)

        def observe(guest, _):
            wait_until(lambda: any(address.startswith("fd00::") for address, _ in guest.addresses()), "a global IPv6 address")
            return self.reaches(guest, LAN6)

        self.assertTrue(self.under_both(f"slirp4netns:outbound_addr6={HOST_WAN6}", observe))
        self.assertEqual(tcp.peers, [HOST_WAN6] * 2)
        tcp.peers.clear()
        guest = self.run_container(clients.OURS, "slirp4netns:outbound_addr6=wan0")
        self.assertTrue(observe(guest, None))
        self.assertEqual(tcp.peers, [HOST_WAN6])
        self.remove("guest")
        self.wait_gone()

    def test_exit_code_and_output(self):
        def observe(binary):
            done = podman("run", "--rm", "--network", "slirp4netns", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7",
                          binary=binary, check=False)
            self.wait_gone(binary)
            return done.returncode, done.stdout, done.stderr

        self.assertEqual(self.same(observe), (7, "out\n", "err\n"))

    def test_network_cmd_path(self):
        """Another way to choose the binary."""
        self.addCleanup(self.remove, "guest")
        podman("--network-cmd-path", clients.OURS, "run", "--detach", "--name", "guest", "--network", "slirp4netns", IMAGE,
               "sleep", "infinity", binary=clients.DEBIANS)
        self.the_helper(clients.OURS)
        self.remove("guest")
        self.wait_gone()

    def test_restart(self):
        """podman restart: each start has its own helper, and the old one is gone."""
        def observe(binary):
            self.run_container(binary, "slirp4netns")
            first = self.the_helper(binary)
            podman("restart", "--time", "0", "guest", binary=binary)
            wait_until(lambda: len(now := clients.helpers(binary)) == 1 and now != [first], "a new helper, alone")
            self.in_container("ip", "addr", "show", "tap0")
            podman("stop", "--time", "0", "guest")
            self.wait_gone(binary)
            self.remove("guest")
            return True

        self.assertTrue(self.same(observe))

    def test_killed_helper(self):
        """A container whose helper died can still be stopped and removed."""
        def observe(binary):
            guest = self.run_container(binary, "slirp4netns")
            process.send(self.the_helper(binary), signal.SIGKILL)
            self.wait_gone(binary)
            wait_until(lambda: guest.link() is None, "the TAP goes with its helper")
            self.remove("guest")
            return True

        self.assertTrue(self.same(observe))


class Version(PodmanTestCase):
    def test_info(self):
        """`podman info` shows the binary and reads its version."""
        wanted = "{{.Host.Slirp4NetNS.Executable}}|{{.Host.Slirp4NetNS.Version}}"
        seen = self.both(lambda binary: podman("info", "--format", wanted, binary=binary).stdout.strip())
        executable, version = seen["netns-helper"].split("|")
        self.assertEqual(executable, clients.OURS)
        self.assertRegex(version, r"^slirp4netns version [0-9]+\.[0-9]+\.[0-9]+")


if __name__ == "__main__":
    main()
