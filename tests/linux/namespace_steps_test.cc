// SPDX-License-Identifier: BSD-3-Clause
// The order of the calls, what is left out, and every way in which they fail, by recorded calls. The kernel's own answers:
// namespace_kernel_test.cc.
#include "src/linux/namespace_steps.h"

#include <algorithm>
#include <cerrno>

#include "tests/linux/fake_namespace_calls.h"
#include "tests/support/catch.h"

namespace nh::test {

namespace {

using Type = NamespaceType;
using Calls = std::vector<std::string>;

NamespaceSet set_of(const std::vector<const char*>& words) {
  NamespaceSet set;
  for (const char* word : words) {
    auto parsed = parse_namespace(word);
    REQUIRE(parsed);
    REQUIRE(set.set(parsed->first, parsed->second));
  }
  return set;
}

/// The calls that opening and both stages make; "|" stands between the stages.
Calls calls_of(FakeNamespaceCalls& fake, const std::vector<const char*>& words) {
  auto opened = OpenedNamespaces::open(set_of(words), fake);
  if (!opened) FAIL(opened.error().message());
  CHECK(fake.changes().empty());  // everything is opened before anything is joined
  CHECK(opened->apply(NamespaceStage::user));
  Calls calls = fake.changes();
  const std::size_t first = calls.size();
  const std::size_t all = fake.calls.size();
  CHECK(opened->apply(NamespaceStage::rest));
  calls = fake.changes();
  for (std::size_t at = all; at < fake.calls.size(); ++at) CHECK(!fake.calls[at].starts_with("open"));
  calls.insert(calls.begin() + static_cast<std::ptrdiff_t>(first), "|");
  return calls;
}

Error open_error(FakeNamespaceCalls& fake, const std::vector<const char*>& words) {
  auto opened = OpenedNamespaces::open(set_of(words), fake);
  REQUIRE(!opened);
  CHECK(fake.changes().empty());
  return opened.error();
}

bool says(const Error& error, std::string_view text) {
  CAPTURE(error.message());
  CHECK(error.message().find(text) != std::string::npos);
  return error.message().find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("all new: the user namespace alone, the rest by one call in the second stage") {
  FakeNamespaceCalls fake;
  CHECK(calls_of(fake, {"mount=new", "net=new", "user=new", "pid=new", "ipc=new", "uts=new", "cgroup=new", "time=new"}) ==
        Calls{"unshare user", "|", "unshare pid+uts+ipc+net+cgroup+time+mount"});
}

TEST_CASE("nothing asked for: nothing done, nothing opened") {
  FakeNamespaceCalls fake;
  CHECK(calls_of(fake, {"net=host"}) == Calls{"|"});
  CHECK(fake.calls.empty());
}

TEST_CASE("joined by path: the user namespace first, because it gives the privilege, and mount last") {
  FakeNamespaceCalls fake;
  fake.userns["guest"] = "host";
  fake.add("/n/user", Type::user, "guest");
  fake.add("/n/net", Type::net, "guest");
  fake.add("/n/mnt", Type::mount, "guest");
  fake.add("/n/pid", Type::pid, "guest");
  CHECK(calls_of(fake, {"mount=join:/n/mnt", "net=join:/n/net", "pid=join:/n/pid", "user=join:/n/user", "uts=new"}) ==
        Calls{"setns /n/user user", "|", "setns /n/pid pid", "setns /n/net net", "unshare uts", "setns /n/mnt mount"});
}

TEST_CASE("joined with a new user namespace: the user namespace last, because it takes the privilege") {
  FakeNamespaceCalls fake;
  fake.add("/n/net", Type::net, "host");
  fake.add("/n/mnt", Type::mount, "host");
  CHECK(calls_of(fake, {"user=new", "mount=join:/n/mnt", "net=join:/n/net", "ipc=new"}) ==
        Calls{"setns /n/net net", "setns /n/mnt mount", "unshare user", "|", "unshare ipc"});
}

TEST_CASE("what an ancestor of the joined user namespace owns is joined before it") {
  FakeNamespaceCalls fake;
  fake.userns["outer"] = "host";
  fake.userns["inner"] = "outer";
  fake.add("/n/user", Type::user, "inner");
  fake.add("/n/net", Type::net, "outer");        // bwrap --dev
  fake.add("/n/ipc", Type::ipc, "unreachable");  // owned above ourselves: the owner cannot be opened
  fake.add("/n/uts", Type::uts, "inner");
  CHECK(calls_of(fake, {"user=join:/n/user", "net=join:/n/net", "ipc=join:/n/ipc", "uts=join:/n/uts"}) ==
        Calls{"setns /n/ipc ipc", "setns /n/net net", "setns /n/user user", "|", "setns /n/uts uts"});
}

TEST_CASE("several of one process are joined by one call on its pidfd") {
  FakeNamespaceCalls fake;
  fake.userns["guest"] = "host";
  fake.add_process(7, "guest", "guest");
  fake.add("/n/ipc", Type::ipc, "guest");
  CHECK(calls_of(fake, {"net=join:pid:7", "user=join:pid:7", "ipc=join:/n/ipc", "mount=join:pid:7", "pid=join:pid:7"}) ==
        Calls{"setns pidfd:7 user+pid+net+mount", "|", "setns /n/ipc ipc"});
  CHECK(std::count(fake.calls.begin(), fake.calls.end(), "pidfd 7") == 1);
}

TEST_CASE("two processes are two pidfds, and one kind alone is joined by its file") {
  FakeNamespaceCalls fake;
  fake.userns["guest"] = "host";
  fake.add_process(7, "guest", "guest");
  fake.add_process(8, "guest", "guest");
  fake.add_process(9, "guest", "guest");
  CHECK(calls_of(fake, {"user=join:pid:9", "net=join:pid:7", "ipc=join:pid:8", "uts=join:pid:7"}) ==
        Calls{"setns /proc/9/ns/user user", "|", "setns pidfd:7 uts+net", "setns /proc/8/ns/ipc ipc"});
}

TEST_CASE("an inherited descriptor is copied, and the copy is joined") {
  FakeNamespaceCalls fake;
  fake.add("fd:5", Type::net, "host");
  CHECK(calls_of(fake, {"net=join:fd:5"}) == Calls{"|", "setns fd:5 net"});
  CHECK(std::count(fake.calls.begin(), fake.calls.end(), "duplicate 5") == 1);
}

TEST_CASE("a namespace that is ours already is not joined again") {
  FakeNamespaceCalls fake;
  fake.add("/n/user", Type::user, "host");
  fake.userns["guest"] = "host";
  fake.add("/n/net", Type::net, "guest");
  CHECK(calls_of(fake, {"user=join:/n/user", "net=join:/n/net", "uts=join:/proc/self/ns/uts"}) ==
        Calls{"|", "setns /n/net net"});
}

TEST_CASE("join:owner joins the user namespace that owns the joined network namespace") {
  FakeNamespaceCalls fake;
  fake.userns["guest"] = "host";
  fake.add("/n/net", Type::net, "guest");
  fake.add("/n/ipc", Type::ipc, "guest");
  CHECK(calls_of(fake, {"user=join:owner", "net=join:/n/net", "ipc=join:/n/ipc"}) ==
        Calls{"setns userns:guest user", "|", "setns /n/ipc ipc", "setns /n/net net"});
  FakeNamespaceCalls alone;
  CHECK(says(open_error(alone, {"user=join:owner", "net=new"}), "no other namespace is joined"));
  FakeNamespaceCalls above;
  above.add("/n/net", Type::net, "unreachable");
  CHECK(says(open_error(above, {"user=join:owner", "net=join:/n/net"}), "not below our own user namespace"));
}

TEST_CASE("a filter leaves kinds out of the steps and of a step") {
  FakeNamespaceCalls fake;
  fake.add("/n/mnt", Type::mount, "host");
  fake.add("/n/net", Type::net, "host");
  fake.add("/n/ipc", Type::ipc, "host");
  auto opened = OpenedNamespaces::open(
      set_of({"ipc=join:/n/ipc", "net=join:/n/net", "mount=join:/n/mnt", "pid=new", "uts=new"}), fake);
  REQUIRE(opened);
  const auto not_ipc_nor_uts = [](Type type) { return type != Type::ipc && type != Type::uts; };
  REQUIRE(opened->apply(NamespaceStage::user, not_ipc_nor_uts));
  REQUIRE(opened->apply(NamespaceStage::rest, not_ipc_nor_uts));
  CHECK(fake.changes() == Calls{"setns /n/net net", "unshare pid", "setns /n/mnt mount"});

  fake.calls.clear();
  REQUIRE(opened->apply(NamespaceStage::rest, [](Type) { return false; }));
  CHECK(fake.changes().empty());
}

TEST_CASE("a kind that the kernel does not have is an error by name, before anything is done") {
  FakeNamespaceCalls fake;
  fake.files.erase("/proc/self/ns/time");
  const Error error = open_error(fake, {"net=new", "time=new"});
  CHECK(error.code == Code::unsupported);
  CHECK(error.field == "time");
  CHECK(says(error, "time=new: opening /proc/self/ns/time (this kernel has no time namespaces"));
}

TEST_CASE("opening errors name the entry and the step") {
  FakeNamespaceCalls fake;
  const Error missing = open_error(fake, {"net=join:/run/netns/none"});
  CHECK(missing.code == Code::missing);
  CHECK(missing.field == "net");
  CHECK(says(missing, "net=join:/run/netns/none: opening /run/netns/none: No such file or directory (ENOENT)"));
  CHECK(says(open_error(fake, {"ipc=join:fd:77"}), "ipc=join:fd:77: opening the inherited descriptor: Bad file descriptor"));
  const Error no_process = open_error(fake, {"pid=join:pid:999"});
  CHECK(no_process.code == Code::missing);
  CHECK(says(no_process, "pid=join:pid:999: opening the process"));
  fake.add_process(7, "guest", "guest");
  fake.open_errors["/proc/7/ns/mnt"] = EACCES;
  const Error denied = open_error(fake, {"mount=join:pid:7"});
  CHECK(denied.code == Code::denied);
  CHECK(says(denied, "not dumpable"));
}

TEST_CASE("a process that ends while it is opened is not mistaken for another") {
  FakeNamespaceCalls fake;
  fake.add_process(7, "guest", "guest");
  fake.ended = "pidfd:7";
  const Error error = open_error(fake, {"net=join:pid:7"});
  CHECK(error.code == Code::gone);
  CHECK(says(error, "net=join:pid:7"));
}

TEST_CASE("a namespace of another kind, and what is no namespace, are checking errors") {
  FakeNamespaceCalls fake;
  fake.add("/n/ipc", Type::ipc, "host");
  const Error other = open_error(fake, {"net=join:/n/ipc"});
  CHECK(other.code == Code::invalid);
  CHECK(other.field == "net");
  CHECK(says(other, "net=join:/n/ipc: checking the kind: this is a namespace of the kind ipc"));
  fake.files["/dev/null"] = {.type = -ENOTTY};
  CHECK(says(open_error(fake, {"uts=join:/dev/null"}), "uts=join:/dev/null: checking the kind: this is no namespace"));
}

TEST_CASE("the first step that fails ends it, and is named") {
  FakeNamespaceCalls fake;
  fake.userns["guest"] = "host";
  fake.add("/n/net", Type::net, "guest");
  fake.add("/n/ipc", Type::ipc, "guest");
  auto opened = OpenedNamespaces::open(set_of({"net=join:/n/net", "ipc=join:/n/ipc", "uts=new"}), fake);
  REQUIRE(opened);
  fake.done = {EPERM};
  const auto joined = opened->apply(NamespaceStage::rest);
  REQUIRE(!joined);
  CHECK(joined.error().field == "ipc");
  CHECK(joined.error().code == Code::denied);
  CHECK(says(joined.error(), "ipc=join:/n/ipc: joining the ipc namespace"));
  CHECK(says(joined.error(), "user=join:owner"));
  CHECK(fake.changes().size() == 1);

  fake.calls.clear();
  fake.done = {0, 0, ENOSPC};
  const auto made = opened->apply(NamespaceStage::rest);
  REQUIRE(!made);
  CHECK(says(made.error(), "uts=new: making the uts namespace (a limit of /proc/sys/user"));
  CHECK(fake.changes().size() == 3);
}

TEST_CASE("refusals say what is behind them") {
  struct Case {
    std::vector<const char*> words;
    NamespaceStage stage;
    int err;
    const char* text;
  };
  const auto user = NamespaceStage::user, rest = NamespaceStage::rest;
  for (const Case& test :
       {Case{{"user=new"}, user, EPERM, "unprivileged users"}, Case{{"user=new"}, user, ENOSPC, "max_*_namespaces"},
        Case{{"user=new"}, user, EINVAL, "several threads"},
        Case{{"net=new"}, rest, EPERM, "CAP_SYS_ADMIN: make or join a user namespace too"},
        Case{{"user=new", "net=join:pid:7"}, user, EPERM, "user=join:owner"},
        Case{{"user=join:pid:7"}, user, EPERM, "only the user who made it"},
        Case{{"user=join:pid:7", "net=join:pid:7"}, user, ESRCH, "the process has ended"}}) {
    CAPTURE(test.text);
    FakeNamespaceCalls fake;
    fake.userns["guest"] = "host";
    fake.add_process(7, "guest", "guest");
    auto opened = OpenedNamespaces::open(set_of(test.words), fake);
    REQUIRE(opened);
    fake.done = {test.err};
    const auto done = opened->apply(test.stage);
    REQUIRE(!done);
    CHECK(says(done.error(), test.text));
  }
}

}  // namespace nh::test
