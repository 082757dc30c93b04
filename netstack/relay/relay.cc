// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay.h"

#include <sys/epoll.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "netstack/relay/relay_set.h"
#include "netstack/relay/stream_socket.h"

namespace nh {

Relay::Relay(RelaySet& set, std::uint64_t id, const Start& start, RelayRule& rule, Waiter* waiter, Instant opened)
    : set_(set),
      rule_(rule),
      waiter_(waiter),
      id_(id),
      start_(start),
      opened_(opened),
      // A Unix socket has no port.
      mover_(*this, set.loop_, rule.bytes, start.host_peer.port == 0) {}

FlowRecord Relay::record() const {
  FlowRecord record;
  record.id = id_;
  record.rule = start_.rule;
  record.direction = start_.direction;
  record.open = is_open();
  record.host_peer = start_.host_peer;
  // Only asked for here: a system call that most connections never need.
  if (mover_.fd(host) >= 0) record.host_local = local_name(mover_.fd(host)).value_or(Endpoint{});
  record.guest_peer = start_.guest_peer;
  record.guest = start_.guest;
  record.opened = opened_;
  record.bytes_to_guest = mover_.bytes_from(host);
  record.bytes_to_host = mover_.bytes_from(guest);
  return record;
}

void Relay::on_ready(int fd, std::uint32_t events) {
  if (phase_ == Phase::open) return mover_.on_ready(fd, events);
  const Side side = mover_.side_of(fd);
  mover_.note(side, events);
  // The error of a server that ends early is left to the read that comes once the flow is open.
  const bool for_later = start_.dialled_by_guest && side == host && phase_ != Phase::dialling;
  if ((events & EPOLLERR) != 0 && !for_later) {
    const int error = take_error(fd);
    // A connection that is refused is no reset (tcp_input.c tcp_reset): this one was there.
    host_is_dead_ = phase_ == Phase::dialling && (error == ECONNRESET || error == EPIPE);
    if (error != 0 && !host_is_dead_) return side_failed(side, error);
  }
  if (phase_ == Phase::dialling && ((events & EPOLLOUT) != 0 || host_is_dead_)) {
    phase_ = Phase::waiting;
    return waiter_->flow_dialled(*this);
  }
  if (phase_ == Phase::connecting && side == awaited_ && (events & EPOLLOUT) != 0) connected(Mover::fresh(side, events));
}

void Relay::connected(std::optional<Side> fresh) {
  phase_ = Phase::open;
  if (start_.stand_in && !start_.dialled_by_guest) {
    // Its port may be another than was asked for (stand_ins.h).
    if (const auto name = local_name(mover_.fd(guest))) start_.guest_peer = *name;
    set_.own(*this);
  }
  set_.opened(*this);
  if (waiter_ != nullptr) waiter_->flow_open(*this);
  mover_.open(host_is_dead_ ? std::optional(host) : std::nullopt, fresh);
}

void Relay::side_failed(Side side, int error) {
  const FlowEnd reset_here = side == host ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest;
  finish_unopened(side, error, side == awaited_ || phase_ == Phase::dialling ? flow_end_of(error) : reset_here);
}

void Relay::finish_unopened(Side side, int error, FlowEnd end) {
  if (waiter_ != nullptr) waiter_->flow_failed(*this, side, error);
  set_.ended(*this, end);
}

void Relay::finish(FlowEnd end) {
  if (phase_ < Phase::open) return finish_unopened(host, 0, end);
  if (thread_) return set_.ask_back(*this, end);
  set_.ended(*this, end);
}

}  // namespace nh
