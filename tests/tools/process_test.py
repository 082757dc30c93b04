# SPDX-License-Identifier: BSD-3-Clause
"""tests/support/process.py: what a clean-up does to processes that have just ended."""

import os
import signal
import subprocess
import sys
import unittest

from tests.support import process


class Ended(unittest.TestCase):
    def child(self):
        child = subprocess.Popen([sys.executable, "-c", "import signal; print(flush=True); signal.pause()"], stdout=subprocess.PIPE)
        self.addCleanup(lambda: (child.kill(), child.wait(), child.stdout.close()))
        child.stdout.readline()
        return child

    def test_a_process_that_has_ended_is_not_an_error(self):
        child = self.child()
        with process.Process(child.pid) as held:
            self.assertTrue(held.is_running())
            child.kill()
            child.wait()
            self.assertTrue(held.wait())
            self.assertFalse(held.signal(signal.SIGTERM))
            held.end()
        self.assertFalse(process.send(child.pid, signal.SIGTERM))
        with self.assertRaises(ProcessLookupError):
            process.Process(child.pid)

    def test_all_of_a_kind(self):
        """One of them ends between being found and being killed."""
        children = [self.child() for _ in range(3)]
        pids = {child.pid for child in children}

        def wanted(pid):
            if pid == children[1].pid:
                children[1].kill()
                children[1].wait()
            return pid in pids

        self.assertEqual(set(process.end_all(wanted)), pids - {children[1].pid})
        self.assertEqual([child.wait(process.DEADLINE) for child in children], [-signal.SIGKILL] * 3)

    def test_looking_fails_for_those_that_have_gone(self):
        before = len(os.listdir("/proc/self/fd"))

        def gone(pid):
            raise FileNotFoundError(pid)

        self.assertEqual(process.find(gone), [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
