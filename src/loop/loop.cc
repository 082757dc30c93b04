// SPDX-License-Identifier: BSD-3-Clause
#include "src/loop/loop.h"

#include <glib.h>

namespace nh {
namespace {

// GLib allocates a GSource by size and knows nothing of constructors: the C++ part hangs on a pointer.
struct WatchState {
  std::function<void(IoEvents)> callback;
  gpointer tag = nullptr;
  bool paused = false;
};
struct WatchSource {
  GSource base;
  WatchState* state;
};

gboolean watch_ready(GSource* source) noexcept {
  const WatchState& state = *reinterpret_cast<WatchSource*>(source)->state;
  return !state.paused && g_source_query_unix_fd(source, state.tag) != 0;
}

gboolean watch_prepare(GSource*, gint* timeout) noexcept {
  *timeout = -1;
  return FALSE;
}

gboolean watch_dispatch(GSource* source, GSourceFunc, gpointer) noexcept {
  WatchState& state = *reinterpret_cast<WatchSource*>(source)->state;
  state.callback(static_cast<IoEvents>(g_source_query_unix_fd(source, state.tag)));
  return G_SOURCE_CONTINUE;
}

void watch_finalize(GSource* source) noexcept { delete reinterpret_cast<WatchSource*>(source)->state; }

GSourceFuncs watch_functions = {watch_prepare, watch_ready, watch_dispatch, watch_finalize, nullptr, nullptr};

struct TimerSource {
  GSource base;
  std::function<void()>* callback;
};

gboolean timer_dispatch(GSource* source, GSourceFunc, gpointer) noexcept {
  g_source_set_ready_time(source, -1);
  (*reinterpret_cast<TimerSource*>(source)->callback)();
  return G_SOURCE_CONTINUE;
}

void timer_finalize(GSource* source) noexcept { delete reinterpret_cast<TimerSource*>(source)->callback; }

GSourceFuncs timer_functions = {nullptr, nullptr, timer_dispatch, timer_finalize, nullptr, nullptr};

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
  // GLib always reports errors and hang-ups; a paused watch must not see them, or the loop would spin on a dead peer.
  reinterpret_cast<WatchSource*>(source_.get())->state->paused = events == 0;
  g_source_modify_unix_fd(source_.get(), tag_, events == 0 ? condition(0) : condition(events));
}

void Watch::reset() { source_.reset(); }

void Timer::arm(Duration delay) {
  NH_BUG_IF(!source_);
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(delay).count();
  g_source_set_ready_time(source_.get(), g_get_monotonic_time() + (micros > 0 ? micros : 0));
}

void Timer::disarm() {
  if (source_) g_source_set_ready_time(source_.get(), -1);
}

Loop::Loop() : context_(g_main_context_new()) {}
Loop::~Loop() { g_main_context_unref(context_); }

Watch Loop::watch(int fd, IoEvents events, std::function<void(IoEvents)> callback) {
  GSource* source = g_source_new(&watch_functions, sizeof(WatchSource));
  auto* state = new WatchState{.callback = std::move(callback)};
  reinterpret_cast<WatchSource*>(source)->state = state;
  Watch watch;
  watch.tag_ = state->tag = g_source_add_unix_fd(source, fd, condition(events));
  state->paused = events == 0;
  g_source_attach(source, context_);
  watch.source_ = SourceHandle(source);
  return watch;
}

Timer Loop::timer(std::function<void()> callback) {
  GSource* source = g_source_new(&timer_functions, sizeof(TimerSource));
  reinterpret_cast<TimerSource*>(source)->callback = new std::function<void()>(std::move(callback));
  g_source_attach(source, context_);
  Timer timer;
  timer.source_ = SourceHandle(source);
  return timer;
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
