// SPDX-License-Identifier: BSD-3-Clause
// UdpSendQueue: datagrams on their way to clients, or through stand-ins to the guest, sent many at a time.
//
// Theory of operation. put() copies a datagram; neighbours with one way and one size become one message (UDP_SEGMENT,
// udp(7)), and flush() hands the messages over by sendmmsg(2). A message that a path does not take in this form (segments
// beyond its MTU, a tunnel without checksums) is sent again datagram by datagram. An error that an earlier datagram has
// left on the socket is not the next one's: that is tried twice. What the kernel does not take then is lost and told.
//
// Nothing stays beyond a turn: whoever puts flushes at its end, and before a descriptor in the queue is closed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "netstack/udp/udp_socket.h"

namespace nh {

class UdpSendQueue {
 public:
  /// Told which datagrams of `owner` were lost; may not use the queue.
  class Losses {
   public:
    virtual ~Losses() = default;
    virtual void lost(std::uint64_t owner, std::size_t datagrams) = 0;
  };

  /// Which socket sends, and with which addresses.
  struct Way {
    int fd = -1;
    Family family = Family::v4;  ///< of the socket
    bool connected = false;      ///< then the rest is not looked at
    Endpoint remote;
    std::uint32_t scope = 0;  ///< interface of a link-local remote
    Address local;
    friend bool operator==(const Way&, const Way&) = default;
  };

  explicit UdpSendQueue(Losses& losses);
  ~UdpSendQueue();
  UdpSendQueue(const UdpSendQueue&) = delete;
  UdpSendQueue& operator=(const UdpSendQueue&) = delete;
  /// `payload` is at most limits::datagram bytes. Flushes first if there is no room.
  void put(std::uint64_t owner, const Way& way, Bytes payload);
  void flush();

 private:
  static constexpr std::size_t messages = 64;
  static constexpr std::size_t room = 256 * 1024;  ///< bytes; full-size datagrams of a batch of the TAP, and some
  struct Message {
    std::uint64_t owner = 0;
    Way way;
    std::size_t begin = 0, size = 0;  ///< in the buffer
    std::size_t segment = 0;          ///< bytes of the first datagram
    std::size_t count = 0;            ///< datagrams
  };
  struct Prepared;

  bool joins(const Message& last, std::uint64_t owner, const Way& way, Bytes payload) const;
  void send(std::size_t first, std::size_t end);
  void send_apart(const Message& message);
  msghdr prepare(Prepared& parts, const Message& message) const;

  Losses& losses_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t used_ = 0;
  std::array<Message, messages> queue_;
  std::unique_ptr<Prepared[]> prepared_;
  std::array<mmsghdr, messages> headers_{};
  std::size_t count_ = 0;
};

}  // namespace nh
