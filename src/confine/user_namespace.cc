// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/user_namespace.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "src/base/unique_fd.h"
#include "src/linux/capabilities.h"
#include "src/linux/namespace.h"

namespace nh {
namespace {

// True if our capabilities are valid for the ports of the network namespace that we are in.
bool may_bind_low_ports() {
  if (!has_capability(CAP_NET_BIND_SERVICE)) return false;
  const UniqueFd netns(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  // Its owner is our user namespace or one below it; a refusal means one above.
  return netns && owner_of(netns.get()).ok();
}

Result<> write_map(const char* path, const std::string& text) {
  const UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return sys_error(std::string("writing ") + path);
  return Ok{};
}

Result<> map_own_ids(uid_t uid, gid_t gid) {
  const auto same = [](unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1\n"; };
  NH_TRY(write_map("/proc/self/uid_map", same(uid)));
  // An ordinary user may map its gid only once nobody in there can drop groups any more
  // (user_namespaces(7)).
  NH_TRY(write_map("/proc/self/setgroups", "deny"));
  return write_map("/proc/self/gid_map", same(gid));
}

}  // namespace

Result<EnteredUserNamespace> enter_user_namespace() {
  const bool admin = has_capability(CAP_SYS_ADMIN);
  if (admin && may_bind_low_ports()) return EnteredUserNamespace{};

  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  const bool low_ports = may_bind_low_ports();
  if (unshare(CLONE_NEWUSER) != 0) {
    Error error = sys_error("making a user namespace (user.max_user_namespaces or a security module may forbid it)");
    if (!admin) return error;
    return EnteredUserNamespace{.entered = false, .note = "no user namespace of its own: " + error.message()};
  }
  // The map files of a process that is not dumpable belong to root. The guest cannot use this interval: we are in a user
  // namespace now over which it has no capability (ptrace(2)).
  if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return sys_error("becoming dumpable");
  auto mapped = map_own_ids(uid, gid);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("becoming non-dumpable");
  NH_TRY(std::move(mapped));
  return EnteredUserNamespace{.entered = true,
                              .note = low_ports ? "ports below 1024 can no longer be bound: that "
                                                  "capability does not reach into a user namespace"
                                                : ""};
}

}  // namespace nh
