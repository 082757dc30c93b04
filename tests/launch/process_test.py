# SPDX-License-Identifier: BSD-3-Clause
"""The command: how it starts, what it has, how signals and the terminal reach it, and what its end is."""

import contextlib
import os
import pty
import select
import signal
import time

from tests.launch.launch import NETNS_RUN, RUNTIME, LaunchTestCase, children, user_file
from tests.support import process
from tests.support.case import main
from tests.support.helper import wait_until
from tests.support.lab import USER_DIR
from tests.support.process import Process

LOCAL = ("--no-net",)
NONE = "0000000000000000"
SETFCAP, SETFCAP_AND_RAW = "0000000080000000", "0000000080002000"  # root inside maps itself into sandboxes of its own


def all_capabilities():
    """As /proc/PID/status has them; newer kernels have more."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return f"{(2 << int(file.read())) - 1:016x}"


class Ending(LaunchTestCase):
    def test_exit_code_of_the_command(self):
        for options in ((), ("--as-pid-1",), ("--pid=host",)):
            for code in (0, 1, 77, 255):
                with self.subTest(options=options, code=code):
                    self.run_command(*LOCAL, *options, "--", "sh", "-c", f"exit {code}", code=code)

    def test_signal_is_128_and_its_number(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            with self.subTest(number=number):
                self.run_command(*LOCAL, "--", "sh", "-c", f"kill -{int(number)} $$", code=128 + number)

    def test_not_found_and_not_executable(self):
        environment = {"PATH": "/usr/bin:/bin"}
        self.run_command(*LOCAL, "--", "no-such-program", code=127, env=environment)
        self.assertIn("no-such-program", self.last_err)
        self.run_command(*LOCAL, "--", "/nonexistent/program", code=127, env=environment)
        self.run_command(*LOCAL, "--", "/etc/passwd", code=126, env=environment)
        self.assertIn("/etc/passwd", self.last_err)

    def test_our_own_failure(self):
        self.run_command("--typo", "--", "true", code=125)
        self.run_command(code=125)
        self.assertIn("missing command", self.last_err)
        self.run_command(*LOCAL, "--root", "/nonexistent", "--", "true", code=125)
        self.assertIn("/nonexistent", self.last_err)

    def test_the_rest_of_the_namespace_goes_with_the_command(self):
        run = self.start(*LOCAL, "--", "sh", "-c", "sleep 1000 & echo started; read x", stdin=-1)
        run.wait_for("started")
        with Process(run.children(run.command())[0]) as sleeper:
            run.process.stdin.close()
            run.wait()
            self.assertTrue(sleeper.wait(), "what the command left behind has not ended")

    def test_orphans_are_reaped(self):
        out = self.sh("for i in 1 2 3 4 5; do (sleep 0.0$i & ); done; "
                      "for i in $(seq 200); do ps -e -o stat=,comm= | grep -q sleep || break; sleep 0.02; done; ps -e -o stat=,comm=", *LOCAL)
        self.assertNotIn("sleep", out)


class Has(LaunchTestCase):
    def test_no_descriptor_but_the_standard_ones(self):
        """Ours are close-on-exec; those that a caller forgot, or gave to us, are not the command's either."""
        read_end, write_end = os.pipe()
        self.close_later(read_end), self.close_later(write_end)
        for options in ((), ("--as-pid-1",), ("--sync-fd", str(write_end)), ("--net=host",)):
            with self.subTest(options=options):
                self.need_device()
                out = self.sh("ls /proc/self/fd | wc -l", *options, pass_fds=[read_end, write_end])
                self.assertEqual(out.strip(), "4")  # and the directory itself

    def test_capabilities(self):
        show = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2"
        self.assertEqual(self.sh(show, *LOCAL).split(), [SETFCAP, SETFCAP, SETFCAP, SETFCAP_AND_RAW, SETFCAP, "1"])
        self.assertEqual(self.sh(show, *LOCAL, "--cap-drop=ALL").split(), [NONE] * 5 + ["1"])
        self.assertEqual(self.sh(show, *LOCAL, "--keep-caps").split()[2], all_capabilities())
        self.assertEqual(self.sh(show, *LOCAL, "--map-root-user", "--cap-add=net_admin").split()[2], "0000000080001000")
        self.assertEqual(self.sh(show, *LOCAL, "--map-current-user", "--cap-add=net_admin").split()[2], "0000000000001000")
        self.assertEqual(self.sh(show, *LOCAL, "--map-current-user").split()[:3], [NONE] * 3)

    def test_kept_capabilities_work(self):
        self.run_command(*LOCAL, "--cap-add=net_admin", "--", "ip", "link", "set", "lo", "down")
        self.run_command(*LOCAL, "--", "ip", "link", "set", "lo", "down", code=2)

    def test_environment(self):
        environment = {"PATH": "/usr/bin:/bin", "OLD": "1", "GONE": "1"}
        out = self.run_command(*LOCAL, "--env", "NEW=a=b", "--unsetenv", "GONE", "--", "env", env=environment).splitlines()
        self.assertIn("NEW=a=b", out)
        self.assertIn("OLD=1", out)
        self.assertFalse([line for line in out if line.startswith("GONE")])
        self.assertEqual(self.run_command(*LOCAL, "--clearenv", "--env", "A=1", "--", "/usr/bin/env", env=environment).splitlines()[0], "A=1")

    def test_directory(self):
        self.assertEqual(self.sh("pwd", *LOCAL, "--chdir", "/usr").strip(), "/usr")
        self.assertEqual(self.sh("pwd", *LOCAL, cwd="/usr/bin").strip(), "/usr/bin")

    def test_signals_as_after_boot(self):
        """Whatever netns-run was started with; but what nohup(1) ignores stays ignored."""
        show = "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2"
        out = self.run_command(*LOCAL, "--", "sh", "-c", show, wrapper=[
            "python3", "-c", "import os,signal,sys;"
            "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD});"
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.signal(signal.SIGUSR1, signal.SIG_IGN);"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"])
        self.assertEqual(out.split(), [NONE, "0000000000000001"])


class Signals(LaunchTestCase):
    TRAP = "import signal,sys,time\n" \
           "def told(number, frame):\n  print(signal.Signals(number).name, flush=True)\n  sys.exit(0) if number == signal.SIGTERM else None\n" \
           "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):\n" \
           "  signal.signal(n, told)\n" \
           "print('started', flush=True)\nwhile True: signal.pause()\n"

    def test_are_passed_on(self):
        for options in ((), ("--as-pid-1",), ("--pid=host",), ("--new-session",)):
            with self.subTest(options=options):
                run = self.start(*LOCAL, *options, "--", "python3", "-c", self.TRAP)
                run.wait_for("started")
                for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTERM"):
                    run.process.send_signal(getattr(signal, name))
                    run.wait_for(name)
                self.assertEqual(run.wait(), 0)

    def test_kill_the_command(self):
        run = self.start(*LOCAL, "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 128 + signal.SIGTERM)

    def test_while_it_is_being_prepared(self):
        """Nothing has started yet: the run is given up, and says so."""
        read_end, write_end = os.pipe()
        self.close_later(write_end)
        run = self.start(*LOCAL, "--block-fd", str(read_end), "--pid-file", f"{USER_DIR}/pid-early", "--", "touch", f"{USER_DIR}/early", pass_fds=[read_end])
        os.close(read_end)
        wait_until(lambda: os.path.exists(f"{USER_DIR}/pid-early"), "it is prepared")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 128 + signal.SIGTERM)
        self.assertIn("--block-fd", run.err())
        self.assertFalse(os.path.exists(f"{USER_DIR}/early"))


class KillChild(LaunchTestCase):
    def _killed(self, *options):
        run = self.start(*LOCAL, *options, "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        command = self._keep(Process(run.child() if "--pid=host" in options else run.command()))
        run.process.kill()
        run.process.wait()
        return command

    def test_yes(self):
        for options in ((), ("--pid=host",)):
            self.assertTrue(self._killed(*options).wait(), "the command has not been killed")

    def test_no(self):
        command = self._killed("--kill-child=no")
        self.assertTrue(command.is_running())
        command.end()

    def test_no_keeps_the_network(self):
        self.need_device()
        run = self.start("--kill-child=no", "--", "sh", "-c", "echo started; exec sleep 1000")
        run.wait_for("started")
        command, helper = self._keep(Process(run.command())), self._keep(Process(run.helper()))
        run.process.kill()
        run.process.wait()
        self.assertTrue(helper.is_running())
        command.end()
        self.assertTrue(helper.wait(), "the helper has not ended with the command")

    def test_no_and_an_ordinary_end(self):
        """The helper ends by the reaper's end, which is no failure of the helper's."""
        self.need_device()
        for _ in range(20):
            self.run_command("--kill-child=no", "--", "true")


def status_of(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(f"{field}:"))


def descendants(pid):
    return [each for child in children(pid) for each in (child, *descendants(child))]


def pending(pid, number):
    return int(status_of(pid, "ShdPnd"), 16) >> (number - 1) & 1 == 1


class Terminal(LaunchTestCase):
    """netns-run in a session of its own with a terminal, started by a shell that does job control."""

    def _session(self, *words):
        pid, master = pty.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                os.setgroups([])
                os.setresgid(1000, 1000, 1000)
                os.setresuid(1000, 1000, 1000)
                os.environ["PS1"] = "prompt> "
                os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
            os._exit(1)
        shell = Process(pid)
        self.addCleanup(lambda: (shell.end(), shell.close(), os.waitpid(pid, 0), os.close(master)))
        self.shell, self.master, self.seen = pid, master, ""
        self._expect("prompt> ")
        self._type(" ".join([NETNS_RUN, *LOCAL, *words]) + "\n")

    def _type(self, text):
        os.write(self.master, text.encode())

    def _expect(self, text):
        deadline = time.monotonic() + RUNTIME
        while text not in self.seen:
            if time.monotonic() > deadline or not select.select([self.master], [], [], RUNTIME)[0]:
                self.fail(f"no {text!r}: {self.seen!r}")
            self.seen += os.read(self.master, 4096).decode(errors="replace")
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def test_interrupt_reaches_the_command_once(self):
        # Blocked and waited for: one that comes before the program waits is not lost.
        script = user_file("interrupt.py", "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
                                           "print('st' + 'arted', flush=True)\n"
                                           "while True:\n  signal.sigwait({signal.SIGINT})\n  print('INT', flush=True)\n"
                                           "  print('again', flush=True)\n")
        self._session("--", "python3", script)
        self._expect("started")
        self._type("\x03")
        self._expect("INT\r\nagain")
        self._type("\x1c")  # Ctrl-\ ends it
        self._expect("prompt> ")
        self.assertNotIn("INT", self.seen)
        self._type("echo code $?\n")
        self._expect(f"code {128 + signal.SIGQUIT}")

    def test_stop_and_go_on(self):
        script = user_file("stop.sh", "echo st''arted\nread x\necho got $x\n")
        self._session("--", "sh", script)
        self._expect("started")
        self._type("\x1a")
        self._expect("Stopped")
        self._expect("prompt> ")
        # The shell knows of its own child only. The command stops by itself, and until it has, it may still read what is
        # typed (n_tty_read looks at the input before it looks at signals).
        command = descendants(self.shell)[-1]
        wait_until(lambda: status_of(command, "State").startswith("T"), "the command stands still")
        self._type("fg\n")
        self._expect("netns-run")
        self._type("it\n")
        self._expect("got it")
        self._expect("prompt> ")

    def test_the_terminal_comes_back(self):
        """From a shell that took it for itself, to a script that goes on to read."""
        script = user_file("outer.sh", f"{NETNS_RUN} --no-net -- bash --norc --noprofile -i -c 'set -m; sleep 0; ps -o tpgid= -p $$; exit 0'\n"
                                       "echo now; read x; echo read $x\n")
        self._session("--", "true")
        self._expect("prompt> ")
        self._type(f"sh {script}\n")
        self._expect("now")
        self._type("more\n")
        self._expect("read more")

    def test_interrupt_reaches_a_session_of_its_own(self):
        """Whoever passes it on: with a reaper that is late, and without one."""
        script = user_file("session.py", "import signal\nsignal.signal(signal.SIGINT, lambda *_: print('INT', flush=True))\n"
                                         "print('st' + 'arted', flush=True)\nwhile True:\n  signal.pause()\n")
        for option in ((), ("--as-pid-1",)):
            with self.subTest(option=option):
                self._session("--new-session", *option, "--", "python3", script)
                self._expect("started")
                launcher = children(self.shell)[0]
                child = children(launcher)[0]
                if not option:
                    self.assertTrue(process.send(child, signal.SIGSTOP))
                    wait_until(lambda: status_of(child, "State").startswith("T"), "the reaper stands still")
                self._type("\x03")
                if not option:
                    wait_until(lambda: not pending(launcher, signal.SIGINT) and pending(child, signal.SIGINT), "the launcher has had its own")
                    self.assertTrue(process.send(child, signal.SIGCONT))
                self._expect("INT")
                process.send(launcher, signal.SIGKILL)

    def test_new_session_has_no_terminal(self):
        self._session("--new-session", "--", "sh", "-c", "'tty < /dev/tty; echo no''ne'")
        self._expect("none")


if __name__ == "__main__":
    main()
