# SPDX-License-Identifier: BSD-3-Clause
"""The same bundle, run by runc, crun and netns-run --bundle: whoever asks inside gets the same answers."""

import copy
import json
import os
import re
import subprocess

from tests.launch.launch import NETNS_RUN, LaunchTestCase, prepare
from tests.support import clients
from tests.support.case import main
from tests.support.lab import USER
from tests.support.skip import need_tool

HOST = ("user", "mnt", "pid", "ipc", "uts", "cgroup", "net", "time")
QUESTIONS = {
    "ids": "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; grep Groups /proc/self/status",
    "hostname": "hostname; cat /proc/sys/kernel/domainname",
    "root": "ls /; pwd",
    "mounts": "cat /proc/self/mountinfo",
    "masks": "for p in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /proc/scsi /sys/firmware; do "
             "echo $p; [ -d $p ] && ls -A $p; [ -e $p -a ! -d $p ] && cat $p | wc -c; done; true",
    "read-only paths": "for p in /proc/sys/kernel/domainname /proc/irq/default_smp_affinity; do (echo 1 > $p) 2>&1; done; true",
    "namespaces": "for n in " + " ".join(HOST) + "; do readlink /proc/self/ns/$n; done",
    "capabilities": "grep ^Cap /proc/self/status",
    "no_new_privs": "grep NoNewPrivs /proc/self/status",
    "limits": "cat /proc/self/limits",
    "environment": "cat /proc/self/environ | tr '\\0' '\\n' | grep -v ^_= | sort",
    "umask": "umask",
    "oom": "cat /proc/self/oom_score_adj",
    "devices": "ls /dev; for d in null zero full random urandom; do [ -c /dev/$d ] && echo $d; done",
    "writing": "(echo x > /file) 2>&1; rm -f /file; (echo x > /dev/shm/file) && echo written",
}


class Bundle(LaunchTestCase):
    tools = (("runc", "runc"), ("crun", "crun"))

    @classmethod
    def setUpClass(cls):
        prepare()  # first: the next one covers /srv, and the built programs may be there
        clients.prepare()
        cls.rootfs = clients.rootfs()
        # runc goes on without a cgroup where it may not make one, not where the controller's directory is missing.
        with open("/proc/self/cgroup", encoding="ascii") as lines:
            for line in lines:
                controllers = line.split(":")[1].removeprefix("name=")
                if controllers:
                    os.makedirs(f"/sys/fs/cgroup/{controllers}", exist_ok=True)

    def setUp(self):
        super().setUp()
        for tool, package in self.tools:
            need_tool(tool, package)
        self.directory = f"{clients.HOME}/bundle-{self.id()}"
        os.makedirs(self.directory)
        os.chown(self.directory, USER, USER)
        clients.run("runc", "spec", "--rootless", "--bundle", self.directory)
        with open(f"{self.directory}/config.json", encoding="utf-8") as file:
            self.config = json.load(file)
        self.config["root"]["path"] = self.rootfs
        self.config["process"]["terminal"] = False
        # The lab has no cgroup file system that a runtime could use.
        self.config["mounts"] = [mount for mount in self.config["mounts"] if mount["type"] != "cgroup"]
        self.config["linux"]["namespaces"] = [one for one in self.config["linux"]["namespaces"] if one["type"] != "cgroup"]

    def write(self, config):
        with open(f"{self.directory}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)

    def ask(self, command):
        """question -> its answer's lines."""
        config = copy.deepcopy(self.config)
        script = "".join(f"echo '== {name}'\n{question}\n" for name, question in QUESTIONS.items())
        config["process"]["args"] = ["/bin/sh", "-c", script]
        self.write(config)
        out = clients.run(*command).stdout
        parts = re.split(r"^== (.*)\n", out, flags=re.MULTILINE)[1:]
        return dict(zip(parts[::2], (part.splitlines() for part in parts[1::2])))

    def answers(self):
        with_mark = {
            "runc": ["runc", "--root", f"{clients.RUNTIME_DIR}/runc", "run", "--bundle", self.directory, f"r{os.getpid()}"],
            "crun": ["crun", "--cgroup-manager=disabled", "--root", f"{clients.RUNTIME_DIR}/crun", "run", "--bundle", self.directory, f"c{os.getpid()}"],
            "netns-run": [NETNS_RUN, *(["--no-net"] if any(one["type"] == "network" for one in self.config["linux"]["namespaces"]) else []),
                          "--bundle", self.directory],
        }
        return {name: normal(self.ask(command)) for name, command in with_mark.items()}

    def assert_like(self, answers, question):
        """As both of them, where they agree; else as one of them."""
        ours, others = answers["netns-run"][question], (answers["runc"][question], answers["crun"][question])
        if others[0] == others[1]:
            self.assertEqual(ours, others[0], question)
        else:
            self.assertIn(ours, others, question)

    def test_as_runc_spec_writes_it(self):
        answers = self.answers()
        for question in QUESTIONS:
            with self.subTest(question=question):
                self.assert_like(answers, question)

    def test_with_everything_set(self):
        process = self.config["process"]
        process["user"] = {"uid": 0, "gid": 0, "umask": 0o27}
        process["cwd"] = "/tmp"
        process["env"] = ["PATH=/bin", "A=b", "EMPTY="]
        process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 512, "soft": 256}, {"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]
        process["noNewPrivileges"] = False
        process["oomScoreAdj"] = 500
        kept = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
        process["capabilities"] = {name: kept for name in ("bounding", "effective", "permitted")}
        self.config["hostname"] = "box"
        self.config["root"]["readonly"] = False
        self.config["linux"]["namespaces"].append({"type": "network"})
        self.config["linux"]["maskedPaths"].append("/etc/group")
        self.config["linux"]["readonlyPaths"].append("/root")
        self.config["mounts"].append({"destination": "/run/extra", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "size=64k", "mode=755"]})
        self.config["mounts"].append({"destination": "/tmp/shown", "type": "bind", "source": f"{clients.HOME}/tmp", "options": ["rbind", "ro", "nodev"]})
        answers = self.answers()
        for question in QUESTIONS:
            with self.subTest(question=question):
                self.assert_like(answers, question)

    def test_with_a_network_of_ours(self):
        """What no OCI runtime does by itself."""
        self.need_device()
        self.config["linux"]["namespaces"].append({"type": "network"})
        self.config["process"]["args"] = ["/bin/sh", "-c", "ip address show tap0; cat /etc/resolv.conf"]
        self.write(self.config)
        out = clients.run(NETNS_RUN, "--bundle", self.directory).stdout
        self.assertIn("10.0.2.100/24", out)
        self.assertIn("nameserver 10.0.2.3", out)

    def test_what_is_not_supported_is_refused_by_name(self):
        for path, value in (("process.terminal", True), ("hooks.createRuntime", [{"path": "/bin/true"}]),
                            ("linux.seccomp", {"defaultAction": "SCMP_ACT_ERRNO"}),
                            ("linux.resources.memory", {"limit": 1 << 20})):
            with self.subTest(path=path):
                config = copy.deepcopy(self.config)
                *parents, last = path.split(".")
                at = config
                for parent in parents:
                    at = at.setdefault(parent, {})
                at[last] = value
                self.write(config)
                done = subprocess.run([NETNS_RUN, "--no-net", "--bundle", self.directory], user=USER, group=USER, extra_groups=[], capture_output=True,
                                      text=True, check=False, timeout=60)
                self.assertEqual(done.returncode, 125)
                self.assertIn(path.split(".")[-1] if path.startswith("process") else path.rpartition(".")[0].split(".")[-1], done.stderr)


def normal(answers):
    """Without what differs from run to run."""
    answers = dict(answers)
    host = [os.readlink(f"/proc/self/ns/{name}") for name in HOST]
    answers["namespaces"] = [name for name, mine, theirs in zip(HOST, host, answers["namespaces"]) if mine == theirs]
    mounts = set()
    for line in answers["mounts"]:
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        # Per-mount flags and the file system; not ids, nor which directory of the host's file systems it is.
        mounts.add((fields[4], ",".join(sorted(fields[5].split(","))), kind[0]))
    answers["mounts"] = sorted(mounts)
    return answers


if __name__ == "__main__":
    main()
