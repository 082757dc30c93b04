// SPDX-License-Identifier: BSD-3-Clause
// Stand-ins as the helper uses them, in a real namespace: who the guest sees, and what is left to the guest.
#include <netinet/in.h>

#include "src/confine/confine.h"
#include "src/netlink/steering.h"
#include "tests/agent/stand_in_lab.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::at;
using test::Guest;
using test::GuestService;
using test::in_child;
using test::patience;
using test::plan;
using test::receive_line;
using test::seen_by;
using test::StandInLab;
using test::until;

constexpr std::uint16_t port = 8080;

TEST_CASE("the guest sees a foreign client's own address and port, wherever its program listens") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(
      in_child([] {
        StandInLab lab;
        const GuestService everywhere(lab.guest, {at("0.0.0.0", port), at("::", port)});
        const GuestService bound(lab.guest, {at("10.0.2.100", 81), at("fd00::100", 81), at("127.0.0.1", 82), at("::1", 82)});
        lab.expect_ready();
        EXPECT(lab.path.now().forwards_reason().empty());
        // in the guest's ephemeral range, outside of it, and below 1024
        for (const std::uint16_t from : std::array<std::uint16_t, 4>{40001, 61001, 2001, 443}) {
          const Endpoint v4 = at("198.51.100.7", from), v6 = at("2001:db8::7", from);
          EXPECT(seen_by(lab, v4, at("10.0.2.100", port)) == v4.text());
          EXPECT(seen_by(lab, v4, at("10.0.2.100", 81)) == v4.text());
          EXPECT(seen_by(lab, v4, at("127.0.0.1", 82)) == v4.text());
          EXPECT(seen_by(lab, v6, at("fd00::100", port)) == v6.text());
          EXPECT(seen_by(lab, v6, at("fd00::100", 81)) == v6.text());
          EXPECT(seen_by(lab, v6, at("::1", 82)) == v6.text());
        }
        EXPECT(lab.stand_ins->counters().port_let_go == 0);
        EXPECT(lab.notes.empty());
      }) == "");
}

TEST_CASE("a confined agent steers just the same") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab(/* confined= */ true);
          const GuestService service(lab.guest, {at("0.0.0.0", port), at("127.0.0.1", 82), at("::", port)},
                                     {at("127.0.0.1", 53)});
          lab.expect_ready();
          const Endpoint v4 = at("198.51.100.7", 40001), low = at("198.51.100.7", 443), v6 = at("2001:db8::7", 61001);
          EXPECT(seen_by(lab, v4, at("10.0.2.100", port)) == v4.text());
          EXPECT(seen_by(lab, low, at("127.0.0.1", 82)) == low.text());
          EXPECT(seen_by(lab, v6, at("fd00::100", port)) == v6.text());
          const UniqueFd udp = EXPECT_OK(lab.open_udp(v4, at("127.0.0.1", 53)));
          EXPECT(send(udp.get(), "?", 1, 0) == 1);
          EXPECT(receive_line(udp.get()) == v4.text());
          EXPECT(lab.deaths.empty());
        }) == "");
}

TEST_CASE("a confined helper opens stand-ins just the same") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab(/* confined= */ true);
          const GuestService service(lab.guest, {at("0.0.0.0", port), at("127.0.0.1", 82), at("::", port)});
          EXPECT_OK(confine_helper({.sandbox = true, .seccomp = true, .agent = lab.link->pid()}));
          lab.expect_ready();
          for (const std::uint16_t from : std::array<std::uint16_t, 3>{40001, 61001, 443}) {
            const Endpoint v4 = at("198.51.100.7", from), v6 = at("2001:db8::7", from);
            EXPECT(seen_by(lab, v4, at("10.0.2.100", port)) == v4.text());
            EXPECT(seen_by(lab, v4, at("127.0.0.1", 82)) == v4.text());
            EXPECT(seen_by(lab, v6, at("fd00::100", port)) == v6.text());
          }
          _exit(0);  // it may end nobody but the agent any more; the others go with it
        }) == "");
}

TEST_CASE("a UDP service on the guest's loopback answers a foreign client; without one the refusal comes back") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const GuestService service(lab.guest, {}, {at("127.0.0.1", 53), at("::1", 53), at("10.0.2.100", 54)});
          lab.expect_ready();
          for (const std::uint16_t from : std::array<std::uint16_t, 3>{40001, 61001, 123}) {
            const Endpoint v4 = at("198.51.100.7", from), v6 = at("2001:db8::7", from);
            const std::vector<std::pair<Endpoint, Endpoint>> ways{
                {v4, at("127.0.0.1", 53)}, {v6, at("::1", 53)}, {v4, at("10.0.2.100", 54)}};
            for (const auto& way : ways) {
              const UniqueFd fd = EXPECT_OK(lab.open_udp(way.first, way.second));
              EXPECT(send(fd.get(), "?", 1, 0) == 1);
              EXPECT(receive_line(fd.get()) == way.first.text());
            }
          }
          for (const Endpoint& nobody : {at("127.0.0.1", 55), at("::1", 55)}) {
            const UniqueFd fd = EXPECT_OK(
                lab.open_udp(nobody.address.is_v4() ? at("198.51.100.7", 40002) : at("2001:db8::7", 40002), nobody));
            EXPECT(send(fd.get(), "?", 1, 0) == 1);
            pollfd one{.fd = fd.get(), .events = POLLIN, .revents = 0};
            EXPECT(poll(&one, 1, patience) == 1);
            char byte = 0;
            EXPECT(recv(fd.get(), &byte, 1, 0) < 0);
            EXPECT(errno == ECONNREFUSED);
          }
        }) == "");
}

TEST_CASE("a port on which nobody listens refuses a stand-in") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          lab.expect_ready();
          const std::vector<std::pair<Endpoint, Endpoint>> ways{{at("198.51.100.7", 40001), at("10.0.2.100", 9)},
                                                                {at("2001:db8::7", 40001), at("fd00::100", 9)},
                                                                {at("198.51.100.7", 40001), at("127.0.0.1", 9)}};
          for (const auto& way : ways) {
            const UniqueFd fd = EXPECT_OK(lab.open(way.first, way.second));
            pollfd one{.fd = fd.get(), .events = POLLOUT, .revents = 0};
            EXPECT(poll(&one, 1, patience) == 1);
            int error = 0;
            socklen_t size = sizeof error;
            EXPECT(getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0);
            EXPECT(error == ECONNREFUSED);
          }
        }) == "");
}

TEST_CASE("a stand-in leaves its port to the guest's own connects") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const GuestService service(lab.guest, {at("0.0.0.0", port)});
          lab.expect_ready();
          test::in_guest(lab.guest, [] { test::write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003"); });
          std::vector<UniqueFd> held;
          for (std::uint16_t from = 40000; from <= 40003; ++from) {
            const Endpoint client = at("198.51.100.7", from);
            held.push_back(EXPECT_OK(lab.open(client, at("10.0.2.100", port))));
            EXPECT(receive_line(held.back().get()) == client.text());
          }
          // The range is full of stand-ins, and free to the guest.
          test::in_guest(lab.guest, [] {
            std::vector<UniqueFd> own;
            for (int i = 0; i < 4; ++i) {
              own.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
              const SockAddr to(at("10.0.2.100", port));
              EXPECT(connect(own.back().get(), to.get(), to.length) == 0);
            }
          });
        }) == "");
}

TEST_CASE("where the client's port cannot be had its address stays") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const GuestService service(lab.guest, {at("0.0.0.0", port)});
          lab.expect_ready();
          const Endpoint client = at("198.51.100.7", 40001);
          const UniqueFd first = EXPECT_OK(lab.open(client, at("10.0.2.100", port)));
          EXPECT(receive_line(first.get()) == client.text());
          const std::string second = seen_by(lab, client, at("10.0.2.100", port));  // the same connection twice
          EXPECT(second.starts_with("198.51.100.7:") && second != client.text());
          EXPECT(lab.stand_ins->counters().port_let_go == 1);
          // A port that a program of the guest listens on is no such case.
          const Endpoint same = at("198.51.100.7", port);
          EXPECT(seen_by(lab, same, at("10.0.2.100", port)) == same.text());
          EXPECT(lab.stand_ins->counters().port_let_go == 1);
        }) == "");
}

TEST_CASE("more stand-ins at once than the stock has") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          constexpr std::uint16_t burst = 500;
          StandInLab lab;
          const GuestService service(lab.guest, {at("0.0.0.0", port)});
          std::vector<UniqueFd> open;
          std::size_t failed = 0;
          // From before the steering is known.
          for (std::uint16_t i = 0; i < burst; ++i) {
            const auto opening =
                lab.stand_ins->open(at("198.51.100.7", static_cast<std::uint16_t>(40000 + i)), at("10.0.2.100", port),
                                    StandIns::Port::may_change, [&](Result<UniqueFd> made) {
                                      if (made)
                                        open.push_back(std::move(*made));
                                      else
                                        ++failed;
                                    });
            EXPECT(!opening.result);
          }
          const std::uint64_t cancelled = lab.stand_ins
                                              ->open(at("198.51.100.8", 1), at("10.0.2.100", port),
                                                     StandIns::Port::may_change, [&](Result<UniqueFd>) { ++failed; })
                                              .ticket;
          EXPECT(cancelled != 0);
          lab.stand_ins->cancel(cancelled);
          EXPECT(until(lab.loop, [&] { return open.size() + failed == burst; }));
          EXPECT(failed == 0);
          EXPECT(lab.stand_ins->counters().opened == burst);
        }) == "");
}

TEST_CASE("a listener and a UDP socket of the guest's own") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          lab.expect_ready();
          std::optional<Result<UniqueFd>> made;
          const auto done = [&](Result<UniqueFd> result) { made.emplace(std::move(result)); };
          EXPECT(!lab.stand_ins->listen(StandIns::Kind::tcp_listener, at("127.0.0.1", 80), done).result);
          EXPECT(until(lab.loop, [&] { return made.has_value(); }));
          const UniqueFd listener = EXPECT_OK(std::move(*made));
          made.reset();
          EXPECT(!lab.stand_ins->listen(StandIns::Kind::tcp_listener, at("127.0.0.1", 80), done).result);
          EXPECT(until(lab.loop, [&] { return made.has_value(); }));
          EXPECT(!made->ok() && made->error().sys_errno == EADDRINUSE);
          test::in_guest(lab.guest, [] {
            const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const SockAddr to(at("127.0.0.1", 80));
            EXPECT(connect(client.get(), to.get(), to.length) == 0);
          });
          EXPECT(UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
        }) == "");
}

TEST_CASE("the guest's listening ports are told, and told again when they change") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          lab.expect_ready();
          std::optional<Result<UniqueFd>> made;
          lab.stand_ins->listen(StandIns::Kind::tcp_listener, at("127.0.0.1", 80),
                                [&](Result<UniqueFd> result) { made.emplace(std::move(result)); });
          EXPECT(until(lab.loop, [&] { return made.has_value(); }));
          std::optional<ListenerList> told;
          lab.link->follow_ports([&](const ListenerList& list) { told = list; });
          EXPECT(until(lab.loop, [&] { return told.has_value(); }));
          EXPECT(told->listeners.empty());  // ours is no program's
          {
            const GuestService service(lab.guest, {at("0.0.0.0", port), at("::1", 81)}, {at("127.0.0.1", 53)});
            EXPECT(until(lab.loop, [&] { return told->listeners.size() == 3; }));
            EXPECT(!told->more);
            EXPECT((told->listeners == std::vector<GuestListener>{{.udp = false, .at = at("0.0.0.0", port)},
                                                                  {.udp = false, .at = at("::1", 81)},
                                                                  {.udp = true, .at = at("127.0.0.1", 53)}}));
          }
          EXPECT(until(lab.loop, [&] { return told->listeners.empty(); }));
        }) == "");
}

TEST_CASE("rules that the guest removes are put back, and it is said") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const GuestService service(lab.guest, {at("0.0.0.0", port), at("::", port)});
          lab.expect_ready();
          test::in_guest(lab.guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            nl_cache* found = nullptr;
            EXPECT(rtnl_rule_alloc_cache(netlink.get(), AF_UNSPEC, &found) == 0);
            const NlCache rules(found);
            for (nl_object* object = nl_cache_get_first(found); object != nullptr; object = nl_cache_get_next(object)) {
              auto* rule = reinterpret_cast<rtnl_rule*>(object);
              if (rtnl_rule_get_prio(rule) == Steering::priority) EXPECT(rtnl_rule_delete(netlink.get(), rule, 0) == 0);
            }
          });
          EXPECT(until(lab.loop, [&] { return !lab.notes.empty(); }));
          EXPECT(lab.notes[0].find("IPv4 rule") != std::string::npos);
          const Endpoint v4 = at("198.51.100.7", 40001), v6 = at("2001:db8::7", 40001);
          EXPECT(seen_by(lab, v4, at("10.0.2.100", port)) == v4.text());
          EXPECT(
              until(lab.loop, [&] { return lab.notes.size() > 1 || lab.notes[0].find("IPv6 rule") != std::string::npos; }));
          EXPECT(seen_by(lab, v6, at("fd00::100", port)) == v6.text());
        }) == "");
}

TEST_CASE("a check is ended by the answer to it, not by that to an earlier one") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          lab.expect_ready();
          std::vector<std::string> order;
          // The agent takes questions in turn, and answers each of these at once.
          lab.stand_ins->check([&] { order.push_back("first check"); });
          lab.stand_ins->drop_check();
          EXPECT(!lab.stand_ins
                      ->listen(StandIns::Kind::tcp_listener, at("127.0.0.1", 80),
                               [&](const Result<UniqueFd>&) { order.push_back("listener"); })
                      .result);
          lab.stand_ins->check([&] { order.push_back("second check"); });
          EXPECT(until(lab.loop, [&] { return order.size() == 2; }));
          EXPECT((order == std::vector<std::string>{"listener", "second check"}));
        }) == "");
}

TEST_CASE("the agent's end turns stand-ins off; what is open lives on") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          StandInLab lab;
          const GuestService service(lab.guest, {at("0.0.0.0", port)});
          lab.expect_ready();
          const Endpoint client = at("198.51.100.7", 40001);
          const UniqueFd fd = EXPECT_OK(lab.open(client, at("10.0.2.100", port)));
          EXPECT(receive_line(fd.get()) == client.text());
          std::size_t changes = 0;
          const auto subscription = lab.path.subscribe([&](const KernelPathState&, const KernelPathState&) { ++changes; });
          EXPECT(kill(lab.link->pid(), SIGKILL) == 0);
          EXPECT(until(lab.loop, [&] { return changes == 1; }));
          EXPECT(lab.path.now().phase == KernelPathState::Phase::off);
          EXPECT(!lab.path.now().off_reason.empty());
          EXPECT(lab.stand_ins->stock(Family::v4) == 0);
          // What is known at once is the call's own result: the callback may destroy who calls.
          std::size_t called = 0;
          const auto done = [&](Result<UniqueFd>) { ++called; };
          const Endpoint service_at = at("10.0.2.100", port);
          const StandIns::Opening known[] = {lab.stand_ins->open(client, service_at, StandIns::Port::may_change, done),
                                             lab.stand_ins->open(client, service_at, StandIns::Port::must_be_kept, done),
                                             lab.stand_ins->open_udp(client, service_at, done),
                                             lab.stand_ins->listen(StandIns::Kind::tcp_listener, at("127.0.0.1", 80), done)};
          for (const StandIns::Opening& one : known) {
            EXPECT(one.ticket == 0);
            EXPECT(one.result && !one.result->ok() && one.result->error().code == Code::gone);
          }
          lab.loop.turn(false);
          EXPECT(called == 0);
          EXPECT(send(fd.get(), "still there\n", 12, MSG_NOSIGNAL) == 12);
          EXPECT(receive_line(fd.get()) == "still there");
        }) == "");
}

TEST_CASE("a guest without an address is told as that; an address later turns steering on") {
  test::require_namespaces({test::KernelFeature::ipv6, test::KernelFeature::nf_tables});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = {}}, attached));
          Loop loop;
          link->serve(
              loop, [](const TapState&) {}, [](const Error&) {});
          KernelPath path;
          AgentStandIns stand_ins(loop, *link, path);
          stand_ins.start({});
          EXPECT(until(loop, [&] { return path.now().phase == KernelPathState::Phase::off; }));
          EXPECT(path.now().off_reason.find("no address") != std::string::npos);
          test::in_guest(guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            InterfacePlan wanted = plan();
            wanted.name = "tap0";
            wanted.v6.reset();
            UndoLog undo;
            EXPECT_OK(apply(netlink, wanted, undo));
          });
          EXPECT(until(loop, [&] { return path.now().phase == KernelPathState::Phase::ready; }));
          EXPECT(path.now().takes_forwards(Family::v4));
          EXPECT(!path.now().takes_forwards(Family::v6));
        }) == "");
}

}  // namespace
}  // namespace nh
