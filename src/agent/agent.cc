// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/agent.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <memory>

#include "src/agent/guest_side.h"
#include "src/agent/protocol.h"
#include "src/agent/server.h"
#include "src/base/limits.h"
#include "src/confine/confine.h"
#include "src/linux/fd_passing.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/namespace.h"

namespace nh::agent {

namespace {

Result<> shed(const Target& target, int socket) {
  prctl(PR_SET_NAME, "nh-agent", 0, 0, 0);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("becoming non-dumpable");
  if (chdir("/") != 0) return sys_error("changing to /");
  // A Ctrl-C at the terminal is for the helper to act on; we go when it goes. Errors of our own still end us.
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int number : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP}) sigdelset(&blocked, number);
  if (sigprocmask(SIG_SETMASK, &blocked, nullptr) != 0) return sys_error("blocking signals");
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return sys_error("opening /dev/null");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO})
    if (dup2(null.get(), fd) < 0) return sys_error("putting /dev/null in place");
  return close_all_but({socket, target.netns.get(), target.userns.get(), target.tap.get(), null.get()});
}

Result<> join(const Target& target, pid_t helper) {
  if (target.userns) NH_TRY(join_namespace(target.userns.get(), NamespaceType::user));
  NH_TRY(join_namespace(target.netns.get(), NamespaceType::net));
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("becoming non-dumpable");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return sys_error("tying the agent's life to the helper's");
  // The helper may have died before that.
  if (getppid() != helper) return Error{.code = Code::gone, .sys_errno = 0, .what = "the helper has died"};
  return Ok{};
}

Result<OpenedTap> attach(const AgentSetup& setup) {
  if (!setup.target->tap) return open_tap(setup.tap_name);
  OpenedTap tap;
  NH_LET(info, adopt_tap(setup.target->tap.get()));
  tap.info = std::move(info);
  tap.fd.reset(fcntl(setup.target->tap.get(), F_DUPFD_CLOEXEC, 3));
  if (!tap.fd) return sys_error("duplicating the TAP");
  return tap;
}

/// A plan that is applied, and taken back unless it is kept.
class Applied {
 public:
  explicit Applied(NlSocket netlink) : netlink_(std::move(netlink)) {}
  Applied(const Applied&) = delete;
  Applied& operator=(const Applied&) = delete;
  ~Applied() {
    if (!kept_) undo_.roll_back();
  }
  Result<InterfaceOutcome> apply(const InterfacePlan& plan) { return nh::apply(netlink_, plan, undo_); }
  void settle(InterfaceOutcome& outcome) { nh::settle(netlink_, outcome); }
  void keep() { kept_ = true; }

 private:
  NlSocket netlink_;
  UndoLog undo_;
  bool kept_ = false;
};

/// Attaches, configures, and reports; gives what serves from then on.
Result<std::unique_ptr<Server>> start(const AgentSetup& setup, int socket, pid_t helper) {
  NH_TRY(shed(*setup.target, socket));
  NH_TRY(join(*setup.target, helper));
  NH_LET(tap, attach(setup));
  NH_TRY(send_message(socket, encode(FromAgent(TapOpened{.info = tap.info})), tap.fd.get()));
  // From here on the TAP is the helper's (also while it is under way in the socket), and the namespaces are joined.
  tap.fd.reset();
  NH_TRY(close_all_but({socket}));

  NH_LET(netlink, NlSocket::connect());
  Applied applied(std::move(netlink));
  InterfaceOutcome outcome;
  if (setup.plan) {
    InterfacePlan plan = *setup.plan;
    plan.name = tap.info.name;
    NH_LET(done, applied.apply(plan));
    outcome = std::move(done);
  }
  const int tap_index = static_cast<int>(if_nametoindex(tap.info.name.c_str()));
  NH_LET(monitor, AddressMonitor::open(tap_index));
  NH_LET(state, monitor.dump());
  // What steers needs sockets and a file that a confined agent cannot open any more; else nobody has to wait for it.
  std::unique_ptr<GuestSide> side;
  if (setup.sandbox || setup.seccomp) {
    NH_LET(opened, GuestSide::open(tap_index));
    side = std::move(opened);
  }
  if (!state) return Error{.code = Code::gone, .sys_errno = 0, .what = "TAP " + tap.info.name + " was deleted"};
  applied.settle(outcome);
  NH_LET(confined, confine_agent({.sandbox = setup.sandbox, .seccomp = setup.seccomp}));
  outcome.warnings.insert(outcome.warnings.end(), confined.notes.begin(), confined.notes.end());
  NH_TRY(send_message(socket, encode(FromAgent(Configured{.ra_guard_needed = outcome.ra_guard_needed,
                                                          .ipv6_left_out = outcome.ipv6_left_out,
                                                          .warnings = std::move(outcome.warnings)}))));
  NH_TRY(send_message(socket, encode(FromAgent(State{.seq = 0, .state = *state}))));
  applied.keep();
  if (!side) {
    NH_LET(opened, GuestSide::open(tap_index));
    side = std::move(opened);
  }
  if (fcntl(socket, F_SETFL, O_NONBLOCK) != 0) return sys_error("making the helper's socket non-blocking");
  return std::make_unique<Server>(socket, std::move(monitor), std::move(*state), std::move(side));
}

}  // namespace

void run(const AgentSetup& setup, UniqueFd socket, pid_t helper) noexcept {
  auto server = start(setup, socket.get(), helper);
  auto ended = server ? (*server)->run() : Result<>(std::move(server).error());
  // Takes back what it did to the guest; after an error of its own the helper's flows live on, and need it.
  if (server && ended) server->reset();
  if (!ended) {
    Error error = std::move(ended).error();
    const Failure failure{
        .code = error.code, .sys_errno = error.sys_errno, .what = std::move(error.what), .field = std::move(error.field)};
    if (!send_message(socket.get(), encode(FromAgent(failure)))) _exit(1);  // nobody is there to hear it
  }
  _exit(ended ? 0 : 1);
}

}  // namespace nh::agent
