// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/landlock_scope.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "src/base/unique_fd.h"

namespace nh {
namespace {

// include/uapi/linux/landlock.h of Linux 6.12; the headers of older systems have neither member nor
// constants.
struct RulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};
constexpr unsigned ask_version = 1U << 0;                      // LANDLOCK_CREATE_RULESET_VERSION
constexpr std::uint64_t scope_abstract_unix_socket = 1U << 0;  // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
constexpr std::uint64_t scope_signal = 1U << 1;                // LANDLOCK_SCOPE_SIGNAL
constexpr long first_abi_with_scopes = 6;

}  // namespace

Result<std::string> enter_landlock_scope(LandlockScope scope) {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, ask_version);
  if (abi < first_abi_with_scopes)
    return std::string(
        "abstract Unix sockets of the host can still be reached: Landlock has no scopes here (Linux "
        "6.12)");
  const std::uint64_t signals = scope == LandlockScope::abstract_sockets_and_signals ? scope_signal : 0;
  const RulesetAttr attr{.handled_access_fs = 0, .handled_access_net = 0, .scoped = scope_abstract_unix_socket | signals};
  const UniqueFd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0)));
  if (!ruleset) return sys_error("making a Landlock ruleset");
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return sys_error("entering the Landlock scope");
  return std::string();
}

}  // namespace nh
