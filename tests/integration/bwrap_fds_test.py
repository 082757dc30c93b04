# SPDX-License-Identifier: BSD-3-Clause
"""--bwrap-info-fd, --block-fd and --sync-fd, with a bwrap of the test's own making: what its descriptors may carry."""

import json
import os
import subprocess

from tests.support.case import LabTestCase, main
from tests.support.guest import DEADLINE
from tests.support.lab import HELPER, USER
from tests.support.skip import environment_for


class InfoFd(LabTestCase):
    def info_fd(self, text, end=True):
        read, write = os.pipe()
        os.write(write, text.encode() if isinstance(text, str) else text)
        self.close_later(read)
        if end:
            os.close(write)
        else:
            self.close_later(write)
        return read

    def attached(self, text, *options, **arguments):
        info = self.info_fd(text, arguments.pop("end", True))
        return self.helper("--bwrap-info-fd", str(info), *options, pass_fds=(info, *arguments.pop("fds", ())), **arguments)

    def refused(self, text, *expected):
        helper = self.attached(text, wait=False)
        self.assertNotEqual(helper.wait_exit(), 0)
        for words in ("--bwrap-info-fd", *expected):
            self.assertIn(words, helper.log())

    def test_the_object_is_enough(self):
        """Whoever else holds the other end: the object's end counts, and what follows is another's business."""
        guest = self.guest()
        for text, end in ((json.dumps({"child-pid": guest.pid}, indent=4), True),
                          (json.dumps({"child-pid": guest.pid, "net-namespace": 4026532000}) + "\n", False),
                          (json.dumps({"child-pid": guest.pid}) + '\n{ "exit-code": 0 }\n', False)):
            with self.subTest(text=text):
                helper = self.attached(text, end=end)
                self.assertEqual(guest.addresses()[0], ("10.0.2.100", 24))
                self.assertEqual(helper.stop(), 0)

    def test_lo_is_left_to_bwrap(self):
        guest = self.guest()
        self.attached(json.dumps({"child-pid": guest.pid}))
        self.assertEqual(guest.link("lo")["addr_info"], [])

    def test_ends_with_the_sandbox(self):
        guest = self.guest()
        helper = self.attached(json.dumps({"child-pid": guest.pid}))
        guest.kill()
        self.assertEqual(helper.wait_exit(), 0)

    def test_what_is_no_info_is_refused(self):
        guest = self.guest()
        self.refused("", "end of file")
        self.refused("[1]", "object")
        self.refused("{}", "child-pid", "missing")
        self.refused('{"child-pid": 0}', "child-pid")
        self.refused('{"child-pid": -1}', "child-pid")
        self.refused('{"child-pid": 1e30}', "child-pid")
        self.refused('{"child-pid": 4294967297}', "child-pid")
        self.refused(f'{{"child-pid": "{guest.pid}"}}', "child-pid", "integer")
        self.refused(f'{{"child-pid": {guest.pid}, "child-pid": 1}}', "twice")
        self.refused('{"child-pid": ' + "[" * 1000, "deep")
        self.refused(f'{{"child-pid": {guest.pid}', "byte")
        self.assertIsNone(guest.link())

    def test_a_signal_ends_the_wait(self):
        helper = self.attached("{", end=False, wait=False)
        helper.process.terminate()
        self.assertIn(helper.wait_exit(), (0, -15))  # -15: before the signals were taken

    def test_excludes_the_other_ways(self):
        guest = self.guest()
        helper = self.attached("{}", "--pid", str(guest.pid), wait=False)
        self.assertEqual(helper.wait_exit(), 2)
        self.assertIn("exactly one", helper.log())


class BlockFd(LabTestCase):
    def blocked(self, guest, *options, wait=True):
        """(helper, the end on which the sandbox would wait)."""
        read, write = os.pipe()
        try:
            helper = self.helper("--block-fd", str(write), *options, guest=guest, pass_fds=(write,), wait=wait)
        finally:
            os.close(write)
        self.close_later(read)
        return helper, read

    def test_one_byte_when_ready(self):
        guest = self.guest()
        _, fd = self.blocked(guest)
        self.assertEqual(os.read(fd, 16), b"1")
        self.assertEqual(os.read(fd, 16), b"")
        self.assert_works(guest)

    def test_when_confined(self):
        guest = self.guest()
        helper, fd = self.blocked(guest, "--sandbox", "--seccomp")
        self.assertEqual(os.read(fd, 16), b"1")
        self.assertEqual(os.read(fd, 16), b"")
        self.assertEqual(helper.stop(), 0)

    def test_a_start_that_fails_kills_who_waits(self):
        """bwrap takes the end of file for the byte: its command would run without a network."""
        guest = self.guest()
        busy = self.tcp_server(self.lab.host, "127.0.0.1")
        helper, fd = self.blocked(guest, "--forward", f"{busy.port}:80", wait=False)
        self.assertEqual(helper.wait_exit(), 1)
        self.assertEqual(os.read(fd, 16), b"")
        self.assertEqual(guest.process.wait(DEADLINE), -9)

    def test_needs_a_process(self):
        helper = self.helper("--netns", "/proc/self/ns/net", "--block-fd", "2", wait=False)
        self.assertEqual(helper.wait_exit(), 2)
        self.assertIn("--block-fd", helper.log())


class StandardDescriptors(LabTestCase):
    def test_they_are_free_for_nobody(self):
        """A number below 3 that were free would be given to a socket, and written to as standard error."""
        guest = self.guest()
        info_read, info_write = os.pipe()
        os.write(info_write, json.dumps({"child-pid": guest.pid}).encode())
        process = subprocess.Popen([HELPER, "--bwrap-info-fd", "0", "--block-fd", "1", "--ready-fd", "2", "--sandbox", "--seccomp"],
                                   user=USER, group=USER, extra_groups=[], stdin=info_read, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd="/", env=environment_for(["--sandbox"]))
        os.close(info_read)
        os.close(info_write)
        try:
            self.assertEqual(process.stdout.read(), b"1")
            self.assertEqual(process.stderr.read(), b"1")
            for fd in (0, 1, 2):
                self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
            self.assert_works(guest)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
            process.stderr.close()


class SyncFd(LabTestCase):
    def test_only_its_end_counts(self):
        guest = self.guest()
        read, write = os.pipe()
        helper = self.helper("--sync-fd", str(read), guest=guest, pass_fds=(read,))
        os.close(read)
        os.write(write, b"not yet")
        self.assert_works(guest)
        self.assertIsNone(helper.process.poll())
        os.close(write)
        self.assertEqual(helper.wait_exit(), 0)
        self.assertIn("--sync-fd", helper.log())

    def test_one_descriptor_for_two_things(self):
        done = subprocess.run([HELPER, "--pid", "1", "--sync-fd", "0", "--exit-fd", "0"], user=USER, group=USER, extra_groups=[],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("same descriptor", done.stderr)


if __name__ == "__main__":
    main()
