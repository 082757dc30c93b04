// SPDX-License-Identifier: BSD-3-Clause
// StandIns: where relays get their guest-side sockets from. netstack asks; whoever has a hand in the guest's namespace
// (the guest agent's link) answers.
//
// A stand-in is a TCP socket of the guest's network namespace that speaks to the guest with the far end's address
// (IP_TRANSPARENT), and whose packets are steered (netlink/steering.h). The same interface serves forwards (the stand-in is the
// forward's client) and outbound connections (it is the server that the guest has dialled). Which stand-ins can be had at present is
// said by KernelPath (kernel_path.h): while it is preparing, what asks for a stand-in waits; of a family that it does not name, and
// when it is off, the calls fail at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

class StandIns {
 public:
  /// Called from the loop with what was asked for, once, never after cancel(). The calls that take it never call it themselves.
  using Done = std::function<void(Result<UniqueFd>)>;
  /// What a call that asks for a socket gives.
  struct Opening {
    std::optional<Result<UniqueFd>> result = {};  ///< the answer, if it is known at once; `done` is dropped then
    std::uint64_t ticket = 0;                     ///< else: for cancel(); 0 with a result
  };

  virtual ~StandIns() = default;
  /// May a stand-in have another port than it was asked for, if that one is in use?
  enum class Port : std::uint8_t { may_change, must_be_kept };
  /// A non-blocking stand-in, prepared (stream_socket.h prepare_stream), bound to `guest_peer` (port 0: any), its connect(2) to
  /// `guest` begun: EPOLLOUT tells the end, SO_ERROR the outcome. Both have one family. Errors: what bind(2) or connect(2) said at
  /// once (sys_errno), exhausted, gone (the kernel path is off), timeout.
  virtual Opening open(const Endpoint& guest_peer, const Endpoint& guest, Port port, Done done) = 0;
  /// The steering does not do what it should: it is repaired and proved again. KernelPath has the outcome when `done` is called,
  /// later and once, never after drop_check(). One check at a time.
  virtual void check(std::function<void()> done) = 0;
  virtual void drop_check() = 0;
  /// A socket of the guest's namespace that is bound to `at` and, for TCP, listens: for what guest programs are to reach on
  /// their own side. Not a stand-in: an ordinary address of the guest, its loopback included; to be had whatever KernelPath says.
  enum class Kind : std::uint8_t { tcp_listener, udp };
  virtual Opening listen(Kind kind, const Endpoint& at, Done done) = 0;
  /// A UDP socket bound to `guest_peer` and connected to `guest`, which may be the guest's loopback.
  virtual Opening open_udp(const Endpoint& guest_peer, const Endpoint& guest, Done done) = 0;
  /// A ticket that has had its answer is ignored.
  virtual void cancel(std::uint64_t ticket) = 0;
};

}  // namespace nh
