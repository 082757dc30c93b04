// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/guest_files.h"

#include "tests/netns_run/tree.h"
#include "tests/support/catch.h"
#include "tools/netns-run/inside/root.h"

using namespace nh;
using namespace nh::run;
using namespace nh::test;

namespace {

GuestNames names_of(const std::string& hostname) {
  return {.nameservers = {*Address::parse("10.0.2.3"), *Address::parse("fd00::3")},
          .hostname = hostname,
          .addresses = {*Address::parse("10.0.2.100")}};
}

}  // namespace

TEST_CASE("resolv.conf keeps how the host searches, and asks our name servers") {
  const auto names = names_of("");
  CHECK(resolv_conf_text("# comment\nnameserver 192.0.2.1\nsearch a.example b.example\n  options ndots:2 edns0\nnameserver "
                         "2001:db8::1\ndomain c.example\n",
                         names.nameservers) ==
        "nameserver 10.0.2.3\nnameserver fd00::3\nsearch a.example b.example\n  options ndots:2 edns0\ndomain c.example\n");
  CHECK(resolv_conf_text("", names.nameservers) == "nameserver 10.0.2.3\nnameserver fd00::3\n");
  CHECK(resolv_conf_text("search no.newline", {}) == "search no.newline\n");
}

TEST_CASE("hosts names the guest, keeps the host's other names, and always has localhost") {
  CHECK(hosts_text("127.0.0.1 localhost\n127.0.1.1 guest other # guest\n192.0.2.1 server # guest\n", names_of("guest")) ==
        "10.0.2.100\tguest\n127.0.0.1 localhost\n192.0.2.1 server # guest\n");
  CHECK(hosts_text("", names_of("")) == "127.0.0.1\tlocalhost\n::1\tlocalhost\n");
  CHECK(hosts_text("127.0.0.1 localhost guest\n", names_of("guest")) == "10.0.2.100\tguest\n127.0.0.1 localhost guest\n");
  GuestNames without_address = names_of("guest");
  without_address.addresses.clear();
  CHECK(hosts_text("::1 localhost\n", without_address) == "127.0.1.1\tguest\n::1 localhost\n");
}

TEST_CASE("both are put into the root, through links and where they were missing, and nothing stays outside") {
  require_namespaces();
  const Tree tree;
  tree.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
  CHECK(as_root_inside([&] {
          RootPlan plan;
          plan.directory = tree.path();
          plan.write_resolv_conf = plan.write_hosts = true;
          EXPECT_OK(prepare_root(plan, names_of("guest")));
          EXPECT(read_file("/etc/resolv.conf").starts_with("nameserver 10.0.2.3\n"));
          EXPECT(read_file("/run/systemd/resolve/stub-resolv.conf").starts_with("nameserver 10.0.2.3\n"));
          EXPECT(read_file("/etc/hosts").starts_with("10.0.2.100\tguest\n"));
          EXPECT(writing("/etc/resolv.conf") == 0);
        }) == "");
  CHECK(std::filesystem::file_size(tree.at("run/systemd/resolve/stub-resolv.conf")) == 0);
  CHECK(std::filesystem::file_size(tree.at("etc/hosts")) == 0);
}

TEST_CASE("in the host's tree they cover the host's own, for us alone") {
  require_namespaces();
  const std::string before = read_file("/etc/hosts");
  CHECK(as_root_inside([&] {
          RootPlan plan;
          plan.write_hosts = true;
          EXPECT_OK(prepare_root(plan, names_of("guest")));
          EXPECT(read_file("/etc/hosts").starts_with("10.0.2.100\tguest\n"));
        }) == "");
  CHECK(read_file("/etc/hosts") == before);
}

TEST_CASE("a root that cannot take the file is an error that names it") {
  require_namespaces();
  const Tree tree;
  CHECK(as_root_inside(
            [&] {
              RootPlan plan;
              plan.directory = tree.path();
              plan.write_resolv_conf = true;
              const auto done = prepare_root(plan, names_of(""));
              EXPECT(!done && done.error().sys_errno == EROFS);
              EXPECT(done.error().what.find("/etc/resolv.conf") != std::string::npos);
            },
            [&] { EXPECT(mount("tmpfs", tree.at("etc").c_str(), "tmpfs", MS_RDONLY, nullptr) == 0); }) == "");
}
