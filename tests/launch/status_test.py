# SPDX-License-Identifier: BSD-3-Clause
"""What other programs learn of a run, and how they hold it up."""

import json
import os
import select
import signal
import subprocess

from tests.launch.launch import RUNTIME, LaunchTestCase
from tests.support.case import main
from tests.support.lab import USER, USER_DIR

FILES = {"user": "user", "mnt": "mnt", "pid": "pid", "net": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


class Status(LaunchTestCase):
    def pipe(self):
        """(our end, the number of netns-run's end): that end is closed here once netns-run has it."""
        ours, theirs = os.pipe()
        return self.close_later(ours), theirs

    def started(self, ends, *words):
        run = self.start("--no-net", *words, pass_fds=ends)
        for end in ends:
            os.close(end)
        return run

    def read_all(self, fd):
        data = b""
        while select.select([fd], [], [], RUNTIME)[0]:
            more = os.read(fd, 4096)
            if not more:
                return data.decode()
            data += more
        self.fail(f"no end of {data!r}")

    def assert_describes(self, info, run):
        self.assertEqual(info["child-pid"], run.child())
        for name, file in FILES.items():
            self.assertEqual(info[f"{name}-namespace"], os.stat(f"/proc/{run.command()}/ns/{file}").st_ino, name)
        self.assertNotIn("time-namespace", info)

    def test_info(self):
        info, theirs = self.pipe()
        run = self.started([theirs], "--info-fd", str(theirs), "--", "sh", "-c", "echo started; exec sleep 1000")
        text = self.read_all(info)  # it ends with the object, not with the command
        run.wait_for("started")
        self.assert_describes(json.loads(text), run)

    def test_json_lines(self):
        status, theirs = self.pipe()
        run = self.started([theirs], "--json-status-fd", str(theirs), "--", "sh", "-c", "exit 9")
        lines = [json.loads(line) for line in self.read_all(status).splitlines()]
        self.assertEqual(run.wait(), 9)
        self.assertEqual(lines[1:], [{"exit-code": 9}])
        self.assertIn("net-namespace", lines[0])

    def test_no_exit_code_of_what_was_not_executed(self):
        status, theirs = self.pipe()
        run = self.started([theirs], "--json-status-fd", str(theirs), "--", "/nonexistent")
        lines = self.read_all(status).splitlines()
        self.assertEqual(run.wait(), 127)
        self.assertEqual(len(lines), 1)

    def test_block(self):
        """Prepared, and not started: what a hook wants."""
        info, info_theirs = self.pipe()
        theirs, release = os.pipe()
        run = self.started([info_theirs, theirs], "--info-fd", str(info_theirs), "--block-fd", str(theirs), "--", "echo", "released")
        child = json.loads(self.read_all(info))["child-pid"]
        self.assertEqual(run.children(child), [], "no command yet")
        self.assertEqual(run.out(), "")
        os.write(release, b"1")
        os.close(release)
        self.assertEqual(run.wait(), 0, run.err())
        self.assertEqual(run.out(), "released\n")

    def test_userns_block(self):
        """Somebody else maps the ids."""
        info, info_theirs = self.pipe()
        theirs, release = os.pipe()
        run = self.started([info_theirs, theirs], "--info-fd", str(info_theirs), "--userns-block-fd", str(theirs), "--", "cat",
                           "/proc/self/uid_map", "/proc/self/setgroups")
        child = json.loads(self.read_all(info))["child-pid"]
        with open(f"/proc/{child}/uid_map", encoding="ascii") as file:
            self.assertEqual(file.read(), "")
        for name in ("uid_map", "gid_map"):  # as the lab's root, who may map several
            with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
                file.write(f"0 {USER} 3\n")
        os.write(release, b"1")
        os.close(release)
        self.assertEqual(run.wait(), 0, run.err())
        self.assertEqual(run.out().split(), ["0", str(USER), "3", "allow"])

    def test_sync(self):
        """Its end is the run's end, however that comes about."""
        sync, theirs = self.pipe()
        run = self.started([theirs], "--sync-fd", str(theirs), "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        self.assertEqual(select.select([sync], [], [], 0)[0], [])
        run.process.kill()
        self.assertEqual(self.read_all(sync), "")

    def test_pid_file(self):
        path = f"{USER_DIR}/pid-{os.getpid()}"
        run = self.start("--no-net", "--pid-file", path, "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        with open(path, encoding="ascii") as file:
            self.assertEqual(int(file.read()), run.child())
        run.process.send_signal(signal.SIGTERM)
        run.wait()
        self.assertEqual([name for name in os.listdir(USER_DIR) if name.startswith(os.path.basename(path))], [])

    def test_another_program_enters_by_child_pid(self):
        """As its owner, without help: the reaper can be looked at from outside."""
        run = self.start("--no-net", "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        done = subprocess.run(["nsenter", "-U", "-n", "--preserve-credentials", "-t", str(run.child()), "readlink", "/proc/self/ns/net"],
                              user=USER, group=USER, extra_groups=[], capture_output=True, text=True, check=False, timeout=RUNTIME)
        self.assertEqual(done.stdout.strip(), os.readlink(f"/proc/{run.command()}/ns/net"), done.stderr)

    def test_the_command_cannot_look_at_the_reaper(self):
        run = self.start("--no-net", "--", "sh", "-c", "cat /proc/1/environ; echo done", env={"SECRET": "secret", "PATH": "/usr/bin:/bin"})
        run.wait()
        self.assertNotIn("SECRET", run.out())
        self.assertIn("done", run.out())


class Failing(LaunchTestCase):
    def test_reader_is_gone(self):
        ours, theirs = os.pipe()
        os.close(ours)
        run = self.start("--no-net", "--info-fd", str(theirs), "--", "true", pass_fds=[theirs])
        os.close(theirs)
        self.assertEqual(run.wait(), 125)
        self.assertIn("--info-fd", run.err())

    def test_pid_file_that_cannot_be_written(self):
        self.run_command("--no-net", "--pid-file", "/nonexistent/file", "--", "true", code=125)
        self.assertIn("/nonexistent/file", self.last_err)


if __name__ == "__main__":
    main()
