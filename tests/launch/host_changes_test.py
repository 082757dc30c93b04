# SPDX-License-Identifier: BSD-3-Clause
"""What netns-run shows the command in place of the host's files stays, whatever the host does to those while the command runs."""

import contextlib
import os
import shutil
import socket

from tests.launch.launch import LaunchTestCase, user_file
from tests.support import clients, dns
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import DNS4, RUN, USER

LOCAL = ("--no-net",)
HOSTS_OWN = "127.0.0.1 localhost\n192.0.2.99 of-the-host\n"


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def renamed_into_place(path, text):
    write(f"{path}.new", text)
    os.rename(f"{path}.new", path)


def removed_and_made(path, text):
    os.unlink(path)
    write(path, text)


def link_in_place(path, text):
    """A link to a file elsewhere takes the name."""
    os.makedirs(f"{RUN}/elsewhere", exist_ok=True)
    target = f"{RUN}/elsewhere/{os.path.basename(path)}-{os.urandom(4).hex()}"
    write(target, text)
    os.symlink(target, f"{path}.new")
    os.rename(f"{path}.new", path)


CHANGES = (write, renamed_into_place, removed_and_made, link_in_place, renamed_into_place)


class Stays(LaunchTestCase):
    def setUp(self):
        super().setUp()
        self._restore = []
        for path in ("/etc/resolv.conf", "/etc/hosts"):
            with open(path, encoding="ascii") as file:
                self.addCleanup(self._put_back, path, file.read())

    @staticmethod
    def _put_back(path, text):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        write(path, text)

    def shell(self, *options, command="sh", **arguments):
        """A run whose shell executes what ask() is given."""
        run = self.start(*options, "--", command, "-c", "echo started; while read -r line; do eval \"$line\"; echo done; done", stdin=-1, **arguments)
        run.wait_for("started")
        run.answered = len(run.out())
        return run

    def ask(self, run, line):
        before = run.answered
        run.process.stdin.write(f"{line}\n".encode())
        run.process.stdin.flush()
        wait_until(lambda: run.out()[before:].endswith("done\n"), f"the answer to {line}")
        run.answered = len(run.out())
        return run.out()[before:-len("done\n")]

    def assert_stays(self, run, path, text):
        """It may be gone for a moment after a change."""
        seen = []

        def there():
            seen.append(self.ask(run, f"cat {path}"))
            return text in seen[-1]

        try:
            wait_until(there, "our file is seen")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[-1]!r}") from None

    def test_resolv_conf(self):
        self.need_device()
        for options in ((), ("--as-pid-1",), ("--pid=host",), ("--ro",)):
            for change in CHANGES:
                with self.subTest(options=options, change=change.__name__):
                    run = self.shell(*options)
                    self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
                    for number in range(3):
                        change("/etc/resolv.conf", f"nameserver 192.0.2.{number}\n")
                        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
                    run.process.stdin.close()
                    self.assertEqual(run.wait(), 0, run.err())

    def test_names_resolve_afterwards(self):
        self.need_device()
        self._keep(dns.Resolver(self.lab.internet, DNS4, "192.0.2.1"))
        run = self.shell()
        renamed_into_place("/etc/resolv.conf", f"# another one\nnameserver {DNS4}\n")
        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
        self.assertIn("192.0.2.1", self.ask(run, "getent ahostsv4 one.test"))

    def test_hosts(self):
        run = self.shell(*LOCAL, "--hostname=box")
        for change in CHANGES:
            with self.subTest(change=change.__name__):
                change("/etc/hosts", HOSTS_OWN)
                self.assert_stays(run, "/etc/hosts", "127.0.1.1\tbox\n")
                self.assertNotIn("of-the-host", self.ask(run, "cat /etc/hosts"))

    def test_the_rest_of_etc_is_the_hosts(self):
        run = self.shell(*LOCAL, "--hostname=box")
        self.addCleanup(os.unlink, "/etc/motd")
        for number in range(2):
            renamed_into_place("/etc/motd", f"message {number}\n")
            self.assertEqual(self.ask(run, "cat /etc/motd"), f"message {number}\n")

    def test_the_target_of_a_link(self):
        """As systemd-resolved has it: its stub file is replaced by rename, and so may be its whole directory."""
        self.need_device()
        directory = f"{RUN}/resolved"
        os.makedirs(directory)
        self.addCleanup(shutil.rmtree, directory)
        write(f"{directory}/stub-resolv.conf", "nameserver 127.0.0.53\n")
        os.unlink("/etc/resolv.conf")
        os.symlink(f"../{directory[1:]}/stub-resolv.conf", "/etc/resolv.conf")
        run = self.shell()
        renamed_into_place(f"{directory}/stub-resolv.conf", "nameserver 127.0.0.54\n")
        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
        os.makedirs(f"{directory}.new")
        write(f"{directory}.new/stub-resolv.conf", "nameserver 127.0.0.55\n")
        os.rename(directory, f"{directory}.old")
        os.rename(f"{directory}.new", directory)
        self.addCleanup(shutil.rmtree, f"{directory}.old")
        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
        # Gone, and back again.
        os.unlink(f"{directory}/stub-resolv.conf")
        write(f"{directory}/stub-resolv.conf", "nameserver 127.0.0.56\n")
        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")

    def test_binds_and_masks(self):
        """A file that the user shows, as a passwd of the command's own, and one that he hides."""
        shown = user_file("passwd-inside", "inside:x:0:0::/:/bin/sh\n")
        write("/etc/secret", "secret\n")
        os.chmod("/etc/secret", 0o644)
        self.addCleanup(os.unlink, "/etc/secret")
        run = self.shell(*LOCAL, "--ro-bind", f"{shown}:/etc/passwd", "--mask", "/etc/secret")
        with open("/etc/passwd", encoding="ascii") as file:
            passwd = file.read()
        for number in range(3):
            renamed_into_place("/etc/passwd", passwd)
            self.assert_stays(run, "/etc/passwd", "inside:x:0:0")
            renamed_into_place("/etc/secret", f"secret {number}\n")
            wait_until(lambda: self.ask(run, "cat /etc/secret") == "", "the secret is hidden again")

    def test_what_the_command_wrote_stays(self):
        self.need_device()
        run = self.shell()
        self.ask(run, "echo search example.test >> /etc/resolv.conf")
        renamed_into_place("/etc/resolv.conf", "nameserver 192.0.2.7\n")
        self.assert_stays(run, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
        self.assertIn("search example.test\n", self.ask(run, "cat /etc/resolv.conf"))

    def test_in_a_root_of_its_own(self):
        self.need_device()
        clients.prepare()
        rootfs = clients.rootfs()
        run = self.shell("--root", rootfs, "--hostname=box", env={"PATH": "/bin"})
        for path, ours in ((f"{rootfs}/etc/resolv.conf", "nameserver 10.0.2.3\n"), (f"{rootfs}/etc/hosts", "\tbox\n")):
            renamed_into_place(path, "192.0.2.9 other\n")
            os.chown(path, USER, USER)
            self.assert_stays(run, path.removeprefix(rootfs), ours)

    def test_nothing_is_left_behind(self):
        """Also of the process that keeps the mounts, when netns-run is killed."""
        run = self.shell(*LOCAL, "--hostname=box")
        run.process.kill()
        run.process.wait()


class NameServices(LaunchTestCase):
    """Services of the host that answer for names over Unix sockets know nothing of the guest's network."""

    PLACES = ("/run/nscd/socket", "/run/avahi-daemon/socket", "/run/systemd/resolve/io.systemd.Resolve")
    TRY = "import socket, sys\nfor path in sys.argv[1:]:\n  s = socket.socket(socket.AF_UNIX)\n  try:\n    s.connect(path); print('connected')\n" \
          "  except OSError as e: print(type(e).__name__)\n"

    def setUp(self):
        super().setUp()
        self.listeners = {}
        for place in self.PLACES:
            directory = os.path.dirname(place)
            os.makedirs(directory, exist_ok=True)
            self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
            self._listen(place)

    def _listen(self, place):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        listener.bind(place)
        os.chmod(place, 0o666)
        listener.listen()
        self.listeners[place] = listener

    def tried(self, *options):
        return self.run_command(*options, "--", "python3", "-c", self.TRY, *self.PLACES).split()

    def test_are_out_of_reach(self):
        for options in (LOCAL, ("--no-net", "--ro"), ("--no-net", "--as-pid-1")):
            with self.subTest(options=options):
                self.assertNotIn("connected", self.tried(*options))
        self.need_device()
        for options in ((), ("--no-dns",), ("--dns", DNS4)):
            with self.subTest(options=options):
                self.assertNotIn("connected", self.tried(*options))

    def test_are_there_in_the_hosts_network(self):
        self.assertEqual(self.tried("--net=host"), ["connected"] * len(self.PLACES))

    def test_stay_out_of_reach_when_they_start_again(self):
        script = "import socket, sys\nprint('started', flush=True)\nfor line in sys.stdin:\n  for path in sys.argv[1:]:\n" \
                 "    s = socket.socket(socket.AF_UNIX)\n    try:\n      s.connect(path); print('connected', end=' ')\n" \
                 "    except OSError as e: print('refused', end=' ')\n  print('.', flush=True)\n"
        run = self.start(*LOCAL, "--", "python3", "-c", script, *self.PLACES, stdin=-1)
        run.wait_for("started")
        for place in self.PLACES:
            self._listen(place)

        def refused():
            before = run.out().count(".")
            run.process.stdin.write(b"\n")
            run.process.stdin.flush()
            wait_until(lambda: run.out().count(".") > before, "an answer")
            return "connected" not in run.out().splitlines()[-1]

        wait_until(refused, "all are refused")


if __name__ == "__main__":
    main()
