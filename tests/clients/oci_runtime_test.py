# SPDX-License-Identifier: BSD-3-Clause
"""runc and crun, rootless, with our hook in a container's config.json."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess

from tests.support import kernel, oci, process
from tests.support.case import main, processes
from tests.support.clients import ClientTestCase, environment, rootfs, run, start, wait_for_line
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import HELPER, SERVICE4, USER, USER_DIR

DIRECTORIES = f"{USER_DIR}/runtime/netns-helper"


@functools.cache
def make_controllers():
    """runc goes on without a cgroup where it may not make one, not where the controller's directory is missing."""
    with open("/proc/self/cgroup", encoding="ascii") as lines:
        for line in lines:
            for name in line.split(":")[1].split(","):
                os.makedirs(f"/sys/fs/cgroup/{name}", exist_ok=True)


class RuntimeTest:
    """What both runtimes do; a subclass names one."""

    runtime = None

    def setUp(self):
        super().setUp()
        make_controllers()
        self.ident = f"{self.runtime}-{os.urandom(4).hex()}"
        self.bundle = f"{USER_DIR}/{self.ident}"
        os.mkdir(self.bundle, 0o755)
        os.chown(self.bundle, USER, USER)
        self.root = f"{self.bundle}/state"

    def command(self, *words):
        return (self.runtime, "--root", self.root, *words)

    def bundle_with(self, args, annotations=None, hook=(), paths=None, stages=("createRuntime", "poststop")):
        """A bundle as `spec --rootless` writes it, with a network namespace and the hook."""
        rootfs()
        run("sh", "-c", f"cd {self.bundle} && {self.runtime} spec --rootless")
        path = f"{self.bundle}/config.json"
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=list(args))
        config["root"]["path"] = rootfs()
        kinds = ["network", *(entry["type"] for entry in config["linux"]["namespaces"] if entry["type"] not in ("network", "cgroup"))]
        config["linux"]["namespaces"] = [{"type": kind, **({"path": paths[kind]} if kind in (paths or {}) else {})} for kind in kinds]
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
        config["annotations"] = {f"org.netns-helper.{key}": value for key, value in (annotations or {}).items()}
        config["hooks"] = {stage: [{"path": HELPER, "args": ["netns-helper", "oci-hook", *hook],
                                    "env": [f"XDG_RUNTIME_DIR={environment()['XDG_RUNTIME_DIR']}"]}] for stage in stages}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def run_container(self, check=True):
        return run(*self.command("run", "--bundle", self.bundle, self.ident), check=check)

    def nothing_is_left(self):
        wait_until(lambda: not processes(), "the helper ends with its container")
        self.assertEqual(oci.directories(DIRECTORIES), [])

    def namespaces(self):
        """Paths of a user namespace and a network namespace in it, {type: path}, made before the container."""
        guest = self.guest()
        paths = {}
        for kind, name in (("user", "user"), ("network", "net")):
            path = paths[kind] = f"{USER_DIR}/{name}-{guest.pid}"
            with open(path, "w", encoding="ascii"):
                pass
            kernel.mount(f"/proc/{guest.pid}/ns/{name}", path, flags=kernel.MS_BIND)
            self.addCleanup(kernel.umount, path)
        return paths


class Runc(RuntimeTest, ClientTestCase):
    tools = (("runc", "runc"),)
    runtime = "runc"

    def test_network_before_the_first_instruction(self):
        server = self.tcp_server(self.lab.internet, SERVICE4)
        self.bundle_with(["sh", "-c", f"ip -o -4 address show tap0; echo hello | nc -w 10 {SERVICE4} {server.port}"])
        done = self.run_container()
        self.assertIn("10.0.2.100/24", done.stdout)
        self.assertIn("hello", done.stdout)
        self.nothing_is_left()

    def test_prestart_too(self):
        self.bundle_with(["ip", "-o", "-4", "address", "show", "tap0"], stages=("prestart", "createRuntime", "poststop"))
        self.assertIn("10.0.2.100/24", self.run_container().stdout)
        self.nothing_is_left()

    def test_options_and_forward(self):
        port = 18501
        self.bundle_with(["sh", "-c", "ip -o address show net3; echo answer | nc -l -p 80"],
                         annotations={"tap-name": "net3", "mtu": "4000", "forward": f"{port}:80/tcp"}, hook=("--no-ipv6",))
        running = start(*self.command("run", "--bundle", self.bundle, self.ident), stdout=subprocess.PIPE)
        line = wait_for_line(running, "the container's address")
        self.assertIn("10.0.2.100/24", line)
        self.assertEqual(self._answer(port), b"answer\n")
        self.assertEqual(running.wait(60), 0)
        running.stdout.close()
        self.nothing_is_left()

    def _answer(self, port):
        """nc listens a moment after its line."""
        def ask():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
                return connection.recv(100)
            return b""
        return wait_until(ask, "the forward answers")

    def test_create_start_delete(self):
        """As engines do it."""
        self.bundle_with(["sleep", "1000"])
        run(*self.command("create", "--bundle", self.bundle, self.ident))
        (helper,) = [pid for pid in processes() if os.getsid(pid) == pid]
        with process.Process(helper) as held:
            run(*self.command("start", self.ident))
            run(*self.command("kill", self.ident, "KILL"))
            self.assertTrue(held.wait(), "the helper has not ended")
        wait_until(lambda: '"stopped"' in run(*self.command("state", self.ident)).stdout, "the container stops")
        run(*self.command("delete", self.ident))
        self.nothing_is_left()

    def test_the_reason_is_shown_and_nothing_runs(self):
        busy = self.tcp_server(self.lab.host, "127.0.0.1")
        self.bundle_with(["echo", "RAN"], annotations={"forward": f"{busy.port}:80"})
        done = self.run_container(check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("RAN", done.stdout)
        self.assertIn("in use", done.stderr)
        self.nothing_is_left()

    def test_killed_at_once(self):
        """SIGKILL of the container's init: the helper notices by itself, without poststop."""
        self.bundle_with(["sleep", "1000"], stages=("createRuntime",))
        run(*self.command("create", "--bundle", self.bundle, self.ident))
        state = json.loads(run(*self.command("state", self.ident)).stdout)
        self.assertTrue(process.send(state["pid"], signal.SIGKILL))
        wait_until(lambda: not processes(), "the helper ends")
        run(*self.command("delete", "--force", self.ident))


class Crun(RuntimeTest, ClientTestCase):
    tools = (("crun", "crun"),)
    runtime = "crun"

    def test_namespace_by_path(self):
        server = self.tcp_server(self.lab.internet, SERVICE4)
        self.bundle_with(["sh", "-c", f"ip -o -4 address show tap0; echo hello | nc -w 10 {SERVICE4} {server.port}"],
                         paths=self.namespaces())
        done = self.run_container()
        self.assertIn("10.0.2.100/24", done.stdout)
        self.assertIn("hello", done.stdout)
        self.nothing_is_left()

    def test_namespace_of_its_own_is_out_of_reach(self):
        """An unprivileged hook cannot look into crun's process. crun shows a hook's words in a file only."""
        self.bundle_with(["echo", "RAN"])
        words = f"{self.bundle}/words"
        with open(f"{self.bundle}/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["annotations"]["run.oci.hooks.stderr"] = words
        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        done = self.run_container(check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("RAN", done.stdout)
        with open(words, encoding="utf-8") as file:
            text = file.read()
        for expected in ("Permission denied", "not dumpable", "config.json", "by path"):
            self.assertIn(expected, text)
        self.nothing_is_left()


if __name__ == "__main__":
    main()
