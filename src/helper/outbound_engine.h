// SPDX-License-Identifier: BSD-3-Clause
// OutboundEngine: which way the guest's TCP connections take, as --kernel-path asks for it, and what is told about that.
//
// Theory of operation. The relays and stand-ins are those of the forwards (forward_engine.h); this adds OutboundTcp to them.
// What the kernel path can do (netstack/relay/kernel_path.h) is known some time after the ready byte, and changes with the guest;
// until then, and whenever it cannot take them, connections take the general path, and info, events and the log say why. `require`
// turns that round: the start waits for the answer and fails if it is no, and what cannot be a relay later is refused.
//
// Ownership: owns OutboundTcp; what the setup points to must outlive it. Everything runs in the loop's thread.
#pragma once

#include <functional>
#include <optional>

#include "netstack/dns/dns_forwarder.h"
#include "netstack/tcp/outbound_tcp.h"
#include "src/control/event_bus.h"
#include "src/control/info.h"
#include "src/helper/options.h"
#include "src/loop/loop.h"

namespace nh {

class OutboundEngine {
 public:
  struct Setup {
    Loop* loop;
    RelaySet* relays;
    StandIns* stand_ins;  ///< null: there is no agent
    KernelPath* path;
    FrameSink* sink;
    EventBus* events;
    DnsForwarder* dns;  ///< null: names are not served
    AddressPlan plan;
    std::optional<Address> source_v4, source_v6;
    KernelPathMode wanted = KernelPathMode::automatic;
    std::function<void(Bytes syn)> general = {};
  };

  explicit OutboundEngine(Setup setup);
  OutboundEngine(const OutboundEngine&) = delete;
  OutboundEngine& operator=(const OutboundEngine&) = delete;

  /// For the frame path; null: everything takes the general path.
  OutboundTcp* tcp() { return tcp_ ? &*tcp_ : nullptr; }
  /// With KernelPathMode::require: whether each family that the guest has takes it. nullopt: that is not known yet.
  std::optional<Result<>> requirement() const;

  void add_to(HelperInfo& info) const;

 private:
  void tell(const KernelPathState& before, const KernelPathState& now) const;

  Setup setup_;
  std::optional<OutboundTcp> tcp_;
  Timer deadline_;
  KernelPath::Subscription told_of_path_;
};

}  // namespace nh
