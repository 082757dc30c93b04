# SPDX-License-Identifier: BSD-3-Clause
"""--sandbox and --seccomp: what the running helper and its agent have given up, and that they work all the same.

NETNS_HELPER_TEST_OPTIONS="--sandbox --seccomp" runs any other program of this directory confined.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile

from tests.support import dns, kernel
from tests.support.case import LabTestCase, main
from tests.support.guest import IFF_NO_PI, IFF_TAP, Guest
from tests.support.helper import wait_until
from tests.support.lab import DNS4, DNS4_OTHER, HELPER, RUN, SERVICE4, USER, WAN4
from tests.support.skip import environment_for

FIRST, SECOND = "192.0.2.1", "192.0.2.2"
BOTH = ("--sandbox", "--seccomp")
NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 1 << 10, 1 << 12, 1 << 13


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def capabilities(pid):
    """Effective, permitted, inheritable, bounding, ambient."""
    found = status(pid)
    return tuple(int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"))


class ConfineTestCase(LabTestCase):
    def assert_helper_confined(self, helper, seccomp=True):
        info = helper.info() if helper.control_path else None
        if info:
            self.assertEqual((info["confinement"]["sandbox"], info["confinement"]["seccomp"]), (True, seccomp))
            self.assert_agent_confined(info["agent_pid"], seccomp)
        for thread in os.listdir(f"/proc/{helper.pid}/task"):
            task = f"{helper.pid}/task/{thread}"
            self.assertEqual(capabilities(task), (NET_BIND_SERVICE, NET_BIND_SERVICE, 0, 0, 0))
            found = status(task)
            self.assertEqual((found["NoNewPrivs"], found["Seccomp"]), ("1", "2" if seccomp else "0"))
        self.assertEqual(sorted(os.listdir(f"/proc/{helper.pid}/root")), ["etc", "run"])

    def assert_agent_confined(self, pid, seccomp=True):
        network = NET_BIND_SERVICE | NET_ADMIN | NET_RAW
        self.assertEqual(capabilities(pid), (network, network, 0, network, 0))
        found = status(pid)
        self.assertEqual((found["NoNewPrivs"], found["Seccomp"]), ("1", "2" if seccomp else "0"))
        self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])


class InForce(ConfineTestCase):
    def test_by_pid(self):
        guest, helper = self.pair(*BOTH, control=True)
        self.assert_helper_confined(helper)
        own = os.stat("/proc/self/ns/user").st_ino
        self.assertNotEqual(os.stat(f"/proc/{helper.pid}/ns/user").st_ino, own)
        self.assertNotEqual(os.stat(f"/proc/{helper.pid}/ns/user").st_ino, os.stat(f"/proc/{guest.pid}/ns/user").st_ino)
        self.assertEqual(os.stat(f"/proc/{helper.pid}/ns/net").st_ino, os.stat("/proc/self/ns/net").st_ino)
        self.assert_works(guest)
        self.assertEqual(helper.stop(), 0)

    def test_each_alone(self):
        _, sandboxed = self.pair("--sandbox", control=True)
        self.assert_helper_confined(sandboxed, seccomp=False)
        _, filtered = self.pair("--seccomp", control=True)
        self.assertEqual(status(filtered.pid)["Seccomp"], "2")
        self.assertEqual(status(filtered.info()["agent_pid"])["Seccomp"], "2")
        self.assertIn("usr", os.listdir(f"/proc/{filtered.pid}/root"))

    def test_every_thread(self):
        for options in (BOTH, BOTH[:1], BOTH[1:]):
            _, helper = self.pair(*options, "--relay-threads", "2", control=True)
            names = []
            for thread in os.listdir(f"/proc/{helper.pid}/task"):
                found = status(f"{helper.pid}/task/{thread}")
                names.append(found["Name"])
                self.assertEqual(found["NoNewPrivs"], "1")
                self.assertEqual(found["Seccomp"], "2" if "--seccomp" in options else "0")
                # Handled by signalfd in the main thread, or not at all.
                if found["Name"].startswith("relay-"):
                    self.assertEqual(int(found["SigBlk"], 16) & 0x7FFFFFFF, 0x7FFFFFFF & ~(1 << 8 | 1 << 18))
            self.assertEqual(sorted(names), ["netns-helper", "relay-0", "relay-1"])
            if "--sandbox" in options:
                self.assert_helper_confined(helper, seccomp="--seccomp" in options)
            self.assertEqual(helper.info()["counters"]["relays"]["threads"], 2)
            self.assertEqual(helper.stop(), 0)

    def test_neither(self):
        _, helper = self.pair(control=True)
        self.assertEqual(helper.info()["confinement"], {"sandbox": False, "seccomp": False, "notes": []})

    def test_no_open_door(self):
        """No descriptor leads to the host's files."""
        _, helper = self.pair(*BOTH, control=True)
        for fd in os.listdir(f"/proc/{helper.pid}/fd"):
            path = f"/proc/{helper.pid}/fd/{fd}"
            if os.path.isdir(path):
                self.assertTrue(os.path.samefile(path, f"{path}/.."), os.readlink(path))


class Works(ConfineTestCase):
    def test_traffic(self):
        guest, helper = self.pair(*BOTH, control=True)
        self.assert_works(guest)
        server = self.udp_server(self.lab.internet, SERVICE4)
        with guest.udp(SERVICE4, server.port) as flow:
            self.assert_udp_echo(flow)
        for target in ("10.0.2.2", WAN4):
            guest.run("ping", "-n", "-c", "1", "-w", "10", target)
        self.assert_helper_confined(helper)

    def test_forwards_added_while_confined(self):
        guest, helper = self.pair(*BOTH, control=True)
        with guest.listen("10.0.2.100") as listener:
            port = helper.forward(0, listener.getsockname()[1])["host_port"]
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                accepted, _ = listener.accept()
                with accepted:
                    client.sendall(b"through")
                    self.assertEqual(accepted.recv(16), b"through")
        helper.forward(18600, 53, proto="udp")
        self.assertIn("error", helper.ask("add_hostfwd", {"proto": "tcp", "host_port": 81, "guest_port": 81}))
        self.assertIsNone(helper.process.poll())

    def test_socket_is_removed(self):
        for end in (signal.SIGTERM, signal.SIGINT):
            _, helper = self.pair(*BOTH, control=True)
            self.assertTrue(os.path.exists(helper.control_path))
            self.assertEqual(helper.stop(end), 0)
            self.assertFalse(os.path.exists(helper.control_path))

    def test_agent_that_is_stopped_does_not_keep_us(self):
        """It is killed, by one of the few signals that a confined helper may send; or dies with the helper."""
        _, helper = self.pair(*BOTH, control=True)
        with self.agent(helper) as agent:
            agent.signal(signal.SIGSTOP)
            self.assertEqual(helper.stop(), 0)
            self.assertTrue(agent.wait(), "the agent is still there")
        _, helper = self.pair(*BOTH, control=True)
        with self.agent(helper) as agent:
            agent.signal(signal.SIGSTOP)
            helper.stop(signal.SIGKILL)
            self.assertTrue(agent.wait(), "the agent is still there")


class Resolving(ConfineTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.lab.write_resolv_conf, f"nameserver {DNS4}\n", "rename")
        self._keep(dns.Resolver(self.lab.internet, DNS4, FIRST))
        self._keep(dns.Resolver(self.lab.internet, DNS4_OTHER, SECOND))

    def test_follows_changes(self):
        for how in ("write", "rename", "symlink"):
            with self.subTest(how=how):
                self.lab.write_resolv_conf(f"nameserver {DNS4}\n", "rename")
                guest, helper = self.pair(*BOTH)
                for address, answer in ((DNS4, FIRST), (DNS4_OTHER, SECOND), (DNS4, FIRST)):
                    self.lab.write_resolv_conf(f"nameserver {address}\n", how)
                    wait_until(lambda a=answer: dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")) == [a], f"follows a {how}")
                self.assertEqual(dns.addresses(dns.ask_tcp(guest, "10.0.2.3", "one.test")), [FIRST])
                self.assertEqual(helper.stop(), 0)

    def test_follows_links_that_lead_out_of_etc(self):
        """As NixOS has it: /etc/resolv.conf -> /etc/static/resolv.conf, /etc/static -> a directory of /nix/store, which is another one
        with each new configuration; there, resolv.conf is a link to systemd-resolved's file, or a file."""
        kernel.mount("tmpfs", "/opt", "tmpfs")
        self.addCleanup(kernel.umount, "/opt")
        os.makedirs(f"{RUN}/resolved", exist_ok=True)

        def configuration(name, address, link):
            os.makedirs(f"/opt/store/{name}/etc")
            path = f"{RUN}/resolved/{name}.conf" if link else f"/opt/store/{name}/etc/resolv.conf"
            with open(path, "w", encoding="ascii") as file:
                file.write(f"nameserver {address}\n")
            if link:
                os.symlink(path, f"/opt/store/{name}/etc/resolv.conf")
            os.symlink(f"/opt/store/{name}/etc", "/etc/static.new")
            os.rename("/etc/static.new", "/etc/static")

        configuration("first", DNS4, True)
        self.addCleanup(os.unlink, "/etc/static")
        os.symlink("/etc/static/resolv.conf", "/etc/resolv.conf.new")
        os.rename("/etc/resolv.conf.new", "/etc/resolv.conf")
        guest, helper = self.pair(*BOTH)

        def assert_answer(answer, why):
            wait_until(lambda: dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")) == [answer], why)

        assert_answer(FIRST, "the helper finds the resolver")
        with open(f"{RUN}/resolved/new", "w", encoding="ascii") as file:
            file.write(f"nameserver {DNS4_OTHER}\n")
        os.rename(f"{RUN}/resolved/new", f"{RUN}/resolved/first.conf")
        assert_answer(SECOND, "the file at the end is replaced")
        configuration("second", DNS4, False)
        assert_answer(FIRST, "another configuration, with a file of its own")
        configuration("third", DNS4_OTHER, True)
        assert_answer(SECOND, "and with a link again")
        self.assertEqual(helper.stop(), 0)

    def test_scoped_name_server(self):
        """Its interface is looked up by name, by no Unix socket."""
        self.lab.write_resolv_conf(f"nameserver fe80::1%lo\nnameserver {DNS4}\n", "rename")
        guest, helper = self.pair(*BOTH)
        self.assertEqual(dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test")), [FIRST])
        self.assertEqual(helper.stop(), 0)


class Attach(ConfineTestCase):
    def test_path_with_userns_path(self):
        guest = self.guest()
        helper = self.helper(*BOTH, "--userns", f"/proc/{guest.pid}/ns/user", "--netns", f"/proc/{guest.pid}/ns/net", control=True)
        self.assert_helper_confined(helper)
        self.assert_works(guest)
        guest.kill()
        self.assertEqual(helper.wait_exit(), 0)

    def test_bound_path_that_is_removed(self):
        guest = self.guest()
        directory = tempfile.mkdtemp()  # not below /run or /etc, which the sandbox has
        self.addCleanup(os.rmdir, directory)
        os.chmod(directory, 0o755)
        path = f"{directory}/netns"
        with open(path, "w", encoding="ascii"):
            pass
        kernel.mount(f"/proc/{guest.pid}/ns/net", path, flags=kernel.MS_BIND)
        helper = self.helper(*BOTH, "--netns", path)
        self.assert_works(guest)
        kernel.umount(path)
        os.unlink(path)
        self.assertEqual(helper.wait_exit(), 0)

    def test_tap_fd_and_tap_socket(self):
        guest = self.guest()
        tap = guest.open_tap(flags=IFF_TAP | IFF_NO_PI)
        helper = self.helper(*BOTH, "--tap-fd", str(tap), tap=None, pass_fds=[tap], control=True)
        os.close(tap)
        self.assert_helper_confined(helper)
        self.assert_works(guest)
        guest = self.guest()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            helper = self.helper(*BOTH, "--tap-socket", str(theirs.fileno()), tap=None, pass_fds=[theirs.fileno()], wait=False, control=True)
            tap = guest.open_tap(flags=IFF_TAP | IFF_NO_PI)
            socket.send_fds(ours, [b"tap"], [tap])
            os.close(tap)
            helper.wait_ready()
        self.assert_helper_confined(helper)
        self.assert_works(guest)

    def test_started_as_root_of_a_user_namespace(self):
        """As podman starts it: uid 0 of a user namespace that owns the guest's network namespace, and not the host's."""
        outer = self._keep(Guest(command=["unshare", "-Urm", "sh", "-c", "unshare -n sleep infinity & echo $!; exec sleep infinity"]))
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children", encoding="ascii") as file:
            child = int(file.read().split()[0])
        wait_until(lambda: os.stat(f"/proc/{child}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino, "the guest is there")
        wrapper = ("nsenter", "-t", str(outer.pid), "-U", "-m", "--preserve-credentials")
        helper = self.helper(*BOTH, "--netns", f"/proc/{child}/ns/net", wrapper=wrapper, control=True, wait=False)
        helper.wrapped = False
        helper.wait_ready()
        self.assertEqual(status(helper.pid)["Uid"].split(), [str(USER)] * 4)
        self.assert_helper_confined(helper)
        self.assertNotEqual(os.stat(f"/proc/{helper.pid}/ns/user").st_ino, os.stat(f"/proc/{outer.pid}/ns/user").st_ino)
        with Guest.of_pid(child, outer.process).netns():
            server = self.tcp_server(self.lab.internet, SERVICE4)
            with socket.create_connection((SERVICE4, server.port), 20) as connection:
                self.assert_tcp_echo(connection)
        self.assertEqual(helper.stop(), 0)

    def test_mounts_of_the_caller_stay(self):
        """A shared /run with a mount in it, in the caller's mount namespace: neither is touched."""
        script = ("import os, signal, subprocess, sys\n"
                  "from tests.support import kernel\n"
                  "kernel.mount('tmpfs', '/mnt', 'tmpfs')\n"
                  "kernel.mount('/run', '/mnt', flags=kernel.MS_BIND | kernel.MS_REC)\n"
                  "kernel.mount(None, '/', flags=kernel.MS_REC | kernel.MS_SHARED)\n"
                  "os.makedirs('/run/lab/user/foo', exist_ok=True)\n"
                  "kernel.mount('tmpfs', '/run/lab/user/foo', 'tmpfs')\n"
                  "before = open('/proc/self/mountinfo').read()\n"
                  "guest = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo; exec sleep 300'], stdout=subprocess.PIPE)\n"
                  "guest.stdout.readline()\n"
                  "r, w = os.pipe()\n"
                  "helper = subprocess.Popen([*sys.argv[1:], '--pid', str(guest.pid), '--ready-fd', str(w)], pass_fds=[w])\n"
                  "os.close(w)\n"
                  "assert os.read(r, 1) == b'1'\n"
                  "assert open('/proc/self/mountinfo').read() == before\n"
                  "helper.terminate()\n"
                  "assert helper.wait(20) == 0\n"
                  "assert open('/proc/self/mountinfo').read() == before\n"
                  "guest.kill()\n")
        done = subprocess.run(["unshare", "-Urm", "--propagation", "unchanged", sys.executable, "-B", "-c", script, HELPER, *BOTH],
                              user=USER, group=USER, extra_groups=[], env=environment_for(BOTH), capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class Refused(ConfineTestCase):
    def test_where_user_namespaces_are_used_up(self):
        guest = self.guest()
        path = "/proc/sys/user/max_user_namespaces"
        with open(path, encoding="ascii") as file:
            before = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write("0")
        try:
            helper = self.helper("--sandbox", guest=guest, wait=False)
            self.assertEqual(helper.wait_exit(), 1)
            self.assertIn("--sandbox", helper.log())
        finally:
            with open(path, "w", encoding="ascii") as file:
                file.write(before)


if __name__ == "__main__":
    main()
