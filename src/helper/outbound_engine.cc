// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/outbound_engine.h"

#include "src/base/log.h"

namespace nh {
namespace {

std::string mode_name(KernelPathMode mode) {
  switch (mode) {
    case KernelPathMode::automatic:
      return "auto";
    case KernelPathMode::off:
      return "off";
    case KernelPathMode::require:
      return "require";
  }
  return "";
}

}  // namespace

OutboundEngine::OutboundEngine(Setup setup) : setup_(std::move(setup)) {
  if (setup_.stand_ins == nullptr || setup_.wanted == KernelPathMode::off) return;
  OutboundTcpSetup parts{.clock = &setup_.loop->clock(),
                         .relays = setup_.relays,
                         .stand_ins = setup_.stand_ins,
                         .path = setup_.path,
                         .sink = setup_.sink,
                         .plan = setup_.plan,
                         .source_v4 = setup_.source_v4,
                         .source_v6 = setup_.source_v6,
                         .required = setup_.wanted == KernelPathMode::require,
                         .general = setup_.general};
  if (setup_.dns != nullptr) parts.dial_dns = [this] { return setup_.dns->tcp_client(); };
  tcp_.emplace(std::move(parts));
  told_of_path_ =
      setup_.path->subscribe([this](const KernelPathState& before, const KernelPathState& now) { tell(before, now); });
  deadline_ = setup_.loop->deadline([this] { return tcp_->next_deadline(); }, [this] { tcp_->expire(); });
}

void OutboundEngine::tell(const KernelPathState& before, const KernelPathState& now) const {
  const std::string reason = now.outbound_reason();
  const bool v4 = now.takes_outbound(Family::v4), v6 = now.takes_outbound(Family::v6);
  if (v4 == before.takes_outbound(Family::v4) && v6 == before.takes_outbound(Family::v6) &&
      reason == before.outbound_reason())
    return;
  // Why there are no stand-ins at all is told by the forwards.
  if (now.phase == KernelPathState::Phase::ready && !reason.empty() && reason != before.outbound_reason())
    log::warning("TCP connections of the guest take the general path: " + reason);
  if (setup_.events->wanted())
    setup_.events->publish(PathChanged{
        .direction = FlowDirection::out, .path = v4 || v6 ? FlowPath::relay : FlowPath::libslirp, .reason = reason});
}

std::optional<Result<>> OutboundEngine::requirement() const {
  if (setup_.wanted != KernelPathMode::require) return Ok{};
  const KernelPathState& now = setup_.path->now();
  if (now.phase == KernelPathState::Phase::preparing) return std::nullopt;
  const std::string reason = now.outbound_reason();
  if (reason.empty() && (now.takes_outbound(Family::v4) || now.takes_outbound(Family::v6))) return Ok{};
  return Error{.code = Code::unsupported,
               .what = "--kernel-path=require: " + (reason.empty() ? "the guest has no address" : reason),
               .field = "kernel-path"};
}

void OutboundEngine::add_to(HelperInfo& info) const {
  info.kernel_path_wanted = mode_name(setup_.wanted);
  info.kernel_path = setup_.path->now();
  if (!tcp_) return;
  const OutboundTcp::Counters& outbound = tcp_->counters();
  HelperInfo::Numbers& numbers = info.counters;
  numbers.emplace_back("outbound.under_way", tcp_->under_way());
  numbers.emplace_back("outbound.dialled", outbound.dialled);
  numbers.emplace_back("outbound.opened", outbound.opened);
  numbers.emplace_back("outbound.refused", outbound.refused);
  numbers.emplace_back("outbound.unreachable", outbound.unreachable);
  numbers.emplace_back("outbound.timed_out", outbound.timed_out);
  numbers.emplace_back("outbound.given_up", outbound.given_up);
  numbers.emplace_back("outbound.retransmits", outbound.retransmits);
  numbers.emplace_back("outbound.challenged", outbound.challenged);
  numbers.emplace_back("outbound.superseded", outbound.superseded);
  numbers.emplace_back("outbound.broken", outbound.broken);
  numbers.emplace_back("outbound.general.not_ready", outbound.not_ready);
  numbers.emplace_back("outbound.general.untrusted", outbound.untrusted);
  numbers.emplace_back("outbound.general.repeated", outbound.repeated);
  numbers.emplace_back("outbound.general.options", outbound.options);
  numbers.emplace_back("outbound.general.link_local", outbound.link_local);
  numbers.emplace_back("outbound.general.no_descriptor", outbound.no_descriptor);
  numbers.emplace_back("outbound.general.no_stand_in", outbound.no_stand_in);
}

}  // namespace nh
