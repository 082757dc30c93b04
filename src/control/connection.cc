// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "src/base/limits.h"

namespace nh {

Connection::Connection(UniqueFd fd, const Commands& commands, ControlCounters& counters, Instant now)
    : fd_(std::move(fd)),
      commands_(commands),
      counters_(counters),
      framing_(commands.max_request()),
      deadline_(now + limits::control_idle) {}

bool Connection::hungry() const {
  const auto state = framing_.state();
  return state == JsonFraming::State::empty || state == JsonFraming::State::incomplete;
}

IoEvents Connection::wants() const {
  if (replying_ || !hungry()) return POLLOUT;
  return sending() || !events_.empty() ? POLLIN | POLLOUT : POLLIN;
}

void Connection::on_ready(Instant now) {
  if (overrun_) {
    ++counters_.events_ended;
    return hang_up();
  }
  if (sending() || !events_.empty()) send_waiting(now);
  if (ended_ || replying_) return;
  if (hungry()) receive(now);
  if (!ended_) proceed(now);
}

void Connection::on_deadline() {
  if (replying_ || !hungry()) {
    ++counters_.unread_ended;
  } else if (framing_.state() == JsonFraming::State::incomplete) {
    ++counters_.slow_ended;
    say(commands_.unfinished(true), deadline_);  // one try is enough
  } else {
    ++counters_.idle_ended;
  }
  if (!ended_) hang_up();
}

void Connection::take_event(std::string_view line) {
  if (overrun_ || ended_) return;
  // What is being sent counts as well: at worst all of it are events.
  if (events_.size() + (output_.size() - sent_) + line.size() > limits::control_events && !replying_) overrun_ = true;
  if (events_.size() + line.size() > limits::control_events) overrun_ = true;
  if (overrun_) {
    shutdown(fd_.get(), SHUT_RDWR);
    return;
  }
  ++counters_.events_sent;
  events_ += line;
}

void Connection::receive(Instant now) {
  std::array<char, limits::control_read> bytes;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t size = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) hang_up();
    return;
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) ++counters_.fds_refused;
  if (size == 0) {
    peer_done_ = true;
    return;
  }
  const bool began = framing_.state() == JsonFraming::State::empty;
  framing_.feed({bytes.data(), static_cast<std::size_t>(size)});
  if (began && framing_.state() != JsonFraming::State::empty) deadline_ = now + limits::control_request_time;
}

void Connection::proceed(Instant now) {
  switch (framing_.state()) {
    case JsonFraming::State::empty:
      if (!peer_done_) return;
      if (const auto reply = commands_.no_request()) return say(*reply, now);
      return hang_up();
    case JsonFraming::State::incomplete:
      if (peer_done_) say(commands_.unfinished(false), now);
      return;
    case JsonFraming::State::garbage:
      return say(commands_.not_an_object(framing_.waiting()), now);
    case JsonFraming::State::too_large:
      return say(commands_.too_large(), now);
    case JsonFraming::State::complete:
      break;
  }
  const Reply reply = commands_.answer(framing_.object(), first_ && framing_.ends_bare());
  framing_.next();
  say(reply, now);
}

void Connection::say(const Reply& reply, Instant now) {
  ++counters_.requests;
  if (reply.refused) ++counters_.errors;
  if (reply.subscribe) subscription_ = *reply.subscribe;
  first_ = false;
  closing_ = closing_ || reply.last;
  replying_ = true;
  output_ += reply.text;  // behind events that are being sent
  deadline_ = now + limits::control_reply_time;
  send_waiting(now);
}

void Connection::send_waiting(Instant now) {
  if (!sending()) {
    output_ = std::exchange(events_, {});
    sent_ = 0;
  }
  const ssize_t size = send(fd_.get(), output_.data() + sent_, output_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) hang_up();
    return;
  }
  sent_ += static_cast<std::size_t>(size);
  if (sending()) return;
  output_.clear();
  sent_ = 0;
  if (!replying_) return;
  replying_ = false;
  if (closing_) return hang_up();
  deadline_ = rest_deadline(now);
}

/// From the end of a reply on. What already came after its request counts from then.
Instant Connection::rest_deadline(Instant now) const {
  if (framing_.state() != JsonFraming::State::empty) return now + limits::control_request_time;
  return subscription_.any() ? Instant::max() : now + limits::control_idle;
}

void Connection::hang_up() {
  ended_ = true;
  // A socket that is closed with unread bytes in it gives its peer ECONNRESET after the reply
  // instead of the end of file (net/unix/af_unix.c, unix_release_sock). So stop the peer from
  // sending, then throw away what is left; that is bounded by the peer's send buffer, and here by a
  // number of turns.
  shutdown(fd_.get(), SHUT_RDWR);
  std::array<char, limits::control_read> rest;
  for (int turns = 0; turns < 64; ++turns)
    if (recv(fd_.get(), rest.data(), rest.size(), MSG_DONTWAIT) <= 0) break;
}

}  // namespace nh
