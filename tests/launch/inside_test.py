# SPDX-License-Identifier: BSD-3-Clause
"""The inside fits together: sandboxes in the sandbox, low ports, /sys, networks that do not clash, and advice that helps."""

import json
import os
import shutil
import subprocess

from tests.launch.launch import NETNS_RUN, RUNTIME, LaunchTestCase, user_file
from tests.support import clients, kernel, servers
from tests.support.case import main
from tests.support.lab import HELPER, RUN, SERVICE4, USER, USER_DIR
from tests.support.skip import need_tool

LOCAL = ("--no-net",)


class Sandboxes(LaunchTestCase):
    """What makes a user namespace of its own does so inside too."""

    def test_unshare(self):
        for options in ((), ("--map-current-user",), ("--as-pid-1",), ("--ro",), ("--hostname=box",)):
            with self.subTest(options=options):
                self.run_command(*LOCAL, *options, "--", "unshare", "-Ur", "true")
                self.run_command(*LOCAL, *options, "--", "unshare", "-Urmpf", "--mount-proc", "true")

    def test_bwrap(self):
        need_tool("bwrap", "bubblewrap")
        self.run_command(*LOCAL, "--", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true")

    def test_netns_run(self):
        out = self.run_command(*LOCAL, "--", NETNS_RUN, *LOCAL, "--", NETNS_RUN, *LOCAL, "--", "sh", "-c", "id -u; ls /sys/class/net")
        self.assertEqual(out, "0\nlo\n")

    def test_netns_run_with_its_network(self):
        self.need_device()
        server = self.tcp_server(self.lab.internet, SERVICE4)
        connect = f"import socket; s = socket.create_connection(({SERVICE4!r}, {server.port}), 20); s.sendall(b'x'); print(s.recv(1))"
        self.assertEqual(self.run_command("--", NETNS_RUN, "--", "python3", "-c", connect), "b'x'\n")

    def test_the_advice_where_it_cannot_be(self):
        """Whoever takes the capability away reads what gives it back, and both ways do."""
        inner = (NETNS_RUN, *LOCAL, "--", "sh", "-c", "exit 7")
        self.run_command(*LOCAL, "--cap-drop=ALL", "--", *inner, code=125)
        self.assertIn("--cap-add=setfcap", self.last_err)
        self.assertIn("--map-current-user", self.last_err)
        self.run_command(*LOCAL, "--cap-add=setfcap", "--", *inner, code=7)
        self.run_command(*LOCAL, "--cap-drop=ALL", "--map-current-user", "--", *inner, code=7)


class Ports(LaunchTestCase):
    BIND = "import socket; s = socket.socket(); s.bind(('0.0.0.0', 80)); " \
           "u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(('::1', 53)); print('bound')"

    def test_below_1024(self):
        for options in (LOCAL, (*LOCAL, "--map-current-user"), (*LOCAL, "--cap-drop=ALL")):
            with self.subTest(options=options):
                self.assertEqual(self.python(self.BIND, *options), "bound\n")

    def test_of_the_host_stay_its_own(self):
        self.run_command("--net=host", "--", "python3", "-c", self.BIND, code=1)


class Sys(LaunchTestCase):
    def test_shows_the_namespaces_interfaces(self):
        script = "ls /sys/class/net /sys/devices/virtual/net; cat /sys/class/net/lo/mtu"
        for options in ((), ("--as-pid-1",), ("--ro",), ("--tmpfs", "/sys/fs/cgroup")):
            with self.subTest(options=options):
                self.assertEqual(self.sh(script, *LOCAL, *options).split(), ["/sys/class/net:", "lo", "/sys/devices/virtual/net:", "lo", "65536"])
        self.need_device()
        self.assertEqual(self.sh("ls /sys/class/net; cat /sys/class/net/tap0/mtu", "--mtu=1400").split(), ["lo", "tap0", "1400"])

    def test_of_a_joined_namespace(self):
        guest = self.guest()
        with guest.netns():
            subprocess.run(["ip", "link", "add", "dummy7", "type", "veth"], check=True, timeout=RUNTIME)
        self.assertIn("dummy7", self.sh("ls /sys/class/net", f"--net=join:pid:{guest.pid}").split())

    def test_what_the_host_mounts_below_stays(self):
        def points(text):
            return {line.split()[1] for line in text.splitlines() if line.split()[1].startswith("/sys/")}

        with open("/proc/self/mounts", encoding="ascii") as file:
            hosts = file.read()
        self.assertEqual(points(self.sh("cat /proc/self/mounts", *LOCAL)), points(hosts))

    def test_of_the_hosts_network_is_the_hosts(self):
        self.assertEqual(sorted(self.sh("ls /sys/class/net", "--net=host").split()), sorted(os.listdir("/sys/class/net")))

    def test_that_the_kernel_refuses(self):
        """With something mounted over a part of the host's, as in containers: nothing is shown of it that was not before."""
        outer = f"mount -t tmpfs tmpfs /sys/class && exec {NETNS_RUN} --no-net -- sh -c 'ls /sys/class; exit 7'"
        self.run_command("--net=host", "--keep-caps", "--", "sh", "-c", outer, code=7)


class Clash(LaunchTestCase):
    """The host has a part in the network that the guest would have."""

    def setUp(self):
        super().setUp()
        self.need_device()
        self.far = kernel.new_netns()
        self.addCleanup(os.close, self.far)
        self._ip("link", "add", "clash0", "type", "veth", "peer", "name", "clash1", "netns", f"/proc/{os.getpid()}/fd/{self.far}")
        self.addCleanup(self._ip, "link", "del", "clash0")
        self._ip("addr", "add", "10.0.2.15/24", "dev", "clash0")
        self._ip("addr", "add", "fd00::15/64", "dev", "clash0", "nodad")
        self._ip("link", "set", "clash0", "up")
        with kernel.in_netns(self.far):
            self._ip("link", "set", "lo", "up")
            self._ip("addr", "add", "10.0.2.103/24", "dev", "clash1")
            self._ip("addr", "add", "fd00::103/64", "dev", "clash1", "nodad")
            self._ip("link", "set", "clash1", "up")

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True, timeout=RUNTIME)

    def _connect(self, address, *options):
        server = self._keep(servers.TcpServer(self.far, address, servers.echo, 0))
        script = f"import socket; s = socket.create_connection(({address!r}, {server.port}), 20); s.sendall(b'x'); print(s.recv(1))"
        return self.run_command(*options, "--", "python3", "-c", script)

    def test_netns_run_chooses_another_network(self):
        for options in ((), ("--cidr=auto",), ("--cidr=auto", "--cidr6=auto")):
            for address in ("10.0.2.103", "fd00::103"):
                with self.subTest(options=options, address=address):
                    self.assertEqual(self._connect(address, *options), "b'x'\n")
                    self.assertNotIn("overlaps", self.last_err)
        out = self.sh("ip -4 -o addr show tap0; cat /etc/resolv.conf")
        self.assertIn("10.0.3.100/24", out)
        self.assertIn("nameserver 10.0.3.3\n", out)

    def test_a_route_is_enough(self):
        self._ip("route", "add", "10.0.3.0/25", "dev", "clash0")
        self.assertIn("10.0.4.100/24", self.sh("ip -4 -o addr show tap0"))

    def test_who_asks_for_it_is_warned_and_the_cure_is_one(self):
        self.sh("true", "--cidr=10.0.2.0/24", "--cidr6=fd00::/64")
        self.assertIn("10.0.2.0/24 overlaps with 10.0.2.", self.last_err)
        self.assertIn("--cidr auto", self.last_err)
        self.assertIn("fd00::/64 overlaps with fd00::", self.last_err)
        self.assertIn("--cidr6 auto", self.last_err)

    def test_the_helper_alone(self):
        guest, helper = self.pair()
        self.assertIn("10.0.2.0/24 overlaps with 10.0.2.", helper.log())
        guest, helper = self.pair("--cidr", "auto", "--cidr6", "auto")
        self.assertNotIn("overlaps", helper.log())
        with guest.netns():
            shown = json.loads(subprocess.run(["ip", "-j", "-4", "addr", "show", "tap0"], capture_output=True, check=True, timeout=RUNTIME).stdout)
        self.assertEqual(shown[0]["addr_info"][0]["local"], "10.0.3.100")


class Colon(LaunchTestCase):
    def test_in_both_paths(self):
        shown = user_file("with:colon", "text\n")
        target = f"{USER_DIR}/target:colon"
        for target_text in (target, target.replace(":", "\\:")):
            out = self.sh(f"cat {target}", *LOCAL, "--ro-bind", f"{USER_DIR}/with\\:colon:{target_text}")
            self.assertEqual(out, "text\n")
        self.run_command(*LOCAL, "--bind", shown, "--", "true", code=125)
        os.unlink(target)

    def test_the_advice(self):
        self.run_command(*LOCAL, "--bind", "no-colon-at-all", "--", "true", code=125)
        self.assertIn("\\:", self.last_err)


class SubordinateIds(LaunchTestCase):
    """Why newuidmap and newgidmap refuse, and that the cure which is printed is one."""

    def setUp(self):
        super().setUp()
        need_tool("newuidmap", "uidmap")
        # The host's belong to a root who does not exist in the lab: copies have their privilege from the lab's root.
        directory = f"{RUN}/shadow"
        os.makedirs(directory, exist_ok=True)
        kernel.mount("tmpfs", directory, "tmpfs", 0, "mode=755")
        self.addCleanup(kernel.umount, directory)
        for name in ("newuidmap", "newgidmap"):
            shutil.copyfile(shutil.which(name), f"{directory}/{name}")
            os.chmod(f"{directory}/{name}", 0o4755)
        self.environment = {**os.environ, "PATH": f"{directory}:/usr/bin:/bin"}
        for name in ("subuid", "subgid"):
            with open(f"/etc/{name}", "w", encoding="ascii") as file:
                file.write(f"{USER}:2000:100\n")
            self.addCleanup(os.unlink, f"/etc/{name}")

    def ended(self, *options, gid=USER, wrapper=()):
        done = subprocess.run([*wrapper, NETNS_RUN, *LOCAL, *options, "--", "sh", "-c", "exit 7"], user=USER, group=gid, extra_groups=[], cwd="/",
                              env=self.environment, capture_output=True, text=True, timeout=RUNTIME, check=False)
        return done.returncode, done.stderr

    def test_another_primary_group(self):
        code, said = self.ended("--map-auto", gid=1500)
        self.assertEqual(code, 125)
        self.assertIn(f"gid {USER}, and ours is 1500", said)
        self.assertNotIn("seccomp", said)
        self.assertEqual(self.ended("--map-auto")[0], 7)

    def test_ids_that_are_not_the_callers(self):
        maps = ("--uid-map", f"0:{USER}:1", "--gid-map", f"0:{USER}:1", "--gid-map", "1:2000:100")
        code, said = self.ended(*maps, "--uid-map", "1:3000:100")
        self.assertEqual(code, 125)
        self.assertIn("uids 3000-3099 are neither", said)
        self.assertEqual(self.ended(*maps, "--uid-map", "1:2000:100")[0], 7)

    def test_no_new_privs(self):
        code, said = self.ended("--map-auto", wrapper=("setpriv", "--no-new-privs"))
        self.assertEqual(code, 125)
        self.assertIn("no_new_privs is set", said)
        self.assertEqual(self.ended("--map-root-user", wrapper=("setpriv", "--no-new-privs"))[0], 7)
        self.assertEqual(self.ended("--map-auto")[0], 7)

    def test_no_ranges(self):
        os.truncate("/etc/subuid", 0)
        code, said = self.ended("--map-auto")
        self.assertEqual(code, 125)
        self.assertIn("/etc/subuid", said)


class Advice(LaunchTestCase):
    """What a message says to do helps where it says so."""

    def test_no_helper_to_be_found(self):
        program = user_file("alone-netns-run")
        shutil.copyfile(NETNS_RUN, program)
        os.chmod(program, 0o755)
        self.addCleanup(os.unlink, program)

        def run(*options):
            return subprocess.run([program, *options, "--", "true"], user=USER, group=USER, extra_groups=[], cwd="/", env={"PATH": "/usr/bin:/bin"},
                                  capture_output=True, text=True, timeout=RUNTIME, check=False)

        failed = run()
        self.assertEqual(failed.returncode, 125)
        self.assertIn("--helper names it, --no-net does without", failed.stderr)
        self.assertEqual(run("--no-net").returncode, 0)
        self.need_device()
        self.assertEqual(run("--helper", HELPER).returncode, 0)

    def test_a_mount_point_that_cannot_be_made(self):
        shown = user_file("shown-there", "text\n")
        self.run_command(*LOCAL, "--bind", f"{shown}:/etc/made-beforehand", "--", "true", code=125)
        self.assertIn("make it beforehand", self.last_err)
        with open("/etc/made-beforehand", "w", encoding="ascii"):
            self.addCleanup(os.unlink, "/etc/made-beforehand")
        self.assertEqual(self.sh("cat /etc/made-beforehand", *LOCAL, "--bind", f"{shown}:/etc/made-beforehand"), "text\n")


class Bundles(LaunchTestCase):
    def setUp(self):
        super().setUp()
        need_tool("runc", "runc")
        clients.prepare()
        self.directory = f"{clients.HOME}/bundle-{self.id()}"
        os.makedirs(self.directory)
        os.chown(self.directory, USER, USER)
        clients.run("runc", "spec", "--rootless", "--bundle", self.directory)
        with open(f"{self.directory}/config.json", encoding="utf-8") as file:
            self.config = json.load(file)
        self.config["root"] = {"path": clients.rootfs(), "readonly": True}
        self.config["process"]["terminal"] = False
        self.config["process"]["args"] = ["/bin/sh", "-c", "grep ^Cap /proc/self/status"]

    def run_bundle(self, code=0):
        with open(f"{self.directory}/config.json", "w", encoding="utf-8") as file:
            json.dump(self.config, file)
        return self.run_command("--no-net", "--bundle", self.directory, code=code)

    def test_of_runc_spec_is_no_reason_to_warn(self):
        out = self.run_bundle()
        self.assertNotIn("capabilities", self.last_err)
        self.assertIn("CapEff:\t0000000020000420", out)

    def test_ambient_ones_of_another_user_are_warned_of_and_the_cure_is_one(self):
        self.config["process"]["user"] = {"uid": 0, "gid": 0}
        capabilities = self.config["process"]["capabilities"]
        self.config["linux"]["uidMappings"] = [{"containerID": 5, "hostID": USER, "size": 1}]
        self.config["linux"]["gidMappings"] = [{"containerID": 5, "hostID": USER, "size": 1}]
        self.config["process"]["user"] = {"uid": 5, "gid": 5}
        capabilities.pop("inheritable", None)
        capabilities["ambient"] = ["CAP_KILL"]
        self.assertIn("CapAmb:\t0000000000000000", self.run_bundle())
        self.assertIn("CAP_KILL", self.last_err)
        capabilities["inheritable"] = ["CAP_KILL"]
        self.assertIn("CapAmb:\t0000000000000020", self.run_bundle())
        self.assertNotIn("CAP_KILL", self.last_err)


if __name__ == "__main__":
    main()
