// SPDX-License-Identifier: BSD-3-Clause
// Forward rules in memory, and a HelperInfo, for tests of the control protocol.
#pragma once

#include <algorithm>

#include "src/control/forward_rules.h"
#include "src/control/info.h"

namespace nh::test {

class FakeRules final : public ForwardRules {
 public:
  Result<ForwardEntry> add(const ForwardSpec& spec) override {
    if (failure) return *failure;
    const std::uint16_t port = spec.host_port != 0 ? spec.host_port : std::uint16_t{40000};
    entries.push_back({++last_id,
                       spec,
                       {spec.host_address, port},
                       spec.guest_address.value_or(*Address::parse("10.0.2.100"))});
    return entries.back();
  }
  bool remove(std::uint64_t id) override {
    return std::erase_if(entries, [&](const auto& e) { return e.id == id; }) != 0;
  }
  std::vector<ForwardEntry> list() const override { return entries; }

  std::vector<ForwardEntry> entries;
  std::optional<Error> failure;
  std::uint64_t last_id = 0;
};

inline HelperInfo sample_info() {
  HelperInfo info;
  info.version = "1.2.3";
  info.libslirp = {.version = "4.7.0", .config_version = 4, .known_bad = {"CVE-2000-0001"}};
  info.pid = 42;
  info.agent_pid = 43;
  info.target = {.kind = "pid", .text = "1234"};
  info.tap = {.name = "tap0", .mac = "02:00:00:00:00:01", .mtu = 1500, .offload = true};
  info.ipv4 = HelperInfo::Net{
      .network = "10.0.2.0/24", .gateway = "10.0.2.2", .dns = "10.0.2.3", .guest = "10.0.2.100"};
  info.tap_addresses = {"10.0.2.100", "fd00::100"};
  info.mtu = 1500;
  info.resolvers = {"192.0.2.1"};
  info.limits = {{"flows", 1000}};
  info.counters = {{"guard.drops.arp_spoofed", 7}, {"guard.drops.tftp", 0}, {"tap.frames_in", 9}};
  info.notes = {"no kernel path"};
  return info;
}

}  // namespace nh::test
