// SPDX-License-Identifier: BSD-3-Clause
// The system calls that the helper and the agent may make after their start, grouped by what needs them.
//
// What is not listed kills the process (SIGSYS). A call that a library merely tries, and can do
// without, is answered by the error that the library understands: ENOSYS for calls newer than
// itself, EPERM or EACCES for what is not allowed. A name that libseccomp does not know, or that
// this processor does not have, is passed over: no call of that name can be made here. Of the
// arguments the kernel's filter sees numbers, never what a pointer leads to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace nh {

/// (argument `index` & mask) == value
struct SyscallArgument {
  unsigned index;
  std::uint64_t mask;
  std::uint64_t value;
};

struct SyscallRule {
  const char* name;
  int error = 0;                                ///< 0: allowed; else the errno that is the answer
  std::vector<SyscallArgument> arguments = {};  ///< all must hold; several rules of one name are alternatives
};

struct SyscallSubjects {
  pid_t own_pid;
  pid_t agent;  ///< may be killed; 0: nobody
};

std::vector<SyscallRule> helper_syscalls(const SyscallSubjects& subjects);
std::vector<SyscallRule> agent_syscalls(const SyscallSubjects& subjects);

}  // namespace nh
