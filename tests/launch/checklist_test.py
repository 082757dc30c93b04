# SPDX-License-Identifier: BSD-3-Clause
"""checklist.md has every line of the checklist once, and every test that it names is there. netns-run.1 has every option of --help."""

import ast
import os
import re
import subprocess
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
LINES = [f"S0-{n:02}" for n in range(1, 38)] + [f"S1-{n:02}" for n in range(1, 17)] + [f"S2-{n:02}" for n in range(1, 11)]
NAMED = re.compile(r'(tests/[\w/]+\.(?:cc|py|h))|"((?:[^"\\]|\\.)+)"|\b([A-Z]\w*\.test_\w+)')


def rows():
    text = (TREE / "tests/launch/checklist.md").read_text()
    return [(line.split("|")[1].strip(), "|".join(line.split("|")[2:-1]).strip()) for line in text.splitlines() if line.startswith("| S")]


def cases_of(path):
    """The names of a file's tests."""
    text = path.read_text()
    if path.suffix != ".py":
        return {case.replace('\\"', '"') for case in re.findall(r'TEST_CASE\("((?:[^"\\]|\\.)*)"', text)}
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    return {f"{name}.{item.name}" for name, node in classes.items() for item in node.body if isinstance(item, ast.FunctionDef)}


class Checklist(unittest.TestCase):
    maxDiff = None

    def test_every_line_stands_once(self):
        self.assertEqual([line for line, _ in rows()], LINES)

    def test_a_line_names_a_test_or_says_why_ours_differs(self):
        for line, text in rows():
            self.assertTrue("tests/" in text or "Differs: " in text, line)

    def test_every_named_test_is_there(self):
        for line, text in rows():
            path, cases = None, set()
            for file, case, function in NAMED.findall(text):
                if file:
                    path = TREE / file
                    self.assertTrue(path.exists(), f"{line}: {file}")
                    cases = cases_of(path)
                    continue
                if path is None:
                    continue  # words of the reason
                wanted = re.compile(".*".join(re.escape(part.strip()) for part in (case or function).split("...")))
                self.assertTrue(any(wanted.match(one) for one in cases), f"{line}: {path.name} has no {case or function!r}")


class Manual(unittest.TestCase):
    def test_options_are_those_of_help(self):
        shown = subprocess.run([os.environ["NETNS_RUN"], "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
        of_help = set(re.findall(r"^ +(?:-\w, ?)?--([a-z0-9]+(?:-[a-z0-9]+)*)", shown, re.MULTILINE))
        page = (TREE / "man/netns-run.1").read_text()
        of_page = set(re.findall(r"^\.It (?:Fl \w , )?Fl Fl ([a-z0-9-]+)", page, re.MULTILINE))
        self.assertEqual(of_page, of_help)


if __name__ == "__main__":
    unittest.main(verbosity=2)
