// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/forward_table.h"

namespace nh {
namespace {

ForwardEntry entry_of(const RuleEntry& rule) {
  const ListenerEntry& listener = rule.listeners.front();
  const ForwardSpec spec{.transport = listener.transport,
                         .host_address = listener.host.address,
                         .host_port = listener.host.port,
                         .guest_address = rule.spec.guest_address,
                         .guest_port = Port::from(listener.guest.port).value()};
  return {.id = rule.id, .spec = spec, .bound = listener.host, .guest = listener.guest.address};
}

}  // namespace

Result<ForwardEntry> ForwardTable::add(const ForwardSpec& spec) {
  RuleSpec rule;
  rule.tcp = spec.transport == Transport::tcp;
  rule.udp = !rule.tcp;
  rule.host_address = spec.host_address;
  rule.host_ports = {{spec.host_port, spec.host_port}};
  rule.guest_address = spec.guest_address;
  rule.guest_ports = {{spec.guest_port.value(), spec.guest_port.value()}};
  NH_LET(added, rules_.add({rule}));
  return entry_of(added.front());
}

bool ForwardTable::remove(std::uint64_t id) {
  return rules_.remove({id}).ok();
}

std::vector<ForwardEntry> ForwardTable::list() const {
  std::vector<ForwardEntry> all;
  for (const RuleEntry& rule : rules_.list())
    if (rule.spec.kind == RuleSpec::Kind::forward && rule.listeners.size() == 1 &&
        rule.spec.host_side == RuleSpec::HostSide::ports)
      all.push_back(entry_of(rule));
  return all;
}

}  // namespace nh
