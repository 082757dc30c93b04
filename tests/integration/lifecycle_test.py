# SPDX-License-Identifier: BSD-3-Clause
"""Starting, saying so, ending, and leaving nothing behind."""

import os
import re
import select
import signal
import socket
import subprocess
import time

from tests.support import kernel, process
from tests.support.case import LabTestCase, main, processes
from tests.support.guest import Guest
from tests.support.helper import EVERYWHERE, Helper, wait_until
from tests.support.lab import HELPER, USER, USER_DIR
from tests.support.skip import need_tool, not_tried, sanitized, skip

SOON = 5.0  # s; promised is one
STOCK = 64  # blank stand-ins that are kept: between half of it and all
CYCLES = 200 // (10 if sanitized() else 1)


class Ends(LabTestCase):
    def _ended(self, helper, code=0, timeout=SOON):
        self.assertEqual(helper.wait_exit(timeout), code, helper.log())
        if helper.control_path:
            self.assertFalse(os.path.exists(helper.control_path))
        self.assertEqual(processes(), [])

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                guest, helper = self.pair(control=True)
                self.assertEqual(helper.stop(number), 0)
                self._ended(helper)
                wait_until(lambda: guest.link() is None, "the TAP goes")

    def test_signals_that_are_ignored_at_the_start_end_nothing(self):
        """nohup(1), and a shell's jobs in the background of a script."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(signal=number):
                ignoring = ("python3", "-c", f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])")
                guest = self.guest()
                helper = self.helper(guest=guest, control=True, wrapper=ignoring)
                helper.process.send_signal(number)
                helper.ask("info")
                self.assertIsNone(helper.process.poll())
                self.assertEqual(helper.stop(signal.SIGTERM), 0)
                self._ended(helper)

    def test_what_it_is_started_with_changes_nothing(self):
        """Children inherited over exec that have ended, a low limit of descriptors or of the size of files, closed descriptors, signals."""
        zombies = "import os, sys\nfor _ in range(20):\n  if os.fork() == 0: os._exit(5)\n" \
                  "for _ in range(20): os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)\nos.execv(sys.argv[1], sys.argv[1:])"
        careless = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);" \
                   "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE, signal.SIGTERM}); os.execv(sys.argv[1], sys.argv[1:])"
        for wrapper in (("python3", "-c", zombies), ("python3", "-c", careless),
                        *(("sh", "-c", f"{start}", "sh") for start in ('ulimit -n 64; exec "$@"', 'ulimit -f 0; exec "$@"',
                                                                       'exec "$@" <&- >&- 2>&-', 'umask 777; exec "$@"'))):
            with self.subTest(wrapper=wrapper):
                guest, helper = self.pair(control=True, wrapper=wrapper)
                self.assert_works(guest)
                with self.agent(helper) as agent:
                    self.assertEqual(helper.stop(), 0)
                    self._ended(helper)
                    self.assertTrue(agent.wait(), "the agent has not ended")

    def test_exit_fd_closed(self):
        _, helper = self.pair(exit_pipe=True, control=True)
        helper.close_exit_fd()
        self._ended(helper)

    def test_exit_fd_written_to(self):
        _, helper = self.pair(exit_pipe=True, control=True)
        os.write(helper.exit_fd, b"x")
        self._ended(helper)

    def test_target_process_gone(self):
        guest, helper = self.pair("--forward", "18300:80", control=True)
        guest.kill()
        self._ended(helper)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 18300), 5)

    def test_target_gone_by_pid_though_the_namespace_is_held(self):
        """And its number given to another guest: that one is not touched."""
        guest, helper = self.pair()
        guest.kill()
        last_pid = "/proc/sys/kernel/ns_last_pid"
        if not os.path.exists(last_pid):
            not_tried(f"the kernel has no {last_pid} (CONFIG_CHECKPOINT_RESTORE)")
        with open(last_pid, "w", encoding="ascii") as file:
            file.write(str(guest.pid - 1))
        other = self.guest()
        self._ended(helper)
        self.assertIsNone(other.link())

    def test_target_that_is_dying(self):
        """Killed at every moment of the start: the helper ends, with 0 or a reason, and never hangs."""
        for step in range(20):
            guest = self.guest()
            helper = self.helper(guest=guest, wait=False)
            time.sleep(step * 0.002)
            guest.kill()
            self.assertIn(helper.wait_exit(), (0, 1))
            if helper.process.returncode == 1:
                self.assertNotEqual(helper.log(), "")
        self.assertEqual(processes(), [])

    def _bound(self, guest):
        path = f"{USER_DIR}/ns-{guest.pid}"
        with open(path, "w", encoding="ascii"):
            pass
        kernel.mount(f"/proc/{guest.pid}/ns/net", path, flags=kernel.MS_BIND)
        return path

    def test_namespace_path_unmounted(self):
        path = self._bound(self.guest())
        helper = self.helper("--netns", path, control=True)
        kernel.umount(path)
        if "--sandbox" in EVERYWHERE:  # then it is the file's removal that is noticed (netns-helper.1, CONFINEMENT)
            os.unlink(path)
            return self._ended(helper)
        self._ended(helper)
        os.unlink(path)

    def test_namespace_path_removed(self):
        guest = self.guest()
        link = f"{USER_DIR}/link-{guest.pid}"
        os.symlink(f"/proc/{guest.pid}/ns/net", link)
        helper = self.helper("--netns", link)
        os.unlink(link)
        self._ended(helper)

    def test_namespace_path_leads_to_another(self):
        first, second = self.guest(), self.guest()
        link = f"{USER_DIR}/link-{first.pid}"
        os.symlink(f"/proc/{first.pid}/ns/net", link)
        helper = self.helper("--netns", link)
        os.symlink(f"/proc/{second.pid}/ns/net", link + ".new")
        os.rename(link + ".new", link)
        self._ended(helper)
        os.unlink(link)

    def test_by_fd_the_exit_fd_only(self):
        guest = self.guest()
        helper = self.helper("--netns", str(guest.netns_fd()), pass_fds=[guest.netns_fd()], exit_pipe=True)
        guest.kill()
        self.assert_works(guest)
        helper.close_exit_fd()
        self._ended(helper)


class Killed(LabTestCase):
    def test_agent_dies_too_and_the_next_helper_takes_over(self):
        guest, helper = self.pair(control=True)
        path = helper.control_path
        with self.agent(helper) as agent:
            self.assertTrue(agent.is_running())
            self.assertEqual(helper.stop(signal.SIGKILL), -signal.SIGKILL)
            self.assertTrue(agent.wait(), "the agent has not ended")
        wait_until(lambda: guest.link() is None, "the TAP goes")
        self.assertTrue(os.path.exists(path), "a stale socket is left")
        successor = self.helper("--api-socket", path, guest=guest)
        self.assert_works(guest)
        successor.control_path = path
        self.assertEqual(successor.info()["pid"], successor.pid)
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])

    def test_a_live_control_socket_is_not_taken(self):
        _, first = self.pair(control=True)
        second = self.helper("--api-socket", first.control_path, guest=self.guest(), wait=False)
        self.assertEqual(second.wait_exit(), 1)
        self.assertIn(first.control_path, second.log())
        self.assertEqual(first.info()["pid"], first.pid)

    def test_a_path_too_long_for_a_socket(self):
        helper = self.helper("--api-socket", "/" + "x" * 200, guest=self.guest(), wait=False)
        self.assertIn(helper.wait_exit(), (1, 2))
        self.assertIn("too long", helper.log())

    def test_a_file_in_place_of_the_control_socket_is_not_removed(self):
        path = f"{USER_DIR}/precious"
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        helper = self.helper("--api-socket", path, guest=self.guest(), wait=False)
        self.assertIn(helper.wait_exit(), (1, 2))
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")


class WholeLife(LabTestCase):
    def test_no_execve(self):
        """Neither helper nor agent runs a program, from the first to the last system call."""
        need_tool("strace", "strace")
        trace = f"{USER_DIR}/trace"
        guest = self.guest()
        helper = self.helper(guest=guest, control=True,
                             wrapper=("env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", trace))
        helper.forward(18301, 80)
        self.assert_works(guest)
        for pid in helper.children():  # of strace, which passes no signal on
            process.send(pid, signal.SIGTERM)
        helper.wait_exit()
        with open(trace, encoding="ascii") as file:
            calls = re.findall(r"^\d+ +(execve\w*\(.*)", file.read(), re.M)
        self.assertEqual(len(calls), 1, calls)
        self.assertIn("netns-helper", calls[0])

    def test_nothing_inherited_is_kept(self):
        """Descriptors the caller forgot are closed: a pipe whose other end waits for its end gets it."""
        read, write = os.pipe()
        _, _ = self.pair(pass_fds=[write])
        os.close(write)
        self.addCleanup(os.close, read)
        with os.fdopen(os.dup(read), "rb") as file:
            wait_until(lambda: _at_end(file.fileno()), "the helper closes what it was not given")


def _at_end(fd):
    return bool(select.select([fd], [], [], 0)[0])


class Cycles(LabTestCase):
    """Attach and detach, again and again, leave no process, namespace, TAP, file or descriptor."""

    def _files(self):
        return sorted(name for name in os.listdir(USER_DIR) if not name.startswith("helper-"))

    def _cycle(self, guest):
        helper = Helper(guest=guest, control=True)
        try:
            self.assertEqual(helper.stop(), 0)
        finally:
            helper.close()
        os.unlink(helper.stderr_path)

    def test_the_same_guest(self):
        guest = self.guest()
        self._cycle(guest)
        files, fds = self._files(), len(os.listdir("/proc/self/fd"))
        for _ in range(CYCLES // 2):
            self._cycle(guest)
        self.assertEqual(processes(), [])
        self.assertEqual(self._files(), files)
        self.assertEqual(len(os.listdir("/proc/self/fd")), fds)
        wait_until(lambda: [link["ifname"] for link in guest.ip("link", "show")] == ["lo"], "no TAP is left")
        self.assertEqual(guest.ip("route", "show", "table", "all", "dev", "tap0") if guest.link() else [], [])

    def test_a_new_guest_each(self):
        """The kernel counts the network namespaces: were one kept, the limit would be met."""
        limit = "/proc/sys/user/max_net_namespaces"
        with open(limit, encoding="ascii") as file:
            before = file.read()
        try:
            with open(limit, "w", encoding="ascii") as file:
                file.write("40")
        except OSError as error:
            skip(f"{limit}: {error}")
        try:
            for _ in range(CYCLES // 2):
                guest = wait_until(self._new_guest, "a namespace is free")
                try:
                    self._cycle(guest)
                finally:
                    guest.close()
        finally:
            with open(limit, "w", encoding="ascii") as file:
                file.write(before)
        self.assertEqual(processes(), [])

    @staticmethod
    def _new_guest():
        try:
            return Guest()
        except RuntimeError:  # the kernel takes namespaces down in its own time
            return None

    def test_descriptors_of_a_helper_that_stays(self):
        guest, helper = self.pair(control=True)
        server = self.tcp_server(self.lab.internet, "203.0.113.80")
        echo = self.udp_server(self.lab.internet, "203.0.113.80")

        def use():
            for number in range(20):
                made = helper.forward(18310 + number, 80, "tcp" if number % 2 else "udp")
                helper.ask("remove_hostfwd", {"id": made["id"]})
                with guest.connect("203.0.113.80", server.port) as connection:
                    self.assert_tcp_echo(connection)
            with guest.udp("203.0.113.80", echo.port) as flow:
                self.assert_udp_echo(flow)

        use()
        wait_until(lambda: helper.ask("stats")["return"]["flows"]["now"]["relay"] == 0, "the relayed flows end")
        before = helper.fds()
        for _ in range(5):
            use()
        wait_until(lambda: helper.fds() <= before + 2 + STOCK, lambda: f"descriptors come back to {before}, are {helper.fds()}")


class Rest(LabTestCase):
    def test_idle_costs_nothing(self):
        guest, helper = self.pair(control=True)
        guest.ping("10.0.2.2")
        self.assert_quiet(helper)

    def test_unprivileged(self):
        """The helper runs as who started it."""
        _, helper = self.pair()
        with open(f"/proc/{helper.pid}/status", encoding="ascii") as file:
            self.assertIn(f"Uid:\t{USER}\t{USER}", file.read())

    def test_version_and_help(self):
        for option, words in (("--version", ("netns-helper", "libslirp")), ("--help", ("--pid", "--forward", "--api-socket"))):
            done = subprocess.run([HELPER, option], capture_output=True, text=True, timeout=20, check=True)
            for word in words:
                self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
