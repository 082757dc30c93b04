// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "src/base/limits.h"

namespace nh {

Connection::Connection(UniqueFd fd, const Commands& commands, ControlCounters& counters,
                       Instant now)
    : fd_(std::move(fd)),
      commands_(commands),
      counters_(counters),
      framing_(commands.max_request()),
      deadline_(now + limits::control_idle) {}

IoEvents Connection::wants() const {
  const auto state = framing_.state();
  const bool hungry = state == JsonFraming::State::empty || state == JsonFraming::State::incomplete;
  return output_.empty() && hungry ? POLLIN : POLLOUT;
}

void Connection::on_ready(Instant now) {
  if (!output_.empty()) return send_waiting(now);
  if (wants() == POLLIN) receive(now);
  if (!ended_) proceed(now);
}

void Connection::on_deadline() {
  if (wants() == POLLOUT) {
    ++counters_.unread_ended;
  } else if (framing_.state() == JsonFraming::State::incomplete) {
    ++counters_.slow_ended;
    say(commands_.unfinished(true), deadline_);  // one try is enough
  } else {
    ++counters_.idle_ended;
  }
  if (!ended_) hang_up();
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
  if (began && framing_.state() != JsonFraming::State::empty)
    deadline_ = now + limits::control_request_time;
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
  first_ = false;
  closing_ = closing_ || reply.last;
  output_ = reply.text;
  sent_ = 0;
  deadline_ = now + limits::control_reply_time;
  send_waiting(now);
}

void Connection::send_waiting(Instant now) {
  const ssize_t size =
      send(fd_.get(), output_.data() + sent_, output_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) hang_up();
    return;
  }
  sent_ += static_cast<std::size_t>(size);
  if (sent_ < output_.size()) return;
  output_.clear();
  if (closing_) return hang_up();
  // What already came after this request counts from now on.
  const bool more = framing_.state() != JsonFraming::State::empty;
  deadline_ =
      now + (more ? Duration(limits::control_request_time) : Duration(limits::control_idle));
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
