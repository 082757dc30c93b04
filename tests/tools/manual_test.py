# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages are well-formed, and have every option of --help, every limit of src/base/limits.h and every word of the schema;
README.md has every folder."""
import json
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
MAN = TREE / "man"
PAGE = (MAN / "netns-helper.1").read_text()
LIMITS = (MAN / "netns-helper-limits.7").read_text()
UNITS = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}


def limits_of_header():
    """name -> (value, unit), the unit "s" or "" (counts and bytes)."""
    found = {}
    text = (TREE / "src/base/limits.h").read_text()
    for kind, name, value in re.findall(r"^inline constexpr (auto|[\w:]+) (\w+) =\s+([^;]+);", text, re.MULTILINE):
        if kind == "auto":
            number, unit = re.fullmatch(r"(\d+)(ms|s|min)", value).groups()
            found[name] = (int(number) * {"ms": 1, "s": 1000, "min": 60000}[unit] / 1000, "s")
        else:
            value = " ".join(value.split())
            assert re.fullmatch(r"[\d' +*]+", value), f"{name} = {value}: not a plain number"
            found[name] = (eval(value.replace("'", "")), "")  # digits, + and * only
    return found


def limits_of_page():
    found = {}
    for name, number, unit in re.findall(r"^\.It Dv (\w+) No = (\d+)(?: (\w+))?$", LIMITS, re.MULTILINE):
        if unit in ("s", "ms"):
            found[name] = (int(number) * {"ms": 1, "s": 1000}[unit] / 1000, "s")
        else:
            found[name] = (int(number) * UNITS[unit], "")
    return found


class Manual(unittest.TestCase):
    def test_pages_are_well_formed(self):
        if shutil.which("mandoc") is None:
            if os.environ.get("NETNS_HELPER_MUST_WORK") == "1":
                self.fail("mandoc is not installed (package mandoc)")
            self.skipTest("mandoc is not installed (package mandoc)")
        pages = sorted(MAN.glob("*.[1-8]"))
        self.assertTrue(pages)
        # A reference to a page that is not installed (yet) is told at the style level, which is below this.
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False)
        self.assertEqual(lint.stdout + lint.stderr, "")

    def test_each_page_leads_to_all_others(self):
        pages = {path.name for path in MAN.glob("*.[1-8]")}
        for name in sorted(pages):
            with self.subTest(name):
                see_also = re.search(r"^\.Sh SEE ALSO\n(.*?)(?=^\.Sh |\Z)", (MAN / name).read_text(), re.MULTILINE | re.DOTALL).group(1)
                found = {f"{page}.{section}" for page, section in re.findall(r"^\.Xr (\S+) (\d)", see_also, re.MULTILINE)}
                self.assertEqual(pages - found, {name})
        self.assertEqual(set(re.findall(r"[\w-]+\.[1-8]\b", (MAN / "CMakeLists.txt").read_text())), pages)  # each is installed

    def test_readme_has_every_folder(self):
        house = re.search(r"^## The house$.*?^```$(.*?)^```$", (TREE / "README.md").read_text(), re.MULTILINE | re.DOTALL).group(1)
        named = set(re.findall(r"\b([a-z]+)/ ", house))
        folders = {path.name for top in ("src", "netstack", "tools/netns-run") for path in (TREE / top).iterdir() if path.is_dir()}
        self.assertEqual(folders - named, set())
        self.assertEqual({path for path in re.findall(r"\b(?:src|tools|tests)/[\w./-]+", house) if not (TREE / path).exists()}, set())

    def test_limits_are_those_of_the_header(self):
        self.maxDiff = None
        self.assertEqual(limits_of_page(), limits_of_header())

    def test_options_are_those_of_help(self):
        shown = subprocess.run([os.environ["NETNS_HELPER"], "--help"], capture_output=True, text=True, timeout=30, check=True)
        of_help = set(re.findall(r"--([a-z0-9]+(?:-[a-z0-9]+)*)", shown.stdout))
        of_page = set(re.findall(r"^\.It (?:Fl \w , )?Fl Fl ([a-z0-9-]+)", PAGE, re.MULTILINE))
        self.assertEqual(of_page, of_help)

    def test_netns_ctl_is_that_of_help(self):
        verbs = ("forward add", "forward remove", "forward replace", "forward list", "flows", "kill", "stats", "events", "info", "top")
        shown = "".join(subprocess.run([os.environ["NETNS_CTL"], *words.split(), "--help"], capture_output=True, text=True, timeout=30,
                                       check=True).stdout for words in ("", "forward", *verbs))
        for verb in verbs:
            self.assertIn(verb.split()[-1], shown)
        page = (MAN / "netns-ctl.1").read_text()
        of_help = set(re.findall(r"--([a-z0-9]+(?:-[a-z0-9]+)*)", shown))
        of_page = set(re.findall(r"^\.It (?:Fl \w , )?Fl Fl ([a-z0-9-]+)", page, re.MULTILINE))
        of_page |= set(re.findall(r"^\.It Cm .* Fl Fl ([a-z0-9-]+)", page, re.MULTILINE))
        self.assertEqual(of_page, of_help)
        self.assertEqual({verb for verb in verbs if not re.search(rf"^\.It Cm {verb}\b", page, re.MULTILINE)}, set())
        for directory, name in (("completion", "netns-ctl.bash"), ("completion", "_netns-ctl"), ("completion", "netns-ctl.fish")):
            completed = (TREE / "tools/netns-ctl" / directory / name).read_text()
            words = {word for verb in verbs for word in verb.split()} | of_help
            self.assertEqual({word for word in words if not re.search(rf"\b{word}\b", completed)}, set(), name)

    def test_control_socket_is_that_of_the_schema(self):
        definitions = json.loads((TREE / "share/netns-helper/control.schema.json").read_text())["$defs"]
        page = (MAN / "netns-helper-control.7").read_text()
        commands = {one["properties"]["execute"]["const"] for one in definitions["request"]["oneOf"]}
        self.assertEqual(set(re.findall(r"^\.Ss ([a-z_.]+)$", page, re.MULTILINE)), commands)
        names = {one["properties"]["event"]["const"] for one in definitions["event"]["oneOf"]}
        for where in (page, (MAN / "netns-ctl.1").read_text(), (TREE / "src/control/event_bus.cc").read_text(),
                      *(path.read_text() for path in (TREE / "tools/netns-ctl/completion").iterdir())):
            self.assertEqual({name for name in names if name not in where}, set())
        limit = definitions["request"]["oneOf"][[*(one["properties"]["execute"]["const"] for one in definitions["request"]["oneOf"])].index("flow.list")]
        self.assertEqual(limit["properties"]["arguments"]["properties"]["limit"]["maximum"], limits_of_header()["control_flows"][0])

    def test_every_option_of_slirp4netns_is_judged(self):
        """Same, better or not offered: nothing that slirp4netns takes may be missing."""
        shown = subprocess.run([os.environ["NETNS_HELPER"], "slirp4netns", "--help"], capture_output=True, text=True, timeout=30, check=True)
        of_help = set(re.findall(r"^(?:-\w, )?--([a-z0-9-]+)", shown.stdout, re.MULTILINE))
        page = (MAN / "netns-helper-slirp4netns.7").read_text()
        judged = dict(re.findall(r"^\.It (?:Fl \w , )?Fl Fl ([a-z0-9-]+).*\n\.Em (same|better|other)", page, re.MULTILINE))
        self.assertEqual(set(judged), of_help | {"no-host-loopback", "create-sandbox"})

    def test_annotations_are_those_of_the_hook(self):
        kinds = {"flag": "true, false", "value": "once", "list": "list", "name": "once"}
        source = (TREE / "src/oci/annotations.cc").read_text()
        of_source = {(option, kinds[kind], reach) for option, kind, reach
                     in re.findall(r'\{"([a-z0-9-]+)", Kind::(\w+), AnnotationReach::(\w+)\}', source)}
        page = (MAN / "netns-helper-oci-hook.1").read_text()
        self.assertEqual(set(re.findall(r"^\.It ([a-z0-9-]+) Ta ([a-z, ]+) Ta (\w+)$", page, re.MULTILINE)), of_source)
        self.assertTrue(of_source)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    outcome = program.result
    only_skips = outcome.wasSuccessful() and outcome.skipped and len(outcome.skipped) == outcome.testsRun
    raise SystemExit(77 if only_skips else 0 if outcome.wasSuccessful() else 1)
