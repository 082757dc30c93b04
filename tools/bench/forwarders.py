# SPDX-License-Identifier: BSD-3-Clause
"""What is compared by bench-forward: each leads HOST_PORT of the host, TCP and UDP, to GUEST_PORT of a guest.

A forwarder's session(mtu) is a context: inside it the forward is there, and `session` is what the server is to be started through.
The references have no guest: their server is on the host.
"""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import control
import helpers
import world

HOST_PORT, GUEST_PORT = 9080, 8080  # below the local ports of world.py, which a client may have taken
GUEST = "10.0.2.100"
_DEADLINE = 15  # seconds, for what a helper is asked


class _Attached:
    """A helper of helpers.py on a fresh guest."""
    port = HOST_PORT
    udp = True

    @contextlib.contextmanager
    def session(self, mtu):
        with tempfile.TemporaryDirectory(prefix="bench.") as directory, world.Guest() as guest:
            self.control = f"{directory}/control"
            try:
                self.start(guest.pid, mtu)
                self.publish()
                yield guest.within
            finally:
                self.stop()

    def publish(self):
        """For those that are told after their start."""

    def path(self):
        """How it carries the forward's TCP, if it can tell."""
        return None


class NetnsHelper(_Attached, control.Told, helpers.NetnsHelper):
    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        return [self.program, "--pid", str(guest_pid), "--mtu", str(mtu), "--ready-fd", str(ready_fd), "--api-socket", self.control,
                "--forward", f"0.0.0.0:{HOST_PORT}:{GUEST_PORT}", "--forward", f"0.0.0.0:{HOST_PORT}:{GUEST_PORT}/udp", "tap0"]

    def path(self):
        rules = self.told("forward.list", "rules")
        if rules is None:
            return "not told"
        paths = {listener["path"] + (f" ({listener['reason']})" if listener.get("reason") else "")
                 for rule in rules for listener in rule["listeners"] if listener.get("proto", "tcp") == "tcp"}
        return ", ".join(sorted(paths))


class Slirp4netns(_Attached, helpers.Slirp4netns):
    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        return [self.program, "--configure", f"--mtu={mtu}", f"--ready-fd={ready_fd}", "--api-socket", self.control, str(guest_pid), "tap0"]

    def publish(self):
        for proto in ("tcp", "udp"):
            control.ask(self.control, {"execute": "add_hostfwd", "arguments": {
                "proto": proto, "host_addr": "0.0.0.0", "host_port": HOST_PORT, "guest_addr": GUEST, "guest_port": GUEST_PORT}})


class Pasta(_Attached, helpers.Pasta):
    """Clients on the host's loopback take its splice path, others its TAP."""

    def command(self, guest_pid, mtu, ready_fd, ipv4_only):
        forward = f"{HOST_PORT}:{GUEST_PORT}"
        return [self.program, "--quiet", "--config-net", "--ipv4-only", "-a", GUEST, "-n", "24", "-g", "10.0.2.2", "-m", str(mtu),
                "-t", forward, "-u", forward, "-T", "none", "-U", "none", "-P", str(self.pid_file), str(guest_pid)]


_MAP = """#!/bin/sh
[ {file} = uid_map ] || echo deny >/proc/$1/setgroups
echo "$2 $3 1" >/proc/$1/{file}
"""


class RootlessKit(helpers.Helper):
    """Its builtin port driver. It makes the guest itself, with slirp4netns as its network, which the driver does not use.

    newuidmap is not set-user-ID in here; in its place a script maps the one id that anybody may map."""
    name = "rootlesskit"
    port = HOST_PORT
    udp = True

    @contextlib.contextmanager
    def session(self, mtu):
        with tempfile.TemporaryDirectory(prefix="bench.") as directory:
            for tool, file in (("newuidmap", "uid_map"), ("newgidmap", "gid_map")):
                Path(f"{directory}/{tool}").write_text(_MAP.format(file=file))
                os.chmod(f"{directory}/{tool}", 0o755)
            self.log = tempfile.TemporaryFile("w+")
            forward = f"0.0.0.0:{HOST_PORT}:{GUEST_PORT}"
            command = [self.program, "--net=slirp4netns", f"--mtu={mtu}", "--copy-up=/etc", "--disable-host-loopback",
                       f"--state-dir={directory}/state", "--port-driver=builtin", "-p", f"{forward}/tcp", "-p", f"{forward}/udp",
                       "sh", "-c", "echo up; exec sleep 100000"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                            env=dict(os.environ, PATH=f"{directory}:{world.PATH}", XDG_RUNTIME_DIR=directory, USER="user"))
            try:
                if self.process.stdout.readline() != "up\n":
                    raise world.BenchError(f"rootlesskit did not start: {self.log_text()}")
                child = self._child(Path(f"{directory}/state/child_pid"))
                yield lambda words: world.within(child, words)
            finally:
                self.process.stdout.close()
                self.stop()

    @staticmethod
    def _child(file):
        """The command may be there before the file that names its namespaces' process."""
        end = time.monotonic() + _DEADLINE
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                if text := file.read_text():
                    return int(text)
            time.sleep(0.01)
        raise world.BenchError("rootlesskit does not tell its child")

    def path(self):
        return None


class _Reference:
    """On the host itself; `session` gives the words unchanged."""
    udp = False

    def path(self):
        return None

    def version(self):
        return self.name


class Direct(_Reference):
    """No helper at all."""
    name = "direct"
    port = GUEST_PORT
    udp = True

    @contextlib.contextmanager
    def session(self, _mtu):
        yield lambda words: words

    def cpu_seconds(self):
        return None

    def log_text(self):
        return "(no helper)"


class BareRelay(_Reference, helpers.Helper):
    """bench-bare-relay: the least that a relay can be."""
    port = HOST_PORT
    BEST = "best bare relay"
    KINDS = ("splice", "copy")
    NAMES = tuple(f"bare {kind}" for kind in KINDS)

    def __init__(self, program, kind):
        helpers.Helper.__init__(self, program)
        self.kind, self.name = kind, f"bare {kind}"

    @contextlib.contextmanager
    def session(self, _mtu):
        with self.leading_to("127.0.0.1", GUEST_PORT):
            yield lambda words: words

    @contextlib.contextmanager
    def leading_to(self, address, port):
        """From HOST_PORT to there."""
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([self.program, self.kind, "--listen", str(HOST_PORT), "--to", str(port), "--at", address],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        try:
            if self.process.stdout.readline() != "ready\n":
                raise world.BenchError(f"the bare relay did not start: {self.log_text()}")
            yield
        finally:
            self.process.stdin.close()
            self.process.stdout.close()
            self.stop()


PEERS = {"slirp4netns": Slirp4netns, "pasta": Pasta, "rootlesskit": RootlessKit}


def find_peers(names, more, kinds=None):
    """The peers of these names that are installed; several of one name if PATH has several. more: name -> path of others.
    kinds: name -> class, else PEERS."""
    found = []
    for name in names:
        # Not the program's own real path: pasta is passt by another name. /bin is /usr/bin on most systems.
        directories = dict.fromkeys(os.path.realpath(directory) for directory in world.PATH.split(":"))
        programs = [path for directory in directories if (path := shutil.which(name, path=directory))]
        programs += [path for wanted, path in more if wanted == name]
        if not programs:
            print(f"{Path(sys.argv[0]).name}: {name} is not installed: left out", flush=True)
        for number, program in enumerate(programs):
            peer = (kinds or PEERS)[name](program)
            if number:
                peer.name = f"{name} {program}"
            found.append(peer)
    return found


def wait_gone(port, deadline=_DEADLINE):
    """Until nobody listens there any longer: the next one wants the port."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.02)
    raise world.BenchError(f"port {port} is still taken")
