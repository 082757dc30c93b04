# SPDX-License-Identifier: BSD-3-Clause
"""A command line that breaks a rule: exit code 2, and the message names the option."""

import subprocess

from tests.support.case import LabTestCase, main
from tests.support.lab import HELPER, USER

WRONG = (
    (),
    ("--pid",), ("--pid", "abc"), ("--pid", "-1"), ("--pid", "0"), ("--pid", "1", "--netns", "/x"), ("--pid", "1 "), ("--pid", "1e3"),
    ("--pid", "99999999999999999999"), ("--nonsense",), ("--pid", "1", "tap0", "tap1"),
    *(("--pid", "1", *rest) for rest in (
        ("--mtu", "67"), ("--mtu", "65522"), ("--mtu", "x"), ("--mtu", ""), ("--mtu", "1500.0"), ("--mtu", "-1"),
        ("--mac", "02:11"), ("--mac", "01:00:00:00:00:01"), ("--mac", "zz:11:22:33:44:55"),
        ("--cidr", "10.0.2.0"), ("--cidr", "10.0.2.100/24"), ("--cidr", "10.0.2.0/26"), ("--cidr", "10.0.2.0/0"),
        ("--cidr", "fd00::/64"), ("--cidr", ""), ("--cidr6", "10.0.2.0/24"), ("--cidr6", "fd00::1/64"), ("--cidr6", "fd00::/129"),
        ("--dns", "example.org"), ("--dns", ""), ("--forward", "http"), ("--forward", "80-82:90,91"),
        ("--forward", "auto:0"), ("--forward", "70080:80"), ("--forward", "1:0"),
        ("--forward", "x:80"), ("--forward", "1:2/sctp"), ("--forward", ""), ("--forward", "::1:80:80"),
        ("--ready-fd", "-1"), ("--ready-fd", "x"), ("--ready-fd", "999"), ("--exit-fd", "999"), ("--exit-fd", ""),
        ("--log-level", "loud"), ("--api-socket", ""),
        ("a-name-longer-than-15",), ("",), ("a/b",), ("..",),
    )),
)


class Usage(LabTestCase):
    def test_wrong(self):
        for words in WRONG:
            with self.subTest(words=words):
                done = subprocess.run([HELPER, *words], capture_output=True, text=True, timeout=20, user=USER, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertTrue(done.stderr.startswith("netns-helper: "), done.stderr)
                self.assertEqual(done.stdout, "")
                if words and words[-2:-1] and words[-2].startswith("--"):
                    self.assertIn(words[-2].lstrip("-"), done.stderr)


if __name__ == "__main__":
    main()
