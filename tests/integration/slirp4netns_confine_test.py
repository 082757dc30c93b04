# SPDX-License-Identifier: BSD-3-Clause
"""In slirp4netns's place: --enable-sandbox and --enable-seccomp do at least what they do there."""

import os
import subprocess

from tests.support import dns
from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import DNS4, DNS4_OTHER, USER, USER_DIR
from tests.support.skip import need_tool
from tests.support.slirp4netns import Slirp4netnsTestCase, ours

NET_BIND_SERVICE = 1 << 10
FIRST, SECOND = "192.0.2.1", "192.0.2.2"


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


class Sandbox(Slirp4netnsTestCase):
    def test_root_and_capabilities_of_the_started_process(self):
        for binary in self.both():
            guest, run = self.attached(binary, "--enable-sandbox")
            names = set(os.listdir(f"/proc/{run.pid}/root"))
            self.assertTrue({"etc", "run"} <= names, names)
            self.assertFalse({"home", "root", "var", "usr", "proc"} & names, names)
            lines = status(run.pid)
            for which in ("CapEff", "CapPrm", "CapBnd"):
                self.assertEqual(int(lines[which], 16) & ~NET_BIND_SERVICE, 0, which)
            self.assertEqual(int(lines["CapEff"], 16), NET_BIND_SERVICE)
            self.assertEqual(lines["NoNewPrivs"], "1")
            self.assert_works(guest)

    def test_as_its_user_sees_it(self):
        """Not root's view only: the user who has started it may look."""
        getpcaps = need_tool("getpcaps", "libcap2-bin")
        for binary in self.both():
            _, run = self.attached(binary, "--enable-sandbox")
            seen = subprocess.run([getpcaps, str(run.pid)], capture_output=True, text=True, user=USER, timeout=DEADLINE, check=True)
            self.assertIn("cap_net_bind_service", seen.stdout + seen.stderr)
            names = subprocess.run(["ls", f"/proc/{run.pid}/root"], capture_output=True, text=True, user=USER, group=USER, extra_groups=[],
                                   timeout=DEADLINE, check=False)
            self.assertEqual(names.returncode, 0, names.stderr)
            self.assertIn("etc", names.stdout.split())

    def test_with_the_user_namespace_by_path(self):
        """slirp4netns fails here: "setegid(0)"."""
        guest = self.guest()
        self.slirp(ours(), "-c", "-r", "@READY@", "--enable-sandbox", f"--userns-path=/proc/{guest.pid}/ns/user", "--netns-type=path",
                   f"/proc/{guest.pid}/ns/net", "tap0")
        self.assert_works(guest)

    def test_names_are_resolved_and_resolv_conf_is_followed(self):
        self.addCleanup(self.lab.write_resolv_conf, f"nameserver {DNS4}\n", "rename")
        self._keep(dns.Resolver(self.lab.internet, DNS4, FIRST))
        self._keep(dns.Resolver(self.lab.internet, DNS4_OTHER, SECOND))
        for how in ("write", "rename", "symlink"):
            with self.subTest(how=how):
                self.lab.write_resolv_conf(f"nameserver {DNS4}\n", how)
                guest, _ = self.attached(ours(), "--enable-sandbox", "--enable-seccomp")

                def resolved(guest=guest):
                    return dns.addresses(dns.ask_udp(guest, "10.0.2.3", "one.test"))
                self.assertEqual(resolved(), [FIRST])
                self.lab.write_resolv_conf(f"nameserver {DNS4_OTHER}\n", "write" if how == "symlink" else how)
                wait_until(lambda r=resolved: r() == [SECOND], "resolv.conf is followed")
                self.lab.write_resolv_conf(f"nameserver {DNS4}\n", "rename")

    def test_nothing_is_unmounted_at_the_caller(self):
        """The caller's mounts below /run are shared; the sandbox must not take them away."""
        script = ('mount --make-rshared /run && mkdir -p "$M" && mount -t tmpfs none "$M" && mkfifo "$M/up" || exit 99\n'
                  'unshare -rn sh -c \'echo > "$M/up"; exec sleep infinity\' & guest=$!\n'
                  'read -r _ < "$M/up"; "$@" "$guest" tap0; kill "$guest"; findmnt -n "$M"')
        for binary in self.both():
            run = self.slirp(binary, "-c", "-r", "@READY@", "--enable-sandbox", "-e", "@EXIT@",
                             wrapper=("env", f"M={USER_DIR}/m", "unshare", "-rm", "sh", "-c", script, "sh"))
            self.assertEqual(run.end_by_exit_fd(), 0, run.err())
            self.assertIn("tmpfs", run.out())

    def test_api_socket_and_its_removal(self):
        guest, run = self.attached(ours(), "--enable-sandbox", "--enable-seccomp", "-a", "@API@")
        self.assertEqual(run.ask_bytes(b'{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":18480,"guest_port":80}}'),
                         b'{"return":{"id":1}}')
        self.assert_works(guest)
        run.process.terminate()
        run.wait_exit()
        self.assertFalse(os.path.exists(run.api_path))


class Seccomp(Slirp4netnsTestCase):
    def test_in_force_and_working(self):
        for binary in self.both():
            guest, run = self.attached(binary, "--enable-seccomp", "-6")
            self.assertEqual(status(run.pid)["Seccomp"], "2")
            self.assert_works(guest)

    def test_with_the_user_namespace_named(self):
        for binary in self.both():
            guest = self.guest()
            self.slirp(binary, "-c", "-r", "@READY@", "--enable-seccomp", f"--userns-path=/proc/{guest.pid}/ns/user", str(guest.pid), "tap11")
            self.assertEqual(guest.addresses("tap11"), [("10.0.2.100", 24)])

    def test_all_there_is_together(self):
        guest, run = self.attached(ours(), "--enable-sandbox", "--enable-seccomp", "-6", "-a", "@API@", "-e", "@EXIT@", "--mtu=65520",
                                   "--disable-host-loopback")
        self.assert_works(guest)
        self.assertEqual(guest.ping("10.0.2.2").returncode, 0)
        self.assertEqual(run.end_by_exit_fd(), 0)


if __name__ == "__main__":
    main()
