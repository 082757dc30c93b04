# SPDX-License-Identifier: BSD-3-Clause
"""bubblewrap's sandboxes: a user namespace within a user namespace, and the phases in which bwrap waits for us."""

import json
import os
import subprocess

from tests.support.case import LabTestCase, main
from tests.support.guest import DEADLINE, Guest
from tests.support.helper import wait_until
from tests.support.lab import USER
from tests.support.skip import need_tool


class Sandbox(LabTestCase):
    def setUp(self):
        super().setUp()
        need_tool("bwrap", "bubblewrap")

    def start(self, *options, block=None, command=("sleep", "infinity")):
        """(guest, function that lets bwrap go on). block: the option that names the fd bwrap waits on."""
        info_read, info_write = os.pipe()
        fds = [info_write]
        words = ["bwrap", "--unshare-net", "--ro-bind", "/", "/", *options, "--info-fd", str(info_write)]
        release = None
        if block:
            block_read, release = os.pipe()
            fds.append(block_read)
            words += [block, str(block_read)]
        process = subprocess.Popen([*words, "--", *command], user=USER, group=USER, extra_groups=[], pass_fds=fds,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        for fd in fds:
            os.close(fd)
        with os.fdopen(info_read) as file:
            text = file.read()
        if not text:
            self.fail(f"bwrap: {process.stdout.read().decode()}")
        guest = self._keep(Guest.of_pid(json.loads(text)["child-pid"], process))

        def go_on():
            os.write(release, b"1")
            os.close(release)

        return guest, go_on

    def command_runs(self, guest):
        """bwrap has done all it does to the namespaces, the nested one included."""
        def runs():
            with open(f"/proc/{guest.pid}/task/{guest.pid}/children", encoding="ascii") as file:
                pids = [guest.pid, *file.read().split()]  # with a pid namespace the command is the child of a reaper
            return any(os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "sleep" for pid in pids)

        wait_until(runs, "the command runs")

    def test_plain(self):
        guest, _ = self.start("--unshare-user")
        self.command_runs(guest)
        self.helper(guest=guest)
        self.assert_works(guest)

    def test_dev_makes_a_nested_user_namespace(self):
        guest, _ = self.start("--unshare-user", "--dev", "/dev")
        self.command_runs(guest)
        self.helper(guest=guest)
        self.assert_works(guest)

    def test_with_a_pid_namespace(self):
        guest, _ = self.start("--unshare-user", "--unshare-pid", "--dev", "/dev", "--proc", "/proc")
        self.command_runs(guest)
        self.helper(guest=guest)
        self.assert_works(guest)

    def test_before_the_command_runs(self):
        """--block-fd: the network is ready before the command's first instruction."""
        guest, go_on = self.start("--unshare-user", "--dev", "/dev", block="--block-fd", command=("ip", "-o", "address", "show", "tap0"))
        self.helper("--leave-lo", guest=guest)
        go_on()
        output = guest.process.communicate(timeout=DEADLINE)[0].decode()
        self.assertEqual(guest.process.returncode, 0, output)
        self.assertIn("10.0.2.100/24", output)

    def test_before_the_ids_are_mapped(self):
        """--userns-block-fd: nothing is mapped and bwrap will set lo up itself, and fails if somebody else has."""
        guest, go_on = self.start("--unshare-user", block="--userns-block-fd", command=("ip", "-o", "address", "show"))
        self.helper("--leave-lo", guest=guest)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{guest.pid}/{name}", "w", encoding="ascii") as file:
                file.write(f"0 {USER} 1\n")
        go_on()
        output = guest.process.communicate(timeout=DEADLINE)[0].decode()
        self.assertEqual(guest.process.returncode, 0, output)
        self.assertIn("10.0.2.100/24", output)
        self.assertIn("127.0.0.1/8", output)


if __name__ == "__main__":
    main()
