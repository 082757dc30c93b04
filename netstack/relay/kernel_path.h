// SPDX-License-Identifier: BSD-3-Clause
// KernelPath: what the kernel path can do at present. One value for everybody who depends on it, told on each change.
//
// The writers: whoever gives stand-ins (the guest agent's link) says what the agent has proved, and SteeringTrust (netstack/tcp)
// which family no stand-in gets through in. The readers keep no copy: a subscriber is given the value before and the value now.
//
// Single-threaded; neither sleeps nor blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "src/base/address.h"

namespace nh {

/// What stand-ins of one family can do, as the agent has proved it by connections of its own.
struct FamilySteering {
  bool serves = false;             ///< a stand-in connects to a socket of the guest's that listens
  std::string serves_reason = {};  ///< why not; empty: the guest has no address to try it with yet
  /// A stand-in connects to a socket of the guest's that is connecting to the stand-in's address (TCP simultaneous open, RFC 9293
  /// 3.5). Apart from `serves`, as a guest's firewall may let in the answers to what the guest has dialled, and nothing else.
  bool dials = false;
  std::string dials_reason = {};  ///< as serves_reason
  bool any() const { return serves || dials; }
  friend bool operator==(const FamilySteering&, const FamilySteering&) = default;
};

struct KernelPathState {
  enum class Phase : std::uint8_t {
    preparing,  ///< not known yet; what asks for a stand-in waits
    ready,      ///< in one family at least
    off         ///< there are no stand-ins
  };
  Phase phase = Phase::preparing;
  std::string off_reason = {};              ///< off: why
  PerFamily<FamilySteering> steering = {};  ///< ready: what was proved
  PerFamily<bool> unreached = {};           ///< a stand-in did not get through to the guest, and no proof since
  bool ports_kept = true;                   ///< a stand-in gets a port of the guest's ip_local_port_range (Linux 6.3)
  friend bool operator==(const KernelPathState&, const KernelPathState&) = default;

  /// TCP forwards lead to the guest by stand-ins of this family.
  bool takes_forwards(Family family) const { return phase == Phase::ready && steering.of(family).serves; }
  /// The guest's own connections take the kernel path in this family.
  bool takes_outbound(Family family) const { return answers_dials(family) && !unreached.of(family); }
  /// The agent has proved that they could.
  bool answers_dials(Family family) const { return phase == Phase::ready && steering.of(family).dials; }

  /// Why there are no stand-ins for forwards, of a family or at all; empty: there are, or the guest has no address of that family.
  std::string why_no_stand_ins() const;
  /// What forwards lack: why_no_stand_ins(), and that clients do not keep their ports; empty: nothing.
  std::string forwards_reason() const;
  /// Why a family of the guest's connections takes the general path; empty: none does.
  std::string outbound_reason() const;
};

/// Why not, of both families. One that the guest simply does not have is worth no words while the other one works.
std::string steering_reasons(bool any, bool v4, const std::string& v4_reason, bool v6, const std::string& v6_reason);

class KernelPath {
 public:
  using Subscriber = std::function<void(const KernelPathState& before, const KernelPathState& now)>;
  /// Ends the subscription when it dies; the KernelPath must outlive it.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept : path_(std::exchange(other.path_, nullptr)), number_(other.number_) {}
    Subscription& operator=(Subscription&& other) noexcept {
      std::swap(path_, other.path_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Subscription() {
      if (path_ != nullptr) path_->subscribers_.erase(number_);
    }

   private:
    friend class KernelPath;
    Subscription(KernelPath* path, std::uint64_t number) : path_(path), number_(number) {}
    KernelPath* path_ = nullptr;
    std::uint64_t number_ = 0;
  };

  KernelPath() = default;
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  const KernelPathState& now() const { return now_; }
  /// Told of changes only, in the order of subscription. A subscriber may call set(), which is told when all have heard of this
  /// change, and may subscribe or end subscriptions.
  [[nodiscard]] Subscription subscribe(Subscriber subscriber);
  /// For the writers. Never called from within StandIns::open() and its like.
  void set(KernelPathState next);

 private:
  KernelPathState now_;
  std::map<std::uint64_t, Subscriber> subscribers_;
  std::uint64_t last_number_ = 0;
  bool telling_ = false;
};

}  // namespace nh
