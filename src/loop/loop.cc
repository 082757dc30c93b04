// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/loop.h"

#include <glib.h>

#include <algorithm>

namespace nh {
namespace {

// GLib allocates a GSource by size and knows nothing of constructors: the C++ part hangs on a pointer.
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

void watch_finalize(GSource* source) noexcept { delete reinterpret_cast<WatchSource*>(source)->state; }

GSourceFuncs watch_functions = {watch_prepare, watch_ready, watch_dispatch, watch_finalize, nullptr, nullptr};

struct TimerState {
  std::function<void()> callback;
  gint64 deadline = -1;  // microseconds of g_get_monotonic_time; -1: not armed
  std::function<Instant()> next = {};  // asked for the deadline before each wait, if there is one
};
struct TimerSource {
  GSource base;
  TimerState* state;
};

// Not g_source_set_ready_time: that wakes the main loop through an eventfd at each call, three system calls a turn.
// CLOCK_MONOTONIC is behind both GLib's monotonic time and std::chrono::steady_clock.
gint64 to_micros(Instant when) {
  if (when == Instant::max()) return -1;
  return std::chrono::ceil<std::chrono::microseconds>(when.time_since_epoch()).count();
}

gboolean timer_prepare(GSource* source, gint* timeout) noexcept {
  TimerState& state = *reinterpret_cast<TimerSource*>(source)->state;
  if (state.next) state.deadline = to_micros(state.next());
  const gint64 deadline = state.deadline;
  *timeout = -1;
  if (deadline < 0) return FALSE;
  const gint64 left = deadline - g_source_get_time(source);
  constexpr gint64 longest = 3600 * gint64{1000000};
  *timeout = left <= 0 ? 0 : static_cast<gint>((std::min(left, longest) + 999) / 1000);
  return left <= 0;
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

void timer_finalize(GSource* source) noexcept { delete reinterpret_cast<TimerSource*>(source)->state; }

GSourceFuncs timer_functions = {timer_prepare, timer_ready, timer_dispatch, timer_finalize, nullptr, nullptr};

GIOCondition condition(IoEvents events) { return static_cast<GIOCondition>(static_cast<unsigned short>(events)); }

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
  GSource* old = std::exchange(source_, nullptr);
  g_source_destroy(old);
  g_source_unref(old);
}

void Watch::set_events(IoEvents events) {
  NH_BUG_IF(!source_);
  WatchState& state = *reinterpret_cast<WatchSource*>(source_.get())->state;
  // GLib always reports errors and hang-ups of the fds it polls, so that a dead peer would make a paused watch spin: the
  // fd leaves the source altogether.
  if (events == 0) {
    if (state.tag != nullptr) g_source_remove_unix_fd(source_.get(), std::exchange(state.tag, nullptr));
  } else if (state.tag == nullptr) {
    state.tag = g_source_add_unix_fd(source_.get(), state.fd, condition(events));
  } else {
    g_source_modify_unix_fd(source_.get(), state.tag, condition(events));
  }
}

void Watch::reset() { source_.reset(); }

void Timer::arm(Duration delay) {
  NH_BUG_IF(!source_);
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(delay).count();
  reinterpret_cast<TimerSource*>(source_.get())->state->deadline = g_get_monotonic_time() + std::max<gint64>(micros, 0);
}

void Timer::disarm() {
  if (source_) reinterpret_cast<TimerSource*>(source_.get())->state->deadline = -1;
}

Loop::Loop() : context_(g_main_context_new()) {}
Loop::~Loop() { g_main_context_unref(context_); }

Watch Loop::watch(int fd, IoEvents events, std::function<void(IoEvents)> callback) {
  GSource* source = g_source_new(&watch_functions, sizeof(WatchSource));
  auto* state = new WatchState{.callback = std::move(callback), .fd = fd};
  reinterpret_cast<WatchSource*>(source)->state = state;
  if (events != 0) state->tag = g_source_add_unix_fd(source, fd, condition(events));
  g_source_attach(source, context_);
  Watch watch;
  watch.source_ = SourceHandle(source);
  return watch;
}

Timer Loop::timer(std::function<void()> callback) {
  GSource* source = g_source_new(&timer_functions, sizeof(TimerSource));
  reinterpret_cast<TimerSource*>(source)->state = new TimerState{.callback = std::move(callback)};
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

void Loop::turn(bool may_block) { g_main_context_iteration(context_, may_block ? TRUE : FALSE); }

}  // namespace nh
