# SPDX-License-Identifier: BSD-3-Clause
"""Includes point downwards, and the libraries of CMake are linked as the includes say. One table, TABLE, has both."""
import re
import tempfile
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]

# Each folder (its sub-folders belong to it) with the folders that it includes directly, from the bottom to the top: a row names rows
# above it alone, so that there is no circle. A file that starts a program is a row of its own, because it may choose among folders
# that know nothing of each other. What a row names must also be included: the table says what is, not what might be.
TABLE = {
    "src/base": "",
    "src/loop": "src/base",
    "src/linux": "src/base",
    "src/json": "src/base",
    "src/rules": "src/base",
    "src/netlink": "src/base",
    "src/confine": "src/base src/linux",
    "netstack/frame": "src/base",
    "netstack/plan": "src/base netstack/frame",
    "netstack/guard": "src/base netstack/frame netstack/plan",
    "netstack/relay": "src/base src/loop netstack/plan",
    "netstack/slirp": "src/base src/loop netstack/frame netstack/guard netstack/plan netstack/relay",
    "netstack/tcp": "src/base netstack/frame netstack/plan netstack/relay",
    "netstack/udp": "src/base src/loop netstack/frame netstack/plan netstack/relay",
    "netstack/dns": "src/base src/loop netstack/frame netstack/plan",
    "netstack/bridge": "src/base src/loop netstack/frame netstack/plan netstack/guard netstack/slirp netstack/relay netstack/tcp"
                       " netstack/udp netstack/dns",
    "src/agent": "src/base src/loop src/linux src/netlink src/confine netstack/relay",
    "src/control": "src/base src/loop src/linux src/json src/rules netstack/relay",
    "src/forward": "src/base src/linux src/rules src/agent src/control netstack/plan netstack/slirp netstack/relay netstack/tcp"
                   " netstack/udp",
    "src/helper": "src/base src/loop src/linux src/json src/rules src/netlink src/confine src/agent src/control src/forward netstack/plan"
                  " netstack/slirp netstack/tcp netstack/dns netstack/bridge",
    "src/oci": "src/base src/linux src/json",
    "src/helper/main.cc": "src/helper src/oci",
    "tools/netns-run": "src/base src/linux src/json src/rules src/netlink netstack/plan",
    "tools/netns-run/main.cc": "src/base src/linux tools/netns-run",
    "tools/netns-ctl": "src/base src/json",
    "tools/netns-ctl/main.cc": "tools/netns-ctl",
    "tools/bench": "src/base",
}

# Includes that the table forbids and that are still there: (file, folder) -> why.
EXCEPTIONS = {}

# Each library outside the project: its headers, its CMake target, and the folders that may include it.
LIBRARIES = {
    "CLI11": (r"CLI/", "CLI11::CLI11", "src/helper tools/netns-run tools/netns-ctl"),  # three command lines
    "GLib": (r"glib", "PkgConfig::GLIB", "src/loop netstack/slirp src/oci"),  # main loop; libslirp logs by it; SHA-256
    "libcap": (r"sys/capability\.h", "netns_cap", "src/linux tools/netns-run"),  # names of capabilities in config.json
    "libnl": (r"netlink/", "netns_nl", "src/netlink"),
    "libseccomp": (r"seccomp\.h", "netns_seccomp", "src/confine"),
    "libslirp": (r"(slirp/)?libslirp", "PkgConfig::SLIRP", "netstack/slirp"),
    "nlohmann-json": (r"nlohmann/", "nlohmann_json::nlohmann_json", "src/json"),
}

SOURCES = ("src", "netstack", "tools")


class Checker:
    """Reads a tree; `faults` are sentences, one a fault."""

    def __init__(self, tree, table=None, exceptions=None):
        self.tree = Path(tree)
        self.table = {row: set(names.split()) for row, names in (TABLE if table is None else table).items()}
        self.exceptions = EXCEPTIONS if exceptions is None else exceptions
        self.faults = []
        self.includes = {row: set() for row in self.table}  # rows that each row includes
        self.external = {row: set() for row in self.table}  # libraries likewise
        self.check_table()
        self.read_sources()
        self.check_unused()
        self.check_cmake()

    def row_of(self, path):
        """The longest row that is the path or a folder of it; None: no row."""
        path = Path(path)
        return next((str(p) for p in (path, *path.parents) if str(p) in self.table), None)

    def check_table(self):
        seen = set()
        for row, names in self.table.items():
            for name in sorted(names - seen):
                self.faults.append(f"the table: {row} names {name}, which is no row above it")
            seen.add(row)

    def read_sources(self):
        used = set()
        for top in SOURCES:
            for path in sorted((self.tree / top).rglob("*")):
                if path.suffix in (".cc", ".h"):
                    self.read_source(path.relative_to(self.tree).as_posix(), path.read_text(), used)
        for unused in sorted(set(self.exceptions) - used):
            self.faults.append(f"the exception {unused} is of no use any longer")

    def read_source(self, name, text, used):
        row = self.row_of(name)
        if row is None:
            self.faults.append(f"{name}: its folder has no row in the table")
            return
        for mark, included in re.findall(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.MULTILINE):
            if mark == "<":
                self.note_external(name, row, included)
                continue
            if not (self.tree / included).is_file():
                self.faults.append(f"{name} includes {included}, which is no file of the tree")
                continue
            other = self.row_of(included)
            if other == row:
                continue
            if other in self.table[row]:
                self.includes[row].add(other)
            elif (name, other) in self.exceptions:
                used.add((name, other))
                self.includes[row].add(other)
            else:
                self.faults.append(f"{name} includes {included}: {row} may not include {other or 'that'}")

    def note_external(self, name, row, header):
        for library, (pattern, _, folders) in LIBRARIES.items():
            if not re.match(pattern, header):
                continue
            self.external[row].add(library)
            if row not in folders.split():
                self.faults.append(f"{name} includes <{header}>: {library} is for {folders} alone")

    def check_unused(self):
        for row, names in self.table.items():
            for name in sorted(names - self.includes[row]):
                self.faults.append(f"the table: {row} names {name}, and does not include it")

    def check_cmake(self):
        """USES of each netns_library() is what its folder includes: what the linker needs is named where it is needed."""
        libraries, linked = {}, {}
        for path in sorted(self.tree.rglob("CMakeLists.txt")):
            folder = path.parent.relative_to(self.tree).as_posix()
            for body in re.findall(r"netns_library\(([^)]*)\)", path.read_text()):
                words = body.split()
                if folder.split("/")[0] in SOURCES:
                    libraries[words[0]] = folder
                    linked[folder] = words[words.index("USES") + 1:] if "USES" in words else []
        targets = {folder: name for name, folder in libraries.items()}
        for folder, uses in linked.items():
            wanted = {targets[row] for row in self.includes.get(folder, ()) if row in targets}
            wanted |= {LIBRARIES[library][1] for library in self.external.get(folder, ())}
            known = set(libraries) | {target for _, target, _ in LIBRARIES.values()}
            for name in sorted(wanted - set(uses)):
                self.faults.append(f"{folder}/CMakeLists.txt: USES lacks {name}, which the folder includes")
            for name in sorted(set(uses) & known - wanted):
                self.faults.append(f"{folder}/CMakeLists.txt: USES has {name}, which the folder does not include")
            for name in sorted(name for name in uses if uses.count(name) > 1):
                self.faults.append(f"{folder}/CMakeLists.txt: USES has {name} more than once")


class Layers(unittest.TestCase):
    def test_the_tree_keeps_to_the_table(self):
        faults = Checker(TREE).faults
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_readme_shows_the_table(self):
        """Every folder of the table stands in README's picture of the house."""
        readme = (TREE / "README.md").read_text()
        for row in TABLE:
            if row.endswith(".cc"):
                continue
            top, folder = row.split("/")
            self.assertRegex(readme, rf"(?m)\b{re.escape(folder)}/", f"{row} is not in README")


class PlantedFaults(unittest.TestCase):
    """The checker on small trees, each with one fault."""

    TABLE = {"src/base": "", "src/loop": "src/base", "src/loop/main.cc": "src/loop"}
    FILES = {
        "src/base/a.h": "#pragma once\n",
        "src/base/CMakeLists.txt": "netns_library(nh_base SOURCES a.cc)\n",
        "src/loop/b.h": '#include "src/base/a.h"\n',
        "src/loop/b.cc": "#include <glib.h>\n",
        "src/loop/CMakeLists.txt": "netns_library(nh_loop\n  SOURCES b.cc\n  USES nh_base PkgConfig::GLIB)\n",
        "src/loop/main.cc": '#include "src/loop/b.h"\n',
    }

    def faults(self, change=None, table=None, exceptions=None):
        with tempfile.TemporaryDirectory() as tree:
            for name, text in {**self.FILES, **(change or {})}.items():
                path = Path(tree) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return Checker(tree, self.TABLE if table is None else table, exceptions or {}).faults

    def assert_fault(self, part, **given):
        faults = self.faults(**given)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(part, faults[0])

    def test_a_sound_tree_has_none(self):
        self.assertEqual(self.faults(), [])

    def test_an_include_that_points_upwards(self):
        self.assert_fault("src/base may not include src/loop", change={"src/base/a.h": '#include "src/loop/b.h"\n'})

    def test_an_include_in_a_sub_folder(self):
        self.assert_fault("src/base may not include src/loop", change={"src/base/deep/x.cc": '  #  include "src/loop/b.h"\n'})

    def test_an_exception_has_to_be_used(self):
        upwards = {"src/base/a.h": '#include "src/loop/b.h"\n'}
        excused = {("src/base/a.h", "src/loop"): "planted"}
        faults = self.faults(change=upwards, exceptions=excused)
        self.assertEqual(faults, ["src/base/CMakeLists.txt: USES lacks nh_loop, which the folder includes"])
        self.assert_fault("is of no use any longer", exceptions=excused)

    def test_a_table_that_points_upwards(self):
        self.assertIn("the table: src/base names src/loop, which is no row above it",
                      self.faults(table={**self.TABLE, "src/base": "src/loop"}))

    def test_a_row_that_names_too_much(self):
        table = {"src/base": "", "src/linux": "", "src/loop": "src/base src/linux", "src/loop/main.cc": "src/loop"}
        self.assert_fault("src/loop names src/linux, and does not include it", table=table)

    def test_a_folder_without_a_row(self):
        self.assert_fault("its folder has no row", change={"tools/new/x.cc": ""})

    def test_a_file_that_is_not_there(self):
        self.assert_fault("no file of the tree", change={"src/loop/b.cc": '#include <glib.h>\n#include "src/base/gone.h"\n'})

    def test_a_library_of_another_folder(self):
        faults = self.faults(change={"src/base/a.h": "#include <nlohmann/json.hpp>\n"})
        self.assertIn("src/base/a.h includes <nlohmann/json.hpp>: nlohmann-json is for src/json alone", faults)

    def test_uses_that_lacks_a_library(self):
        self.assert_fault("USES lacks nh_base",
                          change={"src/loop/CMakeLists.txt": "netns_library(nh_loop SOURCES b.cc USES PkgConfig::GLIB)\n"})

    def test_uses_that_has_too_much(self):
        self.assert_fault("USES has nh_loop", change={"src/base/CMakeLists.txt": "netns_library(nh_base SOURCES a.cc USES nh_loop)\n"})


if __name__ == "__main__":
    unittest.main()
