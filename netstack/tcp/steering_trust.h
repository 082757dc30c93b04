// SPDX-License-Identifier: BSD-3-Clause
// SteeringTrust: whether stand-ins get through to the guest, as its own connections show, apart from what the agent has proved.
//
// Theory of operation. A stand-in that does not get through means that the steering is broken: the family is marked as unreached
// (KernelPathState), so that its SYNs take the general path, and the steering is repaired and proved again (StandIns::check).
// The first time a family is trusted again as soon as it is proved. After each further failure in a row it waits longer:
// limits::outbound_hold doubled each time, at most limits::outbound_hold_most. limits::outbound_trusted connections that open end the row.
//
// Ownership: owns nothing; all that it is given must outlive it. Single-threaded; neither sleeps nor blocks.
#pragma once

#include "netstack/relay/kernel_path.h"
#include "netstack/relay/stand_ins.h"
#include "src/base/clock.h"

namespace nh {

class SteeringTrust {
 public:
  SteeringTrust(const Clock& clock, StandIns& stand_ins, KernelPath& path)
      : clock_(clock), stand_ins_(stand_ins), path_(path) {}
  ~SteeringTrust() { stand_ins_.drop_check(); }
  SteeringTrust(const SteeringTrust&) = delete;
  SteeringTrust& operator=(const SteeringTrust&) = delete;

  /// A stand-in got through.
  void reached(Family family);
  /// One did not.
  void not_reached(Family family);

  /// When expire() has something to do; Instant::max(): never.
  Instant next_deadline() const { return check_at_; }
  void expire();

 private:
  struct Record {
    unsigned breaks = 0;   ///< in a row
    unsigned reached = 0;  ///< since the last of them
    Instant held_until{};
  };

  void check();
  void checked();

  const Clock& clock_;
  StandIns& stand_ins_;
  KernelPath& path_;
  PerFamily<Record> records_;
  bool checking_ = false;
  unsigned failed_checks_ = 0;  ///< in a row
  Instant check_at_ = Instant::max();
};

}  // namespace nh
