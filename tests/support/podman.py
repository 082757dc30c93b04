# SPDX-License-Identifier: BSD-3-Clause
"""Podman as the lab's user runs it, with a helper of our choice."""

import functools
import json

from tests.support import clients
from tests.support.clients import ClientTestCase

IMAGE = "localhost/busybox"


@functools.cache
def import_image():
    clients.run("podman", "import", clients.image(), IMAGE)


def podman(*arguments, binary=clients.OURS, check=True, timeout=clients.CLIENT, env=None):
    return clients.run("podman", *arguments, binary=binary, check=check, timeout=timeout, env=env)


class PodmanTestCase(ClientTestCase):
    tools = (("podman", "podman"), ("crun", "crun"), ("conmon", "conmon"))

    def setUp(self):
        super().setUp()
        import_image()

    def run_container(self, binary, network, *options, command=("sleep", "infinity"), name="guest"):
        """Runs until remove(); returns its network namespace."""
        self.addCleanup(self.remove, name)
        podman("run", "--detach", "--name", name, "--network", network, *options, IMAGE, *command, binary=binary)
        return self.container(int(podman("inspect", "--format", "{{.State.Pid}}", name).stdout))

    @staticmethod
    def remove(*names):
        podman("rm", "--force", "--ignore", "--time", "0", *names)

    @staticmethod
    def in_container(*command, name="guest", check=True):
        return podman("exec", name, *command, check=check)

    def resolv_conf(self, guest):
        with open(f"/proc/{guest.pid}/root/etc/resolv.conf", encoding="ascii") as file:
            return file.read()

    @staticmethod
    def info():
        return json.loads(podman("info", "--format", "json").stdout)


def options_of(helper):
    """The helper's command line as the client wrote it, without what differs between two containers."""
    words = clients.command_line(helper)[1:]
    for option in ("--netns-type=path", "--api-socket"):
        if option in words:
            words[words.index(option) + 1] = "PATH"
    return words


def interface(guest, name="tap0"):
    """What a container sees of it. Its MAC address is random. slirp4netns takes the flag MULTICAST away, to no use."""
    link = guest.link(name)
    ipv4 = [a for a in link["addr_info"] if a["family"] == "inet"]
    return {"mtu": link["mtu"], "flags": sorted(set(link["flags"]) - {"MULTICAST"}), "operstate": link["operstate"],
            "kind": link["linkinfo"]["info_kind"],
            "ipv4": [(a["local"], a["prefixlen"], a.get("broadcast"), a["scope"]) for a in ipv4]}


def routes(guest, family="-4"):
    """All routes but the kernel's local ones; no metric, lifetimes or preferences."""
    return sorted((r["dst"], r.get("gateway"), r["dev"], r.get("scope"), r.get("prefsrc"))
                  for r in guest.ip(family, "route", "show") if r.get("type", "unicast") == "unicast")
