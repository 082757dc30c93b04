// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/server.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "src/base/limits.h"
#include "src/linux/fd_passing.h"

namespace nh::agent {

Server::Server(int socket, AddressMonitor monitor, InterfaceState state, std::unique_ptr<GuestSide> side)
    : socket_(socket), monitor_(std::move(monitor)), state_(std::move(state)), side_(std::move(side)) {
  side_->serve([this](const FromAgent& message, std::vector<UniqueFd> fds) { post(message, std::move(fds)); });
  side_->on_state(state_);
}

Result<> Server::run() {
  while (true) {
    // After a dump of our own accord events are left to gather for a moment, so that a guest who changes its addresses
    // without end costs a bounded number of dumps a second.
    const bool pausing = clock_.now() < pause_until_;
    const bool reading = outbox_.size() < limits::agent_outbox;
    const short events = static_cast<short>((reading ? POLLIN : 0) | (outbox_.empty() ? 0 : POLLOUT));
    std::array<pollfd, 3> fds{{{.fd = socket_, .events = events, .revents = 0},
                               {.fd = pausing ? -1 : monitor_.fd(), .events = POLLIN, .revents = 0},
                               {.fd = side_->event_fd(), .events = POLLIN, .revents = 0}}};
    const int ready = poll(fds.data(), fds.size(), wait_ms());
    if (ready < 0 && errno != EINTR) return sys_error("waiting");
    if (clock_.now() >= side_->deadline()) side_->on_deadline();
    if (ready > 0) {
      if (reading && (fds[0].revents & ~POLLOUT) != 0) {
        NH_LET(go_on, answer());
        if (!go_on) return Ok{};
      } else if ((fds[0].revents & (POLLERR | POLLHUP)) != 0) {
        return Ok{};
      }
      if (fds[1].revents != 0 && monitor_.take_events()) {
        pause_until_ = clock_.now() + limits::agent_event_pause;
        NH_LET(go_on, report(0));
        if (!go_on) {
          (void)flush();  // the last message; whoever does not take it is gone or stuck
          return Ok{};
        }
      }
      if (fds[2].revents != 0) side_->on_event();
    }
    NH_TRY(flush());
  }
}

int Server::wait_ms() const {
  const Instant now = clock_.now();
  Instant next = side_->deadline();
  if (now < pause_until_) next = std::min(next, pause_until_);
  if (next == Instant::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Server::post(const FromAgent& message, std::vector<UniqueFd> fds) {
  outbox_.push_back({.bytes = encode(message), .fds = std::move(fds)});
}

Result<> Server::flush() {
  while (!outbox_.empty()) {
    std::vector<int> fds;
    for (const UniqueFd& fd : outbox_.front().fds) fds.push_back(fd.get());
    const auto sent = send_message(socket_, outbox_.front().bytes, fds);
    if (!sent && sent.error().sys_errno == EAGAIN) return Ok{};
    NH_TRY(sent);
    outbox_.pop_front();
  }
  return Ok{};
}

Result<bool> Server::answer() {
  std::array<std::uint8_t, max_message> buffer;
  auto received = receive_message(socket_, buffer, FdRule::none);
  if (!received && received.error().sys_errno == EAGAIN) return true;
  if (!received) return std::move(received).error();
  if (received->size == 0) return false;
  NH_LET(message, decode_to_agent(Bytes(buffer).first(received->size)));
  if (const auto* refresh = std::get_if<Refresh>(&message)) return report(refresh->seq);
  side_->handle(message);
  return true;
}

/// Dumps, and sends what is new, or anything if it was asked for. False: the interface is gone.
Result<bool> Server::report(std::uint32_t seq) {
  NH_LET(now, monitor_.dump());
  if (!now) {
    post(LinkGone{});
    return false;
  }
  const bool changed = *now != state_;
  if (seq == 0 && !changed) return true;
  state_ = *now;
  post(State{.seq = seq, .state = state_});
  if (changed) side_->on_state(state_);
  return true;
}

}  // namespace nh::agent
