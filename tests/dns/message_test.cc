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
  CHECK_FALSE(dns::answers(without_question, asked));
  without_question[3] = static_cast<std::uint8_t>(dns::Rcode::format_error);
  CHECK(dns::answers(without_question, asked));
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

}  // namespace
}  // namespace nh::test
