// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_threads.h"

#include <malloc.h>
#include <sys/epoll.h>

#include <algorithm>

namespace nh {

RelayThreads::~RelayThreads() {
  stop();
  if (watched_) setup_.epoll->remove(returns_.fd());
}

Result<> RelayThreads::start(unsigned count) {
#ifdef M_ARENA_MAX
  // One heap for all threads: they allocate next to nothing, and glibc asks for the processors' number, a system call that no
  // filter should have to allow, before it makes another.
  mallopt(M_ARENA_MAX, 1);
#endif
  NH_TRY(returns_.open());
  NH_TRY(setup_.epoll->add(returns_.fd(), EPOLLIN, *this));
  watched_ = true;
  // With few descriptors most are for flows; bytes are copied instead.
  constexpr std::size_t part = 4;
  const std::size_t pipes = (setup_.fds->capacity() - setup_.fds->used()) / part / fds_of_a_pipe / std::max(count, 1U);
  PumpStore::Share share = setup_.share;
  share.pipes = std::min(share.pipes, pipes);
  for (unsigned number = 0; number < count; ++number) {
    NH_LET(thread, RelayThread::start({.number = number, .clock = setup_.clock, .share = share, .home = &returns_}));
    auto fds = setup_.fds->keep(fds_of_a_pipe * share.pipes);
    NH_BUG_IF(!fds);
    threads_.push_back({.thread = std::move(thread), .fds = std::move(*fds)});
  }
  return Ok{};
}

void RelayThreads::stop() {
  for (Entry& entry : threads_) entry.thread->stop();
}

unsigned RelayThreads::take(Mover& mover) {
  const auto least =
      std::min_element(threads_.begin(), threads_.end(), [](const Entry& a, const Entry& b) { return a.flows < b.flows; });
  ++least->flows;
  least->thread->take(mover);
  return static_cast<unsigned>(least - threads_.begin());
}

void RelayThreads::on_ready(int, std::uint32_t) {
  returns_.take(taken_);
  for (const RelayReturn& returned : taken_) setup_.owner->mover_returned(*returned.mover, returned.end);
  taken_.clear();
}

}  // namespace nh
