// SPDX-License-Identifier: BSD-3-Clause
// Connection: one client of the control socket, without loop and clock.
//
// Theory of operation. The owner calls on_ready() whenever the socket is ready for wants(), and
// on_deadline() when deadline() has passed; both do one bounded piece of work and never block. A
// turn is: send what waits; else take some bytes; else answer one request. While a reply waits for
// its reader nothing is read and nothing is answered, so a connection never holds more than one
// request's worth of input and one reply. When a whole request is already here, the next turn is
// asked for by waiting for room to write.
//
// The end is told by ended(): the owner then destroys the object. Descriptors that a client sends
// along (SCM_RIGHTS) never become ours: without a control buffer recvmsg(2) drops them in the
// kernel.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/clock.h"
#include "src/base/unique_fd.h"
#include "src/control/commands.h"
#include "src/control/json_framing.h"
#include "src/loop/loop.h"

namespace nh {

/// What clients did, over the life of the server.
struct ControlCounters {
  std::uint64_t accepted = 0;
  std::uint64_t refused_uid = 0;    ///< peers of another user
  std::uint64_t refused_full = 0;   ///< beyond limits::control_clients
  std::uint64_t accept_errors = 0;  ///< no fd was left
  std::uint64_t requests = 0;       ///< answered, errors included
  std::uint64_t errors = 0;         ///< answered by an error
  std::uint64_t idle_ended = 0;     ///< said nothing for limits::control_idle
  std::uint64_t slow_ended = 0;     ///< half a request for limits::control_request_time
  std::uint64_t unread_ended = 0;   ///< did not take a reply within limits::control_reply_time
  std::uint64_t fds_refused = 0;    ///< messages that carried descriptors
};

class Connection {
 public:
  /// Takes a connected non-blocking socket. The references must outlive this object.
  Connection(UniqueFd fd, const Commands& commands, ControlCounters& counters, Instant now);

  int fd() const { return fd_.get(); }
  void on_ready(Instant now);
  void on_deadline();
  bool ended() const { return ended_; }
  /// What to wait for: POLLIN or POLLOUT, never nothing.
  IoEvents wants() const;
  Instant deadline() const { return deadline_; }

 private:
  void receive(Instant now);
  void proceed(Instant now);
  void say(const Reply& reply, Instant now);
  void send_waiting(Instant now);
  void hang_up();

  UniqueFd fd_;
  const Commands& commands_;
  ControlCounters& counters_;
  JsonFraming framing_;
  std::string output_;
  std::size_t sent_ = 0;  ///< bytes of output_ that are gone
  Instant deadline_;
  bool first_ = true;       ///< no request was answered yet
  bool peer_done_ = false;  ///< the client has said its last
  bool closing_ = false;    ///< the reply in output_ is the last
  bool ended_ = false;
};

}  // namespace nh
