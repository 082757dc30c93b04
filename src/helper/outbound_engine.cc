// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/outbound_engine.h"

#include "src/base/log.h"

namespace nh {
namespace {

std::string mode_name(KernelPath mode) {
  switch (mode) {
    case KernelPath::automatic:
      return "auto";
    case KernelPath::off:
      return "off";
    case KernelPath::require:
      return "require";
  }
  return "";
}

}  // namespace

OutboundEngine::OutboundEngine(Setup setup) : setup_(std::move(setup)) {
  if (setup_.stand_ins == nullptr || setup_.wanted == KernelPath::off) return;
  OutboundTcpSetup parts{.clock = &setup_.loop->clock(),
                         .relays = setup_.relays,
                         .stand_ins = setup_.stand_ins,
                         .sink = setup_.sink,
                         .plan = setup_.plan,
                         .source_v4 = setup_.source_v4,
                         .source_v6 = setup_.source_v6,
                         .required = setup_.wanted == KernelPath::require,
                         .general = setup_.general,
                         .on_change = [this] { follow(); }};
  if (setup_.dns != nullptr) parts.dial_dns = [this] { return setup_.dns->tcp_client(); };
  tcp_.emplace(std::move(parts));
  deadline_ = setup_.loop->deadline([this] { return tcp_->next_deadline(); }, [this] { tcp_->expire(); });
}

OutboundTcp::Path OutboundEngine::path() const {
  if (tcp_) return tcp_->path();
  return {.reason = setup_.stand_ins == nullptr ? "the guest's namespace cannot be entered" : "--kernel-path=off"};
}

void OutboundEngine::follow() {
  if (!tcp_ || setup_.stand_ins->state() == StandIns::State::preparing) return;
  OutboundTcp::Path now = path();
  if (now == told_) return;
  // The stand-ins' own reason is told by the forwards.
  const std::string own = setup_.stand_ins->state() == StandIns::State::ready ? now.reason : "";
  if (!own.empty() && now.reason != told_.reason) log::warning("TCP connections of the guest take the general path: " + own);
  const bool any = now.v4 || now.v6;
  if (setup_.events->wanted())
    setup_.events->publish(PathChanged{
        .direction = FlowDirection::out, .path = any ? FlowPath::relay : FlowPath::libslirp, .reason = now.reason});
  told_ = std::move(now);
}

std::optional<Result<>> OutboundEngine::requirement() const {
  if (setup_.wanted != KernelPath::require) return Ok{};
  if (tcp_ && setup_.stand_ins->state() == StandIns::State::preparing) return std::nullopt;
  const OutboundTcp::Path now = path();
  if (now.reason.empty() && (now.v4 || now.v6)) return Ok{};
  return Error{.code = Code::unsupported,
               .what = "--kernel-path=require: " + (now.reason.empty() ? "the guest has no address" : now.reason),
               .field = "kernel-path"};
}

void OutboundEngine::add_to(HelperInfo& info) const {
  const OutboundTcp::Path now = path();
  info.kernel_path = {.wanted = mode_name(setup_.wanted), .ipv4 = now.v4, .ipv6 = now.v6, .reason = now.reason};
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

void OutboundEngine::add_to(Stats& stats) const {
  const OutboundTcp::Path now = path();
  stats.kernel_path = {.ipv4 = now.v4, .ipv6 = now.v6};
}

}  // namespace nh
