# SPDX-License-Identifier: BSD-3-Clause
"""A connection through a forward is what a direct one is: the same script of acts on both, and the same bytes, ends and errors at
either end. Direct: a client on the LAN, a server on the host. Through a forward: the same client, a server in the guest."""

import hashlib
import select
import threading

from tests.support import servers
from tests.support.case import main
from tests.support.ends import End, name_of
from tests.support.forwards import FULL, GUEST4, GUEST6, ForwardsTestCase, next_port
from tests.support.helper import wait_until
from tests.support.lab import HOST_LAN4, HOST_LAN6

SMALL = b"some bytes"
MIB = hashlib.sha256(b"seed").digest() * (1 << 15)
LARGE = (256 if FULL else 16) << 20   # bytes each way
STALL_MIB = 64                        # more than all buffers between the two ends take
STALL_LOOKS = 3000 if FULL else 300   # looks, 10 ms apart, at a sender that stands still
URGENT_AGAIN = 12
URGENT_TURNS = 20_000 * (1 + URGENT_AGAIN)  # loop turns for 1 MiB each way with one urgent byte each: a spin makes millions


# ---- the scripts: acts on the client (c) and the server's end (s) ----
def client_shuts_first(c, s):
    c.send(SMALL)
    c.shutdown()
    s.read_all()
    s.send(b"an answer after the end")
    s.close()
    c.read_all()


def server_shuts_first(c, s):
    s.send(SMALL)
    s.shutdown()
    c.read_all()
    c.send(b"a question after the end")
    c.shutdown()
    s.read_all()


def both_shut(c, s):
    for end in (c, s):
        end.send(SMALL)
        end.shutdown()
    for end in (c, s):
        end.read_all()


def shut_without_a_byte(c, s):
    c.shutdown()
    s.read_all()
    s.shutdown()
    c.read_all()


def server_closes_at_once(c, s):
    s.close()
    c.read_all()


def client_closes_at_once(c, s):
    c.close()
    s.read_all()


def send_to_a_closed_one(reader, closer):
    closer.close()
    reader.wait_end()
    reader.send(SMALL)
    reader.wait_error()
    reader.read_all()
    reader.send(SMALL)


def reset(resetter, other):
    resetter.reset()
    other.wait_error()
    other.read_all()
    other.send(SMALL)


def reset_behind_read_data(resetter, other):
    resetter.send(SMALL)
    other.read(len(SMALL))
    resetter.reset()
    other.wait_error()
    other.read_all()


def reset_behind_unread_data(resetter, other):
    resetter.send(SMALL)
    other.wait_readable(len(SMALL))
    resetter.reset()
    other.wait_error()
    other.read_all()
    other.send(SMALL)


def reset_with_unread_data(resetter, other):
    other.send(SMALL)
    resetter.wait_readable(len(SMALL))
    resetter.reset()
    other.wait_error()
    other.read_all()


def close_with_unread_data(closer, other):
    other.send(SMALL)
    closer.wait_readable(len(SMALL))
    closer.close()
    other.wait_error()
    other.read_all()
    other.send(SMALL)


def reset_after_a_half_close(resetter, other):
    other.send(SMALL)
    other.shutdown()
    resetter.read_all()
    resetter.reset()
    other.wait_error()
    other.read_all()


def zero_window(sender, reader):
    """The reader reads nothing for long; then all of it."""
    join = sender.send_later(MIB * STALL_MIB)
    poll = select.poll()
    poll.register(sender.socket, select.POLLOUT)
    still = 0

    def stands_still():
        nonlocal still
        still = 0 if poll.poll(0) else still + 1
        return still > STALL_LOOKS

    wait_until(stands_still, "the sender stands still", timeout=STALL_LOOKS * 0.1)
    reader.read_all()
    join()
    reader.send(SMALL)
    reader.shutdown()
    sender.read_all()


def large_both_ways(c, s):
    joins = [end.send_later(MIB * (LARGE // len(MIB))) for end in (c, s)]
    reader = threading.Thread(target=s.read_all, daemon=True)
    reader.start()
    c.read_all()
    reader.join()
    for join in joins:
        join()


def urgent(inline):
    def script(c, s):
        for sender, reader in ((c, s), (s, c)):
            join = sender.send_later(MIB, urgent_at=len(MIB) // 2)
            reader.read_urgent(inline)
            join()

    return script


def _other_way(script):
    return lambda c, s: script(s, c)


ONE_WAY = (client_shuts_first, server_shuts_first, both_shut, shut_without_a_byte, server_closes_at_once, client_closes_at_once, large_both_ways)
EACH_WAY = (send_to_a_closed_one, reset, reset_behind_read_data, reset_behind_unread_data, reset_with_unread_data, close_with_unread_data,
            reset_after_a_half_close, zero_window)
SCRIPTS = {script.__name__: script for script in ONE_WAY}
SCRIPTS |= {f"{script.__name__}, by the client": script for script in EACH_WAY}
SCRIPTS |= {f"{script.__name__}, by the server": _other_way(script) for script in EACH_WAY}
SCRIPTS |= {"urgent byte in line": urgent(True), "urgent byte out of band": urgent(False)}


class Equal(ForwardsTestCase):
    def run_script(self, script, listener, port, address):
        log = {}
        client = self.client(self.lab.lan, address, port)
        server, _ = self.accepted(listener)
        ends = End("client", client, log), End("server", server, log)
        try:
            script(*ends)
        except AssertionError as missing:
            log["never"] = str(missing)
        finally:
            for end in ends:
                end.socket.close()
        return log

    def compare(self, address, guest_address):
        port, own = next_port(), next_port()
        host = f"[{address}]" if ":" in address else address
        guest, helper = self.forwarding(f"{host}:{port}:80")
        through = self.listener(guest.netns_fd(), guest_address, 80)
        direct = self.listener(self.lab.host, address, own)
        for name, script in SCRIPTS.items():
            with self.subTest(script=name):
                before = self.ask(helper, "stats")["loop"]["turns"]
                expected = self.run_script(script, direct, own, address)
                self.assertNotIn("never", expected)
                self.assertEqual(self.run_script(script, through, port, address), expected)
                if name.startswith("urgent"):
                    # How the mark and the end behind it arrive is a matter of moments.
                    for _ in range(URGENT_AGAIN):
                        self.assertEqual(self.run_script(script, through, port, address), expected)
                    self.assertLess(self.ask(helper, "stats")["loop"]["turns"] - before, URGENT_TURNS)
        self.wait_flows(helper, 0)

    def test_ipv4(self):
        self.compare(HOST_LAN4, GUEST4)

    def test_ipv6(self):
        self.compare(HOST_LAN6, GUEST6)


class Refusal(ForwardsTestCase):
    """The host's kernel has answered the client's SYN before anybody can know that the guest refuses: the client is then told by a reset
    at its first call, where a direct connection tells it at connect(2). No byte, no clean end, no wait."""

    def outcome(self, address, port):
        try:
            connection = self.client(self.lab.lan, address, port)
            return "answered" if connection.recv(1) else "end"
        except (ConnectionRefusedError, ConnectionResetError) as error:
            return f"refused: {name_of(error)}"

    def test_nobody_listens(self):
        for address in (HOST_LAN4, HOST_LAN6):
            with self.subTest(address=address):
                port = next_port()
                host = f"[{address}]" if ":" in address else address
                _, helper = self.forwarding(f"{host}:{port}:80")
                self.assertEqual(self.outcome(address, port), "refused: ECONNRESET")
                self.assertEqual(self.outcome(address, next_port()), "refused: ECONNREFUSED")
                self.wait_flows(helper, 0)

    def test_a_firewall_rejects(self):
        port = next_port()
        guest, helper = self.forwarding(f"0.0.0.0:{port}:80")
        guest.run("nft", "add table inet own; add chain inet own in { type filter hook input priority 0; }; "
                         "add rule inet own in tcp dport 80 reject")
        self.assertIn("refused", self.outcome(HOST_LAN4, port))
        self.wait_flows(helper, 0)

    def test_the_service_goes_away_and_comes_back(self):
        port = next_port()
        guest, _ = self.forwarding(f"0.0.0.0:{port}:80")
        for _ in range(3):
            server = servers.TcpServer(guest.netns_fd(), GUEST4, port=80)
            self.echoes(self.from_lan(port))
            server.close()
            self.assertEqual(self.outcome(HOST_LAN4, port), "refused: ECONNRESET")


if __name__ == "__main__":
    main()
