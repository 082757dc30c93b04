# SPDX-License-Identifier: BSD-3-Clause
"""tools/lint names every kind of fault, one line each, in a small tree that holds one good file of each kind."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE))

from tests.support.skip import EXIT_SKIPPED, need_tool  # noqa: E402

GOOD = {
    "src/good.cc": "// SPDX-License-Identifier: BSD-3-Clause\nint main() {\n  return 0;\n}\n",
    "tools/good.sh": '# SPDX-License-Identifier: BSD-3-Clause\n# shellcheck shell=bash\necho "$HOME"\n',
    "tools/good": '#!/bin/bash\n# shellcheck source=tools/good.sh\n. "$(dirname "$0")/good.sh"\n',
    "tests/good.py": '"""Does nothing."""\nimport os\n\nprint(os.sep)\n',
    "tools/program": '#!/usr/bin/env python3\nprint("nothing")\n',
    "man/good.1": ".Dd November 29, 2026\n.Dt GOOD 1\n.Os\n.Sh NAME\n.Nm good\n.Nd nothing\n.Sh DESCRIPTION\nIt does nothing.\n",
}

# (file, its text, what the line must say): one fault of each kind, in each kind of file.
FAULTS = (
    ("src/bad.cc", "int  main() { return 0; }\n", "clang-format"),
    ("netstack/bad.h", "inline int f(){ return 0; }\n", "clang-format"),
    ("tools/bad.sh", "#!/bin/bash\ncat $1\n", "SC2086"),
    ("tools/bad", "#!/bin/sh\ncd /tmp\n", "SC2164"),
    ("tests/unused.py", "import os\n", "F401"),
    ("tests/undefined.py", "print(nothing)\n", "F821"),
    ("tests/long.py", f"print('{'x' * 160}')\n", "E501"),
    ("tools/script", "#!/usr/bin/env python3\nimport os\n", "F401"),
    ("man/bad.7", GOOD["man/good.1"].replace("GOOD 1", "BAD 7") + ".Xx\n", "unknown macro"),
)


class Lint(unittest.TestCase):
    def setUp(self):
        for tool in ("clang-format", "shellcheck", "flake8", "mandoc"):
            need_tool(tool, tool)
        if " 14." not in subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=True).stdout:
            self.skipTest("clang-format is not release 14")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.tree = Path(directory.name) / "tree"
        for name in ("tools/lint", "tools/flake8.cfg", ".clang-format"):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TREE / name, self.tree / name)
        for name, text in GOOD.items():
            self.write(name, text)

    def write(self, name, text):
        (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / name).write_text(text)

    def lint(self, *arguments):
        """(exit status, the lines printed)"""
        ran = subprocess.run([self.tree / "tools/lint", *arguments], capture_output=True, text=True, timeout=120, check=False)
        return ran.returncode, (ran.stdout + ran.stderr).splitlines()

    def test_a_good_tree_has_no_finding(self):
        self.assertEqual(self.lint(), (0, []))

    def test_each_planted_fault_is_one_line(self):
        for name, text, says in FAULTS:
            with self.subTest(name):
                self.write(name, text)
                status, lines = self.lint()
                (self.tree / name).unlink()
                self.assertEqual((status, len(lines)), (1, 1), lines)
                self.assertRegex(lines[0], rf"\b{re.escape(name)}:\d+:\d+: .*{re.escape(says)}")

    def test_in_git_only_tracked_files_count(self):
        need_tool("git", "git")
        subprocess.run(["git", "init", "-q", self.tree], check=True)
        git = ["git", "-C", self.tree]
        subprocess.run([*git, "add", "."], check=True)
        self.write("src/bad.cc", FAULTS[0][1])
        self.assertEqual(self.lint(), (0, []))
        subprocess.run([*git, "add", "."], check=True)
        self.assertEqual(self.lint()[0], 1)
        (self.tree / "src/bad.cc").unlink()
        self.assertEqual(self.lint(), (0, []))

    def test_usage(self):
        self.assertEqual(self.lint("--nothing"), (2, ["usage: tools/lint"]))


if __name__ == "__main__":
    os.environ.setdefault("GIT_CONFIG_GLOBAL", "/dev/null")
    program = unittest.main(exit=False)
    outcome = program.result
    only_skips = outcome.wasSuccessful() and outcome.skipped and len(outcome.skipped) == outcome.testsRun
    raise SystemExit(EXIT_SKIPPED if only_skips else 0 if outcome.wasSuccessful() else 1)
