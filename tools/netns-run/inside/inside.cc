// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/inside.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "src/base/log.h"
#include "src/linux/fd_passing.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/pidfd.h"
#include "tools/netns-run/inside/home.h"
#include "tools/netns-run/inside/network.h"
#include "tools/netns-run/inside/process.h"
#include "tools/netns-run/inside/reaper.h"
#include "tools/netns-run/inside/root.h"

namespace nh::run {
namespace {

NamespaceInodes own_namespaces() {
  NamespaceInodes inodes{};
  for (const NamespaceType type : all_namespace_types) {
    struct stat found {};
    const std::string path = "/proc/self/ns/" + std::string(proc_name(type));
    if (stat(path.c_str(), &found) == 0) inodes[static_cast<std::size_t>(type)] = found.st_ino;
  }
  return inodes;
}

class Inside {
 public:
  explicit Inside(InsideParts parts) : parts_(std::move(parts)), plan_(parts_.plan), set_(parts_.namespaces.set()) {}

  Result<> enter_user_namespace() {
    expose(false);
    NH_TRY(parts_.namespaces.apply(NamespaceStage::user, parts_.still_to_do));
    if (set_.is_fresh(NamespaceType::user)) {
      expose(true);
      NH_TRY(parts_.channel.report({.kind = Report::Kind::unshared}));
      NH_TRY(parts_.channel.await(Order::release, "the id maps"));
      expose(false);
    }
    become_root();
    return Ok{};
  }

  Result<> enter_other_namespaces() {
    NH_TRY(parts_.namespaces.apply(NamespaceStage::rest, parts_.still_to_do));
    if (!needs_second_fork(set_, parts_.still_to_do)) return Ok{};
    // Our parent becomes its parent. The exit signal is ours: SIGCHLD.
    const auto child = static_cast<pid_t>(syscall(SYS_clone, CLONE_PARENT, nullptr, nullptr, nullptr, nullptr));
    if (child < 0) return sys_error("forking into the new namespaces");
    if (child == 0) return Ok{};
    const auto told = parts_.channel.report({.kind = Report::Kind::moved, .pid = child});
    _exit(told ? 0 : exit_own_failure);
  }

  Result<> prepare() {
    // What we make has the modes that it needs, whatever the caller's umask; the command gets that one.
    const mode_t caller_umask = umask(022);
    NH_TRY(die_with_launcher());
    NH_TRY(set_names());
    const bool helper = plan_.network.kind == NetworkPlan::Kind::helper;
    GuestNetwork network;
    if (helper) network = guest_network(plan_.network);
    NH_TRY(prepare_network(network));
    const NamespaceInodes inodes = own_namespaces();
    if (set_.is_fresh(NamespaceType::mount))
      NH_TRY(prepare_root(plan_.root,
                          {.nameservers = network.nameservers, .hostname = plan_.hostname, .addresses = network.addresses}));
    umask(caller_umask);
    // Foreign processes have no pid for us in a new pid namespace, and cannot trace us.
    if (set_.is_fresh(NamespaceType::pid)) expose(true);
    NH_TRY(parts_.channel.report({.kind = Report::Kind::prepared, .inodes = inodes}));
    return parts_.channel.await(Order::go, "the network");
  }

  /// Returns only if there is no command.
  Result<> run() {
    if (!has_reaper(plan_)) return command(true);
    const pid_t child = fork();
    if (child < 0) return sys_error("forking for the command");
    if (child == 0) return command(false);
    // The command's end of the channel is to be the last one.
    parts_.channel.close();
    if (const auto closed = close_all_but({parts_.held.get(), parts_.helper_exit.get()}); !closed)
      log::warning(closed.error().message());
    if (chdir("/") != 0) log::debug(sys_error("leaving the working directory").message());
    _exit(reap(child, parts_.signals, plan_.process.new_session));
  }

  [[noreturn]] void fail(const Error& error, int exit_code) {
    const Report report{.kind = Report::Kind::failed, .exit_code = exit_code, .text = error.message()};
    // An interrupted wait has been ended by the launcher itself: it knows.
    const bool told = error.code == Code::interrupted || parts_.channel.report(report);
    if (!told) log::error(error.message());
    _exit(exit_code);
  }

 private:
  void expose(bool traceable) {
    if (parts_.namespaces.set().is_joined(NamespaceType::user) || set_.joins_any_but_user())
      prctl(PR_SET_DUMPABLE, traceable ? 1 : 0);
  }

  /// Becomes uid and gid 0 inside, if they are mapped: files that we create have an owner then, and a program that we execute
  /// keeps its capabilities.
  static void become_root() {
    if (setresgid(0, 0, 0) != 0) log::debug(sys_error("group 0 does not exist inside").message());
    if (setresuid(0, 0, 0) != 0) log::debug(sys_error("user 0 does not exist inside").message());
  }

  /// To be repeated after a change of credentials, which forgets it (prctl(2), PR_SET_PDEATHSIG).
  Result<> die_with_launcher() {
    if (!plan_.kill_child) return Ok{};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return sys_error("prctl(PR_SET_PDEATHSIG)");
    if (has_ended(parts_.launcher.get())) return Error{.code = Code::interrupted, .what = "the launcher is gone"};
    return Ok{};
  }

  Result<> set_names() {
    if (!plan_.hostname.empty() && sethostname(plan_.hostname.data(), plan_.hostname.size()) != 0)
      return sys_error("--hostname " + plan_.hostname);
    if (!plan_.domainname.empty() && setdomainname(plan_.domainname.data(), plan_.domainname.size()) != 0)
      return sys_error("--domainname " + plan_.domainname);
    return Ok{};
  }

  Result<> prepare_network(const GuestNetwork& network) {
    if (!set_.is_fresh(NamespaceType::net)) return Ok{};
    allow_low_ports();
    allow_ping(plan_.process.keep_ids ? getegid() : plan_.process.gid);
    if (plan_.network.kind != NetworkPlan::Kind::helper) return bring_up_loopback();
    NH_LET(tap, make_tap(plan_.network, network));
    const std::uint8_t byte = 1;
    if (auto sent = send_message(parts_.tap_socket.get(), Bytes(&byte, 1), tap.get()); !sent)
      return std::move(sent).error().in("handing the TAP to netns-helper");
    parts_.tap_socket.reset();
    return Ok{};
  }

  /// Returns only if it fails, having said so.
  Result<> command(bool direct) {
    parts_.file_size.give_back();
    RelayedSignals::give_back();
    ProcessPlan process = plan_.process;
    if (process.keep_ids) {
      process.uid = geteuid();
      process.gid = getegid();
    }
    if (process.find_home) set_home(process);
    NH_TRY(become(process));
    if (direct) NH_TRY(die_with_launcher());
    const ExecFailure failure = execute(process);
    fail(failure.error, failure.exit_code);
  }

  InsideParts parts_;
  const Plan& plan_;
  const NamespaceSet& set_;
};

}  // namespace

bool needs_second_fork(const NamespaceSet& set, const OpenedNamespaces::Filter& still_to_do) {
  for (const NamespaceType type : {NamespaceType::pid, NamespaceType::time})
    if (!set.is_host(type) && still_to_do(type)) return true;
  return false;
}

bool has_reaper(const Plan& plan) {
  return plan.process.own_pid_1 && plan.namespaces.is_fresh(NamespaceType::pid);
}

void run_inside(InsideParts parts) {
  Inside inside(std::move(parts));
  for (const auto step : {&Inside::enter_user_namespace, &Inside::enter_other_namespaces, &Inside::prepare, &Inside::run})
    if (const auto done = (inside.*step)(); !done) inside.fail(done.error(), exit_own_failure);
  NH_BUG_IF(true);
}

}  // namespace nh::run
