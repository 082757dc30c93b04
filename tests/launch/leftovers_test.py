# SPDX-License-Identifier: BSD-3-Clause
"""Of a run nothing is left on the host: processes, mounts, files, namespaces; whoever is killed, and however often."""

import contextlib
import functools
import os
import signal
import subprocess

from tests.launch.launch import NETNS_RUN, RUNTIME, LaunchTestCase
from tests.support import kernel, process
from tests.support.case import main, processes
from tests.support.helper import wait_until
from tests.support.lab import RUN, USER_DIR
from tests.support.skip import sanitized

RUNS = int(os.environ.get("NETNS_RUN_CYCLES", 20 if sanitized() else 200))


PLACES = (USER_DIR, "/tmp", "/var/tmp", "/dev/shm")


@functools.cache
def own_places():
    """What everybody may write is the lab's alone: other programs of the machine write there too."""
    for place in PLACES[1:]:
        kernel.mount("tmpfs", place, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")


def files():
    found = []
    for top in PLACES:
        for at, directories, names in os.walk(top, onerror=None):
            found += [os.path.join(at, name) for name in directories + names]
    return sorted(found)


def mounts():
    with open("/proc/self/mountinfo", encoding="ascii") as file:
        return sorted(line.split(" ", 1)[1] for line in file)


def namespaces():
    """Those that a process holds. (lsns fails when a process ends while it looks.)"""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            found |= {os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")}
    return sorted(found)


def everything():
    return {"files": files(), "mounts": mounts(), "namespaces": namespaces(), "processes": sorted(processes() + processes(NETNS_RUN))}


class Leftovers(LaunchTestCase):
    def setUp(self):
        super().setUp()
        self.need_device()
        own_places()
        self.before = everything()

    def assert_nothing_left(self):
        """The kernel's part (namespaces, mounts) may take it a moment."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: everything() == self.before, "nothing is left")
        self.assertEqual(everything(), self.before)

    def _running(self, *options):
        run = self.start("--hostname=box", "--tmpfs", "/mnt", "--api-socket", f"{USER_DIR}/control", "--pid-file", f"{USER_DIR}/pid", *options,
                         "--", "sh", "-c", "sleep 1000 & sleep 1000 & echo started; wait")
        run.wait_for("started")
        return run

    def test_after_an_ordinary_end(self):
        self.run_command("--api-socket", f"{USER_DIR}/control", "--pid-file", f"{USER_DIR}/pid", "--", "true")
        self.assert_nothing_left()

    def test_after_sigkill_of_any_process(self):
        # The socket and the pid file are the killed ones' to remove: who is killed removes nothing.
        whom = {
            "the reaper": (lambda run: run.child(), 137, []),
            "the command": (lambda run: run.command(), 137, []),
            "the helper": (lambda run: run.helper(), 125, ["control"]),
            "the helper's agent": (lambda run: run.children(run.helper())[0], None, []),
            "the launcher": (lambda run: run.pid, -9, ["pid"]),
        }
        for name, (find, code, files_left) in whom.items():
            with self.subTest(killed=name):
                run = self._running()
                self.assertTrue(process.send(find(run), signal.SIGKILL))
                if code is None:  # the command goes on
                    run.process.send_signal(signal.SIGTERM)
                    code = 128 + signal.SIGTERM
                self.assertEqual(run.wait(), code, run.err())
                wait_until(lambda: not processes() and not processes(NETNS_RUN), "every process ends")
                for left in files_left:
                    os.unlink(f"{USER_DIR}/{left}")
                self.assert_nothing_left()

    def test_after_every_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number):
                run = self._running()
                run.process.send_signal(number)
                run.wait()
                self.assert_nothing_left()

    def test_killed_at_any_moment_of_the_start(self):
        """One run more each time is let live as long as it takes to make so many system calls."""
        for moment in range(0, 60, 3):
            run = self.start("--", "sleep", "1000")
            for _ in range(moment):
                run.children()
            run.process.kill()
            run.wait()
        wait_until(lambda: not processes() and not processes(NETNS_RUN), "every process ends")
        self.assert_nothing_left()

    def test_after_failures(self):
        for words in (["--", "/nonexistent"], ["--root", "/nonexistent", "--", "true"], ["--helper-option=--nonsense", "--", "true"],
                      ["--bind", "/nonexistent:/mnt", "--", "true"], ["--pid-file", "/nonexistent/pid", "--", "true"],
                      ["--net=join:/nonexistent", "--", "true"]):
            with self.subTest(words=words):
                self.assertGreaterEqual(self.start(*words).wait(), 125)
                self.assert_nothing_left()

    def test_after_many_runs(self):
        command = [NETNS_RUN, "--hostname=box", "--", "true"]
        environment = {"PATH": os.environ["PATH"]}
        for _ in range(RUNS):
            subprocess.run(command, user=1000, group=1000, extra_groups=[], check=True, timeout=RUNTIME, stdin=subprocess.DEVNULL, env=environment, cwd=RUN)
        self.assert_nothing_left()


if __name__ == "__main__":
    main()
