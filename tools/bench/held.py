# SPDX-License-Identifier: BSD-3-Clause
"""Many connections through a forward: what each idle one costs, what they cost one more connection, and what many short ones leave.

Requests on one more connection are timed without them and with them, in turn, in the same process; where the pairs' spread is wide, the
helper's own work per request (CPU, sleeps, loop turns) tells more than the clock.
"""
import json
import resource
import statistics
import subprocess
import time
from pathlib import Path

import world

CELLS = {
    "held_memory": ("memory of one held connection", "KiB", 1, False, "KiB"),
    "held_none": ("request/response, none held", "1/s", 1, True, "1/s"),
    "held_rr": ("request/response, with them", "1/s", 1, True, "1/s"),
    "held_ratio": ("with them / none held, of each pair", "1", 1, True, "1"),
    "held_cpu_none": ("CPU a request, none held", "us", 1e6, False, "s"),
    "held_cpu": ("CPU a request, with them", "us", 1e6, False, "s"),
    "held_sleeps_none": ("sleeps a request, none held", "1", 1, False, "1"),
    "held_sleeps": ("sleeps a request, with them", "1", 1, False, "1"),
    "held_turns_none": ("loop turns a request, none held", "1", 1, False, "1"),
    "held_turns": ("loop turns a request, with them", "1", 1, False, "1"),
}
CELLS |= {"churn_memory": ("memory that the churn left", "KiB", 1, False, "KiB"),
          "churn_rate": ("connects of the churn", "1/s", 1, True, "1/s")}
_CHUNK = 5.0   # seconds of connects between looks at their number
_SPARE = 512   # descriptors of a forwarder that are not for connections
_SETTLE = 0.5  # seconds for a closed multitude to be taken down


def possible(wanted):
    """How many connections the limit of open files allows a forwarder that needs two descriptors each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, (hard - _SPARE) // 2))


class _Held:
    def __init__(self, bench, forwarder, count):
        command = [bench.traffic, "hold", "--to", "127.0.0.1", "--port", str(forwarder.port), "--connections", str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line or json.loads(line)["held"] != count:
            self._process.kill()
            raise world.BenchError(f"{count} connections could not be held: {self._process.stderr.read().strip()}; {forwarder.log_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._process.stderr.close()
        time.sleep(_SETTLE)


def _sleeps(pids):
    """Voluntary context switches: how often the processes have gone to sleep."""
    total = 0
    for pid in pids:
        total += int(Path(f"/proc/{pid}/status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def _requests(bench, forwarder, seconds):
    """(rate, {"cpu", "sleeps", "turns": of one request})."""
    def spent():
        turns = forwarder.turns() if hasattr(forwarder, "turns") else None
        return {"cpu": forwarder.cpu_seconds(), "sleeps": _sleeps(forwarder.tree()), "turns": turns}

    before = spent()
    sample = bench.ask(forwarder, "lo", "rr", "--milliseconds", str(int(seconds * 1000)))
    after = spent()
    work = {what: None if None in (before[what], after[what]) else (after[what] - before[what]) / sample["transactions"] for what in before}
    return sample["rate"], work


def measure(bench, forwarder, arguments):
    """Fills the held cells; returns notes."""
    mtu, seconds = arguments.mtus[0], arguments.seconds / 2
    count = possible(arguments.hold)

    def add(cell, value):
        bench.results.add(mtu, f"held_{cell}", forwarder.name, value)

    with bench.running(forwarder, mtu):
        _requests(bench, forwarder, seconds)  # the first of everything
        resident = forwarder.memory_kib()[0]
        with _Held(bench, forwarder, count):
            add("memory", (forwarder.memory_kib()[0] - resident) / count)
        for _ in range(arguments.hold_pairs):
            alone, work_alone = _requests(bench, forwarder, seconds)
            with _Held(bench, forwarder, count):
                crowded, work = _requests(bench, forwarder, seconds)
            add("none", alone)
            add("rr", crowded)
            add("ratio", crowded / alone)
            for what in work:
                add(f"{what}_none", work_alone[what])
                add(what, work[what])
    samples = bench.results.samples[mtu]["held_ratio"][forwarder.name]
    spread = f"; ratio of pairs {min(samples):.3f}..{max(samples):.3f}, median {statistics.median(samples):.3f}"
    why = "" if count == arguments.hold else f" (of {arguments.hold}: the limit of open files)"
    return {"held connections": f"{count}{why}{spread}"}


def churn(bench, forwarder, arguments):
    """Connect, request, close, so often as asked, after a tenth of it that is not counted. Fills the churn cells; returns notes."""
    mtu = arguments.mtus[0]

    def connects(wanted):
        done, seconds = 0, 0.0
        while done < wanted:
            sample = bench.ask(forwarder, "lo", "crr", "--milliseconds", str(int(min(_CHUNK, arguments.seconds * 2) * 1000)))
            if not sample["transactions"]:
                raise world.BenchError("nothing connects any longer")
            done += sample["transactions"]
            seconds += sample["seconds"]
        return done, seconds

    with bench.running(forwarder, mtu):
        connects(arguments.churn // 10)
        time.sleep(_SETTLE)
        descriptors, resident = forwarder.descriptors(), forwarder.memory_kib()[0]
        done, seconds = connects(arguments.churn)
        time.sleep(_SETTLE)
        left = forwarder.descriptors()
        bench.results.add(mtu, "churn_memory", forwarder.name, forwarder.memory_kib()[0] - resident)
        bench.results.add(mtu, "churn_rate", forwarder.name, done / seconds)
    seen = "cannot be seen" if None in (descriptors, left) else f"{descriptors} before, {left} after"
    return {"churn": f"{done} connects; descriptors: {seen}"}
