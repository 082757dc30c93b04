// SPDX-License-Identifier: BSD-3-Clause
// Resolvers of the tests: real UDP and TCP sockets on the host's loopback, answering as a test
// says.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "netstack/dns/dns_forwarder.h"
#include "netstack/dns/message.h"
#include "tests/support/frame_recorder.h"
#include "tests/support/host_socket.h"

namespace nh::test {

using Message = std::vector<std::uint8_t>;

/// A query for the A record of `name` ("a.example").
inline Message query(std::uint16_t id, std::string_view name) {
  Message message{static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id), 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    message.push_back(static_cast<std::uint8_t>(dot));
    message.insert(message.end(), name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  message.insert(message.end(), {0, 0, 1, 0, 1});
  return message;
}

/// A response to `asked` with this rcode; `mark` follows the question so that tests can tell
/// answers apart.
inline Message response(Bytes asked, std::string_view mark, dns::Rcode rcode = dns::Rcode::no_error) {
  Message message(asked.begin(), asked.end());
  message[2] |= 0x80;
  message[3] = static_cast<std::uint8_t>(0x80 | static_cast<int>(rcode));
  message.insert(message.end(), mark.begin(), mark.end());
  return message;
}

/// Offsets of the counts of the sections of records.
enum Section : std::uint8_t { answers = 6, authority = 8, additional = 10 };

/// `message` with one record more: its owner is the question's name (compressed).
inline Message with_record(Message message, Section section, std::uint8_t type, std::string_view data) {
  ++message[section + 1u];
  message.insert(message.end(), {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, static_cast<std::uint8_t>(data.size())});
  message.insert(message.end(), data.begin(), data.end());
  return message;
}

/// `message` with an OPT record (RFC 6891 6.1.2) of version 0; `option`: the data of an option 65001.
inline Message with_opt(Message message, std::uint16_t udp_size, std::string_view option = {}) {
  const auto data = static_cast<std::uint8_t>(option.empty() ? 0 : 4 + option.size());
  ++message[additional + 1u];
  message.insert(message.end(), {0, 0, 41, static_cast<std::uint8_t>(udp_size >> 8), static_cast<std::uint8_t>(udp_size), 0,
                                 0, 0, 0, 0, data});
  if (!option.empty()) message.insert(message.end(), {0xfd, 0xe9, 0, static_cast<std::uint8_t>(option.size())});
  message.insert(message.end(), option.begin(), option.end());
  return message;
}

inline std::string mark_of(Bytes message) {
  const auto asked = dns::question(message);
  const Bytes rest = asked ? message.subspan(dns::header_size + asked->size()) : Bytes();
  return {rest.begin(), rest.end()};
}

class FakeResolver {
 public:
  /// What to send for a query, any number of messages.
  using Behaviour = std::function<std::vector<Message>(Bytes asked)>;

  FakeResolver(const std::string& address, std::uint16_t port)
      : udp_(HostSocket::udp(address, port)), tcp_(HostSocket::bound(SOCK_STREAM, at(address, port))) {
    if (tcp_) REQUIRE(listen(tcp_.fd(), 16) == 0);
    behaviour = [this](Bytes asked) { return std::vector<Message>{response(asked, name)}; };
  }
  bool usable() const { return udp_ && tcp_; }
  std::uint16_t port() const { return udp_.port(); }

  /// Does what there is to do now.
  void serve() {
    while (const auto datagram = udp_.receive()) {
      queries.push_back(datagram->payload);
      sources.push_back(datagram->from);
      for (const Message& message : behaviour(datagram->payload)) udp_.send_to(datagram->from, message);
    }
    while (UniqueFd fd = tcp_.accept()) connections_.push_back({std::move(fd), {}});
    for (Connection& connection : connections_) serve(connection);
  }
  /// Ends all TCP connections without a word.
  void hang_up() { connections_.clear(); }

  Behaviour behaviour;
  std::string name = "answer";
  std::vector<Message> queries;
  std::vector<Endpoint> sources;
  std::size_t tcp_queries = 0;

 private:
  struct Connection {
    UniqueFd fd;
    Message input;
  };
  void serve(Connection& connection) {
    std::uint8_t buffer[4096];
    ssize_t size = 0;
    while ((size = recv(connection.fd.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
      connection.input.insert(connection.input.end(), buffer, buffer + size);
    while (connection.input.size() >= 2) {
      const std::size_t length = std::size_t{connection.input[0]} << 8 | connection.input[1];
      if (connection.input.size() < 2 + length) break;
      const Message asked(connection.input.begin() + 2, connection.input.begin() + 2 + static_cast<std::ptrdiff_t>(length));
      connection.input.erase(connection.input.begin(), connection.input.begin() + 2 + static_cast<std::ptrdiff_t>(length));
      ++tcp_queries;
      for (const Message& message : behaviour(asked)) {
        const std::uint8_t prefix[] = {static_cast<std::uint8_t>(message.size() >> 8),
                                       static_cast<std::uint8_t>(message.size())};
        REQUIRE(send(connection.fd.get(), prefix, sizeof prefix, MSG_NOSIGNAL | MSG_MORE) == 2);
        REQUIRE(send(connection.fd.get(), message.data(), message.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(message.size()));
      }
    }
  }

  HostSocket udp_, tcp_;
  std::list<Connection> connections_;
};

inline FakeResolver::Behaviour silent() {
  return [](Bytes) { return std::vector<Message>{}; };
}
inline FakeResolver::Behaviour failing(dns::Rcode rcode) {
  return [rcode](Bytes asked) { return std::vector<Message>{response(asked, "failure", rcode)}; };
}

/// A forwarder with resolvers on some loopback addresses, all at one port, and a guest made of
/// frames.
struct DnsFixture {
  explicit DnsFixture(const std::vector<std::string>& addresses, const std::string& resolv_conf = "") {
    for (int tries = 0; tries < 100 && !open(addresses); ++tries) resolvers.clear();
    REQUIRE(resolvers.size() == addresses.size());
    DnsSetup setup{.epoll = &epoll, .clock = &clock, .sink = &sink, .plan = plan()};
    setup.resolver_port = port;
    if (resolv_conf.empty())
      for (const std::string& address : addresses) setup.fixed.push_back(addr(address));
    else
      setup.resolv_conf = resolv_conf;
    setup.is_own_flow = [this](const Endpoint& peer) { return own(peer); };
    auto made = DnsForwarder::create(setup);
    REQUIRE(made);
    forwarder = std::move(made).value();
  }

  void ask(Bytes message, std::uint16_t guest_port = 40000, const std::string& dns = "10.0.2.3",
           const std::string& guest = "10.0.2.100") {
    Frame frame = udp(at(guest, guest_port), at(dns, 53), message);
    forwarder->take_udp(parse_packet(frame).packet);
  }
  template <class Done>
  bool run_until(Done done) {
    return until([&] {
      turn();
      return done();
    });
  }
  void turn() {
    epoll.dispatch();
    for (auto& resolver : resolvers) resolver->serve();
    if (forwarder->next_deadline() <= clock.now()) forwarder->expire();
  }
  /// The guest's `count`th answer.
  Datagram answer(std::size_t count = 1) {
    REQUIRE(run_until([&] { return sink.datagrams().size() >= count; }));
    return sink.datagrams().at(count - 1);
  }
  FakeResolver& resolver(std::size_t index) { return *resolvers.at(index); }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  ManualClock clock;
  FrameRecorder sink;
  std::uint16_t port = 0;
  std::vector<std::unique_ptr<FakeResolver>> resolvers;
  std::function<bool(const Endpoint&)> own = [](const Endpoint&) { return true; };
  std::unique_ptr<DnsForwarder> forwarder;

 private:
  // All at the port that the first one gets; false if another has it already somewhere.
  bool open(const std::vector<std::string>& addresses) {
    port = HostSocket::udp(addresses.front()).port();
    for (const std::string& address : addresses) {
      resolvers.push_back(std::make_unique<FakeResolver>(address, port));
      if (!resolvers.back()->usable()) return false;
      resolvers.back()->name = address;
    }
    return true;
  }
};

}  // namespace nh::test
