# SPDX-License-Identifier: BSD-3-Clause
"""The lab: a "host" of its own for a test program, so that nothing can ever leave the machine.

enter() forks: the caller's process waits outside; a child makes a user, network, mount, pid, ipc and uts namespace, and the
test goes on in there, as the lab's root (the outside user has no privilege at all: only newuidmap's subordinate ids).
The helper and its guests run as the lab's user 1000, who is an ordinary user there. When the test ends, or is killed, the
pid namespace goes and every process with it.

    LAN client 192.168.77.9, fd77::9 --- lan0 .1 [lab = host] wan0 198.51.100.1, 2001:db8:1::1 --- "internet" 198.51.100.254,
    203.0.113.53/.54/.80, 2001:db8:80::53/::54/::80, 169.254.169.254

The lab's root is an ancestor of every guest's user namespace, so a thread of the test may step into any network namespace,
make a socket there and step back (kernel.in_netns): both ends of every exchange are sockets of one process.
"""

import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time

from tests.support import kernel
from tests.support.process import Process
from tests.support.skip import CannotRun

USER = 1000
RUN = "/run/lab"
USER_DIR = f"{RUN}/user"
HELPER = f"{RUN}/netns-helper"

HOST_LAN4, HOST_LAN6 = "192.168.77.1", "fd77::1"
LAN4, LAN6 = "192.168.77.9", "fd77::9"
HOST_WAN4, HOST_WAN6 = "198.51.100.1", "2001:db8:1::1"
WAN4, WAN6 = "198.51.100.254", "2001:db8:1::fe"
SERVICE4, SERVICE6 = "203.0.113.80", "2001:db8:80::80"
DNS4, DNS4_OTHER, DNS6 = "203.0.113.53", "203.0.113.54", "2001:db8:80::53"
METADATA = "169.254.169.254"

_KEPT_OF_ETC = ("ld.so.cache", "ld.so.conf", "nsswitch.conf", "protocols", "services", "host.conf", "gai.conf",
                "alternatives", "localtime", "python3", "python3.11")
_LIFETIME = 900  # s; a hanging test program is ended from outside after this


def _id_range(name):
    """The caller's subordinate ids: (first, count)."""
    user = pwd.getpwuid(os.getuid()).pw_name
    try:
        with open(f"/etc/{name}", encoding="ascii") as lines:
            for line in lines:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in (user, str(os.getuid())) and int(fields[2]) > USER:
                    return int(fields[1]), min(int(fields[2]), 65535)
    except FileNotFoundError:
        pass
    raise CannotRun(f"{user} has no range of more than {USER} ids in /etc/{name} (useradd gives one)")


def _map_ids(pid):
    if os.geteuid() == 0:
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write("0 0 65536\n")
        return
    for tool, name, own in (("newuidmap", "subuid", os.getuid()), ("newgidmap", "subgid", os.getgid())):
        first, count = _id_range(name)
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is not installed (package uidmap)")
        subprocess.run([tool, str(pid), "0", str(own), "1", "1", str(first), str(count)], check=True)


def enter(user_namespace=True):
    """Returns only inside the lab. The outside process exits with the test's exit code."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.die_with_parent(signal.SIGKILL)
            kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC |
                           kernel.CLONE_NEWUTS | (kernel.CLONE_NEWUSER if user_namespace else 0))
            os.write(ready_write, b"1")
            if os.read(go_read, 1) != b"1":
                os._exit(1)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            os.setgroups([])
            for fd in (ready_read, ready_write, go_read, go_write):
                os.close(fd)
        except OSError as error:
            print(f"lab: {error}", file=sys.stderr)
            os._exit(1)
        _become_init()
        return
    os.close(ready_write)
    problem = None
    if os.read(ready_read, 1) != b"1":
        problem = "user namespaces cannot be made here"
    elif user_namespace:
        try:
            _map_ids(child)
        except (CannotRun, OSError, subprocess.CalledProcessError) as error:
            problem = str(error)
    os.write(go_write, b"0" if problem else b"1")
    with Process(child) as inside:
        signal.signal(signal.SIGTERM, lambda *_: inside.signal(signal.SIGKILL))
        if not inside.wait(_LIFETIME):
            print(f"lab: not done after {_LIFETIME} s: killed", file=sys.stderr)
            inside.signal(signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if problem:
        raise CannotRun(problem)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _become_init():
    """The first child after unshare is the pid namespace's init: it reaps; the test is its child."""
    init = os.fork()
    if init != 0:
        status = os.waitpid(init, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent(signal.SIGKILL)
    test = os.fork()
    if test == 0:
        _prepare()
        return
    while True:
        pid, status = os.wait()
        if pid == test:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _bind(source, target):
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        with open(target, "a", encoding="ascii"):
            pass
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)


def _prepare():
    # A shell that has us in the background of a script ignores them, and what we test would leave them so.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    for path, what in (("/proc/sys/net/ipv6", "IPv6"), (f"/proc/self/task/{os.getpid()}/children", "lists of children (CONFIG_PROC_CHILDREN)")):
        if not os.path.exists(path):
            raise CannotRun(f"the kernel has no {what}")
    helper = os.environ.get("NETNS_HELPER")
    if not helper:
        raise CannotRun("NETNS_HELPER does not name the helper's binary")
    with open(helper, "rb") as file:  # held while /run may be covered
        kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
        os.makedirs(RUN)
        # By its fd: the path may lead through a home that only its owner may enter.
        _bind(f"/proc/self/fd/{file.fileno()}", HELPER)
    os.makedirs(USER_DIR, 0o700)
    os.chown(USER_DIR, USER, USER)
    _make_etc()
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME=USER_DIR, LC_ALL="C")
    os.environ.pop("XDG_RUNTIME_DIR", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))


def _make_etc():
    """An /etc of the lab's own, a directory that can be written, so that resolv.conf can be replaced by rename."""
    etc = f"{RUN}/etc"
    os.makedirs(etc)
    for name in _KEPT_OF_ETC:
        path = f"/etc/{name}"
        if os.path.isdir(path):
            shutil.copytree(path, f"{etc}/{name}", symlinks=True)
        elif os.path.exists(path):
            shutil.copy(path, f"{etc}/{name}")
    files = {
        "passwd": f"root:x:0:0:root:/root:/bin/sh\nuser:x:{USER}:{USER}::{USER_DIR}:/bin/sh\n",
        "group": f"root:x:0:\nuser:x:{USER}:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "resolv.conf": f"nameserver {DNS4}\n",
    }
    for name, text in files.items():
        with open(f"{etc}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    kernel.mount(etc, "/etc", flags=kernel.MS_BIND)


def _ip(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True, timeout=30)


class Lab:
    """The networks of the lab. One a process; made after enter()."""

    _only = None

    @classmethod
    def get(cls):
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def __init__(self):
        self.host = kernel.open_own_netns()
        self.lan = kernel.new_netns()
        self.internet = kernel.new_netns()
        with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="ascii") as file:
            file.write("0 65535\n")  # ids above are not mapped in the lab
        own = f"/proc/{os.getpid()}/fd"
        try:
            _ip("link add lan0 type veth peer name wan0", "link delete lan0")
        except subprocess.CalledProcessError:
            raise CannotRun("veth interfaces cannot be made (CONFIG_VETH)") from None
        _ip("link set lo up",
            f"link add lan0 type veth peer name eth0 netns {own}/{self.lan}",
            f"link add wan0 type veth peer name eth0 netns {own}/{self.internet}",
            f"addr add {HOST_LAN4}/24 dev lan0", f"addr add {HOST_LAN6}/64 dev lan0 nodad",
            f"addr add {HOST_WAN4}/24 dev wan0", f"addr add {HOST_WAN6}/64 dev wan0 nodad",
            "link set lan0 up", "link set wan0 up",
            f"route add default via {WAN4}", f"route add default via {WAN6} dev wan0",
            f"route add {METADATA}/32 via {WAN4}")
        with kernel.in_netns(self.lan):
            _ip("link set lo up", f"addr add {LAN4}/24 dev eth0", f"addr add {LAN6}/64 dev eth0 nodad", "link set eth0 up",
                f"route add default via {HOST_LAN4}", f"route add default via {HOST_LAN6} dev eth0")
        with kernel.in_netns(self.internet):
            _ip("link set lo up", f"addr add {WAN4}/24 dev eth0", f"addr add {WAN6}/64 dev eth0 nodad",
                *(f"addr add {a}/32 dev lo" for a in (SERVICE4, DNS4, DNS4_OTHER, METADATA)),
                *(f"addr add {a}/128 dev lo nodad" for a in (SERVICE6, DNS6)), "link set eth0 up")
        self._wait_for_carrier()

    def _wait_for_carrier(self):
        """A new veth is up a moment later; until then its IPv6 routes do not count."""
        deadline = time.monotonic() + 10
        for netns in (self.host, self.lan, self.internet):
            with kernel.in_netns(netns):
                while "state DOWN" in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout:
                    if time.monotonic() > deadline:
                        raise RuntimeError("lab: a veth does not come up")
                    time.sleep(0.01)

    @staticmethod
    def write_resolv_conf(text, how="write"):
        """write: in place; rename: a new file takes the name; symlink: the name leads to another directory's file."""
        if how == "write":
            path = "/etc/resolv.conf"
        else:
            os.makedirs(f"{RUN}/resolve", exist_ok=True)
            path = "/etc/resolv.conf.new" if how == "rename" else f"{RUN}/resolve/stub-{time.monotonic_ns()}.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        if how == "symlink":
            os.symlink(path, "/etc/resolv.conf.new")
        if how != "write":
            os.rename("/etc/resolv.conf.new", "/etc/resolv.conf")
