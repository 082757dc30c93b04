# SPDX-License-Identifier: BSD-3-Clause
"""The helpers that are compared: how each is started, when it is ready, and what it uses."""
import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from world import PATH, BenchError

START_DEADLINE = 15  # seconds; a slow machine starts each of them in well under one
STOP_DEADLINE = 10
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def _processes():
    """pid -> (parent, state, CPU ticks) of every process that can be seen."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        found[int(entry.name)] = (int(fields[1]), fields[0], int(fields[11]) + int(fields[12]))
    return found


@contextlib.contextmanager
def one_processor(pids):
    """These processes, with all their threads, and this one with the children it makes meanwhile, on one processor."""
    before = os.sched_getaffinity(0)
    threads = [int(thread) for pid in [os.getpid(), *pids] for thread in os.listdir(f"/proc/{pid}/task")]
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {max(before)})
        yield
    finally:
        for thread in threads:
            os.sched_setaffinity(thread, before)


class Helper:
    """One started helper. Subclasses say its command line; the default way to be ready is a byte on a pipe."""
    name = ""

    def __init__(self, program):
        self.program = program
        self.process = None
        self.log = None

    def version(self):
        output = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=10, check=False)
        return (output.stdout or output.stderr).splitlines()[0].strip()

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        raise NotImplementedError

    def start(self, guest_pid, mtu, ipv4_only=False):
        """Starts it on the guest and waits until it is ready. Returns the seconds from fork to ready."""
        self.log = tempfile.TemporaryFile("w+")
        read_end, write_end = os.pipe()
        try:
            begin = time.monotonic()
            self.process = subprocess.Popen(
                self.command(guest_pid, mtu, write_end, ipv4_only), pass_fds=[write_end], env=dict(os.environ, PATH=PATH),
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            os.close(write_end)
            write_end = -1
            took = self._wait_ready(read_end, begin)
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
        return took

    def _wait_ready(self, read_end, begin):
        readable, _, _ = select.select([read_end], [], [], START_DEADLINE)
        byte = os.read(read_end, 1) if readable else b""
        took = time.monotonic() - begin
        if not byte:
            raise BenchError(f"{self.name} did not become ready: {self.log_text()}")
        return took

    def log_text(self):
        self.log.seek(0)
        return " | ".join(self.log.read().strip().splitlines()[-5:]) or "(it said nothing)"

    def main_pid(self):
        return self.process.pid

    def tree(self):
        """pid -> CPU ticks of the helper's process and all its descendants."""
        processes = _processes()
        family = {self.main_pid()}
        while True:
            more = {pid for pid, (parent, _, _) in processes.items() if parent in family} - family
            if not more:
                break
            family |= more
        return {pid: processes[pid][2] for pid in family if pid in processes and processes[pid][1] != "Z"}

    def cpu_seconds(self):
        return sum(self.tree().values()) / TICKS

    def memory_kib(self):
        """RSS and PSS of all its processes; PSS is None where the kernel does not show it to us (a process that is not dumpable)."""
        resident, proportional = 0, 0
        for pid in self.tree():
            resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                proportional += int(rollup.partition("\nPss:")[2].split()[0])
            except (OSError, IndexError):
                proportional = None
                break
        if proportional is None:
            resident = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB for pid in self.tree())
        return resident, proportional

    def descriptors(self):
        """Open files of all its processes; None where the kernel does not show them to us."""
        try:
            return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.tree())
        except PermissionError:
            return None

    def stop(self):
        if self.process is None:
            return
        self._end()
        self.log.close()
        self.process = None

    def _end(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class NetnsHelper(Helper):
    name = "netns-helper"

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        return [self.program, "--pid", str(guest_pid), "--mtu", str(mtu), "--allow-host-loopback",
                "--ready-fd", str(ready_fd), *(["--no-ipv6"] if ipv4_only else []), "tap0"]


class Slirp4netns(Helper):
    name = "slirp4netns"

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        return [self.program, "--configure", f"--mtu={mtu}", f"--ready-fd={ready_fd}", str(guest_pid), "tap0"]


class Pasta(Helper):
    """pasta goes into the background when it is ready; then the pid file names the process that serves."""
    name = "pasta"

    def __init__(self, program):
        super().__init__(program)
        self.pid_file = Path(tempfile.gettempdir()) / f"netns-helper-bench-pasta-{os.getuid()}-{time.time_ns()}.pid"
        self.pid = self.pidfd = None

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        return [self.program, "--quiet", "--config-net", "--ipv4-only", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2",
                "-m", str(mtu), "-t", "none", "-u", "none", "-T", "none", "-U", "none", "-P", str(self.pid_file), str(guest_pid)]

    def _wait_ready(self, read_end, begin):
        status = self.process.wait(START_DEADLINE)
        took = time.monotonic() - begin
        if status != 0:
            raise BenchError(f"pasta did not become ready: {self.log_text()}")
        pid = int(self.pid_file.read_text())
        self.pidfd = os.pidfd_open(pid)
        self.pid = pid
        self.pid_file.unlink()
        return took

    def main_pid(self):
        return self.pid

    def _end(self):
        if self.pid is None:
            self.process.kill()
            self.process.wait()
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)
        select.select([self.pidfd], [], [], STOP_DEADLINE)
        os.close(self.pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # as pid 1 we are its parent now
        self.pid = None


PEERS = {"slirp4netns": Slirp4netns, "pasta": Pasta}
