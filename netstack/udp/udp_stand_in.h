// SPDX-License-Identifier: BSD-3-Clause
// UdpStandIn: one client of a UDP forward whose service listens on the guest's loopback, where no frame can go: a socket of
// the guest's namespace, bound to the address that the client appears with and connected to the service (stand_ins.h).
//
// Opening takes a message to the agent and back; datagrams that arrive meanwhile wait, bounded for all stand-ins together.
// The guest's "port unreachable" ends it. Owns the socket, and the ticket as long as there is none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "netstack/relay/flow.h"
#include "netstack/relay/stand_ins.h"
#include "netstack/udp/udp_send_queue.h"
#include "src/loop/epoll_set.h"

namespace nh {

/// What all stand-ins of a UdpForward share; outlives them.
struct UdpStandInShared {
  EpollSet* epoll;
  StandIns* stand_ins;
  UdpBatch* batch;
  UdpSendQueue* queue;
  std::size_t waiting_bytes = 0;  ///< of all datagrams that wait
};

class UdpStandIn final : private EpollSet::Handler {
 public:
  struct Events {
    std::function<void()> opened;       ///< not called from open()
    std::function<void(Bytes)> answer;  ///< a datagram of the guest
    std::function<void(FlowEnd)> end;   ///< it is of no use any longer; may destroy it
  };

  UdpStandIn(UdpStandInShared& shared, std::uint64_t owner, Events events);
  ~UdpStandIn() override;
  UdpStandIn(const UdpStandIn&) = delete;
  UdpStandIn& operator=(const UdpStandIn&) = delete;

  /// nullopt: under way or done; else why not. Called once, first.
  std::optional<FlowEnd> open(const Endpoint& guest_peer, const Endpoint& guest);
  /// To the guest. False: there was no place to wait (limits::udp_waiting_bytes).
  bool send(Bytes payload);
  bool is_open() const { return socket_.has_value(); }

 private:
  void on_ready(int fd, std::uint32_t events) override;
  void opened(Result<UniqueFd> result);
  std::optional<FlowEnd> start(Result<UniqueFd> result);
  void forward(Bytes payload);
  void drop_waiting();
  void end(FlowEnd why);

  UdpStandInShared& shared_;
  std::uint64_t owner_;
  Events events_;
  std::optional<UdpSocket> socket_;
  std::uint64_t ticket_ = 0;
  std::vector<std::vector<std::uint8_t>> waiting_;
};

}  // namespace nh
