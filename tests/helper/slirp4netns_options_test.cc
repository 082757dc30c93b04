// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/personalities/slirp4netns_options.h"

#include <algorithm>
#include <array>

#include "src/helper/personalities/slirp4netns_texts.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

Slirp4netnsCommandLine parse_line(std::vector<std::string> words) {
  words.insert(words.begin(), "slirp4netns");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return parse_slirp4netns(static_cast<int>(words.size()), argv.data());
}

Options slirp4netns_options(const std::vector<std::string>& words) {
  auto line = parse_line(words);
  INFO(line.err);
  REQUIRE_FALSE(line.exit.has_value());
  return line.options;
}

/// Options that end in exit code 1, with this text on standard error; with_usage: and the usage on standard output.
struct Broken {
  std::vector<std::string> words;
  std::string text;
  bool with_usage = true;
};

void check_broken(const Broken& broken) {
  const auto line = parse_line(broken.words);
  CAPTURE(broken.words, line.out);
  REQUIRE(line.exit == 1);
  CHECK(line.err == broken.text);
  CHECK((line.out.find("Usage: slirp4netns [OPTION]... PID|PATH|FD [TAPNAME]\n") != std::string::npos) == broken.with_usage);
}

}  // namespace

TEST_CASE("slirp4netns's defaults", "[slirp4netns]") {
  const auto line = parse_line({"1234", "tap3"});
  REQUIRE_FALSE(line.exit.has_value());
  CHECK(line.out.empty());
  CHECK(line.err.empty());
  const Options& options = line.options;
  CHECK(options.personality == Personality::slirp4netns);
  CHECK(options.attach == TargetKind::pid);
  CHECK(options.target == "1234");
  CHECK(options.tap_name == "tap3");
  CHECK(options.userns.empty());
  CHECK_FALSE(options.configure);
  CHECK(options.mtu == 1500);
  CHECK_FALSE(options.mac.has_value());
  CHECK(options.cidr.text() == "10.0.2.0/24");
  CHECK_FALSE(options.cidr6.has_value());
  CHECK(options.eui64_guest);
  CHECK(options.use_dns);
  CHECK(options.allow_host_loopback);
  CHECK(options.allow_link_local);
  CHECK(options.api_socket.empty());
  CHECK_FALSE(options.sandbox);
  CHECK_FALSE(options.seccomp);
  CHECK(options.ready_fd == -1);
  CHECK(options.exit_fd == -1);
}

TEST_CASE("every option of slirp4netns arrives", "[slirp4netns]") {
  const auto line = parse_line({"-c",
                                "--exit-fd=0",
                                "--ready-fd",
                                "1",
                                "--mtu=65520",
                                "-6",
                                "--api-socket=/tmp/s",
                                "--cidr=10.0.135.128/25",
                                "--disable-host-loopback",
                                "--netns-type=path",
                                "--userns-path=/proc/self/ns/user",
                                "--enable-sandbox",
                                "--enable-seccomp",
                                "--outbound-addr=127.0.0.1",
                                "--outbound-addr6=2001:db8::7",
                                "--disable-dns",
                                "--macaddress=02:00:00:00:00:07",
                                "--target-type=netns",
                                "/proc/self/ns/net",
                                "tap0"});
  INFO(line.err);
  REQUIRE_FALSE(line.exit.has_value());
  const Options& options = line.options;
  CHECK(options.configure);
  CHECK(options.exit_fd == 0);
  CHECK(options.ready_fd == 1);
  CHECK(options.mtu == 65520);
  CHECK(options.cidr6->text() == "fd00::/64");
  CHECK_FALSE(options.cidr6_given);
  CHECK(options.api_socket == "/tmp/s");
  CHECK(options.cidr.text() == "10.0.135.128/25");
  CHECK_FALSE(options.allow_host_loopback);
  CHECK(options.attach == TargetKind::netns_path);
  CHECK(options.target == "/proc/self/ns/net");
  CHECK(options.userns == "/proc/self/ns/user");
  CHECK(options.sandbox);
  CHECK(options.seccomp);
  CHECK(options.outbound_v4 == "127.0.0.1");
  CHECK(options.outbound_v6 == "2001:db8::7");
  CHECK_FALSE(options.use_dns);
  CHECK(options.mac->text() == "02:00:00:00:00:07");
  CHECK(line.out ==
        "WARNING: Support for IPv6 is experimental\n"
        "WARNING: Support for seccomp is experimental\n"
        "WARNING: Support for --outbound-addr is experimental\n"
        "WARNING: Support for --outbound-addr6 is experimental\n");
}

TEST_CASE("words in any order, shortened, clustered, with and without =", "[slirp4netns]") {
  const Options options =
      slirp4netns_options({"1234", "--mt", "9000", "tap7", "--conf", "--enable-ip", "--ci=10.9.0.0/16", "-e0", "-r", "1"});
  CHECK(options.target == "1234");
  CHECK(options.tap_name == "tap7");
  CHECK(options.mtu == 9000);
  CHECK(options.configure);
  CHECK(options.cidr6.has_value());
  CHECK(options.cidr.text() == "10.9.0.0/16");
  CHECK(options.exit_fd == 0);
  CHECK(options.ready_fd == 1);
  const Options clustered = slirp4netns_options({"-c6m1400", "5", "tap0"});
  CHECK(clustered.configure);
  CHECK(clustered.cidr6.has_value());
  CHECK(clustered.mtu == 1400);
  CHECK(slirp4netns_options({"-c", "--", "77", "tap0"}).target == "77");
  CHECK(parse_line({"--enable", "1", "tap0"}).exit == 1);
  CHECK(parse_line({"--nonsense", "1", "tap0"}).exit == 1);
  CHECK(parse_line({"--configure=yes", "1", "tap0"}).exit == 1);
  CHECK(parse_line({"1", "tap0", "--mtu"}).exit == 1);
}

TEST_CASE("deprecated names warn and work", "[slirp4netns]") {
  const auto line = parse_line({"--no-host-loopback", "--create-sandbox", "1", "tap0"});
  CHECK_FALSE(line.options.allow_host_loopback);
  CHECK(line.options.sandbox);
  CHECK(line.out ==
        "WARNING: --no-host-loopback is deprecated and will be removed in future releases, please use "
        "--disable-host-loopback instead.\n"
        "WARNING: --create-sandbox is deprecated and will be removed in future releases, please use --enable-sandbox "
        "instead.\n");
}

TEST_CASE("kinds of targets", "[slirp4netns]") {
  CHECK(slirp4netns_options({"--netns-type=pid", "1", "tap0"}).attach == TargetKind::pid);
  CHECK(slirp4netns_options({"--netns-type=path", "/proc/self/ns/net", "tap0"}).attach == TargetKind::netns_path);
  CHECK(slirp4netns_options({"--netns-type=whatever", "/proc/self/ns/net", "tap0"}).attach == TargetKind::netns_path);
  const Options tap = slirp4netns_options({"--netns-type=tapfd", "-c", "5"});
  CHECK(tap.attach == TargetKind::tap_fd);
  CHECK(tap.target == "5");
  CHECK_FALSE(tap.configure);
  const auto bess = parse_line({"--target-type=bess", "/tmp/uml.sock"});
  CHECK(bess.options.attach == TargetKind::frame_socket);
  CHECK(bess.options.target == "/tmp/uml.sock");
  CHECK(bess.out == "WARNING: BESS mode is experimental\n");
  CHECK(slirp4netns_options({"--target-type=bess", "5"}).target == "./5");  // a path, not a descriptor
  check_broken({{"--netns-type=path", "/nonexistent", "tap0"},
                "existing path expected when --netns-type=path: No such file or directory\n"});
  check_broken({{"--netns-type=tapfd", "x"}, "TAPFD must a file descriptor\n"});
  check_broken({{"--netns-type=tapfd", "-c"}, ""});
  check_broken({{"--target-type=bess", "a", "b"}, "too many arguments\n"});
  check_broken({{"--target-type=bess"}, ""});
  check_broken(
      {{"--target-type=bess", std::string(108, 'x')}, "the specified BESS socket path is too long (>= 108)\n", false});
}

TEST_CASE("slirp4netns's texts for broken rules, with its usage", "[slirp4netns]") {
  for (const char* pid : {"abc", "0", "1x", "1.5", "99999999999", ""})
    check_broken({{pid, "tap0"}, "PID must be a positive integer\n"});
  for (const char* fd : {"x", "-1", "1x", "", "4294967296"}) {
    check_broken({{"-e", fd, "1", "tap0"}, "exit-fd must be a non-negative integer\n"});
    check_broken({{"-r", fd, "1", "tap0"}, "ready-fd must be a non-negative integer\n"});
  }
  for (const char* mtu : {"0", "-1", "65522", "abc", "12x", ""})
    check_broken({{"-m", mtu, "1", "tap0"}, "MTU must be a positive integer (< 65522)\n"});
  check_broken({{"--mtu=67", "1", "tap0"}, "MTU must be at least 68\n"});
  check_broken({{"--userns-path=/nonexistent", "1", "tap0"}, "userns path doesn't exist: /nonexistent\n"});
  check_broken({{"--macaddress=02:00:00:00:00:01", "1", "tap0"},
                "--macaddr cannot be specified when --configure or -c is not specified\n"});
  check_broken({{"--target-type=foo", "1", "tap0"}, "--target-type must be either \"netns\" or \"bess\"\n"});
  check_broken({{"--target-type=bess", "-c", "/x"}, "--configure conflicts with --target-type=bess\n"});
  check_broken({{"--target-type=bess", "--netns-type=pid", "/x"}, "--netns-type conflicts with --target-type=bess\n"});
  check_broken({{"--target-type=bess", "--userns-path=/", "/x"}, "--userns-path conflicts with --target-type=bess\n"});
  check_broken({{}, ""});
  check_broken({{"1"}, ""});
}

TEST_CASE("slirp4netns's texts for unusable values, without usage", "[slirp4netns]") {
  for (const char* cidr : {"24", "foo", "10.0.2.0", "10.0.2.0/24x", "10.0.2.0/100", "10.0.2/24", "fd00::/64", ""})
    check_broken({{"--cidr", cidr, "1", "tap0"}, "invalid CIDR: " + std::string(cidr) + "\n", false});
  check_broken({{"--cidr=999.0.2.0/24", "1", "tap0"}, "invalid network address: 999.0.2.0\n", false});
  for (const char* cidr : {"10.0.2.0/26", "10.0.2.0/0", "10.0.2.0/99", "10.0.2.100/26"})
    check_broken({{"--cidr", cidr, "1", "tap0"}, "prefix length needs to be 1-25\n", false});
  check_broken({{"--cidr=10.0.2.100/24", "1", "tap0"},
                "CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24\n",
                false});
  CHECK(slirp4netns_options({"--cidr=10.41.0.0/16", "1", "tap0"}).cidr.text() == "10.41.0.0/16");
  CHECK(slirp4netns_options({"--cidr=10.0.0.0/08", "1", "tap0"}).cidr.text() == "10.0.0.0/8");
  const std::string mac_rule =
      "macaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':').\n";
  check_broken({{"-c", "--macaddress=zz:11:22:33:44:55", "1", "tap0"},
                "\"zz:11:22:33:44:55\" is an invalid MAC address.\n" + mac_rule,
                false});
  check_broken({{"-c", "--macaddress=00:11:22:33:44:55:66", "1", "tap0"},
                "\"00:11:22:33:44:55:66\" is an invalid MAC address.  Is it too long?\n" + mac_rule,
                false});
  CHECK(slirp4netns_options({"-c", "--macaddress=2:1:A:b:4:5", "1", "tap0"}).mac->text() == "02:01:0a:0b:04:05");
  for (const char* address : {"foo", "::1", ""}) {
    check_broken({{"--outbound-addr", address, "1", "tap0"},
                  "outbound-addr has to be valid ipv4 address or interface name.\n",
                  false});
  }
  check_broken({{"--outbound-addr6=127.0.0.1", "1", "tap0"},
                "outbound-addr6 has to be valid ipv6 address or interface name.\n",
                false});
  check_broken({{"-e", "900", "1", "tap0"}, "exit-fd: file descriptor 900 is not open\n", false});
  check_broken({{"-r", "900", "1", "tap0"}, "ready-fd: file descriptor 900 is not open\n", false});
  check_broken({{"-r", "1", "-e", "1", "1", "tap0"}, "exit-fd is the same file descriptor as ready-fd\n", false});
  CHECK(parse_line({"1", "a-name-longer-than-15"}).exit == 1);
}

TEST_CASE("an outbound interface stands for its own family's address, an address may come later", "[slirp4netns]") {
  CHECK(slirp4netns_options({"--outbound-addr=lo", "1", "tap0"}).outbound_v4 == "127.0.0.1");
  const Options options = slirp4netns_options({"--outbound-addr=203.0.113.7", "--outbound-addr6=2001:db8::7", "1", "tap0"});
  CHECK(options.outbound_v4 == "203.0.113.7");
  CHECK(options.outbound_may_come);
}

TEST_CASE("too many operands are a warning only", "[slirp4netns]") {
  const auto line = parse_line({"1", "tap0", "tap1"});
  CHECK_FALSE(line.exit.has_value());
  CHECK(line.out == "WARNING: too many arguments\n");
  CHECK(line.options.tap_name == "tap0");
}

TEST_CASE("help and version end at once", "[slirp4netns]") {
  for (const char* word : {"-h", "--help", "--hel"}) {
    const auto line = parse_line({word, "--nonsense"});
    CHECK(line.exit == 0);
    CHECK(line.out == slirp4netns_help("slirp4netns"));
    CHECK(line.err.empty());
  }
  const auto line = parse_line({"-v", "extra"});
  CHECK(line.exit == 0);
  CHECK(line.out.starts_with("slirp4netns version 1.3."));
  for (const char* key : {"\ncommit: ", "\nlibslirp: 4.", "\nSLIRP_CONFIG_VERSION_MAX: ", "\nlibseccomp: "})
    CHECK(line.out.find(key) != std::string::npos);
}

TEST_CASE("the start text", "[slirp4netns]") {
  const Options options =
      slirp4netns_options({"-c", "-a", "/run/s", "--cidr=10.0.135.128/25", "--outbound-addr=127.0.0.1",
                           "--outbound-addr6=2001:db8::7", "--macaddress=02:00:00:00:00:07", "1", "tap0"});
  const auto plan = AddressPlan::make(options.cidr, options.cidr6, options.mtu);
  CHECK(slirp4netns_start_text(options, plan.value()) ==
        "Starting slirp\n"
        "* MTU:             1500\n"
        "* Network:         10.0.135.128\n"
        "* Netmask:         255.255.255.128\n"
        "* Gateway:         10.0.135.130\n"
        "* DNS:             10.0.135.131\n"
        "* DHCP begin:      10.0.135.143\n"
        "* DHCP end:        10.0.135.158\n"
        "* Recommended IP:  10.0.135.228\n"
        "* API Socket:      /run/s\n"
        "* Outbound IPv4:    127.0.0.1\n"
        "* Outbound IPv6:    2001:db8::7\n"
        "* MAC address:     02:00:00:00:00:07\n"
        "WARNING: 127.0.0.1:* on the host is accessible as 10.0.135.130 (set --disable-host-loopback to prohibit connecting "
        "to "
        "127.0.0.1:*)\n");
}
