// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/message.h"

#include "tests/dns/fake_resolver.h"

namespace nh::test {
namespace {

TEST_CASE("a question is found, and nothing malformed is one") {
  const Message good = query(1, "www.example");
  REQUIRE(dns::question(good));
  CHECK(dns::question(good)->size() == good.size() - dns::header_size);
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK_FALSE(dns::question(Bytes(good).first(size)));
  }
  Message compressed = good;
  compressed[dns::header_size] = 0xc0;
  CHECK_FALSE(dns::question(compressed));
  Message two = good;
  two[5] = 2;
  CHECK_FALSE(dns::question(two));
  std::string endless;
  for (int i = 0; i < 200; ++i) endless += "a.";
  CHECK_FALSE(dns::question(query(1, endless)));
}

TEST_CASE("an answer has the query's question") {
  const Message asked = query(1, "www.example");
  CHECK(dns::answers(response(asked, "x"), asked));
  CHECK(dns::answers(response(query(1, "WWW.eXample"), "x"), asked));
  CHECK_FALSE(dns::answers(asked, asked));
  CHECK_FALSE(dns::answers(response(query(1, "www.examplf"), "x"), asked));
  CHECK_FALSE(dns::answers(response(query(1, "www.example.org"), "x"), asked));
  Message other_type = response(asked, "");
  other_type[other_type.size() - 3] = 28;
  CHECK_FALSE(dns::answers(other_type, asked));
  Message other_opcode = response(asked, "");
  other_opcode[2] |= 0x10;
  CHECK_FALSE(dns::answers(other_opcode, asked));
  Message without_question(asked.begin(), asked.begin() + dns::header_size);
  without_question[2] |= 0x80;
  without_question[5] = 0;
  CHECK(dns::answers(without_question, asked));  // says nothing, and BADVERS is in a record of its additional section
  for (const std::size_t section : {std::size_t{7}, std::size_t{9}}) {
    Message with_record = without_question;
    with_record[section] = 1;
    CHECK_FALSE(dns::answers(with_record, asked));
    with_record[3] = static_cast<std::uint8_t>(dns::Rcode::format_error);
    CHECK(dns::answers(with_record, asked));
  }
}

TEST_CASE("what is no ordinary query is answered by any response with its opcode") {
  const Message other = response(query(1, "other.example"), "x");
  Message none = query(1, "www.example"), two = none, broken = none, update = none;
  none[5] = 0;
  two[5] = 2;
  broken[dns::header_size] = 0xc0;
  for (const Message& asked : {none, two, broken}) {
    CHECK(dns::answers(other, asked));
    CHECK_FALSE(dns::answers(asked, asked));
  }
  constexpr std::uint8_t opcode_update = 5 << 3;
  update[2] |= opcode_update;
  CHECK_FALSE(dns::answers(other, update));
  CHECK(dns::answers(response(update, "x"), update));
  Message other_update = other;
  other_update[2] |= opcode_update;
  CHECK(dns::answers(other_update, update));
}

TEST_CASE("the OPT record tells how large an answer over UDP may be") {
  const Message plain = query(1, "www.example");
  CHECK(dns::udp_answer_limit(plain) == 512);
  CHECK(dns::udp_answer_limit(with_opt(plain, 4096)) == 4096);
  CHECK(dns::udp_answer_limit(with_opt(plain, 65535)) == 65535);
  CHECK(dns::udp_answer_limit(with_opt(plain, 100)) == 512);
  CHECK(dns::udp_answer_limit(with_opt(with_record(plain, additional, 250, "signature"), 1232)) == 1232);
  Message trailing = with_opt(plain, 1232);
  trailing.insert(trailing.end(), {1, 2, 3});
  CHECK(dns::udp_answer_limit(trailing) == 1232);
  // Of a malformed one nothing is known.
  const Message good = with_opt(plain, 1232);
  for (std::size_t size = dns::header_size; size < good.size(); ++size) {
    INFO(size);
    CHECK(dns::udp_answer_limit(Bytes(good).first(size)) == dns::largest_message);
  }
}

TEST_CASE("a truncated answer has whole records, the right counts and its OPT record") {
  const bool edns = GENERATE(false, true);
  const Message asked = query(1, "www.example");
  Message answer = response(asked, "");
  for (int i = 0; i < 50; ++i) answer = with_record(answer, answers, 1, "abcd");
  for (int i = 0; i < 50; ++i) answer = with_record(answer, authority, 2, "abcd");
  answer = with_record(answer, additional, 1, "abcd");
  if (edns) answer = with_opt(answer, 1232, "cookie");
  CHECK(dns::truncated(answer, answer.size()).size() < answer.size());  // glue is left out
  const std::size_t record = 16, opt = edns ? 21 : 0;
  for (std::size_t size = 512; size < 1800; size += 7) {
    INFO(size);
    const Message cut = dns::truncated(answer, size);
    CHECK(cut.size() <= size);
    const std::size_t fit = std::min<std::size_t>(100, (size - asked.size() - opt) / record);
    REQUIRE(cut.size() == asked.size() + fit * record + opt);
    CHECK(int{cut[2]} == (answer[2] | 0x02));
    CHECK(int{cut[3]} == int{answer[3]});
    CHECK(int{cut[5]} == 1);
    CHECK(cut[7] == std::min<std::size_t>(50, fit));
    CHECK(cut[9] == fit - std::min<std::size_t>(50, fit));
    CHECK(int{cut[11]} == (edns ? 1 : 0));
    CHECK(std::equal(cut.begin() + dns::header_size, cut.end() - static_cast<std::ptrdiff_t>(opt),
                     answer.begin() + dns::header_size));
    CHECK(std::equal(cut.end() - static_cast<std::ptrdiff_t>(opt), cut.end(),
                     answer.end() - static_cast<std::ptrdiff_t>(opt)));
  }
}

TEST_CASE("of an answer that cannot be read, or whose questions do not fit, the header is left") {
  Message broken = response(query(1, "www.example"), "");
  broken[7] = 1;
  broken.insert(broken.end(), 600, 0xff);
  Message long_question = query(1, "www.example");
  long_question[4] = 1;  // 257 questions
  for (int i = 0; i < 256; ++i) long_question.insert(long_question.end(), {1, 'a', 0, 0, 1, 0, 1});
  for (const Message& answer : {broken, response(long_question, "")}) {
    const Message cut = dns::truncated(answer, 512);
    CHECK(cut == Message{0, 1, 0x83, 0x80, 0, 0, 0, 0, 0, 0, 0, 0});
  }
}

TEST_CASE("an error of our own repeats id and question") {
  const Message asked = query(0x1234, "www.example");
  const Message reply = dns::error_reply(asked, dns::Rcode::server_failure);
  CHECK(dns::id(reply) == 0x1234);
  CHECK(dns::answers(reply, asked));
  CHECK(dns::rcode(reply) == dns::Rcode::server_failure);
  CHECK(reply.size() == asked.size());
  const Message header_only = dns::error_reply(Bytes(asked).first(dns::header_size), dns::Rcode::format_error);
  CHECK(header_only.size() == dns::header_size);
  CHECK(int{header_only[5]} == 0);
}

TEST_CASE("an error of our own has an OPT record if the query has one") {
  const Message asked = query(0x1234, "www.eXample");
  Message with = with_opt(asked, 4096, "cookie");
  const std::size_t dnssec_ok = asked.size() + 7;
  with[dnssec_ok] = GENERATE(as<std::uint8_t>(), 0x00, 0x80);
  const Message reply = dns::error_reply(with, dns::Rcode::server_failure);
  CHECK(dns::answers(reply, with));
  CHECK(int{reply[11]} == 1);
  Message expected = with_opt(asked, 1232);  // without its option, with our size
  expected[dnssec_ok] = with[dnssec_ok];
  CHECK(Message(reply.begin() + dns::header_size, reply.end()) ==
        Message(expected.begin() + dns::header_size, expected.end()));
}

}  // namespace
}  // namespace nh::test
