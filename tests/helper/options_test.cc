// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/options.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace nh;

namespace {

Result<CommandLine> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "netns-helper");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Options options_of(const std::vector<const char*>& words) {
  auto line = parse(words);
  REQUIRE(line.ok());
  return line->options;
}

}  // namespace

TEST_CASE("the defaults are those of the manual", "[options]") {
  const Options options = options_of({"--pid", "1234"});
  CHECK(options.attach == TargetKind::pid);
  CHECK(options.target == "1234");
  CHECK(options.tap_name == "tap0");
  CHECK(options.configure);
  CHECK(options.mtu == default_mtu);
  CHECK(options.cidr.text() == "10.0.2.0/24");
  CHECK(options.cidr6->text() == "fd00::/64");
  CHECK(options.use_dns);
  CHECK_FALSE(options.allow_host_loopback);
  CHECK_FALSE(options.allow_link_local);
  CHECK(options.busy_poll == default_busy_poll);
  CHECK_FALSE(options.sandbox);
  CHECK_FALSE(options.seccomp);
  CHECK(options.ready_fd == -1);
  CHECK(options.exit_fd == -1);
}

TEST_CASE("every option arrives", "[options]") {
  const Options options = options_of({"--netns",
                                      "/run/netns/a",
                                      "--userns",
                                      "/run/u",
                                      "--leave-lo",
                                      "--mtu",
                                      "9000",
                                      "--mac",
                                      "02:00:00:00:00:07",
                                      "--cidr",
                                      "10.1.0.0/16",
                                      "--cidr6",
                                      "fd01::/64",
                                      "--dns",
                                      "192.0.2.1",
                                      "--dns",
                                      "2001:db8::1",
                                      "tap7",
                                      "--allow-host-loopback",
                                      "--allow-link-local",
                                      "--outbound-addr",
                                      "eth0",
                                      "--outbound-addr6",
                                      "::1",
                                      "--forward",
                                      "8080:80",
                                      "--forward",
                                      "[::1]:53:53/udp",
                                      "--forward",
                                      "auto:!22/both",
                                      "--forward-to-loopback",
                                      "--relay-threads",
                                      "2",
                                      "--busy-poll",
                                      "0",
                                      "--api-socket",
                                      "/run/s",
                                      "--ready-fd",
                                      "1",
                                      "--exit-fd",
                                      "0",
                                      "--log-level",
                                      "debug",
                                      "--log-json",
                                      "--sandbox",
                                      "--seccomp"});
  CHECK(options.attach == TargetKind::netns_path);
  CHECK(options.userns == "/run/u");
  CHECK(options.leave_lo);
  CHECK(options.mtu == 9000);
  CHECK(options.mac->text() == "02:00:00:00:00:07");
  CHECK(options.cidr.text() == "10.1.0.0/16");
  CHECK(options.cidr6->text() == "fd01::/64");
  CHECK(options.dns.size() == 2);
  CHECK(options.tap_name == "tap7");
  CHECK(options.allow_host_loopback);
  CHECK(options.allow_link_local);
  CHECK(options.outbound_v4 == "eth0");
  CHECK(options.outbound_v6 == "::1");
  CHECK(options.forwards.size() == 3);
  CHECK(options.forwards[2].kind == RuleSpec::Kind::automatic);
  CHECK(options.forward_to_loopback);
  CHECK(options.relay_threads == 2);
  CHECK(options.busy_poll == std::chrono::microseconds(0));
  CHECK(options.sandbox);
  CHECK(options.seccomp);
  CHECK(options.api_socket == "/run/s");
  CHECK(options.ready_fd == 1);
  CHECK(options.exit_fd == 0);
  CHECK(options.log_level == log::Level::debug);
  CHECK(options.log_json);
}

TEST_CASE("a repeatable option does not swallow the interface's name", "[options]") {
  CHECK(options_of({"--pid", "1", "--forward", "8080:80", "tap9"}).tap_name == "tap9");
  CHECK(options_of({"--pid", "1", "--dns", "192.0.2.1", "tap9"}).dns.size() == 1);
}

TEST_CASE("a command line that breaks a rule is refused with its name", "[options]") {
  const std::vector<std::pair<std::vector<const char*>, const char*>> bad = {
      {{}, "--pid"},
      {{"--pid", "1", "--netns", "/x"}, "exactly one"},
      {{"--pid", "1", "--mtu", "67"}, "--mtu"},
      {{"--pid", "1", "--mtu", "65522"}, "--mtu"},
      {{"--pid", "1", "--mtu", ""}, "--mtu"},
      {{"--pid", "1", "--mtu=1500x"}, "--mtu"},
      {{"--pid", "1", "--mac", "01:00:00:00:00:01"}, "--mac"},
      {{"--pid", "1", "--mac", "02:00:00:00:00:01", "--no-configure"}, "--no-configure"},
      {{"--pid", "1", "--cidr", "10.0.2.1/24"}, "--cidr"},
      {{"--pid", "1", "--cidr6", "fd00::/64", "--no-ipv6"}, "--no-ipv6"},
      {{"--pid", "1", "--dns", "one.one"}, "--dns"},
      {{"--pid", "1", "--dns", "192.0.2.1", "--no-dns"}, "--no-dns"},
      {{"--pid", "1", "--forward", "http"}, "--forward"},
      {{"--pid", "1", "--ready-fd", "999"}, "--ready-fd"},
      {{"--pid", "1", "--ready-fd", "1", "--exit-fd", "1"}, "--exit-fd"},
      {{"--pid", "1", "--ready-fd", "-1"}, "--ready-fd"},
      {{"--bwrap-info-fd", "0", "--pid", "1"}, "exactly one"},
      {{"--bwrap-info-fd", "999"}, "--bwrap-info-fd"},
      {{"--bwrap-info-fd", "0", "--sync-fd", "0"}, "--sync-fd"},
      {{"--netns", "/x", "--block-fd", "1"}, "--block-fd"},
      {{"--pid", "1", "--busy-poll", "1001"}, "--busy-poll"},
      {{"--pid", "1", "--busy-poll", "1ms"}, "--busy-poll"},
      {{"--pid", "1", "--log-level", "loud"}, "--log-level"},
      {{"--pid", "1", "--no-such-thing"}, "--no-such-thing"},
      {{"--pid", "1", "tap0", "tap1"}, "tap1"},
      {{"--pid", "1", "a/b"}, "interface name"},
      {{"--pid", "1", "--pid", "2"}, "--pid"},
  };
  for (const auto& [words, names] : bad) {
    const auto line = parse(words);
    INFO(names);
    REQUIRE_FALSE(line.ok());
    CHECK(line.error().message().find(names) != std::string::npos);
    CHECK(line.error().code == Code::invalid);
  }
}

TEST_CASE("bwrap's descriptors name the guest and leave lo to bwrap", "[options]") {
  const Options options = options_of({"--bwrap-info-fd", "0", "--block-fd", "1", "--sync-fd", "2"});
  CHECK(options.attach == TargetKind::pid);
  CHECK(options.target.empty());
  CHECK(options.bwrap_info_fd == 0);
  CHECK(options.block_fd == 1);
  CHECK(options.sync_fd == 2);
  CHECK(options.leave_lo);
}

TEST_CASE("only the descriptors that are named stay open", "[options]") {
  const auto named = [](const std::vector<const char*>& words) {
    auto fds = named_descriptors(options_of(words));
    std::erase(fds, -1);
    std::sort(fds.begin(), fds.end());
    return fds;
  };
  CHECK(named({"--pid", "5"}).empty());
  CHECK(named({"--netns", "5", "--userns", "6", "--ready-fd", "1", "--exit-fd", "0"}) == std::vector<int>{0, 1, 5, 6});
  CHECK(named({"--bwrap-info-fd", "0", "--block-fd", "1", "--sync-fd", "2"}) == std::vector<int>{0, 1, 2});
  CHECK(named({"--netns", "/run/5"}).empty());
  CHECK(named({"--tap-fd", "5"}) == std::vector<int>{5});
  CHECK(named({"--tap-socket", "5"}) == std::vector<int>{5});
  Options options = options_of({"--pid", "5"});
  options.listeners = {{.fd = 3, .name = "web"}};
  const auto fds = named_descriptors(options);
  CHECK(std::count(fds.begin(), fds.end(), 3) == 1);
}

TEST_CASE("help and version need no target", "[options]") {
  CHECK(parse({"--help"})->print->text.find("--tap-socket") != std::string::npos);
  CHECK(parse({"--version"})->print->text.find("libslirp: ") != std::string::npos);
}
