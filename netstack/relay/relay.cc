// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay.h"

#include <sys/epoll.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "netstack/relay/stream_socket.h"

namespace nh {

Relay::Relay(const Context& context, std::uint64_t id, const Start& start, Instant opened)
    : owner_(*context.owner),
      waiter_(context.waiter),
      id_(id),
      start_(start),
      opened_(opened),
      // A Unix socket has no port.
      mover_(*this, *context.loop, *context.mover_owner, *context.rule, start.host_peer.port == 0) {}

Result<> Relay::begin(Side side, UniqueFd socket, First first) {
  second_ = Mover::other(side);
  if (first == First::dialling) phase_ = Phase::dialling;
  return mover_.watch(side, std::move(socket), *this);
}

void Relay::join(UniqueFd socket) {
  NH_BUG_IF(phase_ != Phase::waiting);
  ticket_ = 0;
  phase_ = Phase::connecting;
  if (!mover_.watch(second_, std::move(socket), *this)) end(FlowEnd::exhausted);
}

FlowRecord Relay::record() const {
  FlowRecord record;
  record.id = id_;
  record.rule = start_.rule;
  record.direction = start_.direction;
  record.open = is_open();
  record.host_peer = start_.host_peer;
  // A system call that most connections never need, so it is made only here.
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
  // The error of a server that ends early is left in the socket for the first read of the open flow.
  const bool for_later = start_.dialled_by_guest && side == host && phase_ != Phase::dialling;
  if ((events & EPOLLERR) != 0 && !for_later) {
    const int error = take_error(fd);
    // A refused connection gives ECONNREFUSED (tcp_input.c tcp_reset): this one was established.
    host_is_dead_ = phase_ == Phase::dialling && (error == ECONNRESET || error == EPIPE);
    if (error != 0 && !host_is_dead_) return side_failed(side, error);
  }
  if (phase_ == Phase::dialling && ((events & EPOLLOUT) != 0 || host_is_dead_)) {
    phase_ = Phase::waiting;
    return waiter_->flow_dialled(*this);
  }
  if (phase_ == Phase::connecting && side == second_ && (events & EPOLLOUT) != 0) connected(Mover::fresh(side, events));
}

void Relay::connected(std::optional<Side> fresh) {
  phase_ = Phase::open;
  if (start_.stand_in && !start_.dialled_by_guest) {
    // Its port may be another than was asked for (stand_ins.h).
    if (const auto name = local_name(mover_.fd(guest))) start_.guest_peer = *name;
  }
  owner_.relay_open(*this);
  if (waiter_ != nullptr) waiter_->flow_open(*this);
  mover_.open(host_is_dead_ ? std::optional(host) : std::nullopt, fresh);
}

void Relay::side_failed(Side side, int error) {
  const FlowEnd reset_here = side == host ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest;
  end_unopened(side, error, side == second_ || phase_ == Phase::dialling ? flow_end_of(error) : reset_here);
}

void Relay::end_unopened(Side side, int error, FlowEnd end) {
  if (waiter_ != nullptr) waiter_->flow_failed(*this, side, error);
  owner_.relay_ended(*this, end);
}

void Relay::end(FlowEnd why) {
  if (!is_open()) return end_unopened(host, 0, why);
  owner_.relay_ended(*this, why);
}

}  // namespace nh
