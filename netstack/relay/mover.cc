// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/mover.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "netstack/relay/stream_socket.h"

namespace nh {
namespace {

constexpr std::uint32_t everything = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

}  // namespace

Mover::Mover(Relay& relay, RelayLoop& loop, Owner& owner, RelayBytes& rule, bool host_is_unix)
    : relay_(relay), loop_(&loop), owner_(&owner), rule_(rule), host_is_unix_(host_is_unix) {}

Mover::~Mover() {
  if (loop_ != nullptr) leave(true);
}

void Mover::leave(bool closing) {
  loop_->remove(*this);
  for (Direction& direction : directions_) direction.pump.release(loop_->store());
  for (const End& end : ends_) {
    if (!end.fd) continue;
    // close(2) takes a descriptor out of the epoll.
    if (closing)
      loop_->epoll().forget(end.fd.get());
    else
      loop_->epoll().remove(end.fd.get());
  }
  loop_ = nullptr;
}

Result<> Mover::enter(RelayLoop& loop, Owner& owner) {
  // The new epoll reports again what is ready.
  NH_TRY(loop.epoll().add(fd(host), everything, *this));
  if (auto added = loop.epoll().add(fd(guest), everything, *this); !added) {
    loop.epoll().remove(fd(host));
    return added;
  }
  loop_ = &loop;
  owner_ = &owner;
  return Ok{};
}

bool Mover::is_offloadable(std::uint64_t threshold) const {
  if (phase_ != Phase::open || directions_[host].pump.holds_any() || directions_[guest].pump.holds_any()) return false;
  return std::any_of(directions_.begin(), directions_.end(), [threshold](const Direction& direction) {
    return direction.bytes.value() >= threshold && (threshold == 0 || direction.pump.is_bulk());
  });
}

void Mover::reset_sockets() {
  if (loop_ != nullptr) leave(true);
  for (End& end : ends_) reset(std::move(end.fd));
}

Result<> Mover::watch(Side side, UniqueFd fd, EpollSet::Handler& handler) {
  NH_TRY(loop_->epoll().add(fd.get(), everything, handler));
  ends_[side].fd = std::move(fd);
  return Ok{};
}

void Mover::note(Side side, std::uint32_t events) {
  End& end = ends_[side];
  if ((events & EPOLLOUT) != 0) end.writable = true;
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) end.readable = true;
  // A read from a Unix socket also stops behind bytes that descriptors came with (af_unix.c unix_stream_read_generic).
  const bool is_unix = side == host && host_is_unix_;
  end.to_the_end = is_unix || (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP)) != 0;
}

std::optional<Mover::Side> Mover::fresh(Side side, std::uint32_t events) {
  return (events & (EPOLLIN | EPOLLPRI)) == EPOLLIN ? std::optional(side) : std::nullopt;
}

void Mover::open(std::optional<Side> dead, std::optional<Side> fresh) {
  phase_ = Phase::open;
  if (dead) return side_failed(*dead);
  visit(fresh);
}

void Mover::on_ready(int fd, std::uint32_t events) {
  const Side side = side_of(fd);
  note(side, events);
  if ((events & EPOLLERR) != 0) {
    // 0: a read or a write has returned it already.
    if (take_error(fd) != 0) return side_failed(side);
  }
  visit(fresh(side, events));
}

void Mover::start_dying(Side side) {
  phase_ = Phase::dying;
  dead_ = side;
  dying_end_ = side == host ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest;
  directions_[other(side)].pump.release(loop_->store());
  ends_[side].readable = ends_[side].to_the_end = true;
}

void Mover::side_failed(Side side) {
  if (phase_ == Phase::open)
    start_dying(side);
  else if (side != dead_)
    return owner_->mover_ended(*this, dying_end_);
  move_last_bytes();
}

void Mover::visit(std::optional<Side> fresh) {
  if (phase_ == Phase::dying) return move_last_bytes();
  if (loop_->turn_left() == 0) return loop_->add_ready(*this);
  bool more = move_from(host, fresh == host);
  if (phase_ == Phase::open && move_from(guest, fresh == guest)) more = true;
  if (phase_ == Phase::dying) return move_last_bytes();
  if (directions_[host].done && directions_[guest].done) return owner_->mover_ended(*this, FlowEnd::closed);
  if (offload()) return;
  if (more) loop_->add_ready(*this);
}

bool Mover::offload() {
  const std::optional<std::uint64_t> threshold = loop_->offload_threshold();
  if (!threshold || !is_offloadable(*threshold)) return false;
  owner_->mover_to_offload(*this);
  return true;
}

bool Mover::move_from(Side from, bool fresh) {
  Direction& direction = directions_[from];
  End& source = ends_[from];
  End& sink = ends_[other(from)];
  if (direction.done || !sink.writable || (!source.readable && !direction.pump.holds_any())) return false;
  const Pump::Moved moved =
      direction.pump.move(loop_->store(), {.fd = source.fd.get(), .to_the_end = source.to_the_end, .fresh = fresh},
                          sink.fd.get(), std::min(limits::relay_visit, loop_->turn_left()));
  direction.bytes += moved.bytes;
  loop_->count_moved(rule_, from == host, moved.bytes);
  Side failed = from;
  switch (moved.outcome) {
    case Pump::StepEnd::more:
      return true;
    case Pump::StepEnd::starved:
      source.readable = false;
      return false;
    case Pump::StepEnd::blocked:
      sink.writable = false;
      return false;
    case Pump::StepEnd::ended:
      source.readable = false;
      direction.done = true;
      // The second FIN is sent by close(2).
      if (phase_ == Phase::open && !directions_[other(from)].done) shutdown(sink.fd.get(), SHUT_WR);
      return false;
    case Pump::StepEnd::source_failed:
      break;
    case Pump::StepEnd::sink_failed:
      failed = other(from);
      break;
  }
  if (phase_ == Phase::open) {
    start_dying(failed);
    return false;
  }
  // Dying: the dead side's queue is empty now, or the other side is dead too.
  direction.done = true;
  if (failed != dead_) direction.pump.release(loop_->store());
  return false;
}

void Mover::move_last_bytes() {
  if (loop_->turn_left() == 0 || move_from(dead_)) return loop_->add_ready(*this);
  const Direction& direction = directions_[dead_];
  const End& source = ends_[dead_];
  const bool drained = (direction.done || !source.readable) && !direction.pump.holds_any();
  if (drained && unsent(ends_[other(dead_)].fd.get()) == 0) return owner_->mover_ended(*this, dying_end_);
  if (!place.checked) {
    last_bytes_progress();
    loop_->check_progress(*this);
  }
}

void Mover::progress_due() {
  if (!last_bytes_progress()) return owner_->mover_ended(*this, dying_end_);
  move_last_bytes();
}

bool Mover::last_bytes_progress() {
  const std::uint64_t taken = directions_[dead_].bytes.value();
  const std::uint64_t waiting = unsent(ends_[other(dead_)].fd.get());
  const std::uint64_t sent = taken - std::min(taken, waiting) + 1;
  return std::exchange(last_sent_, sent) < sent;
}

}  // namespace nh
