// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/tcp/steering_trust.h"

#include <algorithm>
#include <utility>

#include "src/base/limits.h"

namespace nh {
namespace {

constexpr unsigned most_doublings = 16;

/// `first` doubled `doublings` times, at most limits::outbound_hold_most.
Duration back_off(Duration first, unsigned doublings) {
  return std::min<Duration>(limits::outbound_hold_most, first * (1u << std::min(doublings, most_doublings)));
}

}  // namespace

void SteeringTrust::reached(Family family) {
  Record& of = records_.of(family);
  if (of.breaks != 0 && ++of.reached >= limits::outbound_trusted) of.breaks = 0;
}

void SteeringTrust::not_reached(Family family) {
  Record& of = records_.of(family);
  of.reached = 0;
  if (path_.now().unreached.of(family)) return;
  ++of.breaks;
  of.held_until = clock_.now() + (of.breaks == 1 ? Duration(0) : back_off(limits::outbound_hold, of.breaks - 2));
  KernelPathState next = path_.now();
  next.unreached.of(family) = true;
  path_.set(std::move(next));
  check();
}

void SteeringTrust::expire() {
  if (check_at_ <= clock_.now()) check();
}

void SteeringTrust::check() {
  const Instant now = clock_.now();
  if (std::exchange(checking_, true) && now < check_at_) return;
  // An agent that has too much to do to be asked gives no answer: it is asked again.
  check_at_ = now + limits::outbound_hold_most;
  stand_ins_.check([this] { checked(); });
}

void SteeringTrust::checked() {
  checking_ = false;
  const Instant now = clock_.now();
  KernelPathState state = path_.now();
  bool waits = false, failing = false;
  Instant next = now + limits::outbound_hold;
  for (const Family family : {Family::v4, Family::v6}) {
    if (!state.unreached.of(family)) continue;
    const Record& of = records_.of(family);
    const bool proved = state.answers_dials(family);
    if (proved && of.held_until <= now) {
      state.unreached.of(family) = false;
      continue;
    }
    waits = true;
    failing = failing || !proved;
    next = std::max(next, of.held_until);
  }
  // A proof that fails takes the agent its time.
  if (failing) next = std::max(next, now + back_off(limits::outbound_hold, failed_checks_));
  failed_checks_ = failing ? std::min(failed_checks_ + 1, most_doublings) : 0;
  check_at_ = waits ? next : Instant::max();
  path_.set(std::move(state));
}

}  // namespace nh
