// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/host_peers.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "src/base/address.h"

namespace nh::test {
namespace {

Result<UniqueFd> bound(int type, const Endpoint& where) {
  UniqueFd fd(socket(where.address.is_v4() ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("opening a socket for " + where.text());
  const SockAddr name(where);
  if (bind(fd.get(), name.get(), name.length) != 0) return sys_error("binding " + where.text());
  if (type == SOCK_STREAM && listen(fd.get(), SOMAXCONN) != 0) return sys_error("listening on " + where.text());
  return fd;
}

}  // namespace

Result<HostPeers> HostPeers::open(std::uint64_t seed, bool calm) {
  HostPeers peers(seed, calm);
  for (const Family family : {Family::v4, Family::v6}) {
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{7777, 21, 113, 6667}) {
      NH_LET(listener, bound(SOCK_STREAM, {Address::loopback(family), port}));
      peers.listeners_.push_back(std::move(listener));
    }
    NH_LET(echo, bound(SOCK_DGRAM, {Address::loopback(family), 7777}));
    peers.datagrams_.push_back(std::move(echo));
  }
  return peers;
}

void HostPeers::accept_one(int listener) {
  UniqueFd client(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!client) return;
  // Closed with data unread, or with this, a connection ends by RST instead of FIN.
  const linger at_once{1, 0};
  if (!calm_ && random_() % 4 == 0) setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (clients_.size() < connections) return clients_.push_back(std::move(client));
  clients_[random_() % connections] = std::move(client);
}

void HostPeers::turn() {
  std::array<std::uint8_t, 4096> buffer;
  for (const UniqueFd& listener : listeners_) accept_one(listener.get());
  for (const UniqueFd& echo : datagrams_) {
    SockAddr from;
    const ssize_t size = recvfrom(echo.get(), buffer.data(), buffer.size(), 0, from.get(), &from.length);
    if (size >= 0) sendto(echo.get(), buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL, from.get(), from.length);
  }
  for (UniqueFd& client : clients_) {
    if (!client) continue;
    constexpr std::uint64_t only_reads = 40;
    const std::uint64_t mood = calm_ ? only_reads : random_() % 64;
    if (mood == 0) client.reset();
    if (mood == 1) shutdown(client.get(), SHUT_WR);
    if (mood < 8) continue;
    const ssize_t size = recv(client.get(), buffer.data(), buffer.size(), 0);
    if (size > 0) received_ += static_cast<std::uint64_t>(size);
    if (size > 0 && mood < 32) send(client.get(), buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
    if (mood == 63) send(client.get(), buffer.data(), buffer.size(), MSG_NOSIGNAL | MSG_OOB);
  }
}

}  // namespace nh::test
