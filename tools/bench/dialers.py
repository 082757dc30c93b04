# SPDX-License-Identifier: BSD-3-Clause
"""What is compared by bench-outbound: each lets a client dial a service of the host's world.

A dialer's session(mtu, place, port) is a context that gives the Way to the service of that place at that port: how a client is to be
started, and what it dials. The references have no guest: their client is on the host.
"""
import contextlib
import functools
import json
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Callable, Optional

import control
import forwarders
import helpers
import lan
import world

GATEWAY = "10.0.2.2"
OURS, OFF = "netns-helper", "--kernel-path=off"
_HELP_DEADLINE = 10  # seconds


@dataclass(frozen=True)
class Place:
    title: str
    service: str     # the address that it listens at
    from_guest: str  # the one that a guest dials


PLACES = {"lo": Place("host's loopback", "127.0.0.1", GATEWAY), "veth": Place("behind a veth", lan.CLIENT_ADDRESS, lan.CLIENT_ADDRESS)}


@dataclass(frozen=True)
class Way:
    within: Callable  # words -> the command that runs them where the client is
    address: str
    port: int
    guest: Optional[world.Guest] = None


class _Attached:
    """A helper of helpers.py on a fresh guest."""

    @contextlib.contextmanager
    def session(self, mtu, place, port):
        with tempfile.TemporaryDirectory(prefix="bench.") as directory, world.Guest() as guest:
            self.control = f"{directory}/control"
            try:
                self.start(guest.pid, mtu)
                yield Way(guest.within, place.from_guest, port, guest)
            finally:
                self.stop()


@functools.lru_cache
def _help(program):
    return subprocess.run([program, "--help"], capture_output=True, text=True, timeout=_HELP_DEADLINE, check=False).stdout


class NetnsHelper(_Attached, control.Told, helpers.NetnsHelper):
    """options: of its own besides those that the bench needs; name: how it stands in the table."""

    def __init__(self, program, options, name=OURS):
        super().__init__(program)
        self.options, self.name = options, name

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        *words, tap = super().command(guest_pid, mtu, ready_fd, ipv4_only)
        return [*words, "--api-socket", self.control, *self.options, tap]

    def relayed(self):
        """How many flows so far took the kernel path."""
        return self.flows_opened().get("relay", 0)

    def has_kernel_path(self):
        """Whether it can have one, as far as its options tell."""
        return "--kernel-path" in _help(self.program) and OFF not in self.options


class Slirp4netns(_Attached, helpers.Slirp4netns):
    pass


class Pasta(_Attached, helpers.Pasta):
    pass


PEERS = {"slirp4netns": Slirp4netns, "pasta": Pasta}


class Direct(forwarders.Direct):
    @contextlib.contextmanager
    def session(self, _mtu, place, port):
        yield Way(lambda words: words, place.service, port)


class BareRelay(forwarders.BareRelay):
    """Its client is beside it."""

    @contextlib.contextmanager
    def session(self, _mtu, place, port):
        with self.leading_to(place.service, port):
            yield Way(lambda words: words, "127.0.0.1", forwarders.HOST_PORT)
        forwarders.wait_gone(forwarders.HOST_PORT)


# Without capabilities, so that the bench, which has none, may say on which processor it runs (cap_task_setscheduler).
_PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


class Services:
    """The servers of all places: in each as many as asked for, so that the ports of many connections suffice. They end with the bench."""

    def __init__(self, traffic, machine, count):
        self.ports, self.pids = {}, {}
        self._processes = []
        for name, place in PLACES.items():
            for _ in range(count):
                command = [traffic, "server", "--listen", place.service]
                pid, line = machine.start([*_PLAIN, *command]) if name == "veth" else self._start(command)
                if not line:
                    raise world.BenchError(f"the server at {place.service} did not start")
                self.ports.setdefault(name, []).append(json.loads(line)["port"])
                self.pids.setdefault(name, []).append(pid)

    def _start(self, command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)  # with its standard input: it ends when that does
        return process.pid, process.stdout.readline()
