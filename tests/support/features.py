# SPDX-License-Identifier: BSD-3-Clause
"""What a test needs of the kernel and some kernels are built without: need_feature(name) skips the test, and says why, where it is
missing. What the lab itself needs is asked for by lab.py."""

import functools
import os
import subprocess

from tests.support import kernel
from tests.support.skip import need_tool, skip


def _succeeds(*command):
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def _nf_tables():
    """As steering and the tests' own rules use it."""
    return _succeeds(need_tool("nft", "nftables"), "add table ip t; add chain ip t c { type route hook output priority 0; }; "
                                                   "add rule ip t c ct mark set 1; add table ip6 t")


def _conntrack():
    return _nf_tables() and os.path.exists("/proc/sys/net/netfilter/nf_conntrack_max") and _succeeds(need_tool("conntrack", "conntrack"), "-L")


def _bridge():
    return _succeeds("ip", "link", "add", "br0", "type", "bridge")


_PROBES = {
    "nf_tables": (_nf_tables, "CONFIG_NF_TABLES with NFT_CT"),
    "nf_conntrack": (_conntrack, "CONFIG_NF_CONNTRACK with NF_CT_NETLINK"),
    "bridge": (_bridge, "CONFIG_BRIDGE"),
}


@functools.cache
def has_feature(name):
    """Tried in a network namespace of its own."""
    netns = kernel.new_netns()
    try:
        with kernel.in_netns(netns):
            return _PROBES[name][0]()
    finally:
        os.close(netns)


def need_feature(name):
    if not has_feature(name):
        skip(f"the kernel has no {name} ({_PROBES[name][1]})")
