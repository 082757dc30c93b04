// SPDX-License-Identifier: BSD-3-Clause
// SlirpSockets: libslirp's host sockets in the EpollSet.
//
// Theory of operation. libslirp tells the life of each socket (register, unregister) and, once a turn, which events it
// wants of which (pollfds_fill walks all of them, O(sockets), in user space). poll(2) on that list would make the kernel
// walk it again in every turn; here the kernel keeps the set, and only changes cost a system call. Shrinking a
// registration is lazy: only an event that fired although it was not wanted, and is not wanted at the end of the turn
// either, is taken out of the set. That spares most epoll_ctl calls of a bulk transfer, whose wishes flip at each full buffer.
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

  /// libslirp opened a socket.
  void opened(int fd);
  /// libslirp is about to close it; the kernel takes it out of the epoll by itself.
  void closing(int fd);
  /// A forward's listener, of which libslirp does not tell: it is left out while listeners are paused.
  void opened_listener(int fd);
  /// Pauses all listeners (no fd is left for an accept) or resumes them.
  void pause_listeners(bool paused) { listeners_paused_ = paused; }

  /// Before pollfds_fill. Then want() for each socket that libslirp names, then end_fill().
  void begin_fill() { ++generation_; }
  void end_fill();
  /// `events`: bits of epoll(7).
  void want(int fd, std::uint32_t events);
  /// What a socket became ready for since the last clear_ready(); bits of epoll(7).
  std::uint32_t ready(int fd) const;
  bool any_ready() const { return !ready_fds_.empty() || !unwanted_fds_.empty(); }
  void clear_ready();

  std::size_t count(Kind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  /// True if one of the TCP sockets has this local endpoint. O(sockets), system calls: for rare questions.
  bool has_local(const Endpoint& endpoint) const;

 private:
  struct Entry {
    Kind kind = Kind::none;
    std::uint32_t registered = 0;  ///< what the kernel watches; 0: not in the epoll
    std::uint32_t wanted = 0;      ///< what libslirp named in `generation`
    std::uint32_t ready = 0;
    std::uint64_t generation = 0;
  };
  void on_ready(int fd, std::uint32_t events) override;
  void set_registered(int fd, Entry& entry, std::uint32_t events);

  EpollSet& epoll_;
  std::vector<Entry> entries_;  ///< by fd
  std::vector<int> ready_fds_;
  std::vector<int> unwanted_fds_;  ///< fired, but nobody wanted them
  std::size_t counts_[5] = {};
  std::uint64_t generation_ = 1;
  bool listeners_paused_ = false;
};

}  // namespace nh
