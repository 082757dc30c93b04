# SPDX-License-Identifier: BSD-3-Clause
"""bubblewrap with its own descriptors wired to ours, in every phase in which it can wait; and README's script as it stands there."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from tests.support import process
from tests.support.case import LabTestCase, main
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import HELPER, RUN, SERVICE4, USER, USER_DIR
from tests.support.skip import need_tool

README = Path(__file__).resolve().parents[2] / "README.md"
SHOW = ("ip", "-o", "address", "show")


class BwrapTest(LabTestCase):
    def setUp(self):
        super().setUp()
        need_tool("bwrap", "bubblewrap")
        self.need_device()

    def user_runs(self, words, fds=(), **arguments):
        return subprocess.Popen(words, user=USER, group=USER, extra_groups=[], pass_fds=fds, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", **arguments)

    def ended(self, process):
        """(exit code, standard output, standard error)"""
        out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err


class Descriptors(BwrapTest):
    def sandbox(self, *options, block="--block-fd", command=SHOW, helper=(), info_to=None):
        """bwrap and a helper, joined by nothing but pipes. info_to: gets a copy of the info before the helper does."""
        info_read, info_write = os.pipe()
        block_read, block_write = os.pipe()
        words = ["bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", *options, "--info-fd", str(info_write)]
        fds = [info_write]
        if block:
            words += [block, str(block_read)]
            fds.append(block_read)
        bwrap = self.user_runs([*words, "--", *command], fds)
        os.close(info_write)
        os.close(block_read)
        if info_to is not None:
            with os.fdopen(info_read) as file:
                text = file.read()
            info_to(json.loads(text)["child-pid"])
            info_read, info_write = os.pipe()
            os.write(info_write, text.encode())
            os.close(info_write)
        fds = [info_read, *([block_write] if block else [])]
        started = self.helper("--bwrap-info-fd", str(info_read), *(("--block-fd", str(block_write)) if block else ()), *helper,
                              pass_fds=fds, wait=False)
        os.close(info_read)
        os.close(block_write)
        return bwrap, started

    def shows_its_network(self, bwrap):
        code, out, err = self.ended(bwrap)
        self.assertEqual(code, 0, err)
        for text in ("10.0.2.100/24", "fd00::100/64", "127.0.0.1/8", "::1/128"):
            self.assertIn(text, out)

    def test_block_fd(self):
        bwrap, helper = self.sandbox()
        self.shows_its_network(bwrap)
        self.assertEqual(helper.wait_exit(), 0)

    def test_block_fd_again_and_again(self):
        """bwrap brings lo up between its info and its wait: no order of the two may harm."""
        for _ in range(10):
            self.shows_its_network(self.sandbox()[0])

    def test_dev_and_a_pid_namespace(self):
        self.shows_its_network(self.sandbox("--dev", "/dev")[0])
        self.shows_its_network(self.sandbox("--unshare-pid", "--dev", "/dev", "--proc", "/proc")[0])

    def test_userns_block_fd(self):
        """bwrap's parent waits, before ids are mapped and lo is up: somebody else maps, we let it go on."""
        def map_ids(pid):
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                    file.write(f"0 {USER} 1\n")

        self.shows_its_network(self.sandbox(block="--userns-block-fd", info_to=map_ids)[0])

    def test_nothing_waits(self):
        """The command runs already; its network comes when it comes."""
        bwrap, helper = self.sandbox(block=None, command=("sh", "-c", "until ip link show tap0 2>/dev/null; do :; done >/dev/null; exec sleep inf"))
        helper.wait_ready()
        with open(f"/proc/{bwrap.pid}/task/{bwrap.pid}/children", encoding="ascii") as file:
            child = int(file.read().split()[0])
        bwrap.kill()
        self.ended_by(child, bwrap)
        self.assertEqual(helper.wait_exit(), 0)

    def ended_by(self, child, bwrap):
        process.send(child, signal.SIGKILL)
        bwrap.communicate(timeout=DEADLINE)

    def test_no_network_no_command(self):
        busy = self.tcp_server(self.lab.host, "127.0.0.1")
        for options, block in ((), "--block-fd"), (("--unshare-pid", "--dev", "/dev"), "--block-fd"), ((), "--userns-block-fd"):
            with self.subTest(options=options, block=block):
                bwrap, helper = self.sandbox(*options, block=block, helper=("--forward", f"{busy.port}:80"), command=("echo", "RAN"))
                code, out, _ = self.ended(bwrap)
                self.assertEqual((code, out), (137, ""))
                self.assertEqual(helper.wait_exit(), 1)

    def test_what_bwrap_makes_of_the_end_of_file(self):
        """Why a helper that fails kills: bwrap itself would go on."""
        read, write = os.pipe()
        os.close(write)
        bwrap = self.user_runs(["bwrap", "--unshare-net", "--ro-bind", "/", "/", "--block-fd", str(read), "--", "echo", "RAN"], [read])
        os.close(read)
        self.assertEqual(self.ended(bwrap)[:2], (0, "RAN\n"))


class Readme(BwrapTest):
    def setUp(self):
        super().setUp()
        (script,) = re.findall(r"^```bash\n(#!/bin/bash\n# sandbox.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        self.script = f"{USER_DIR}/sandbox"
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(script)
        os.chmod(self.script, 0o755)

    def run_script(self, *command, path=RUN):
        return self.ended(self.user_runs([self.script, *command], env={"PATH": f"{path}:/usr/bin:/bin:/usr/sbin:/sbin"}))

    def test_as_it_stands_there(self):
        server = self.tcp_server(self.lab.internet, SERVICE4)
        dial = f"exec 3<>/dev/tcp/{SERVICE4}/{server.port}; echo hello >&3; read -r line <&3; echo got $line"
        code, out, err = self.run_script("bash", "-c", f"ip -o -4 address show tap0; cat /etc/resolv.conf; {dial}; exit 7")
        self.assertEqual(code, 7, err)
        for text in ("10.0.2.100/24", "nameserver 10.0.2.3", "got hello"):
            self.assertIn(text, out)
        self.assertEqual(err, "")

    def stub(self, text):
        """A program that is found as netns-helper."""
        path = f"{USER_DIR}/stub-{os.urandom(4).hex()}"
        os.mkdir(path, 0o755)
        with open(f"{path}/netns-helper", "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(f"{path}/netns-helper", 0o755)
        return path

    def test_no_network_no_command(self):
        busy = self.tcp_server(self.lab.host, "127.0.0.1")
        code, out, err = self.run_script("echo", "RAN", path=self.stub(f'exec {HELPER} --forward {busy.port}:80 "$@"'))
        self.assertEqual((code, out), (137, ""))
        self.assertIn("in use", err)

    def test_a_helper_that_is_killed_lets_nothing_run(self):
        """Nobody is left to kill the sandbox: it waits, for its user to end it."""
        # bwrap keeps the descriptor open: its information ends with a line of its own, not with the end of file.
        stub = self.stub(f'while read -r line; do echo "$line"; [ "$line" != "}}" ] || break; done >{USER_DIR}/part\n'
                         f"mv {USER_DIR}/part {USER_DIR}/info\nkill -9 $$")
        script = self.user_runs([self.script, "echo", "RAN"], start_new_session=True, env={"PATH": f"{stub}:/usr/bin:/bin"})
        wait_until(lambda: os.path.exists(f"{USER_DIR}/info"), "bwrap has told its pid, and all of it has been written")
        with open(f"{USER_DIR}/info", encoding="ascii") as file:
            child = json.load(file)["child-pid"]
        self.assertIsNone(script.poll())
        self.assertTrue(process.send(child, signal.SIGKILL))
        self.assertEqual(self.ended(script)[:2], (137, ""))

    def test_without_a_helper(self):
        """PATH is cut down to what the script itself needs."""
        path = f"{USER_DIR}/bare"
        os.mkdir(path, 0o755)
        script = self.user_runs([self.script, "true"], env={"PATH": path})
        code, _, err = self.ended(script)
        self.assertEqual(code, 127)
        self.assertIn("not on PATH", err)


if __name__ == "__main__":
    main()
