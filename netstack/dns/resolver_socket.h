// SPDX-License-Identifier: BSD-3-Clause
// ResolverSocket: one query to one resolver, over UDP or TCP, on a socket of its own.
//
// The socket is connected, its port is chosen by the kernel at random and its id is random, so that a forged answer must guess
// both (RFC 5452 9). Answers that do not match are counted and ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "netstack/dns/resolv_conf.h"
#include "src/base/unique_fd.h"
#include "src/loop/epoll_set.h"

namespace nh {

enum class Via : std::uint8_t { udp, tcp };

/// Random query ids, from getrandom(2) many at a time.
class RandomIds {
 public:
  std::uint16_t next();

 private:
  std::vector<std::uint16_t> stock_;
};

class ResolverSocket : public EpollSet::Handler {
 public:
  /// Called once with the outcome; may destroy the socket from within the call.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The answer matches the query. Its id is the socket's; the bytes are valid during the call.
    virtual void on_answer(ResolverSocket& socket, MutableBytes answer) = 0;
    /// Refused, unreachable, reset, or malformed answers.
    virtual void on_failure(ResolverSocket& socket) = 0;
    /// An answer that does not match was ignored.
    virtual void on_ignored_answer() = 0;
  };

  struct Request {
    EpollSet* epoll;
    Owner* owner;
    NameServer server;
    std::uint16_t port;
    std::optional<Address> source;           ///< where to bind, of the server's family
    const std::vector<std::uint8_t>* query;  ///< outlives the socket; its id is replaced on the wire by `id`
    std::uint16_t id;
  };
  /// Sends the query, or begins to connect. Errors: exhausted: no fd or memory is left; others: the server cannot be reached.
  static Result<std::unique_ptr<ResolverSocket>> ask(Via via, const Request& request);

  ~ResolverSocket() override;
  ResolverSocket(const ResolverSocket&) = delete;
  ResolverSocket& operator=(const ResolverSocket&) = delete;

  const NameServer& server() const { return request_.server; }
  /// Sends the query again, if that makes sense (UDP).
  virtual void ask_again() {}

 protected:
  explicit ResolverSocket(const Request& request) : request_(request) {}
  Result<> connect(int type, std::uint32_t events);
  std::vector<std::uint8_t> query_on_wire() const;
  bool fits(Bytes answer) const;

  Request request_;
  UniqueFd fd_;
  bool watched_ = false;
};

}  // namespace nh
