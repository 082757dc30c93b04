// SPDX-License-Identifier: BSD-3-Clause
// A program of the guest's that tells whom it sees: each TCP connection is sent its peer's "address:port" and a newline, then
// what it sends is sent back; each datagram is answered with its sender.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "tests/agent/guest_network.h"

namespace nh::test {

class GuestService {
 public:
  /// Answers once all are bound. With IPV6_V6ONLY.
  GuestService(const Guest& guest, std::vector<Endpoint> tcp, std::vector<Endpoint> udp = {}) {
    Pipe ready;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      try {
        in_guest(guest, [&] { serve(tcp, udp, ready); });
      } catch (const Failed& failed) {
        if (write(ready.write_end.get(), failed.text.data(), failed.text.size()) < 0) _exit(2);
      }
      _exit(0);
    }
    ready.write_end.reset();
    std::array<char, 1024> text{};
    const ssize_t size = read(ready.read_end.get(), text.data(), text.size());
    if (size != 1 || text[0] != '+')
      throw Failed{"a service of the guest: " + std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0)};
  }
  GuestService(const GuestService&) = delete;
  GuestService& operator=(const GuestService&) = delete;
  ~GuestService() {
    // in_guest() has put a child in between, which goes with it.
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  static void serve(const std::vector<Endpoint>& tcp, const std::vector<Endpoint>& udp, const Pipe& ready) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    std::vector<pollfd> fds;
    const auto open = [&](const Endpoint& at, int type) {
      const int fd = socket(at.address.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
      const int on = 1;
      if (at.address.is_v6()) EXPECT(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
      EXPECT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
      const SockAddr name(at);
      EXPECT(bind(fd, name.get(), name.length) == 0);
      EXPECT(type == SOCK_DGRAM || listen(fd, 16) == 0);
      fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    };
    for (const Endpoint& at : tcp) open(at, SOCK_STREAM);
    for (const Endpoint& at : udp) open(at, SOCK_DGRAM);
    EXPECT(write(ready.write_end.get(), "+", 1) == 1);
    const std::size_t listeners = tcp.size(), bound = fds.size();
    while (true) {
      EXPECT(poll(fds.data(), fds.size(), -1) > 0);
      const std::size_t present = fds.size();
      for (std::size_t i = 0; i < present; ++i) {
        if (fds[i].revents == 0) continue;
        std::array<char, 4096> data{};
        SockAddr peer;
        if (i < listeners) {
          const int fd = accept4(fds[i].fd, peer.get(), &peer.length, SOCK_CLOEXEC);
          const std::string text = EXPECT_OK(peer.endpoint()).text() + "\n";
          EXPECT(send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
          fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
        } else if (i < bound) {
          if (recvfrom(fds[i].fd, data.data(), data.size(), 0, peer.get(), &peer.length) < 0) continue;
          const std::string text = EXPECT_OK(peer.endpoint()).text() + "\n";
          sendto(fds[i].fd, text.data(), text.size(), 0, peer.get(), peer.length);
        } else {
          const ssize_t size = recv(fds[i].fd, data.data(), data.size(), 0);
          if (size > 0 && send(fds[i].fd, data.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size) continue;
          UniqueFd ended(fds[i].fd);
          fds[i].fd = -1;
        }
      }
    }
  }

  pid_t pid_ = -1;
};

}  // namespace nh::test
