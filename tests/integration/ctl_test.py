# SPDX-License-Identifier: BSD-3-Clause
"""netns-ctl with running helpers: how it finds them, what it prints, its exit codes, and `top` on terminals of any size."""

import fcntl
import functools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from tests.support import kernel
from tests.support.case import LabTestCase, main
from tests.support.guest import DEADLINE
from tests.support.helper import wait_until
from tests.support.lab import RUN, USER, USER_DIR
from tests.support.skip import CannotRun

CTL = f"{RUN}/netns-ctl"
DONE, REFUSED, USAGE, UNREACHED = 0, 1, 2, 3


@functools.cache
def prepare():
    """Once a program, inside the lab: the client stands beside the helper."""
    program = os.environ.get("NETNS_CTL")
    if not program:
        raise CannotRun("NETNS_CTL does not name the client's binary")
    with open(program, "rb") as file, open(CTL, "w", encoding="ascii"):
        kernel.mount(f"/proc/self/fd/{file.fileno()}", CTL, flags=kernel.MS_BIND)


class CtlTestCase(LabTestCase):
    def setUp(self):
        super().setUp()
        prepare()

    def run_ctl(self, *words, text=None, env=None):
        return subprocess.run([CTL, *words], user=USER, group=USER, extra_groups=[], cwd="/", input=text, capture_output=True,
                              text=True, timeout=DEADLINE, check=False, env=dict(os.environ, **(env or {})))

    def ctl(self, *words, code=DONE, **arguments):
        """What it has printed; with `code`, where."""
        ran = self.run_ctl(*words, **arguments)
        self.assertEqual(ran.returncode, code, f"{words}: {ran.stdout}{ran.stderr}")
        if code == DONE:
            self.assertEqual(ran.stderr, "")
        return ran.stdout if code == DONE or "--json" in words else ran.stderr

    def json(self, *words, **arguments):
        return [json.loads(line) for line in self.ctl("--json", *words, **arguments).splitlines()]


class Find(CtlTestCase):
    def test_none(self):
        self.assertIn("no helper with a control socket", self.ctl("info", code=UNREACHED))
        self.assertIn("ENOENT", self.ctl("-s", f"{USER_DIR}/nothing", "info", code=UNREACHED))

    def test_the_only_one(self):
        _, helper = self.pair(control=True)
        self.assertEqual(self.json("info")[0]["return"]["pid"], helper.pid)

    def test_one_without_a_socket_does_not_count(self):
        _, helper = self.pair(control=True)
        self.pair()
        self.assertEqual(self.json("info")[0]["return"]["pid"], helper.pid)

    def test_several_are_listed_and_told_apart(self):
        pairs = [self.pair(control=True) for _ in range(2)]
        message = self.ctl("info", code=UNREACHED)
        for guest, helper in pairs:
            self.assertIn(f"pid {helper.pid}  target pid {guest.pid}  socket {helper.control_path}", message)
            for words in (("--pid", str(helper.pid)), ("--pid", str(guest.pid)), ("-s", helper.control_path)):
                self.assertEqual(self.json(*words, "info")[0]["return"]["pid"], helper.pid)
        self.assertIn("process 1", self.ctl("--pid", "1", "info", code=UNREACHED))


class Verbs(CtlTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.pair(control=True)

    def test_forward(self):
        self.assertIn("10.0.2.100:80", self.ctl("forward", "add", "127.0.0.1:0:80", "127.0.0.1:0:53/udp"))
        listed = self.json("forward", "list")[0]["return"]["rules"]
        self.assertEqual([rule["id"] for rule in listed], [1, 2])
        lines = self.ctl("forward", "list").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn(f"127.0.0.1:{listed[0]['listeners'][0]['host_port']}", lines[1])

        with open(f"{USER_DIR}/rules.json", "w", encoding="ascii") as file:
            file.write(self.ctl("--json", "forward", "list"))
        os.chmod(f"{USER_DIR}/rules.json", 0o644)
        self.ctl("forward", "replace", "--file", f"{USER_DIR}/rules.json")
        self.ctl("forward", "replace", "--file", "-", text="# two\n127.0.0.1:0:80/tcp\n\n127.0.0.1:0:53/udp\n")
        self.assertEqual(self.json("forward", "list")[0]["return"]["rules"], listed)
        self.ctl("forward", "remove", "1", "2")
        self.assertEqual(self.json("forward", "list")[0]["return"]["rules"], [])

    def test_what_the_helper_refuses(self):
        self.assertIn("there is no forward 7", self.ctl("forward", "remove", "7", code=REFUSED))
        self.assertIn("rules[1]", self.ctl("forward", "add", "127.0.0.1:0:80", "nonsense", code=REFUSED))
        reply = self.json("forward", "add", "nonsense", code=REFUSED)
        self.assertEqual(reply[0]["error"]["code"], "invalid")
        self.assertIn("there is no flow 7", self.ctl("kill", "7", code=REFUSED))
        self.assertIn("there are only rule_added", self.ctl("events", "nothing", code=REFUSED))
        self.assertEqual(self.json("forward", "list")[0]["return"]["rules"], [])

    def test_usage(self):
        for words in ((), ("forward",), ("forward", "add"), ("forward", "remove", "x"), ("forward", "replace"), ("nothing",), ("--pid", "x", "info"),
                      ("forward", "replace", "--file", f"{USER_DIR}/nothing"), ("top", "--interval", "0")):
            self.ctl(*words, code=USAGE)

    def test_tables_keep_the_width(self):
        self.ctl("forward", "add", *(f"127.0.0.1:0:{port}" for port in range(80, 90)))
        for columns in (1, 20, 40, 79, 80, 200):
            for words in (("forward", "list"), ("flows",), ("stats",), ("info",)):
                lines = self.ctl(*words, env={"COLUMNS": str(columns)}).splitlines()
                self.assertTrue(lines)
                self.assertLessEqual(max(map(len, lines)), columns, words)

    def test_stats_flows_info(self):
        self.assertIn("loop.turns", self.ctl("stats"))
        self.assertIn("flows", self.json("stats")[0]["return"])
        self.assertIn("PEER", self.ctl("flows"))
        self.assertEqual(self.json("flows", "--rule", "5")[0]["return"]["flows"], [])
        self.assertIn(str(self.helper_.pid), self.ctl("info"))

    def test_events(self):
        for words in (("events",), ("--json", "events", "rule_added")):
            with subprocess.Popen([CTL, *words], user=USER, group=USER, extra_groups=[], stdout=subprocess.PIPE, text=True) as process:
                try:
                    wait_until(lambda: self.helper_.info()["counters"]["control"]["subscribers"], "it has subscribed")
                    self.ctl("forward", "add", "127.0.0.1:0:80")
                    line = process.stdout.readline()
                    if "--json" in words:
                        self.assertIn("events", json.loads(line)["return"])
                        line = process.stdout.readline()
                    elif "path_changed" in line:  # the kernel path was proved just now
                        line = process.stdout.readline()
                    self.assertIn("rule_added", line)
                finally:
                    process.kill()
            wait_until(lambda: not self.helper_.info()["counters"]["control"]["subscribers"], "it is forgotten")

    def test_end_of_the_helper(self):
        with subprocess.Popen([CTL, "events"], user=USER, group=USER, extra_groups=[], stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: self.helper_.info()["counters"]["control"]["subscribers"], "it has subscribed")
            self.helper_.stop()
            self.assertEqual(process.wait(DEADLINE), UNREACHED)
            self.assertIn("has closed the connection", process.stderr.read())

    def test_top_as_text(self):
        self.ctl("forward", "add", "127.0.0.1:0:80")
        frames = self.ctl("top", "-n", "2", "--interval", "0.1", env={"COLUMNS": "80"})
        self.assertEqual(frames.count("netns-helper up"), 2)
        self.assertEqual(frames.count("10.0.2.100:80"), 2)
        self.assertNotIn("\x1b", frames)


class Screen:
    """`netns-ctl top` on a terminal of a size."""

    ENTER, LEAVE = "\x1b[?1049h", "\x1b[?25h\x1b[?1049l"

    def __init__(self, columns, rows, *words):
        self.master, slave = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        os.fchown(slave, USER, USER)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen([CTL, "top", *words], user=USER, group=USER, extra_groups=[], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, start_new_session=True)
        self.text = ""

    def resize(self, columns, rows, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def take(self, seconds=0.0):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.text += os.read(self.master, 65536).decode()
            except OSError:
                return

    def wait_for(self, condition, what):
        def look():
            self.take(0.01)
            return condition(self.text)
        return wait_until(look, what)

    def key(self, text):
        os.write(self.master, text.encode())

    def frames(self):
        """Each frame's lines as they were drawn."""
        drawn = self.text.replace("\x1b[?25l\x1b[2J", "").split(self.LEAVE)[0].split("\x1b[H")[1:]
        return [[re.sub("\x1b\\[[KJ]|\r", "", line) for line in frame.split("\n")] for frame in drawn]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Top(CtlTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.pair(control=True)
        self.ctl("forward", "add", *(f"127.0.0.1:0:{port}" for port in range(80, 90)))

    def screen(self, *arguments):
        return self._keep(Screen(*arguments))

    def assert_given_back(self, screen):
        screen.take(0.05)
        self.assertTrue(screen.text.startswith(Screen.ENTER), screen.text[:40])
        self.assertIn(Screen.LEAVE, screen.text)
        self.assertEqual(screen.text.count("\x1b[?1049l"), 1)
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)

    def test_every_size(self):
        for columns, rows in ((1, 1), (2, 2), (5, 40), (300, 1), (20, 8), (80, 24), (200, 60)):
            with self.subTest(columns=columns, rows=rows):
                screen = self.screen(columns, rows, "-n", "2", "--interval", "0.1")
                self.assertEqual(screen.process.wait(DEADLINE), DONE)
                self.assert_given_back(screen)
                frames = screen.frames()
                self.assertEqual(len(frames), 2)
                for frame in frames:
                    self.assertLessEqual(len(frame), rows)
                    self.assertLessEqual(max(map(len, frame)), columns)

    def test_keys_and_resize(self):
        screen = self.screen(80, 24, "--interval", "60")
        screen.wait_for(lambda text: "sorted by rate" in text, "the first frame")
        screen.key("b")
        screen.wait_for(lambda text: "sorted by bytes" in text, "sorted by bytes")
        screen.key("a")
        screen.wait_for(lambda text: "sorted by age" in text, "sorted by age")
        drawn = len(screen.frames())
        screen.resize(30, 5)
        screen.wait_for(lambda _: len(screen.frames()) > drawn, "drawn for the new size")
        self.assertLessEqual(max(map(len, screen.frames()[-1])), 30)
        self.assertLessEqual(len(screen.frames()[-1]), 5)
        screen.key("q")
        self.assertEqual(screen.process.wait(DEADLINE), DONE)
        self.assert_given_back(screen)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number=number):
                screen = self.screen(80, 24, "--interval", "60")
                screen.wait_for(lambda text: "sorted by" in text, "the first frame")
                screen.process.send_signal(number)
                self.assertEqual(screen.process.wait(DEADLINE), -number)
                self.assert_given_back(screen)

    def test_end_of_the_helper(self):
        screen = self.screen(80, 24, "--interval", "0.1")
        screen.wait_for(lambda text: "sorted by" in text, "the first frame")
        self.helper_.stop()
        self.assertEqual(screen.process.wait(DEADLINE), UNREACHED)
        self.assert_given_back(screen)
        self.assertIn("netns-ctl: ", screen.text.split(Screen.LEAVE)[1])


if __name__ == "__main__":
    main()
