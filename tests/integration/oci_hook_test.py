# SPDX-License-Identifier: BSD-3-Clause
"""The OCI hook under a runtime of the test's own: what it is told, what it starts, what it says, what it leaves."""

import contextlib
import json
import os
import signal
import subprocess

from tests.support import kernel, oci, process
from tests.support.case import LabTestCase, main, processes, runs
from tests.support.guest import DEADLINE, Guest
from tests.support.helper import Control, wait_until
from tests.support.lab import HELPER, USER, USER_DIR

# As crun's containers are while their hooks run: not dumpable, in a user namespace that they have not executed a program in.
NOT_DUMPABLE = """import ctypes, time
libc = ctypes.CDLL(None)
assert libc.unshare(0x10000000 | 0x40000000) == 0  # CLONE_NEWUSER, CLONE_NEWNET
assert libc.prctl(4, 0) == 0  # PR_SET_DUMPABLE
print(flush=True)
time.sleep(3600)
"""


class HookTest(LabTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self._end_all)

    def _end_all(self):
        """Before the check that no helper is left; a test that expects its end has looked at it itself."""
        process.end_all(runs(HELPER))
        subprocess.run(["rm", "-rf", f"{oci.runtime_dir()}/netns-helper"], check=True)

    def create(self, guest, *options, **state):
        done = oci.call(oci.state(guest.pid, **state), *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, text, *expected, options=()):
        done = oci.call(text, *options)
        self.assertNotEqual(done.returncode, 0)
        for words in expected:
            self.assertIn(words, done.stderr)
        self.assert_no_helper()
        return done

    def assert_no_helper(self):
        """The agent of one that the hook has killed ends a moment later (PR_SET_PDEATHSIG)."""
        wait_until(lambda: not processes(), lambda: f"no helper is left; now: {processes()}")

    def the_directory(self):
        (directory,) = oci.directories()
        return directory

    def ask(self, request):
        control = Control(f"{self.the_directory()}/control")
        try:
            return control.ask({"execute": request})["return"]
        finally:
            control.close()


class Attaches(HookTest):
    def test_ready_when_it_ends_and_the_pipes_are_free(self):
        """call() returns only at the end of both pipes; the helper lives on."""
        guest = self.guest()
        done = self.create(guest)
        self.assertEqual(done.stdout, "")
        self.assertEqual(guest.addresses()[0], ("10.0.2.100", 24))
        self.assert_works(guest)
        pid = oci.number_in(f"{self.the_directory()}/pid")
        self.assertIn(pid, processes())
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(os.getsid(pid), pid)
        for fd in (0, 1):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/2"), f"{self.the_directory()}/log")

    def test_ends_with_the_container(self):
        guest = self.guest()
        self.create(guest)
        with process.Process(oci.number_in(f"{self.the_directory()}/pid")) as helper:
            guest.kill()
            self.assertTrue(helper.wait(), "the helper has not ended")

    def test_what_is_left_of_others_goes_with_the_next(self):
        guest = self.guest()
        self.create(guest, ident="first")
        first = self.the_directory()
        guest.kill()
        wait_until(lambda: not processes(), "the helper ends")
        self.create(self.guest(), ident="second")
        self.assertFalse(os.path.exists(first))
        self.assertEqual(len(oci.directories()), 1)

    def test_state_directory_is_private(self):
        self.create(self.guest(), ident="../../../../tmp/evil\n")
        directory = self.the_directory()
        self.assertEqual(os.stat(directory).st_mode & 0o777, 0o700)
        self.assertRegex(os.path.basename(directory), r"^[A-Za-z0-9_]{1,20}-[0-9a-f]{16}$")

    def test_twice_for_one_container(self):
        """prestart and createRuntime may both be configured."""
        guest = self.guest()
        self.create(guest)
        before = processes()
        self.create(guest)
        self.assertEqual(processes(), before)

    def test_another_container_of_the_same_name_is_refused(self):
        self.create(self.guest())
        done = oci.call(oci.state(self.guest().pid))
        self.assertEqual(done.returncode, 1)
        self.assertIn("already serves", done.stderr)

    def test_same_id_in_another_bundle_is_another(self):
        first, second = self.guest(), self.guest()
        self.create(first, bundle="/a")
        self.create(second, bundle="/b")
        self.assertEqual(len(oci.directories()), 2)
        self.assert_works(second)

    def test_all_that_status_may_be(self):
        for status in ("creating", "created", "running"):
            with self.subTest(status=status):
                self.create(self.guest(), ident=status, status=status)

    def test_without_a_runtime_directory(self):
        guest = self.guest()
        base = f"/tmp/netns-helper-{USER}"
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
        self.addCleanup(kernel.umount, "/tmp")
        done = oci.call(oci.state(guest.pid), env={})
        self.assertEqual(done.returncode, 0, done.stderr)
        (directory,) = oci.directories(base)
        done = oci.call(oci.state(0, status="stopped"), env={})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(directory))
        self.assert_no_helper()

    def test_root_of_a_user_namespace_is_told_from_others_root(self):
        """Engines run hooks as root of a namespace of theirs; the other user's has been here before."""
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
        self.addCleanup(kernel.umount, "/tmp")
        os.mkdir("/tmp/netns-helper-0", 0o700)
        # Its own network namespace is none to serve: the hook ends at that, and so had its place.
        script = "echo '" + oci.state(0).replace('"pid": 0', '"pid": \'$$\'') + f"' | {HELPER} oci-hook"
        done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], capture_output=True, text=True, timeout=DEADLINE, check=False,
                              user=USER, group=USER, extra_groups=[], env={"PATH": "/usr/bin:/bin"})
        self.assertIn("our own network namespace", done.stderr)
        self.assertTrue(os.path.isdir(f"/tmp/netns-helper-{USER}/oci"), done.stderr)

    def test_a_directory_of_somebody_else_is_refused(self):
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
        self.addCleanup(kernel.umount, "/tmp")
        os.mkdir(f"/tmp/netns-helper-{USER}", 0o777)  # the lab's root's
        done = oci.call(oci.state(self.guest().pid), env={})
        self.assertEqual(done.returncode, 1)
        self.assertIn("not ours alone", done.stderr)


class Options(HookTest):
    def test_of_the_hook_and_of_the_container(self):
        guest = self.guest()
        self.create(guest, "--cidr", "10.7.0.0/16", "--forward", "18401:80",
                    annotations={"mtu": "9000", "no-ipv6": "true", "tap-name": "net7", "no-dns": "false",
                                 "forward": "18402:80/tcp,18403:53/udp", "forward.ssh": "18404:22"})
        self.assertEqual(guest.addresses("net7"), [("10.7.0.100", 16)])
        self.assertEqual(guest.link("net7")["mtu"], 9000)
        ports = sorted(entry["host_port"] for entry in self.ask("list_hostfwd")["entries"])
        self.assertEqual(ports, [18401, 18402, 18403, 18404])

    def test_confined(self):
        """The hook's files are outside of the helper's empty root; what it needs of them it has open."""
        guest = self.guest()
        self.create(guest, "--sandbox", annotations={"seccomp": "true"})
        self.assert_works(guest)
        self.ask("info")
        with process.Process(oci.number_in(f"{self.the_directory()}/pid")) as helper:
            guest.kill()
            self.assertTrue(helper.wait(), "the helper has not ended")
        self.assertFalse(os.path.exists(f"{self.the_directory()}/control"))

    def test_annotations_of_others_mean_nothing(self):
        guest = self.guest()
        text = json.loads(oci.state(guest.pid))
        text["annotations"] = {"org.netns-helper": "true", "io.container.manager": "x", "org.netns-helperx.mtu": "1"}
        done = oci.call(json.dumps(text))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_annotation_that_breaks_a_rule_is_named(self):
        guest = self.guest()
        for annotations, expected in (({"frobnicate": "1"}, "org.netns-helper.frobnicate"),
                                      ({"ready-fd": "1"}, "org.netns-helper.ready-fd"),
                                      ({"pid": "1"}, "org.netns-helper.pid"),
                                      ({"mtu": "12"}, "--mtu"), ({"mtu": ""}, "org.netns-helper.mtu"),
                                      ({"forward": "1:2,,3:4"}, "org.netns-helper.forward"),
                                      ({"forward": "nonsense"}, "--forward"),
                                      ({"no-ipv6": "yes"}, "org.netns-helper.no-ipv6"),
                                      ({"tap-name": "--allow-host-loopback"}, "interface name"),
                                      ({"cidr": "10.0.0.0/8\0x"}, "NUL")):
            with self.subTest(annotations=annotations):
                self.refused(oci.state(guest.pid, annotations=annotations), expected)
        self.assertIsNone(guest.link())

    def test_the_hook_says_how_far_annotations_reach(self):
        guest = self.guest()
        loopback = oci.state(guest.pid, annotations={"allow-host-loopback": "true"})
        self.refused(loopback, "allow-host-loopback", "--annotations", options=("--annotations=guest",))
        self.refused(oci.state(guest.pid, annotations={"mtu": "2000"}), "mtu", options=("--annotations=none",))
        self.refused(oci.state(guest.pid), "--annotations", options=("--annotations=some",))
        done = oci.call(oci.state(guest.pid, annotations={"mtu": "2000"}), "--annotations=guest")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(guest.link()["mtu"], 2000)

    def test_what_no_hook_may_say(self):
        guest = self.guest()
        for options in (("--pid", "1"), ("--netns", "/x"), ("--ready-fd", "1"), ("--exit-fd", "0"), ("--bwrap-info-fd", "0"),
                        ("--block-fd", "2"), ("--no-such-thing",), ("--mtu", "12")):
            with self.subTest(options=options):
                self.refused(oci.state(guest.pid), "oci-hook", options=options)
        for options in (("--version",), ("--mtu=2000", "--help")):
            with self.subTest(options=options):
                self.refused(oci.state(guest.pid), "not for a container", options=options)
        self.assertIsNone(guest.link())


class Fails(HookTest):
    def test_state_that_is_none(self):
        good = json.loads(oci.state(os.getpid()))
        broken = ["", "[]", "null", "{", "{}", '"x"', "{" * 100000, "[" * 100000, '{"id": 1}',
                  '{"id": "a", "id": "b"}', "x" * (2 << 20)]
        for member in ("ociVersion", "id", "status", "pid", "bundle"):
            broken.append(json.dumps({k: v for k, v in good.items() if k != member}))
        for member, values in {"pid": (0, -1, 1e30, "1", None, True, 2 ** 40, 1.5), "id": ("", 1, None, "a\0b"),
                               "status": ("", "paused", 7), "bundle": ("relative", "", 1),
                               "annotations": ([], "x", {"a": 1})}.items():
            broken += [json.dumps({**good, member: value}) for value in values]
        for text in broken:
            with self.subTest(text=text[:80]):
                self.refused(text, "state")
        self.assertEqual(oci.directories(), [])

    def test_no_such_process(self):
        guest = self.guest()
        guest.kill()
        self.refused(oci.state(guest.pid), f"process {guest.pid}")

    def test_the_reason_is_quoted_and_nothing_is_left(self):
        guest = self.guest()
        busy = self.tcp_server(self.lab.host, "127.0.0.1")
        self.refused(oci.state(guest.pid, annotations={"forward": f"{busy.port}:80"}), "in use", str(busy.port))
        self.assertEqual(oci.directories(), [])
        wait_until(lambda: guest.link() is None, "the TAP goes")

    def test_network_namespace_of_the_host(self):
        sleeper = subprocess.Popen(["sleep", "1000"], user=USER, group=USER, extra_groups=[])
        try:
            self.refused(oci.state(sleeper.pid), "our own network namespace")
        finally:
            sleeper.kill()
            sleeper.wait()

    def test_a_hook_that_is_killed_while_it_reads(self):
        """The runtime's timeout."""
        guest = self.guest()
        read, write = os.pipe()
        hook = subprocess.Popen([HELPER, "oci-hook"], stdin=read, user=USER, group=USER, extra_groups=[],
                                env={"XDG_RUNTIME_DIR": oci.runtime_dir()})
        os.close(read)
        os.write(write, oci.state(guest.pid).encode())
        hook.kill()
        os.close(write)
        hook.wait()
        self.assert_no_helper()


class NotDumpable(HookTest):
    def hidden(self):
        return self.guest(command=["/usr/bin/python3", "-c", NOT_DUMPABLE])

    def bundle(self, config):
        path = f"{USER_DIR}/bundle-{os.urandom(4).hex()}"
        os.mkdir(path)
        with open(f"{path}/config.json", "w", encoding="ascii") as file:
            file.write(config)
        return path

    def test_the_hook_says_so(self):
        guest = self.hidden()
        for bundle in ("/nonexistent", self.bundle("{}"), self.bundle("[]"), self.bundle("{"),
                       self.bundle('{"linux": {"namespaces": [{"type": "network"}]}}')):
            with self.subTest(bundle=bundle):
                self.refused(oci.state(guest.pid, bundle=bundle), "Permission denied", "not dumpable", "config.json")

    def test_path_in_the_bundle(self):
        guest = self.hidden()
        path = f"{USER_DIR}/ns-{guest.pid}"
        with open(path, "w", encoding="ascii"):
            pass
        kernel.mount(f"/proc/{guest.pid}/ns/net", path, flags=kernel.MS_BIND)
        self.addCleanup(kernel.umount, path)
        config = {"linux": {"namespaces": [{"type": "mount"}, {"type": "network", "path": path}]}}
        self.create(guest, bundle=self.bundle(json.dumps(config)))
        self.assert_works(guest)
        with process.Process(oci.number_in(f"{self.the_directory()}/pid")) as helper:
            guest.kill()  # the path stays
            self.assertTrue(helper.wait(), "the helper has not ended")


class Poststop(HookTest):
    def stop(self, **state):
        done = oci.call(oci.state(state.pop("pid", 0), status="stopped", **state))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_ends_a_helper_that_is_still_there(self):
        """The container has gone, its init has not (it is in a pod's pid namespace, say)."""
        guest = self.guest()
        self.create(guest)
        self.stop(pid=guest.pid)
        self.assert_no_helper()
        self.assertEqual(oci.directories(), [])
        self.stop(pid=guest.pid)

    def test_ends_one_that_does_not_listen(self):
        self.create(self.guest())
        pid = oci.number_in(f"{self.the_directory()}/pid")
        self.assertTrue(process.send(pid, signal.SIGSTOP))
        self.stop()
        self.assert_no_helper()
        self.assertEqual(oci.directories(), [])

    def test_after_the_helper(self):
        guest = self.guest()
        self.create(guest)
        guest.kill()
        wait_until(lambda: not processes(), "the helper ends")
        self.stop()
        self.assertEqual(oci.directories(), [])

    def test_of_a_container_that_never_was(self):
        self.stop(ident="nobody", pid=4)

    def test_a_number_that_is_another_process_now(self):
        """The helper was killed, its number is somebody else's: the lock tells."""
        self.create(self.guest())
        directory = self.the_directory()
        with contextlib.ExitStack() as stack:
            helper_and_agent = [stack.enter_context(one) for one in process.find(runs(HELPER))]
            process.send(oci.number_in(f"{directory}/pid"), signal.SIGKILL)
            for one in helper_and_agent:
                self.assertTrue(one.wait(), "helper or agent has not ended")
        bystander = Guest()
        self._keep(bystander)
        with open(f"{directory}/pid", "w", encoding="ascii") as file:
            file.write(f"{bystander.pid}\n")
        self.stop()
        self.assertIsNone(bystander.process.poll())
        self.assertEqual(oci.directories(), [])

    def test_other_containers_are_left_alone(self):
        guest, other = self.guest(), self.guest()
        self.create(guest, ident="a")
        self.create(other, ident="b")
        self.stop(ident="a")
        self.assertEqual(len(oci.directories()), 1)
        self.assert_works(other)


if __name__ == "__main__":
    main()
