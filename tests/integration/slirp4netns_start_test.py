# SPDX-License-Identifier: BSD-3-Clause
"""In slirp4netns's place: attaching, configuring, telling readiness and ending, each seen on both where both can."""

import contextlib
import os
import signal
import socket
import struct

from tests.support import frames, kernel
from tests.support.case import main, processes
from tests.support.guest import DEADLINE, IFF_NO_PI, IFF_TAP
from tests.support.helper import wait_until
from tests.support.lab import RUN, SERVICE4, SERVICE6, USER, USER_DIR
from tests.support.skip import need_tool
from tests.support.slirp4netns import Slirp4netnsTestCase, ours, theirs

LEASE_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
"""


def routes(guest, family="-4"):
    """What a client compares: where to, by whom, over what."""
    return sorted((r["dst"], r.get("gateway"), r["dev"]) for r in guest.ip(family, "route", "show", "table", "main")
                  if not r["dst"].startswith("fe80"))


def start_lines(text):
    """Standard output without the warnings that slirp4netns writes twice when it is not a terminal."""
    return text[text.index("Starting slirp"):]


class Configure(Slirp4netnsTestCase):
    def test_the_same_address_routes_mtu_and_lo(self):
        seen = []
        for binary in self.both():
            guest, run = self.attached(binary, "-e", "@EXIT@", "--mtu=65520")
            link, lo = guest.link(), guest.link("lo")
            seen.append((guest.addresses(), routes(guest), link["mtu"], "UP" in link["flags"], "UP" in lo["flags"],
                         [a.get("broadcast") for a in link["addr_info"] if a["family"] == "inet"]))
            self.assert_works(guest)
            self.assertEqual(run.end_by_exit_fd(), 0)
        self.assertEqual(seen[0][:2], ([("10.0.2.100", 24)], [("10.0.2.0/24", None, "tap0"), ("default", "10.0.2.2", "tap0")]))
        self.assertEqual(seen[0], seen[-1])

    def test_another_network(self):
        for binary in self.both():
            guest, _ = self.attached(binary, "--cidr=10.0.135.128/25")
            self.assertEqual(guest.addresses(), [("10.0.135.228", 25)])
            self.assertIn(("default", "10.0.135.130", "tap0"), routes(guest))
        guest, _ = self.attached(ours(), "--cidr=10.41.0.0/16", "--disable-host-loopback")
        self.assertEqual(guest.addresses(), [("10.41.0.100", 16)])
        self.assert_works(guest)

    def test_mac_address(self):
        for binary in self.both():
            guest, _ = self.attached(binary, "--macaddress=52:01:02:03:04:05")
            self.assertEqual(guest.link()["address"], "52:01:02:03:04:05")

    def test_without_it_nothing_is_touched(self):
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-r", "@READY@", "-6", str(guest.pid), "tap0")
            self.assertNotIn("UP", guest.link()["flags"])
            self.assertNotIn("UP", guest.link("lo")["flags"])
            self.assertEqual(guest.addresses(), [])
            self.assertEqual(guest.link()["mtu"], 1500)

    def test_a_lease_for_who_configures_itself(self):
        need_tool("busybox", "busybox or busybox-static")
        script = f"{RUN}/lease-script"
        with open(script, "w", encoding="ascii") as file:
            file.write(LEASE_SCRIPT)
        os.chmod(script, 0o755)
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-r", "@READY@", str(guest.pid), "tap0")
            guest.run("ip", "link", "set", "tap0", "up")
            guest.run("busybox", "udhcpc", "-i", "tap0", "-f", "-q", "-n", "-t", "5", "-T", "1", "-s", script)
            self.assertEqual(guest.addresses(), [("10.0.2.15", 24)])
            self.assert_works(guest)


class Ipv6(Slirp4netnsTestCase):
    def _of_prefix(self, guest):
        return [a for a in guest.link()["addr_info"] if a["local"].startswith("fd00::")]

    def test_usable_at_ready_in_the_form_that_autoconfiguration_gives(self):
        guest, _ = self.attached(ours(), "-6", "--macaddress=02:00:00:00:00:07")
        address, = self._of_prefix(guest)
        self.assertEqual((address["local"], address["prefixlen"], address.get("tentative")), ("fd00::ff:fe00:7", 64, None))
        self.assertIn(("default", "fe80::2", "tap0"), routes(guest, "-6"))
        server = self.tcp_server(self.lab.internet, SERVICE6)
        with guest.connect(SERVICE6, server.port) as connection:
            self.assert_tcp_echo(connection)

        original, _ = self.attached(theirs(), "-6", "--macaddress=02:00:00:00:00:07")
        # There the link-local address was made before the MAC was set; only the guest's own address is compared.
        wait_until(lambda: self._of_prefix(original), "slirp4netns's guest has its address")
        self.assertEqual([a["local"] for a in self._of_prefix(original)], ["fd00::ff:fe00:7"])
        wait_until(lambda: ("default", "fe80::2", "tap0") in routes(original, "-6"), "slirp4netns's route")

    def test_made_of_a_mac_that_nobody_chose(self):
        guest, run = self.attached(ours(), "-6", "-a", "@API@")
        address, = self._of_prefix(guest)
        mac = bytes.fromhex(guest.link()["address"].replace(":", ""))
        wanted = socket.inet_ntop(socket.AF_INET6, bytes.fromhex("fd00000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:])
        self.assertEqual(address["local"], wanted)
        # The address that a forward without one leads to.
        listener = guest.listen(wanted, 80)
        self.addCleanup(listener.close)
        reply = run.ask_bytes(b'{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"::1","host_port":18466,"guest_port":80}}')
        self.assertEqual(reply, b'{"return":{"id":1}}')
        with socket.create_connection(("::1", 18466), DEADLINE) as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"through")
                self.assertEqual(server.recv(16), b"through")

    def test_off_unless_asked_for(self):
        guest, _ = self.attached(ours())
        self.assertEqual(self._of_prefix(guest), [])
        self.assertEqual(routes(guest, "-6"), [])

    def test_by_advertisement_for_who_configures_itself(self):
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-r", "@READY@", "-6", str(guest.pid), "tap0")
            guest.run("ip", "link", "set", "tap0", "up")
            wait_until(lambda g=guest: self._of_prefix(g), "an address of fd00::/64")
            wait_until(lambda g=guest: ("default", "fe80::2", "tap0") in routes(g, "-6"), "a default route")


class Texts(Slirp4netnsTestCase):
    def test_start_and_exit_event(self):
        outputs, errors = [], []
        for binary in self.both():
            _, run = self.attached(binary, "-e", "@EXIT@", "-6", "--cidr=10.0.135.128/25", "-a", "/run/lab/user/text.sock",
                                   "--outbound-addr=127.0.0.1", "--outbound-addr6=::1", "--macaddress=02:00:00:00:00:07")
            self.assertEqual(run.end_by_exit_fd(), 0)
            outputs.append(start_lines(run.out()))
            errors.append("".join("tapfd\n" if "tapfd" in line else line for line in run.err().splitlines(True)))
            self.assertIn("WARNING: Support for IPv6 is experimental\n", run.out())
            self.assertRegex(run.err(), r"^sent tapfd=\d+ for tap0\nreceived tapfd=\d+\n")
            with contextlib.suppress(FileNotFoundError):
                os.unlink("/run/lab/user/text.sock")  # slirp4netns leaves it
        self.assertEqual(outputs[0], outputs[-1])
        self.assertEqual(errors[0], errors[-1])
        self.assertEqual(errors[0], "tapfd\ntapfd\nexitfd event\ndo_slirp is exiting\n")

    def test_no_warning_when_the_host_cannot_be_reached(self):
        outputs = []
        for binary in self.both():
            _, run = self.attached(binary, "-e", "@EXIT@", "--disable-host-loopback")
            run.end_by_exit_fd()
            outputs.append(start_lines(run.out()))
        self.assertEqual(outputs[0], outputs[-1])
        self.assertNotIn("127.0.0.1", outputs[0])

    def test_start_text_is_there_at_ready(self):
        _, run = self.attached(ours())
        self.assertIn("* Recommended IP:  10.0.2.100\n", run.out())


class Life(Slirp4netnsTestCase):
    def test_the_exit_fd_hangs_up(self):
        """Bytes in the pipe are no event for slirp4netns."""
        for binary in self.both():
            guest, run = self.attached(binary, "-e", "@EXIT@")
            os.write(run.exit_fd, b"x")
            self.assert_works(guest)
            self.assertIsNone(run.process.poll())
            self.assertEqual(run.end_by_exit_fd(), 0)

    def test_dies_of_the_signal_it_is_sent(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            for binary in self.both():
                guest, run = self.attached(binary, "-a", "@API@")
                run.process.send_signal(number)
                self.assertEqual(run.wait_exit(), -number)
                wait_until(lambda g=guest: g.link() is None, "the TAP is gone")
                self.assertEqual(os.path.exists(run.api_path), binary == theirs(), "only slirp4netns leaves its socket")

    def test_signals_that_are_ignored_at_the_start_end_nothing(self):
        """nohup(1), and a shell's jobs in the background of a script."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            guest, run = self.attached(ours(), wrapper=(
                "python3", "-c", f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"))
            run.process.send_signal(number)
            self.assert_works(guest)
            run.process.send_signal(signal.SIGTERM)
            self.assertEqual(run.wait_exit(), -signal.SIGTERM)

    def test_a_signal_while_it_waits_for_its_guest(self):
        path = f"{USER_DIR}/bess-signal"
        run = self.slirp(ours(), "--target-type=bess", path)
        wait_until(lambda: os.path.exists(path), "it listens")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait_exit(), -signal.SIGTERM)
        self.assertFalse(os.path.exists(path))

    def test_the_targets_end_is_noticed_without_exit_fd(self):
        guest, run = self.attached(ours(), "-a", "@API@")
        guest.kill()
        self.assertEqual(run.wait_exit(), 0)
        self.assertFalse(os.path.exists(run.api_path))

    def test_the_started_process_is_the_serving_one(self):
        _, run = self.attached(ours())
        self.assertIn(run.pid, processes())
        self.assertIsNone(run.process.poll())

    def test_a_socket_file_that_was_left_or_is_none(self):
        for what in ("stale", "file", "link"):
            with self.subTest(what=what):
                path = f"{USER_DIR}/left-{what}"
                with kernel.as_uid(USER):
                    if what == "stale":
                        left = socket.socket(socket.AF_UNIX)
                        left.bind(path)
                        left.close()
                    elif what == "file":
                        with open(path, "w", encoding="ascii") as file:
                            file.write("x")
                    else:
                        os.symlink("/nowhere", path)
                _, run = self.attached(ours(), "-a", path)
                run.api_path = path
                self.assertIn(b'"entries":[]', run.ask_bytes(b'{"execute":"list_hostfwd"}'))
                run.process.terminate()
                run.wait_exit()
                self.assertFalse(os.path.lexists(path))

    def test_a_living_ones_socket_is_not_taken(self):
        _, first = self.attached(ours(), "-a", "@API@")
        done = self.call(ours(), "-a", first.api_path, str(self.guest().pid), "tap0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another process listens there", done.stderr)
        self.assertIn(b"entries", first.ask_bytes(b'{"execute":"list_hostfwd"}'))


class Targets(Slirp4netnsTestCase):
    def test_paths_from_outside(self):
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-c", "-r", "@READY@", f"--userns-path=/proc/{guest.pid}/ns/user", "--netns-type=path",
                       f"/proc/{guest.pid}/ns/net", "tap0")
            self.assertEqual(guest.addresses(), [("10.0.2.100", 24)])
            self.assert_works(guest)

    def test_path_alone_from_outside(self):
        """slirp4netns has to be told the user namespace; we find it."""
        guest = self.guest()
        self.slirp(ours(), "-c", "-r", "@READY@", "--netns-type=path", f"/proc/{guest.pid}/ns/net", "tap0")
        self.assert_works(guest)

    def test_path_alone_from_inside_the_user_namespace(self):
        nsenter = (need_tool("nsenter", "util-linux"), "--preserve-credentials", "-U", "-t")
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-r", "@READY@", "--netns-type=path", f"/proc/{guest.pid}/ns/net", "tap11",
                       wrapper=(*nsenter, str(guest.pid)))
            self.assertIsNotNone(guest.link("tap11"))

    def test_a_path_of_digits_is_a_path(self):
        guest = self.guest()
        link = f"{USER_DIR}/7"
        os.symlink(f"/proc/{guest.pid}/ns/net", link)
        self.addCleanup(os.unlink, link)
        self.slirp(ours(), "-c", "-r", "@READY@", "--netns-type=path", "7", "tap0", cwd=USER_DIR)
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24)])

    def test_a_persistent_tap_that_is_there(self):
        """RootlessKit makes it, brings it up and configures it itself, and it survives."""
        for binary in self.both():
            guest = self.guest()
            guest.run("ip", "tuntap", "add", "name", "tap0", "mode", "tap")
            guest.run("ip", "link", "set", "tap0", "address", "02:50:00:00:00:01")
            guest.run("ip", "link", "set", "tap0", "up")
            run = self.slirp(binary, "--mtu=65520", "-r", "@READY@", "--disable-host-loopback", str(guest.pid), "tap0")
            self.assertEqual((guest.addresses(), guest.link()["mtu"], guest.link()["address"]), ([], 1500, "02:50:00:00:00:01"))
            guest.run("ip", "link", "set", "tap0", "mtu", "65520")
            guest.run("ip", "addr", "add", "10.0.2.100/24", "dev", "tap0")
            guest.run("ip", "route", "add", "default", "via", "10.0.2.2")
            self.assert_works(guest)
            run.process.terminate()
            run.wait_exit()
            self.assertIsNotNone(guest.link())

    def test_an_inherited_tap(self):
        guest = self.guest()
        tap = self.close_later(guest.open_tap("tap9", IFF_TAP | IFF_NO_PI))
        self.slirp(ours(), "-c", "-r", "@READY@", "--netns-type=tapfd", str(tap), pass_fds=(tap,))
        self.assertEqual(guest.addresses("tap9"), [], "-c means nothing there")
        guest.run("ip", "addr", "add", "10.0.2.100/24", "dev", "tap9")
        guest.run("ip", "link", "set", "tap9", "up")
        guest.run("ip", "route", "add", "default", "via", "10.0.2.2")
        self.assert_works(guest)

    def test_started_as_podman_does(self):
        """The namespace by path, accept_dad off before, descriptors 3 and 4, the exit pipe at the end."""
        guest = self.guest()
        guest.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
        run = self.slirp(ours(), "--disable-host-loopback", "--mtu=65520", "--enable-ipv6", "-c", "-e", "@EXIT@", "-r", "@READY@",
                         "--api-socket", "@API@", "--netns-type=path", f"/proc/{guest.pid}/ns/net", "tap0")
        self.assertEqual(guest.link()["mtu"], 65520)
        self.assertTrue(any(a["local"].startswith("fd00::") for a in guest.link()["addr_info"]))
        self.assertIn(b'"id":1', run.ask_bytes(
            b'{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":18467,"guest_addr":"","guest_port":80}}\n'))
        self.assertEqual(run.end_by_exit_fd(), 0)


class BessClient:
    """The other end of --target-type=bess, as User Mode Linux is: the guest's end of a wire."""

    MAC = bytes.fromhex("020000000007")

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(DEADLINE)

        def connected():
            try:
                with kernel.as_uid(USER):
                    self.socket.connect(path)
                return True
            except OSError:
                return False
        wait_until(connected, "it listens")

    def close(self):
        self.socket.close()

    def ask_gateway(self):
        """An ARP request for the gateway, and its answer."""
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.MAC + frames.packed("10.0.2.100") + b"\0" * 6 + frames.packed("10.0.2.2")
        self.socket.send(b"\xff" * 6 + self.MAC + b"\x08\x06" + body)
        return self.receive(0x0806)

    def receive(self, ethertype):
        while True:
            frame = self.socket.recv(65536)
            if frame and struct.unpack("!H", frame[12:14])[0] == ethertype:
                return frame


class Bess(Slirp4netnsTestCase):
    def start(self, binary, name):
        path = f"{USER_DIR}/bess-{name}"
        run = self.slirp(binary, "--target-type=bess", path)
        client = self._keep(BessClient(path))
        return path, run, client

    def test_frames_go_both_ways(self):
        server = self.udp_server(self.lab.internet, SERVICE4)
        for number, binary in enumerate(self.both()):
            path, run, client = self.start(binary, number)
            answer = client.ask_gateway()
            self.assertEqual((answer[:6], answer[28:32]), (BessClient.MAC, frames.packed("10.0.2.2")))
            packet = frames.ip("10.0.2.100", SERVICE4, frames.UDP, frames.udp("10.0.2.100", SERVICE4, 4000, server.port, b"over a socket"))
            client.socket.send(answer[22:28] + BessClient.MAC + b"\x08\x00" + packet)
            back = client.receive(0x0800)
            self.assertTrue(back.rstrip(b"\0").endswith(b"over a socket"))
            self.assertIn("Waiting for connection to " + path, run.err())
            if binary == ours():  # the original goes on, and has written nothing out yet
                client.close()
                self.assertEqual(run.wait_exit(), 0)
                self.assertTrue(run.out().startswith("WARNING: BESS mode is experimental\nStarting slirp\n"), run.out())

    def test_the_clients_end_is_the_end(self):
        path, run, client = self.start(ours(), "end")
        client.ask_gateway()
        self.assertFalse(os.path.exists(path), "one client only")
        client.close()
        self.assertEqual(run.wait_exit(), 0)
        self.assertIn("has closed its socket", run.err())

    def test_odd_packets_hurt_nobody(self):
        _, _, client = self.start(ours(), "odd")
        read, write = os.pipe()
        for packet in (b"", b"\0", b"\xff" * 13, b"\0" * 65535, b"\x55" * 100000):
            client.socket.send(packet)
        socket.send_fds(client.socket, [b"a descriptor with it"], [read, write])
        os.close(read)
        os.close(write)
        self.assertEqual(client.ask_gateway()[:6], BessClient.MAC)

    def test_a_file_in_the_way(self):
        path = f"{USER_DIR}/bess-file"
        with open(path, "w", encoding="ascii"):
            pass
        done = self.call(ours(), "--target-type=bess", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Address already in use", done.stderr)

    def test_a_stale_socket_in_the_way(self):
        path = f"{USER_DIR}/bess-stale"
        with kernel.as_uid(USER):
            left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            left.bind(path)
            left.close()
        self.start(ours(), "stale")[2].ask_gateway()


if __name__ == "__main__":
    main()
