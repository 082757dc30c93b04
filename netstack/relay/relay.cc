// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/relay_set.h"
#include "netstack/relay/stream_socket.h"

namespace nh {

Relay::Relay(RelaySet& set, std::uint64_t id, const Start& start, RelayCounters& rule, Waiter* waiter, Instant opened)
    : set_(set), rule_(rule), waiter_(waiter), id_(id), start_(start), opened_(opened) {}

Relay::~Relay() {
  for (Direction& direction : directions_) direction.pump.release(set_.store_);
  // What is closed leaves the epoll by itself.
  for (End& end : ends_)
    if (end.fd) set_.setup_.epoll->forget(end.fd.get());
}

FlowRecord Relay::record() const {
  FlowRecord record;
  record.id = id_;
  record.rule = start_.rule;
  record.direction = start_.direction;
  record.open = is_open();
  record.host_peer = start_.host_peer;
  // Only asked for here: a system call that most connections never need.
  if (ends_[host].fd) record.host_local = local_name(ends_[host].fd.get()).value_or(Endpoint{});
  record.appears = start_.appears;
  record.guest = start_.guest;
  record.opened = opened_;
  record.bytes_to_guest = directions_[host].bytes;
  record.bytes_to_host = directions_[guest].bytes;
  return record;
}

Result<> Relay::watch(Side side, UniqueFd fd) {
  NH_TRY(set_.setup_.epoll->add(fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, *this));
  ends_[side].fd = std::move(fd);
  return Ok{};
}

void Relay::on_ready(int fd, std::uint32_t events) {
  const Side side = fd == ends_[host].fd.get() ? host : guest;
  End& end = ends_[side];
  if ((events & EPOLLOUT) != 0) end.writable = true;
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) end.readable = true;
  // A read from a Unix socket (no port) also stops behind bytes that descriptors came with (af_unix.c unix_stream_read_generic).
  const bool is_unix = side == host && start_.host_peer.port == 0;
  end.to_the_end = is_unix || (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP)) != 0;
  // The error of a server that ends early is left to the read that comes once the flow is open.
  const bool for_later = start_.dialled_by_guest && side == host && (phase_ == Phase::waiting || phase_ == Phase::connecting);
  if ((events & EPOLLERR) != 0 && !for_later) {
    // 0: a read or a write has met it already.
    if (const int error = take_error(fd); error != 0) return side_failed(side, error);
  }
  if (phase_ == Phase::dialling && (events & EPOLLOUT) != 0) {
    phase_ = Phase::waiting;
    return waiter_->flow_dialled(*this);
  }
  if (phase_ == Phase::connecting && side == awaited_ && (events & EPOLLOUT) != 0) return connected();
  const bool fresh = (events & (EPOLLIN | EPOLLPRI)) == EPOLLIN;
  if (phase_ >= Phase::open) visit(fresh ? std::optional(side) : std::nullopt);
}

void Relay::connected() {
  phase_ = Phase::open;
  if (start_.stand_in && !start_.dialled_by_guest) {
    // Its port may be another than was asked for (stand_ins.h).
    if (const auto name = local_name(ends_[guest].fd.get())) start_.appears = *name;
    set_.own(*this);
  }
  set_.opened(*this);
  if (waiter_ != nullptr) waiter_->flow_open(*this);
  visit();
}

void Relay::side_failed(Side side, int error) {
  const FlowEnd reset_here = side == host ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest;
  if (phase_ < Phase::open) return finish_unopened(side, error, side == awaited_ || phase_ == Phase::dialling ? flow_end_of(error) : reset_here);
  if (phase_ == Phase::dying) {
    if (side != dead_) return finish(why_);
  } else {
    phase_ = Phase::dying;
    dead_ = side;
    why_ = reset_here;
    directions_[other(side)].pump.release(set_.store_);
    ends_[side].readable = ends_[side].to_the_end = true;
  }
  carry_last_bytes();
}

void Relay::visit(std::optional<Side> fresh) {
  if (phase_ == Phase::dying) return carry_last_bytes();
  if (set_.turn_left_ == 0) return set_.later(*this);
  bool more = carry(host, fresh == host);
  if (phase_ == Phase::open && carry(guest, fresh == guest)) more = true;
  if (phase_ == Phase::dying) return carry_last_bytes();
  if (directions_[host].done && directions_[guest].done) return finish(FlowEnd::closed);
  if (more) set_.later(*this);
}

bool Relay::carry(Side from, bool fresh) {
  Direction& direction = directions_[from];
  End& source = ends_[from];
  End& sink = ends_[other(from)];
  if (direction.done || !sink.writable || (!source.readable && !direction.pump.holds_any())) return false;
  const Pump::Moved moved =
      direction.pump.move(set_.store_,
                          {.fd = source.fd.get(),
                           .to_the_end = source.to_the_end,
                           .fresh = fresh},
                          sink.fd.get(), std::min(limits::relay_visit, set_.turn_left_));
  direction.bytes += moved.bytes;
  set_.moved(*this, from, moved.bytes);
  Side failed = from;
  switch (moved.outcome) {
    case Pump::Outcome::more:
      return true;
    case Pump::Outcome::starved:
      source.readable = false;
      return false;
    case Pump::Outcome::blocked:
      sink.writable = false;
      return false;
    case Pump::Outcome::ended:
      source.readable = false;
      direction.done = true;
      // The second of the two is said by close(2).
      if (phase_ == Phase::open && !directions_[other(from)].done) shutdown(sink.fd.get(), SHUT_WR);
      return false;
    case Pump::Outcome::source_failed:
      break;
    case Pump::Outcome::sink_failed:
      failed = other(from);
      break;
  }
  if (phase_ == Phase::open) {
    phase_ = Phase::dying;
    dead_ = failed;
    why_ = failed == host ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest;
    directions_[other(failed)].pump.release(set_.store_);
    ends_[failed].readable = ends_[failed].to_the_end = true;
    return false;
  }
  // Dying: the dead side's queue is empty now, or the other side is dead too.
  direction.done = true;
  if (failed != dead_) direction.pump.release(set_.store_);
  return false;
}

void Relay::carry_last_bytes() {
  if (set_.turn_left_ == 0 || carry(dead_)) return set_.later(*this);
  const Direction& direction = directions_[dead_];
  const End& source = ends_[dead_];
  const bool drained = (direction.done || !source.readable) && !direction.pump.holds_any();
  if (drained && unsent(ends_[other(dead_)].fd.get()) == 0) return finish(why_);
  if (!lingers_) {
    last_bytes_move();
    set_.linger(*this);
  }
}

bool Relay::last_bytes_move() {
  const std::uint64_t taken = directions_[dead_].bytes;
  const std::uint64_t waiting = unsent(ends_[other(dead_)].fd.get());
  // One more than what has left, so that the first look differs from none.
  return std::exchange(delivered_, taken - std::min(taken, waiting) + 1) < taken - std::min(taken, waiting) + 1;
}

void Relay::finish_unopened(Side side, int error, FlowEnd end) {
  if (waiter_ != nullptr) waiter_->flow_failed(*this, side, error);
  set_.ended(*this, end);
}

void Relay::finish(FlowEnd end) {
  if (phase_ < Phase::open) return finish_unopened(host, 0, end);
  set_.ended(*this, end);
}

}  // namespace nh
