// SPDX-License-Identifier: BSD-3-Clause
// Whatever is in a query or an answer reaches the other side byte by byte, but for the id.
#include <array>

#include "netstack/dns/dns_forwarder.h"
#include "src/base/limits.h"
#include "tests/dns/fake_resolver.h"

namespace nh::test {
namespace {

struct Sample {
  std::string what;
  Message message;
};

Message with_byte(Message message, std::size_t at, std::uint8_t byte) {
  message.at(at) = byte;
  return message;
}

Message with_opcode(Message message, unsigned opcode) {
  message[2] = static_cast<std::uint8_t>(opcode << 3);
  return message;
}

Message with_class(Message message, std::uint8_t qclass) {
  return with_byte(message, message.size() - 1, qclass);
}

Message with_tail(Message message, std::initializer_list<std::uint8_t> tail) {
  message.insert(message.end(), tail);
  return message;
}

// What resolvers get from real clients, from newer ones than we are, and from tools that try them.
std::vector<Sample> samples() {
  const Message plain = query(7, "a.example");
  const Message no_question = Message(plain.begin(), plain.begin() + dns::header_size);
  const std::string label(63, 'l');
  const std::string long_name =
      label + "." + label + "." + label + "." + std::string(61, 'l');  // 255 bytes with its lengths
  const Message edns = with_opt(plain, 1232);
  const std::size_t version = plain.size() + 6, flags = plain.size() + 7;
  std::vector<Sample> all{
      {"root", query(7, "")},
      {"a label of 63", query(7, label)},
      {"a name of 255", query(7, long_name)},
      {"a name of 257", query(7, long_name + ".l")},
      {"mixed case", query(7, "a.ExAMpLe")},
      {"any bytes in labels", query(7, std::string("\0\xff \\@", 5) + ".example")},
      {"class CH", with_class(plain, 3)},
      {"class ANY", with_class(plain, 255)},
      {"type ANY", with_byte(plain, plain.size() - 3, 255)},
      {"all flags but QR", with_byte(with_byte(plain, 2, 0x07), 3, 0xff)},
      {"trailing bytes", with_tail(plain, {1, 2, 3})},
      {"no question", with_byte(no_question, 5, 0)},
      {"no question, an option", with_opt(with_byte(no_question, 5, 0), 1232, "cookie")},
      {"a question that is not there", no_question},
      {"65535 questions", with_byte(with_byte(plain, 4, 0xff), 5, 0xff)},
      {"two questions", with_tail(with_byte(plain, 5, 2), {1, 'b', 0, 0, 28, 0, 1})},
      {"two questions, the second compressed", with_tail(with_byte(plain, 5, 2), {0xc0, 12, 0, 28, 0, 1})},
      {"a compressed name", with_byte(with_byte(plain, 12, 0xc0), 13, 12)},
      {"a label type of old", with_byte(plain, 12, 0x41)},
      {"EDNS version 1", with_byte(edns, version, 1)},
      {"EDNS flags DO and unknown ones", with_byte(with_byte(edns, flags, 0xff), flags + 1, 0xff)},
      {"an unknown option", with_opt(plain, 4096, "what is this")},
      {"NSID asked for", with_tail(with_byte(edns, edns.size() - 1, 4), {0, 3, 0, 0})},
      {"an option longer than its record", with_tail(with_byte(edns, edns.size() - 1, 4), {0, 3, 0xff, 0xff})},
      {"two OPT records", with_opt(edns, 1232)},
      {"a signature", with_record(plain, additional, 250, "signature")},
      {"records in a query", with_record(with_record(plain, answers, 1, "abcd"), authority, 6, "soa")},
  };
  for (unsigned opcode = 1; opcode < 16; ++opcode) {
    all.push_back({"opcode " + std::to_string(opcode), with_opcode(plain, opcode)});
    all.push_back({"no question, opcode " + std::to_string(opcode), with_opcode(with_byte(no_question, 5, 0), opcode)});
  }
  return all;
}

// Asks by UDP or by TCP; both for each sample.
struct Asker {
  explicit Asker(DnsFixture& its_fixture, bool over_tcp) : fixture(its_fixture) {
    if (over_tcp) stream = fixture.forwarder->tcp_client();
  }
  Message answer_to(const Message& asked) {
    if (!stream) {
      fixture.sink.frames.clear();
      fixture.ask(asked);
      return fixture.answer().payload;
    }
    const std::array<std::uint8_t, 2> size{static_cast<std::uint8_t>(asked.size() >> 8),
                                           static_cast<std::uint8_t>(asked.size())};
    REQUIRE(send(stream.get(), size.data(), size.size(), MSG_NOSIGNAL) == 2);
    REQUIRE(send(stream.get(), asked.data(), asked.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(asked.size()));
    Message input;
    const auto whole = [&] { return input.size() >= 2 && input.size() == 2 + (std::size_t{input[0]} << 8 | input[1]); };
    REQUIRE(fixture.run_until([&] {
      std::array<std::uint8_t, 4096> buffer{};
      const ssize_t got = recv(stream.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) input.insert(input.end(), buffer.begin(), buffer.begin() + got);
      return whole();
    }));
    return {input.begin() + 2, input.end()};
  }

  DnsFixture& fixture;
  UniqueFd stream;
};

TEST_CASE("a query reaches the resolver and its answer the guest, whatever is in them") {
  const bool over_tcp = GENERATE(false, true);
  DnsFixture f({"127.0.0.2"});
  Message came;
  f.resolver(0).behaviour = [&came](Bytes asked) {
    came.assign(asked.begin(), asked.end());
    return std::vector<Message>{response(asked, "and anything else")};
  };
  Asker asker(f, over_tcp);
  for (const Sample& sample : samples()) {
    INFO(sample.what << (over_tcp ? " over TCP" : " over UDP"));
    came.clear();
    CHECK(asker.answer_to(sample.message) == response(sample.message, "and anything else"));
    REQUIRE(came.size() == sample.message.size());
    dns::set_id(came, dns::id(sample.message));
    CHECK(came == sample.message);
  }
  const DnsForwarder::Counters counters = f.forwarder->counters();
  CHECK(counters.answered == samples().size());
  CHECK(counters.malformed == 0);
  CHECK(counters.answers_ignored == 0);
}

TEST_CASE("an answer without a question is an answer") {
  const bool over_tcp = GENERATE(false, true);
  const Message header{0, 7, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0};
  Message bad_version = with_opt(header, 1232);
  bad_version[dns::header_size + 5] = 1;  // the upper bits of the RCODE: BADVERS, 16
  const auto answer = GENERATE_COPY(as<Message>(), bad_version, header, with_byte(header, 3, 0x81),
                                    with_opt(with_byte(header, 3, 0x81), 1232), with_byte(header, 3, 0x8b));
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [&answer](Bytes asked) {
    Message own = answer;
    dns::set_id(own, dns::id(asked));
    return std::vector<Message>{own};
  };
  Asker asker(f, over_tcp);
  CHECK(asker.answer_to(with_opt(query(7, "a.example"), 1232)) == answer);
  CHECK(f.forwarder->counters().answered == 1);
}

TEST_CASE("the letters' case in an answer is the resolver's affair") {
  DnsFixture f({"127.0.0.2"});
  f.resolver(0).behaviour = [](Bytes asked) {
    return std::vector<Message>{response(query(dns::id(asked), "A.EXAMPLE"), "x")};
  };
  f.ask(query(7, "a.ExAmple"));
  CHECK(f.answer().payload == response(query(7, "A.EXAMPLE"), "x"));
}

}  // namespace
}  // namespace nh::test
