# SPDX-License-Identifier: BSD-3-Clause
"""Process: a process that may end at any moment, held by its pidfd (pidfd_open(2)). A signal reaches the process that was meant or
nobody, never another one that has been given its number."""

import contextlib
import os
import select
import signal

DEADLINE = 20.0  # s; generous: for an end that must come


class Process:
    def __init__(self, pid):
        """ProcessLookupError: there is none, not even one that waits to be reaped."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def wait(self, timeout=DEADLINE):
        """Whether it has ended within `timeout` s, every thread of it, and so holds no descriptor any more. It need not have been reaped."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def is_running(self):
        return not self.wait(0)

    def signal(self, number):
        """Whether it was still there to be sent it."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def end(self):
        """SIGKILL, and waits for the end."""
        self.signal(signal.SIGKILL)
        if not self.wait():
            raise AssertionError(f"process {self.pid} has not ended within {DEADLINE} s of SIGKILL")


def send(pid, number):
    """Sends the signal; whether the process was still there. For one whose number cannot have been given to another yet: its parent, or who
    reaps in its place, has just named it."""
    try:
        with Process(pid) as process:
            return process.signal(number)
    except ProcessLookupError:
        return False


def find(wanted):
    """Processes of /proc for which wanted(pid) is true and that run; the caller closes them. An OSError of wanted() means no."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), contextlib.ExitStack() as otherwise:
            process = otherwise.enter_context(Process(int(name)))
            # It was held before it was looked at, and still runs afterwards: what was seen was this process.
            if wanted(process.pid) and process.is_running():
                otherwise.pop_all()
                found.append(process)
    return found


def end_all(wanted):
    """Kills those, waits until they have ended, and gives their pids."""
    found = find(wanted)
    for process in found:
        process.signal(signal.SIGKILL)
    for process in found:
        with process:
            process.end()
    return [process.pid for process in found]
