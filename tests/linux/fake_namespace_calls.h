// SPDX-License-Identifier: BSD-3-Clause
// FakeNamespaceCalls: a kernel that notes what it is asked, and answers as a test has told it.
#pragma once

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "src/linux/namespace.h"
#include "src/linux/namespace_calls.h"

namespace nh::test {

class FakeNamespaceCalls final : public NamespaceCalls {
 public:
  struct File {
    int type = 0;            ///< CLONE_NEW...; -errno: no namespace
    std::string owner = {};  ///< the user namespace that owns it; "unreachable": not below ours
    std::string is_a = {};   ///< a user namespace's own name
  };

  FakeNamespaceCalls() {
    for (const NamespaceType type : all_namespace_types) add("/proc/self/ns/" + std::string(proc_name(type)), type, "host");
    userns["host"] = "";
  }

  /// A namespace file, and the name of the user namespace that owns it.
  void add(const std::string& path, NamespaceType type, const std::string& owner) {
    files[path] = {.type = clone_flag(type), .owner = owner, .is_a = type == NamespaceType::user ? owner : ""};
  }
  /// A process in namespaces that `owner` owns; its own user namespace is `in`.
  void add_process(pid_t pid, const std::string& in, const std::string& owner) {
    for (const NamespaceType type : all_namespace_types)
      add("/proc/" + std::to_string(pid) + "/ns/" + std::string(proc_name(type)), type,
          type == NamespaceType::user ? in : owner);
  }

  int open(const std::string& path) override {
    calls.push_back("open " + path);
    if (open_errors.contains(path)) return -open_errors[path];
    if (!files.contains(path)) return -ENOENT;
    return hand_out(path);
  }
  int duplicate(int fd) override {
    calls.push_back("duplicate " + std::to_string(fd));
    const std::string path = "fd:" + std::to_string(fd);
    return files.contains(path) ? hand_out(path) : -EBADF;
  }
  int open_pidfd(pid_t pid) override {
    calls.push_back("pidfd " + std::to_string(pid));
    if (!files.contains("/proc/" + std::to_string(pid) + "/ns/user")) return -ESRCH;
    return hand_out("pidfd:" + std::to_string(pid));
  }
  bool has_ended(int pidfd) override { return handed.at(pidfd) == ended; }
  int type_of(int fd) override { return files.at(handed.at(fd)).type; }
  int owner_of(int fd) override {
    const std::string& owner = files.at(handed.at(fd)).owner;
    return owner == "unreachable" ? -EPERM : hand_out("userns:" + owner);
  }
  int parent_of(int fd) override {
    const std::string parent = userns[user_name(fd)];
    return parent.empty() ? -EPERM : hand_out("userns:" + parent);
  }
  bool same(int a, int b) override {
    const std::string user_a = user_name(a), user_b = user_name(b);
    return user_a.empty() ? handed.at(a) == handed.at(b) : user_a == user_b;
  }
  int setns(int fd, int flags) override {
    calls.push_back("setns " + handed.at(fd) + " " + kinds(flags));
    return take();
  }
  int unshare(int flags) override {
    calls.push_back("unshare " + kinds(flags));
    return take();
  }

  /// Only the calls that change something.
  std::vector<std::string> changes() const {
    std::vector<std::string> found;
    for (const std::string& call : calls)
      if (call.starts_with("setns") || call.starts_with("unshare")) found.push_back(call);
    return found;
  }

  std::vector<std::string> calls;
  std::map<std::string, File> files;
  std::map<std::string, int> open_errors;
  std::map<std::string, std::string> userns;  ///< each one's parent; empty: out of sight
  std::vector<int> done;                      ///< what the next setns and unshare return: 0 or an errno; empty: all work
  std::string ended;                          ///< "pidfd:N": this process is gone

 private:
  static std::string kinds(int flags) {
    std::string text;
    for (const NamespaceType type : all_namespace_types)
      if ((flags & clone_flag(type)) != 0) text += (text.empty() ? "" : "+") + std::string(namespace_name(type));
    return text;
  }
  int take() {
    if (done.empty()) return 0;
    const int err = done.front();
    done.erase(done.begin());
    return -err;
  }
  /// A number that is no descriptor of this process; its owner closes it in vain.
  int hand_out(const std::string& what) {
    const int fd = next_++;
    handed[fd] = what;
    return fd;
  }
  std::string user_name(int fd) {
    const std::string& what = handed.at(fd);
    if (what.starts_with("userns:")) return what.substr(7);
    return files.contains(what) ? files.at(what).is_a : "";
  }

  std::map<int, std::string> handed;
  int next_ = 1'000'000;
};

}  // namespace nh::test
