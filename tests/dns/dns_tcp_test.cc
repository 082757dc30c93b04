// SPDX-License-Identifier: BSD-3-Clause
// DNS over TCP: clients of the test in the place of libslirp's sockets.
#include <set>

#include "netstack/dns/dns_forwarder.h"
#include "src/base/limits.h"
#include "tests/dns/fake_resolver.h"

namespace nh::test {
namespace {

class Client {
 public:
  explicit Client(DnsFixture& fixture, Family family = Family::v4) : fixture_(fixture) {
    const auto listener = fixture.forwarder->tcp_listener(family);
    REQUIRE(listener);
    const SockAddr address(*listener);
    fd_.reset(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(fd_.get(), address.get(), address.length) == 0);
  }
  void send_bytes(Bytes bytes) const {
    REQUIRE(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  static Message framed(const Message& message) {
    Message out{static_cast<std::uint8_t>(message.size() >> 8), static_cast<std::uint8_t>(message.size())};
    out.insert(out.end(), message.begin(), message.end());
    return out;
  }
  void ask(const Message& message) const { send_bytes(framed(message)); }
  void end_output() const { REQUIRE(shutdown(fd_.get(), SHUT_WR) == 0); }

  /// The next answer; empty when the connection was closed instead.
  Message answer() {
    Message message;
    REQUIRE(fixture_.run_until([&] {
      read();
      if (input_.size() < 2) return closed_;
      const std::size_t length = std::size_t{input_[0]} << 8 | input_[1];
      if (input_.size() < 2 + length) return closed_;
      message.assign(input_.begin() + 2, input_.begin() + 2 + static_cast<std::ptrdiff_t>(length));
      input_.erase(input_.begin(), input_.begin() + 2 + static_cast<std::ptrdiff_t>(length));
      return true;
    }));
    return message;
  }
  bool closed() {
    return fixture_.run_until([&] {
      read();
      return closed_;
    });
  }
  void read() {
    std::uint8_t buffer[65536];
    const ssize_t size = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size > 0)
      input_.insert(input_.end(), buffer, buffer + size);
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
      closed_ = true;
  }

 private:
  DnsFixture& fixture_;
  UniqueFd fd_;
  Message input_;
  bool closed_ = false;
};

TEST_CASE("queries over TCP are answered, several a connection, in both families") {
  DnsFixture f({"127.0.0.2"});
  Client client(f, GENERATE(Family::v4, Family::v6));
  for (const std::uint16_t id : {std::uint16_t{1}, std::uint16_t{2}}) {
    client.ask(query(id, "a.example"));
    const Message answer = client.answer();
    CHECK(dns::id(answer) == id);
    CHECK(mark_of(answer) == "127.0.0.2");
  }
  CHECK(f.resolver(0).tcp_queries == 2);
  CHECK(f.forwarder->counters().tcp_queries == 2);
  CHECK(f.forwarder->counters().answered == 2);
  CHECK(f.forwarder->counters().tcp_clients == 1);
}

TEST_CASE("a message may come in any pieces, and several in one") {
  DnsFixture f({"127.0.0.2"});
  Client client(f);
  const Message first = Client::framed(query(1, "a.example"));
  for (const std::uint8_t byte : first) {
    client.send_bytes({&byte, 1});
    f.turn();
  }
  CHECK(dns::id(client.answer()) == 1);
  Message two = Client::framed(query(2, "a.example"));
  const Message third = Client::framed(query(3, "b.example"));
  two.insert(two.end(), third.begin(), third.end());
  client.send_bytes(two);
  const std::set<std::uint16_t> ids{dns::id(client.answer()), dns::id(client.answer())};
  CHECK(ids == std::set<std::uint16_t>{2, 3});
}

TEST_CASE("more queries than the pipeline takes are all answered") {
  DnsFixture f({"127.0.0.2"});
  Client client(f);
  constexpr std::uint16_t many = 5 * limits::dns_tcp_pipeline;
  for (std::uint16_t id = 0; id < many; ++id) client.ask(query(id, "a.example"));
  std::set<std::uint16_t> ids;
  for (std::uint16_t i = 0; i < many; ++i) ids.insert(dns::id(client.answer()));
  CHECK(ids.size() == many);
}

TEST_CASE("no more queries of a connection are under way than the pipeline takes") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  Client client(f);
  for (std::uint16_t id = 0; id < 3 * limits::dns_tcp_pipeline; ++id) client.ask(query(id, "a.example"));
  REQUIRE(f.run_until([&] { return f.resolver(0).tcp_queries == limits::dns_tcp_pipeline; }));
  for (int i = 0; i < 10; ++i) f.turn();
  CHECK(f.forwarder->counters().under_way == limits::dns_tcp_pipeline);
}

TEST_CASE("a client that has shut down its side still gets its answers, then the end") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  Client client(f);
  client.ask(query(1, "a.example"));
  client.end_output();
  REQUIRE(f.run_until([&] { return f.resolver(0).tcp_queries == 1; }));
  for (int i = 0; i < 10; ++i) f.turn();
  CHECK(f.forwarder->counters().tcp_clients == 1);
  f.resolver(0).hang_up();  // fails now: the answer is SERVFAIL, but it is one
  CHECK(dns::rcode(client.answer()) == dns::Rcode::server_failure);
  CHECK(client.closed());
  CHECK(f.forwarder->counters().tcp_clients == 0);
}

TEST_CASE(
    "over TCP, too, the next resolver is asked when one is closed, silent, failing or talks "
    "nonsense") {
  const int kind = GENERATE(0, 1, 2, 3);
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  if (kind == 1) f.resolver(0).behaviour = silent();
  if (kind == 2) f.resolver(0).behaviour = failing(dns::Rcode::server_failure);
  if (kind == 3) f.resolver(0).behaviour = [](Bytes) { return std::vector<Message>{text("nonsense")}; };
  if (kind == 0) f.resolvers.erase(f.resolvers.begin());
  Client client(f);
  client.ask(query(1, "a.example"));
  if (kind == 1) {
    REQUIRE(f.run_until([&] { return f.resolver(0).tcp_queries == 1; }));
    f.clock.advance(limits::dns_try);
  }
  CHECK(mark_of(client.answer()) == "127.0.0.3");
}

TEST_CASE("an answer of 65535 bytes passes") {
  DnsFixture f({"127.0.0.2"});
  const Message asked = query(1, "a.example");
  const std::string filling(dns::largest_message - asked.size(), 'x');
  f.resolver(0).behaviour = [&filling](Bytes question) { return std::vector<Message>{response(question, filling)}; };
  Client client(f);
  client.ask(asked);
  CHECK(client.answer().size() == dns::largest_message);
}

TEST_CASE("a silent client and one with half a message block nobody and are closed after a while") {
  DnsFixture f({"127.0.0.2"});
  Client silent_client(f), slow(f), good(f);
  slow.send_bytes(text("\x01"));
  good.ask(query(1, "a.example"));
  CHECK(dns::id(good.answer()) == 1);
  REQUIRE(f.run_until([&] { return f.forwarder->counters().tcp_clients == 3; }));
  f.clock.advance(limits::dns_tcp_idle / 2);
  slow.send_bytes(text("\x02"));  // bytes are no progress, only whole messages are
  f.turn();
  good.ask(query(2, "a.example"));
  CHECK(dns::id(good.answer()) == 2);
  f.clock.advance(limits::dns_tcp_idle / 2);
  CHECK(f.forwarder->next_deadline() <= f.clock.now());
  CHECK(silent_client.closed());
  CHECK(slow.closed());
  CHECK(f.forwarder->counters().tcp_clients == 1);
}

TEST_CASE("a client that reads nothing is closed at its output's limit and the queries go with it") {
  DnsFixture f({"127.0.0.2"});
  const std::string filling(60000, 'x');
  f.resolver(0).behaviour = [&filling](Bytes question) { return std::vector<Message>{response(question, filling)}; };
  Client client(f);
  REQUIRE(f.run_until([&] { return f.forwarder->counters().tcp_clients == 1; }));
  std::uint16_t id = 0;
  REQUIRE(f.run_until([&] {
    const auto counters = f.forwarder->counters();
    for (std::size_t i = counters.under_way; counters.tcp_clients == 1 && i < limits::dns_tcp_pipeline; ++i)
      client.ask(query(id++, "a.example"));
    return counters.tcp_clients == 0;
  }));
  CHECK(f.forwarder->counters().under_way == 0);
}

TEST_CASE("strangers are closed at once and counted") {
  DnsFixture f({"127.0.0.2"});
  f.own = [](const Endpoint&) { return false; };
  Client stranger(f);
  stranger.ask(query(1, "a.example"));
  CHECK(stranger.closed());
  CHECK(f.forwarder->counters().tcp_refused == 1);
  CHECK(f.resolver(0).tcp_queries == 0);
}

TEST_CASE("more clients than the limit are closed at once and counted") {
  DnsFixture f({"127.0.0.2"});
  std::list<Client> clients;
  for (std::size_t i = 0; i < limits::dns_tcp_clients; ++i) clients.emplace_back(f);
  REQUIRE(f.run_until([&] { return f.forwarder->counters().tcp_clients == limits::dns_tcp_clients; }));
  Client one_more(f);
  CHECK(one_more.closed());
  CHECK(f.forwarder->counters().tcp_refused == 1);
  clients.front().ask(query(1, "a.example"));
  CHECK(dns::id(clients.front().answer()) == 1);
}

TEST_CASE("two queries with one id are two queries, and answers come in the order in which resolvers give them") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [](Bytes asked) {
    return Message(asked.begin() + 13, asked.begin() + 14) == text("s") ? std::vector<Message>{}
                                                                        : std::vector<Message>{response(asked, "")};
  };
  Client client(f);
  client.ask(query(7, "slow.example"));
  client.ask(query(7, "quick.example"));
  CHECK(client.answer() == response(query(7, "quick.example"), ""));
  f.resolver(0).hang_up();
  CHECK(dns::answers(client.answer(), query(7, "slow.example")));
}

TEST_CASE("a message that is no query is passed over, and what is pending goes on") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  Client client(f);
  client.ask(query(1, "a.example"));
  client.ask(text("x"));
  client.ask({});
  client.ask(response(query(2, "a.example"), ""));
  REQUIRE(f.run_until([&] { return f.forwarder->counters().malformed == 3 && f.resolver(0).tcp_queries == 1; }));
  f.resolver(0).behaviour = [](Bytes asked) { return std::vector<Message>{response(asked, "")}; };
  client.ask(query(3, "a.example"));
  CHECK(client.answer() == response(query(3, "a.example"), ""));
  f.resolver(0).hang_up();
  CHECK(dns::id(client.answer()) == 1);
  CHECK(f.forwarder->counters().tcp_queries == 2);
}

TEST_CASE("messages that are no query do not keep a connection open") {
  DnsFixture f({"127.0.0.2"});
  Client client(f);
  client.ask(text("x"));
  REQUIRE(f.run_until([&] { return f.forwarder->counters().malformed == 1; }));
  f.clock.advance(limits::dns_tcp_idle / 2);
  client.ask(text("y"));
  REQUIRE(f.run_until([&] { return f.forwarder->counters().malformed == 2; }));
  f.clock.advance(limits::dns_tcp_idle / 2);
  CHECK(client.closed());
}

}  // namespace
}  // namespace nh::test
