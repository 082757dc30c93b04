// SPDX-License-Identifier: BSD-3-Clause
// DnsTcpServer: the listeners on the host's loopback to which libslirp connects the guest's DNS connections.
//
// Any program of the host could connect there. Only peers that is_own_flow knows as sockets of our libslirp are served; others,
// and connections beyond limits::dns_tcp_clients, are closed at once and counted.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "netstack/dns/tcp_client.h"

namespace nh {

class DnsTcpServer {
 public:
  struct Setup {
    EpollSet* epoll;
    const Clock* clock;
    QueryTable* queries;                                    ///< must outlive the server
    std::function<bool(const Endpoint& peer)> is_own_flow;  ///< empty: nobody is served
  };
  explicit DnsTcpServer(Setup setup);
  ~DnsTcpServer();
  DnsTcpServer(const DnsTcpServer&) = delete;
  DnsTcpServer& operator=(const DnsTcpServer&) = delete;

  /// Opens both listeners; one that the host has no address for is left out.
  Result<> open();
  std::optional<Endpoint> listener(Family family) const;

  /// Serves a connected, non-blocking stream socket whose peer is the guest. Closed at once beyond limits::dns_tcp_clients.
  void serve(UniqueFd fd);

  Instant next_deadline() const;
  void expire();

  std::size_t clients() const { return clients_.size(); }
  std::uint64_t refused() const { return refused_; }
  const DnsTcpCounters& counters() const { return counters_; }

 private:
  class Listener;
  Result<> open(Family family);
  void accepted(UniqueFd fd, const SockAddr& peer);

  Setup setup_;
  std::unique_ptr<Listener> v4_, v6_;
  std::unordered_map<std::uint64_t, std::unique_ptr<DnsTcpClient>> clients_;
  std::uint64_t last_client_ = 0;
  std::uint64_t refused_ = 0;
  DnsTcpCounters counters_;
};

}  // namespace nh
