// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/resolver_list.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "src/base/limits.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

namespace nh::test {
namespace {

namespace fs = std::filesystem;

class Directory {
 public:
  Directory() {
    std::string name = "/tmp/netns-helper-dns-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() { fs::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

void write(const fs::path& path, const std::string& server) {
  std::ofstream(path) << "nameserver " << server << "\n";
}

struct Fixture {
  std::vector<std::string> order(ResolverList& list) const {
    std::vector<std::string> texts;
    for (const NameServer& server : list.order()) texts.push_back(server.address.text());
    return texts;
  }
  std::vector<std::string> later(ResolverList& list) {
    clock.advance(limits::dns_resolv_check);
    return order(list);
  }
  ManualClock clock;
  Directory directory;
};

using Texts = std::vector<std::string>;

TEST_CASE("a resolv.conf that is written, renamed over or removed is noticed") {
  Fixture f;
  const fs::path path = f.directory / "resolv.conf";
  ResolverList list(f.clock, {}, path);
  CHECK(f.order(list) == Texts{"127.0.0.1"});
  write(path, "192.0.2.1");
  CHECK(f.order(list) == Texts{"127.0.0.1"});  // not looked at so soon again
  CHECK(f.later(list) == Texts{"192.0.2.1"});
  write(f.directory / "new", "192.0.2.2");
  fs::rename(f.directory / "new", path);
  CHECK(f.later(list) == Texts{"192.0.2.2"});
  write(path, "192.0.2.33");
  CHECK(f.later(list) == Texts{"192.0.2.33"});
  fs::remove(path);
  CHECK(f.later(list) == Texts{"127.0.0.1"});
}

TEST_CASE("a symbolic link that leads elsewhere, or whose target changes, is noticed") {
  Fixture f;
  write(f.directory / "one", "192.0.2.1");
  write(f.directory / "two", "192.0.2.2");
  const fs::path link = f.directory / "resolv.conf";
  fs::create_symlink("one", link);
  ResolverList list(f.clock, {}, link);
  CHECK(f.order(list) == Texts{"192.0.2.1"});
  fs::create_symlink("two", f.directory / "next");
  fs::rename(f.directory / "next", link);
  CHECK(f.later(list) == Texts{"192.0.2.2"});
  write(f.directory / "other", "192.0.2.3");
  fs::rename(f.directory / "other", f.directory / "two");
  CHECK(f.later(list) == Texts{"192.0.2.3"});
}

TEST_CASE("a resolver that failed is asked last for a while, or until it answers") {
  Fixture f;
  ResolverList list(f.clock, {addr("192.0.2.1"), addr("192.0.2.2"), addr("192.0.2.3")}, "");
  CHECK(f.order(list) == Texts{"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  list.failed({addr("192.0.2.1")});
  CHECK(f.order(list) == Texts{"192.0.2.2", "192.0.2.3", "192.0.2.1"});
  list.failed({addr("192.0.2.3")});
  list.answered({addr("192.0.2.1")});
  CHECK(f.order(list) == Texts{"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  list.failed({addr("192.0.2.1")});
  f.clock.advance(limits::dns_dead);
  CHECK(f.order(list) == Texts{"192.0.2.1", "192.0.2.2", "192.0.2.3"});
  list.failed({addr("192.0.2.1")});
  list.failed({addr("192.0.2.2")});
  list.failed({addr("192.0.2.3")});
  CHECK(f.order(list) == Texts{"192.0.2.1", "192.0.2.2", "192.0.2.3"});
}

TEST_CASE("a changed file keeps what is known of the servers that stay") {
  Fixture f;
  const fs::path path = f.directory / "resolv.conf";
  std::ofstream(path) << "nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
  ResolverList list(f.clock, {}, path);
  CHECK(f.order(list) == Texts{"192.0.2.1", "192.0.2.2"});
  list.failed({addr("192.0.2.1")});
  std::ofstream(path) << "nameserver 192.0.2.1\nnameserver 192.0.2.3\nnameserver 192.0.2.2\n";
  CHECK(f.later(list) == Texts{"192.0.2.3", "192.0.2.2", "192.0.2.1"});
}

TEST_CASE("fixed resolvers are bounded and each once") {
  Fixture f;
  std::vector<Address> many{addr("192.0.2.1"), addr("192.0.2.1")};
  for (int i = 1; i < 20; ++i) many.push_back(addr("192.0.2." + std::to_string(i)));
  ResolverList list(f.clock, many, "/nonexistent");
  CHECK(f.order(list).size() == limits::dns_resolvers);
  CHECK(f.order(list)[1] == "192.0.2.2");
}

}  // namespace
}  // namespace nh::test
