# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of real clients share: podman and its kind run rootless inside the lab, as the lab's user.

The lab's user becomes one who can do what a real unprivileged user can: own copies of newuidmap and newgidmap, set-user-ID to
the lab's root, give out the lab's ids above the user's; /sys/fs/cgroup is an empty tmpfs (crun refuses "hybrid" mounts); /dev/shm,
$HOME, $TMPDIR and $XDG_RUNTIME_DIR are the lab's. A client's storage, pause process and mounts go with the lab.

A program takes the helper by the name slirp4netns: BINARIES leads to ours under that name, and to Debian's. CONTROLLED is ours with a
control socket, which most clients do not ask for.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
import time

from tests.support import kernel
from tests.support.case import LabTestCase
from tests.support.guest import DEADLINE, Guest
from tests.support.helper import Control, wait_until
from tests.support.lab import HELPER, RUN, USER, USER_DIR
from tests.support.process import end_all
from tests.support.skip import need_tool, sanitized, skip

OURS = f"{RUN}/libexec/slirp4netns"
CONTROLLED = f"{RUN}/controlled/slirp4netns"
DEBIANS = "/usr/bin/slirp4netns"
DISK = "/srv"  # covered by a tmpfs; not below /run, where podman's user-defined networks have a /run of their own
HOME = f"{DISK}/user"
RUNTIME_DIR = f"{USER_DIR}/runtime"
ROOTFS = f"{DISK}/rootfs"
IMAGE = f"{DISK}/image.tar"
CLIENT = DEADLINE * (9 if sanitized() else 3)  # s; a client's whole command

_HOME_FILES = {
    "containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
    "containers/registries.conf": "unqualified-search-registries = []\n",
    "containers/storage.conf": '[storage]\ndriver = "vfs"\n',
    "containers/containers.conf": '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "crun"\n'
                                  '[containers]\nlog_driver = "k8s-file"\ncgroups = "disabled"\n'
                                  '[network]\nnetwork_backend = "netavark"\n',
}
_APPLETS = ("sh", "cat", "echo", "grep", "hostname", "id", "ip", "kill", "ls", "mount", "nc", "nslookup", "ping", "ping6", "sleep",
            "true", "udhcpc", "wget")


def binaries():
    """What is compared, by name."""
    return {"slirp4netns": DEBIANS, "netns-helper": OURS}


@functools.cache
def prepare():
    """Once a program, inside the lab."""
    for tool in ("newuidmap", "newgidmap"):
        need_tool(tool, "uidmap")
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_SHARED)  # what podman expects of a host
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    if os.path.isdir("/sys/fs/cgroup"):
        kernel.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    _give_out_ids()
    os.makedirs(os.path.dirname(OURS))
    os.symlink(HELPER, OURS)
    os.makedirs(os.path.dirname(CONTROLLED))
    with open(CONTROLLED, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\nexec {OURS} --api-socket {control_path("$$")} "$@"\n')
    os.chmod(CONTROLLED, 0o755)
    if not os.path.isdir(DISK):
        skip(f"there is no {DISK} to put a tmpfs on")
    kernel.mount("tmpfs", DISK, "tmpfs", kernel.MS_NODEV, "mode=755")
    for path in (HOME, RUNTIME_DIR, f"{HOME}/tmp", f"{HOME}/.config", f"{HOME}/.config/containers"):
        os.mkdir(path, 0o700)
        os.chown(path, USER, USER)
    for name, text in _HOME_FILES.items():
        with open(f"{HOME}/.config/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _give_out_ids():
    """newuidmap of the machine is not set-user-ID in here: its owner, the machine's root, has no id."""
    suid = f"{RUN}/suid"
    os.makedirs(suid)
    kernel.mount("tmpfs", suid, "tmpfs", kernel.MS_NODEV, "mode=755")
    for tool in ("newuidmap", "newgidmap"):
        installed = os.path.realpath(shutil.which(tool))
        shutil.copyfile(installed, f"{suid}/{tool}")
        os.chmod(f"{suid}/{tool}", stat.S_ISUID | 0o755)
        kernel.mount(f"{suid}/{tool}", installed, flags=kernel.MS_BIND)
    for name, id_map in (("subuid", "uid_map"), ("subgid", "gid_map")):
        with open(f"/proc/self/{id_map}", encoding="ascii") as lines:
            end = max(int(line.split()[0]) + int(line.split()[2]) for line in lines)
        first = USER + 1000
        with open(f"/etc/{name}", "w", encoding="ascii") as file:
            file.write(f"user:{first}:{min(end, 65536) - first}\n")


@functools.cache
def rootfs():
    """A directory with busybox and little else, owned by the lab's user: a container's root."""
    busybox = need_tool("busybox", "busybox-static")
    _make_tree(busybox)
    with tarfile.open(IMAGE, "w") as tar:
        tar.add(ROOTFS, ".", filter=_owned_by_root)
    for at, directories, files in os.walk(ROOTFS):
        for name in (".", *directories, *files):
            os.chown(f"{at}/{name}", USER, USER, follow_symlinks=False)
    return ROOTFS


def image():
    """The same as a tar file, all of it root's."""
    rootfs()
    return IMAGE


def _owned_by_root(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _make_tree(busybox):
    for name in ("bin", "etc", "dev", "proc", "sys", "run", "root", "tmp"):
        os.makedirs(f"{ROOTFS}/{name}")
        os.chmod(f"{ROOTFS}/{name}", 0o1777 if name == "tmp" else 0o755)
    shutil.copyfile(busybox, f"{ROOTFS}/bin/busybox")
    os.chmod(f"{ROOTFS}/bin/busybox", 0o755)
    for applet in _APPLETS:
        os.symlink("busybox", f"{ROOTFS}/bin/{applet}")
    for name, text in {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}.items():
        with open(f"{ROOTFS}/etc/{name}", "w", encoding="ascii") as file:
            file.write(text)


def environment(binary=OURS, **more):
    """A login of the lab's user, who finds `binary` as slirp4netns before any other."""
    return {"PATH": f"{os.path.dirname(binary)}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": HOME, "USER": "user", "LOGNAME": "user",
            "LC_ALL": "C", "XDG_RUNTIME_DIR": RUNTIME_DIR, "TMPDIR": f"{HOME}/tmp", **more}


def start(*command, binary=OURS, env=None, **arguments):
    """A process of the lab's user in the lab's host, in a session of its own. Output goes where `arguments` say."""
    arguments.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command, user=USER, group=USER, extra_groups=[], cwd=HOME, start_new_session=True,
                            env=environment(binary, **(env or {})), **arguments)


def run(*command, binary=OURS, env=None, check=True, timeout=CLIENT):
    """Waits for its end. Output by files, not pipes: what the client leaves running would hold a pipe's end."""
    with open(f"{RUN}/out-{time.monotonic_ns()}", "w+", encoding="utf-8", errors="replace") as out, \
            open(f"{RUN}/err-{time.monotonic_ns()}", "w+", encoding="utf-8", errors="replace") as err:
        for file in (out, err):
            os.unlink(file.name)
        process = start(*command, binary=binary, env=env, stdout=out, stderr=err)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
        done = subprocess.CompletedProcess(command, process.returncode, *texts)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


# ---- processes ----
def _stat(path):
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def runs(pid, binary):
    """Whether a process runs this program, by its inode: a path says nothing of a process that has changed its root."""
    wanted = _stat(OURS if binary == CONTROLLED else binary)
    return wanted is not None and _stat(f"/proc/{pid}/exe") == wanted


def running(binary):
    """The pids that run this program."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and runs(name, binary)]


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def helpers(binary):
    """The helpers among them, without their agents."""
    pids = running(binary)
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if parent_of(pid) not in pids:
                found.append(pid)
    return found


def control_path(pid):
    """The control socket of a helper that was started as CONTROLLED."""
    return f"{USER_DIR}/controlled-{pid}.sock"


def outbound_flows(pid):
    """TCP flows of the guest's own that such a helper relays: those of the kernel path."""
    with Control(control_path(pid)) as control:
        reply = control.ask({"execute": "flow.list", "arguments": {}, "id": 1})
    return [flow for flow in reply["return"]["flows"] if flow["direction"] == "out" and flow["proto"] == "tcp"]


def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [word.decode(errors="replace") for word in file.read().split(b"\0")[:-1]]


class Container(Guest):
    """The network namespace of somebody's process, with Guest's ways to act in it. The process is not ours to end."""

    def __init__(self, pid):  # Guest's would start a process
        self.user, self.process, self.pid = USER, None, pid
        self._netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def kill(self):
        raise AssertionError("a client's process: its client ends it")

    def close(self):
        if self._netns >= 0:
            os.close(self._netns)
            self._netns = -1


def socket_in(netns, kind=socket.SOCK_STREAM):
    with kernel.in_netns(netns):
        result = socket.socket(socket.AF_INET, kind)
    result.settimeout(DEADLINE)
    return result


class ClientTestCase(LabTestCase):
    """A test of a client: its tools are there, and none of its helpers is left behind."""

    tools = ()  # (program, package) each

    def setUp(self):
        super().setUp()
        for name, package in self.tools:
            need_tool(name, package)
        self.need_device()
        if not os.path.exists(DEBIANS):
            skip("Debian's slirp4netns is not installed (package slirp4netns)")
        prepare()
        self.addCleanup(self._no_helper_left)

    def _no_helper_left(self):
        with contextlib.suppress(AssertionError):  # the agent of one that was killed ends a moment later
            wait_until(lambda: not any(running(binary) for binary in binaries().values()), "every helper has ended")
        left = {name: end_all(lambda pid, binary=binary: runs(pid, binary)) for name, binary in binaries().items()}
        self.assertEqual([pids for pids in left.values() if pids], [], f"helpers were left behind: {left}")

    def wait_gone(self, binary=OURS):
        """The helpers end by themselves once their client's work is over."""
        wait_until(lambda: not running(binary), f"{binary} has ended")

    def the_helper(self, binary=OURS):
        """The pid of the one helper there is: this binary, and not the other."""
        wait_until(lambda: len(helpers(binary)) == 1, lambda: f"one {binary} runs; now: {helpers(binary)}")
        for other in binaries().values():
            if other != (OURS if binary == CONTROLLED else binary):
                self.assertEqual(running(other), [], "the other binary runs")
        return helpers(binary)[0]

    def container(self, pid):
        return self._keep(Container(pid))

    def assert_kernel_path(self, helper, guest, address, port):
        """A connection of the guest's is relayed by this helper, a CONTROLLED one, once its namespace is known to it."""
        def relayed():
            with guest.connect(address, port) as connection:
                self.assert_tcp_echo(connection)
                found.append(outbound_flows(helper))
            return found[-1]

        found = []
        try:
            (flow,) = wait_until(relayed, "an outbound flow in flow.list")
        except AssertionError as error:
            with Control(control_path(helper)) as control:
                raise AssertionError(f"{error}: {control.ask({'execute': 'info'})}") from None
        self.assertEqual((flow["path"], flow["seen_addr"], flow["seen_port"]), ("relay", address, port))

    def both(self, observe):
        """observe(binary) under both; {name: what it returned}. A failure says under which."""
        seen = {}
        for name, binary in binaries().items():
            with self.subTest(binary=name):
                seen[name] = observe(binary)
        self.assertEqual(set(seen), set(binaries()), "one of them failed")
        return seen

    def same(self, observe):
        """observe(binary) tells the same of both. Returns it."""
        seen = self.both(observe)
        self.assertEqual(seen["netns-helper"], seen["slirp4netns"])
        return seen["netns-helper"]


def wait_for_line(process, what, timeout=CLIENT):
    """The next line of the process's stdout pipe."""
    fd = process.stdout.fileno()
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
    line = bytearray()

    def complete():
        while not line.endswith(b"\n"):
            try:
                byte = os.read(fd, 1)
            except BlockingIOError:
                return False
            if not byte:
                raise AssertionError(f"{what}: ended after {bytes(line)!r}")
            line.extend(byte)
        return True

    wait_until(complete, what, timeout)
    return line.decode().rstrip("\n")
