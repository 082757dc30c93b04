# SPDX-License-Identifier: BSD-3-Clause
"""What the outbound path is to reach, and whether it did: medians of one run against each other."""
import statistics
from dataclasses import dataclass

import dialers
import forwarders
import report

PEERS = "each peer"


@dataclass(frozen=True)
class Bar:
    cell: str
    against: str          # PEERS, or one column
    factor: float         # ours is to be at least (where less is better: at most) so many times theirs
    equal: bool = True    # False: it must be passed, not only reached
    mtu: int = 0          # 0: at each


BARS = [
    Bar("up", forwarders.BareRelay.BEST, 0.9), Bar("down", forwarders.BareRelay.BEST, 0.9),
    Bar("up", PEERS, 1, equal=False), Bar("down", PEERS, 1, equal=False), Bar("up", "slirp4netns", 6, mtu=1500),
    Bar("cpu_up", PEERS, 1, equal=False), Bar("cpu_down", PEERS, 1, equal=False),
    Bar("crr", PEERS, 1, equal=False), Bar("crr_one", PEERS, 1, equal=False),
    Bar("rr", PEERS, 0.95), Bar("rr_one", PEERS, 0.95),
]
# One number of ours alone: cell -> (at least, at most), as recorded.
ALONE = {"held_memory": (None, 0.5), "held_ratio": (0.95, None), "held_ratio_one": (0.95, None), "dark_delay": (None, 1000), "dark_left": (None, 0),
         "churn_left": (None, 0), "churn_memory": (None, 256)}  # KiB: the heap's pages come and go
# Where the pairs of these lie further apart than this, the work of one request decides in its place.
_OF_PAIRS, _SPREAD, _MORE_WORK = ("held_ratio", "held_ratio_one"), 0.05, 1.05
_WORK = ("held_sleeps", "held_turns")


def _row(results, mtu, cell, other, bar):
    cells = results.samples[mtu].get(cell, {})
    ours, theirs = cells.get(dialers.OURS), cells.get(other)
    title, unit, factor, more_is_better, _ = results.cells[cell]
    if not ours or not theirs:
        # A peer that could not do it at all is no bar; the table has its failure.
        return [f"MTU {mtu}, {title}", "-", other, "-", "-", "it failed" if ours and bar.against != forwarders.BareRelay.BEST else "NOT MEASURED"]
    mine, their = statistics.median(ours), statistics.median(theirs)
    ratio = mine / their if their else float("inf")
    good = ratio >= bar.factor if more_is_better else ratio <= bar.factor
    good = good and (bar.equal or ratio != bar.factor)
    sign = (">" if more_is_better else "<") + ("=" if bar.equal else "")
    return [f"MTU {mtu}, {title}", f"{report.short(mine * factor)} {unit}", f"{other} {report.short(their * factor)}", f"{ratio:.2f}",
            f"{sign} {bar.factor:g}", "ok" if good else "FAILS"]


def _alone(results, mtu, cell):
    values = results.samples[mtu].get(cell, {}).get(dialers.OURS)
    if not values:
        return []
    least, most = ALONE[cell]
    title, unit, factor, _, _ = results.cells[cell]
    value = statistics.median(values)
    good = (least is None or value >= least) and (most is None or value <= most)
    bound = f">= {least * factor:g}" if least is not None else f"<= {most * factor:g}"
    row = [f"MTU {mtu}, {title}", f"{report.short(value * factor)} {unit}", "-", "-", bound, "ok" if good else "FAILS"]
    if cell in _OF_PAIRS and not good and (len(values) == 1 or max(values) - min(values) > _SPREAD):
        work = _work(results, mtu)
        return [[*row[:-1], "too noisy: the next decide"], *work] if work else [row]
    return [row]


def _work(results, mtu):
    rows = []
    for cell in _WORK:
        alone, crowded = (results.samples[mtu].get(name, {}).get(dialers.OURS) for name in (f"{cell}_none", cell))
        if not alone or not crowded:
            continue
        before, after = statistics.median(alone), statistics.median(crowded)
        good = after <= before * _MORE_WORK
        rows.append([f"MTU {mtu}, {results.cells[cell][0]}", report.short(after), f"none held {report.short(before)}",
                     f"{after / before:.2f}" if before else "-", f"<= {_MORE_WORK}", "ok" if good else "FAILS"])
    return rows


def judge(results, places, peers):
    """The rows of the verdict. peers: their names; places: the prefixes of the cells."""
    rows = []
    for mtu in results.samples:
        for place in places:
            for bar in BARS:
                if bar.mtu not in (0, mtu):
                    continue
                others = peers if bar.against == PEERS else [bar.against]
                if bar.against == "slirp4netns" and bar.against not in peers:
                    others = []
                rows += [_row(results, mtu, f"{place}_{bar.cell}", other, bar) for other in others]
        for cell in ALONE:
            rows += _alone(results, mtu, cell)
    return rows


def text(rows):
    failing = [row for row in rows if row[-1] in ("FAILS", "NOT MEASURED")]
    heads = ["Verdict", "netns-helper", "beside", "ratio", "wanted", ""]
    return "\n".join([*report.aligned([heads, *rows]), f"{len(failing)} of {len(rows)} are not reached"])
