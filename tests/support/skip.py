# SPDX-License-Identifier: BSD-3-Clause
"""A test that cannot run here says why. With NETNS_HELPER_MUST_WORK=1 (continuous integration) that is a failure."""

import os
import shutil
import unittest

EXIT_SKIPPED = 77


class CannotRun(Exception):
    """The whole program cannot run here."""


def must_work():
    return os.environ.get("NETNS_HELPER_MUST_WORK") == "1"


def sanitized():
    """The helper was built with the sanitizers: several times slower."""
    return os.environ.get("NETNS_HELPER_SANITIZED") == "1"


def skip(reason):
    if must_work():
        raise AssertionError(f"cannot run here, and NETNS_HELPER_MUST_WORK is set: {reason}")
    raise unittest.SkipTest(reason)


def not_tried(reason):
    """Skips a test that is not required anywhere: netns-helper claims nothing where `reason` holds."""
    raise unittest.SkipTest(reason)


def environment_for(words):
    """The environment of a helper that is started with these words. The sanitizers' search for leaks needs /proc and ptrace at the
    end, which the confined have not."""
    environment = dict(os.environ)
    if sanitized() and any(word.endswith(("-sandbox", "-seccomp")) for word in words):
        environment["ASAN_OPTIONS"] = "detect_leaks=0"
    return environment


def need_tool(name, package):
    path = shutil.which(name)
    if path is None:
        skip(f"{name} is not installed (package {package})")
    return path
