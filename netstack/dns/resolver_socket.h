// SPDX-License-Identifier: BSD-3-Clause
// ResolverSocket: one query put to one resolver, over UDP or TCP, by a socket of its own.
//
// A connected socket with a port of the kernel's random choice and a random id, so that a forged
// answer must guess both (RFC 5452 9). Answers that do not fit are counted and passed over.
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
  /// Told once; it may destroy the socket then and there.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The answer fits the query. Its id is still the socket's own; the bytes live as long as the
    /// call.
    virtual void on_answer(ResolverSocket& socket, MutableBytes answer) = 0;
    /// Refused, unreachable, reset, or talking nonsense.
    virtual void on_failure(ResolverSocket& socket) = 0;
    /// An answer that does not fit was passed over.
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
  /// Sends the query, or begins to connect. exhausted: the host has no fd or memory left; other
  /// errors: no way to this server.
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
