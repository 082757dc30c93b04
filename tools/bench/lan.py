# SPDX-License-Identifier: BSD-3-Clause
"""A client on the host's LAN: a network namespace behind a veth, and a runner in it that does what the bench tells it.

The bench measures as an ordinary user, who may not enter a namespace of the host's root; so the runner is started before, by that root
(build), and takes its orders over a socket (Lan). It ends with the bench's pid namespace.
"""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

# 192.0.2.0/24: TEST-NET-1 of RFC 5737.
HOST_ADDRESS, CLIENT_ADDRESS = "192.0.2.1", "192.0.2.9"
_SLACK = 10  # seconds beyond a command's own patience, for the runner's answer


def build():
    """As the host's root: the veth, the namespace, the runner. Returns the descriptor of its socket, inheritable."""
    ours, its = socket.socketpair()
    runner = subprocess.Popen(["unshare", "--net", "python3", str(Path(__file__).resolve()), str(its.fileno())],
                              pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    lan = Lan(ours.fileno())
    lan.run(["true"], _SLACK)  # it answers: the namespace is there
    for command in (f"ip link add lan0 type veth peer name eth0 netns {runner.pid}", f"ip address add {HOST_ADDRESS}/24 dev lan0", "ip link set lan0 up"):
        subprocess.run(command.split(), check=True)
    for command in ("ip link set lo up", f"ip address add {CLIENT_ADDRESS}/24 dev eth0", "ip link set eth0 up",
                    f"ip route add default via {HOST_ADDRESS}"):
        done = lan.run(command.split(), _SLACK)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")
    # Connections of `crr` stay in TIME_WAIT: room for them.
    lan.run(["sh", "-c", "echo 10000 65000 > /proc/sys/net/ipv4/ip_local_port_range"], _SLACK)
    fd = os.dup(ours.fileno())
    os.set_inheritable(fd, True)
    ours.detach()
    return fd


class Lan:
    """Runs commands in the namespace, one at a time."""

    def __init__(self, fd):
        self._stream = socket.socket(fileno=os.dup(fd)).makefile("rw", encoding="utf-8")

    def run(self, command, timeout):
        self._stream.write(json.dumps({"command": command, "timeout": timeout}) + "\n")
        self._stream.flush()
        answer = json.loads(self._stream.readline())
        if answer.get("late"):
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, answer["code"], answer["out"], answer["err"])


def _serve(fd):
    with socket.socket(fileno=fd) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            order = json.loads(line)
            try:
                done = subprocess.run(order["command"], capture_output=True, text=True, timeout=order["timeout"], check=False)
                answer = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
            except subprocess.TimeoutExpired:
                answer = {"late": True}
            stream.write(json.dumps(answer) + "\n")
            stream.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
