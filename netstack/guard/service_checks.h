// SPDX-License-Identifier: BSD-3-Clause
// Checks of the messages to libslirp's services, whose parsers have had memory faults: ARP (CVE-2020-29130), BOOTP and DHCP
// (CVE-2021-3592), TFTP (CVE-2021-3595; all of it is dropped), DHCPv6.
#pragma once

#include <optional>

#include "netstack/frame/packet.h"
#include "netstack/guard/source_rule.h"
#include "netstack/plan/address_plan.h"

namespace nh {

/// For ether type ARP (RFC 826): requests for our addresses, announcements, and replies of the
/// guest about itself pass.
std::optional<DropReason> check_arp(const Packet& packet, const AddressPlan& plan, const SourceRule& sources);

/// For UDP. A datagram that is for no service of libslirp passes.
std::optional<DropReason> check_services(const Packet& packet, const AddressPlan& plan);

}  // namespace nh
