# SPDX-License-Identifier: BSD-3-Clause
"""What the outbound tests dial, row by row: where it leads, what the client does, what the server does.

Both sides read this: tests/support/dial.py runs a row's client in the namespace that dials, the test runs its server. A row says nothing of
the way between them, so that the ways can be compared.
"""

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from tests.support.end_scripts import (MIB, SMALL, acknowledge_unread_see_error, answer, answer_and_close, ask_and_close_first,
                                       ask_and_reset, ask_until_end, both_ways, close_at_once, close_unread, end_see_error, question,
                                       read_acknowledge_see_error, read_only, read_then_shut, read_urgent, reset_after_end,
                                       reset_after_read, reset_after_sent, reset_at_once, reset_unread, see_error, send_and_close,
                                       send_see_error, send_stalled, send_to_a_closed_one, send_urgent, serve_http, shut_after,
                                       stall_then_read)
from tests.support.ends import name_of
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import DNS4, DNS6, SERVICE4, SERVICE6

FIRST_PORT = 21000         # of the rows; each has the next
FIRST_CLIENT_PORT = 20000  # where the client binds one, too: outside of the ports that the kernel gives away
GIVES_UP, GIVES_UP_EARLY = 1.5, 0.2  # s
USER_TIMEOUT = 1500        # ms: then the kernel itself ends a connect with ETIMEDOUT
CROWD = 300                # connects that wait at once

_IPPROTO_MPTCP = 262
MPTCP = os.path.exists("/proc/sys/net/mptcp/enabled")  # the rows that need it are left out where the kernel has none (CONFIG_MPTCP)
_TCP_USER_TIMEOUT, _TCP_FASTOPEN, _TCP_FASTOPEN_NO_COOKIE = 18, 23, 34
_FASTOPEN_QUEUE = 16

ADDRESSES = {4: SERVICE4, 6: SERVICE6}
OTHERS = {4: DNS4, 6: DNS6}  # a second address of the far side, for rows that need a dead and a living one
ROUTED = {4: "203.0.113.{}", 6: "2001:db8:80::{}"}  # led nowhere by a route of the dialling host's
NEIGHBOUR = {4: "198.51.100.77", 6: "2001:db8:1::77"}  # nobody's, on the host's own link


@dataclass(frozen=True)
class Row:
    """far, other: what ADDRESSES and OTHERS do with the row's port: "serve", "closed", or nftables's verdict.
    to: what is dialled instead, by family.
    becomes: how a connect ends in a guest of ours where it cannot end as it does directly, by family; the manual says so.
    sysctls: of the namespace that dials, while the row runs.
    slow: waits for long; such rows run all at once.
    alone: its time matters, or it would disturb others; such rows always run one by one, others only where nothing should hang.
    general: its SYN asks for what a stand-in does not speak."""
    name: str
    client: Callable
    server: Optional[Callable] = None
    far: dict = field(default_factory=lambda: {4: "serve", 6: "serve"})
    other: dict = field(default_factory=dict)
    to: dict = field(default_factory=dict)
    becomes: dict = field(default_factory=dict)
    sysctls: dict = field(default_factory=dict)
    prepare_listener: Callable = lambda listener: None
    listener_protocol: int = 0
    connections: int = 1
    families: tuple = (4, 6)
    slow: bool = False
    alone: bool = False
    general: bool = False

    @property
    def port(self):
        return FIRST_PORT + list(ROWS).index(self.name)

    def address(self, family):
        return self.to.get(family, ADDRESSES[family])


def wait_port_left(dialler, port):
    """The client's own port is held by no connection but one in TIME_WAIT."""
    def held():
        with open(f"/proc/self/net/tcp{'6' if dialler.family == 6 else ''}", encoding="ascii") as lines:
            return any(int(line.split()[1].rpartition(":")[2], 16) == port and line.split()[3] != "06" for line in list(lines)[1:])

    wait_until(lambda: not held(), f"port {port} is left", dialler.deadline)


def connect(dialler):
    dialler.dial()


def talk(script, **how):
    """A client that dials and goes through the script."""
    def client(dialler):
        end = dialler.dial(**how)
        if end:
            script(end)
            end.close()

    return client


def reset_may_come_in_connect(dialler):
    """The reset is told by connect(2) or by the first call after it: a matter of moments on any way."""
    end = dialler.dial(noted=False)
    if end:
        with contextlib.suppress(AssertionError):
            end.wait_error()
        try:
            outcome = "a byte" if end.socket.recv(1) else "end"
        except OSError as error:
            outcome = name_of(error)
        end.close()
    else:
        outcome = dialler.outcome
    dialler.note("told", outcome)


def gives_up(seconds):
    return lambda dialler: dialler.dial(timeout=seconds)


def user_timeout(dialler):
    dialler.dial(lambda s: s.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, USER_TIMEOUT))


def from_one_port(first, second=question):
    """Twice in a row from the same port to the same place."""
    def bind(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::" if s.family == socket.AF_INET6 else "0.0.0.0", port))

    def client(dialler):
        nonlocal port
        port = dialler.row.port - FIRST_PORT + FIRST_CLIENT_PORT
        for script in (first, second):
            end = dialler.dial(bind)
            if end:
                script(end)
                end.close()
                wait_port_left(dialler, port)

    port = 0
    return client


def fast_open(no_cookie, protocol=0, dials=1):
    """The question travels with the SYN if the client may."""
    def prepare(s):
        if no_cookie:
            s.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_NO_COOKIE, 1)

    def client(dialler):
        for _ in range(dials):
            end = dialler.dial(prepare, protocol=protocol, first=SMALL)
            if end:
                end.read(len(SMALL))
                end.shutdown()
                end.read_all()
                end.close()

    return client


def accept_fast_open(listener):
    listener.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN, _FASTOPEN_QUEUE)


def crowd(dialler):
    """Many connects that wait for a black hole must not delay one to the living."""
    waiting = []
    for _ in range(CROWD):
        s = dialler.socket()
        s.setblocking(False)
        s.connect_ex((OTHERS[dialler.family], dialler.row.port))
        waiting.append(s)
    talk(question)(dialler)
    for s in waiting:
        s.close()


def bound_to_device(dialler):
    talk(question, prepare=lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, default_device()))(dialler)


def default_device():
    with open("/proc/self/net/route", encoding="ascii") as lines:
        return next(line.split()[0] for line in lines if line.split()[1] == "00000000").encode()


def curl(*addresses):
    """One name of these addresses, as a program that knows Happy Eyeballs goes about it."""
    def client(dialler):
        name, port = "two.test", dialler.row.port
        listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        begin = time.perf_counter()
        done = subprocess.run(["curl", "-s", "--noproxy", "*", "--connect-timeout", "6", "--max-time", "10", "-A", "curl",
                               "--resolve", f"{name}:{port}:{listed}", "-w", " %{http_code} %{remote_ip}", f"http://{name}:{port}/"],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        dialler.times.append((time.perf_counter() - begin) * 1000)
        dialler.note("connect", "ok" if done.returncode == 0 else f"curl {done.returncode}")
        dialler.note("curl", done.stdout)

    return client


# ---- the table ----
def _all(what):
    return {4: what, 6: what}


def _rejects():
    """ICMP codes by nftables's names, or by number where it has none."""
    codes4 = {code: code for code in ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited",
                                      "host-prohibited", "admin-prohibited")}
    codes4 |= {"source route failed": "5", "host unknown": "7", "host isolated": "8"}
    codes6 = ("no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route")
    for name, code in codes4.items():
        yield Row(f"ICMP {name}", connect, far={4: f"reject with icmp {code}"}, families=(4,))
    for code in codes6:
        yield Row(f"ICMPv6 {code}", connect, far={6: f"reject with icmpv6 {code}"}, families=(6,))


def _routes():
    """What the dialling host's own routes say. IPv4 has no message for EACCES, neither family one for EINVAL."""
    becomes = {"prohibit": {4: "EHOSTUNREACH"}, "blackhole": _all("EHOSTUNREACH")}
    for number, kind in enumerate(("unreachable", "prohibit", "blackhole", "throw"), 201):
        yield Row(f"route {kind}", connect, far={}, to={family: text.format(number) for family, text in ROUTED.items()},
                  becomes=becomes.get(kind, {}))


def _each_way(name, client, server):
    return Row(f"{name}, by the client", talk(client), server), Row(f"{name}, by the server", talk(server), client)


_PLAIN_SYN = {"ipv4/tcp_timestamps": "0", "ipv4/tcp_sack": "0", "ipv4/tcp_window_scaling": "0"}

ROWS = {row.name: row for row in (
    Row("answered", talk(question), answer, alone=True),
    Row("refused", connect, far=_all("closed"), alone=True),
    Row("refused by a firewall", connect, far=_all("reject with tcp reset"), alone=True),
    *_rejects(),
    *_routes(),
    Row("nobody's address", connect, far={}, to=NEIGHBOUR, slow=True),
    Row("dropped, given up", gives_up(GIVES_UP), far=_all("drop"), slow=True),
    Row("dropped, timed out", user_timeout, far=_all("drop"), slow=True),
    Row("dropped, given up early", gives_up(GIVES_UP_EARLY), far=_all("drop"), alone=True),
    Row("beside a crowd", crowd, answer, other=_all("drop"), alone=True),

    Row("client shuts first", talk(shut_after(SMALL)), read_then_shut),
    Row("server shuts first", talk(read_then_shut), shut_after(SMALL)),
    Row("both shut", talk(shut_after(SMALL)), shut_after(SMALL)),
    Row("nothing but ends", talk(shut_after()), read_only),
    Row("server closes at once", talk(read_only), close_at_once),
    Row("client closes at once", talk(close_at_once), read_only),
    *_each_way("sends and closes", send_and_close(SMALL), read_only),
    *_each_way("sends much and closes", send_and_close(MIB * 4), read_only),
    *_each_way("sent to after close", close_at_once, send_to_a_closed_one),
    *_each_way("closes with unread data", close_unread, send_see_error),
    Row("resets at once, by the server", reset_may_come_in_connect, reset_at_once),
    Row("resets at once, by the client", talk(reset_at_once), see_error),
    *_each_way("resets after data", reset_after_read, send_see_error),
    *_each_way("resets behind read data", reset_after_sent, read_acknowledge_see_error),
    *_each_way("resets behind unread data", reset_after_sent, acknowledge_unread_see_error),
    *_each_way("resets with unread data", reset_unread, send_see_error),
    *_each_way("resets after a half-close", reset_after_end, end_see_error),
    Row("much both ways", talk(both_ways), both_ways),
    Row("stalls, by the client", talk(stall_then_read), send_stalled, slow=True),
    Row("stalls, by the server", talk(send_stalled), stall_then_read, slow=True),
    Row("urgent byte in line", talk(send_urgent), read_urgent(True)),
    Row("urgent byte out of band", talk(send_urgent), read_urgent(False)),
    Row("urgent byte to the client", talk(read_urgent(True)), send_urgent),

    Row("same port again, server closed first", from_one_port(ask_until_end, ask_until_end), answer_and_close, connections=2),
    Row("same port again, client closed first", from_one_port(ask_and_close_first), answer),
    Row("same port again, client reset", from_one_port(ask_and_reset), answer, connections=2),
    Row("same port again, refused", from_one_port(question), far=_all("closed")),
    Row("IPv4 by an IPv6 socket", talk(question, family=6, address=f"::ffff:{SERVICE4}"), answer, families=(4,)),
    Row("bound to its device", bound_to_device, answer),
    Row("ECN asked for", talk(question), answer, sysctls={"ipv4/tcp_ecn": "1"}, alone=True),
    Row("SYN without options", talk(question), answer, sysctls=_PLAIN_SYN, alone=True),
    # The guard carries no IPv4 options (netstack/frame/drop_reason.h ip_header).
    Row("IP options on the SYN", talk(question, prepare=lambda s: s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01" * 40)),
        answer, becomes={4: "gave up"}, families=(4,), slow=True),
    Row("MPTCP", talk(question, protocol=_IPPROTO_MPTCP), answer, general=True),
    Row("MPTCP to MPTCP", talk(question, protocol=_IPPROTO_MPTCP), answer, listener_protocol=_IPPROTO_MPTCP, general=True),
    Row("MPTCP, refused", lambda dialler: dialler.dial(protocol=_IPPROTO_MPTCP), far=_all("closed"), general=True),
    Row("Fast Open", fast_open(no_cookie=False), answer),
    Row("Fast Open with a cookie", fast_open(no_cookie=False, dials=2), answer, prepare_listener=accept_fast_open, connections=2),
    Row("Fast Open, data on the SYN", fast_open(no_cookie=True), answer),
    Row("Fast Open, data on the SYN taken", fast_open(no_cookie=True), answer, prepare_listener=accept_fast_open),
    Row("Fast Open, refused", fast_open(no_cookie=True), far=_all("closed")),
    Row("Fast Open by MPTCP", fast_open(no_cookie=False, protocol=_IPPROTO_MPTCP), answer, general=True),

    Row("curl, IPv6 refused, IPv4 alive", curl(SERVICE6, SERVICE4), serve_http, far={4: "serve", 6: "closed"}, families=(4,)),
    Row("curl, IPv6 dropped, IPv4 alive", curl(SERVICE6, SERVICE4), serve_http, far={4: "serve", 6: "drop"}, families=(4,)),
    Row("curl, IPv4 unreachable, IPv6 alive", curl(SERVICE4, SERVICE6), serve_http,
        far={4: "reject with icmp host-unreachable", 6: "serve"}, families=(6,)),
    Row("curl, first refused, second alive", curl(DNS4, SERVICE4), serve_http, other={4: "closed"}, families=(4,)),
    Row("curl, first dropped, second alive", curl(DNS4, SERVICE4), serve_http, other={4: "drop"}, families=(4,), slow=True),
    Row("curl, first unreachable, second alive", curl(DNS6, SERVICE6), serve_http, other={6: "reject with icmpv6 addr-unreachable"},
        families=(6,)),
)}
if not MPTCP:
    ROWS = {name: row for name, row in ROWS.items() if "MPTCP" not in name}
