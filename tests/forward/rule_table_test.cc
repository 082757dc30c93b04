// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: one fake world, and what each kind of rule does in it.
#include "src/forward/rule_table.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/forward/fake_carrier.h"
#include "tests/support/catch.h"
#include "tests/support/kernel_paths.h"

using namespace nh;
using namespace nh::test;

namespace {

using Phase = KernelPathState::Phase;

struct Table {
  explicit Table(bool stand_ins = true, std::size_t most = limits::forwards, bool to_loopback = false,
                 std::vector<ListenFd> inherited = {})
      : rules(RuleTableSetup{
            .rules = {.plan = AddressPlan::make(Cidr::parse("10.0.2.0/24").value(), Cidr::parse("fd00::/64").value(), 1500)
                                  .value(),
                      .to_loopback = to_loopback},
            .listeners = {.fds = &fds,
                          .general = &general,
                          .datagrams = &datagrams,
                          .reverse_datagrams = &reverse_datagrams,
                          .relays = stand_ins ? &relays : nullptr,
                          .stand_ins = stand_ins ? &guest : nullptr,
                          .path = &path,
                          .inherited = std::move(inherited),
                          .most = most,
                          .loopback_wanted = [this] { ++loopback_wanted; }},
            .events = &events,
            .follow_ports = [this](bool on) { following = on; }}) {
    general.changes = false;
    if (stand_ins)
      path.set(kernel_path_state(Phase::ready));
    else
      path.set({.phase = Phase::off, .off_reason = "the guest's namespace cannot be entered"});
  }

  static std::vector<RuleSpec> specs(const std::vector<std::string>& texts) {
    std::vector<RuleSpec> all;
    for (const std::string& text : texts) all.push_back(RuleSpec::parse(text).value());
    return all;
  }
  Result<std::vector<RuleEntry>> add(const std::vector<std::string>& texts) { return rules.add(specs(texts)); }
  Result<std::vector<RuleEntry>> replace(const std::vector<std::string>& texts) { return rules.replace(specs(texts)); }
  RuleEntry one(const std::string& text) {
    auto added = add({text});
    if (!added) FAIL(added.error().message());
    return added->front();
  }
  void turn(Phase phase) { path.set(kernel_path_state(phase)); }

  FdBudget fds{2 * limits::forwards};
  FakeCarrier relays, datagrams, reverse_datagrams, general;
  FakeStandIns guest;
  KernelPath path;
  HeardEvents events;
  int loopback_wanted = 0;
  bool following = false;
  RuleTable rules;
  KernelPath::Subscription subscription =
      path.subscribe([this](const KernelPathState& before, const KernelPathState& now) { rules.path_changed(before, now); });
};

// A host port that is free now, in TCP; held as long as this lives if it listens.
struct HostPort {
  HostPort() : listener(open_listener(Transport::tcp, {Address::loopback(Family::v4), 0}).value()) {}
  std::string text() const { return std::to_string(listener.bound.port); }
  std::string free() {
    listener.fd.reset();
    return text();
  }
  Listener listener;
};

bool connects(const Endpoint& to) {
  const UniqueFd fd(socket(to.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SockAddr address(to);
  return connect(fd.get(), address.get(), address.length) == 0;
}

}  // namespace

TEST_CASE("a rule listens at once, tells its port, and stops when it is removed", "[rules]") {
  Table table;
  const RuleEntry entry = table.one("0:80/both");
  CHECK(entry.id == 1);
  REQUIRE(entry.listeners.size() == 2);
  const Endpoint host = entry.listeners[0].host;
  CHECK(host.port != 0);
  CHECK(entry.listeners[0].path == FlowPath::relay);
  CHECK(entry.listeners[1].path == FlowPath::frames);
  CHECK(entry.listeners[1].host.port == host.port);
  CHECK(entry.listeners[0].guest == Endpoint{Address::parse("10.0.2.100").value(), 80});
  CHECK(connects(host));
  CHECK(table.rules.list().size() == 1);
  CHECK(table.events.of<RuleAdded>().size() == 1);
  REQUIRE(table.rules.remove({1}));
  CHECK_FALSE(connects(host));
  CHECK(table.datagrams.open.empty());
  for (const FakeCarrier* carrier : {&table.relays, &table.datagrams, &table.reverse_datagrams, &table.general})
    CHECK(carrier->forgotten.contains(1));
  CHECK(table.events.of<RuleRemoved>().front().rule == "0:80/both");
  CHECK(table.rules.remove({1}).error().code == Code::missing);
}

TEST_CASE("ids are never used twice and lists are in their order", "[rules]") {
  Table table;
  CHECK(table.one("0:80").id == 1);
  CHECK(table.one("0:81/udp").id == 2);
  REQUIRE(table.rules.remove({2}));
  CHECK(table.one("0:82").id == 3);
  CHECK(table.rules.list().back().id == 3);
  CHECK_FALSE(table.rules.remove({1, 7}));
  CHECK(table.rules.list().size() == 2);
  CHECK(table.rules.list()[1].counters.flows_opened == 4 * 300);  // of each carrier
}

TEST_CASE("of several rules all are added, or none", "[rules]") {
  Table table;
  HostPort taken;
  const auto refused = table.add({"0:80", "0:53/udp", taken.text() + ":80", "0:81"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::in_use);
  CHECK(refused.error().field == "rules[2].host_port");
  CHECK(refused.error().message().find("EADDRINUSE") != std::string::npos);
  CHECK(table.rules.list().empty());
  CHECK(table.relays.open.empty());
  CHECK(table.datagrams.open.empty());
  CHECK(table.rules.listener_count() == 0);
  CHECK(table.events.all.empty());
  CHECK(table.add({taken.text() + ":80"}).error().field == "host_port");
  CHECK(table.add({"0:80", "0:10.0.2.2:80"}).error().field == "rules[1].guest_addr");
  table.relays.fault = Error{.code = Code::exhausted, .what = "no epoll watch is left"};
  CHECK(table.add({"0:80"}).error().code == Code::exhausted);
  CHECK(table.rules.listener_count() == 0);
  CHECK(table.fds.used() == 0);
}

TEST_CASE("two hundred rules, and what does not fit is told", "[rules]") {
  constexpr std::size_t many = 200;
  Table table(true, many + 1);
  std::vector<std::string> texts(many, "0:80");
  REQUIRE(table.add(texts));
  CHECK(table.rules.list().size() == many);
  const auto refused = table.add({"0:80/udp", "0:81/udp"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::exhausted);
  CHECK(refused.error().field == "rules[1].host_port");
  CHECK(refused.error().message().find("201") != std::string::npos);
  CHECK(table.rules.listener_count() == many);
  Table ranges(false);
  CHECK(ranges.one("10000-14095").listeners.size() == limits::forwards);
  CHECK_FALSE(ranges.add({"0:80"}));
}

TEST_CASE("a replacement touches nothing that stays", "[rules]") {
  Table table;
  HostPort first, second;
  const std::string a = first.free(), b = second.free();
  REQUIRE(table.add({a + ":80", b + ":81", "0:53/udp"}));
  const std::size_t opened = table.relays.added + table.datagrams.added;
  const auto replaced = table.replace({"0:53/udp", a + ":80", b + ":10.0.2.7:90"});
  REQUIRE(replaced);
  CHECK(table.relays.added + table.datagrams.added == opened);
  REQUIRE(replaced->size() == 3);
  CHECK((*replaced)[0].id == 1);
  CHECK((*replaced)[1].id == 3);
  CHECK((*replaced)[2].id == 4);
  REQUIRE(table.relays.open.size() == 2);
  CHECK(table.relays.open.at(2).rule == 4);
  CHECK(table.relays.open.at(2).destination.endpoint(Family::v4) == Endpoint{Address::parse("10.0.2.7").value(), 90});
  CHECK(table.rules.list().back().listeners.front().guest.port == 90);
  CHECK(table.events.of<RuleRemoved>().size() == 1);
  CHECK(table.replace({})->empty());
  CHECK(table.relays.open.empty());
  CHECK(table.datagrams.open.empty());
  CHECK_FALSE(table.following);
}

TEST_CASE("a range that grows keeps the ports that it had", "[rules]") {
  Table table(false);
  table.general.changes = true;
  REQUIRE(table.add({"6000-6009"}));
  REQUIRE(table.replace({"6005-6014:7005-7014"}));
  CHECK(table.general.added == 15);
  CHECK(table.general.open.size() == 10);
  CHECK(table.general.open.at(6).destination.port == 7005);
}

TEST_CASE("a replacement may take the port of what goes; if it fails all is as before", "[rules]") {
  Table table;
  HostPort port, taken;
  const std::string p = port.free();
  REQUIRE(table.add({p + ":80"}));
  const auto refused = table.replace({"0.0.0.0:" + p + ":80", taken.text() + ":81"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field == "rules[1].host_port");
  REQUIRE(table.rules.list().size() == 1);
  CHECK(table.rules.list()[0].id == 1);
  CHECK_FALSE(table.rules.list()[0].listeners[0].paused);
  CHECK(connects(table.rules.list()[0].listeners[0].host));
  const auto replaced = table.replace({"0.0.0.0:" + p + ":80"});
  REQUIRE(replaced);
  CHECK(replaced->front().listeners[0].host.address.is_unspecified());
  CHECK(table.relays.open.size() == 1);
}

TEST_CASE("a replacement that leads where the path cannot is refused, and all is as before", "[rules]") {
  Table table(false);
  HostPort port;
  const std::string p = port.free();
  for (const char* proto : {"/tcp", "/udp"}) {
    INFO(proto);
    REQUIRE(table.replace({p + ":80" + proto}));
    const auto refused = table.replace({p + ":127.0.0.1:80" + proto});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::unsupported);
    CHECK_FALSE(table.rules.list().at(0).listeners.at(0).paused);
  }
  REQUIRE(table.replace({p + ":80"}));
  CHECK_FALSE(table.replace({p + ":[fd00::100]:80"}));
  CHECK_FALSE(table.rules.list().at(0).listeners.at(0).paused);
}

TEST_CASE("a rule of both transports has one port, whatever was there before", "[rules]") {
  Table table;
  REQUIRE(table.replace({"0:53/udp"}));
  const auto both = table.replace({"0:53/both"});
  REQUIRE(both);
  CHECK(both->at(0).listeners.at(0).host.port == both->at(0).listeners.at(1).host.port);
}

TEST_CASE("the same rule twice is one too many", "[rules]") {
  Table table;
  HostPort port;
  const std::string p = port.free();
  CHECK(table.add({p + ":80", p + ":80"}).error().field == "rules[1].host_port");
  REQUIRE(table.replace({p + ":80"}));
  CHECK(table.replace({p + ":80", p + ":80"}).error().field == "rules[1].host_port");
  CHECK(table.rules.list().size() == 1);
}

TEST_CASE("without stand-ins TCP goes by libslirp and says why; what that cannot do is refused", "[rules]") {
  Table table(false);
  const RuleEntry entry = table.one("8080:80");
  CHECK(entry.listeners[0].path == FlowPath::libslirp);
  CHECK_FALSE(entry.listeners[0].reason.empty());
  CHECK(table.general.only().destination.endpoint(Family::v4) == Endpoint{Address::parse("10.0.2.100").value(), 80});
  for (const char* text : {"unix:/tmp/x:80", "fd:0:80", "%lo:0:80", "0:[fd00::100]:80", "0:127.0.0.1:80",
                           "0:127.0.0.1:53/udp", "reverse:80:80"}) {
    const auto refused = table.add({text});
    INFO(text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::unsupported);
    CHECK_FALSE(refused.error().field.empty());
    CHECK(refused.error().message().find("cannot be entered") != std::string::npos);
  }
  table.general.fault = sys_error(EADDRINUSE, "forwarding");
  CHECK(table.add({"8080:80"}).error().code == Code::in_use);
  REQUIRE(table.rules.remove({1}));
  CHECK(table.general.open.empty());
}

TEST_CASE("when the stand-ins go libslirp takes over, and gives back", "[rules]") {
  Table table;
  table.turn(Phase::preparing);
  const RuleEntry plain = table.one("0:80"), mixed = table.one("0:[fd00::100]:80");
  CHECK(plain.listeners[0].path == FlowPath::relay);
  table.one("0:53/udp");
  table.turn(Phase::off);
  CHECK(table.relays.open.empty());
  CHECK(table.general.only().bound == plain.listeners[0].host);
  auto list = table.rules.list();
  CHECK(list[0].listeners[0].path == FlowPath::libslirp);
  CHECK(list[0].listeners[0].reason == "the agent is lost");
  CHECK(list[1].listeners[0].paused);
  CHECK(list[1].listeners[0].reason.find("from IPv4 to IPv6") != std::string::npos);
  REQUIRE(table.events.of<RuleFailed>().size() == 1);
  CHECK(table.events.of<RuleFailed>()[0].id == 2);
  REQUIRE(table.events.of<PathChanged>().size() == 1);
  CHECK(table.events.of<PathChanged>()[0].path == FlowPath::libslirp);

  table.turn(Phase::ready);
  CHECK(table.general.open.empty());
  CHECK(table.relays.open.size() == 2);
  list = table.rules.list();
  CHECK(list[0].listeners[0].host == plain.listeners[0].host);
  CHECK(list[0].listeners[0].reason.empty());
  CHECK(list[1].listeners[0].host == mixed.listeners[0].host);
  CHECK_FALSE(list[1].listeners[0].paused);
  CHECK(table.events.of<PathChanged>().size() == 2);
}

TEST_CASE("a listener on [::] goes by relays while either family has them, else by libslirp for both", "[rules]") {
  Table table;
  table.path.set(kernel_path_state(Phase::ready, Family::v4));
  const RuleEntry wildcard = table.one("[::]:0:80");
  CHECK(wildcard.listeners[0].path == FlowPath::relay);
  CHECK(table.one("[::1]:0:80").listeners[0].path == FlowPath::libslirp);
  const std::uint16_t port = wildcard.listeners[0].host.port;
  CHECK(connects({Address::loopback(Family::v4), port}));
  REQUIRE(table.rules.remove({2}));

  table.turn(Phase::off);
  const FakeCarrier::One& one = table.general.only();
  CHECK(one.bound == Endpoint{Address::any(Family::v6), port});
  CHECK(std::get<ListenAt>(one.on).wildcard == Wildcard::dual);
  CHECK(one.destination.endpoint(Family::v6) == Endpoint{Address::parse("fd00::100").value(), 80});
  CHECK(one.destination.endpoint(Family::v4) == Endpoint{Address::parse("10.0.2.100").value(), 80});
  CHECK(table.fds.used() == 2);
  table.path.set(kernel_path_state(Phase::ready, Family::v4));
  CHECK(table.general.open.empty());
  CHECK(table.rules.list()[0].listeners[0].path == FlowPath::relay);
  CHECK(table.fds.used() == 1);

  // Only one that leads to an address without stand-ins stays behind.
  REQUIRE(table.rules.remove({1}));
  CHECK(table.one("[::]:0:[fd00::100]:80").listeners[0].path == FlowPath::libslirp);
  CHECK(std::get<ListenAt>(table.general.only().on).wildcard == Wildcard::v6_only);
  CHECK(table.fds.used() == 1);
}

TEST_CASE("where a rule has the IPv4 half of a port, [::] is content with the other, on any path", "[rules]") {
  Table table;
  table.path.set(kernel_path_state(Phase::ready, Family::v6));
  const RuleEntry v4 = table.one("0.0.0.0:0:80");
  CHECK(v4.listeners[0].path == FlowPath::libslirp);
  const std::string port = std::to_string(v4.listeners[0].host.port);
  table.turn(Phase::off);
  table.one("[::]:" + port + ":80");
  CHECK(std::get<ListenAt>(table.general.open.at(2).on).wildcard == Wildcard::v6_only);
  CHECK(table.fds.used() == 2);
  REQUIRE(table.rules.remove({2}));
  table.path.set(kernel_path_state(Phase::ready, Family::v6));
  CHECK(table.one("[::]:" + port + ":80").listeners[0].path == FlowPath::relay);
}

TEST_CASE("where a rule has the IPv4 half of a UDP port, [::] is content with the other", "[rules]") {
  Table table;
  const std::string port = std::to_string(table.one("0.0.0.0:0:80/udp").listeners[0].host.port);
  CHECK(table.one("[::]:" + port + ":80/udp").listeners[0].host.address == Address::any(Family::v6));
  CHECK(table.add({"[::]:" + port + ":80/udp"}).error().code == Code::in_use);
}

TEST_CASE("each listener has its descriptors from the budget, whichever carrier has it", "[rules]") {
  Table table;
  REQUIRE(table.fds.take(table.fds.capacity() - 4));
  const auto used = [&] { return table.fds.used() - (table.fds.capacity() - 4); };
  HostPort taken;
  CHECK(table.add({taken.text() + ":80"}).error().code == Code::in_use);
  CHECK(used() == 0);
  table.one("0:80/both");
  table.one("reverse:5432:15432/both");
  CHECK(used() == 2);
  table.guest.answer(UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  table.guest.answer(UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  CHECK(used() == 4);
  CHECK(table.reverse_datagrams.open.size() == 1);
  for (const char* text : {"0:80", "0:80/udp"}) CHECK(table.add({text}).error().code == Code::exhausted);
  table.one("reverse:5433:15433");
  table.guest.answer(UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  CHECK(table.rules.list().back().listeners[0].reason.find("no file descriptor is left") != std::string::npos);
  CHECK(table.relays.open.size() == 2);

  // libslirp's takes one, too; where there is none left for it, it rests.
  table.turn(Phase::off);
  CHECK(table.general.open.size() == 1);
  CHECK(used() == 4);
  REQUIRE(table.rules.remove({1, 2, 3}));
  CHECK(used() == 0);
}

TEST_CASE("a destination that the carrier cannot change to is had by opening the listener anew", "[rules]") {
  Table table(false);
  table.one("8080:80");
  REQUIRE(table.replace({"8080:81"}));
  CHECK(table.general.added == 2);
  CHECK(table.general.only().destination.port == 81);
  CHECK(table.general.only().rule == 2);
  CHECK(table.events.of<RuleFailed>().empty());
  CHECK(table.fds.used() == 1);
}

TEST_CASE("a listener is paused while its carrier is", "[rules]") {
  Table table;
  table.one("0:80");
  table.relays.is_paused = true;
  CHECK(table.rules.list()[0].listeners[0].paused);
}

TEST_CASE("the guest's loopback is made reachable when a rule wants it", "[rules]") {
  Table table;
  table.one("0:80");
  CHECK(table.loopback_wanted == 0);
  table.one("0:127.0.0.1:80");
  CHECK(table.loopback_wanted == 1);
  Table all(true, limits::forwards, true);
  CHECK(all.one("0:80").listeners[0].guest.address == Address::loopback(Family::v4));
  CHECK(all.loopback_wanted == 1);
}

TEST_CASE("a Unix socket is its owner's, and goes with its rule", "[rules]") {
  char directory[] = "/tmp/netns-helper-rules-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/socket";
  {
    Table table;
    const RuleEntry entry = table.one("unix:" + path + ":80");
    CHECK(entry.listeners[0].host_path == path);
    CHECK(table.rules.directory_fds().size() == 1);
    struct stat found {};
    REQUIRE(stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    const auto again = table.add({"unix:" + path + ":81"});
    REQUIRE_FALSE(again);
    CHECK(again.error().code == Code::in_use);
    CHECK(again.error().field == "host_unix");
    REQUIRE(table.replace({"unix:" + path + ":82"}));
    CHECK(table.relays.added == 1);
    // Without stand-ins nobody would take its clients.
    table.turn(Phase::off);
    CHECK(access(path.c_str(), F_OK) != 0);
    table.turn(Phase::ready);
    CHECK(access(path.c_str(), F_OK) == 0);
    REQUIRE(table.rules.remove({2}));
    CHECK(access(path.c_str(), F_OK) != 0);
    table.rules.confined();
    CHECK(table.add({"unix:" + path + ":80"}).error().code == Code::unsupported);
  }
  CHECK(rmdir(directory) == 0);
}

TEST_CASE("a confined helper keeps a Unix socket that it could not make again", "[rules]") {
  char directory[] = "/tmp/nh-rules-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/web";
  {
    Table table;
    table.one("unix:" + path + ":80");
    table.rules.confined();
    table.turn(Phase::off);
    CHECK(table.relays.open.empty());
    table.turn(Phase::ready);
    CHECK(table.relays.open.size() == 1);
    REQUIRE(table.rules.remove({1}));
    CHECK(access(path.c_str(), F_OK) != 0);
  }
  rmdir(directory);
}

TEST_CASE("an inherited listener is used as it is, and outlives its rule", "[rules]") {
  const Listener inherited = open_listener(Transport::tcp, {Address::loopback(Family::v6), 0}).value();
  Table table(true, limits::forwards, false, {{inherited.fd.get(), "web"}});
  const RuleEntry entry = table.one("fd:web:80");
  CHECK(entry.listeners[0].host == inherited.bound);
  CHECK(entry.listeners[0].guest == Endpoint{Address::parse("fd00::100").value(), 80});
  REQUIRE(table.rules.remove({entry.id}));
  CHECK(connects(inherited.bound));
  table.one("fd:0:80");
  CHECK(table.add({"fd:other:80"}).error().field == "host_fd");
}

TEST_CASE("an automatic rule opens and closes with the guest", "[rules]") {
  Table table;
  HostPort one, two, taken;
  const auto port = [](const HostPort& of) { return of.listener.bound.port; };
  one.free(), two.free();
  const auto any = [&](const HostPort& of) { return GuestPort{Transport::tcp, {Address::any(Family::v4), port(of)}}; };
  table.one("auto:1-65535");
  CHECK(table.following);
  table.rules.guest_listens({any(one), any(taken)});
  auto list = table.rules.list();
  REQUIRE(list[0].listeners.size() == 1);
  CHECK(list[0].listeners[0].host.port == port(one));
  REQUIRE(table.events.of<RuleFailed>().size() == 1);
  CHECK(table.events.of<RuleFailed>()[0].reason.find(taken.text()) != std::string::npos);

  // Told once, tried again each time.
  table.rules.guest_listens({any(two), any(taken)});
  CHECK(table.events.of<RuleFailed>().size() == 1);
  list = table.rules.list();
  REQUIRE(list[0].listeners.size() == 1);
  CHECK(list[0].listeners[0].host.port == port(two));
  taken.free();
  table.rules.guest_listens({any(two), any(taken)});
  CHECK(table.rules.list()[0].listeners.size() == 2);
  CHECK(table.relays.added == 3);

  // Another rule that names the port has it.
  table.one(two.text() + ":8080");
  list = table.rules.list();
  CHECK(list[0].listeners.size() == 1);
  CHECK(list[1].listeners[0].guest.port == 8080);
  CHECK(table.events.of<RuleFailed>().size() == 1);
  REQUIRE(table.rules.remove({2}));
  CHECK(table.rules.list()[0].listeners.size() == 2);

  // A changed rule takes over what is open.
  const std::size_t opened = table.relays.added;
  REQUIRE(table.replace({"auto:1-65535:!" + two.text()}));
  CHECK(table.relays.added == opened);
  CHECK(table.rules.list()[0].listeners.size() == 1);
  REQUIRE(table.replace({}));
  CHECK(table.relays.open.empty());
  CHECK_FALSE(table.following);
}

TEST_CASE("a reverse rule waits for the guest's socket", "[rules]") {
  Table table;
  table.turn(Phase::preparing);
  const RuleEntry entry = table.one("reverse:5432-5433:192.0.2.1:15432-15433");
  REQUIRE(entry.listeners.size() == 2);
  CHECK(entry.listeners[0].paused);
  CHECK(entry.listeners[0].guest == Endpoint{Address::loopback(Family::v4), 5432});
  CHECK(entry.listeners[0].host == Endpoint{Address::parse("192.0.2.1").value(), 15432});
  REQUIRE(table.guest.asked.size() == 2);
  table.guest.answer(UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  CHECK(table.relays.open.at(1).destination.host == entry.listeners[0].host);
  CHECK_FALSE(table.rules.list()[0].listeners[0].paused);
  table.guest.answer(sys_error(EADDRINUSE, "binding"));
  CHECK(table.rules.list()[0].listeners[1].reason.find("EADDRINUSE") != std::string::npos);
  REQUIRE(table.events.of<RuleFailed>().size() == 1);
  CHECK(table.events.of<RuleFailed>()[0].id == 1);

  // What is here lives on without stand-ins; what failed is tried again when they come back.
  table.turn(Phase::off);
  CHECK(table.relays.open.size() == 1);
  table.turn(Phase::ready);
  CHECK(table.guest.asked.size() == 1);
  REQUIRE(table.rules.remove({1}));
  CHECK(table.guest.asked.empty());
  CHECK(table.relays.open.empty());
}

TEST_CASE("a reverse rule whose socket is refused at once is an error, and no event", "[rules]") {
  Table table;
  table.guest.lost = true;
  const auto added = table.add({"reverse:5432:15432"});
  REQUIRE_FALSE(added.ok());
  CHECK(added.error().message().find("the agent is lost") != std::string::npos);
  CHECK(table.events.of<RuleFailed>().empty());
  CHECK(table.guest.asked.empty());
}

TEST_CASE("a reverse rule needs the agent, no steering", "[rules]") {
  Table table;
  table.turn(Phase::off);
  table.one("reverse:5432:15432");
  CHECK(table.guest.asked.size() == 1);
}

TEST_CASE("flows of all paths are one list", "[rules]") {
  Table table;
  table.relays.flow_ids = {4};
  table.datagrams.flow_ids = {3, 5};
  table.reverse_datagrams.flow_ids = {2};
  const auto flows = table.rules.flows({});
  REQUIRE(flows.size() == 4);
  for (std::size_t i = 0; i < flows.size(); ++i) CHECK(flows[i].id == 2 + i);
  CHECK(table.rules.flows({.limit = 2}).size() == 2);
  for (const std::uint64_t id : {2, 3, 4, 5}) CHECK(table.rules.kill_flow(id));
  CHECK_FALSE(table.rules.kill_flow(6));
}
