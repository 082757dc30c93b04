# SPDX-License-Identifier: BSD-3-Clause
"""Many outbound connections: held and churned as held.py does, and many connects at once that nobody answers."""
import contextlib
import json
import subprocess
import time
from pathlib import Path

import held
import lan
import world

CELLS = {
    "dark_none": ("connect, p50", "us", 1, False, "us"),
    "dark_with": ("connect, p50, beside connects to a black hole", "us", 1, False, "us"),
    "dark_max": ("connect, slowest beside them", "us", 1, False, "us"),
    "dark_delay": ("what they add to a connect's p50", "ms", 1e-3, False, "us"),
    "dark_left": ("host sockets 1 s after their clients gave up", "1", 1, False, "1"),
}
PLACE = "lo"
SHARES = 4        # processes that hold connections, a service each: their own limits of files, and ports enough
_DARK_PORT = 80
_REACH = 3.0      # seconds for all connects to be under way on the host
_GIVEN_UP = 1.0   # seconds after which no host socket is to be left
_CT = "/proc/sys/net/netfilter"
# Seconds; the defaults are up to 2 minutes and would fill the table.
_CT_TIMEOUTS = " ".join(f"nf_conntrack_tcp_timeout_{state}" for state in ("time_wait", "close", "close_wait", "last_ack", "fin_wait"))
_SHORTEN = f"cd {_CT} 2>/dev/null || exit 0; for file in {_CT_TIMEOUTS}; do echo 2 >$file; done"
# Entries that have timed out count until somebody comes across them; a listing does.
_COUNT = f"conntrack -L >/dev/null 2>&1 && cat {_CT}/nf_conntrack_count"
_DEADLINE = 15    # seconds, for a command in the guest


class Dialled(held.Subject):
    """A dialer and its clients, at the service of PLACE."""
    from_start = ("conntrack entries", "nft ruleset")

    def __init__(self, bench, dialer):
        super().__init__(dialer, bench.results, bench.arguments.mtus[0])
        self.bench, self.way = bench, None

    @contextlib.contextmanager
    def running(self):
        with self.bench.running(self.helper, self.mtu, PLACE) as self.way:
            yield

    def ask(self, *words, patience=60):
        return self.bench.ask(self.helper, self.way, *words, patience=patience)

    def command(self, what, count, address, port):
        return self.way.within([self.bench.traffic, what, "--to", address, "--port", str(port), "--connections", str(count)])

    def holders(self, count):
        ports = self.bench.services.ports[PLACE][:count]
        shares = [count // len(ports) + (number < count % len(ports)) for number in range(len(ports))]
        return [(self.command("hold", share, self.way.address, port), share) for port, share in zip(ports, shares)]

    def service_pids(self):
        return self.bench.services.pids[PLACE][:1]

    def in_guest(self, script):
        done = self.way.guest.run(["sh", "-c", script], _DEADLINE)
        return done.stdout.strip() if done.returncode == 0 else None

    def prepare_churn(self):
        self.in_guest(world.ROOM_FOR_TIME_WAIT)
        self.in_guest(_SHORTEN)

    def left(self):
        entries = self.in_guest(_COUNT)
        return {**super().left(), "conntrack entries": int(entries) if entries else None, "nft ruleset": self.in_guest("nft list ruleset")}


def _dialling():
    """Sockets of the host that wait for an answer of DARK_ADDRESS (proc_net_tcp.rst: little-endian address, state 02 is SYN_SENT)."""
    remote = "".join(f"{int(part):02X}" for part in reversed(lan.DARK_ADDRESS.split("."))) + f":{_DARK_PORT:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(fields[2] == remote and fields[3] == "02" for fields in map(str.split, lines))


class _Dark:
    """So many connects under way; `reached`: those of them that have a socket on the host."""

    def __init__(self, subject, count):
        self._process = subprocess.Popen(subject.command("pend", count, lan.DARK_ADDRESS, _DARK_PORT), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not self._process.stdout.readline():
            raise world.BenchError(f"connects to a black hole: {self._process.stderr.read().strip()}; {subject.helper.log_text()}")
        end = time.monotonic() + _REACH
        while (reached := _dialling()) < count and time.monotonic() < end:
            time.sleep(0.02)
        self.reached = reached

    def end(self):
        """How many connects ended before they were given up."""
        out, _ = self._process.communicate(timeout=_DEADLINE)
        return json.loads(out)["ended"]


def blackhole(subject, arguments):
    """Fills the dark cells; returns notes."""
    time_of_each = ("--milliseconds", str(int(arguments.seconds * 500)))
    reached, ended = [], 0
    with subject.running():
        subject.in_guest(world.ROOM_FOR_TIME_WAIT)
        for _ in range(arguments.blackhole_pairs):
            alone = subject.ask("connect", *time_of_each)["latency_us"]
            dark = _Dark(subject, arguments.blackhole)
            try:
                crowded = subject.ask("connect", *time_of_each)["latency_us"]
            finally:
                ended += dark.end()
            reached.append(dark.reached)
            time.sleep(_GIVEN_UP)
            subject.add("dark_left", _dialling())
            subject.add("dark_none", alone["p50"])
            subject.add("dark_with", crowded["p50"])
            subject.add("dark_max", crowded["max"])
            subject.add("dark_delay", crowded["p50"] - alone["p50"])
    return {"connects to a black hole": f"{arguments.blackhole} at once, {min(reached)} of them with a host socket, {ended} ended by themselves"}


PARTS = {"hold": held.measure, "blackhole": blackhole, "churn": held.churn}
