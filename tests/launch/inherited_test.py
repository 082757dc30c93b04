# SPDX-License-Identifier: BSD-3-Clause
"""What netns-run is started with, children, signals, limits and descriptors, changes nothing of the command and its exit status."""

import os
import signal

from tests.launch.launch import LaunchTestCase, children, user_file
from tests.support import process
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import USER, USER_DIR

LOCAL = ("--no-net",)
HOW = ((), ("--as-pid-1",), ("--pid=host",), ("--time=new",))

# Forks sys.argv[1] children that end with code 5 when the pipe or FIFO sys.argv[2] has no writer, and executes the rest.
PARENT = """import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        with open(sys.argv[2], "rb") as end:
            end.read()
        os._exit(5)
os.execvp(sys.argv[3], sys.argv[3:])
"""
# The same, but they have all ended, and nobody has waited for them.
PARENT_OF_ZOMBIES = """import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os._exit(5)
for _ in range(int(sys.argv[1])):
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class InheritedChildren(LaunchTestCase):
    """Whoever executes netns-run may have had children: they are netns-run's then, and none of its business."""

    def _fifo(self, name):
        path = f"{USER_DIR}/{name}-{self.id()}-{os.urandom(4).hex()}"
        os.mkfifo(path)
        os.chown(path, USER, USER)
        return path

    def _run_with_children(self, count, *options, go_on=None):
        """(run, what ends the children when it is closed)"""
        fifo = self._fifo("children")
        end = os.open(fifo, os.O_RDWR)
        run = self.start(*options, "--", "sh", "-c", f"echo started; read x < {go_on}; exit 7", wrapper=("python3", "-c", PARENT, str(count), fifo))
        return run, end

    def _end_children(self, run, end, inherited):
        os.close(end)
        wait_until(lambda: not [pid for pid in inherited if pid in children(run.pid)], "netns-run has reaped what it inherited")

    def test_that_ends_while_the_command_runs(self):
        for options in HOW:
            for count in (1, 100):
                with self.subTest(options=options, count=count):
                    go_on = self._fifo("go")
                    holder = os.open(go_on, os.O_RDWR)
                    run, end = self._run_with_children(count, *LOCAL, *options, go_on=go_on)
                    inherited = wait_until(lambda r=run, n=count: len(children(r.pid)) >= n and children(r.pid)[:n], "the children")
                    run.wait_for("started")
                    self._end_children(run, end, inherited)
                    self.assertIsNone(run.process.poll(), "the command still runs")
                    os.write(holder, b"\n")
                    self.assertEqual(run.wait(), 7, run.err())
                    os.close(holder)

    def test_that_ends_before_the_command_starts(self):
        for options in HOW:
            with self.subTest(options=options):
                fifo = self._fifo("children")
                end = os.open(fifo, os.O_RDWR)
                read_end, write_end = os.pipe()
                run = self.start(*LOCAL, *options, "--block-fd", str(read_end), "--", "sh", "-c", "exit 7", pass_fds=[read_end],
                                 wrapper=("python3", "-c", PARENT, "3", fifo))
                os.close(read_end)
                inherited = wait_until(lambda r=run: len(children(r.pid)) > 3 and children(r.pid)[:3], "netns-run has a child of its own")
                self._end_children(run, end, inherited)
                os.write(write_end, b"1")
                os.close(write_end)
                self.assertEqual(run.wait(), 7, run.err())

    def test_that_has_ended_before(self):
        for options in HOW:
            with self.subTest(options=options):
                self.run_command(*LOCAL, *options, "--", "sh", "-c", "exit 7", code=7, wrapper=("python3", "-c", PARENT_OF_ZOMBIES, "20"))

    def test_with_the_helper(self):
        self.need_device()
        self.run_command("--", "sh", "-c", "exit 7", code=7, wrapper=("python3", "-c", PARENT_OF_ZOMBIES, "20"))


class Signals(LaunchTestCase):
    CATCHES_ALL = """import os, signal
def told(number, frame):
    print(f"got {number}.", flush=True)
all = [n for n in signal.valid_signals() if n not in (signal.SIGKILL, signal.SIGSTOP)]
for n in all:
    signal.signal(n, told)
print("started", flush=True)
while True:
    signal.pause()
"""

    def test_every_one_is_passed_on(self):
        numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
        for options in ((), ("--as-pid-1",), ("--pid=host",), ("--new-session",)):
            with self.subTest(options=options):
                run = self.start(*LOCAL, *options, "--", "python3", "-c", self.CATCHES_ALL)
                run.wait_for("started")
                for number in sorted(numbers):
                    run.process.send_signal(number)
                    run.wait_for(f"got {int(number)}.")
                run.close()

    def test_real_time_ones_are_counted_and_keep_their_value(self):
        wait = "import signal\nn = signal.SIGRTMIN + 3\nsignal.pthread_sigmask(signal.SIG_BLOCK, {n})\nprint('started', flush=True)\n" \
               "for _ in range(5): signal.sigwaitinfo({n})\nprint('five', flush=True)\n"
        run = self.start(*LOCAL, "--", "python3", "-c", wait)
        run.wait_for("started")
        for _ in range(5):
            run.process.send_signal(signal.SIGRTMIN + 3)
        self.assertEqual(run.wait(), 0, run.err())

    def test_ignored_at_the_start(self):
        """They stay ignored for netns-run, the helper and the command."""
        self.need_device()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(number=number):
                ignoring = ("python3", "-c", f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])")
                run = self.start("--", "sh", "-c", "echo started; read x; exit 7", stdin=-1, wrapper=ignoring)
                run.wait_for("started")
                for pid in (run.pid, run.helper(), run.command()):
                    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                        ignored = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn:"))
                    self.assertTrue(ignored >> (number - 1) & 1, pid)
                    process.send(pid, number)
                run.process.stdin.close()
                self.assertEqual(run.wait(), 7, run.err())

    def test_sigchld_ignored_and_sigpipe_blocked(self):
        careless = ("python3", "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
                    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE}); os.execv(sys.argv[1], sys.argv[1:])")
        for options in HOW:
            self.run_command(*LOCAL, *options, "--", "sh", "-c", "exit 7", code=7, wrapper=careless)
        self.need_device()
        self.run_command("--", "sh", "-c", "exit 7", code=7, wrapper=careless)
        plain = self.start("--doctor", "--json")
        code = plain.wait()
        self.assertEqual(self.run_command("--doctor", "--json", code=code, wrapper=careless), plain.out())


class Limits(LaunchTestCase):
    def setUp(self):
        super().setUp()
        self.need_device()

    def test_few_descriptors(self):
        self.run_command("--", "sh", "-c", "exit 7", code=7, wrapper=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"))

    def test_size_of_files(self):
        """The soft limit is the command's. Below a hard one nobody can write resolv.conf: the user is told, and the command runs."""
        for limit, server in (("-S -f 0", "nameserver 10.0.2.3\n"), ("-f 0", "File too large")):
            with self.subTest(limit=limit):
                # Its output is a pipe: for that there is no limit.
                run = self.start("--", "sh", "-c", "cat /etc/resolv.conf; echo limit $(ulimit -f); exit 7",
                                 wrapper=("bash", "-c", f'exec > >(cat) 2>&1; ulimit {limit}; exec "$@"', "bash"))
                self.assertEqual(run.wait(), 7, run.out())
                wait_until(lambda r=run: "limit 0\n" in r.out(), "all is written")
                self.assertIn(server, run.out())

    def test_closed_descriptors(self):
        for closing in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closing=closing):
                self.run_command("--", "sh", "-c", "ls -l /proc/self/fd > /dev/null && exit 7", code=7, wrapper=("sh", "-c", f'exec "$@" {closing}', "sh"))

    def test_umask(self):
        """What is made has the mode that it needs; the command's umask is the caller's."""
        strict = ("sh", "-c", 'umask 777; exec "$@"', "sh")
        out = self.sh("umask; stat -c '%a %n' /etc/resolv.conf /etc/hosts", "--hostname=box", wrapper=strict)
        self.assertEqual(out.split(), ["0777", "644", "/etc/resolv.conf", "644", "/etc/hosts"])
        directory = f"{USER_DIR}/umask-{os.getpid()}"
        os.makedirs(directory)
        os.chown(directory, USER, USER)
        shown = user_file("umask-shown", "text\n")
        self.run_command(*LOCAL, "--bind", f"{shown}:{directory}/a/b/file", "--", "cat", f"{directory}/a/b/file", wrapper=strict)
        self.assertEqual([os.stat(f"{directory}/{name}").st_mode & 0o777 for name in ("a", "a/b", "a/b/file")], [0o755, 0o755, 0o644])


if __name__ == "__main__":
    main()
