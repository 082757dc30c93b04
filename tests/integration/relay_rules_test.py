# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of rule, added, listed, replaced and removed while the helper runs."""

import json
import os
import socket
import threading

from tests.support import kernel, servers
from tests.support.case import main
from tests.support.forwards import GUEST4, ForwardsTestCase, closed, next_port
from tests.support.guest import DEADLINE
from tests.support.helper import Helper, wait_until
from tests.support.lab import HOST_LAN4, LAN4, USER, USER_DIR

MANY = 200       # rules in one request
REPLACEMENTS = 20
LOADERS = 4      # clients that connect without pause meanwhile


class RulesTestCase(ForwardsTestCase):
    def setUp(self):
        super().setUp()
        self.guest_, self.helper_ = self.forwarding()

    def serve(self, port, address="0.0.0.0"):
        return self.tcp_server(self.guest_.netns_fd(), address, port=port)

    def added(self, rule):
        (entry,) = self.add(self.helper_, rule)
        self.assert_relays(self.helper_)
        return entry


class Ports(RulesTestCase):
    def test_single_by_word_and_by_members(self):
        self.serve(80)
        for rule in (f"{next_port()}:80", {"host_port": next_port(), "guest_port": 80}, {"host_port": str(next_port()), "guest_port": "80"}):
            with self.subTest(rule=rule):
                entry = self.added(rule)
                self.assertEqual(entry["spec"]["kind"], "forward")
                self.echoes(self.from_localhost(self.bound_port(entry)))

    def test_range_and_list(self):
        for offset in range(3):
            self.serve(8000 + offset)
        self.serve(8100)
        first, single = next_port(3), next_port()
        entry = self.added(f"{first}-{first + 2},{single}:8000-8002,8100")
        self.assertEqual([(one["host_port"], one["guest_port"]) for one in entry["listeners"]],
                         [(first, 8000), (first + 1, 8001), (first + 2, 8002), (single, 8100)])
        for port in (first, first + 1, first + 2, single):
            self.echoes(self.from_localhost(port))

    def test_both_protocols_on_one_port(self):
        self.serve(80)
        self.udp_server(self.guest_.netns_fd(), GUEST4, 80)
        port = next_port()
        entry = self.added(f"{port}:80/both")
        self.assertEqual(sorted(one["proto"] for one in entry["listeners"]), ["tcp", "udp"])
        self.echoes(self.from_localhost(port))
        self.assert_udp_echo(self.from_localhost(port, kind=socket.SOCK_DGRAM))

    def test_port_zero_is_chosen_and_told(self):
        self.serve(80)
        entry = self.added("0:80")
        port = self.bound_port(entry)
        self.assertGreater(port, 0)
        self.assertEqual(self.bound_port(self.rules(self.helper_)[entry["id"]]), port)
        self.echoes(self.from_localhost(port))

    def test_of_an_interface(self):
        """Only who comes by it."""
        self.serve(80)
        port = next_port()
        self.added(f"%lan0:{port}:80")
        self.echoes(self.from_lan(port))
        self.assert_refused(self.lab.host, "127.0.0.1", port)

    def test_refusals_name_the_field(self):
        taken = self.listener(self.lab.host, "127.0.0.1").getsockname()[1]
        good = f"{next_port()}:80"
        for rule, field in ((f"{taken}:80", "host_port"), ({"host_port": 0, "guest_port": 70000}, "guest_port"), ("9-8:80", "host_port"),
                            ({"host_port": 1, "guest_port": 1, "proto": "sctp"}, "proto"), ("203.0.113.1:9000:80", "host_addr")):
            with self.subTest(rule=rule):
                error = self.refused(self.helper_, "forward.add", rules=[good, rule])
                self.assertEqual(error["field"], f"rules[1].{field}")
                self.assertEqual(self.rules(self.helper_), {}, "all or nothing")
        self.added(good)


class UnixSockets(RulesTestCase):
    def test_host_unix_socket_to_guest_port(self):
        self.serve(80)
        path = f"{USER_DIR}/forward.sock"
        entry = self.added(f"unix:{path}:80")
        self.assertEqual(entry["listeners"][0]["host_unix"], path)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            with kernel.as_uid(USER):
                client.connect(path)
            self.assert_tcp_echo(client)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(closed(client), "eof")
        self.ask(self.helper_, "forward.remove", id=entry["id"])
        self.assertFalse(os.path.exists(path))

    def test_reverse_to_host_port_and_unix_socket(self):
        """One service of the host, and no other, while host loopback stays denied."""
        host = self.tcp_server(self.lab.host, "127.0.0.1")
        path = f"{USER_DIR}/service.sock"
        service = socket.socket(socket.AF_UNIX)
        self.addCleanup(service.close)
        with kernel.as_uid(USER):
            service.bind(path)
        service.listen(8)
        threading.Thread(target=self._echo_once, args=(service,), daemon=True).start()
        self.added(f"reverse:3000:{host.port}")
        self.added(f"reverse:3001:unix:{path}")
        for port in (3000, 3001):
            connection = wait_until(lambda port=port: self.guest_connection(port), f"the guest's port {port} listens")
            self.echoes(connection)
        with self.guest_.socket() as other:
            self.assertNotEqual(other.connect_ex(("127.0.0.1", host.port)), 0, "no other port leads there")

    def guest_connection(self, port):
        try:
            connection = self.guest_.connect("127.0.0.1", port)
        except ConnectionRefusedError:
            return None
        self.addCleanup(connection.close)
        return connection

    @staticmethod
    def _echo_once(service):
        connection, _ = service.accept()
        with connection:
            servers.echo(connection)


class Automatic(RulesTestCase):
    def test_follows_what_the_guest_listens_on(self):
        inside, excluded, outside = next_port(), next_port(), next_port()
        self.added(f"auto:{inside}-{excluded}:!{excluded}")
        for port in (excluded, outside):
            self.serve(port)
        server = servers.TcpServer(self.guest_.netns_fd(), "0.0.0.0", port=inside)
        wait_until(lambda: self.listening() == [inside], f"port {inside} is forwarded, and no other")
        self.echoes(self.from_localhost(inside))
        server.close()
        wait_until(lambda: self.listening() == [], "it is forwarded no longer")
        self.assert_refused(self.lab.host, "127.0.0.1", inside)

    def listening(self):
        (rule,) = self.rules(self.helper_).values()
        return sorted(one["host_port"] for one in rule["listeners"])


class Inherited(ForwardsTestCase):
    def test_listener_from_the_service_manager(self):
        """LISTEN_FDS: sd_listen_fds(3). By its name, and by its number."""
        guest = self.guest()
        listeners = [self.listener(self.lab.host, "0.0.0.0") for _ in range(2)]
        script = ("import fcntl, os, sys; a, b, *words = sys.argv[1:]; "
                  "x, y = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in (a, b)); os.dup2(x, 3); os.dup2(y, 4); "
                  "os.environ.update(LISTEN_FDS='2', LISTEN_FDNAMES='web:other', LISTEN_PID=str(os.getpid())); os.execv(words[0], words)")
        fds = [one.fileno() for one in listeners]
        helper = self._keep(Helper("--forward", "fd:web:80", "--forward", "fd:1:81", guest=guest, control=True, pass_fds=fds,
                                   wrapper=("/usr/bin/python3", "-c", script, *map(str, fds))))
        self.assert_relays(helper)
        for number, listener in enumerate(listeners):
            server = self.tcp_server(guest.netns_fd(), GUEST4, port=80 + number)
            self.echoes(self.from_lan(listener.getsockname()[1]))
            self.assertEqual(server.peers[-1], LAN4)


class Many(RulesTestCase):
    def test_200_rules_in_one_request(self):
        first = next_port(MANY)
        self.serve(80)
        entries = self.add(self.helper_, *(f"{first + number}:80" for number in range(MANY)))
        self.assertEqual(len({entry["id"] for entry in entries}), MANY)
        self.assert_relays(self.helper_)
        for number in range(0, MANY, 20):
            self.echoes(self.from_localhost(first + number))
        self.ask(self.helper_, "forward.remove", ids=[entry["id"] for entry in entries])
        self.assertEqual(self.rules(self.helper_), {})
        self.assert_refused(self.lab.host, "127.0.0.1", first)

    def test_one_bad_of_200_adds_none(self):
        first = next_port(MANY)
        taken = self.listener(self.lab.host, "127.0.0.1", first + MANY - 1)
        error = self.refused(self.helper_, "forward.add", rules=[f"{first + number}:80" for number in range(MANY)])
        self.assertEqual((error["code"], error["field"]), ("in_use", f"rules[{MANY - 1}].host_port"))
        self.assertEqual(self.rules(self.helper_), {})
        self.assert_refused(self.lab.host, "127.0.0.1", first)
        taken.close()


class Replace(RulesTestCase):
    def test_what_stays_is_untouched(self):
        self.serve(80)
        stays, goes, comes = (f"{next_port()}:80" for _ in range(3))
        ids = [entry["id"] for entry in self.add(self.helper_, stays, goes)]
        flows = [self.echoes(self.from_localhost(int(rule.partition(":")[0]))) for rule in (stays, goes)]
        replaced = {entry["text"]: entry["id"] for entry in self.ask(self.helper_, "forward.replace", rules=[comes, stays])["rules"]}
        self.assertEqual(len(replaced), 2)
        self.assertIn(ids[0], replaced.values())
        self.assertNotIn(ids[1], replaced.values())
        for flow in flows:
            self.echoes(flow, b"established flows live on")
        self.echoes(self.from_localhost(int(comes.partition(":")[0])))
        self.assert_refused(self.lab.host, "127.0.0.1", int(goes.partition(":")[0]))

    def test_a_replacement_that_fails_changes_nothing(self):
        self.serve(80)
        rule = f"{next_port()}:80"
        self.add(self.helper_, rule)
        before = self.rules(self.helper_)
        taken = self.listener(self.lab.host, "127.0.0.1").getsockname()[1]
        self.refused(self.helper_, "forward.replace", rules=[f"{next_port()}:80", f"{taken}:80"])
        self.assertEqual(self.rules(self.helper_), before)
        self.echoes(self.from_localhost(int(rule.partition(":")[0])))

    def test_under_load_no_connection_is_lost(self):
        """Also where the rule itself changes and only its listener stays."""
        self.serve(80)
        self.serve(81)
        port, extra = next_port(), next_port(REPLACEMENTS)
        self.add(self.helper_, f"0.0.0.0:{port}:80")
        stop, lost, done = threading.Event(), [], [0] * LOADERS

        def load(number):
            while not stop.is_set():
                try:
                    with kernel.in_netns(self.lab.lan):
                        client = socket.socket()
                    with client:
                        client.settimeout(DEADLINE)
                        client.connect((HOST_LAN4, port))
                        client.sendall(b"ask")
                        if servers.receive_exactly(client, 3) != b"ask":
                            lost.append("other bytes")
                    done[number] += 1
                except (OSError, AssertionError) as error:
                    lost.append(repr(error))

        threads = [threading.Thread(target=load, args=(number,), daemon=True) for number in range(LOADERS)]
        for thread in threads:
            thread.start()
        try:
            for number in range(REPLACEMENTS):
                before = sum(done)
                self.ask(self.helper_, "forward.replace", rules=[f"0.0.0.0:{port}:{80 + number % 2}", f"{extra + number}:80"])
                wait_until(lambda before=before: sum(done) >= before + LOADERS or lost, "the load goes on")
        finally:
            stop.set()
            for thread in threads:
                thread.join(DEADLINE)
        self.assertEqual(lost, [], json.dumps(self.ask(self.helper_, "stats")))


if __name__ == "__main__":
    main()
