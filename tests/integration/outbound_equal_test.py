# SPDX-License-Identifier: BSD-3-Clause
"""What a guest's connect(2) tells, and what the connection then carries, is what the host's own would: the same client program run on the
host and in guests, on the kernel path, on the general path, beside slirp4netns and beside pasta. A table of errors and times is printed.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

from tests.support import kernel
from tests.support.case import LabTestCase, main
from tests.support.dial_rows import GIVES_UP_EARLY, MPTCP, ROWS
from tests.support.far_side import FarSide
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.pasta import Pasta
from tests.support.slirp4netns import Slirp4netns, theirs

ANSWER = DEADLINE * 3     # s; for a row's line from the client program
WAITS, WAITS_FOR_OTHERS = DEADLINE / 2, 3.0    # s; what has not come by then will not come, where exactness is claimed and elsewhere
EXACT_BUDGET = 90.0       # s; where exactness is claimed and more is used, much hangs: the rest then runs at once
GIVEN_UP_GONE = 3.0       # s; then the host's socket of a connect that the guest has given up is closed
_SYN_SENT = "02"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Client:
    """The client program in a namespace."""

    def __init__(self, netns, deadline):
        with kernel.in_netns(netns):
            self._process = subprocess.Popen([sys.executable, "-B", "-m", "tests.support.dial", str(deadline)], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, text=True, cwd=_ROOT)

    def run(self, keys):
        """These rows, all at once; gives what was told of each."""
        watchdog = threading.Timer(ANSWER, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps(keys) + "\n")
            self._process.stdin.flush()
            told = [json.loads(self._process.stdout.readline() or '{"row": null}') for _ in keys]
        finally:
            watchdog.cancel()
        return {tuple(one["row"]): one for one in told if one["row"]}

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class SynSent:
    """Watches the host's sockets that wait for an answer from one port."""

    def __init__(self, port):
        self._port, self.seen, self._stop = port, False, False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def count(self):
        found = 0
        for name in ("tcp", "tcp6"):
            with open(f"/proc/{os.getpid()}/net/{name}", encoding="ascii") as lines:
                found += sum(line.split()[3] == _SYN_SENT and int(line.split()[2].rpartition(":")[2], 16) == self._port
                             for line in list(lines)[1:])
        return found

    def _watch(self):
        while not self._stop:
            self.seen = self.seen or bool(self.count())
            time.sleep(GIVES_UP_EARLY / 20)

    def gone_after(self):
        """Seconds until none is left, from now; None if one is left after GIVEN_UP_GONE."""
        self._stop = True
        self._thread.join()
        self.seen = self.seen or bool(self.count())
        begin = time.monotonic()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.count(), "gone", GIVEN_UP_GONE)
            return time.monotonic() - begin
        return None


class Way:
    """One way of carrying, and what came of every row on it."""

    def __init__(self, name, netns, far, exact=True, general=lambda: 0):
        """exact: each error is told soon and each connection served, so that waiting for one after the other takes no time.
        general: how many SYNs have taken our general path."""
        self.name, self.outcomes, self._general = name, {}, general
        self._far, self._exact = far, exact
        self._deadline = WAITS if exact else WAITS_FOR_OTHERS
        self._client = Client(netns, self._deadline)
        self.given_up = {}  # family -> (a host socket was seen, s until it was gone or None)

    def run(self):
        keys = [(row.name, family) for row in ROWS.values() for family in row.families]
        slow = [key for key in keys if ROWS[key[0]].slow or not (self._exact or ROWS[key[0]].alone)]
        single = [key for key in keys if key not in slow]
        self._far.begin(self._deadline)
        begin = time.monotonic()
        try:
            self._run(slow)
            while single:
                if time.monotonic() - begin < EXACT_BUDGET:
                    self._run([single.pop(0)])
                else:
                    self._run(single)
                    break
        finally:
            self._client.close()
        return self

    def _run(self, keys):
        early = next((key for key in keys if ROWS[key[0]].name == "dropped, given up early"), None)
        watch = SynSent(ROWS[early[0]].port) if early else None
        general = self._general()
        told = self._client.run(keys)
        general = self._general() - general
        if early:
            self.given_up[early[1]] = watch.seen, watch.gone_after()
        until = time.monotonic() + self._deadline
        for key in keys:
            row, one = ROWS[key[0]], told.get(key, {"log": ["the program was ended"], "ms": []})
            service = self._far.service(row, key[1])
            seen = sorted((service.seen(until) for _ in range(row.connections)), key=str) if service else []
            self.outcomes[key] = {"client": one["log"], "server": seen, "ms": one["ms"], "general": bool(general),
                                  "timed": len(keys) == 1 or row.slow}

    def told(self, key):
        return {side: self.outcomes[key][side] for side in ("client", "server")}

    def connects(self, key):
        return [outcome for what, outcome in self.outcomes[key]["client"] if what in ("connect", "told")]


class Equal(LabTestCase):
    ways = {}
    far = None

    def setUp(self):
        super().setUp()
        if Equal.far is None:
            Equal.far = FarSide(self.lab)
            if not MPTCP:
                print("not tried: MPTCP, which the kernel has not")
        if "direct" not in self.ways:
            self.ways["direct"] = Way("direct", self.lab.host, self.far).run()
        self.direct = self.ways["direct"]
        for key, outcome in self.direct.outcomes.items():
            self.assertNotIn("never", str(outcome), key)

    def shown(self, name, guest, exact=False, **how):
        """All that is asked of a peer: its column is there to compare with, and fails nothing of ours."""
        self.ways[name] = way = Way(name, guest.netns_fd(), self.far, exact, **how).run()
        return way

    def carried(self, name, guest, exact=False, **how):
        way = self.shown(name, guest, exact, **how)
        for family in (4, 6):
            self.assertEqual(way.told(("answered", family)), self.direct.told(("answered", family)))
        return way

    def expected(self, way, key):
        """What the host's own connection told; or where that cannot be told, what the manual says instead."""
        told = self.direct.told(key)
        becomes = ROWS[key[0]].becomes.get(key[1])
        if becomes:
            return {"client": [["connect", becomes]], "server": [None for _ in told["server"]]}
        return told

    def test_kernel_path(self):
        guest, helper = self.pair(control=True)
        wait_until(lambda: all(helper.info()["kernel_path"][family] for family in ("ipv4", "ipv6")), "the kernel path")
        way = self.carried("kernel path", guest, exact=True, general=lambda: sum(helper.info()["counters"]["outbound"]["general"].values()))
        for key, outcome in way.outcomes.items():
            with self.subTest(row=key):
                self.assertEqual(way.told(key), self.expected(way, key))
                self.assertEqual(outcome["general"], ROWS[key[0]].general, "takes the other path")
        for family, (seen, gone_after) in way.given_up.items():
            with self.subTest(given_up=family):
                self.assertTrue(seen, "the host has not dialled")
                self.assertIsNotNone(gone_after, f"a socket of the host's is left after {GIVEN_UP_GONE} s")

    def test_general_path(self):
        """Errors that libslirp does not tell are silence here."""
        guest, _ = self.pair("--kernel-path=off")
        way = self.carried("general path", guest)
        for key in way.outcomes:
            if ROWS[key[0]].alone:
                with self.subTest(row=key):
                    self.assertEqual(way.told(key), self.direct.told(key))

    def test_slirp4netns(self):
        guest = self.guest()
        self._keep(Slirp4netns(theirs(), "-c", "-6", "-r", "@READY@", str(guest.pid), "tap0")).wait_ready()
        wait_until(lambda: guest.ip("-6", "route", "show", "default") and
                   not any(a.get("tentative") for a in guest.link()["addr_info"]), "IPv6")
        self.shown("slirp4netns", guest)

    def test_pasta(self):
        guest = self.guest()
        self._keep(Pasta(guest))
        self.shown("pasta", guest)

    @classmethod
    def tearDownClass(cls):
        print_table(cls.ways)


def _cell(way, direct, key):
    outcome = way.outcomes[key]
    text = ", ".join(way.connects(key)) or "?"
    if outcome["timed"]:
        text += " " + "/".join(f"{ms:.1f}" if ms < 100 else f"{ms:.0f}" for ms in outcome["ms"])
    if outcome["general"]:
        text += " (general)"
    return text + ("" if way is direct or way.told(key) == direct.told(key) else " *")


def _differences(told, direct):
    for side in ("client", "server"):
        if told[side] != direct[side]:
            yield f"    {side}: {told[side]}\n    direct: {direct[side]}"


def print_table(ways):
    """Errors and ms of each connect. * = both ends were not told what they were directly, and what instead is listed below; (general) = by
    our general path; without a time: beside many others."""
    names = [name for name in ("direct", "kernel path", "general path", "slirp4netns", "pasta") if name in ways]
    if not names:
        return
    direct = ways["direct"]
    rows = [["", *names]]
    for key in direct.outcomes:
        rows.append([f"{key[0]}, IPv{key[1]}", *(_cell(ways[name], direct, key) for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    for name in names:
        for family, (seen, gone) in sorted(ways[name].given_up.items()):
            left = "is left" if gone is None else f"is gone after {gone:.2f} s"
            print(f"{name}: a connect given up, IPv{family}: the host's socket {left if seen else 'was never seen'}")
    for name in names[1:]:
        for key in direct.outcomes:
            for line in _differences(ways[name].told(key), direct.told(key)):
                print(f"{name}, {key[0]}, IPv{key[1]}:\n{line}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
