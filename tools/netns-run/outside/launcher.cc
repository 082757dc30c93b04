// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/launcher.h"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "src/base/log.h"
#include "src/linux/id_map_writer.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/pidfd.h"
#include "src/netlink/host_networks.h"
#include "tools/netns-run/inside/inside.h"
#include "tools/netns-run/inside/reaper.h"
#include "tools/netns-run/outside/file_size_limit.h"
#include "tools/netns-run/outside/helper_process.h"
#include "tools/netns-run/outside/mount_keeper.h"
#include "tools/netns-run/outside/status.h"
#include "tools/netns-run/outside/terminal.h"

namespace nh::run {
namespace {

/// The run ends here with this code; `error` is still to be logged, unless it has no text.
struct Failure {
  int exit_code = exit_own_failure;
  Error error;
};

class Launch {
 public:
  explicit Launch(const Plan& plan) : plan_(plan) {}

  int run() {
    for (const auto step :
         {&Launch::prepare, &Launch::start_child, &Launch::map_ids, &Launch::await_prepared, &Launch::start_keeper,
          &Launch::await_network, &Launch::await_keeper, &Launch::tell_prepared, &Launch::let_go, &Launch::supervise})
      if (auto done = (this->*step)(); !done) {
        give_up(done.error());
        break;
      }
    if (helper_) helper_->stop();
    return exit_code_;
  }

 private:
  Result<> prepare() {
    // First of all: with SIGCHLD ignored, as a caller may have left it, no child could be waited for.
    NH_LET(signals, RelayedSignals::take());
    signals_ = std::move(signals);
    NH_LET(status, Status::take(plan_.status));
    status_ = std::move(status);
    NH_LET(opened, OpenedNamespaces::open(plan_.namespaces));
    namespaces_ = std::move(opened);
    NH_LET(maps, resolve_id_maps(plan_.ids, IdMapCaller::current()));
    maps_ = std::move(maps);
    NH_LET(self, open_pidfd(getpid()));
    self_ = std::move(self);
    NH_LET(channel, Channel::make_pair());
    channel_ = std::move(channel.first);
    child_channel_ = std::move(channel.second);
    if (!with_helper()) return Ok{};
    NH_TRY(find_helper(plan_.network.helper_path));
    NH_LET(pipes, HelperPipes::make());
    pipes_ = std::move(pipes);
    return Ok{};
  }

  // ---- the child ----
  Result<> start_child() {
    const NamespaceSet& set = plan_.namespaces;
    int born = 0;
    if (set.is_fresh(NamespaceType::user) && !set.joins_any_but_user() && set.is_host(NamespaceType::time)) {
      born = CLONE_NEWUSER;
      if (set.is_fresh(NamespaceType::pid)) born |= CLONE_NEWPID;
    }
    pid_t child = clone_child(born);
    if (child < 0 && born != 0) {
      born = 0;
      child = clone_child(0);
    }
    if (child < 0) return sys_error("forking");
    if (child == 0) be_the_child(born);
    child_ = first_child_ = child;
    moves_ = two_children_ = needs_second_fork(set, filter_for(born));
    child_channel_.close();
    if (!with_helper()) return Ok{};
    pipes_.tap_child.reset();
    // The helper waits for the TAP for a few seconds only; another program may take longer to write the maps.
    return plan_.status.userns_block_fd < 0 ? start_helper() : Ok{};
  }

  static pid_t clone_child(int namespaces) {
    return static_cast<pid_t>(syscall(SYS_clone, namespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  }

  static OpenedNamespaces::Filter filter_for(int born) {
    return [born](NamespaceType type) { return (clone_flag(type) & born) == 0; };
  }

  [[noreturn]] void be_the_child(int born) {
    // A process that waits for the end of one of these must not wait for us.
    channel_.close();
    pipes_.tap_helper.reset();
    pipes_.ready_read.reset();
    pipes_.ready_write.reset();
    pipes_.exit_read.reset();
    InsideParts parts{.plan = plan_,
                      .namespaces = *namespaces_,
                      .still_to_do = filter_for(born),
                      .signals = *signals_,
                      .channel = std::move(child_channel_),
                      .tap_socket = std::move(pipes_.tap_child),
                      .launcher = std::move(self_),
                      .held = status_.leave_to_child(),
                      .file_size = file_size_,
                      .helper_exit = {}};
    if (helper_is_the_reapers()) parts.helper_exit = std::move(pipes_.exit_write);
    pipes_.exit_write.reset();
    run_inside(std::move(parts));
  }

  // ---- the helper ----
  bool with_helper() const { return plan_.network.kind == NetworkPlan::Kind::helper; }
  bool helper_is_the_reapers() const { return !plan_.kill_child && has_reaper(plan_); }

  Result<> start_helper() {
    if (helper_is_the_reapers()) pipes_.exit_write.reset();
    NH_LET(helper, HelperProcess::start(plan_.network, pipes_));
    helper_.emplace(std::move(helper));
    return Ok{};
  }

  // ---- the steps ----
  Result<> map_ids() {
    if (!plan_.namespaces.is_fresh(NamespaceType::user)) return Ok{};
    NH_LET(report, await_report());
    if (report.kind != Report::Kind::unshared) return unexpected(report);
    if (status_.userns_block_fd() >= 0) {
      NamespaceInodes none{};
      NH_TRY(status_.tell_info(info_json(child_, plan_.namespaces, none)));
      NH_TRY(await(status_.userns_block_fd(), "--userns-block-fd"));
      if (with_helper()) NH_TRY(start_helper());
    }
    if (plan_.ids.mode != IdMapPlan::Mode::none) NH_TRY(write_id_maps(child_, maps_, IdMapCaller::current()));
    return channel_.order(Order::release);
  }

  Result<> await_prepared() {
    bool prepared = false;
    while (!prepared || moves_) {
      NH_LET(report, await_report());
      if (report.kind == Report::Kind::prepared) {
        inodes_ = report.inodes;
        prepared = true;
      } else if (report.kind == Report::Kind::moved) {
        child_ = report.pid;
        moves_ = false;
        NH_TRY(reap_children());  // it may have ended before we knew it
      } else {
        return unexpected(report);
      }
    }
    return Ok{};
  }

  Result<> await_network() {
    if (!helper_) return Ok{};
    NH_TRY(await(helper_->ready_fd(), "netns-helper"));
    return helper_->take_ready();
  }

  Result<> start_keeper() {
    if (!plan_.namespaces.is_fresh(NamespaceType::mount)) return Ok{};
    std::vector<std::string> places = places_to_keep(plan_.root);
    if (places.empty()) return Ok{};
    auto keeper = MountKeeper::start(child_, std::move(places));
    if (keeper)
      keeper_.emplace(std::move(*keeper));
    else
      log::debug("mounts over files that the host replaces will be lost: " + keeper.error().message());
    return Ok{};
  }

  Result<> await_keeper() { return keeper_ ? await(keeper_->ready_fd(), "the keeper of the mounts") : Ok{}; }

  Result<> tell_prepared() {
    const std::string info = info_json(child_, plan_.namespaces, inodes_);
    NH_TRY(status_.write_pid_file(child_));
    NH_TRY(status_.tell_line(info));
    NH_TRY(status_.tell_info(info));
    return status_.block_fd() < 0 ? Ok{} : await(status_.block_fd(), "--block-fd");
  }

  Result<> let_go() {
    NH_TRY(channel_.order(Order::go));
    started_ = true;
    return Ok{};
  }

  Result<> supervise() {
    while (!ended_) NH_TRY(wait_once(channel_ ? channel_.fd() : -1, "the command"));
    // An exec's failure, or its success, may still be on its way.
    while (channel_) NH_TRY(take_exec_report());
    if (!exec_failed_) NH_TRY(status_.tell_line("{\"exit-code\": " + std::to_string(exit_code_) + "}"));
    return Ok{};
  }

  // ---- waiting ----
  /// Waits until `fd` can be read (or has ended), while signals and children are looked after.
  Result<> await(int fd, const std::string& step) {
    bool readable = false;
    while (!readable) {
      NH_LET(found, wait_once(fd, step));
      readable = found;
      if (!readable && ended_) return ended_early(step);
    }
    return Ok{};
  }

  Result<Report> await_report() {
    NH_TRY(await(channel_.fd(), "the child"));
    return channel_.next();
  }

  Result<bool> wait_once(int fd, const std::string& step) {
    std::array<pollfd, 2> fds{
        {{.fd = signals_->fd(), .events = POLLIN, .revents = 0}, {.fd = fd, .events = POLLIN, .revents = 0}}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return sys_error("waiting for " + step);
    while (const auto signal = signals_->next()) NH_TRY(on_signal(*signal, step));
    const bool readable = fds[1].revents != 0;
    if (readable && started_ && fd == channel_.fd()) {
      NH_TRY(take_exec_report());
      return false;
    }
    return readable;
  }

  Result<> take_exec_report() {
    NH_LET(report, channel_.next());
    if (report.kind == Report::Kind::failed) {
      exec_failed_ = true;
      log::error(report.text);
    }
    if (report.kind == Report::Kind::closed) channel_.close();
    return Ok{};
  }

  Result<> on_signal(const ArrivedSignal& signal, const std::string& step) {
    if (signal.number == SIGCHLD) return reap_children();
    if (started_ && !ended_) {
      // The kernel's has reached the reaper too: a second one would be lost in the first, or count twice. Without a reaper, and
      // with a session of its own, the command does not know the terminal.
      const bool unknown = plan_.process.new_session && !has_reaper(plan_);
      if (!signal.from_kernel || unknown) signal.pass_on(child_);
    }
    if (signal.number == SIGTSTP || signal.number == SIGTTIN || signal.number == SIGTTOU) {
      // The shell that waits for us is to see its job stop. One that was sent to us alone is the command's business.
      if (signal.from_kernel) stop_as_the_terminal_asks(signal.number);
      return Ok{};
    }
    if (started_ ||
        (signal.number != SIGHUP && signal.number != SIGINT && signal.number != SIGQUIT && signal.number != SIGTERM))
      return Ok{};
    exit_code_ = exit_signal_base + signal.number;
    return Error{.code = Code::interrupted,
                 .what = "ended by signal " + std::to_string(signal.number) + " while waiting for " + step};
  }

  /// The next child of ours that has ended. We may have children that we did not start: inherited over exec from a shell that had
  /// jobs, or adopted as pid 1 or as a child subreaper. They are reaped, and mean nothing. While a second child is not known yet
  /// (moves_), it must not be taken for one of those.
  pid_t next_ended(int& status) const {
    if (!moves_) return waitpid(-1, &status, WNOHANG);
    for (const pid_t pid : {first_ended_ ? -1 : first_child_, helper_ ? helper_->pid() : -1})
      if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) return pid;
    return 0;
  }

  Result<> reap_children() {
    int status = 0;
    for (pid_t pid = next_ended(status); pid > 0; pid = next_ended(status)) {
      if (helper_ && pid == helper_->pid()) {
        helper_->has_ended();
        NH_TRY(on_helper_end(status));
        continue;
      }
      if (keeper_ && pid == keeper_->pid()) keeper_->has_ended();
      if (pid != first_child_ && pid != child_) continue;
      if (pid == first_child_) first_ended_ = true;
      if (pid == first_child_ && two_children_ && status == 0) continue;  // it has gone on as another process
      ended_ = true;
      exit_code_ = exit_code_of(status);
    }
    return Ok{};
  }

  Result<> on_helper_end(int status) {
    // With --kill-child=no it ends by the reaper's end, and may be waited for before that one is.
    siginfo_t info{};
    const bool both = started_ && waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                      info.si_pid == child_;
    if (ended_ || both) return Ok{};
    // The helper has logged why.
    const std::string end = "netns-helper has ended (" + std::string(WIFSIGNALED(status) ? "signal " : "exit code ") +
                            std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)) + ")";
    if (!started_) return Error{.code = Code::gone, .what = end + " before the network was ready"};
    if (plan_.network.on_helper_exit == NetworkPlan::HelperExit::kill)
      return Error{.code = Code::gone, .what = end + ": the command has lost its network, and is killed"};
    log::error(end + ": the command goes on without a network");
    return Ok{};
  }

  // ---- failing ----
  Error unexpected(const Report& report) {
    if (report.kind == Report::Kind::failed) return Error{.code = Code::failed, .what = report.text};
    if (report.kind == Report::Kind::closed) return ended_early("its namespaces");
    return Error{.code = Code::failed, .what = "the child reports out of turn"};
  }

  Error ended_early(const std::string& step) const {
    return Error{
        .code = Code::gone,
        .what = "the child has ended before " + step + (ended_ ? " (exit code " + std::to_string(exit_code_) + ")" : "")};
  }

  void give_up(const Error& error) {
    if (error.code != Code::interrupted || exit_code_ == 0) exit_code_ = exit_own_failure;
    log::error(error.message());
    // Killed first: a helper that waits for a TAP would log the child's end as an error.
    if (!started_) helper_.reset();
    channel_.give_up();
    if (first_child_ > 0 && !first_ended_) end_child(first_child_);
    // A second child, which we know of only by a report that we have not read yet, ends by the order to abort.
    while (moves_ && channel_) {
      const auto report = channel_.next();
      if (report && report->kind == Report::Kind::moved) child_ = report->pid;
      if (!report || report->kind == Report::Kind::closed) channel_.close();
    }
    if (child_ > 0 && child_ != first_child_ && !ended_) end_child(child_);
  }

  static void end_child(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  const Plan& plan_;
  const RaisedFileSizeLimit file_size_;
  Status status_;
  std::optional<OpenedNamespaces> namespaces_;
  IdMaps maps_;
  std::optional<RelayedSignals> signals_;
  UniqueFd self_;
  Channel channel_, child_channel_;
  HelperPipes pipes_;
  std::optional<HelperProcess> helper_;
  std::optional<MountKeeper> keeper_;
  NamespaceInodes inodes_{};
  pid_t child_ = -1, first_child_ = -1;
  bool two_children_ = false;  // the first one is only a way to the second
  bool moves_ = false;         // the second one is not known yet
  bool first_ended_ = false;
  bool started_ = false;  // the command may run
  bool ended_ = false;    // the child has been waited for
  bool exec_failed_ = false;
  int exit_code_ = 0;
};

/// Networks that the host does not use itself. If it cannot be asked, the usual ones; the helper warns of an overlap.
void choose_networks(NetworkPlan& network) {
  if (network.kind != NetworkPlan::Kind::helper || (!network.choose_cidr && !network.choose_cidr6)) return;
  const auto used = host_networks();
  if (!used) {
    log::debug("the guest's networks are not compared with the host's: " + used.error().message());
    return;
  }
  if (network.choose_cidr) network.cidr = free_network(network.cidr, *used);
  if (network.choose_cidr6 && network.cidr6) network.cidr6 = free_network(*network.cidr6, *used);
}

}  // namespace

int launch(const Plan& plan) {
  const ForegroundJob terminal;
  Plan settled = plan;
  choose_networks(settled.network);
  Launch run(settled);
  return run.run();
}

}  // namespace nh::run
