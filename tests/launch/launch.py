# SPDX-License-Identifier: BSD-3-Clause
"""LaunchTestCase: netns-run as the lab's user runs it, beside the helper, and that nothing of a run is left behind."""

import contextlib
import functools
import itertools
import os
import signal
import subprocess

from tests.support import kernel
from tests.support.case import LabTestCase, processes
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import RUN, USER, USER_DIR
from tests.support.skip import CannotRun, sanitized

NETNS_RUN = f"{RUN}/netns-run"
RUNTIME = DEADLINE * (6 if sanitized() else 2)  # s; a whole run
_numbers = itertools.count(1)


@functools.cache
def prepare():
    """Once a program, inside the lab: the launcher stands beside the helper."""
    program = os.environ.get("NETNS_RUN")
    if not program:
        raise CannotRun("NETNS_RUN does not name the launcher's binary")
    with open(program, "rb") as file, open(NETNS_RUN, "w", encoding="ascii"):
        kernel.mount(f"/proc/self/fd/{file.fileno()}", NETNS_RUN, flags=kernel.MS_BIND)


def children(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(one) for one in file.read().split()]
    return []


class Run:
    """One netns-run. wait() gives the exit code; out() and err() what was written."""

    def __init__(self, *words, pass_fds=(), env=None, cwd="/", wrapper=(), user=USER, stdin=subprocess.DEVNULL, **arguments):
        self.number = next(_numbers)
        self.words = words
        self._paths = [f"{RUN}/run-{self.number}.{name}" for name in ("out", "err")]
        with open(self._paths[0], "wb") as out, open(self._paths[1], "wb") as err:
            self.process = subprocess.Popen([*wrapper, NETNS_RUN, *words], user=user, group=user, extra_groups=[], stdin=stdin, cwd=cwd,
                                            stdout=out, stderr=err, pass_fds=pass_fds, env=env, **arguments)
        self.pid = self.process.pid

    def _read(self, index):
        with open(self._paths[index], encoding="utf-8", errors="replace") as file:
            return file.read()

    def out(self):
        return self._read(0)

    def err(self):
        return self._read(1)

    def wait(self, timeout=RUNTIME):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"has not ended within {timeout} s: {self.words}\n{self.out()}{self.err()}") from None

    def wait_for(self, text):
        """Until the command has written this."""
        def there():
            if self.process.poll() is not None and text not in self.out():
                raise AssertionError(f"ended with {self.process.returncode} without {text!r}: {self.words}\n{self.out()}{self.err()}")
            return text in self.out()

        wait_until(there, f"{text!r} of {self.words}", RUNTIME)

    def children(self, pid=None):
        return children(pid or self.pid)

    def child(self):
        """The reaper, or the command where there is none."""
        return next(pid for pid in self.children() if pid not in processes())

    def helper(self):
        return next(pid for pid in self.children() if pid in processes())

    def command(self):
        """The reaper's child."""
        return self.children(self.child())[0]

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class LaunchTestCase(LabTestCase):
    def setUp(self):
        super().setUp()
        prepare()
        self.addCleanup(self._no_run_left)

    def _no_run_left(self):
        """The end of a killed launcher's children is the kernel's work: it takes a moment."""
        wait_until(lambda: not processes(NETNS_RUN), "every netns-run ends")
        wait_until(lambda: not processes(), "every netns-helper ends")

    def start(self, *words, **arguments):
        return self._keep(Run(*words, **arguments))

    def run_command(self, *words, code=0, **arguments):
        """To its end. Returns what it wrote to standard output."""
        run = self.start(*words, **arguments)
        self.assertEqual(run.wait(), code, f"{words}\n{run.out()}{run.err()}")
        self.last_err = run.err()
        return run.out()

    def sh(self, script, *options, **arguments):
        return self.run_command(*options, "--", "sh", "-c", script, **arguments)

    def python(self, script, *options, **arguments):
        return self.run_command(*options, "--", "python3", "-c", script, **arguments)


def user_file(name, text=""):
    path = f"{USER_DIR}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(path, USER, USER)
    return path
