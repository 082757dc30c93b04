// SPDX-License-Identifier: BSD-3-Clause
// HostPeers: the host's side for a fuzzer: servers on the loopback of the fuzzer's private network
// that accept, echo, read nothing, close and reset, as a seeded generator says. Without them no
// connection of libslirp would get past its SYN.
#pragma once

#include <random>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::test {

class HostPeers {
 public:
  /// Listens on TCP 7777, 21, 113 and 6667 (ports for which libslirp has emulations) and UDP 7777,
  /// both families. `calm`: they only read.
  static Result<HostPeers> open(std::uint64_t seed, bool calm = false);
  /// Does a little of whatever can be done without waiting.
  void turn();
  std::uint64_t received() const { return received_; }

 private:
  HostPeers(std::uint64_t seed, bool calm) : random_(seed), calm_(calm) {}
  void accept_one(int listener);

  static constexpr std::size_t connections = 64;
  std::mt19937_64 random_;
  bool calm_;
  std::vector<UniqueFd> listeners_, datagrams_, clients_;
  std::uint64_t received_ = 0;
};

}  // namespace nh::test
