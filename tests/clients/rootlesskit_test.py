# SPDX-License-Identifier: BSD-3-Clause
"""RootlessKit, by which Docker, nerdctl, k3s and BuildKit run rootless: it makes the TAP and configures the namespace itself,
and its slirp4netns port driver speaks to the API socket."""

import contextlib
import os
import socket
import subprocess
import sys

from tests.support import clients, dns
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import DNS4, HOST_LAN4, LAN4, RUN, SERVICE4, SERVICE6
from tests.support.podman import interface, routes
from tests.support.servers import receive_exactly

ANSWER = "192.0.2.1"
PORT = 7777
STATE = f"{clients.RUNTIME_DIR}/rootlesskit"
LOG = f"{RUN}/rootlesskit.log"


def kit(binary):
    return "rootlesskit", "--net=slirp4netns", f"--slirp4netns-binary={binary}", f"--state-dir={STATE}", "--copy-up=/etc"


class RootlessKitTestCase(clients.ClientTestCase):
    tools = (("rootlesskit", "rootlesskit"), ("ip", "iproute2"), ("nsenter", "util-linux"))

    @staticmethod
    def child_pid():
        """The command may be there before it."""
        with contextlib.suppress(FileNotFoundError), open(f"{STATE}/child_pid", encoding="ascii") as file:
            return file.read()
        return ""

    @contextlib.contextmanager
    def session(self, binary, *options):
        """(namespace, helper's pid) while a command runs under RootlessKit; then both are gone."""
        log = self._keep(open(LOG, "w", encoding="utf-8"))
        process = clients.start(*kit(binary), "--copy-up=/run", *options,
                                "sh", "-c", "echo runs $$; cat /etc/resolv.conf; echo; cat; exit 3",
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            self.assertRegex(clients.wait_for_line(process, "the command runs"), r"^runs [0-9]+$")
            self.resolv_conf = []
            while line := clients.wait_for_line(process, "its resolv.conf"):
                self.resolv_conf.append(line)
            yield self.container(int(wait_until(self.child_pid, "RootlessKit tells its child"))), self.the_helper(binary)
        except BaseException:
            with open(LOG, encoding="utf-8", errors="replace") as written:
                print(written.read(), file=sys.stderr)
            raise
        finally:
            process.stdin.close()
            code = process.wait(clients.CLIENT)
            process.stdout.close()
        self.assertEqual(code, 3, "the command's exit code")
        self.wait_gone(binary)

    @staticmethod
    def words(helper):
        """Its options, without the ready fd's number, the pid, and where the API socket is."""
        words = clients.command_line(helper)[1:]
        if "--api-socket" in words:
            words[words.index("--api-socket") + 1] = "PATH"
        return [word for word in words if not word.isdigit()]

    def echoes(self, connection):
        with connection:
            self.assert_tcp_echo(connection)
        return True

    @staticmethod
    def refusal(guest, address):
        try:
            guest.connect(address, PORT).close()
        except OSError as error:
            return error.strerror
        return None


class Session(RootlessKitTestCase):
    def test_network(self):
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        self._keep(dns.Resolver(self.lab.internet, DNS4, ANSWER))
        host = self.tcp_server(self.lab.host, "127.0.0.1", port=PORT)

        def observe(binary):
            with self.session(binary, "--disable-host-loopback") as (guest, helper):
                return {"options": self.words(helper), "interface": interface(guest), "routes": routes(guest),
                        "resolv.conf": self.resolv_conf, "tcp": self.echoes(guest.connect(SERVICE4, PORT)),
                        "name": dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")),
                        "ping": guest.ping("10.0.2.2").returncode, "host's loopback": self.refusal(guest, "10.0.2.2")}

        seen = self.same(observe)
        self.assertEqual(seen["interface"]["ipv4"], [("10.0.2.100", 24, None, "global")])
        self.assertEqual(seen["interface"]["mtu"], 65520)
        self.assertEqual(seen["resolv.conf"], ["nameserver 10.0.2.3"])
        self.assertEqual((seen["name"], seen["ping"]), ([ANSWER], 0))
        self.assertEqual(seen["host's loopback"], "Network is unreachable")
        self.assertIn("--disable-host-loopback", seen["options"])
        self.assertEqual(host.peers, [])

    def test_tcp_goes_by_the_kernel_path(self):
        """Though the TAP has no address when the helper says that it is ready. Sandboxed as docker and nerdctl want it, and not."""
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        for options in ((), ("--slirp4netns-sandbox=auto", "--slirp4netns-seccomp=auto")):
            with self.subTest(options=options), self.session(clients.CONTROLLED, *options, "--disable-host-loopback") as (guest, helper):
                self.assert_kernel_path(helper, guest, SERVICE4, PORT)

    def test_host_loopback(self):
        """Reachable unless forbidden, as slirp4netns's own default is."""
        host = self.tcp_server(self.lab.host, "127.0.0.1", port=PORT)

        def observe(binary):
            with self.session(binary) as (guest, _):
                return self.echoes(guest.connect("10.0.2.2", PORT))

        self.assertTrue(self.same(observe))
        self.assertEqual(host.peers, ["127.0.0.1"] * 2)

    def test_cidr_and_mtu(self):
        """k3s has its guests in a /16."""
        def observe(binary):
            with self.session(binary, "--cidr=10.41.0.0/16", "--mtu=1400") as (guest, helper):
                return {"options": self.words(helper), "interface": interface(guest), "routes": routes(guest),
                        "resolv.conf": self.resolv_conf, "ping": guest.ping("10.41.0.2").returncode}

        seen = self.same(observe)
        self.assertEqual(seen["interface"]["ipv4"], [("10.41.0.100", 16, None, "global")])
        self.assertEqual((seen["interface"]["mtu"], seen["ping"]), (1400, 0))

    def test_ipv6(self):
        self.tcp_server(self.lab.internet, SERVICE6, port=PORT)

        def observe(binary):
            with self.session(binary, "--ipv6", "--disable-host-loopback") as (guest, helper):
                wait_until(lambda: any(a["local"].startswith("fd00::") and not a.get("tentative") for a in guest.link()["addr_info"]),
                           "a global IPv6 address that is no longer tentative")
                return {"options": self.words(helper), "resolv.conf": self.resolv_conf,
                        "tcp": self.echoes(guest.connect(SERVICE6, PORT)),
                        "default": [(r["gateway"], r["dev"]) for r in guest.ip("-6", "route", "show", "default")]}

        seen = self.same(observe)
        self.assertIn("--enable-ipv6", seen["options"])
        self.assertEqual(seen["default"], [("fe80::2", "tap0")])

    def test_confined(self):
        """What docker and nerdctl ask for: sandbox and seccomp where the binary says that it has them."""
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        self._keep(dns.Resolver(self.lab.internet, DNS4, ANSWER))

        def observe(binary):
            with self.session(binary, "--slirp4netns-sandbox=auto", "--slirp4netns-seccomp=auto",
                              "--disable-host-loopback") as (guest, helper):
                with open(f"/proc/{helper}/status", encoding="ascii") as file:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
                root = set(os.listdir(f"/proc/{helper}/root"))
                return {"options": self.words(helper), "tcp": self.echoes(guest.connect(SERVICE4, PORT)),
                        "name": dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")), "seccomp": status["Seccomp"],
                        "no new privileges": status["NoNewPrivs"], "capabilities beyond": int(status["CapEff"], 16) & ~(1 << 10),
                        "root has": {"etc", "run"} <= root, "root has not": root & {"home", "root", "var", "usr", "bin"}}

        seen = self.same(observe)
        for option in ("--enable-sandbox", "--enable-seccomp"):
            self.assertIn(option, seen["options"])
        self.assertEqual((seen["seccomp"], seen["no new privileges"], seen["capabilities beyond"]), ("2", "1", 0))
        self.assertTrue(seen["root has"])
        self.assertEqual(seen["root has not"], set())


class Ports(RootlessKitTestCase):
    tools = (*RootlessKitTestCase.tools, ("rootlessctl", "rootlesskit"))

    def control(self, *words, check=True):
        return clients.run("rootlessctl", f"--socket={STATE}/api.sock", *words, check=check)

    def from_lan(self, port):
        client = self._keep(clients.socket_in(self.lab.lan))
        client.connect((HOST_LAN4, port))
        return client

    def test_port_driver(self):
        """Ports from the command line, added, listed, refused and removed while it runs; each client's address kept."""
        def observe(binary):
            with self.session(binary, "--port-driver=slirp4netns", "-p", "0.0.0.0:18080:80/tcp", "-p", "0.0.0.0:18053:53/udp",
                              "--disable-host-loopback") as (guest, helper):
                self.assertIn("--api-socket", self.words(helper))
                tcp = self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
                udp = self.udp_server(guest.netns_fd(), "0.0.0.0", port=53)
                self.echoes(self.from_lan(18080))
                with clients.socket_in(self.lab.lan, socket.SOCK_DGRAM) as client:
                    client.connect((HOST_LAN4, 18053))
                    self.assert_udp_echo(client)
                with clients.socket_in(self.lab.host) as client:
                    client.connect(("127.0.0.1", 18080))
                    client.sendall(b"hello")
                    self.assertEqual(receive_exactly(client, 5), b"hello")
                added = self.control("add-ports", "0.0.0.0:18081:80/tcp").stdout
                self.echoes(self.from_lan(18081))
                listed = self.control("list-ports", "--json").stdout
                refused = self.control("add-ports", "0.0.0.0:18081:81/tcp", check=False)
                self.control("remove-ports", added.strip())
                with self.assertRaises(ConnectionRefusedError):
                    self.from_lan(18081)
                return {"options": self.words(helper), "added": added, "listed": sorted(listed.splitlines()),
                        "refused": refused.returncode, "why": refused.stdout + refused.stderr,
                        "tcp": list(tcp.peers), "udp": list(dict.fromkeys(udp.peers))}

        seen = self.same(observe)
        self.assertEqual((seen["tcp"], seen["udp"]), ([LAN4, "10.0.2.2", LAN4], [LAN4]))
        self.assertNotEqual(seen["refused"], 0)

    def test_port_taken(self):
        """RootlessKit ends with the reason."""
        self.tcp_server(self.lab.host, "0.0.0.0", port=18080)

        def observe(binary):
            done = clients.run(*kit(binary), "--port-driver=slirp4netns", "-p", "0.0.0.0:18080:80/tcp", "true", check=False)
            self.wait_gone(binary)
            return done.returncode, done.stderr

        seen = self.both(observe)
        self.assertEqual(seen["netns-helper"][0], seen["slirp4netns"][0])
        for _, text in seen.values():
            self.assertIn("slirp_add_hostfwd failed", text)

    def test_builtin_driver(self):
        """RootlessKit's own proxy, Docker's default."""
        def observe(binary):
            with self.session(binary, "--port-driver=builtin", "-p", "0.0.0.0:18080:80/tcp") as (guest, _):
                self.tcp_server(guest.netns_fd(), "0.0.0.0", port=80)
                return self.echoes(self.from_lan(18080))

        self.assertTrue(self.same(observe))


if __name__ == "__main__":
    main()
