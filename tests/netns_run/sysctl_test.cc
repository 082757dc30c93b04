// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/sysctl.h"

#include "tests/netns_run/tree.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::run;
using namespace nh::test;

namespace {

NamespaceSet with_fresh(NamespaceType type) {
  NamespaceSet set;
  set.set_default(type, NamespaceEntry::fresh());
  return set;
}

}  // namespace

TEST_CASE("only sysctls of namespaces that are not the host's may be set") {
  const auto net = with_fresh(NamespaceType::net), ipc = with_fresh(NamespaceType::ipc);
  CHECK(check_sysctls({{"net.ipv4.ip_forward", "1"}, {"net/ipv4/conf/eth0.1/forwarding", "1"}}, net));
  CHECK(check_sysctls({{"kernel.shmmax", "1"}, {"fs.mqueue.msg_max", "1"}}, ipc));
  CHECK(!check_sysctls({{"net.ipv4.ip_forward", "1"}}, ipc));
  CHECK(!check_sysctls({{"kernel.shmmax", "1"}}, net));
  for (const char* name :
       {"kernel.panic", "vm.overcommit_memory", "net", "", "kernel.hostname", "kernel.domainname", "net/../kernel/panic"}) {
    INFO(name);
    const auto done = check_sysctls({{name, "1"}}, net);
    REQUIRE(!done);
    CHECK(done.error().field == "sysctl");
    CHECK(done.error().what.find(name) != std::string::npos);
  }
}

TEST_CASE("they are written through a proc file system, and through nothing else") {
  require_namespaces();
  const Tree tree;
  tree.make_directory("net/ipv4");
  tree.write("net/ipv4/ip_forward", "0");
  CHECK(in_child([&] {
          enter_new_namespaces();
          const UniqueFd real(open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC)),
              fake(open(tree.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(write_sysctls({{"net.ipv4.ip_forward", "1"}, {"net/ipv4/conf/lo/forwarding", "0"}}, real.get()));
          EXPECT(read_file("/proc/sys/net/ipv4/conf/lo/forwarding") == "0\n");
          EXPECT(read_file("/proc/sys/net/ipv4/ip_forward") == "1\n");
          EXPECT(!write_sysctls({{"net.ipv4.ip_forward", "1"}}, fake.get()));
          const auto wrong = write_sysctls({{"net.ipv4.ip_forward", "many"}}, real.get());
          EXPECT(!wrong && wrong.error().what.find("net.ipv4.ip_forward") != std::string::npos);
        }) == "");
  CHECK(read_file(tree.at("net/ipv4/ip_forward")) == "0");
}
