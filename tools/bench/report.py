# SPDX-License-Identifier: BSD-3-Clause
"""What was measured, as JSON and as a table of medians."""
import os
import platform
import statistics
import time
from pathlib import Path

# cell -> (what it is, unit, factor from what was recorded to the unit, True if more is better, unit of what was recorded)
CELLS = {
    "up": ("upload", "Gbit/s", 1e-9, True, "bit/s"),
    "down": ("download", "Gbit/s", 1e-9, True, "bit/s"),
    "cpu_up": ("helper's CPU, upload", "s/GB", 1, False, "s/GB"),
    "cpu_down": ("helper's CPU, download", "s/GB", 1, False, "s/GB"),
    "rr": ("request/response", "1/s", 1, True, "1/s"),
    "rr_p99": ("request/response, p99", "us", 1, False, "us"),
    "crr": ("connect/request/close", "1/s", 1, True, "1/s"),
    "udp_rr": ("datagram and answer", "1/s", 1, True, "1/s"),
    "rr_one": ("request/response, one processor", "1/s", 1, True, "1/s"),
    "crr_one": ("connect/request/close, one processor", "1/s", 1, True, "1/s"),
    "ready": ("fork to ready", "ms", 1e3, False, "s"),
    "ready_v4": ("fork to ready, IPv4 only", "ms", 1e3, False, "s"),
    "rss": ("idle RSS, all processes", "MiB", 1 / 1024, False, "KiB"),
    "pss": ("idle PSS, all processes", "MiB", 1 / 1024, False, "KiB"),
}


class Results:
    def __init__(self, machine, cells=None):
        self.machine = machine
        self.cells = cells or CELLS
        self.samples = {}   # mtu -> cell -> helper -> [value]
        self.failures = []  # (helper, mtu, message)

    def add(self, mtu, cell, helper, value):
        if value is not None:
            self.samples.setdefault(mtu, {}).setdefault(cell, {}).setdefault(helper, []).append(value)

    def fail(self, helper, mtu, message):
        self.failures.append({"helper": helper, "mtu": mtu, "message": message})

    def add_best(self, name, of):
        """One more column: in each cell the values of that one of the helpers `of` whose median is the best."""
        for cells in self.samples.values():
            for cell, values in list(cells.items()):
                found = [values[one] for one in of if values.get(one)]
                if found:
                    choose = max if self.cells[cell][3] else min
                    values[name] = choose(found, key=statistics.median)

    def as_json(self):
        medians = {mtu: {cell: {helper: statistics.median(values) for helper, values in helpers.items()}
                         for cell, helpers in cells.items()} for mtu, cells in self.samples.items()}
        units = {cell: words[4] for cell, words in self.cells.items()}
        return {"machine": self.machine, "units": units, "medians": medians, "samples": self.samples,
                "failures": self.failures}

    def table(self, helpers):
        """helpers: names, the one to be judged first."""
        lines = [" · ".join(str(v) for v in self.machine.values())]
        first = helpers[0]
        for mtu, cells in self.samples.items():
            heads = [f"{name} (min..max)" for name in helpers] + [f"{first} / {peer}" for peer in helpers[1:]]
            rows = [[f"MTU {mtu}", *heads]]
            for cell, (title, unit, factor, more_is_better, _) in self.cells.items():
                if cell not in cells:
                    continue
                row = [f"{title} [{unit}]" + ("" if more_is_better else " (less is better)")]
                row += [_spread(cells[cell].get(name), factor) for name in helpers]
                row += [_ratio(cells[cell].get(first), cells[cell].get(peer)) for peer in helpers[1:]]
                rows.append(row)
            lines += ["", *aligned(rows)]
        lines += [f"FAILED: {f['helper']} at MTU {f['mtu']}: {f['message']}" for f in self.failures]
        return "\n".join(lines)


def _spread(values, factor):
    if not values:
        return "-"
    scaled = [value * factor for value in values]
    return f"{short(statistics.median(scaled))} ({short(min(scaled))}..{short(max(scaled))})"


def _ratio(ours, peers):
    if not ours or not peers or statistics.median(peers) == 0:
        return "-"
    return f"{statistics.median(ours) / statistics.median(peers):.2f}"


def short(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                      for i, (text, width) in enumerate(zip(row, widths))) for row in rows]


def machine(helpers):
    """Where and with what this was measured. helpers: name -> version line."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cpu": f"{os.cpu_count()} x {model}",
            "kernel": f"Linux {platform.release()}", "load": f"load {os.getloadavg()[0]:.1f} at the start",
            **{name: version for name, version in helpers.items()}}
