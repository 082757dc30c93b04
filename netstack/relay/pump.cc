// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/pump.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/stream_socket.h"
#include "src/base/result.h"

namespace nh {

PumpStore::~PumpStore() {
  budget_.give(2 * pipes());
}

std::unique_ptr<PumpPipe> PumpStore::take_pipe() {
  if (!idle_.empty()) {
    auto pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  if (pipes() >= share_.pipes || budget_.capacity() - budget_.used() < 2) return nullptr;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  auto pipe = std::make_unique<PumpPipe>();
  pipe->out.reset(ends[0]);
  pipe->in.reset(ends[1]);
  // Beyond the user's share of pipe memory it stays small (pipe(7), pipe-user-pages-soft), and moves less at a time.
  fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(limits::relay_pipe));
  ++pipes_;
  NH_BUG_IF(!budget_.take(2));
  return pipe;
}

void PumpStore::give_pipe(std::unique_ptr<PumpPipe> pipe) {
  if (pipe->held == 0 && idle_.size() < limits::relay_idle_pipes) return idle_.push_back(std::move(pipe));
  pipe.reset();
  --pipes_;
  budget_.give(2);
}

/// One step of a move. `go_on`: there may be another one.
struct Pump::Step {
  bool go_on = false;
  StepEnd outcome = StepEnd::more;
  int error = 0;
  std::size_t bytes = 0;

  static Step moved(ssize_t count) { return {.go_on = true, .bytes = static_cast<std::size_t>(count)}; }
  static Step stop(StepEnd outcome, ssize_t count = 0) {
    return {.outcome = outcome, .bytes = static_cast<std::size_t>(count)};
  }
  // From errno.
  static Step source_stopped() {
    if (errno == EAGAIN || errno == EINTR) return stop(StepEnd::starved);
    return {.outcome = StepEnd::source_failed, .error = errno};
  }
  static Step sink_stopped() {
    if (errno == EAGAIN || errno == EINTR) return stop(StepEnd::blocked);
    return {.outcome = StepEnd::sink_failed, .error = errno};
  }
};

Pump::Moved Pump::move(PumpStore& store, const Source& source, int sink, std::size_t limit) {
  Moved total;
  Source from = source;
  while (total.bytes < limit) {
    Step step;
    if (holds_any())
      step = push_held(store, sink);
    else if (std::exchange(from.fresh, false) && !bulk_)  // what an event tells holds for the first read behind it
      step = copy(store, from, sink);
    else
      step = splice_on(store, from, sink);
    total.bytes += step.bytes;
    if (step.go_on) continue;
    total.outcome = step.outcome;
    total.error = step.error;
    break;
  }
  if (pipe_ != nullptr && pipe_->held == 0) store.give_pipe(std::move(pipe_));
  return total;
}

Pump::Step Pump::push_held(PumpStore& store, int sink) {
  if (pipe_ != nullptr) {
    // SPLICE_F_NONBLOCK is about the pipe alone (fs/splice.c splice_to_socket, net/ipv4/tcp.c tcp_splice_read).
    if (may_block(sink)) return {.outcome = StepEnd::sink_failed, .error = EPROTO};
    const ssize_t sent = splice(pipe_->out.get(), nullptr, sink, nullptr, pipe_->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent <= 0) return Step::sink_stopped();
    pipe_->held -= static_cast<std::size_t>(sent);
    // Less than all is no promise that the socket tells when there is room; the next step, which fails, is.
    if (pipe_->held == 0) store.give_pipe(std::move(pipe_));
    return Step::moved(sent);
  }
  const ssize_t sent = send(sink, rest_.get() + rest_sent_, rest_size_ - rest_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return Step::sink_stopped();
  rest_sent_ += static_cast<std::uint32_t>(sent);
  if (rest_sent_ < rest_size_) return Step::stop(StepEnd::blocked, sent);
  store.let_go(rest_size_);
  rest_.reset();
  return Step::moved(sent);
}

// Taken from the source only once it is sent, so that nothing has to be held.
Pump::Step Pump::carry_urgent(const Source& source, int sink) {
  std::uint8_t byte = 0;
  if (const ssize_t seen = recv(source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT); seen <= 0)
    return seen == 0 ? Step::stop(StepEnd::ended) : Step::source_stopped();
  ssize_t sent = send(sink, &byte, 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
  // A Unix socket may have no urgent bytes: an ordinary one then.
  if (sent < 0 && errno == EOPNOTSUPP) sent = send(sink, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return Step::sink_stopped();
  if (recv(source.fd, &byte, 1, MSG_DONTWAIT) != 1) return {.outcome = StepEnd::source_failed, .error = EPROTO};
  return Step::moved(1);
}

Pump::Step Pump::copy(PumpStore& store, const Source& source, int sink) {
  if (!store.may_hold()) return copy_without_holding(store, source, sink);
  const ssize_t got = recv(source.fd, store.buffer.data(), store.buffer.size(), MSG_DONTWAIT);
  if (got <= 0) return got == 0 ? Step::stop(StepEnd::ended) : Step::source_stopped();
  const auto size = static_cast<std::size_t>(got);
  ssize_t sent = send(sink, store.buffer.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < got) {
    Step stopped = sent < 0 ? Step::sink_stopped() : Step::stop(StepEnd::blocked, sent);
    if (stopped.outcome == StepEnd::sink_failed) return stopped;
    sent = std::max<ssize_t>(sent, 0);
    rest_size_ = static_cast<std::uint32_t>(got - sent);
    rest_sent_ = 0;
    rest_ = std::make_unique<std::uint8_t[]>(rest_size_);
    std::copy_n(store.buffer.data() + sent, rest_size_, rest_.get());
    store.holds(rest_size_);
    return stopped;
  }
  bulk_ = size == store.buffer.size();
  if (!bulk_ && !source.to_the_end) return Step::stop(StepEnd::starved, sent);
  return Step::moved(sent);
}

Pump::Step Pump::copy_without_holding(PumpStore& store, const Source& source, int sink) {
  const ssize_t seen = recv(source.fd, store.buffer.data(), store.buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  if (seen <= 0) return seen == 0 ? Step::stop(StepEnd::ended) : Step::source_stopped();
  const ssize_t sent = send(sink, store.buffer.data(), static_cast<std::size_t>(seen), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return Step::sink_stopped();
  if (recv(source.fd, store.buffer.data(), static_cast<std::size_t>(sent), MSG_DONTWAIT) != sent)
    return {.outcome = StepEnd::source_failed, .error = EPROTO};
  return sent < seen ? Step::stop(StepEnd::blocked, sent) : Step::moved(sent);
}

Pump::Step Pump::splice_on(PumpStore& store, const Source& source, int sink) {
  if (may_block(source.fd)) return {.outcome = StepEnd::source_failed, .error = EPROTO};
  pipe_ = store.take_pipe();
  if (pipe_ == nullptr) {
    bulk_ = false;
    return at_urgent_mark(source.fd) ? carry_urgent(source, sink) : copy(store, source, sink);
  }
  const ssize_t got =
      splice(source.fd, nullptr, pipe_->in.get(), nullptr, limits::relay_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got <= 0) {
    const Step step = got == 0 ? Step::stop(StepEnd::ended) : Step::source_stopped();
    store.give_pipe(std::move(pipe_));
    // At an urgent mark it says EAGAIN, or the end if that stands somewhere behind the mark (tcp.c tcp_splice_read looks at
    // RCV_SHUTDOWN alone).
    const bool stopped = step.outcome == StepEnd::ended || step.outcome == StepEnd::starved;
    return stopped && at_urgent_mark(source.fd) ? carry_urgent(source, sink) : step;
  }
  pipe_->held = static_cast<std::size_t>(got);
  // A message, or small segments that fill a pipe's slots with few bytes: those are copied from now on.
  if (pipe_->held < limits::relay_small) bulk_ = false;
  return push_held(store, sink);
}

void Pump::release(PumpStore& store) {
  if (pipe_ != nullptr) store.give_pipe(std::move(pipe_));
  if (rest_ != nullptr) {
    store.let_go(rest_size_);
    rest_.reset();
  }
}

}  // namespace nh
