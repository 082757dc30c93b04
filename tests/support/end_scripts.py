# SPDX-License-Identifier: BSD-3-Clause
"""What an End of a connection does in the outbound tests, the client's or the server's: a function of it each.

The other end is another process's, so nothing but the connection keeps the two in step. What a script notes down must not depend on
moments: a wait stands wherever it would.
"""

import hashlib

from tests.support.helper import wait_until

STALL_LOOKS = 20          # so many looks, 10 ms apart, at a reader's buffer that no longer grows

SMALL = b"some bytes"
MIB = hashlib.sha256(b"dial").digest() * (1 << 15)
STALL = 16 * MIB          # more than the buffers on the way take
HTTP = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nalive"


def wait_full(end):
    """The reader's buffer has taken what it can and the sender stands still."""
    def grown():
        nonlocal before, still
        now = end.readable()
        still = still + 1 if now and now == before else 0
        before = now
        return still >= STALL_LOOKS

    before, still = 0, 0
    wait_until(grown, f"the {end.name}'s buffer stands still", end.deadline)


def question(end):
    end.send(SMALL)
    end.read(len(SMALL))
    end.shutdown()
    end.read_all()


def answer(end):
    end.read(len(SMALL))
    end.send(SMALL)
    end.read_all()
    end.close()


def shut_after(*data):
    def script(end):
        for one in data:
            end.send(one)
        end.shutdown()
        end.read_all()

    return script


def read_then_shut(end):
    end.read_all()
    end.send(b"after the end")
    end.shutdown()


def read_only(end):
    end.read_all()
    end.close()


def send_and_close(data):
    def script(end):
        end.send(data)
        end.close()

    return script


def both_ways(end):
    join = end.send_later(MIB * 4)
    end.read_all()
    join()


def send_stalled(end):
    join = end.send_later(STALL)
    end.read_all()
    join()


def stall_then_read(end):
    wait_full(end)
    end.read_all()
    end.send(b"read at last")
    end.shutdown()


def close_unread(end):
    end.wait_readable(len(SMALL))
    end.close()


def reset_unread(end):
    end.wait_readable(len(SMALL))
    end.reset()


def reset_after_read(end):
    end.read(len(SMALL))
    end.reset()


def reset_after_sent(end):
    end.send(SMALL)
    end.read(1)
    end.reset()


def reset_after_end(end):
    end.read_all()
    end.reset()


def close_at_once(end):
    end.close()


def reset_at_once(end):
    end.reset()


def see_error(end):
    end.wait_error()
    end.read_all()
    end.send(SMALL)


def send_see_error(end):
    end.send(SMALL)
    see_error(end)


def read_acknowledge_see_error(end):
    end.read(len(SMALL))
    end.send(b"!")
    see_error(end)


def acknowledge_unread_see_error(end):
    end.wait_readable(len(SMALL))
    end.send(b"!")
    see_error(end)


def end_see_error(end):
    end.send(SMALL)
    end.shutdown()
    end.wait_error()
    end.read_all()


def send_to_a_closed_one(end):
    end.wait_end()
    end.send(SMALL)
    see_error(end)


def send_urgent(end):
    end.send_later(MIB, urgent_at=len(MIB) // 2)()
    end.read_all()


def read_urgent(inline):
    def script(end):
        end.read_urgent(inline)
        end.close()

    return script


def ask_and_reset(end):
    end.send(SMALL)
    end.read(len(SMALL))
    end.reset()


def ask_and_close_first(end):
    end.send(SMALL)
    end.read(len(SMALL))
    end.close()


def ask_until_end(end):
    end.send(SMALL)
    end.read_all()


def answer_and_close(end):
    end.read(len(SMALL))
    end.send(SMALL)
    end.close()


def serve_http(end):
    end.wait_readable(1)
    end.send(HTTP)
    end.shutdown()
    end.read_all()
