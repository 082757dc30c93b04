// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/syscall_filter.h"

#include <seccomp.h>

#include <memory>
#include <string>

#include "src/confine/confine.h"

namespace nh {
namespace {

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

Result<> add(const Filter& filter, const SyscallRule& rule) {
  const int number = seccomp_syscall_resolve_name(rule.name);
  // Unknown to this libseccomp, or (other negative numbers) absent from this architecture.
  if (number < 0) return Ok{};
  std::vector<scmp_arg_cmp> arguments;
  for (const SyscallArgument& argument : rule.arguments)
    arguments.push_back(
        {.arg = argument.index, .op = SCMP_CMP_MASKED_EQ, .datum_a = argument.mask, .datum_b = argument.value});
  const std::uint32_t action = rule.error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(static_cast<std::uint32_t>(rule.error));
  const int added =
      seccomp_rule_add_array(filter.get(), action, number, static_cast<unsigned>(arguments.size()), arguments.data());
  if (added != 0) return sys_error(-added, std::string("adding ") + rule.name + " to the system call filter");
  return Ok{};
}

}  // namespace

Result<> install_filter(std::span<const SyscallRule> rules) {
  // The native architecture is in it from the beginning, and no other.
  const Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (!filter) return Error{.code = Code::failed, .what = "making a system call filter"};
  if (const int set = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS); set != 0)
    return sys_error(-set, "refusing other architectures");
  if (const int set = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); set != 0)
    return sys_error(-set, "filtering every thread");
  for (const SyscallRule& rule : rules) NH_TRY(add(filter, rule));
  if (const int loaded = seccomp_load(filter.get()); loaded != 0)
    return sys_error(-loaded, "loading the system call filter");
  return Ok{};
}

std::string seccomp_library_version() {
  const scmp_version* version = seccomp_version();
  return std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->micro);
}

}  // namespace nh
