// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/options/options.h"

#include <linux/capability.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/catch.h"
#include "tools/netns-run/inside/home.h"
#include "tools/netns-run/inside/masks.h"
#include "tools/netns-run/inside/network.h"
#include "tools/netns-run/outside/helper_process.h"

using namespace nh;
using namespace nh::run;

namespace {

Result<CommandLine> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "netns-run");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Plan plan_of(const std::vector<const char*>& words) {
  auto line = parse(words);
  INFO((line.ok() ? std::string() : line.error().message()));
  REQUIRE(line.ok());
  REQUIRE(line->action == CommandLine::Action::run);
  return line->plan;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("the defaults are those of the manual", "[options]") {
  const Plan plan = plan_of({"--", "true"});
  for (const NamespaceType type : {NamespaceType::user, NamespaceType::mount, NamespaceType::pid, NamespaceType::net,
                                   NamespaceType::ipc, NamespaceType::uts})
    CHECK(plan.namespaces.is_fresh(type));
  CHECK(plan.namespaces.is_host(NamespaceType::time));
  CHECK(plan.ids.mode == IdMapPlan::Mode::root);
  CHECK(plan.process.arguments == Words{"true"});
  CHECK(plan.process.no_new_privileges);
  CHECK(plan.process.own_pid_1);
  // Root inside maps itself into sandboxes of its own (user_namespaces(7)).
  CHECK(plan.process.capabilities.permitted == std::vector<unsigned>{CAP_SETFCAP});
  CHECK(plan.process.capabilities.bounding == std::vector<unsigned>{CAP_SETFCAP, CAP_NET_RAW});
  CHECK(plan_of({"--map-current-user", "true"}).process.capabilities.permitted.empty() == (geteuid() != 0));
  CHECK(plan.root.own_sysfs);
  CHECK(plan.root.hide_name_services);
  CHECK(plan.kill_child);
  CHECK(plan.network.kind == NetworkPlan::Kind::helper);
  CHECK(plan.network.on_helper_exit == NetworkPlan::HelperExit::kill);
  CHECK(plan.root.write_resolv_conf);
  CHECK(plan.root.masked.empty());
  REQUIRE(plan.root.mounts.size() == 1);
  CHECK(plan.root.mounts[0].kind == MountSpec::Kind::proc);
}

TEST_CASE("the command begins at -- or at the first word that is no option", "[options]") {
  CHECK(plan_of({"--", "ls", "-l"}).process.arguments == Words{"ls", "-l"});
  CHECK(plan_of({"ls", "-l", "--all"}).process.arguments == Words{"ls", "-l", "--all"});
  CHECK(plan_of({"--no-net", "ls", "--no-net"}).process.arguments == Words{"ls", "--no-net"});
  CHECK(plan_of({"git", "checkout", "--", "file"}).process.arguments == Words{"git", "checkout", "--", "file"});
  CHECK(plan_of({"--env", "A=1", "env"}).process.arguments == Words{"env"});
  CHECK(plan_of({"--", "--odd"}).process.arguments == Words{"--odd"});
}

TEST_CASE("namespaces as they are asked for", "[options]") {
  const Plan plan = plan_of({"--net", "join:/run/n", "--ipc=host", "--time", "new", "true"});
  CHECK(plan.namespaces.entry(NamespaceType::net) == NamespaceEntry::join_path("/run/n"));
  CHECK(plan.namespaces.is_host(NamespaceType::ipc));
  CHECK(plan.namespaces.is_fresh(NamespaceType::time));
  CHECK(plan.namespaces.entry(NamespaceType::user) == NamespaceEntry::join_owner());
  CHECK(plan.ids.mode == IdMapPlan::Mode::none);
  CHECK(plan.process.keep_ids);
  CHECK(plan.network.kind == NetworkPlan::Kind::joined);
  CHECK(plan_of({"--net=host", "true"}).network.kind == NetworkPlan::Kind::host);
  CHECK(plan_of({"--no-net", "true"}).network.kind == NetworkPlan::Kind::loopback);
  CHECK(plan_of({"--pid=host", "true"}).root.mounts.empty());
}

TEST_CASE("id maps", "[options]") {
  CHECK(plan_of({"--map-auto", "true"}).ids.mode == IdMapPlan::Mode::subordinate);
  const Plan current = plan_of({"--map-current-user", "true"});
  CHECK(current.ids.mode == IdMapPlan::Mode::current);
  CHECK(current.process.uid == geteuid());
  const Plan ranges =
      plan_of({"--uid-map", "5:1000:1", "--uid-map=6:100000:10", "--gid-map", "0:1000:1", "--setgroups=deny", "true"});
  CHECK(ranges.ids.uids == std::vector<IdRange>{{5, 1000, 1}, {6, 100000, 10}});
  CHECK(ranges.process.uid == 5);
  CHECK(ranges.process.gid == 0);
  CHECK(ranges.ids.setgroups == IdMapPlan::Setgroups::deny);
}

TEST_CASE("mounts keep their order, and a new root brings its own", "[options]") {
  const Plan plan = plan_of({"--root", "/srv/r", "--ro", "--tmpfs", "/a", "--bind", "/usr:/a/usr", "--tmpfs=/a/usr/b",
                             "--ro-bind", "/etc:/etc", "--mask", "/m", "true"});
  CHECK(plan.root.directory == "/srv/r");
  CHECK(plan.root.read_only);
  std::vector<std::string> targets;
  for (const MountSpec& mount : plan.root.mounts) targets.push_back(mount.target);
  CHECK(targets == Words{"/proc", "/dev", "/a", "/a/usr", "/a/usr/b", "/etc"});
  CHECK(plan.root.mounts[3].set_flags == 0);
  CHECK(plan.root.mounts[5].set_flags == MS_RDONLY);
  CHECK(plan.root.masked.back() == "/m");
  CHECK(plan.root.masked.size() == default_masked().size() + 1);
  CHECK(plan.root.read_only_paths == default_read_only());
  CHECK(plan_of({"--root", "/srv/r", "--no-default-masks", "--no-dev", "--no-proc", "true"}).root.mounts.empty());
}

TEST_CASE("paths with a colon", "[options]") {
  const auto bound = [](const char* text) {
    const MountSpec mount = plan_of({"--pid=host", "--bind", text, "true"}).root.mounts.at(0);
    return std::pair(mount.source, mount.target);
  };
  CHECK(bound("/a:/b") == std::pair<std::string, std::string>("/a", "/b"));
  CHECK(bound("/a\\:b:/c") == std::pair<std::string, std::string>("/a:b", "/c"));
  CHECK(bound("/a:/b:c") == std::pair<std::string, std::string>("/a", "/b:c"));
  CHECK(bound("/a:/b\\:c") == std::pair<std::string, std::string>("/a", "/b:c"));
  CHECK(bound("/a\\\\:/b") == std::pair<std::string, std::string>("/a\\", "/b"));
  CHECK(bound("/a\\b:/c") == std::pair<std::string, std::string>("/a\\b", "/c"));
}

TEST_CASE("networks that the host does not use, unless they are named", "[options]") {
  const NetworkPlan usual = plan_of({"true"}).network;
  CHECK(usual.choose_cidr);
  CHECK(usual.choose_cidr6);
  CHECK(plan_of({"--cidr=auto", "true"}).network.choose_cidr);
  const NetworkPlan named = plan_of({"--cidr=10.9.0.0/24", "--cidr6=fd09::/64", "true"}).network;
  CHECK_FALSE(named.choose_cidr);
  CHECK_FALSE(named.choose_cidr6);
  CHECK_FALSE(plan_of({"--net-plan=private", "true"}).network.choose_cidr);
}

TEST_CASE("the process", "[options]") {
  const Plan plan =
      plan_of({"--env", "A=b=c", "--env=E=", "--unsetenv", "X", "--clearenv", "--chdir", "/x", "--cap-add", "net_admin",
               "--cap-add=CAP_CHOWN", "--cap-drop", "cap_chown", "--new-session", "--as-pid-1", "--kill-child=no", "true"});
  CHECK(plan.process.set_environment == std::vector<std::pair<std::string, std::string>>{{"A", "b=c"}, {"E", ""}});
  CHECK(plan.process.unset_environment == Words{"X"});
  CHECK(plan.process.clear_environment);
  CHECK(plan.process.directory == "/x");
  CHECK(plan.process.capabilities.effective == std::vector<unsigned>{CAP_NET_ADMIN, CAP_SETFCAP});
  CHECK(plan.process.capabilities.ambient == std::vector<unsigned>{CAP_NET_ADMIN, CAP_SETFCAP});
  CHECK(plan.process.new_session);
  CHECK_FALSE(plan.process.own_pid_1);
  CHECK_FALSE(plan.kill_child);
  CHECK(plan_of({"--keep-caps", "true"}).process.capabilities.permitted.size() > 30);
  CHECK(plan_of({"--cap-drop=ALL", "true"}).process.capabilities.bounding.empty());
}

TEST_CASE("the helper's command line", "[options]") {
  const Plan plan = plan_of({"--mtu",
                             "9000",
                             "--cidr=10.9.0.0/24",
                             "--cidr6",
                             "fd09::/64",
                             "--dns",
                             "192.0.2.1",
                             "--allow-host-loopback",
                             "--allow-link-local",
                             "--outbound-addr",
                             "eth0",
                             "--outbound-addr6=::1",
                             "--api-socket",
                             "/s",
                             "-p",
                             "8080:80",
                             "--publish=[::1]:53:53/udp",
                             "--helper-option=--pcap=/x",
                             "--log-level=debug",
                             "true"});
  CHECK(helper_command(plan.network, "/h", 3, 4, 5) ==
        Words{"/h", "--tap-socket=3", "--ready-fd=4", "--exit-fd=5", "--cidr=10.9.0.0/24", "--mtu=9000", "--cidr6=fd09::/64",
              "--sandbox", "--seccomp", "--forward=8080:80/tcp", "--forward=[::1]:53:53/udp", "--log-level=debug",
              "--dns=192.0.2.1", "--allow-host-loopback", "--allow-link-local", "--outbound-addr=eth0",
              "--outbound-addr6=::1", "--api-socket=/s", "--pcap=/x"});
  const GuestNetwork network = guest_network(plan.network);
  CHECK(network.nameservers.front().text() == "10.9.0.3");
  CHECK(network.addresses.back().text() == "fd09::100");
  const Plan bare = plan_of({"--no-ipv6", "--no-dns", "--on-helper-exit=keep", "--confine-helper=no", "true"});
  const Words words = helper_command(bare.network, "/h", 3, 4, 5);
  CHECK(std::count(words.begin(), words.end(), "--no-ipv6") == 1);
  CHECK(std::count(words.begin(), words.end(), "--no-dns") == 1);
  CHECK(std::count(words.begin(), words.end(), "--sandbox") == 0);
  CHECK(std::count(words.begin(), words.end(), "--seccomp") == 0);
  CHECK_FALSE(bare.root.write_resolv_conf);
  CHECK(bare.network.on_helper_exit == NetworkPlan::HelperExit::keep);
}

TEST_CASE("a private plan: a /30 in a /25 of its own, and a /64", "[options]") {
  const Plan first = plan_of({"--net-plan=private", "-p", "8080:80", "true"}),
             second = plan_of({"--net-plan=private", "true"});
  CHECK(first.network.cidr6 != second.network.cidr6);
  CHECK(Cidr::parse("10.240.0.0/12").value().contains(first.network.cidr.network()));
  CHECK(first.network.cidr.prefix() == 25);
  const GuestNetwork network = guest_network(first.network);
  const Cidr small = Cidr::of(network.addresses[0], 30);
  CHECK(small.host(2) == network.interface.v4->address);
  CHECK(small.host(1) == network.interface.v4->gateway);
  CHECK(network.interface.v4->prefix == 30);
  const Words words = helper_command(first.network, "/h", 3, 4, 5);
  CHECK(std::count(words.begin(), words.end(), "--no-configure") == 1);
  CHECK(std::count(words.begin(), words.end(), "--forward=8080:" + network.addresses[0].text() + ":80/tcp") == 1);
}

TEST_CASE("a command line that breaks a rule is refused with its name", "[options]") {
  const std::vector<std::pair<std::vector<const char*>, const char*>> bad = {
      {{}, "missing command"},
      {{"--typo", "true"}, "--typo"},
      {{"--net", "nonsense", "true"}, "--net"},
      {{"--no-net", "--net=host", "true"}, "--no-net"},
      {{"--no-net", "-p", "80:80", "true"}, "--publish"},
      {{"--net=host", "--mtu=1500", "true"}, "--mtu"},
      {{"--hostname", "a", "--uts=host", "true"}, "--hostname"},
      {{"--hostname", "box\n192.0.2.1 bank.example", "true"}, "--hostname"},
      {{"--domainname", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg", "true"}, "--domainname"},
      {{"--map-auto", "--map-root-user", "true"}, "--map-auto"},
      {{"--uid-map", "0:1:1", "true"}, "--uid-map"},
      {{"--uid-map", "0:1:0", "--gid-map", "0:1:1", "true"}, "--uid-map"},
      {{"--user=host", "--map-auto", "true"}, "--user"},
      {{"--setgroups=maybe", "true"}, "--setgroups"},
      {{"--mount=host", "--root", "/x", "true"}, "--mount"},
      {{"--bind", "/x", "true"}, "--bind"},
      {{"--tmpfs", "x", "true"}, "--tmpfs"},
      {{"--mask", "x", "true"}, "--mask"},
      {{"--env", "A", "true"}, "--env"},
      {{"--unsetenv", "A=1", "true"}, "--unsetenv"},
      {{"--cap-add", "flying", "true"}, "--cap-add"},
      {{"--cap-add", "5", "true"}, "--cap-add"},
      {{"--cap-add", "net_admin,chown", "true"}, "--cap-add"},
      {{"--cap-add", "chown2", "true"}, "--cap-add"},
      {{"--cap-add", "cap_", "true"}, "--cap-add"},
      {{"--pid=host", "--as-pid-1", "true"}, "--as-pid-1"},
      {{"--kill-child=perhaps", "true"}, "--kill-child"},
      {{"--mtu=1", "true"}, "--mtu"},
      {{"--cidr=10.0.2.1/24", "true"}, "--cidr"},
      {{"--cidr=10.0.2.0/30", "true"}, "--cidr"},
      {{"--cidr=10.0.2.0/24", "--net-plan=private", "true"}, "--net-plan"},
      {{"--no-ipv6", "--cidr6=fd00::/64", "true"}, "--cidr6"},
      {{"--dns=nobody", "true"}, "--dns"},
      {{"-p", "x", "true"}, "--publish"},
      {{"--on-helper-exit=cry", "true"}, "--on-helper-exit"},
      {{"--confine-helper=perhaps", "true"}, "--confine-helper"},
      {{"--no-net", "--confine-helper=no", "true"}, "--confine-helper"},
      {{"--info-fd=977", "true"}, "--info-fd"},
      {{"--info-fd=1", "--sync-fd=1", "true"}, "--sync-fd"},
      {{"--userns-block-fd=0", "true"}, "--userns-block-fd"},
      {{"--userns-block-fd=0", "--info-fd=1", "--map-auto", "true"}, "--userns-block-fd"},
      {{"--root", "", "true"}, "--root"},
      {{"--json", "true"}, "--json"},
      {{"--bundle=/x", "--root=/y"}, "--root"},
      {{"--bundle=/x", "true"}, "--bundle"},
      {{"--log-level=loud", "true"}, "--log-level"},
  };
  for (const auto& [words, name] : bad) {
    INFO(name);
    const auto line = parse(words);
    REQUIRE_FALSE(line.ok());
    CHECK(line.error().message().find(name) != std::string::npos);
  }
}

TEST_CASE("help, version and doctor", "[options]") {
  CHECK(parse({"--help"})->text.find("--publish") != std::string::npos);
  CHECK(parse({"--version"})->text.starts_with("netns-run version "));
  const auto doctor = parse({"--doctor", "--json"});
  CHECK(doctor->action == CommandLine::Action::doctor);
  CHECK(doctor->json);
}

TEST_CASE("the home directory inside", "[options]") {
  const std::string passwd =
      "root:x:0:0:root:/root:/bin/sh\nshort:x:5\nempty:x:6:6:::\nuser:x:1000:1000::/home/user:/bin/sh";
  CHECK(home_in(passwd, 0) == "/root");
  CHECK(home_in(passwd, 1000) == "/home/user");
  CHECK(home_in(passwd, 5) == "/");
  CHECK(home_in(passwd, 6) == "/");
  CHECK(home_in(passwd, 7) == "/");
  CHECK(home_in("", 0) == "/");
}
