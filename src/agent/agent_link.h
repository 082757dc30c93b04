// SPDX-License-Identifier: BSD-3-Clause
// AgentLink: the helper's side of the guest agent: starts it, listens to it, notices its death.
//
// Theory of operation. start() forks the agent (no exec) with one end of a SOCK_SEQPACKET pair, and waits until it has
// opened the TAP; while it configures the interfaces the helper can build what it needs, and then waits for it by finish().
// serve() at last puts the other end into the loop. The agent is trusted less than the
// helper: each of its messages is checked (protocol.h), and one that breaks the rules counts as its death. A dead agent
// is not replaced. The agent dies with the helper: by PR_SET_PDEATHSIG, and by the end of the socket.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/linux/fd_passing.h"
#include "src/linux/tap.h"
#include "src/linux/target.h"
#include "src/loop/loop.h"
#include "src/netlink/address_monitor.h"
#include "src/netlink/interface_plan.h"

namespace nh {

/// MAC, MTU, state and addresses of the guest's TAP.
using TapState = InterfaceState;

struct AgentSetup {
  const Target* target = nullptr;     ///< with a network namespace; used during start() only
  std::string tap_name;               ///< ignored when the target is a TAP
  std::optional<InterfacePlan> plan;  ///< nullopt: nothing is configured
  int signal_fd = -1;                 ///< readable: stop waiting; -1: none
  bool sandbox = false;               ///< confine/confine.h
  bool seccomp = false;
};

struct Attached {
  // by start()
  UniqueFd tap;
  TapInfo info;
  pid_t agent_pid = -1;
  // by finish()
  bool ra_guard_needed = false;  ///< router advertisements must be kept from the guest
  bool ipv6_left_out = false;    ///< the plan had IPv6, but the guest's kernel or interface has not
  std::vector<std::string> warnings;
  TapState state;
};

/// Who is told of stand-ins and steering (agent/stand_in_stock.h). No call may destroy the link.
class AgentObserver {
 public:
  virtual ~AgentObserver() = default;
  virtual void on_steering(const agent::SteeringReport& report, std::vector<UniqueFd> fds) = 0;
  /// Fewer descriptors than batch.count: we are out of them.
  virtual void on_batch(const agent::Batch& batch, std::vector<UniqueFd> fds) = 0;
  /// No descriptor though answer.has_fd: the same.
  virtual void on_answer(const agent::Answer& answer, UniqueFd fd) = 0;
  /// Once, before the link's own on_death.
  virtual void on_agent_lost(const Error& error) = 0;
};

class AgentLink {
 public:
  /// Forks. Must be called before any thread exists, with descriptors 0, 1 and 2 open. start() and finish() together wait
  /// at most limits::agent_start (timeout), also for setup.signal_fd (interrupted). When either fails, the end of the link
  /// is the end of the child, and what it did is undone.
  static Result<std::unique_ptr<AgentLink>> start(const AgentSetup& setup, Attached& ret_attached);
  /// Once, with what start() filled.
  Result<> finish(Attached& ret_attached);
  ~AgentLink();  ///< closes the socket, reaps the child (kills it if it does not go)
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  /// Calls `on_state` for each change and each answer, `on_death` once when the agent is lost (gone: the TAP was
  /// deleted or the agent died; invalid: it broke the protocol). Neither callback may destroy the link.
  void serve(Loop& loop, std::function<void(const TapState&)> on_state, std::function<void(const Error&)> on_death);
  /// Asks for a fresh dump; `on_state` is called with the answer, also if nothing changed. Nothing happens if the agent
  /// is lost.
  void request_refresh();
  /// Sends a question. False: the agent is lost, or takes no more for now. It has to be served (serve()) to be heard.
  bool ask(const agent::ToAgent& question);
  /// Who is told from now on; nullptr: nobody, and what comes is closed. Must outlive the link or say nullptr.
  void set_observer(AgentObserver* observer) { observer_ = observer; }
  /// Called with lines for the log: what the agent noticed, and what it did about it.
  void on_note(std::function<void(const std::string&)> callback) { on_note_ = std::move(callback); }
  /// Calls with what programs of the guest listen on, now and after each change; an empty function ends it. What the agent
  /// made itself is left out.
  void follow_ports(std::function<void(const ListenerList&)> callback);
  bool alive() const { return static_cast<bool>(socket_); }
  pid_t pid() const { return pid_; }

 private:
  AgentLink(UniqueFd socket, pid_t pid, int signal_fd);
  Result<agent::FromAgent> next_message(FdRule rule, UniqueFd& ret_fd);
  void on_ready();
  /// False: the link is lost.
  bool take(agent::FromAgent content, std::vector<UniqueFd> fds);
  void lose(Error error);
  /// Closes the socket, reaps the child; gives how it ended, for messages.
  std::string end_child();

  UniqueFd socket_;
  pid_t pid_;
  int signal_fd_;
  Instant start_deadline_;
  UniqueFd pidfd_;
  bool reaped_ = false;
  std::uint32_t next_seq_ = 1;
  std::function<void(const TapState&)> on_state_;
  std::function<void(const Error&)> on_death_;
  AgentObserver* observer_ = nullptr;
  std::function<void(const std::string&)> on_note_;
  std::function<void(const ListenerList&)> on_ports_;
  Watch watch_;
};

}  // namespace nh
