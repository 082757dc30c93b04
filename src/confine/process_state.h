// SPDX-License-Identifier: BSD-3-Clause
// Stage process_state: restrictions by prctl(2) and setrlimit(2).
#pragma once

#include "src/base/result.h"

namespace nh {

struct ProcessState {
  bool dumpable = false;  ///< the process that started us may examine us (ptrace(2), "Ptrace access mode checking")
};

/// Should: set no_new_privs (nothing that is executed can gain a privilege); let no memory become
/// executable that was not (PR_SET_MDWE, Linux 6.3, ignored below); write no core file
/// (RLIMIT_CORE). Must not: lower RLIMIT_NOFILE, which is a descriptor a flow.
Result<> settle_process_state(const ProcessState& state);

/// Should: start no process and no thread any more (RLIMIT_NPROC). Must not: end those that run.
Result<> refuse_new_tasks();

}  // namespace nh
