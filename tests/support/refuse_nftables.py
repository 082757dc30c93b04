# SPDX-License-Identifier: BSD-3-Clause
"""Runs a command that cannot open a nf_tables socket: a seccomp filter, inherited by all that it starts, answers EPERM. As a program of its own:
`python3 -c SOURCE COMMAND...`, so that it can be run by a user who cannot read this file."""

SOURCE = r"""
import ctypes, os, struct, sys

SOCKET = {"x86_64": 41}.get(os.uname().machine, 198)  # asm-generic/unistd.h has the second
AF_NETLINK, NETLINK_NETFILTER, EPERM = 16, 12, 1
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06                # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
NUMBER, FIRST, THIRD = 0, 16, 32                      # offsets in struct seccomp_data, little-endian
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
program = b"".join(struct.pack("=HBBI", *step) for step in (
    (LOAD, 0, 0, NUMBER), (EQUAL, 0, 5, SOCKET),
    (LOAD, 0, 0, FIRST), (EQUAL, 0, 3, AF_NETLINK),
    (LOAD, 0, 0, THIRD), (EQUAL, 0, 1, NETLINK_NETFILTER),
    (RETURN, 0, 0, 0x00050000 | EPERM),
    (RETURN, 0, 0, 0x7FFF0000)))
steps = ctypes.create_string_buffer(program, len(program))


class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
filter = Program(len(program) // 8, ctypes.cast(steps, ctypes.c_void_p))
for words in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter), 0, 0)):
    if libc.prctl(*(word if not isinstance(word, int) else ctypes.c_ulong(word) for word in words)) != 0:
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""

WRAPPER = ("python3", "-c", SOURCE)
