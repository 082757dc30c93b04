# SPDX-License-Identifier: BSD-3-Clause
"""The command has its network from its first instruction on."""

import json
import os
import signal
import socket

from tests.launch.launch import RUNTIME, LaunchTestCase, user_file
from tests.support import dns, process
from tests.support.case import main, processes
from tests.support.helper import wait_until
from tests.support.lab import DNS4, SERVICE4, SERVICE6, USER_DIR

TCP = """import socket
with socket.create_connection(({address!r}, {port}), 20) as connection:
    connection.sendall(b"some bytes")
    print(connection.recv(100).decode())
"""
UDP = """import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(2)
client.connect(({address!r}, {port}))
for _ in range(5):
    client.send(b"a datagram")
    try:
        print(client.recv(100).decode())
        break
    except TimeoutError:
        pass
"""


class Works(LaunchTestCase):
    """With the helper's addresses; Private repeats it all with its own."""

    options = ()

    def setUp(self):
        super().setUp()
        self.need_device()

    def test_tcp(self):
        for address in (SERVICE4, SERVICE6):
            with self.subTest(address=address):
                server = self.tcp_server(self.lab.internet, address)
                self.assertEqual(self.python(TCP.format(address=address, port=server.port), *self.options), "some bytes\n")

    def test_udp(self):
        server = self.udp_server(self.lab.internet, SERVICE4)
        self.assertEqual(self.python(UDP.format(address=SERVICE4, port=server.port), *self.options), "a datagram\n")

    def test_names_resolve_as_resolv_conf_says(self):
        self._keep(dns.Resolver(self.lab.internet, DNS4, "192.0.2.1"))
        self.assertEqual(self.python("import socket; print(socket.gethostbyname('one.test'))", *self.options), "192.0.2.1\n")

    def test_ping_without_a_capability(self):
        """ping has a file capability where distributions install it, which it does not get here; it takes a ping socket."""
        out = self.sh(f"grep CapEff /proc/self/status; ping -n -c 1 -W 5 {SERVICE4}", *self.options)
        self.assertIn("CapEff:\t0000000080000000", out)
        self.assertIn("1 received", out)

    def test_its_own_interfaces(self):
        links = json.loads(self.sh("ip -j link", *self.options))
        self.assertEqual([link["ifname"] for link in links], ["lo", "tap0"])
        for link in links:
            self.assertIn("UP", link["flags"])


class Private(Works):
    options = ("--net-plan=private",)

    def test_static_neighbours(self):
        script = "ip -j -4 address show tap0; ip -j -4 route; ip -j -4 neigh"
        address, routes, neighbours = (json.loads(line) for line in self.sh(script, *self.options).splitlines())
        mine = address[0]["addr_info"][0]
        self.assertEqual(mine["prefixlen"], 30)
        self.assertTrue(mine["local"].startswith("10.24") or mine["local"].startswith("10.25"))
        gateway = next(route["gateway"] for route in routes if route["dst"] == "default")
        self.assertEqual([(n["dst"], n["state"]) for n in neighbours if n["dst"] == gateway], [(gateway, ["PERMANENT"])])

    def test_every_run_has_its_own(self):
        script = "ip -j -6 address show tap0 scope global"
        self.assertNotEqual(*(json.loads(self.sh(script, *self.options))[0]["addr_info"][0]["local"] for _ in range(2)))


class Publish(LaunchTestCase):
    SERVER = """import socket
listener = socket.create_server(("0.0.0.0", 80))
print("listening", flush=True)
connection, _ = listener.accept()
connection.sendall(connection.recv(100))
"""

    def setUp(self):
        super().setUp()
        self.need_device()

    def test_port_leads_inside(self):
        for options in ((), ("--net-plan=private",)):
            with self.subTest(options=options):
                run = self.start("-p", "127.0.0.1:18080:80", "--cap-add=net_bind_service", *options, "--", "python3", "-c", self.SERVER)
                run.wait_for("listening")
                with socket.create_connection(("127.0.0.1", 18080), RUNTIME) as client:
                    self.assert_tcp_echo(client)
                self.assertEqual(run.wait(), 0, run.err())

    def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 18081)):
            self.run_command("-p", "18081:80", "--", "touch", f"{USER_DIR}/started", code=125)
        self.assertIn("18081", self.last_err)
        self.assertFalse(os.path.exists(f"{USER_DIR}/started"), "the command must not start without its network")


class OtherNetworks(LaunchTestCase):
    def test_loopback_only(self):
        out = self.sh("ip -j link; ping -n -c 1 -W 5 127.0.0.1", "--no-net")
        self.assertEqual([link["ifname"] for link in json.loads(out.splitlines()[0])], ["lo"])
        self.assertIn("1 received", out)

    def test_the_hosts(self):
        self.assertEqual(self.sh("readlink /proc/self/ns/net", "--net=host").strip(), os.readlink("/proc/self/ns/net"))

    def test_joined(self):
        guest = self.guest()
        out = self.sh("readlink /proc/self/ns/net", f"--net=join:pid:{guest.pid}").strip()
        self.assertEqual(out, os.readlink(f"/proc/{guest.pid}/ns/net"))
        self.assertEqual(processes(), [], "nobody brings a helper to a network that is there")


class HelperIsConfined(LaunchTestCase):
    """What hostile frames could make of it is worth as little as may be; unless told otherwise."""

    def _look_at_helper(self, *options):
        """Its and its agent's lines of /proc/PID/status that confinement changes, while the command waits."""
        self.need_device()
        run = self.start(*options, "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        seen = []
        for pid in [run.helper(), *run.children(run.helper())]:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                lines = dict(line.split(":", 1) for line in file)
            seen.append((lines["Seccomp"].strip(), lines["NoNewPrivs"].strip(), sorted(os.listdir(f"/proc/{pid}/root"))))
        return seen

    def test_by_default(self):
        (seccomp, privileges, root), agent = self._look_at_helper()
        self.assertEqual((seccomp, privileges), ("2", "1"))
        self.assertLessEqual(set(root), {"etc", "run"}, "no file but resolver configuration")
        self.assertEqual(agent, ("2", "1", []))

    def test_unless_told_otherwise(self):
        helper, _ = self._look_at_helper("--confine-helper=no")
        self.assertEqual(helper, ("0", "0", sorted(os.listdir("/"))))


class HelperEnds(LaunchTestCase):
    def setUp(self):
        super().setUp()
        self.need_device()

    def test_kill(self):
        run = self.start("--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        self.assertTrue(process.send(run.helper(), signal.SIGKILL))
        self.assertEqual(run.wait(), 125)
        self.assertIn("netns-helper has ended (signal 9): the command has lost its network, and is killed", run.err())

    def test_keep(self):
        fifo = f"{USER_DIR}/go-{os.getpid()}"
        os.mkfifo(fifo, 0o666)
        os.chmod(fifo, 0o666)
        run = self.start("--on-helper-exit=keep", "--", "sh", "-c", f"echo started; read x < {fifo}; ip -o link; exit 3")
        run.wait_for("started")
        self.assertTrue(process.send(run.helper(), signal.SIGKILL))
        wait_until(lambda: "the command goes on without a network" in run.err(), "the user is told")
        with open(fifo, "w", encoding="ascii") as file:
            file.write("go\n")
        self.assertEqual(run.wait(), 3, run.err())
        self.assertNotIn("tap0", run.out())

    def test_missing(self):
        self.run_command("--helper", "/nonexistent", "--", "true", code=125)
        self.assertIn("--helper /nonexistent", self.last_err)

    def test_that_never_becomes_ready(self):
        failing = user_file("failing-helper", "#!/bin/sh\nexit 4\n")
        os.chmod(failing, 0o755)
        self.run_command("--helper", failing, "--", "touch", f"{USER_DIR}/started", code=125)
        self.assertFalse(os.path.exists(f"{USER_DIR}/started"))
        self.assertRegex(self.last_err, "netns-helper has ended")

    def test_option_of_the_helper(self):
        self.run_command("--helper-option=--nonsense", "--", "true", code=125)
        self.assertIn("nonsense", self.last_err)


if __name__ == "__main__":
    main()
