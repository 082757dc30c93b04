# SPDX-License-Identifier: BSD-3-Clause
"""Many connections through a helper: what each idle one costs, what they cost one more connection, and what many short ones leave.

Requests on one more connection are timed without them and with them, in turn, in the same process, where the kernel puts them and on one
processor; where the pairs' spread is wide, the helper's own work per request (CPU, sleeps, loop turns) tells more than the clock.
"""
import contextlib
import json
import resource
import statistics
import subprocess
import time
from pathlib import Path

import helpers
import world

CELLS = {
    "held_memory": ("memory of one held connection", "KiB", 1, False, "KiB"),
    "held_none": ("request/response, none held", "1/s", 1, True, "1/s"),
    "held_rr": ("request/response, with them", "1/s", 1, True, "1/s"),
    "held_ratio": ("with them / none held, of each pair", "1", 1, True, "1"),
    "held_ratio_one": ("the same, all on one processor", "1", 1, True, "1"),
    "held_cpu_none": ("CPU a request there, none held", "us", 1e6, False, "s"),
    "held_cpu": ("CPU a request there, with them", "us", 1e6, False, "s"),
    "held_sleeps_none": ("sleeps a request there, none held", "1", 1, False, "1"),
    "held_sleeps": ("sleeps a request there, with them", "1", 1, False, "1"),
    "held_turns_none": ("loop turns a request there, none held", "1", 1, False, "1"),
    "held_turns": ("loop turns a request there, with them", "1", 1, False, "1"),
}
CELLS |= {"churn_memory": ("memory that the churn left", "KiB", 1, False, "KiB"),
          "churn_left": ("other things that are not as before the churn", "1", 1, False, "1"),
          "churn_rate": ("connects of the churn", "1/s", 1, True, "1/s")}
_CHUNK = 5.0      # seconds of connects between looks at their number
_SPARE = 512      # descriptors of a helper that are not for connections, where it does not say how many it allows
_SETTLE = 0.5     # seconds for a closed multitude to be taken down
_PATIENCE = 30.0  # seconds for what the churn made to be gone; the longest timeouts in it are conntrack's, which the subject shortens


class Subject:
    """Whose connections they are: a helper, and how the bench gets a connection through it."""

    from_start = ()  # what of left() must be as it was before any connect; the rest as after the first tenth of them

    def __init__(self, helper, results, mtu):
        self.helper, self.results, self.mtu = helper, results, mtu

    def running(self):
        """A context: in it there are the helper and its service."""
        raise NotImplementedError

    def ask(self, *words, patience=60):
        """One load of bench-traffic; its sample."""
        raise NotImplementedError

    def holders(self, count):
        """The commands that hold so many connections, each with its share."""
        raise NotImplementedError

    def service_pids(self):
        """Of the service that ask() leads to, while it runs."""
        raise NotImplementedError

    def prepare_churn(self):
        """Called once it runs."""

    def left(self):
        """name -> what a churn must leave as it was: a number that must not grow, or a text."""
        descriptors = self.helper.descriptors()
        if descriptors is None and hasattr(self.helper, "relay_descriptors"):
            descriptors = self.helper.relay_descriptors()
        return {"descriptors": descriptors}

    def add(self, cell, value):
        self.results.add(self.mtu, cell, self.helper.name, value)


def possible(helper, wanted, shares=1):
    """(how many connections can be held, why so many). The helper is asked; one that does not tell needs two descriptors each. Whoever
    holds them, and the service, have the limit of open files too, in so many shares."""
    bounds = {}
    if hasattr(helper, "capacity") and (told := helper.capacity()) is not None:
        bounds["the relays that it allows"] = told - 1  # one for the connection that is measured
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        if not bounds:
            bounds["the limit of open files"] = (hard - _SPARE) // 2
        bounds["the limit of open files of a client"] = shares * (hard - _SPARE)
    count, why = min(((count, why) for why, count in bounds.items()), default=(wanted, ""))
    return (wanted, "as asked") if wanted <= count else (max(1, count), f"of {wanted}: {why}")


@contextlib.contextmanager
def _held(subject, count):
    processes = [(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), share)
                 for command, share in subject.holders(count)]
    try:
        for process, share in processes:
            line = process.stdout.readline()
            if not line or json.loads(line)["held"] != share:
                raise world.BenchError(f"{count} connections could not be held: {process.stderr.read().strip()}; {subject.helper.log_text()}")
        yield
    finally:
        for process, _ in processes:
            process.stdin.close()
        for process, _ in processes:
            process.wait(60)
            process.stdout.close()
            process.stderr.close()
        time.sleep(_SETTLE)


def _sleeps(pids):
    """Voluntary context switches: how often the threads of these processes have gone to sleep."""
    return sum(int(task.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
               for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/status"))


def _requests(subject, seconds):
    """(rate, {"cpu", "sleeps", "turns": of one request})."""
    helper = subject.helper

    def spent():
        turns = helper.turns() if hasattr(helper, "turns") else None
        return {"cpu": helper.cpu_seconds(), "sleeps": _sleeps(helper.tree()), "turns": turns}

    before = spent()
    sample = subject.ask("rr", "--milliseconds", str(int(seconds * 1000)))
    after = spent()
    work = {what: None if None in (before[what], after[what]) else (after[what] - before[what]) / sample["transactions"] for what in before}
    return sample["rate"], work


def _both(subject, seconds):
    """(rate, rate on one processor, work of one request there: where the kernel puts the processes, how often they sleep varies)."""
    rate, _ = _requests(subject, seconds)
    with helpers.one_processor([*subject.service_pids(), *subject.helper.tree()]):
        return rate, *_requests(subject, seconds)


def measure(subject, arguments):
    """Fills the held cells; returns notes."""
    seconds = arguments.seconds / 2
    with subject.running():
        count, why = possible(subject.helper, arguments.hold, len(subject.holders(arguments.hold)))
        _requests(subject, seconds)  # the first of everything
        resident = subject.helper.memory_kib()[0]
        with _held(subject, count):
            subject.add("held_memory", (subject.helper.memory_kib()[0] - resident) / count)
        for _ in range(arguments.hold_pairs):
            alone, alone_one, work_alone = _both(subject, seconds)
            with _held(subject, count):
                crowded, crowded_one, work = _both(subject, seconds)
            subject.add("held_none", alone)
            subject.add("held_rr", crowded)
            subject.add("held_ratio", crowded / alone)
            subject.add("held_ratio_one", crowded_one / alone_one)
            for what in work:
                subject.add(f"held_{what}_none", work_alone[what])
                subject.add(f"held_{what}", work[what])
    samples = subject.results.samples[subject.mtu]["held_ratio"][subject.helper.name]
    spread = f"ratio of pairs {min(samples):.3f}..{max(samples):.3f}, median {statistics.median(samples):.3f}"
    return {"held connections": f"{count} ({why}); {spread}"}


def _settled(subject, before):
    """What is left once it is as before, or patience has ended."""
    end = time.monotonic() + _PATIENCE
    while grown(before, left := subject.left()) and time.monotonic() < end:
        time.sleep(_SETTLE)
    return left


def grown(before, after):
    """The names of what is not as it was."""
    def same(old, new):
        return old is None or new is None or (old == new if isinstance(old, str) else new <= old)

    return [what for what in before if not same(before[what], after[what])]


def _told(before, after):
    if before is None or after is None:
        return "cannot be seen"
    return ("the same" if before == after else "CHANGED") if isinstance(before, str) else f"{before} before, {after} after"


def churn(subject, arguments):
    """Connect, request, close, so often as asked, after a tenth of it that is not counted. Fills the churn cells; returns notes."""
    def connects(wanted):
        done, seconds = 0, 0.0
        while done < wanted:
            sample = subject.ask("crr", "--milliseconds", str(int(min(_CHUNK, arguments.seconds * 2) * 1000)))
            if not sample["transactions"]:
                raise world.BenchError("nothing connects any longer")
            done += sample["transactions"]
            seconds += sample["seconds"]
        return done, seconds

    with subject.running():
        subject.prepare_churn()
        fresh = subject.left()
        connects(arguments.churn // 10)
        time.sleep(_SETTLE)
        before = {what: fresh[what] if what in subject.from_start else value for what, value in subject.left().items()}
        resident = subject.helper.memory_kib()[0]
        done, seconds = connects(arguments.churn)
        time.sleep(_SETTLE)
        after = _settled(subject, before)
        subject.add("churn_memory", subject.helper.memory_kib()[0] - resident)
        subject.add("churn_left", len(grown(before, after)))
        subject.add("churn_rate", done / seconds)
    notes = {f"churn, {what}": _told(before[what], after[what]) for what in before}
    return {"churn": f"{done} connects" + "".join(f"; {what} NOT as before" for what in grown(before, after)), **notes}
