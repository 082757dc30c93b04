# SPDX-License-Identifier: BSD-3-Clause
"""The client of the outbound tests, a program of its own: `python3 -m tests.support.dial SECONDS`, run in the namespace that dials.

Each line that comes in names rows, [[name, family], ...], which then run at once, each in a thread. For each a line goes out:
{"row": [name, family], "log": [[what, outcome], ...], "ms": [a time for each connect]}. What is waited for must come within SECONDS.
"""

import contextlib
import errno
import json
import socket
import struct
import sys
import threading
import time

from tests.support.dial_rows import ROWS
from tests.support.ends import End, name_of

ROW_WAITS = 5           # waits that a row may have to sit out, of SECONDS each; then it hangs
CONNECT_DEADLINE = 5.0  # s; whatever a connect tells, it must tell by then


class Dialler:
    """What a row's client dials with. times: of its connects, ms."""

    def __init__(self, row, family, deadline):
        self.row, self.family, self.deadline = row, family, deadline
        self.outcome, self.times = None, []
        self.log = {"client": []}

    def note(self, what, outcome):
        self.log["client"].append((what, outcome))

    def socket(self, protocol=0, family=None):
        return socket.socket(socket.AF_INET6 if (family or self.family) == 6 else socket.AF_INET, socket.SOCK_STREAM, protocol)

    def dial(self, prepare=None, protocol=0, timeout=CONNECT_DEADLINE, first=None, noted=True, family=None, address=None):
        """The End of a connection, or None. first: sent by Fast Open. noted=False: the row notes the outcome itself."""
        to = address or self.row.address(self.family), self.row.port
        s = self.socket(protocol, family)
        if prepare:
            prepare(s)
        begin = time.perf_counter()
        try:
            if first is None:
                s.settimeout(timeout)
                s.connect(to)
            else:
                s.settimeout(None)  # a socket that does not block would answer EINPROGRESS at once
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout), 0))
                s.sendto(first, socket.MSG_FASTOPEN, to)
                s.getpeername()  # after the time-out it is not connected, and nothing else tells
            self.outcome = "ok"
        except OSError as error:
            self.outcome = "gave up" if error.errno in (None, errno.EINPROGRESS, errno.ENOTCONN) else name_of(error)
        self.times.append((time.perf_counter() - begin) * 1000)
        if noted:
            self.note("connect", self.outcome)
        if self.outcome != "ok":
            s.close()
            return None
        if noted:
            self.note("peer", s.getpeername()[:2])
        return End("client", s, self.log, self.deadline)


@contextlib.contextmanager
def sysctls(values):
    """These values of the namespace's until the end."""
    before = {}
    try:
        for name, value in values.items():
            with open(f"/proc/sys/net/{name}", "r+", encoding="ascii") as file:
                before[name] = file.read()
                file.seek(0)
                file.write(value)
        yield
    finally:
        for name, value in before.items():
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                file.write(value)


class Run:
    """A row under way. told(): its line, once."""

    def __init__(self, name, family, deadline):
        self._key = [name, family]
        self._dialler = Dialler(ROWS[name], family, deadline)
        self._lock, self._told = threading.Lock(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        row, dialler = self._dialler.row, self._dialler
        try:
            with sysctls(row.sysctls):
                row.client(dialler)
        except (AssertionError, OSError) as error:
            dialler.note("never", f"{type(error).__name__}: {error}")
        self._tell()

    def _tell(self):
        with self._lock:
            if not self._told:
                line = json.dumps({"row": self._key, "log": self._dialler.log["client"], "ms": self._dialler.times}, default=repr)
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            self._told = True

    def wait(self, until):
        self._thread.join(max(0, until - time.monotonic()))
        if self._thread.is_alive():
            self._dialler.note("never", "hangs")
            self._tell()


def main():
    deadline = float(sys.argv[1])
    for line in sys.stdin:
        runs = [Run(*key, deadline) for key in json.loads(line)]
        until = time.monotonic() + deadline * ROW_WAITS
        for run in runs:
            run.wait(until)


if __name__ == "__main__":
    main()
