// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/forward_table.h"

#include <cerrno>

#include "netstack/relay/bind_error.h"
#include "src/base/limits.h"

namespace nh {

Result<Address> ForwardTable::guest_address(const ForwardSpec& spec) const {
  const Family family = spec.guest_address ? spec.guest_address->family() : spec.host_address.family();
  const AddressPlan::Net* net = plan_.net(family);
  if (net == nullptr)
    return Error{.code = Code::missing,
                 .sys_errno = EAFNOSUPPORT,
                 .what = "forwarding " + spec.text() + ": the guest has no IPv6; name an IPv4 guest address or start with IPv6",
                 .field = "guest_address"};
  if (!spec.guest_address) return net->guest;
  const Address& address = *spec.guest_address;
  if (plan_.is_ours(address) || address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified())
    return Error{.code = Code::invalid,
                 .sys_errno = EADDRNOTAVAIL,
                 .what = "forwarding " + spec.text() + ": " + address.text() + " is no address that the guest's TAP can have; " +
                         net->guest.text() + " is the one it was given",
                 .field = "guest_address"};
  return address;
}

Result<ForwardEntry> ForwardTable::add(const ForwardSpec& spec) {
  if (entries_.size() >= limits::forwards)
    return Error{.code = Code::exhausted,
                 .what = "there are " + std::to_string(limits::forwards) + " forwards already; remove one first",
                 .field = "host_port"};
  NH_LET(guest, guest_address(spec));
  const Endpoint host{spec.host_address, spec.host_port};
  ForwardEntry entry{.id = next_id_, .spec = spec, .bound = host, .guest = guest};
  if (spec.transport == Transport::udp) {
    ForwardSpec resolved = spec;
    resolved.guest_address = guest;
    NH_LET(bound, udp_.add(entry.id, resolved));
    entry.bound = bound;
  } else {
    auto bound = slirp_.add_forward(host, Endpoint{guest, spec.guest_port.value()});
    if (!bound) {
      if (bound.error().sys_errno == 0) return std::move(bound).error();
      return bind_error(bound.error().sys_errno, spec.transport, host);
    }
    entry.bound = bound.value();
  }
  ++next_id_;
  entries_.emplace(entry.id, entry);
  return entry;
}

bool ForwardTable::remove(std::uint64_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  if (found->second.spec.transport == Transport::udp)
    udp_.remove(id);
  else
    slirp_.remove_forward(found->second.bound);
  entries_.erase(found);
  return true;
}

std::vector<ForwardEntry> ForwardTable::list() const {
  std::vector<ForwardEntry> all;
  all.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) all.push_back(entry);
  return all;
}

void ForwardTable::clear() {
  while (!entries_.empty()) remove(entries_.begin()->first);
}

}  // namespace nh
