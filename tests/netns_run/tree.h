// SPDX-License-Identifier: BSD-3-Clause
// For tests of the root: a directory that becomes one, and a process that may mount there.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "tests/support/namespaces.h"
#include "tools/netns-run/plan.h"

namespace nh::test {

/// A directory in the temporary directory, removed at the end. A tree for a root has etc, proc, sys, dev and a file
/// "marker".
class Tree {
 public:
  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "netns-run-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
    for (const char* directory : {"etc", "proc", "sys", "dev", "data"}) make_directory(directory);
    write("marker", "inside");
    write("etc/secret", "inside");
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string at(const std::string& name) const { return path_ + "/" + name; }
  void make_directory(const std::string& name) const { std::filesystem::create_directories(at(name)); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(at(name)) << text; }
  void link(const std::string& name, const std::string& text) const { std::filesystem::create_symlink(text, at(name)); }
  bool has(const std::string& name) const { return std::filesystem::exists(std::filesystem::symlink_status(at(name))); }

 private:
  std::string path_;
};

inline run::MountSpec mount_of(run::MountSpec::Kind kind, const std::string& target, const std::string& source = "") {
  run::MountSpec mount;
  mount.kind = kind;
  mount.target = target;
  mount.source = source;
  return mount;
}

/// The tree as the root, with a /proc.
inline run::RootPlan plan_for(const Tree& tree) {
  run::RootPlan plan;
  plan.directory = tree.path();
  plan.mounts.push_back(mount_of(run::MountSpec::Kind::proc, "/proc"));
  return plan;
}

inline constexpr int every_namespace =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

/// `body` in a process that is root, and pid 1, in namespaces of its own; `outside` runs before it, in the namespaces but
/// not in that process. Empty text: all well.
inline std::string as_root_inside(
    const std::function<void()>& body, const std::function<void()>& outside = [] {}) {
  return in_child([&] {
    enter_new_namespaces(every_namespace);
    outside();
    const std::string failure = in_child(body);
    if (!failure.empty()) throw Failed{failure};
  });
}

inline bool exists(const std::string& path) {
  struct stat about {};
  return lstat(path.c_str(), &about) == 0;
}

/// errno of making a file there; 0: it could be made.
inline int writing(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  return file ? 0 : errno;
}

inline int entries_of(const std::string& directory) {
  DIR* const all = opendir(directory.c_str());
  if (all == nullptr) return -1;
  int count = -2;  // "." and ".."
  while (readdir(all) != nullptr) ++count;
  closedir(all);
  return count;
}

}  // namespace nh::test
