// SPDX-License-Identifier: BSD-3-Clause
// The doctor on this host, and on hosts where something is missing: each is a real one, made in a child.
#include "tools/netns-run/doctor/doctor.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstddef>
#include <set>

#include "src/json/json_checked.h"
#include "src/linux/capabilities.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"
#include "tests/support/ordinary_user.h"
#include "tools/netns-run/doctor/nft_probe.h"
#include "tools/netns-run/doctor/probe.h"

namespace nh::run {

namespace {

using test::enter_new_namespaces;
using test::Failed;
using test::in_child;
using test::require_namespaces;
using test::write_file;

const Check& find(const std::vector<Check>& checks, const std::string& name) {
  for (const Check& check : checks)
    if (check.name == name) return check;
  throw Failed{"no check is called " + name};
}

/// Fails unless the check has this state, and a cure (what is unavailable or limited has one) with these words in it.
void expect(const std::vector<Check>& checks, const std::string& name, CheckState state, const std::string& cure = {},
            const std::string& detail = {}) {
  const Check& check = find(checks, name);
  if (check.state != state || check.cure.empty() != cure.empty() || check.cure.find(cure) == std::string::npos ||
      check.detail.find(detail) == std::string::npos)
    throw Failed{name + " is " + std::to_string(static_cast<int>(check.state)) + ", " + check.detail +
                 ", cure: " + check.cure};
}

/// A host of our own: we are its root, its mounts and its network are no one else's.
void become_host() {
  enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET);
  EXPECT(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
}

/// From now on system call `number` gives `err`, if the argument `index` is `value`.
void refuse(long number, int err, unsigned index = 0, std::int64_t value = -1) {
  const auto argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * index);
  const auto wanted = static_cast<std::uint32_t>(value);
  const auto skip = static_cast<std::uint8_t>(value < 0 ? 0 : 1);
  std::array<sock_filter, 6> code{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 3),
                                   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
                                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, skip),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(err)),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  sock_fprog program{.len = code.size(), .filter = code.data()};
  EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

std::string shown(bool json, int& code) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = open_memstream(&text, &size);
  code = doctor(out, json);
  std::fclose(out);
  const std::string copy(text, size);
  std::free(text);
  return copy;
}

}  // namespace

TEST_CASE("here, where the tests run, all that is required works, and whatever does not has a cure") {
  require_namespaces();
  std::set<std::string> names;
  for (const Check& check : examine_host()) {
    CAPTURE(check.name, check.detail, check.cure);
    CHECK(names.insert(check.name).second);
    CHECK(!check.detail.empty());
    CHECK(check.cure.empty() == (check.state == CheckState::available));
    if (check.required && check.name != "tap") CHECK(check.state == CheckState::available);
  }
  CHECK(names.size() >= 20);
}

TEST_CASE("a host without user namespaces: unavailable with the sysctl, exit code 1") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          write_file("/proc/sys/user/max_user_namespaces", "0");
          const auto checks = examine_host();
          expect(checks, "user_namespace", CheckState::unavailable, "sysctl -w user.max_user_namespaces=15000 (now 0)",
                 "ENOSPC");
          expect(checks, "user_namespace_privileges", CheckState::unavailable, "see user_namespace");
          expect(checks, "net_namespace", CheckState::unavailable, "max_net_namespaces", "ENOSPC");
          expect(checks, "tap", CheckState::unavailable, "see user_namespace");
          expect(checks, "nf_tables", CheckState::unavailable, "see user_namespace");
          int code = -1;
          const std::string table = shown(false, code);
          EXPECT(code == 1);
          EXPECT(table.find("unavailable user_namespace") != std::string::npos);
          EXPECT(table.find("rootless networking does not work here: user_namespace user_namespace_privileges") !=
                 std::string::npos);
        }) == "");
}

TEST_CASE("a limit of one kind is found for that kind, and required ones alone make the exit code 1") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          int before = -1, code = -1;
          shown(false, before);
          write_file("/proc/sys/user/max_time_namespaces", "0");
          const auto checks = examine_host();
          expect(checks, "time_namespace", CheckState::unavailable, "sysctl -w user.max_time_namespaces=15000 (now 0)");
          expect(checks, "uts_namespace", CheckState::available);
          shown(false, code);
          EXPECT(code == before);
          write_file("/proc/sys/user/max_net_namespaces", "0");
          expect(examine_host(), "net_namespace", CheckState::unavailable, "user.max_net_namespaces");
          shown(false, code);
          EXPECT(code == 1);
        }) == "");
}

TEST_CASE("no /dev/net/tun") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          EXPECT(mount("none", "/dev", "tmpfs", 0, nullptr) == 0);
          const auto checks = examine_host();
          expect(checks, "tap", CheckState::unavailable, "modprobe tun", "ENOENT");
          expect(checks, "tap_offload", CheckState::unavailable, "see tap");
        }) == "");
}

TEST_CASE("/dev/net/tun that we may not open") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          // As root of a mere user namespace one cannot take the mode away, but can say that no device counts there.
          EXPECT(mount("/dev/net", "/dev/net", nullptr, MS_BIND, nullptr) == 0);
          EXPECT(mount(nullptr, "/dev/net", nullptr, MS_BIND | MS_REMOUNT | MS_NODEV | MS_NOSUID | MS_NOEXEC, nullptr) == 0);
          expect(examine_host(), "tap", CheckState::unavailable, "in a container: pass it in");
        }) == "");
}

TEST_CASE("no helpers, and no subordinate ids") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          EXPECT(mount("none", "/mnt", "tmpfs", 0, nullptr) == 0);
          const UniqueFd empty(open("/mnt/empty", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
          EXPECT(mount("/mnt/empty", "/etc/subuid", nullptr, MS_BIND, nullptr) == 0);
          auto checks = examine_host();
          expect(checks, "subordinate_ids", CheckState::limited, "usermod --add-subuids", "has 0 uids");
          EXPECT(setenv("PATH", "/mnt", 1) == 0);
          checks = examine_host();
          expect(checks, "id_map_helpers", CheckState::limited, "install the package uidmap",
                 "newuidmap and newgidmap not in PATH");
        }) == "");
}

TEST_CASE("helpers without their privilege") {
  require_namespaces();
  const std::string text = in_child([] {
    test::become_ordinary_user();
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    expect(examine_host(), "id_map_helpers", CheckState::limited, "chmod u+s",
           "helper full mapping error: newuidmap for pid");
  });
  if (!test::not_tried(text)) CHECK(text == "");
}

TEST_CASE("helpers that work map an ordinary user's subordinate ids") {
  require_namespaces();
  const std::string text = in_child([] {
    test::become_ordinary_user();
    expect(examine_host(), "id_map_helpers", CheckState::available, "", "by newuidmap/newgidmap full mapping");
  });
  if (!test::not_tried(text)) CHECK(text == "");
}

TEST_CASE("system calls that a container's filter refuses") {
  require_namespaces();
  struct Case {
    const char* name;
    long number;
    int err;
    unsigned index;
    std::int64_t value;
    CheckState state;
    const char* cure;
  };
  const char* const security = "secur";  // which security module to ask depends on the host
  const auto unavailable = CheckState::unavailable, limited = CheckState::limited;
  for (const Case& test :
       {Case{"openat2", SYS_openat2, ENOSYS, 0, -1, unavailable, "Linux 5.6"},
        Case{"pidfd", SYS_pidfd_open, ENOSYS, 0, -1, unavailable, "Linux 5.3"},
        Case{"landlock", 444, ENOSYS, 0, -1, unavailable, "Linux 5.13"},
        Case{"landlock", 444, EOPNOTSUPP, 0, -1, unavailable, "lsm=landlock"},
        Case{"seccomp", SYS_seccomp, EINVAL, 0, -1, unavailable, "CONFIG_SECCOMP_FILTER"},
        Case{"user_namespace", SYS_unshare, EPERM, 0, -1, unavailable, security},
        Case{"user_namespace_privileges", SYS_mount, EACCES, 0, -1, unavailable, security},
        Case{"nf_tables", SYS_socket, EPROTONOSUPPORT, 2, NETLINK_NETFILTER, unavailable, "modprobe -a nf_tables"},
        Case{"ipv6", SYS_socket, EAFNOSUPPORT, 0, AF_INET6, limited, "ipv6.disable"},
        Case{"ping", SYS_socket, EACCES, 2, IPPROTO_ICMP, limited, "ping_group_range"},
        Case{"ping", SYS_socket, EACCES, 2, IPPROTO_ICMPV6, limited, "see ipv6"}}) {
    CAPTURE(test.name, test.err);
    CHECK(in_child([&] {
            enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET);
            write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
            refuse(test.number, test.err, test.index, test.value);
            const auto checks = examine_host();
            expect(checks, test.name, test.state, test.cure);
          }) == "");
  }
}

TEST_CASE("ping sockets and low ports, by what the host's network allows") {
  require_namespaces();
  CHECK(in_child([] {
          become_host();
          // A new network namespace lets nobody make any: "1 0", as it is seen from its first user namespace.
          expect(examine_host(), "ping", CheckState::limited, "ping_group_range=\"0 2147483647\"", "EACCES");
          write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
          expect(examine_host(), "ping", CheckState::available);
          expect(examine_host(), "low_ports", CheckState::available);
          EXPECT_OK(keep_capabilities({}, {}));
          expect(examine_host(), "low_ports", CheckState::limited, "ip_unprivileged_port_start=80", "ports from 1024 on");
        }) == "");
  CHECK(in_child([] {
          become_host();
          write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
          EXPECT_OK(keep_capabilities({}, {}));
          expect(examine_host(), "low_ports", CheckState::available);
        }) == "");
}

TEST_CASE("a probe that the kernel kills does not take the doctor with it") {
  require_namespaces();
  CHECK(in_child([] {
          const auto number = static_cast<std::uint32_t>(SYS_openat2);
          std::array<sock_filter, 4> code{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
          sock_fprog program{.len = code.size(), .filter = code.data()};
          EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
          EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
          expect(examine_host(), "openat2", CheckState::unavailable, "seccomp filter that kills", "gave no answer");
        }) == "");
}

TEST_CASE("a probe that hangs is killed, and unavailable") {
  const Finding finding = probe(
      []() -> Finding {
        for (;;) pause();
      },
      std::chrono::milliseconds(200));
  CHECK(finding.state == CheckState::unavailable);
  CHECK(finding.detail.find("gave no answer in time") != std::string::npos);
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("what nf_tables refuses is found out") {
  require_namespaces();
  CHECK(in_child([] {
          enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET);
          const auto taken = EXPECT_OK(try_nf_tables());
          EXPECT(taken.empty());
          // Each table goes with its socket: there is room for the next one.
          EXPECT(EXPECT_OK(try_nf_tables()).empty());
          EXPECT_OK(keep_capabilities({}, {}));
          const auto refused = try_nf_tables();
          EXPECT(!refused);
          EXPECT(refused.error().sys_errno == EPERM);
          EXPECT(refused.error().what == "nf_tables");
        }) == "");
}

TEST_CASE("JSON: one object, ok as the exit code has it") {
  int code = -1;
  const std::string text = shown(true, code);
  const auto object = Json::parse(text, nullptr, false);
  REQUIRE(object.is_object());
  CHECK(object["ok"].get<bool>() == (code == 0));
  CHECK(object["checks"].size() == examine_host().size());
  for (const auto& check : object["checks"]) {
    const std::string state = check["state"];
    CHECK((state == "available" || state == "limited" || state == "unavailable"));
    CHECK(check["required"].is_boolean());
    CHECK(check["name"].is_string());
    CHECK(check["detail"].is_string());
    CHECK(check["cure"].is_string());
  }
}

TEST_CASE("nothing is left behind: no child, no descriptor") {
  const auto open_fds = [] {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  const int before = open_fds();
  examine_host();
  CHECK(open_fds() == before);
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

}  // namespace nh::run
