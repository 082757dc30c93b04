// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_errors.h"

#include <cerrno>
#include <optional>

#include "src/base/limits.h"

namespace nh {
namespace {

// icmp_err_convert of the kernel's net/ipv4/icmp.c and icmpv6_err_convert of net/ipv6/icmp.c, backwards.
std::optional<Unreachable> kind_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Unreachable::port;
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return Unreachable::host;
    case ENETUNREACH:
    case ENONET:
      return Unreachable::net;
    case EACCES:
    case EPERM:
      return Unreachable::prohibited;
    default:
      return std::nullopt;
  }
}

}  // namespace

UdpErrors::Told UdpErrors::tell(const LinkPath& link, const SentDatagram& datagram, const Address& reporter, int error,
                                std::uint32_t mtu) {
  const auto kind = kind_of(error);
  // The smallest MTUs of RFC 791 3.2 and RFC 8200 5. One that is no smaller than the guest's own tells it nothing.
  const std::uint32_t least = reporter.is_v4() ? 68 : 1280;
  const bool too_big = error == EMSGSIZE && mtu >= least && mtu < mtu_;
  if (!kind && !too_big) return Told::unknown;
  const Instant now = clock_.now();
  if (now - window_ >= std::chrono::seconds(1)) {
    window_ = now;
    in_window_ = 0;
  }
  if (in_window_ >= limits::icmp_errors_per_second) return Told::too_many;
  ++in_window_;
  if (kind)
    send_unreachable(sink_, link, datagram, reporter, *kind);
  else
    send_too_big(sink_, link, datagram, reporter, mtu);
  return Told::yes;
}

}  // namespace nh
