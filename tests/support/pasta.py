# SPDX-License-Identifier: BSD-3-Clause
"""Pasta: one run of the packaged pasta beside a guest, without any forward."""

import signal
import subprocess

from tests.support.guest import DEADLINE
from tests.support.helper import HelperFailed
from tests.support.lab import USER, USER_DIR
from tests.support.process import Process
from tests.support.skip import need_tool


class Pasta:
    """It goes into the background when it is ready; then a pid file names the process that serves."""

    _count = 0

    def __init__(self, guest, *options):
        Pasta._count += 1
        pid_file = f"{USER_DIR}/pasta-{Pasta._count}.pid"
        command = [need_tool("pasta", "passt"), "--quiet", "--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
                   "-P", pid_file, *options, str(guest.pid)]
        done = subprocess.run(command, user=USER, group=USER, extra_groups=[], capture_output=True, text=True, timeout=DEADLINE, cwd="/",
                              check=False)
        if done.returncode != 0:
            raise HelperFailed(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        with open(pid_file, encoding="ascii") as file:
            self._process = Process(int(file.read()))
        self.pid = self._process.pid

    def close(self):
        with self._process:
            self._process.signal(signal.SIGTERM)
            if not self._process.wait():
                raise HelperFailed(f"pasta {self.pid} does not end at SIGTERM")
