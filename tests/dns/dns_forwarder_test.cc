// SPDX-License-Identifier: BSD-3-Clause
// DNS over UDP: from the guest's frames to resolvers of the test and back.
#include "netstack/dns/dns_forwarder.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include "src/base/limits.h"
#include "tests/dns/fake_resolver.h"

namespace nh::test {
namespace {

TEST_CASE("a query is answered from the DNS address, with its own id, to the MAC that asked") {
  const bool v4 = GENERATE(true, false);
  DnsFixture f({"127.0.0.2"});
  f.ask(query(0x4242, "a.example"), 40000, v4 ? "10.0.2.3" : "fd00::3", v4 ? "10.0.2.100" : "fd00::100");
  const Datagram answer = f.answer();
  CHECK(answer.from == at(v4 ? "10.0.2.3" : "fd00::3", 53));
  CHECK(answer.to == at(v4 ? "10.0.2.100" : "fd00::100", 40000));
  CHECK(answer.mac_destination == guest_mac);
  CHECK(answer.mac_source == AddressPlan::gateway_mac(answer.from.address));
  CHECK(dns::id(answer.payload) == 0x4242);
  CHECK(mark_of(answer.payload) == "127.0.0.2");
  CHECK(f.forwarder->counters().answered == 1);
  CHECK(f.forwarder->counters().under_way == 0);
  CHECK(f.forwarder->next_deadline() == Instant::max());
}

TEST_CASE("each query goes out with another port and id") {
  DnsFixture f({"127.0.0.2"});
  std::set<std::uint16_t> ids, ports;
  constexpr std::size_t many = 40;
  for (std::size_t i = 0; i < many; ++i) f.ask(query(7, "a.example"), static_cast<std::uint16_t>(40000 + i));
  f.answer(many);
  for (const Message& message : f.resolver(0).queries) ids.insert(dns::id(message));
  for (const Endpoint& source : f.resolver(0).sources) ports.insert(source.port);
  CHECK(ids.size() > many - 5);
  CHECK(ports.size() == many);
  for (const Datagram& datagram : f.sink.datagrams()) CHECK(dns::id(datagram.payload) == 7);
}

TEST_CASE("IPv6-only resolvers serve a guest that asks over IPv4") {
  DnsFixture f({"::1"});
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "::1");
}

TEST_CASE("a resolver that refuses the packet gives way to the next at once") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolvers.erase(f.resolvers.begin());  // its port is closed now: ECONNREFUSED
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "127.0.0.3");
  CHECK(f.forwarder->counters().resolver_failures == 1);
  // And it is asked last from now on.
  f.ask(query(2, "b.example"));
  CHECK(mark_of(f.answer(2).payload) == "127.0.0.3");
  CHECK(f.forwarder->counters().resolver_failures == 1);
}

TEST_CASE("a silent resolver is joined by the next after a while") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolver(0).behaviour = silent();
  f.ask(query(1, "a.example"));
  REQUIRE(f.run_until([&] { return f.resolver(0).queries.size() == 1; }));
  CHECK(f.resolver(1).queries.empty());
  f.clock.advance(limits::dns_try - std::chrono::milliseconds(1));
  f.forwarder->expire();
  f.turn();
  CHECK(f.resolver(1).queries.empty());
  f.clock.advance(std::chrono::milliseconds(1));
  CHECK(f.forwarder->next_deadline() <= f.clock.now());
  CHECK(mark_of(f.answer().payload) == "127.0.0.3");
  f.ask(query(2, "b.example"));
  CHECK(mark_of(f.answer(2).payload) == "127.0.0.3");
  CHECK(f.resolver(0).queries.size() == 1);
}

TEST_CASE("a slow resolver may still win after the next was asked") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolver(0).behaviour = silent();
  f.resolver(1).behaviour = silent();
  f.ask(query(1, "a.example"));
  REQUIRE(f.run_until([&] { return f.resolver(0).queries.size() == 1; }));
  f.clock.advance(limits::dns_try);
  f.resolver(0).behaviour = [](Bytes asked) { return std::vector<Message>{response(asked, "late")}; };
  REQUIRE(f.run_until([&] { return f.resolver(1).queries.size() == 1; }));
  // Both have it and are silent: both are asked again, and the first answers now.
  f.clock.advance(limits::dns_try);
  CHECK(mark_of(f.answer().payload) == "late");
}

TEST_CASE("SERVFAIL, REFUSED and NOTIMP of one resolver: the next is asked") {
  DnsFixture f({"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"});
  f.resolver(0).behaviour = failing(dns::Rcode::server_failure);
  f.resolver(1).behaviour = failing(dns::Rcode::refused);
  f.resolver(2).behaviour = failing(dns::Rcode::not_implemented);
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "127.0.0.5");
  CHECK(f.forwarder->counters().answered == 1);
}

TEST_CASE("NXDOMAIN is an answer") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolver(0).behaviour = failing(dns::Rcode::name_error);
  f.ask(query(1, "a.example"));
  CHECK(dns::rcode(f.answer().payload) == dns::Rcode::name_error);
  CHECK(f.resolver(1).queries.empty());
}

TEST_CASE("when all refuse, the guest gets the last refusal") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolver(0).behaviour = failing(dns::Rcode::server_failure);
  f.resolver(1).behaviour = failing(dns::Rcode::refused);
  f.ask(query(9, "a.example"));
  const Datagram answer = f.answer();
  CHECK(dns::rcode(answer.payload) == dns::Rcode::refused);
  CHECK(dns::id(answer.payload) == 9);
  CHECK(f.forwarder->counters().failed == 1);
}

TEST_CASE("when nobody can be reached or all are silent, the guest gets SERVFAIL") {
  const bool closed = GENERATE(true, false);
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  for (auto& resolver : f.resolvers) resolver->behaviour = silent();
  if (closed) f.resolvers.clear();
  const Message asked = query(9, "a.example");
  f.ask(asked);
  // Bounded by the time after which a query is given up; each step is one of the forwarder's own
  // deadlines.
  const Instant end = f.clock.now() + limits::dns_give_up;
  REQUIRE(f.run_until([&] {
    if (!closed && f.forwarder->counters().under_way > 0 && f.forwarder->next_deadline() > f.clock.now())
      f.clock.advance(f.forwarder->next_deadline() - f.clock.now());
    return f.sink.datagrams().size() == 1;
  }));
  CHECK(f.clock.now() <= end);
  const Datagram answer = f.answer();
  CHECK(dns::rcode(answer.payload) == dns::Rcode::server_failure);
  CHECK(dns::answers(answer.payload, asked));
  CHECK(dns::id(answer.payload) == 9);
  CHECK(f.forwarder->counters().failed == 1);
}

TEST_CASE("answers with a wrong id or question are passed over") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [](Bytes asked) {
    Message wrong_id = response(asked, "forged");
    dns::set_id(wrong_id, static_cast<std::uint16_t>(dns::id(asked) ^ 1));
    Message wrong_question = response(query(dns::id(asked), "evil.example"), "forged");
    Message short_one(asked.begin(), asked.begin() + 5);
    Message query_back(asked.begin(), asked.end());
    return std::vector<Message>{wrong_id, wrong_question, short_one, query_back, response(asked, "true")};
  };
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "true");
  CHECK(f.forwarder->counters().answers_ignored == 4);
}

TEST_CASE("an answer from another address is not heard") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  f.ask(query(1, "a.example"));
  REQUIRE(f.run_until([&] { return f.resolver(0).queries.size() == 1; }));
  const HostSocket forger = HostSocket::udp("127.0.0.9", f.port);
  REQUIRE(forger);
  forger.send_to(f.resolver(0).sources[0], response(f.resolver(0).queries[0], "forged"));
  f.turn();
  CHECK(f.sink.frames.empty());
}

TEST_CASE("a flood of wrong answers ends the attempt, not the helper") {
  DnsFixture f({"127.0.0.2", "127.0.0.3"});
  f.resolver(0).behaviour = [](Bytes asked) {
    Message wrong = response(asked, "forged");
    dns::set_id(wrong, static_cast<std::uint16_t>(dns::id(asked) ^ 1));
    return std::vector<Message>(limits::dns_ignored_answers, wrong);
  };
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "127.0.0.3");
}

TEST_CASE("the same query while it is under way is not asked twice") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  f.ask(query(1, "a.example"));
  f.ask(query(1, "a.example"));
  f.ask(query(2, "a.example"));
  f.ask(query(1, "a.example"), 40001);
  REQUIRE(f.run_until([&] { return f.resolver(0).queries.size() == 3; }));
  f.turn();
  CHECK(f.resolver(0).queries.size() == 3);
  CHECK(f.forwarder->counters().duplicates == 1);
  CHECK(f.forwarder->counters().udp_queries == 4);
}

TEST_CASE("one socket may ask several questions with one id") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  const std::vector<Message> asked{query(7, "a.example"), query(7, "b.example"), query(7, "A.example"),
                                   with_opt(query(7, "a.example"), 1232)};
  for (const Message& message : asked) f.ask(message);
  REQUIRE(f.run_until([&] { return f.resolver(0).queries.size() == asked.size(); }));
  f.ask(asked[1]);  // a repetition
  CHECK(f.forwarder->counters().duplicates == 1);
  f.resolver(0).behaviour = [](Bytes message) { return std::vector<Message>{response(message, "late")}; };
  f.clock.advance(limits::dns_try);
  f.answer(asked.size());
  std::set<Message> told, expected;
  for (const Datagram& datagram : f.sink.datagrams()) told.insert(datagram.payload);
  for (const Message& message : asked) expected.insert(response(message, "late"));
  CHECK(told == expected);
  f.ask(asked[1]);  // not pending any more: asked again
  CHECK(f.answer(asked.size() + 1).payload == response(asked[1], "late"));
}

TEST_CASE("what is no query is dropped") {
  DnsFixture f({"127.0.0.2"});
  f.ask(text("short"));
  f.ask(response(query(1, "a.example"), "x"));
  f.turn();
  CHECK(f.sink.frames.empty());
  CHECK(f.forwarder->counters().malformed == 2);
  CHECK(f.resolver(0).queries.empty());
}

TEST_CASE("more queries than the limit are dropped and counted") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = silent();
  for (std::size_t i = 0; i < limits::dns_queries + 5; ++i) f.ask(query(static_cast<std::uint16_t>(i), "a.example"));
  CHECK(f.forwarder->counters().under_way == limits::dns_queries);
  CHECK(f.forwarder->counters().dropped_full == 5);
}

TEST_CASE("a truncated answer and one beyond the MTU reach the guest as they are") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [](Bytes asked) {
    Message truncated = response(asked, std::string(4000, 'x'));
    truncated[2] |= 0x02;
    return std::vector<Message>{truncated};
  };
  f.ask(with_opt(query(1, "a.example"), 4096));
  const Datagram answer = f.answer();
  CHECK(answer.frames == 3);
  CHECK((answer.payload[2] & 0x02) != 0);
  CHECK(mark_of(answer.payload).ends_with(std::string(4000, 'x')));
}

TEST_CASE("an answer larger than the query allows is truncated") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [](Bytes asked) {
    Message answer = response(Bytes(asked).first(query(1, "a.example").size()), "");
    answer[11] = 0;
    for (int i = 0; i < 100; ++i) answer = with_record(answer, answers, 1, "abcd");
    return std::vector<Message>{answer};
  };
  const auto [asked, limit] = GENERATE(table<Message, std::size_t>({{query(1, "a.example"), 512},
                                                                    {with_opt(query(1, "a.example"), 1232), 1232},
                                                                    {with_opt(query(1, "a.example"), 2048), 2048}}));
  f.ask(asked);
  const Message answer = f.answer().payload;
  CHECK(answer.size() <= limit);
  const bool whole = limit == 2048;
  CHECK(((answer[2] & 0x02) == 0) == whole);
  CHECK((int{answer[7]} == 100) == whole);
  CHECK(answer.size() == query(1, "a.example").size() + answer[7] * std::size_t{16});
}

class ResolvConfFile {
 public:
  explicit ResolvConfFile(const std::string& text) {
    const UniqueFd made(mkstemp(path_.data()));
    REQUIRE(made);
    replace(text);
  }
  ~ResolvConfFile() { unlink(path_.c_str()); }
  ResolvConfFile(const ResolvConfFile&) = delete;
  ResolvConfFile& operator=(const ResolvConfFile&) = delete;
  void replace(const std::string& text) const {
    std::ofstream(path_ + ".new") << text;
    REQUIRE(rename((path_ + ".new").c_str(), path_.c_str()) == 0);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/netns-helper-resolv-XXXXXX";
};

TEST_CASE("resolv.conf is followed while queries go on") {
  const ResolvConfFile file("nameserver 127.0.0.2\n");
  DnsFixture f({"127.0.0.2", "127.0.0.3"}, file.path());
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "127.0.0.2");
  file.replace("nameserver 127.0.0.3\n");
  f.clock.advance(limits::dns_resolv_check);
  f.ask(query(2, "a.example"));
  CHECK(mark_of(f.answer(2).payload) == "127.0.0.3");
}

TEST_CASE("resolv.conf's use-vc: what the guest asks over UDP is asked over TCP, and truncated if it is too large for UDP") {
  const ResolvConfFile file("nameserver 127.0.0.2\noptions use-vc\n");
  DnsFixture f({"127.0.0.2"}, file.path());
  f.ask(query(1, "a.example"));
  CHECK(mark_of(f.answer().payload) == "127.0.0.2");
  f.resolver(0).behaviour = [](Bytes asked) {
    return std::vector<Message>{response(asked, std::string(dns::largest_message - asked.size(), 'x'))};
  };
  f.ask(query(2, "a.example"));
  Message truncated = response(query(2, "a.example"), "");
  truncated[2] |= 0x02;
  CHECK(f.answer(2).payload == truncated);
  f.ask(with_opt(query(3, "a.example"), 65535));  // more than a datagram carries
  CHECK(f.answer(3).payload.size() < 100);
  CHECK(f.resolver(0).tcp_queries == 3);
  CHECK(f.resolver(0).queries.empty());
  f.resolver(0).behaviour = failing(dns::Rcode::name_error);
  file.replace("nameserver 127.0.0.2\n");
  f.clock.advance(limits::dns_resolv_check);
  f.ask(query(4, "a.example"));
  f.answer(4);
  CHECK(f.resolver(0).queries.size() == 1);
}

TEST_CASE("resolv.conf's rotate: each query begins with another resolver") {
  const ResolvConfFile file("nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions rotate\n");
  DnsFixture f({"127.0.0.2", "127.0.0.3"}, file.path());
  std::vector<std::string> answered;
  for (std::uint16_t id = 1; id <= 4; ++id) {
    f.ask(query(id, "a.example"));
    answered.push_back(mark_of(f.answer(id).payload));
    CHECK(f.forwarder->resolvers().size() == 2);  // looking does not turn it
  }
  CHECK(answered == std::vector<std::string>{"127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"});
}

TEST_CASE("resolv.conf's timeout and attempts: asks and gives up no later than the host's own programs") {
  using std::chrono::seconds;
  const auto [options, first, end] =
      GENERATE(table<std::string, Duration, Duration>({{"timeout:1 attempts:1", seconds(1), seconds(2)},
                                                       {"attempts:1 timeout:2", limits::dns_try, seconds(4)},
                                                       {"timeout:30 attempts:5", limits::dns_try, limits::dns_give_up},
                                                       {"debug", limits::dns_try, limits::dns_give_up}}));
  INFO(options);
  const ResolvConfFile file("nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions " + options + "\n");
  DnsFixture f({"127.0.0.2", "127.0.0.3"}, file.path());
  for (auto& resolver : f.resolvers) resolver->behaviour = silent();
  const Instant begin = f.clock.now();
  f.ask(query(1, "a.example"));
  CHECK(f.forwarder->next_deadline() == begin + first);
  REQUIRE(f.run_until([&] {
    if (f.forwarder->next_deadline() != Instant::max()) f.clock.advance(f.forwarder->next_deadline() - f.clock.now());
    return !f.sink.frames.empty();
  }));
  CHECK(f.clock.now() == begin + end);
  CHECK(dns::rcode(f.answer().payload) == dns::Rcode::server_failure);
}

}  // namespace
}  // namespace nh::test
