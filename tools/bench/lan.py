# SPDX-License-Identifier: BSD-3-Clause
"""A machine on the host's LAN: a network namespace behind a veth, and a runner in it that does what the bench tells it.

The bench measures as an ordinary user, who may not enter a namespace of the host's root; so the runner is started before, by that root
(build), and takes its orders over a socket (Lan). It ends with the bench's pid namespace.
"""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import world

# 192.0.2.0/24: TEST-NET-1 of RFC 5737.
HOST_ADDRESS, CLIENT_ADDRESS = "192.0.2.1", "192.0.2.9"
# 203.0.113.0/24: TEST-NET-3. The host sends it to the LAN's machine, which has no such address and forwards nothing: no answer, ever.
DARK_ADDRESS = "203.0.113.66"
_SLACK = 10  # seconds beyond a command's own patience, for the runner's answer


def build():
    """As the host's root: the veth, the namespace, the runner. Returns the descriptor of its socket, inheritable."""
    ours, its = socket.socketpair()
    runner = subprocess.Popen(["unshare", "--net", "python3", str(Path(__file__).resolve()), str(its.fileno())],
                              pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    lan = Lan(ours.fileno())
    lan.run(["true"], _SLACK)  # it answers: the namespace is there
    for command in (f"ip link add lan0 type veth peer name eth0 netns {runner.pid}", f"ip address add {HOST_ADDRESS}/24 dev lan0", "ip link set lan0 up",
                    f"ip route add {DARK_ADDRESS}/32 via {CLIENT_ADDRESS}"):
        subprocess.run(command.split(), check=True)
    for command in ("ip link set lo up", f"ip address add {CLIENT_ADDRESS}/24 dev eth0", "ip link set eth0 up",
                    f"ip route add default via {HOST_ADDRESS}"):
        done = lan.run(command.split(), _SLACK)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")
    lan.run(["sh", "-c", world.ROOM_FOR_TIME_WAIT], _SLACK)
    fd = os.dup(ours.fileno())
    os.set_inheritable(fd, True)
    ours.detach()
    return fd


class Lan:
    """Runs commands in the namespace, one at a time; what is started stays until the runner ends."""

    def __init__(self, fd):
        self._stream = socket.socket(fileno=os.dup(fd)).makefile("rw", encoding="utf-8")

    def _ask(self, order):
        self._stream.write(json.dumps(order) + "\n")
        self._stream.flush()
        return json.loads(self._stream.readline())

    def start(self, command):
        """Starts it; gives its pid and the first line that it writes."""
        answer = self._ask({"start": command})
        return answer["pid"], answer["line"]

    def run(self, command, timeout):
        answer = self._ask({"command": command, "timeout": timeout})
        if answer.get("late"):
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, answer["code"], answer["out"], answer["err"])


def _run(order):
    try:
        done = subprocess.run(order["command"], capture_output=True, text=True, timeout=order["timeout"], check=False)
    except subprocess.TimeoutExpired:
        return {"late": True}
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def _serve(fd):
    started = []  # with their standard input: they end when it does
    with socket.socket(fileno=fd) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            order = json.loads(line)
            if "start" in order:
                started.append(subprocess.Popen(order["start"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                answer = {"pid": started[-1].pid, "line": started[-1].stdout.readline()}
            else:
                answer = _run(order)
            stream.write(json.dumps(answer) + "\n")
            stream.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
