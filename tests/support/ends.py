# SPDX-License-Identifier: BSD-3-Clause
"""End: one end of a TCP connection that notes down what happens to it, so that two ways of carrying it can be compared.

Both ends live in one process and are acted on in turn; wait_... stands between the acts wherever the next one's outcome depends on what
has arrived. What is noted says nothing of time, nor of how many pieces the bytes came in.
"""

import array
import errno
import fcntl
import hashlib
import select
import socket
import struct
import termios
import threading

from tests.support.guest import DEADLINE
from tests.support.helper import wait_until

_SIOCATMARK = 0x8905
_BLOCK = 1 << 16


def name_of(error):
    return errno.errorcode[error.errno] if error.errno else type(error).__name__


class End:
    def __init__(self, name, connection, log, deadline=DEADLINE):
        """deadline: s, for whatever is waited for."""
        self.name, self.socket, self._log, self.deadline = name, connection, log, deadline
        connection.settimeout(deadline)

    def note(self, what, outcome):
        self._log.setdefault(self.name, []).append((what, outcome))

    def _noted(self, what, act):
        try:
            self.note(what, act())
        except OSError as error:
            self.note(what, name_of(error))

    # ---- acts ----
    def send(self, data):
        self._noted("send", lambda: self.socket.sendall(data))

    def send_later(self, data, urgent_at=None):
        """By a thread, for more than the buffers take; join() it. urgent_at: before this byte one urgent byte."""
        def run():
            try:
                if urgent_at is None:
                    self.socket.sendall(data)
                else:
                    self.socket.sendall(data[:urgent_at])
                    self.socket.send(b"!", socket.MSG_OOB)
                    self.socket.sendall(data[urgent_at:])
                self.socket.shutdown(socket.SHUT_WR)
                outcome.append("all, end")
            except OSError as error:
                outcome.append(name_of(error))

        outcome = []
        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def join():
            thread.join(self.deadline * 3)
            self.note("send", outcome[0] if outcome else "hangs")

        return join

    def shutdown(self, how=socket.SHUT_WR):
        self._noted("shutdown", lambda: self.socket.shutdown(how))

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read(self, size):
        """So many bytes, or what ends them."""
        digest, count, end = hashlib.sha256(), 0, ""
        try:
            while count < size:
                more = self.socket.recv(min(size - count, _BLOCK))
                if not more:
                    end = "end"
                    break
                digest.update(more)
                count += len(more)
        except OSError as error:
            end = name_of(error)
        self.note("read", (count, digest.hexdigest()[:16], end))

    def read_all(self):
        self.read(1 << 40)

    def read_urgent(self, inline):
        """All, with what comes at the urgent mark."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, int(inline))
        data, urgent, end = bytearray(), [], ""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        try:
            while True:
                if not poll.poll(self.deadline * 1000):
                    end = "hangs"
                    break
                if self.at_mark() and not urgent:
                    urgent.append((len(data), None if inline else self.socket.recv(1, socket.MSG_OOB)))
                more = self.socket.recv(_BLOCK)
                if not more:
                    end = "end"
                    break
                data += more
        except OSError as error:
            end = name_of(error)
        self.note("read", (len(data), hashlib.sha256(data).hexdigest()[:16], end, urgent))

    # ---- what can be seen and waited for ----
    def at_mark(self):
        value = array.array("i", [0])
        fcntl.ioctl(self.socket, _SIOCATMARK, value)
        return bool(value[0])

    def readable(self):
        value = array.array("i", [0])
        fcntl.ioctl(self.socket, termios.FIONREAD, value)
        return value[0]

    def wait_readable(self, size):
        wait_until(lambda: self.readable() >= size, f"{size} bytes at the {self.name}", self.deadline)

    def _poll(self):
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        events = poll.poll(0)
        return events[0][1] if events else 0

    def wait_end(self):
        """The other side's end of its stream, or an error, has arrived."""
        wait_until(lambda: self._poll() & (select.POLLRDHUP | select.POLLERR | select.POLLHUP), f"an end at the {self.name}",
                   self.deadline)

    def wait_error(self):
        wait_until(lambda: self._poll() & select.POLLERR, f"an error at the {self.name}", self.deadline)
