// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/unique_fd.h"
#include "src/linux/pidfd.h"
#include "tools/netns-run/doctor/doctor_checks.h"

// linux/landlock.h, and the call's number, are missing where the kernel's headers are older than 5.13.
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

namespace nh::run {

namespace {

constexpr unsigned landlock_create_ruleset_version = 1;  // linux/landlock.h
/// The helper uses scopes: abstract Unix sockets and signals.
constexpr long landlock_scopes = 6;

Finding try_pidfd() {
  auto own = open_pidfd(getpid());
  if (!own) return refused(own.error(), "use Linux 5.3 or later; in a container, a seccomp profile that knows pidfd_open");
  if (auto sent = signal_process(own->get(), 0); !sent) return refused(sent.error(), "use Linux 5.1 or later");
  return {.detail = "opened one, sent signal 0"};
}

Finding try_openat2() {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  const UniqueFd root(open("/", O_PATH | O_CLOEXEC));
  const UniqueFd found(static_cast<int>(syscall(SYS_openat2, root.get(), "proc/..", &how, sizeof how)));
  if (found) return {.detail = "resolved a path inside a root"};
  return refused(
      sys_error("openat2(2)"),
      "use Linux 5.6 or later; in a container, a seccomp profile that knows openat2 (--root and --bundle need it)");
}

Finding try_seccomp() {
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog program{.len = 1, .filter = &allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    return refused(sys_error("installing a seccomp filter"), "use a kernel with CONFIG_SECCOMP_FILTER");
  return {.detail = "installed a filter"};
}

Finding try_landlock() {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, landlock_create_ruleset_version);
  if (abi < 0 && errno == EOPNOTSUPP)
    return refused(sys_error("landlock_create_ruleset(2)"),
                   "boot with lsm=landlock,... : the kernel has it, but switched off");
  if (abi < 0)
    return refused(sys_error("landlock_create_ruleset(2)"),
                   "use Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK; the helper's other layers work without it");
  Finding finding{.detail = "ABI " + std::to_string(abi)};
  if (abi < landlock_scopes) {
    finding.state = CheckState::limited;
    finding.detail += ": the helper cannot be kept from the host's abstract Unix sockets (ABI 6)";
    finding.cure = "use Linux 6.12 or later";
  }
  return finding;
}

}  // namespace

void check_kernel(std::vector<Check>& checks) {
  checks.push_back(named("pidfd", true, probe(try_pidfd)));
  checks.push_back(named("openat2", false, probe(try_openat2)));
  checks.push_back(named("seccomp", false, probe(try_seccomp)));
  checks.push_back(named("landlock", false, probe(try_landlock)));
}

}  // namespace nh::run
