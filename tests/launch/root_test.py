# SPDX-License-Identifier: BSD-3-Clause
"""/ is the directory that was named; what is masked is empty, what is read-only refuses, and the host sees none of it."""

import os
import shutil
import subprocess

from tests.launch.launch import NETNS_RUN, RUNTIME, LaunchTestCase, user_file
from tests.support import clients
from tests.support.case import main
from tests.support.lab import HELPER, USER, USER_DIR

LOCAL = ("--no-net",)


class NewRoot(LaunchTestCase):
    @classmethod
    def setUpClass(cls):
        clients.prepare()
        cls.rootfs = clients.rootfs()

    def inside(self, script, *options, **arguments):
        return self.sh(script, *LOCAL, "--root", self.rootfs, *options, env={"PATH": "/bin"}, **arguments)

    def test_is_the_directory(self):
        self.assertEqual(sorted(self.inside("ls /").split()), sorted(os.listdir(self.rootfs)))
        self.assertEqual(self.inside("ls /.. | wc -l").strip(), str(len(os.listdir(self.rootfs))))

    def test_shows_no_mount_of_the_host(self):
        for line in self.inside("cat /proc/self/mountinfo").splitlines():
            target = line.split()[4]
            self.assertTrue(target == "/" or target.split("/")[1] in ("proc", "dev", "etc", "sys"), line)

    def test_processes(self):
        self.assertEqual(self.inside("for p in /proc/[0-9]*; do cat $p/comm; done").split(), ["netns-run", "sh"])

    def test_read_only(self):
        self.inside("echo x > /tmp/file && cat /tmp/file && rm /tmp/file")
        out = self.inside("echo x > /tmp/file; echo $?", "--ro")
        self.assertNotEqual(out.strip(), "0")
        self.assertFalse(os.path.exists(f"{self.rootfs}/tmp/file"))

    def test_devices(self):
        out = self.inside("echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 8 /dev/urandom | wc -c && ls /dev && echo x > /dev/full || echo full")
        self.assertEqual(out.split()[:2], ["4", "8"])
        self.assertTrue({"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "fd", "stdin", "stdout", "stderr", "ptmx"} <= set(out.split()))
        self.assertIn("full", out.split()[-1])

    def test_masked(self):
        out = self.inside("for p in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/scsi /sys/firmware; do "
                          "[ -d $p ] && ls -A $p | wc -l; [ -f $p -o -c $p ] && cat $p | wc -c; done; true")
        self.assertTrue(out.split())
        self.assertEqual(set(out.split()), {"0"})

    def test_read_only_paths(self):
        paths = [path for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity") if os.path.exists(path)]
        out = self.inside(f"for p in {' '.join(paths)}; do (echo x > $p) 2>&1; done; true", "--keep-caps")
        self.assertEqual(out.count("Read-only file system"), len(paths), out)

    def test_paths_of_ones_own(self):
        path = f"{self.rootfs}/etc/masked"
        with open(path, "w", encoding="ascii") as file:
            file.write("secret\n")
        self.addCleanup(os.unlink, path)
        out = self.inside("cat /etc/masked; echo x > /tmp/y || echo refused", "--mask", "/etc/masked", "--read-only-path", "/tmp")
        self.assertNotIn("secret", out)
        self.assertIn("refused", out)
        self.assertIn("secret", self.inside("cat /etc/masked"))

    def test_binds(self):
        shown = user_file("shown", "text\n")
        out = self.inside("cat /tmp/shown /root/shown; echo more >> /root/shown; (echo no >> /tmp/shown) || echo refused", "--ro-bind", f"{shown}:/tmp/shown",
                          "--bind", f"{shown}:/root/shown", "--tmpfs", "/run")
        self.assertEqual(out.split(), ["text", "text", "refused"])
        with open(shown, encoding="ascii") as file:
            self.assertEqual(file.read(), "text\nmore\n")
        for leftover in ("tmp/shown", "root/shown"):
            os.unlink(f"{self.rootfs}/{leftover}")

    def test_names(self):
        out = self.sh("cat /etc/resolv.conf /etc/hosts", "--root", self.rootfs, "--hostname=box", env={"PATH": "/bin"})
        self.assertIn("nameserver 10.0.2.3", out)
        self.assertIn("box", out)

    def test_symbolic_links_of_the_root_lead_nowhere_else(self):
        link = f"{self.rootfs}/evil"
        os.symlink("/etc", link)
        self.addCleanup(os.unlink, link)
        self.inside("echo x > /etc/inside; ls /evil", "--tmpfs", "/evil")
        self.assertFalse(os.path.exists("/etc/inside"))


class OwnProgram(LaunchTestCase):
    """Of a netns-run that belongs to the user, who could write it, a command that sees less than he does gets hold of a copy at most."""

    def setUp(self):
        super().setUp()
        self.need_device()
        self.program = user_file("netns-run")
        shutil.copyfile(NETNS_RUN, self.program)
        os.chmod(self.program, 0o755)
        helper = f"{USER_DIR}/netns-helper"
        os.symlink(HELPER, helper)
        self.addCleanup(lambda: (os.unlink(self.program), os.unlink(helper)))

    def _program_inside(self, *options):
        command = [self.program, *options, "--keep-caps", "--", "sh", "-c", "stat -L -c %d:%i /proc/1/exe; cat /proc/1/comm"]
        done = subprocess.run(command, user=USER, group=USER, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=RUNTIME, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("netns-run: ", done.stderr)
        identity, name = done.stdout.split()
        self.assertEqual(name, "netns-run")
        return identity

    def test_cannot_be_written_from_a_tree_that_shows_less(self):
        about = os.stat(self.program)
        own = f"{about.st_dev}:{about.st_ino}"
        for options in (("--ro",), ("--ro", "--no-net"), ("--ro-bind", f"{USER_DIR}:{USER_DIR}"), ("--tmpfs", "/mnt")):
            with self.subTest(options=options):
                self.assertNotEqual(self._program_inside(*options), own)
        self.assertEqual(self._program_inside("--no-net"), own, "who sees everything may write it by its path")


class HostsTree(LaunchTestCase):
    def test_stays_and_nothing_leaks_out(self):
        with open("/proc/self/mountinfo", encoding="ascii") as file:
            before = file.read()
        self.sh("grep -q tmpfs.*/mnt /proc/self/mounts || grep -q ' /mnt tmpfs' /proc/self/mounts && ls /usr/bin > /dev/null", *LOCAL, "--tmpfs", "/mnt")
        with open("/proc/self/mountinfo", encoding="ascii") as file:
            self.assertEqual(file.read(), before)

    def test_resolv_conf_of_the_host_stays(self):
        with open("/etc/resolv.conf", encoding="ascii") as file:
            before = file.read()
        self.assertIn("10.0.2.3", self.sh("cat /etc/resolv.conf"))
        self.assertEqual(self.sh("cat /etc/resolv.conf", "--no-dns"), before)
        with open("/etc/resolv.conf", encoding="ascii") as file:
            self.assertEqual(file.read(), before)

    def test_mounting_needs_a_mount_namespace(self):
        self.run_command("--mount=host", "--tmpfs", USER_DIR, "--", "true", code=125)
        self.assertIn("--mount", self.last_err)


if __name__ == "__main__":
    main()
