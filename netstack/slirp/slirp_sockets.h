// SPDX-License-Identifier: BSD-3-Clause
// SlirpSockets: libslirp's host sockets in the EpollSet.
//
// Theory of operation. libslirp announces each socket (register_poll_fd, unregister_poll_fd) and, once a turn of the loop, names
// the events that it wants of each (pollfds_fill walks all sockets, O(sockets), in user space). With poll(2) on that list the
// kernel would walk it again in every turn. With epoll(7) the kernel keeps the set, and only a change costs a system call.
// Events are added to a registration at once, but removed lazily: only when an event fired that libslirp did not want, and still
// does not want at the end of the turn. That spares most epoll_ctl(2) calls of a bulk transfer, where the wanted events change
// whenever a buffer fills up or drains.
//
// Ownership: libslirp owns the descriptors. Entries are indexed by descriptor.
#pragma once

#include <cstdint>
#include <vector>

#include "src/base/address.h"
#include "src/loop/epoll_set.h"

namespace nh {

class SlirpSockets final : private EpollSet::Handler {
 public:
  enum class Kind : std::uint8_t { none, tcp, udp, icmp, listener };

  /// `epoll` must outlive it.
  explicit SlirpSockets(EpollSet& epoll) : epoll_(epoll) {}
  ~SlirpSockets() override = default;
  SlirpSockets(const SlirpSockets&) = delete;
  SlirpSockets& operator=(const SlirpSockets&) = delete;

  /// libslirp has opened a socket. A negative `fd` is ignored: libslirp 4.7 announces a UDP socket also when socket(2) failed.
  void opened(int fd);
  /// libslirp is about to close it, whereupon the kernel removes it from the epoll. Ignored if it was not opened().
  void closing(int fd);
  /// As opened(), for the listener of a forward: no event is wanted of it while listeners are paused.
  void opened_listener(int fd);
  bool is_listener(int fd) const;
  /// Pauses all listeners or resumes them: while no descriptor is left, accept(2) would fail.
  void pause_listeners(bool paused) { listeners_paused_ = paused; }

  /// Before pollfds_fill. Then want() for each socket that libslirp names, then end_fill().
  void begin_fill() { ++generation_; }
  void end_fill();
  /// `events`: bits of epoll(7). A socket that was never opened() is taken as opened now; a negative `fd` is ignored.
  void want(int fd, std::uint32_t events);
  /// Events since the last clear_ready(), bits of epoll(7); 0 for an unknown `fd`.
  std::uint32_t ready(int fd) const;
  bool any_ready() const { return !ready_fds_.empty() || !unwanted_fds_.empty(); }
  void clear_ready();

  std::size_t count(Kind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  /// Whether one of the TCP sockets has this local endpoint. O(sockets), one system call each.
  bool has_local(const Endpoint& endpoint) const;

 private:
  struct Entry {
    Kind kind = Kind::none;
    std::uint32_t registered = 0;  ///< events that the kernel watches; 0: not in the epoll
    std::uint32_t wanted = 0;      ///< events that libslirp named in `generation`
    std::uint32_t ready = 0;
    std::uint64_t generation = 0;  ///< the fill that `wanted` is of
  };
  /// nullptr: `fd` was not opened.
  const Entry* find(int fd) const;
  void on_ready(int fd, std::uint32_t events) override;
  void set_registered(int fd, Entry& entry, std::uint32_t events);

  EpollSet& epoll_;
  std::vector<Entry> entries_;  ///< by fd
  std::vector<int> ready_fds_;
  std::vector<int> unwanted_fds_;  ///< had an event that libslirp did not want
  std::size_t counts_[5] = {};
  std::uint64_t generation_ = 1;
  bool listeners_paused_ = false;
};

}  // namespace nh
