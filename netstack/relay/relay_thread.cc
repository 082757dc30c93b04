// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/relay_thread.h"

#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <csignal>
#include <utility>

namespace nh {
namespace {

/// As epoll_wait(2) has it; never too early.
int wait_ms(Instant deadline, const Clock& clock) {
  if (deadline == Instant{}) return 0;
  if (deadline == Instant::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

}  // namespace

RelayThread::RelayThread(const Setup& setup, EpollSet epoll)
    : setup_(setup),
      fds_(fds_of_a_pipe * setup.share.pipes),
      epoll_(std::move(epoll)),
      loop_({.epoll = &epoll_, .clock = setup.clock, .fds = &fds_, .share = setup.share}) {}

RelayThread::~RelayThread() {
  NH_BUG_IF(thread_.has_value());
}

Result<std::unique_ptr<RelayThread>> RelayThread::start(const Setup& setup) {
  NH_LET(epoll, EpollSet::create());
  std::unique_ptr<RelayThread> made(new RelayThread(setup, std::move(epoll)));
  NH_TRY(made->orders_.open());
  NH_TRY(made->epoll_.add(made->orders_.fd(), EPOLLIN, *made));
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread{};
  const int failed = pthread_create(&thread, nullptr, &entry, made.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) return sys_error(failed, "starting a relay thread");
  made->thread_ = thread;
  // Until the run-time has set it up: from then on it makes no system call but a relay's.
  made->runs_.wait(false);
  return made;
}

void RelayThread::stop() {
  if (!thread_) return;
  orders_.post({.what = RelayOrder::What::stop});
  pthread_join(*std::exchange(thread_, std::nullopt), nullptr);
}

void* RelayThread::entry(void* self) noexcept {
  auto& thread = *static_cast<RelayThread*>(self);
  // 15 bytes at most (pthread_setname_np(3)).
  pthread_setname_np(pthread_self(), ("relay-" + std::to_string(thread.setup_.number)).c_str());
  thread.runs_ = true;
  thread.runs_.notify_one();
  thread.run();
  return nullptr;
}

void RelayThread::run() {
  while (!stopped_) {
    epoll_.dispatch(wait_ms(loop_.next_deadline(), *setup_.clock));
    const Instant due = loop_.next_deadline();
    if (due == Instant{} || (due != Instant::max() && due <= setup_.clock->now())) loop_.run();
  }
}

void RelayThread::on_ready(int, std::uint32_t) {
  orders_.take(taken_);
  for (const RelayOrder& order : taken_) obey(order);
  taken_.clear();
}

void RelayThread::obey(const RelayOrder& order) {
  switch (order.what) {
    case RelayOrder::What::take:
      // Out of epoll watches, although two were given back just now: another process of this user has taken them.
      if (!order.mover->enter(loop_, *this)) setup_.home->post({.mover = order.mover, .end = FlowEnd::exhausted});
      return;
    case RelayOrder::What::drop:
      if (order.mover->is_in(loop_)) order.mover->leave(false);
      setup_.home->post({.mover = order.mover, .end = std::nullopt});
      return;
    case RelayOrder::What::stop:
      stopped_ = true;
      return;
  }
}

void RelayThread::mover_ended(Mover& mover, FlowEnd end) {
  mover.leave(false);
  setup_.home->post({.mover = &mover, .end = end});
}

}  // namespace nh
