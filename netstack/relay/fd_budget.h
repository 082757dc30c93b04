// SPDX-License-Identifier: BSD-3-Clause
// FdBudget: the file descriptors that relays, the listeners of forwards and pipes may use, counted in one place.
//
// Theory of operation. The process's limit (RLIMIT_NOFILE) is shared out once. Whoever opens a descriptor for a flow takes it
// from the budget first and gives it back when it is closed, so that no system call meets RLIMIT_NOFILE: an accept(2) that fails
// with EMFILE leaves the client in the queue and the listener readable, and the loop would spin. Whoever gets no descriptor stops
// asking and waits to be called. That happens when a share of the budget is free again, not at the first descriptor: with one
// client leaving and one coming, listeners would be paused and resumed for each.
//
// Single-threaded. A waiter must call stop_waiting() before it is destroyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace nh {

class FdBudget {
 public:
  class Waiter {
   public:
    virtual ~Waiter() = default;
    /// There are descriptors again; called once for each wait(). May not take any yet: it is called from within give().
    virtual void fds_free() = 0;
  };

  /// What the limit leaves after limits::reserved_fds and what `others` may hold (libslirp's flows).
  static std::size_t capacity_for(std::uint64_t nofile, std::size_t others);

  explicit FdBudget(std::size_t capacity) : capacity_(capacity) {}
  FdBudget(const FdBudget&) = delete;
  FdBudget& operator=(const FdBudget&) = delete;

  /// False: there are not so many, nothing is taken.
  bool take(std::size_t count);
  void give(std::size_t count);

  /// Descriptors that stay in use whether clients come or leave (listeners, a thread's pipes), so that waiters do not wait for
  /// them. They are given back when this is destroyed; the budget must outlive it.
  class Kept {
   public:
    Kept() = default;
    Kept(Kept&& other) noexcept : budget_(other.budget_), count_(std::exchange(other.count_, 0)) {}
    Kept& operator=(Kept&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(count_, other.count_);
      return *this;
    }
    ~Kept();

   private:
    friend class FdBudget;
    Kept(FdBudget& budget, std::size_t count) : budget_(&budget), count_(count) {}
    FdBudget* budget_ = nullptr;
    std::size_t count_ = 0;
  };
  /// nullopt: there are not so many, nothing is taken.
  std::optional<Kept> keep(std::size_t count);

  /// Wakes the waiter once there is a share free again; a second wait() of the same is ignored.
  void wait(Waiter& waiter);
  void stop_waiting(Waiter& waiter);

  /// Called with true when a take() fails, once until the limit is left; then with false.
  void on_limit(std::function<void(bool reached)> callback) { on_limit_ = std::move(callback); }

  std::size_t capacity() const { return capacity_; }
  std::size_t used() const { return used_; }

 private:
  /// Free descriptors at which waiters are woken: a sixteenth of what comes and goes, 64 at most.
  std::size_t enough() const;

  std::size_t capacity_, used_ = 0, kept_ = 0;
  bool reached_ = false;
  std::vector<Waiter*> waiters_;
  std::function<void(bool)> on_limit_;
};

}  // namespace nh
