# SPDX-License-Identifier: BSD-3-Clause
"""What a running helper tells about itself on its control socket."""
import contextlib
import json
import socket

import world

_DEADLINE = 15  # seconds, for what a helper is asked
_KEPT_PIPES = 8  # limits::relay_idle_pipes of the main loop


def ask(path, request):
    """One request to a control socket; its whole answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(_DEADLINE)
        control.connect(path)
        control.sendall(json.dumps(request).encode())
        control.shutdown(socket.SHUT_WR)
        text = b""
        while data := control.recv(65536):
            text += data
    answer = json.loads(text)
    if "error" in answer:
        raise world.BenchError(f"{request['execute']}: {answer['error']}")
    return answer


class Told:
    """Mixed into netns-helper, whose socket is at self.control. Each gives None where the program does not tell."""

    def told(self, command, *members):
        with contextlib.suppress(world.BenchError, KeyError):
            value = ask(self.control, {"execute": command, "id": 1})["return"]
            for member in members:
                value = value[member]
            return value
        return None

    def turns(self):
        """Loop turns so far."""
        return self.told("stats", "loop", "turns")

    def capacity(self):
        """How many relays it allows at once."""
        return self.told("info", "limits", "relays")

    def relay_descriptors(self):
        """Those that its relays, their listeners and pipes have at present, but for the pipes that it keeps for the next bulk flow."""
        used, pipes = (self.told("stats", "limits", what, "used") for what in ("relay_fds", "relay_pipes"))
        return None if None in (used, pipes) else used - 2 * min(pipes, _KEPT_PIPES)

    def flows_opened(self):
        """path -> how many flows so far took it."""
        return self.told("stats", "flows", "opened") or {}

    def kernel_path(self):
        """Whether the guest's IPv4 connections take it now."""
        return self.told("stats", "kernel_path", "ipv4")

    def why_no_kernel_path(self):
        return self.told("info", "kernel_path", "reason") or "not told"
