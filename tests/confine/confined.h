// SPDX-License-Identifier: BSD-3-Clause
// What a test of confinement asks of a process that may die of it.
#pragma once

#include <dirent.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <set>
#include <string>

#include "tests/support/namespaces.h"

namespace nh::test {

/// The wait status of a child that runs `body` and then ends with 0.
inline int wait_status(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
    } catch (const Failed& failed) {
      if (write(STDERR_FILENO, failed.text.data(), failed.text.size()) < 0) _exit(4);
      _exit(3);
    }
    syscall(SYS_exit_group, 0);
  }
  int status = -1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

inline bool killed_by_filter(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/// Whether the kernel confines signals and abstract Unix sockets: Landlock's ABI 6, Linux 6.12.
inline bool has_landlock_scopes() {
  constexpr unsigned ask_version = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  return syscall(SYS_landlock_create_ruleset, nullptr, 0, ask_version) >= 6;
}

inline std::set<std::string> names_in(const std::string& path) {
  std::set<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) throw Failed{"listing " + path + ": " + sys_error("").message()};
  while (const dirent* entry = readdir(directory))
    if (const std::string name = entry->d_name; name != "." && name != "..") names.insert(name);
  closedir(directory);
  return names;
}

struct Capabilities {
  std::uint64_t effective = 0, permitted = 0, inheritable = 0, bounding = 0, ambient = 0;
};

/// By system calls: there is no /proc any more.
inline Capabilities capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) throw Failed{"capget: " + sys_error("").message()};
  const auto both = [](std::uint32_t low, std::uint32_t high) { return low | (std::uint64_t{high} << 32); };
  Capabilities found{.effective = both(data[0].effective, data[1].effective),
                     .permitted = both(data[0].permitted, data[1].permitted),
                     .inheritable = both(data[0].inheritable, data[1].inheritable)};
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) found.bounding |= std::uint64_t{1} << capability;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) found.ambient |= std::uint64_t{1} << capability;
  }
  return found;
}

constexpr std::uint64_t bit(unsigned capability) {
  return std::uint64_t{1} << capability;
}

}  // namespace nh::test
