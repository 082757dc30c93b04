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
// A client that has subscribed to events has no idle deadline. Events queue up in events_, which is
// bounded, and go out behind what is being sent; only a reply in output_ holds up reading, events do
// not. take_event() is called in the middle of anything: it writes nothing and ends nothing. One that
// does not fit cuts the socket off instead, which wakes the owner, and on_ready() does the rest.
//
// The end is told by ended(): the owner then destroys the object. Descriptors that a client sends
// along (SCM_RIGHTS) never become ours: without a control buffer recvmsg(2) drops them in the
// kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "src/base/clock.h"
#include "src/base/unique_fd.h"
#include "src/control/commands.h"
#include "src/json/json_framing.h"
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
  std::uint64_t events_sent = 0;    ///< put into a subscriber's queue
  std::uint64_t events_ended = 0;   ///< subscribers that did not read their events
};

class Connection {
 public:
  /// Takes a connected non-blocking socket. The references must outlive this object.
  Connection(UniqueFd fd, const Commands& commands, ControlCounters& counters, Instant now);

  int fd() const { return fd_.get(); }
  void on_ready(Instant now);
  void on_deadline();
  bool ended() const { return ended_; }
  /// What to wait for: POLLIN, POLLOUT or both, never nothing.
  IoEvents wants() const;
  /// Instant::max(): none.
  Instant deadline() const { return deadline_; }

  /// What it has subscribed to, by its own request.
  EventKinds subscription() const { return subscription_; }
  /// Queues the line of an event.
  void take_event(std::string_view line);

 private:
  void receive(Instant now);
  void proceed(Instant now);
  void say(const Reply& reply, Instant now);
  void send_waiting(Instant now);
  void hang_up();
  bool hungry() const;
  bool sending() const { return sent_ < output_.size(); }
  Instant rest_deadline(Instant now) const;

  UniqueFd fd_;
  const Commands& commands_;
  ControlCounters& counters_;
  JsonFraming framing_;
  std::string output_;
  std::size_t sent_ = 0;  ///< bytes of output_ that are gone
  std::string events_;    ///< lines that follow output_
  EventKinds subscription_;
  Instant deadline_;
  bool first_ = true;       ///< no request was answered yet
  bool peer_done_ = false;  ///< the client has said its last
  bool replying_ = false;   ///< there is a reply in output_, at its end
  bool closing_ = false;    ///< the reply in output_ is the last
  bool overrun_ = false;    ///< an event did not fit
  bool ended_ = false;
};

}  // namespace nh
