// SPDX-License-Identifier: BSD-3-Clause
// UdpErrors: what the host learns about an answer of the guest (nobody listens at the client's port any longer, no route to
// it, too large for the path), told to the guest as the ICMP or ICMPv6 error that it would have got without us. So its
// connected socket sees ECONNREFUSED, and its path MTU discovery works. At most limits::icmp_errors_per_second.
#pragma once

#include <cstdint>

#include "netstack/frame/builder.h"
#include "src/base/clock.h"

namespace nh {

class UdpErrors {
 public:
  UdpErrors(const Clock& clock, FrameSink& sink, unsigned mtu) : clock_(clock), sink_(sink), mtu_(mtu) {}

  enum class Told : std::uint8_t {
    yes,
    too_many,  ///< kept back by the limit
    unknown    ///< no error that ICMP has a word for
  };
  /// `error` is the errno, `mtu` what comes with EMSGSIZE.
  Told tell(const LinkPath& link, const SentDatagram& datagram, const Address& reporter, int error, std::uint32_t mtu);

 private:
  const Clock& clock_;
  FrameSink& sink_;
  unsigned mtu_;
  Instant window_{};
  std::uint32_t in_window_ = 0;
};

}  // namespace nh
