// SPDX-License-Identifier: BSD-3-Clause
#include "src/rules/rule_spec.h"

#include <algorithm>
#include <random>

#include "tests/support/catch.h"

namespace nh {
namespace {

TEST_CASE("every form of a rule is understood") {
  struct Row {
    const char *text, *full;
  };
  const Row row = GENERATE(
      Row{"8080:80", "8080:80/tcp"}, Row{"8080:80/udp", "8080:80/udp"}, Row{"53:53/both", "53:53/both"},
      Row{"8080", "8080:8080/tcp"}, Row{"0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"},
      Row{"0.0.0.0:8080", "0.0.0.0:8080:8080/tcp"}, Row{"8080:10.0.2.100:80/tcp", "8080:10.0.2.100:80/tcp"},
      Row{"[::]:0:53/udp", "[::]:0:53/udp"}, Row{"[::1]:1:[fd00::100]:65535", "[::1]:1:[fd00::100]:65535/tcp"},
      Row{"[::1]:53", "[::1]:53:53/tcp"}, Row{"127.0.0.2:8080:127.0.0.1:80", "127.0.0.2:8080:127.0.0.1:80/tcp"},
      Row{"8080:[fd00::100]:80/udp", "8080:[fd00::100]:80/udp"}, Row{"8000-8010", "8000-8010:8000-8010/tcp"},
      Row{"8000-8010:9000-9010/udp", "8000-8010:9000-9010/udp"}, Row{"80,443,8000-8010:80-92", "80,443,8000-8010:80-92/tcp"},
      Row{"80-80:90", "80:90/tcp"}, Row{"%eth0:8080:80", "%eth0:8080:80/tcp"}, Row{"%eth0:8080", "%eth0:8080:8080/tcp"},
      Row{"%br-lan.7:80:10.1.2.3:80/both", "%br-lan.7:80:10.1.2.3:80/both"},
      Row{"unix:/run/a.sock:80", "unix:/run/a.sock:80"}, Row{"unix:/run/a/tcp:[::1]:80", "unix:/run/a/tcp:[::1]:80"},
      Row{"fd:web:80", "fd:web:80"}, Row{"fd:0:10.0.2.100:80", "fd:0:10.0.2.100:80"}, Row{"auto", "auto:1024-65535/tcp"},
      Row{"auto/both", "auto:1024-65535/both"}, Row{"auto:!8080,9000-9010", "auto:1024-65535:!8080,9000-9010/tcp"},
      Row{"auto:1-1023/udp", "auto:1-1023/udp"}, Row{"auto:0.0.0.0:3000-3999:!3128", "auto:0.0.0.0:3000-3999:!3128/tcp"},
      Row{"auto:%lan0:80,443", "auto:%lan0:80,443/tcp"}, Row{"auto:[::]:80", "auto:[::]:80/tcp"},
      Row{"reverse:5432:5432", "reverse:5432:5432/tcp"},
      Row{"reverse:[::1]:53:192.0.2.1:5353/both", "reverse:[::1]:53:192.0.2.1:5353/both"},
      Row{"reverse:80:192.0.2.1:8080", "reverse:80:192.0.2.1:8080/tcp"},
      Row{"reverse:0.0.0.0:80:8080", "reverse:0.0.0.0:80:8080/tcp"},
      Row{"reverse:80-82:90-92/udp", "reverse:80-82:90-92/udp"},
      Row{"reverse:6000:unix:/tmp/.X11-unix/X0", "reverse:6000:unix:/tmp/.X11-unix/X0"},
      Row{"reverse:10.0.2.100:6000:unix:/a", "reverse:10.0.2.100:6000:unix:/a"});
  INFO(row.text);
  auto spec = RuleSpec::parse(row.text);
  if (!spec) FAIL(spec.error().message());
  CHECK(spec->text() == row.full);
  auto again = RuleSpec::parse(spec->text());
  REQUIRE(again);
  CHECK(*again == *spec);
}

TEST_CASE("the parts of a rule arrive where they belong") {
  const RuleSpec forward = RuleSpec::parse("[::]:80,443,8000-8010:[fd00::7]:1080,1443,18000-18010/both").value();
  CHECK(forward.kind == RuleSpec::Kind::forward);
  CHECK(forward.tcp);
  CHECK(forward.udp);
  CHECK(forward.host_address == Address::any(Family::v6));
  CHECK(forward.host_ports == std::vector<PortRange>{{80, 80}, {443, 443}, {8000, 8010}});
  CHECK(port_count(forward.host_ports) == 13);
  CHECK(forward.guest_address == Address::parse("fd00::7").value());
  CHECK(forward.guest_ports.back() == PortRange{18000, 18010});

  const RuleSpec reverse = RuleSpec::parse("reverse:6000:unix:/run/x").value();
  CHECK(reverse.kind == RuleSpec::Kind::reverse);
  CHECK(reverse.host_side == RuleSpec::HostSide::unix_path);
  CHECK(reverse.host_path == "/run/x");
  CHECK(reverse.guest_ports == std::vector<PortRange>{{6000, 6000}});
  CHECK(reverse.host_ports.empty());

  const RuleSpec automatic = RuleSpec::parse("auto:%lan0:80:!22").value();
  CHECK(automatic.host_interface == "lan0");
  CHECK(automatic.guest_ports.empty());
  CHECK(automatic.excluded == std::vector<PortRange>{{22, 22}});
  CHECK(kind_name(automatic.kind) == "auto");
}

TEST_CASE("a word that is no rule names the part at fault") {
  struct Row {
    const char *text, *field;
  };
  const Row row = GENERATE(
      Row{"", "rule"}, Row{"1:2:3:4:5", "rule"}, Row{"::1:80:80", "rule"}, Row{"8080:80/sctp", "proto"},
      Row{"8080:80/", "proto"}, Row{"8080:80/UDP", "proto"}, Row{"70080:80", "host_port"}, Row{"-1:80", "host_port"},
      Row{"+1:80", "host_addr"}, Row{" 1:80", "host_addr"}, Row{":80", "host_addr"}, Row{"8080:0", "guest_port"},
      Row{"8080:65536", "guest_port"}, Row{"8080:", "guest_port"}, Row{"8080:80 ", "guest_port"},
      Row{"localhost:8080:80", "host_addr"}, Row{":8080:80", "host_addr"}, Row{"1:2:3", "host_addr"},
      Row{"224.0.0.1:8080:80", "host_addr"}, Row{"255.255.255.255:8080:80", "host_addr"},
      Row{"[1.2.3.4]:8080:80", "host_addr"}, Row{"[::ffff:1.2.3.4]:8080:80", "host_addr"}, Row{"[::1:8080:80", "host_port"},
      Row{"8080:0.0.0.0:80", "guest_addr"}, Row{"8080:[::]:80", "guest_addr"}, Row{"8080:[ff02::1]:80", "guest_addr"},
      Row{"127.0.0.1:8080:web:80", "guest_addr"}, Row{"web", "host_port"}, Row{"0", "guest_port"},
      Row{"0,80:1-2", "host_port"}, Row{"0-5:0-5", "host_port"}, Row{"80,0:1,2", "host_port"}, Row{"9-8", "host_port"},
      Row{"80-", "host_port"}, Row{"80,", "host_port"}, Row{",80", "host_port"}, Row{"80,,81", "host_port"},
      Row{"1-2-3", "host_port"}, Row{"80,80:1,2", "host_port"}, Row{"80-90,85:1-12", "host_port"},
      Row{"80-90,70-80:1-22", "host_port"}, Row{"80:90,90", "guest_port"}, Row{"80-82:90-91", "guest_port"},
      Row{"80-82:90", "guest_port"}, Row{"0:80-81", "guest_port"}, Row{"%:80:80", "host_interface"},
      Row{"%a b:80", "host_interface"}, Row{"%abcdefghijklmnop:80", "host_interface"}, Row{"%..:80", "host_interface"},
      Row{"unix:/a", "rule"}, Row{"unix:a:80", "host_unix"}, Row{"unix::80", "host_unix"}, Row{"unix:/a/:80", "host_unix"},
      Row{"unix:/a:0", "guest_port"}, Row{"unix:/a:80-81", "guest_port"}, Row{"unix:/a:80/tcp", "guest_port"},
      Row{"unix:/a:x:80", "guest_addr"}, Row{"unix:/a:1.2.3.4:5:6", "guest_port"}, Row{"fd:web", "rule"},
      Row{"fd::80", "host_fd"}, Row{"fd:a b:80", "host_fd"}, Row{"fd:web:80/udp", "guest_port"}, Row{"auto:0", "host_port"},
      Row{"auto:80:81:82:83", "rule"}, Row{"auto:80:81", "host_addr"}, Row{"auto:!", "exclude"}, Row{"auto:!0", "exclude"},
      Row{"auto:", "host_port"}, Row{"auto:!80:90", "host_addr"}, Row{"automatic", "host_port"}, Row{"reverse:80", "rule"},
      Row{"reverse:", "rule"}, Row{"reverse:80:0", "host_port"}, Row{"reverse:0:80", "guest_port"},
      Row{"reverse:80:0.0.0.0:80", "host_addr"}, Row{"reverse:80:%eth0:80", "host_interface"},
      Row{"reverse:80-81:80", "host_port"}, Row{"reverse:80:unix:a", "host_unix"},
      Row{"reverse:80-81:unix:/a", "guest_port"}, Row{"reverse:1:2:3:4:5", "rule"},
      Row{"reverse:224.0.0.1:80:80", "guest_addr"}, Row{"reverse:80:unix:/a:b", "host_unix"});
  INFO(row.text);
  const auto spec = RuleSpec::parse(row.text);
  REQUIRE_FALSE(spec);
  CHECK(spec.error().code == Code::invalid);
  CHECK(spec.error().field == row.field);
  CHECK(spec.error().what.find(row.field) == 0);
}

TEST_CASE("members that contradict each other are told by name") {
  struct Row {
    RuleFields fields;
    const char* field;
  };
  const std::string long_path = "/" + std::string(107, 'a');
  const auto with = [](auto change) {
    RuleFields fields;
    change(fields);
    return fields;
  };
  const std::vector<Row> rows = {
      {with([](RuleFields& f) { f.kind = "backward"; }), "kind"},
      {with([](RuleFields& f) { f.host_port = "80", f.proto = "icmp"; }), "proto"},
      {with([](RuleFields&) {}), "host_port"},
      {with([](RuleFields& f) { f.host_port = ""; }), "host_port"},
      {with([](RuleFields& f) { f.host_port = "80", f.host_addr = "eth0"; }), "host_addr"},
      {with([](RuleFields& f) { f.host_port = "80", f.host_addr = ""; }), "host_addr"},
      {with([](RuleFields& f) { f.host_port = "80", f.host_addr = "127.0.0.1", f.host_interface = "lo"; }), "host_addr"},
      {with([](RuleFields& f) { f.host_port = "80", f.host_unix = "/a", f.guest_port = "80"; }), "host_port"},
      {with([](RuleFields& f) { f.host_addr = "127.0.0.1", f.host_unix = "/a", f.guest_port = "80"; }), "host_addr"},
      {with([](RuleFields& f) { f.host_interface = "lo", f.host_fd = "0", f.guest_port = "80"; }), "host_interface"},
      {with([](RuleFields& f) { f.host_unix = "/a", f.host_fd = "0", f.guest_port = "80"; }), "host_fd"},
      {with([](RuleFields& f) { f.host_unix = "/a", f.guest_port = "80", f.proto = "udp"; }), "proto"},
      {with([](RuleFields& f) { f.host_fd = "a", f.guest_port = "80", f.proto = "both"; }), "proto"},
      {with([](RuleFields& f) { f.host_unix = "/a"; }), "guest_port"},
      {with([&](RuleFields& f) { f.host_unix = long_path, f.guest_port = "80"; }), "host_unix"},
      {with([](RuleFields& f) { f.host_unix = std::string("/a\0b", 4), f.guest_port = "80"; }), "host_unix"},
      {with([](RuleFields& f) { f.host_port = "80", f.exclude = "81"; }), "exclude"},
      {with([](RuleFields& f) { f.kind = "auto", f.guest_port = "81"; }), "guest_port"},
      {with([](RuleFields& f) { f.kind = "auto", f.guest_addr = "10.0.2.100"; }), "guest_addr"},
      {with([](RuleFields& f) { f.kind = "auto", f.host_unix = "/a"; }), "host_unix"},
      {with([](RuleFields& f) { f.kind = "auto", f.host_fd = "0"; }), "host_fd"},
      {with([](RuleFields& f) { f.kind = "reverse", f.host_port = "80"; }), "guest_port"},
      {with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80", f.host_interface = "lo"; }), "host_interface"},
      {with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80", f.host_fd = "0"; }), "host_fd"},
      {with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80", f.exclude = "0"; }), "exclude"},
      {with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80", f.host_unix = "/a", f.host_port = "1"; }),
       "host_port"},
      {with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80", f.host_unix = "/a", f.proto = "udp"; }), "proto"},
  };
  for (const Row& row : rows) {
    const auto spec = RuleSpec::make(row.fields);
    INFO(row.field);
    REQUIRE_FALSE(spec);
    CHECK(spec.error().code == Code::invalid);
    CHECK(spec.error().field == row.field);
  }
  CHECK(RuleSpec::make(with([](RuleFields& f) { f.kind = "reverse", f.guest_port = "80"; }))->text() == "reverse:80:80/tcp");
  CHECK(RuleSpec::make(with([&](RuleFields& f) { f.host_unix = long_path.substr(0, 107), f.guest_port = "80"; })));
}

// Rules as they come, by a generator whose seed is fixed.
class Maker {
 public:
  std::optional<std::string> maybe(std::string value) {
    return one_of(2) == 0 ? std::optional(std::move(value)) : std::nullopt;
  }
  std::size_t one_of(std::size_t count) { return random_() % count; }
  std::string address() {
    static const char* const all[] = {"127.0.0.1", "0.0.0.0",    "::",          "::1",
                                      "fd00::100", "10.0.2.100", "2001:db8::1", "192.0.2.7"};
    return all[one_of(std::size(all))];
  }
  std::string ports() {
    std::string out;
    unsigned next = 1 + static_cast<unsigned>(one_of(2000));
    for (std::size_t left = 1 + one_of(4); left > 0; --left) {
      const unsigned last = next + static_cast<unsigned>(one_of(3));
      out += (out.empty() ? "" : ",") + std::to_string(next) + (last != next ? "-" + std::to_string(last) : "");
      next = last + 1 + static_cast<unsigned>(one_of(1000));
    }
    return out;
  }
  RuleFields fields() {
    static const char* const kinds[] = {"forward", "auto", "reverse"};
    static const char* const protos[] = {"tcp", "udp", "both"};
    RuleFields fields;
    fields.kind = maybe(kinds[one_of(3)]);
    fields.proto = maybe(protos[one_of(3)]);
    fields.host_addr = maybe(address());
    if (one_of(4) == 0) fields.host_interface = "eth0";
    fields.host_port = maybe(one_of(8) == 0 ? "0" : ports());
    if (one_of(5) == 0) fields.host_unix = "/run/a [b] %c/tcp";
    if (one_of(5) == 0) fields.host_fd = "we/b.0";
    fields.guest_addr = maybe(address());
    fields.guest_port = one_of(2) == 0 ? fields.host_port : maybe(std::to_string(one_of(70000)));
    if (one_of(3) == 0) fields.exclude = ports();
    return fields;
  }
  std::string garbage() {
    static const std::string_view words[] = {"unix:", "fd:", "auto", "reverse:", ":",    "[",       "]",
                                             "::1",   "%",   "/",    "tcp",      "both", "80",      "-",
                                             ",",     "!",   "0",    "99999",    "/a",   "1.2.3.4", "\xff"};
    std::string out;
    for (std::size_t left = one_of(10); left > 0; --left) out += words[one_of(std::size(words))];
    return out;
  }

 private:
  std::mt19937 random_{20240607};
};

TEST_CASE("what a rule's text says is the rule again") {
  constexpr int tries = 20000;
  Maker maker;
  std::size_t good = 0, kinds[3] = {};
  for (int i = 0; i < tries; ++i) {
    const auto spec = RuleSpec::make(maker.fields());
    if (!spec) {
      CHECK_FALSE(spec.error().field.empty());
      continue;
    }
    ++good;
    ++kinds[static_cast<std::size_t>(spec->kind)];
    const auto again = RuleSpec::parse(spec->text());
    INFO(spec->text());
    REQUIRE(again);
    REQUIRE(*again == *spec);
  }
  CHECK(good > tries / 20);
  for (const std::size_t count : kinds) CHECK(count > 0);
}

TEST_CASE("garbage is refused with a field, or is a rule whose text says the same") {
  constexpr int tries = 50000;
  Maker maker;
  std::size_t good = 0;
  for (int i = 0; i < tries; ++i) {
    const std::string text = maker.garbage();
    const auto spec = RuleSpec::parse(text);
    INFO(text);
    if (!spec) {
      REQUIRE(spec.error().code == Code::invalid);
      REQUIRE_FALSE(spec.error().field.empty());
      continue;
    }
    ++good;
    const auto again = RuleSpec::parse(spec->text());
    REQUIRE(again);
    REQUIRE(*again == *spec);
  }
  CHECK(good > 0);
}

}  // namespace
}  // namespace nh
