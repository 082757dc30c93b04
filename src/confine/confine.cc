// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/confine.h"

#include <linux/capability.h>
#include <unistd.h>

#include <array>

#include "src/confine/empty_root.h"
#include "src/confine/landlock_scope.h"
#include "src/confine/process_state.h"
#include "src/confine/syscall_filter.h"
#include "src/confine/syscall_list.h"
#include "src/confine/user_namespace.h"
#include "src/linux/capabilities.h"

namespace nh {
namespace {

template <class T>
Result<T> stage(const char* option, Result<T> result) {
  if (result) return result;
  Error error = std::move(result).error().in(std::string("--") + option);
  error.field = option;
  // Not "invalid": the cause is this host, not the command line.
  if (error.code == Code::invalid) error.code = Code::failed;
  return error;
}

void note(Confinement& confinement, const std::string& text) {
  if (!text.empty()) confinement.notes.push_back(text);
}

}  // namespace

Result<Confinement> confine_helper(const HelperConfinement& wanted) {
  Confinement done{.sandbox = wanted.sandbox, .seccomp = wanted.seccomp};
  if (!wanted.sandbox && !wanted.seccomp) return done;
  bool own_user_namespace = false;
  if (wanted.sandbox) {
    NH_LET(entered, stage("sandbox", enter_user_namespace()));
    own_user_namespace = entered.entered;
    note(done, entered.note);
    NH_TRY(stage("sandbox", enter_empty_root(RootContent::resolver_configuration, wanted.directories)));
    constexpr std::array<unsigned, 1> kept{CAP_NET_BIND_SERVICE};
    NH_TRY(stage("sandbox", keep_capabilities(kept, {})));
  }
  const char* option = wanted.sandbox ? "sandbox" : "seccomp";
  NH_TRY(stage(option, settle_process_state({.dumpable = wanted.inspectable && own_user_namespace})));
  if (wanted.sandbox) {
    NH_LET(text, stage("sandbox", enter_landlock_scope(LandlockScope::abstract_sockets)));
    note(done, text);
  }
  if (wanted.start_threads) wanted.start_threads();
  NH_TRY(stage(option, refuse_new_tasks()));
  if (wanted.seccomp)
    NH_TRY(stage("seccomp", install_filter(helper_syscalls({.own_pid = getpid(), .agent = wanted.agent}))));
  return done;
}

Result<Confinement> confine_agent(const AgentConfinement& wanted) {
  Confinement done{.sandbox = wanted.sandbox, .seccomp = wanted.seccomp};
  if (wanted.sandbox) {
    auto root = enter_empty_root(RootContent::nothing, {});
    // Without a user namespace of the guest there may be no CAP_SYS_ADMIN: the agent then keeps the helper's root.
    if (!root && root.error().sys_errno == EPERM) {
      done.sandbox = false;
      note(done, "the guest agent keeps its root directory: " + root.error().message());
    } else {
      NH_TRY(stage("sandbox", std::move(root)));
    }
  }
  NH_TRY(keep_network_capabilities());
  if (!wanted.sandbox && !wanted.seccomp) return done;
  const char* option = wanted.sandbox ? "sandbox" : "seccomp";
  NH_TRY(stage(option, settle_process_state({.dumpable = false})));
  NH_TRY(stage(option, refuse_new_tasks()));
  // Where there are no scopes, the helper's notes say so.
  if (wanted.sandbox)
    if (auto scoped = stage("sandbox", enter_landlock_scope(LandlockScope::abstract_sockets_and_signals)); !scoped)
      return std::move(scoped).error();
  if (wanted.seccomp) NH_TRY(stage("seccomp", install_filter(agent_syscalls({.own_pid = getpid(), .agent = 0}))));
  return done;
}

}  // namespace nh
