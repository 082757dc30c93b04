# SPDX-License-Identifier: BSD-3-Clause
"""Guest: a process of the lab's user in a user and network namespace of its own, and what a test does in there."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import time

from tests.support import kernel
from tests.support.lab import USER

DEADLINE = 20.0  # s; generous: for what must happen, never for what must not
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR = 0x1, 0x2, 0x1000, 0x100, 0x4000


class Guest:
    """`unshare -Urn sleep infinity`, or another command that ends in a process that stays."""

    def __init__(self, id_map=None, command=None, user=USER):
        """id_map: None for unshare -r; else lines of uid_map and gid_map that the lab's root writes; "" for no map at all."""
        self.user = user
        if command is None:
            map_option = "-Urn" if id_map is None else "-Un"
            command = ["unshare", map_option, "sh", "-c", "echo; exec sleep infinity"]
        self.process = subprocess.Popen(command, user=user, group=user, extra_groups=[], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, start_new_session=True)
        if not self.process.stdout.readline():
            raise RuntimeError(f"guest did not start: {command}")
        self.pid = self.process.pid
        if command[-1].endswith("exec sleep infinity"):
            self._await_exec("sleep")
        if id_map:
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{self.pid}/{name}", "w", encoding="ascii") as file:
                    file.write(id_map)
        self._netns = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def _await_exec(self, name):
        """Amid execve(2) a process is not dumpable, and its files in /proc are for the host's root only."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with open(f"/proc/{self.pid}/comm", encoding="utf-8") as file:
                if file.read().strip() == name:
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the guest does not become {name}")
            time.sleep(0.0005)

    @classmethod
    def of_pid(cls, pid, process):
        """A guest that another program (bwrap) has made."""
        self = cls.__new__(cls)
        self.user, self.process, self.pid = USER, process, pid
        self._netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return self

    def netns_fd(self):
        return self._netns

    def netns(self):
        return kernel.in_netns(self._netns)

    def kill(self):
        """Ends the process; our own fd still holds the namespace."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)

    def close(self):
        self.kill()
        self.process.stdout.close()
        if self._netns >= 0:
            os.close(self._netns)
            self._netns = -1

    # ---- what a test does in the guest ----
    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0, timeout=DEADLINE):
        with self.netns():
            result = socket.socket(family, kind, protocol)
        result.settimeout(timeout)
        return result

    def connect(self, address, port, timeout=DEADLINE):
        return self._connected(self.socket(_family(address), timeout=timeout), address, port)

    @staticmethod
    def _connected(result, address, port):
        try:
            result.connect((address, port))
        except OSError:
            result.close()
            raise
        return result

    def udp(self, address, port, timeout=DEADLINE):
        return self._connected(self.socket(_family(address), socket.SOCK_DGRAM, timeout=timeout), address, port)

    def listen(self, address, port=0):
        result = self.socket(_family(address))
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result.bind((address, port))
        result.listen(64)
        return result

    def run(self, *command, check=True, timeout=DEADLINE):
        with self.netns():
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def ip(self, *arguments):
        """`ip -json ...` as Python values."""
        text = self.run("ip", "-json", "-details", *arguments).stdout
        return json.loads(text) if text.strip() else []

    def link(self, name="tap0"):
        found = [link for link in self.ip("address", "show") if link["ifname"] == name]
        return found[0] if found else None

    def addresses(self, name="tap0"):
        """(address, prefix length) without the kernel's own link-local ones, sorted."""
        link = self.link(name)
        return sorted((a["local"], a["prefixlen"]) for a in link["addr_info"] if a["scope"] != "link")

    def ping(self, address, count=1, wait=5):
        return self.run("ping", "-n", "-c", str(count), "-i", "0.2", "-W", str(wait), address, check=False)

    # ---- TAPs of the guest's own ----
    def open_tap(self, name="tap0", flags=IFF_TAP | IFF_NO_PI, persist=False):
        with self.netns():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
                if persist:
                    fcntl.ioctl(fd, _TUNSETPERSIST, 1)
            except OSError:
                os.close(fd)
                raise
        return fd


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET
