# SPDX-License-Identifier: BSD-3-Clause
"""The system calls that Python 3.11 does not offer: namespaces, mounts, and a user id for one thread."""

import contextlib
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 32, 4096, 16384, 1 << 18, 1 << 20
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1


def _check(result, what):
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags):
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def setns(fd, flags):
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), f"setns({flags:#x})")


def mount(source, target, fstype=None, flags=0, data=None):
    def text(value):
        return None if value is None else os.fsencode(value)

    _check(_libc.mount(text(source), text(target), text(fstype), ctypes.c_ulong(flags), text(data)),
           f"mount({source} on {target})")


def umount(target, flags=MNT_DETACH):
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount({target})")


def die_with_parent(signal_number):
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def open_own_netns():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def in_netns(fd):
    """The calling thread, and what it starts, is in this network namespace. Sockets made here stay here."""
    before = open_own_netns()
    try:
        setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(before, CLONE_NEWNET)
    finally:
        os.close(before)


def new_netns():
    """A network namespace with lo up, as an fd that holds it."""
    before = open_own_netns()
    try:
        unshare(CLONE_NEWNET)
        try:
            return open_own_netns()
        finally:
            setns(before, CLONE_NEWNET)
    finally:
        os.close(before)


@contextlib.contextmanager
def as_uid(uid):
    """The calling thread has this effective uid (the C library's call would change every thread)."""
    setresuid = 117 if os.uname().machine == "x86_64" else 147
    keep = ctypes.c_long(-1)

    def become(effective):
        _check(_libc.syscall(ctypes.c_long(setresuid), keep, ctypes.c_long(effective), keep), f"setresuid({effective})")

    before = os.geteuid()
    become(uid)
    try:
        yield
    finally:
        become(before)
