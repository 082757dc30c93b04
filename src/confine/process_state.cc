// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/process_state.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>

namespace nh {
namespace {

// linux/prctl.h, of Linux 6.3.
constexpr int set_mdwe = 65;
constexpr unsigned long refuse_exec_gain = 1;

constexpr rlimit none{.rlim_cur = 0, .rlim_max = 0};

}  // namespace

Result<> settle_process_state(const ProcessState& state) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("setting no_new_privs");
  if (prctl(PR_SET_DUMPABLE, state.dumpable ? 1 : 0, 0, 0, 0) != 0) return sys_error("setting PR_SET_DUMPABLE");
#ifndef NETNS_HELPER_SANITIZED
  if (prctl(set_mdwe, refuse_exec_gain, 0, 0, 0) != 0 && errno != EINVAL) return sys_error("refusing executable memory");
#endif
  if (setrlimit(RLIMIT_CORE, &none) != 0) return sys_error("refusing core files");
  return Ok{};
}

Result<> refuse_new_tasks() {
#ifndef NETNS_HELPER_SANITIZED  // their leak check is a process of its own
  if (setrlimit(RLIMIT_NPROC, &none) != 0) return sys_error("refusing new processes");
#endif
  return Ok{};
}

}  // namespace nh
