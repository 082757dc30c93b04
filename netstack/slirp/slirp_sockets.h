// SPDX-License-Identifier: BSD-3-Clause
// SlirpSockets: libslirp's host sockets in an epoll of their own.
//
// Theory of operation. libslirp tells the life of each socket (register, unregister) and, once a turn, which events it
// wants of which (pollfds_fill walks all of them, O(sockets), in user space). poll(2) on that list would make the kernel
// walk it again in every turn; here the kernel keeps the set, and only changes cost a system call. Shrinking a
// registration is lazy: an event that fires although it is no longer wanted takes itself out of the set. That halves the
// epoll_ctl calls of a bulk transfer, whose wishes flip at each full buffer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "src/base/address.h"
#include "src/base/unique_fd.h"

namespace nh {

class SlirpSockets {
 public:
  enum class Kind : std::uint8_t { none, tcp, udp, icmp, listener };

  static Result<SlirpSockets> create();

  /// libslirp opened a socket.
  void opened(int fd);
  /// libslirp is about to close it; the kernel takes it out of the epoll by itself.
  void closing(int fd);
  /// The socket is a listener of a forward: it is left out while listeners are paused.
  void mark_listener(int fd);
  /// Pauses all listeners (no fd is left for an accept) or resumes them.
  void pause_listeners(bool paused) { listeners_paused_ = paused; }

  /// Before pollfds_fill. Then want() for each socket that libslirp names.
  void begin_fill() { ++generation_; }
  /// `events`: bits of epoll(7).
  void want(int fd, std::uint32_t events);
  /// Asks the kernel what is ready, without waiting; ready() tells of each socket until the next collect().
  void collect();
  std::uint32_t ready(int fd) const;

  /// Readable when a socket is ready; for the main loop.
  int poll_fd() const { return epoll_.get(); }
  std::size_t count(Kind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  /// The fd that opened() named last.
  int last_opened() const { return last_opened_; }
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
  SlirpSockets() = default;
  void set_registered(int fd, Entry& entry, std::uint32_t events);

  UniqueFd epoll_;
  std::vector<Entry> entries_;  ///< by fd
  std::vector<int> ready_fds_;
  std::size_t counts_[5] = {};
  std::uint64_t generation_ = 1;
  int last_opened_ = -1;
  bool listeners_paused_ = false;
};

}  // namespace nh
