// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/loop.h"

#include <glib.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "src/base/unique_fd.h"
#include "src/loop/poll_in_epoll.h"

namespace nh {
namespace {

// Counts the changes of watches: an entry of GLib's array with the same fd and events may stand for another file after one.
// A static, because a Watch does not know its loop.
thread_local std::uint64_t watch_changes = 0;

// GLib allocates a GSource by size and runs no constructor, so the C++ part is behind a pointer.
struct WatchState {
  std::function<void(IoEvents)> callback;
  int fd = -1;
  gpointer tag = nullptr;  // of the fd in the source; null while the watch is paused
};
struct WatchSource {
  GSource base;
  WatchState* state;
};

gboolean watch_ready(GSource* source) noexcept {
  const WatchState& state = *reinterpret_cast<WatchSource*>(source)->state;
  return state.tag != nullptr && g_source_query_unix_fd(source, state.tag) != 0;
}

gboolean watch_prepare(GSource*, gint* timeout) noexcept {
  *timeout = -1;
  return FALSE;
}

gboolean watch_dispatch(GSource* source, GSourceFunc, gpointer) noexcept {
  WatchState& state = *reinterpret_cast<WatchSource*>(source)->state;
  if (state.tag != nullptr) state.callback(static_cast<IoEvents>(g_source_query_unix_fd(source, state.tag)));
  return G_SOURCE_CONTINUE;
}

void watch_finalize(GSource* source) noexcept {
  delete reinterpret_cast<WatchSource*>(source)->state;
}

GSourceFuncs watch_functions = {watch_prepare, watch_ready, watch_dispatch, watch_finalize, nullptr, nullptr};

// GLib's monotonic time and std::chrono::steady_clock are both CLOCK_MONOTONIC.
gint64 to_micros(Instant when) {
  if (when == Instant::max()) return -1;
  return std::chrono::ceil<std::chrono::microseconds>(when.time_since_epoch()).count();
}

// Microseconds. Keeps a timeout in milliseconds within an int.
constexpr gint64 longest_wait = 3600 * gint64{1000000};

}  // namespace

struct TimerState {
  std::function<void()> callback;
  gint64 deadline = -1;                // microseconds of g_get_monotonic_time; -1: not armed
  std::function<Instant()> next = {};  // if set, gives the deadline before each wait
  std::vector<TimerState*>* all = nullptr;

  // Milliseconds from `now` to the deadline, rounded up; 0: due; -1: not armed.
  int timeout_ms(gint64 now) {
    if (next) deadline = to_micros(next());
    if (deadline < 0) return -1;
    return deadline <= now ? 0 : static_cast<int>((std::min(deadline - now, longest_wait) + 999) / 1000);
  }
};

namespace {

struct TimerSource {
  GSource base;
  TimerState* state;
};

// Not by g_source_set_ready_time(): each call wakes the main loop through an eventfd, three system calls a turn.
gboolean timer_prepare(GSource* source, gint* timeout) noexcept {
  *timeout = reinterpret_cast<TimerSource*>(source)->state->timeout_ms(g_source_get_time(source));
  return *timeout == 0;
}

gboolean timer_ready(GSource* source) noexcept {
  const gint64 deadline = reinterpret_cast<TimerSource*>(source)->state->deadline;
  return deadline >= 0 && deadline <= g_source_get_time(source);
}

gboolean timer_dispatch(GSource* source, GSourceFunc, gpointer) noexcept {
  TimerState& state = *reinterpret_cast<TimerSource*>(source)->state;
  state.deadline = -1;
  state.callback();
  return G_SOURCE_CONTINUE;
}

void timer_finalize(GSource* source) noexcept {
  TimerState* state = reinterpret_cast<TimerSource*>(source)->state;
  std::erase(*state->all, state);
  delete state;
}

GSourceFuncs timer_functions = {timer_prepare, timer_ready, timer_dispatch, timer_finalize, nullptr, nullptr};

// No callback runs the loop, so none recurses. But GLib takes a source that must not recurse out of the poll set around each
// dispatch and wakes itself up for both changes: two writes, a read and a useless poll(2) in every turn (seen with strace).
void may_recurse(GSource* source) {
  g_source_set_can_recurse(source, TRUE);
}

GIOCondition condition(IoEvents events) {
  return static_cast<GIOCondition>(static_cast<unsigned short>(events));
}

}  // namespace

SourceHandle& SourceHandle::operator=(SourceHandle&& other) noexcept {
  if (this != &other) {
    reset();
    source_ = std::exchange(other.source_, nullptr);
  }
  return *this;
}

void SourceHandle::reset() {
  if (source_ == nullptr) return;
  ++watch_changes;
  GSource* old = std::exchange(source_, nullptr);
  g_source_destroy(old);
  g_source_unref(old);
}

void Watch::set_events(IoEvents events) {
  NH_BUG_IF(!source_);
  ++watch_changes;
  WatchState& state = *reinterpret_cast<WatchSource*>(source_.get())->state;
  // GLib reports errors and hang-ups of every fd that it polls; a paused watch would spin on them. So the fd is removed from
  // the source.
  if (events == 0) {
    if (state.tag != nullptr) g_source_remove_unix_fd(source_.get(), std::exchange(state.tag, nullptr));
  } else if (state.tag == nullptr) {
    state.tag = g_source_add_unix_fd(source_.get(), state.fd, condition(events));
  } else {
    g_source_modify_unix_fd(source_.get(), state.tag, condition(events));
  }
}

void Watch::reset() {
  source_.reset();
}

void Timer::arm(Duration delay) {
  NH_BUG_IF(!source_);
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(delay).count();
  reinterpret_cast<TimerSource*>(source_.get())->state->deadline = g_get_monotonic_time() + std::max<gint64>(micros, 0);
}

void Timer::disarm() {
  if (source_) reinterpret_cast<TimerSource*>(source_.get())->state->deadline = -1;
}

struct Loop::EpollWait {
  PollInEpoll poll;
  std::function<void(std::span<const epoll_event>)> ready;
  std::vector<epoll_event> batch = {};
};

Result<> Loop::can_be_made() {
  const UniqueFd one(eventfd(0, EFD_CLOEXEC));
  if (!one) return sys_error("making the main loop");
  return Ok{};
}

Loop::Loop() : context_(g_main_context_new()) {}
Loop::~Loop() {
  g_main_context_unref(context_);
}

bool Loop::wait_in(int epoll_fd, std::function<void(std::span<const epoll_event>)> ready) {
  if (epoll_fd < 0) {
    epoll_wait_.reset();
    return true;
  }
  if (epoll_wait_) return false;
  epoll_wait_ = std::make_shared<EpollWait>(EpollWait{.poll = PollInEpoll(epoll_fd, busy_), .ready = std::move(ready)});
  return true;
}

void Loop::added_to_epoll(int fd) {
  if (epoll_wait_) epoll_wait_->poll.forget(fd);
}

// The time to the first deadline, as for poll(2).
int Loop::next_timeout_ms() {
  const gint64 now = g_get_monotonic_time();
  int first = -1;
  for (TimerState* timer : timers_) {
    const int timeout = timer->timeout_ms(now);
    if (timeout >= 0 && (first < 0 || timeout < first)) first = timeout;
  }
  return first;
}

// As poll(2), but in the epoll if there is one, whose other events are handled here. It then waits again as long as GLib has
// nothing to do: GLib's own work costs more than all system calls of a turn, and the later we sleep after we have woken a
// peer, the more likely the kernel moves that peer to another processor.
void Loop::wait(std::span<pollfd> fds, int timeout_ms) {
  // A copy: a callback may end the epoll that its events came from.
  const std::shared_ptr<EpollWait> epoll = epoll_wait_;
  if (epoll == nullptr) {
    (void)::poll(fds.data(), fds.size(), timeout_ms);  // on EINTR revents stay 0, as g_main_context_query() has set them
    return;
  }
  const std::uint64_t changes = watch_changes;
  const bool may_block = timeout_ms != 0;
  for (int i = 0; i < waits_per_turn; ++i) {
    ++turns_;
    const int ready = epoll->poll.wait(fds, timeout_ms, changes);
    epoll->poll.swap_others(epoll->batch);
    const bool had_others = !epoll->batch.empty();
    if (had_others) epoll->ready(epoll->batch);
    epoll->batch.clear();
    if (ready != 0 || !had_others || !may_block || quitting_ || watch_changes != changes) return;
    timeout_ms = next_timeout_ms();
    if (timeout_ms == 0) return;
  }
}

Watch Loop::watch(int fd, IoEvents events, std::function<void(IoEvents)> callback) {
  ++watch_changes;
  GSource* source = g_source_new(&watch_functions, sizeof(WatchSource));
  auto* state = new WatchState{.callback = std::move(callback), .fd = fd};
  reinterpret_cast<WatchSource*>(source)->state = state;
  if (events != 0) state->tag = g_source_add_unix_fd(source, fd, condition(events));
  may_recurse(source);
  g_source_attach(source, context_);
  Watch watch;
  watch.source_ = SourceHandle(source);
  return watch;
}

Timer Loop::timer(std::function<void()> callback) {
  GSource* source = g_source_new(&timer_functions, sizeof(TimerSource));
  reinterpret_cast<TimerSource*>(source)->state = new TimerState{.callback = std::move(callback), .all = &timers_};
  timers_.push_back(reinterpret_cast<TimerSource*>(source)->state);
  may_recurse(source);
  g_source_attach(source, context_);
  Timer timer;
  timer.source_ = SourceHandle(source);
  return timer;
}

Timer Loop::deadline(std::function<Instant()> next, std::function<void()> callback) {
  Timer made = timer(std::move(callback));
  reinterpret_cast<TimerSource*>(made.source_.get())->state->next = std::move(next);
  return made;
}

int Loop::run() {
  while (!quitting_) turn(true);
  return code_;
}

void Loop::quit(int code) {
  if (!quitting_) code_ = code;
  quitting_ = true;
}

// g_main_context_iteration(), step by step, with a wait of our own.
void Loop::turn(bool may_block) {
  // GPollFD and struct pollfd are the same (glib/gpoll.h: "identical on systems with poll()").
  static_assert(sizeof(GPollFD) == sizeof(pollfd));
  const auto fds = [this] { return reinterpret_cast<GPollFD*>(fds_.data()); };
  NH_BUG_IF(g_main_context_acquire(context_) == FALSE);
  int priority = 0;
  int timeout_ms = 0;
  g_main_context_prepare(context_, &priority);
  int count = 0;
  while ((count = g_main_context_query(context_, priority, &timeout_ms, fds(), static_cast<int>(fds_.size()))) >
         static_cast<int>(fds_.size()))
    fds_.resize(static_cast<std::size_t>(count));
  wait(std::span(fds_).first(static_cast<std::size_t>(count)), may_block ? timeout_ms : 0);
  g_main_context_check(context_, priority, fds(), count);
  g_main_context_dispatch(context_);
  g_main_context_release(context_);
}

}  // namespace nh
