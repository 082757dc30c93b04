# SPDX-License-Identifier: BSD-3-Clause
"""In slirp4netns's place: help, version, texts and exit codes of a command line that breaks a rule, each seen on both."""

import os
import re
import subprocess

from tests.support.case import main
from tests.support.guest import DEADLINE
from tests.support.lab import HELPER, USER
from tests.support.slirp4netns import Slirp4netnsTestCase, ours, theirs

# Words that end in exit code 1 with the same words on standard error, and the same of usage or not.
SAME = (
    (), ("1",), ("abc", "tap0"), ("0", "tap0"), ("1x", "tap0"), ("-5", "tap0"), ("--foo",), ("1", "tap0", "--mtu"), ("--enable-",),
    ("--configure=x", "1", "tap0"), ("--mtu=0", "1", "tap0"), ("--mtu=65522", "1", "tap0"), ("--mtu=abc", "1", "tap0"),
    ("-m", "12x", "1", "tap0"), ("-e", "x", "1", "tap0"), ("-e", "-1", "1", "tap0"), ("-r", "x", "1", "tap0"), ("-r", "-1", "1", "tap0"),
    ("--cidr=24", "1", "tap0"), ("--cidr=foo", "1", "tap0"), ("--cidr=10.0.2.0", "1", "tap0"), ("--cidr=10.0.2.100/24", "1", "tap0"),
    ("--cidr=10.0.2.0/26", "1", "tap0"), ("--cidr=10.0.2.0/0", "1", "tap0"), ("--cidr=10.0.2.0/99", "1", "tap0"),
    ("--cidr=999.0.2.0/24", "1", "tap0"), ("--cidr=", "1", "tap0"), ("--netns-type=path", "/nonexistent", "tap0"),
    ("--netns-type=other", "/nonexistent", "tap0"), ("--userns-path=/nonexistent", "1", "tap0"), ("--macaddress=02:00:00:00:00:01", "1", "tap0"),
    ("-c", "--macaddress=zz:11:22:33:44:55", "1", "tap0"), ("-c", "--macaddress=00:11:22:33:44:55:66", "1", "tap0"),
    ("--outbound-addr=nosuch0", "1", "tap0"), ("--outbound-addr=::1", "1", "tap0"), ("--target-type=foo", "1", "tap0"),
    ("--target-type=bess", "-c", "/x"), ("--target-type=bess", "--netns-type=path", "/x"), ("--target-type=bess", "--userns-path=/", "/x"),
    ("--target-type=bess", "/x", "tap0"), ("--target-type=bess",),
    ("--no-host-loopback", "--create-sandbox", "--enable-seccomp", "-6", "--target-type=foo", "1", "tap0"),
)


def warnings(text):
    return [line for line in text.splitlines() if line.startswith("WARNING")]


class Usage(Slirp4netnsTestCase):
    def test_options_of_help(self):
        """podman, buildah and RootlessKit look for options in the help, and want exit code 0."""
        seen = []
        for binary in (ours(), theirs()):
            done = self.call(binary, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith(f"Usage: {binary} [OPTION]... PID|PATH"), done.stdout)
            seen.append([line.split()[:2] if line.startswith("-") and line[1] != "-" else line.split()[:1]
                         for line in done.stdout.splitlines() if line.startswith("-")])
        self.assertEqual(seen[0], seen[1])

    def test_format_of_version(self):
        keys = []
        for binary in (ours(), theirs()):
            done = self.call(binary, "--version")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            lines = done.stdout.splitlines()
            self.assertRegex(lines[0], r"^slirp4netns version \d+\.\d+\.\d+$")
            self.assertRegex(lines[2], r"^libslirp: \d+\.\d+\.\d+$")
            self.assertGreaterEqual(int(re.fullmatch(r"SLIRP_CONFIG_VERSION_MAX: (\d+)", lines[3]).group(1)), 3)
            self.assertRegex(lines[4], r"^libseccomp: \d+\.\d+\.\d+$")
            keys.append([line.rpartition(" ")[0] for line in lines[:5]])
        self.assertEqual(keys[0], keys[1])
        self.assertIn("netns-helper", self.call(ours(), "--version").stdout)

    def test_broken_rules(self):
        for words in SAME:
            with self.subTest(words=words):
                mine, original = self.call(ours(), *words), self.call(theirs(), *words)
                self.assertEqual((mine.returncode, original.returncode), (1, 1))
                # The original's name in getopt's messages is its own path, and some of its last lines lack their end.
                self.assertEqual(mine.stderr.replace(ours(), "X").strip(), original.stderr.replace(theirs(), "X").strip())
                self.assertEqual("Usage: " in mine.stdout, "Usage: " in original.stdout)
                self.assertEqual(warnings(mine.stdout), warnings(original.stdout))

    def test_what_only_ends_later_or_worse_there(self):
        for words, text in ((("--mtu=67", "1", "tap0"), "MTU must be at least 68"),
                            (("-c", "--macaddress=1", "1", "tap0"), "macaddress has to be a valid MAC address"),
                            (("--outbound-addr6=nosuch0", "1", "tap0"), "outbound-addr6 has to be valid ipv6 address or interface name."),
                            (("-e", "99", "1", "tap0"), "file descriptor 99 is not open"),
                            (("999999999", "tap0"), "No such process"),
                            (("--netns-type=tapfd", "x"), "TAPFD must a file descriptor"),
                            (("--cidr=127.0.0.0/8", "1", "tap0"), "ordinary addresses")):
            with self.subTest(words=words):
                done = self.call(ours(), *words)
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, done.stderr)

    def test_too_many_operands_are_a_warning(self):
        for binary in self.both():
            done = self.call(binary, "999999999", "tap0", "more")
            self.assertIn("WARNING: too many arguments\n", done.stdout)
            self.assertEqual(done.returncode, 1)

    def test_as_first_word_of_our_own_name(self):
        done = subprocess.run([HELPER, "slirp4netns", "--version"], capture_output=True, text=True, timeout=DEADLINE, user=USER, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("slirp4netns version "))
        done = subprocess.run([HELPER, "slirp4netns", "abc", "tap0"], capture_output=True, text=True, timeout=DEADLINE, user=USER, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, "PID must be a positive integer\n"))
        self.assertTrue(done.stdout.startswith("Usage: slirp4netns [OPTION]... "))

    def test_a_path_of_108_bytes_for_the_api_socket(self):
        for binary in self.both():
            guest = self.guest()
            done = self.call(binary, "-c", "-a", "/tmp/" + "x" * 103, str(guest.pid), "tap0")
            self.assertEqual(done.returncode, 1)
            self.assertIn("the specified API socket path is too long (>= 108)", done.stderr)
            self.assertFalse(os.path.exists("/tmp/" + "x" * 103))


if __name__ == "__main__":
    main()
