// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/message.h"

#include <algorithm>
#include <array>

namespace nh::dns {
namespace {

// Of the second 16 bits of the header: QR(1) OPCODE(4) AA TC RD | RA Z AD CD RCODE(4).
constexpr std::uint8_t response = 0x80, opcode_mask = 0x78, truncation = 0x02, recursion_desired = 0x01;
constexpr std::uint8_t recursion_available = 0x80, checking_disabled = 0x10, rcode_mask = 0x0f;
constexpr std::uint8_t opcode_query = 0;

// Offsets of the counts of questions and of the records of each section.
constexpr std::size_t question_count = 4, answer_count = 6, authority_count = 8, additional_count = 10;

constexpr std::size_t longest_label = 63, longest_name = 255;  // RFC 1035 2.3.4
constexpr std::size_t type_and_class = 4;

std::uint16_t get16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void put16(MutableBytes bytes, std::size_t at, std::size_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

std::uint8_t lower(std::uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c | 0x20) : c;
}

// A resource record (RFC 1035 4.1.3): name, type, class, TTL, length of the data, data.
struct Record {
  std::size_t start = 0, type = 0, end = 0;  // offsets in the message; `type` that of the field
};

struct Sections {
  std::size_t questions_end = 0;
  std::vector<Record> records;  // of the answer, authority and additional sections
};

// The offset behind the name at `at`. The name may end in a compression pointer (RFC 1035 4.1.4), which is not followed.
std::optional<std::size_t> name_end(Bytes message, std::size_t at) {
  constexpr std::uint8_t pointer = 0xc0;
  while (at < message.size()) {
    const std::uint8_t label = message[at];
    if (label == 0) return at + 1;
    if ((label & pointer) == pointer) return at + 2;
    if (label > longest_label) return std::nullopt;
    at += std::size_t{1} + label;
  }
  return std::nullopt;
}

// nullopt: a section is malformed. Bytes after the last record are ignored.
std::optional<Sections> sections(Bytes message) {
  constexpr std::size_t fixed_part = 10, data_length = 8;  // from the type on
  if (message.size() < header_size) return std::nullopt;
  Sections found{header_size, {}};
  for (std::size_t left = get16(message, question_count); left > 0; --left) {
    const auto end = name_end(message, found.questions_end);
    if (!end || *end + type_and_class > message.size()) return std::nullopt;
    found.questions_end = *end + type_and_class;
  }
  std::size_t at = found.questions_end;
  for (const std::size_t section : {answer_count, authority_count, additional_count}) {
    for (std::size_t left = get16(message, section); left > 0; --left) {
      const auto type = name_end(message, at);
      if (!type || *type + fixed_part > message.size()) return std::nullopt;
      const std::size_t end = *type + fixed_part + get16(message, *type + data_length);
      if (end > message.size()) return std::nullopt;
      found.records.push_back({at, *type, end});
      at = end;
    }
  }
  return found;
}

// RFC 6891 6.1.2: the class of an OPT record is the size of UDP payload that its sender takes, its TTL holds version and flags.
constexpr std::uint16_t type_opt = 41;
constexpr std::size_t opt_size_field = 2, opt_flags_field = 6;  // from the type on

const Record* opt_of(Bytes message, const Sections& in) {
  const auto found =
      std::ranges::find_if(in.records, [&](const Record& record) { return get16(message, record.type) == type_opt; });
  return found == in.records.end() ? nullptr : &*found;
}

}  // namespace

bool is_query(Bytes message) {
  return message.size() >= header_size && (message[2] & response) == 0;
}

std::uint16_t id(Bytes message) {
  return get16(message, 0);
}

void set_id(MutableBytes message, std::uint16_t id) {
  put16(message, 0, id);
}

Rcode rcode(Bytes message) {
  return static_cast<Rcode>(message[3] & rcode_mask);
}

std::optional<Bytes> question(Bytes message) {
  if (message.size() < header_size || get16(message, question_count) != 1) return std::nullopt;
  std::size_t at = header_size;
  while (true) {
    if (at >= message.size() || at - header_size >= longest_name) return std::nullopt;
    const std::size_t label = message[at++];
    if (label == 0) break;
    if (label > longest_label) return std::nullopt;
    at += label;
  }
  at += type_and_class;
  if (at > message.size()) return std::nullopt;
  return message.subspan(header_size, at - header_size);
}

bool answers(Bytes message, Bytes query) {
  if (message.size() < header_size || (message[2] & response) == 0) return false;
  if ((message[2] & opcode_mask) != (query[2] & opcode_mask)) return false;
  // The response to another opcode need not repeat the question (IQUERY, UPDATE), and what we do not understand we cannot compare.
  const auto asked = question(query);
  if ((query[2] & opcode_mask) != opcode_query || !asked) return true;
  if (get16(message, question_count) == 0) {
    const bool empty = get16(message, answer_count) == 0 && get16(message, authority_count) == 0;
    return empty || rcode(message) != Rcode::no_error;
  }
  const auto told = question(message);
  // lower() does not change the length bytes of labels, which are below 'A'. Type and class are compared exactly.
  if (!told || asked->size() != told->size()) return false;
  const std::size_t name = asked->size() - type_and_class;
  return std::equal(asked->begin(), asked->begin() + static_cast<std::ptrdiff_t>(name), told->begin(),
                    [](std::uint8_t a, std::uint8_t b) { return lower(a) == lower(b); }) &&
         std::ranges::equal(asked->subspan(name), told->subspan(name));
}

std::size_t udp_answer_limit(Bytes query) {
  constexpr std::size_t least = 512;
  const auto in = sections(query);
  if (!in) return largest_message;
  const Record* const opt = opt_of(query, *in);
  return opt == nullptr ? least : std::max<std::size_t>(least, get16(query, opt->type + opt_size_field));
}

std::vector<std::uint8_t> truncated(Bytes answer, std::size_t size) {
  NH_BUG_IF(answer.size() < header_size || size < header_size);
  auto in = sections(answer);
  if (!in || in->questions_end > size) in.reset();
  const std::size_t start = in ? in->questions_end : header_size;
  const Record* const last = in ? opt_of(answer, *in) : nullptr;
  Bytes opt = last != nullptr ? answer.subspan(last->start, last->end - last->start) : Bytes();
  if (start + opt.size() > size) opt = {};
  std::size_t end = start, kept = 0;
  const std::size_t answers = get16(answer, answer_count);
  const std::size_t most = in ? answers + get16(answer, authority_count) : 0;
  while (kept < most && in->records[kept].end + opt.size() <= size) end = in->records[kept++].end;

  std::vector<std::uint8_t> reply(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(end));
  reply.insert(reply.end(), opt.begin(), opt.end());
  reply[2] |= truncation;
  if (!in) put16(reply, question_count, 0);
  put16(reply, answer_count, std::min(kept, answers));
  put16(reply, authority_count, kept - std::min(kept, answers));
  put16(reply, additional_count, opt.empty() ? 0 : 1);
  return reply;
}

std::vector<std::uint8_t> error_reply(Bytes query, Rcode rcode) {
  NH_BUG_IF(query.size() < header_size);
  const auto asked = question(query);
  std::vector<std::uint8_t> reply(query.begin(),
                                  query.begin() + header_size + static_cast<std::ptrdiff_t>(asked ? asked->size() : 0));
  reply[2] = static_cast<std::uint8_t>(response | (query[2] & (opcode_mask | recursion_desired)));
  reply[3] =
      static_cast<std::uint8_t>(recursion_available | (query[3] & checking_disabled) | static_cast<std::uint8_t>(rcode));
  for (const std::size_t count : {question_count, answer_count, authority_count, additional_count}) put16(reply, count, 0);
  if (asked) put16(reply, question_count, 1);
  const auto in = sections(query);
  if (const Record* const opt = in ? opt_of(query, *in) : nullptr) {
    constexpr std::size_t our_size = 1232;    // what the DNS flag day of 2020 recommends: no fragments at an MTU of 1280
    constexpr std::uint8_t dnssec_ok = 0x80;  // RFC 3225: of the flags' first byte, copied to the response
    std::array<std::uint8_t, 11> bare{0, 0, type_opt, our_size >> 8, our_size & 0xff};
    bare[1 + opt_flags_field] = static_cast<std::uint8_t>(query[opt->type + opt_flags_field] & dnssec_ok);
    reply.insert(reply.end(), bare.begin(), bare.end());
    put16(reply, additional_count, 1);
  }
  return reply;
}

}  // namespace nh::dns
