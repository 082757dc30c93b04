// SPDX-License-Identifier: BSD-3-Clause
// HelperInfo: what a running helper tells about itself; the command `info` shows all of it as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netstack/relay/kernel_path.h"

namespace nh {

struct HelperInfo {
  using Numbers = std::vector<std::pair<std::string, std::uint64_t>>;

  struct Libslirp {
    std::string version;
    unsigned config_version = 0;
    std::vector<std::string> known_bad;  ///< bugs this version is known to have; empty is good
  };
  struct Target {
    std::string kind;  ///< "pid", "netns-path", "netns-fd", "tap-fd", "tap-socket"
    std::string text;  ///< as it was named on the command line
  };
  struct Tap {
    std::string name, mac;
    unsigned mtu = 0;
    bool offload = false;
  };
  struct Net {
    std::string network, gateway, dns, guest;  ///< dns is empty when names are not served
  };

  struct Confinement {
    bool sandbox = false;
    bool seccomp = false;
    std::vector<std::string> notes;  ///< what the kernel does not offer for it
  };

  std::string version;
  Libslirp libslirp;
  std::int64_t pid = 0;
  std::int64_t agent_pid = 0;  ///< 0: there is none
  Target target;
  Tap tap;
  std::optional<Net> ipv4, ipv6;           ///< nullopt: the family is off
  std::vector<std::string> tap_addresses;  ///< what the TAP has at present
  unsigned mtu = 0;
  std::vector<std::string> resolvers;
  Numbers limits;
  Numbers counters;  ///< dotted names become nested objects: "guard.drops.arp_spoofed"
  Confinement confinement;
  std::string kernel_path_wanted;  ///< "auto", "off", "require"
  KernelPathState kernel_path;
  std::vector<std::string> notes;  ///< what does not work here, and why
};

}  // namespace nh
