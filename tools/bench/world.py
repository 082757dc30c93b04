# SPDX-License-Identifier: BSD-3-Clause
"""The world of the bench: a host of its own, and guests in it.

Theory of operation. The bench starts itself three times, each time deeper, so that nothing it sends can leave the machine:
  outside   as the caller; a root caller becomes an ordinary user here (become_user)
  host      in new user, network, mount and pid namespaces, as their root: builds the host (build_host)
  measure   in one more user namespace, as uid 1000 without a capability: an ordinary user of that host. It starts guests and
            helpers. As pid 1 of the pid namespace it takes everything with it when it ends, however it ends.
"""
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

USER = "netns-helper-test"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# 198.51.100.0/24: TEST-NET-2 of RFC 5737; 2001:db8::/32: RFC 3849. The far end of the veth is the host's gateway.
HOST_ADDRESS, HOST_GATEWAY = "198.51.100.1", "198.51.100.2"
HOST_ADDRESS6, HOST_GATEWAY6 = "2001:db8::1", "2001:db8::2"
# For a shell. Connections of `crr` stay in TIME_WAIT: a wide range of ports, and one in TIME_WAIT may be taken again after 1 s
# (ip-sysctl.rst, tcp_tw_reuse; the default does that on the loopback only).
ROOM_FOR_TIME_WAIT = "cd /proc/sys/net/ipv4; echo 10000 65000 >ip_local_port_range; echo 1 >tcp_tw_reuse"


class BenchError(Exception):
    """Something the person who runs the bench can read and mend."""


def need(*programs):
    missing = [p for p in programs if shutil.which(p, path=PATH) is None]
    if missing:
        raise BenchError(f"not installed: {', '.join(missing)}")


def become_user(name, files):
    """As root: runs this program again as the ordinary user `name`, made if it is missing. `files` (option -> path) are
    copied to where that user can read them. Returns the exit code."""
    need("setpriv", "useradd")
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
        user = pwd.getpwnam(name)
    if user.pw_uid == 0:
        raise BenchError(f"{name} is root; --user wants an ordinary user")
    with tempfile.TemporaryDirectory(prefix="netns-helper-bench.") as stage:
        os.chmod(stage, 0o755)
        here = Path(__file__).resolve().parent
        program = Path(sys.argv[0]).name
        for script in [here / program, *here.glob("*.py")]:
            _copy(script, Path(stage) / script.name)
        arguments = []
        for option, path in files.items():
            copy = Path(stage) / Path(path).name
            _copy(path, copy)
            arguments += [option, str(copy)]
        return run_again(
            ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--inh-caps=-all"],
            arguments, script=Path(stage) / program, home=user.pw_dir)


def _copy(source, target):
    shutil.copyfile(source, target)
    target.chmod(0o755)


def run_again(prefix, arguments, script=None, home=None):
    """Runs this program with the same arguments and more, through the command `prefix`, and returns its exit code."""
    script = script or Path(sys.argv[0]).resolve()
    environment = dict(os.environ, PATH=PATH, PYTHONDONTWRITEBYTECODE="1")
    if home:
        environment.update(HOME=home, TMPDIR="/tmp")
    command = [*prefix, "python3", str(script), *sys.argv[1:], *arguments]
    # The JSON file is open in the caller's name; the deeper stages may not be able to open it.
    return subprocess.run(command, env=environment, cwd="/", close_fds=False, check=False).returncode


def enter_host(arguments):
    """Runs this program again inside new namespaces, as their root."""
    need("unshare", "ip", "nsenter")
    spaces = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    probe = subprocess.run([*spaces, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise BenchError(f"cannot make namespaces as this user: {probe.stderr.strip()}")
    return run_again(spaces, arguments)


def build_host():
    """lo, a veth with both ends in here, a default route and a resolver that nobody answers at: all a helper looks for."""
    commands = f"""
        ip link set lo up
        ip link add uplink type veth peer name gateway
        ip address add {HOST_ADDRESS}/24 dev uplink
        ip address add {HOST_ADDRESS6}/64 dev uplink nodad
        ip link set gateway up
        ip link set uplink up
        ip route add default via {HOST_GATEWAY} dev uplink
        ip -6 route add default via {HOST_GATEWAY6} dev uplink
    """
    for command in commands.strip().splitlines():
        subprocess.run(command.split(), check=True)
    subprocess.run(["sh", "-c", ROOM_FOR_TIME_WAIT], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".resolv.conf") as resolver:
        resolver.write(f"nameserver {HOST_GATEWAY}\n")
        resolver.flush()
        os.chmod(resolver.name, 0o644)
        subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)


def name_host_user():
    """uid 1000 of the host has a name and subordinate ids, as a client may want to read them; nobody can map the latter."""
    for path, text in {"/etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n", "/etc/group": "root:x:0:\nuser:x:1000:\n",
                       "/etc/subuid": "user:100000:65536\n", "/etc/subgid": "user:100000:65536\n"}.items():
        if not os.path.exists(path):
            continue
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            os.chmod(file.name, 0o644)
            subprocess.run(["mount", "--bind", file.name, path], check=True)


def go_inside(programs, user, json_path=None):
    """The outside stage. programs: option -> path of a built program. Returns the exit code of what follows."""
    more = []
    for option, path in programs.items():
        if not path.exists():
            raise BenchError(f"{path} does not exist: build first (tools/check) or say {option} PATH")
        more += [option, str(path.resolve())]
    if json_path and "--json-fd" not in sys.argv:
        out = os.open(json_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.set_inheritable(out, True)
        sys.argv += ["--json-fd", str(out)]
    if os.geteuid() == 0:
        return become_user(user, programs)
    return enter_host([*more, "--stage", "host"])


def become_host_user(arguments):
    """Goes on as uid 1000 of a user namespace of its own: over the host's namespaces it has no capability."""
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000",
               "python3", str(Path(sys.argv[0]).resolve()), *sys.argv[1:], *arguments]
    os.execvp(command[0], command)


class Guest:
    """A namespace made by an ordinary user, and the way to run a program in it."""

    def __enter__(self):
        self.process = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo up; exec sleep 100000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "up\n":
            raise BenchError("the guest's namespace could not be made")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def pid(self):
        return self.process.pid

    def within(self, command):
        """The command that runs `command` in here."""
        return within(self.pid, command)

    def run(self, command, timeout):
        return subprocess.run(self.within(command), capture_output=True, text=True, timeout=timeout, check=False)


def within(pid, command):
    """The command that runs `command` in the namespaces of this process."""
    return ["nsenter", "--target", str(pid), "--user", "--net", "--preserve-credentials", "--", *command]
