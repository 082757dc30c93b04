// SPDX-License-Identifier: BSD-3-Clause
// FrameMaker: frames of an ill-meaning guest, from a seeded random generator: structured, so that
// they get past the first length check, and spoilt in one or two places. With answers() from the
// network side it leads TCP connections on, so that segments hit every state behind the handshake.
#pragma once

#include <array>
#include <random>
#include <vector>

#include "tests/support/frames.h"

namespace nh::test {

class FrameMaker {
 public:
  explicit FrameMaker(std::uint64_t seed) : random_(seed) {}

  /// The next frame the guest sends.
  Frame next();
  /// A frame that came for the guest: what TCP connections know of the other side.
  void answer(Bytes frame);
  /// Well-formed announcements of the guest's addresses: without them nothing is ever sent to it.
  static std::vector<Frame> announcements();

  std::size_t established() const { return established_; }

 private:
  struct Flow {
    Endpoint guest, far;
    std::uint32_t next = 0, acknowledged = 0;
    bool open = false;
  };
  static constexpr std::size_t flows = 12;

  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : static_cast<std::size_t>(random_() % bound); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& pick(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  Frame bytes(std::size_t size);
  std::size_t payload_size();
  Address source(bool v4);
  Address destination(bool v4);
  std::uint16_t port();
  Frame make_tcp();
  Frame make_udp();
  Frame make_icmp();
  Frame make_arp();
  Frame make_dhcp();
  Frame make_error();
  Frame make_junk();
  void spoil(Frame& frame);

  std::mt19937_64 random_;
  std::array<Flow, flows> flows_;
  std::vector<Frame> pending_;  ///< fragments still to be sent
  std::size_t established_ = 0;
};

}  // namespace nh::test
