# SPDX-License-Identifier: BSD-3-Clause
"""What a runtime does to the OCI hook: its state on standard input, its pipes, its environment."""

import json
import os
import subprocess

from tests.support.lab import HELPER, USER, USER_DIR
from tests.support.helper import START

RUNTIME_DIR = f"{USER_DIR}/xdg"


def runtime_dir():
    if not os.path.isdir(RUNTIME_DIR):
        os.mkdir(RUNTIME_DIR, 0o700)
        os.chown(RUNTIME_DIR, USER, USER)
    return RUNTIME_DIR


def state(pid, ident="box", status="creating", bundle="/nonexistent", annotations=None, **more):
    return json.dumps({"ociVersion": "1.0.2", "id": ident, "status": status, "pid": pid, "bundle": bundle,
                       "annotations": {f"org.netns-helper.{key}": value for key, value in (annotations or {}).items()}, **more})


def call(text, *options, user=USER, env=None):
    """As a runtime does: everything is a pipe, and all are read to their end."""
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": runtime_dir()} if env is None else env
    return subprocess.run([HELPER, "oci-hook", *options], input=text, capture_output=True, text=True, timeout=START, check=False,
                          user=user, group=user, extra_groups=[], env=environment)


def directories(base=None):
    """The hook's directories that are there."""
    path = f"{base or runtime_dir() + '/netns-helper'}/oci"
    return [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []


def number_in(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())
