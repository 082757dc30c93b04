# SPDX-License-Identifier: BSD-3-Clause
"""Rootless buildah: it starts slirp4netns from PATH by pid, without an exit fd, and kills it when the command is done."""

import functools
import subprocess

from tests.support import clients, dns
from tests.support.case import main
from tests.support.lab import DNS4, SERVICE4

ANSWER = "192.0.2.1"
PORT = 7777
CONTAINER = "building"


def buildah(*arguments, binary=clients.OURS, check=True):
    return clients.run("buildah", *arguments, binary=binary, check=check)


@functools.cache
def make_container():
    buildah("from", "--name", CONTAINER, "scratch")
    buildah("add", "--quiet", CONTAINER, clients.image(), "/")


class Run(clients.ClientTestCase):
    tools = (("buildah", "buildah"), ("crun", "crun"))

    def setUp(self):
        super().setUp()
        make_container()

    def run_in(self, binary, script):
        done = buildah("run", "--isolation", "rootless", "--cap-add", "CAP_NET_RAW", CONTAINER, "--", "sh", "-c", script,
                       binary=binary, check=False)
        self.wait_gone(binary)
        return done

    def test_network(self):
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        self._keep(dns.Resolver(self.lab.internet, DNS4, ANSWER))
        script = ("ip -o -4 addr show dev tap0; ip link show tap0 | grep -o 'mtu [0-9]*'; ip route; cat /etc/resolv.conf;"
                  f"nslookup one.test; ping -c 1 -W 10 10.0.2.2 | grep received; echo hello | nc -w 10 {SERVICE4} {PORT}")

        def observe(binary):
            done = self.run_in(binary, script)
            self.assertEqual(done.returncode, 0, done.stderr)
            return [line.strip() for line in done.stdout.splitlines()]

        seen = self.same(observe)
        for line in ("mtu 65520", "default via 10.0.2.2 dev tap0", "nameserver 10.0.2.3", f"Address: {ANSWER}", "hello",
                     "1 packets transmitted, 1 packets received, 0% packet loss"):
            self.assertIn(line, seen)
        self.assertIn("inet 10.0.2.100/24 brd 10.0.2.255 scope global tap0", seen[0])

    def test_while_it_runs(self):
        """The command line of the helper, and its end with the command."""
        def observe(binary):
            process = clients.start("buildah", "run", "--isolation", "rootless", CONTAINER, "--",
                                    "sh", "-c", "echo runs; cat; exit 3", binary=binary, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                self.assertEqual(clients.wait_for_line(process, "the command runs"), "runs")
                words = clients.command_line(self.the_helper(binary))[1:]
            finally:
                process.stdin.close()
                process.wait(clients.CLIENT)
                process.stdout.close()
            self.wait_gone(binary)
            return [word for word in words if not word.isdigit()], process.returncode

        words, code = self.same(observe)
        self.assertEqual(words, ["--mtu", "-r", "-c", "tap0"])
        self.assertEqual(code, 3)

    def test_exit_code(self):
        self.assertEqual(self.same(lambda binary: self.run_in(binary, "exit 7").returncode), 7)

    def test_build(self):
        """`buildah bud`: the network of a build's RUN."""
        self.tcp_server(self.lab.internet, SERVICE4, port=PORT)
        directory = f"{clients.HOME}/context"
        clients.run("mkdir", "-p", directory)
        with open(f"{directory}/Containerfile", "w", encoding="ascii") as file:
            file.write("FROM scratch\nADD image.tar /\n"
                       f"RUN echo hello | nc -w 10 {SERVICE4} {PORT} > /fetched\nRUN grep hello /fetched\n")
        clients.run("cp", clients.image(), f"{directory}/image.tar")

        def observe(binary):
            done = buildah("bud", "--isolation", "rootless", "--no-cache", "--network", "private", directory, binary=binary)
            self.wait_gone(binary)
            return done.returncode

        self.assertEqual(self.same(observe), 0)


if __name__ == "__main__":
    main()
