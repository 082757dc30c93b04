// SPDX-License-Identifier: BSD-3-Clause
// For tests that need namespaces: children that live in user and network namespaces of their own. Everything here works
// as any user; where the kernel forbids user namespaces, or lacks what a test asks for, the test program ends with 77 (skipped),
// or fails if NETNS_HELPER_MUST_WORK is set.
#pragma once

#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::test {

/// Thrown by EXPECT in a child; in_child() hands its text to the parent.
struct Failed {
  std::string text;
};

#define EXPECT(condition)                                                                                                 \
  do {                                                                                                                    \
    if (!(condition)) throw ::nh::test::Failed{std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #condition}; \
  } while (false)
/// The value of a Result, or the failure of the test with its message.
template <class T>
T value_or_failed(Result<T> result, const std::string& where) {
  if (!result) throw Failed{where + ": " + result.error().message()};
  return std::move(result).value();
}
#define EXPECT_OK(expression) \
  ::nh::test::value_or_failed((expression), std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #expression)

struct Pipe {
  UniqueFd read_end, write_end;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
};

inline void write_file(const std::string& path, const std::string& text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw Failed{"writing " + path + ": " + sys_error("").message()};
}

inline std::string read_file(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw Failed{"reading " + path + ": " + sys_error("").message()};
  std::string text;
  std::array<char, 4096> part{};
  ssize_t size = 0;
  while ((size = read(file.get(), part.data(), part.size())) > 0) text.append(part.data(), static_cast<std::size_t>(size));
  return text;
}

/// Puts the caller into a new user namespace (as its root, unless `mapped` is false) and a new network namespace.
inline void enter_new_namespaces(int flags = CLONE_NEWUSER | CLONE_NEWNET, bool mapped = true) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  // A process that has become non-dumpable owns its /proc files no longer and could not write its maps.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (unshare(flags) != 0) throw Failed{"unshare: " + sys_error("").message()};
  if ((flags & CLONE_NEWUSER) == 0 || !mapped) return;
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

/// Runs `body` in a child of its own; empty text: all well.
inline std::string in_child(const std::function<void()>& body) {
  Pipe report;
  const pid_t child = fork();
  if (child == 0) {
    std::string text;
    try {
      body();
    } catch (const Failed& failed) {
      text = failed.text;
    }
    if (!text.empty() && write(report.write_end.get(), text.data(), text.size()) < 0) _exit(2);
    _exit(0);
  }
  report.write_end.reset();
  std::string text;
  std::array<char, 4096> part{};
  ssize_t size = 0;
  while ((size = read(report.read_end.get(), part.data(), part.size())) > 0)
    text.append(part.data(), static_cast<std::size_t>(size));
  int status = 0;
  waitpid(child, &status, 0);
  if (text.empty() && status != 0) text = "the child ended with wait status " + std::to_string(status);
  return text;
}

/// What a kernel can be built without.
enum class KernelFeature { ipv6, nf_tables };

/// An error of errno where the namespace that the caller is in has no nf_tables; the caller has CAP_NET_ADMIN there.
inline void expect_nf_tables() {
  struct {
    nlmsghdr header;
    nfgenmsg family;
  } request{.header = {.nlmsg_len = sizeof request,
                       .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                       .nlmsg_flags = NLM_F_REQUEST,
                       .nlmsg_seq = 1,
                       .nlmsg_pid = 0},
            .family = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0}};
  struct {
    nlmsghdr header;
    nlmsgerr error;
    std::array<char, 1024> rest;
  } answer{};
  const UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!netlink || send(netlink.get(), &request, sizeof request, 0) < 0 || recv(netlink.get(), &answer, sizeof answer, 0) < 0)
    throw Failed{sys_error("").message()};
  if (answer.header.nlmsg_type == NLMSG_ERROR) throw Failed{sys_error(-answer.error.error, "").message()};
}

/// Ends the program: 77 (skipped), or 1 where NETNS_HELPER_MUST_WORK is set.
[[noreturn]] inline void end_as_skipped(const std::string& why) {
  const char* must = std::getenv("NETNS_HELPER_MUST_WORK");
  std::printf("SKIPPED: %s\n", why.c_str());
  std::fflush(stdout);
  std::_Exit(must != nullptr && *must != '\0' ? 1 : 77);
}

/// Ends the program as skipped where user namespaces cannot be made, or the kernel lacks one of `features`.
inline void require_namespaces(std::initializer_list<KernelFeature> features = {}) {
  static const std::string why = in_child([] { enter_new_namespaces(); });
  if (!why.empty()) end_as_skipped("user namespaces cannot be made here: " + why);
  for (const KernelFeature feature : features) {
    switch (feature) {
      case KernelFeature::ipv6:
        if (access("/proc/sys/net/ipv6", F_OK) != 0) end_as_skipped("the kernel has no IPv6");
        break;
      case KernelFeature::nf_tables:
        static const std::string missing = in_child([] {
          enter_new_namespaces();
          expect_nf_tables();
        });
        if (!missing.empty()) end_as_skipped("the kernel has no nf_tables: " + missing);
        break;
    }
  }
}

/// `body` in a user and a network namespace of its own, in those of `flags` too. Empty text: all well.
inline std::string in_new_namespaces(const std::function<void()>& body, int flags = 0) {
  require_namespaces({KernelFeature::ipv6});
  return in_child([&] {
    enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET | flags);
    body();
  });
}

/// Says that a part of a test is not tried: what it needs of the kernel is there in some versions or configurations only, and
/// netns-helper does without where it is not.
inline void not_tried_here(const char* why) {
  std::printf("NOT TRIED: %s\n", why);
  std::fflush(stdout);
}

/// A process that waits in namespaces of its own until this object dies. `prepare` runs in it first.
class Guest {
 public:
  explicit Guest(const std::function<void()>& prepare) {
    Pipe ready, stop;
    pid_ = fork();
    if (pid_ == 0) {
      ready.read_end.reset();
      stop.write_end.reset();
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      std::string text = "+";
      try {
        prepare();
      } catch (const Failed& failed) {
        text = failed.text;
      }
      if (write(ready.write_end.get(), text.data(), text.size()) < 0) _exit(2);
      ready.write_end.reset();
      char byte = 0;
      if (read(stop.read_end.get(), &byte, 1) < 0) _exit(2);
      _exit(0);
    }
    ready.write_end.reset();
    stop_ = std::move(stop.write_end);
    std::array<char, 1024> text{};
    const ssize_t size = read(ready.read_end.get(), text.data(), text.size());
    if (size != 1 || text[0] != '+') {
      end();
      throw Failed{"making a guest: " + std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0)};
    }
  }
  Guest() : Guest([] { enter_new_namespaces(); }) {}
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { end(); }

  pid_t pid() const { return pid_; }
  std::string text() const { return std::to_string(pid_); }
  std::string netns() const { return "/proc/" + text() + "/ns/net"; }
  /// Kills and reaps it.
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd stop_;
};

}  // namespace nh::test
