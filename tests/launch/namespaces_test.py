# SPDX-License-Identifier: BSD-3-Clause
"""The command is in the namespaces that were asked for, and in no other."""

import json
import os
import subprocess

from tests.launch.launch import LaunchTestCase
from tests.support import kernel
from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import USER, USER_DIR
from tests.support.skip import need_tool

FILES = {"user": "user", "mount": "mnt", "pid": "pid", "net": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}
SHOW = "for n in user mnt pid net ipc uts cgroup time; do readlink /proc/self/ns/$n; done"


def of_process(pid="self"):
    return {name: os.readlink(f"/proc/{pid}/ns/{file}") for name, file in FILES.items()}


class Namespaces(LaunchTestCase):
    def inside(self, *options):
        return dict(zip(FILES, self.sh(SHOW, "--no-net", *options).split()))

    def assert_new(self, seen, new):
        host = of_process()
        self.assertEqual({name for name in FILES if seen[name] != host[name]}, set(new))

    def test_by_default(self):
        self.assert_new(self.inside(), set(FILES) - {"time"})

    def test_every_kind_as_the_hosts(self):
        for name in ("ipc", "uts", "cgroup", "pid", "mount"):
            with self.subTest(name=name):
                self.assert_new(self.inside(f"--{name}=host"), set(FILES) - {"time", name})

    def test_time(self):
        self.assert_new(self.inside("--time=new"), set(FILES))

    def test_lsns_shows_them(self):
        need_tool("lsns", "util-linux")
        run = self.start("--no-net", "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")

        def listed():  # it fails when any process ends while it looks
            done = subprocess.run(["lsns", "-J", "-p", str(run.child())], capture_output=True, check=False, timeout=DEADLINE)
            return json.loads(done.stdout) if done.returncode == 0 else None

        found = wait_until(listed, "lsns lists the namespaces")
        mine = os.stat("/proc/self/ns/mnt").st_ino
        self.assertNotIn(mine, [one["ns"] for one in found["namespaces"]])
        self.assertEqual({one["type"] for one in found["namespaces"]}, {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"})
        self.assertEqual({one["type"] for one in found["namespaces"] if one["ns"] == os.stat(f"/proc/self/ns/{one['type']}").st_ino}, {"time"})

    def test_ps_shows_only_the_commands_processes(self):
        lines = self.sh("ps -e -o pid=,comm=", "--no-net").split("\n")
        names = [line.split()[1] for line in lines if line]
        self.assertEqual(names, ["netns-run", "sh", "ps"])

    def test_as_pid_1(self):
        self.assertEqual(self.sh("echo $$", "--no-net", "--as-pid-1"), "1\n")

    def test_host_names(self):
        out = self.sh("hostname; cat /proc/sys/kernel/domainname; cat /etc/hosts", "--no-net", "--hostname=box", "--domainname=example.test")
        self.assertEqual(out.splitlines()[:2], ["box", "example.test"])
        self.assertIn("box", out.splitlines()[2])
        self.assertNotEqual(os.uname().nodename, "box")


class Ids(LaunchTestCase):
    MAPS = "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id -u; id -g"

    def test_root(self):
        self.assertEqual(self.sh(self.MAPS, "--no-net").split(), ["0", str(USER), "1", "0", str(USER), "1", "deny", "0", "0"])

    def test_current_user(self):
        mine = str(USER)
        self.assertEqual(self.sh(self.MAPS, "--no-net", "--map-current-user").split(), [mine, mine, "1", mine, mine, "1", "deny", mine, mine])

    def test_explicit(self):
        out = self.sh(self.MAPS, "--no-net", f"--uid-map=7:{USER}:1", f"--gid-map=8:{USER}:1").split()
        self.assertEqual(out, ["7", str(USER), "1", "8", str(USER), "1", "deny", "7", "8"])

    def test_that_is_not_ours_to_map(self):
        self.run_command("--no-net", "--uid-map=0:0:1", f"--gid-map=0:{USER}:1", "--", "true", code=125)
        self.assertIn("diagnostics", self.last_err)


class Joined(LaunchTestCase):
    def setUp(self):
        super().setUp()
        self.other = self.guest()

    def test_by_pid(self):
        out = self.sh(SHOW, f"--net=join:pid:{self.other.pid}", f"--user=join:pid:{self.other.pid}").split()
        seen, theirs = dict(zip(FILES, out)), of_process(self.other.pid)
        self.assertEqual((seen["net"], seen["user"]), (theirs["net"], theirs["user"]))
        self.assertNotEqual(seen["mount"], theirs["mount"])

    def test_by_path_and_its_owner(self):
        """A path names the network namespace only; the user namespace to join is the one that owns it."""
        path = f"{USER_DIR}/joined-{self.other.pid}"
        with open(path, "w", encoding="ascii"):
            pass
        kernel.mount(f"/proc/{self.other.pid}/ns/net", path, flags=kernel.MS_BIND)
        self.addCleanup(kernel.umount, path)
        out = dict(zip(FILES, self.sh(SHOW, f"--net=join:{path}").split()))
        self.assertEqual(out["net"], of_process(self.other.pid)["net"])
        self.assertEqual(out["user"], of_process(self.other.pid)["user"])

    def test_by_descriptor(self):
        fd = self.close_later(os.open(f"/proc/{self.other.pid}/ns/net", os.O_RDONLY))
        out = dict(zip(FILES, self.sh(SHOW, f"--net=join:fd:{fd}", pass_fds=[fd]).split()))
        self.assertEqual(out["net"], of_process(self.other.pid)["net"])

    def test_pid_namespace_of_another_run(self):
        run = self.start("--no-net", "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        child = run.child()
        options = [f"--{name}=join:pid:{child}" for name in ("user", "pid", "mount", "net", "ipc", "uts")]
        seen = dict(zip(FILES, self.sh(SHOW, *options).split()))
        theirs = of_process(child)
        for name in ("user", "pid", "mount", "net", "ipc", "uts"):
            self.assertEqual(seen[name], theirs[name], name)
        self.assertIn("sleep", self.sh("ps -e -o comm=", *options))

    def test_pid_namespace_brings_its_proc(self):
        run = self.start("--no-net", "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        out = self.sh("echo $$ $(readlink /proc/self/../$$/ns/pid); ps -e -o comm=", f"--pid=join:pid:{run.child()}", "--net=host")
        self.assertEqual(out.split()[1:], [of_process(run.child())["pid"], "netns-run", "sleep", "sh", "ps"])

    def test_wrong_kind_names_the_entry(self):
        self.run_command(f"--net=join:/proc/{self.other.pid}/ns/ipc", "--", "true", code=125)
        self.assertIn("net", self.last_err)
        self.assertIn("ipc", self.last_err)

    def test_nothing_there(self):
        self.run_command("--net=join:/nonexistent", "--", "true", code=125)
        self.assertIn("/nonexistent", self.last_err)


class Failing(LaunchTestCase):
    def test_says_what_the_host_refuses(self):
        limit = "/proc/sys/user/max_user_namespaces"
        with open(limit, encoding="ascii") as file:
            before = file.read()
        self.addCleanup(self._write, limit, before)
        self._write(limit, "0\n")
        self.run_command("--", "true", code=125)
        self.assertIn("/proc/sys/user/max_", self.last_err)
        self.assertIn("user namespace", self.last_err)

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


if __name__ == "__main__":
    main()
