# SPDX-License-Identifier: BSD-3-Clause
"""Rootless podman with the hooks.d file that we install: crun runs in podman's user namespace, where the hook has its privilege."""

import json
import os
from pathlib import Path

from tests.support import oci
from tests.support.case import main, processes
from tests.support.helper import wait_until
from tests.support.lab import HELPER, SERVICE4, USER, USER_DIR
from tests.support.podman import IMAGE, PodmanTestCase, podman

# Read before the lab covers /srv, where the source tree may be.
TEMPLATE = (Path(__file__).resolve().parents[2] / "src/oci/oci-hooks.d.json.in").read_text(encoding="utf-8")
RUN_USER = f"/run/user/{USER}"
DIRECTORIES = f"{USER_DIR}/runtime/netns-helper"


class Hook(PodmanTestCase):
    def setUp(self):
        super().setUp()
        if not os.path.lexists(RUN_USER):
            os.makedirs(os.path.dirname(RUN_USER))
            os.symlink(f"{USER_DIR}/runtime", RUN_USER)
        self.hooks = f"{USER_DIR}/hooks-{os.urandom(4).hex()}"
        os.mkdir(self.hooks, 0o755)
        with open(f"{self.hooks}/netns-helper.json", "w", encoding="utf-8") as file:
            file.write(TEMPLATE.replace("@netns_helper_path@", HELPER))

    def run_podman(self, *options, command):
        return podman("--hooks-dir", self.hooks, "run", "--rm", "--network", "none", *options, IMAGE, *command, check=False)

    def test_container_with_the_annotation(self):
        server = self.tcp_server(self.lab.internet, SERVICE4)
        done = self.run_podman("--annotation", "org.netns-helper=true", "--annotation", "org.netns-helper.mtu=4000",
                               command=("sh", "-c", f"ip -o address show tap0; echo hello | nc -w 10 {SERVICE4} {server.port}"))
        self.assertEqual(done.returncode, 0, done.stderr)
        for text in ("10.0.2.100/24", "fd00::100/64", "hello"):
            self.assertIn(text, done.stdout)
        wait_until(lambda: not processes(), "the helper ends with its container")
        # podman runs poststop without an environment; /run/user/UID is where it would be on a machine.
        wait_until(lambda: not oci.directories(DIRECTORIES), "poststop removes the directory")

    def test_container_without_it(self):
        done = self.run_podman(command=("ip", "-o", "link"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("tap0", done.stdout)

    def test_what_opens_the_host_is_not_taken_from_annotations(self):
        done = self.run_podman("--annotation", "org.netns-helper=true", "--annotation", "org.netns-helper.allow-host-loopback=true",
                               command=("echo", "RAN"))
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("RAN", done.stdout)

    def test_the_template_is_what_podman_reads(self):
        hook = json.loads(TEMPLATE)
        self.assertEqual(hook["version"], "1.0.0")
        self.assertEqual(hook["stages"], ["createRuntime", "poststop"])


if __name__ == "__main__":
    main()
