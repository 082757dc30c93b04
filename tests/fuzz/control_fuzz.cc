// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the control protocol: framing, parsing and commands, with forwards in memory. Every input
// comes from a fixed seed, so a finding can be had again by its number.
//
//   control_fuzz [INPUTS [FIRST]]
//
// Each input is some requests out of a small stock, broken by random edits and fed in random
// pieces. Whatever comes in: each answer is one JSON object with either "return" or "error" in the
// shape of its dialect, an error names its field or rule, and what is refused changes no rule.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "src/base/limits.h"
#include "src/base/log.h"
#include "src/control/commands.h"
#include "src/json/json_checked.h"
#include "src/json/json_framing.h"
#include "tests/control/fake_rules.h"

namespace {

using namespace nh;

#ifdef NETNS_HELPER_SANITIZED
constexpr std::uint64_t default_inputs = 100'000;
#else
constexpr std::uint64_t default_inputs = 1'000'000;
#endif

/// splitmix64 (public domain, Sebastiano Vigna): one number of state, so that an input's number is
/// its seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x2545f4914f6cdd1dULL + 0x9e3779b97f4a7c15ULL) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  bool once_in(std::size_t times) { return below(times) == 0; }

 private:
  std::uint64_t state_;
};

constexpr std::string_view stock[] = {
    R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,)"
    R"("guest_addr":"10.0.2.100","guest_port":80}})",
    R"({"execute":"add_hostfwd","arguments":{"proto":"udp","host_addr":"","host_port":0,"guest_port":53},"id":[1,2]})",
    R"({"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"::1","host_port":1,)"
    R"("guest_addr":"fd00::100","guest_port":65535},"id":"a\u00e9\ud83d\ude00"})",
    R"({"execute":"list_hostfwd"})",
    R"({"execute":"list_hostfwd","arguments":{},"id":null})",
    R"({"execute":"remove_hostfwd","arguments":{"id":1}})",
    R"({"execute":"remove_hostfwd","arguments":{"id":2},"id":-1.5e3})",
    R"({"execute":"forward.add","arguments":{"rules":["127.0.0.1:8080:80",{"host_port":"1000-1010","guest_port":22,"proto":"both"}]}})",
    R"({"execute":"forward.add","arguments":{"kind":"reverse","guest_port":5432,"host_unix":"/run/postgres"},"id":7})",
    R"({"execute":"forward.replace","arguments":{"rules":["auto:2000-3000:!2222","fd:web:80"]},"id":1})",
    R"({"execute":"forward.remove","arguments":{"ids":[1,2]}})",
    R"({"execute":"forward.list"})",
    R"({"execute":"flow.list","arguments":{"after":0,"limit":10,"rule":1}})",
    R"({"execute":"flow.kill","arguments":{"id":3},"id":null})",
    R"({"execute":"stats"})",
    R"({"execute":"events.subscribe","arguments":{"events":["rule_added","flow_closed"]}})",
    R"({"execute":"info","id":{"a":[true,false,null,{"b":"\\\"\n\u0000"}]}})",
};
constexpr std::string_view tokens[] = {"{",
                                       "}",
                                       "[",
                                       "]",
                                       ",",
                                       ":",
                                       "\"",
                                       "\\",
                                       "\n",
                                       " ",
                                       "null",
                                       "true",
                                       "-1",
                                       "0",
                                       "1e9",
                                       "65536",
                                       "18446744073709551616",
                                       "1.0",
                                       "\"tcp\"",
                                       "\"execute\":\"info\"",
                                       "\"arguments\":{}",
                                       "\"id\":1",
                                       "\\u0000",
                                       "\\ud800",
                                       "\xff",
                                       "\xc3",
                                       "\xef\xbb\xbf",
                                       std::string_view("\0", 1),
                                       "[[[[[[[[[[[[[[[[",
                                       "{\"a\":{\"a\":{\"a\":",
                                       "\"10.0.2.100\"",
                                       "\"::\"",
                                       "9999999999",
                                       "0,0,0,0,0,0,0,0"};

void edit(std::string& text, Random& random) {
  const std::size_t at = random.below(text.size() + 1);
  switch (random.below(7)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(random.next());
      break;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
      break;
    case 2:
      text.erase(at, random.below(1 + random.below(40)));
      break;
    case 3:
      text.insert(at, tokens[random.below(std::size(tokens))]);
      break;
    case 4:
      text.insert(at, text.substr(random.below(text.size() + 1), random.below(60)));
      break;
    case 5:
      text.replace(at, random.below(12), tokens[random.below(std::size(tokens))]);
      break;
    default:
      text.insert(at, random.once_in(50) ? random.below(100'000) : random.below(50),
                  text.empty() ? '{' : text[random.below(text.size())]);
  }
}

std::string make_input(Random& random) {
  std::string text;
  const std::size_t requests = 1 + random.below(3);
  for (std::size_t i = 0; i < requests; ++i) {
    std::string request(stock[random.below(std::size(stock))]);
    for (std::size_t edits = random.below(5); edits > 0; --edits) edit(request, random);
    text += request;
    if (!random.once_in(3)) text += '\n';
  }
  return text;
}

/// What must hold for every answer; nullptr, or the rule that it breaks.
const char* check(const Reply& reply, Dialect dialect) {
  const bool line = !reply.text.empty() && reply.text.back() == '\n';
  if (dialect == Dialect::slirp4netns && (line || !reply.last))
    return "slirp4netns's answers have no newline and are the last";
  if (!line && !reply.last) return "only a last answer has no newline";
  if (reply.text.find('\n') < reply.text.size() - (line ? 1 : 0)) return "an answer is one line";
  // Answers may hold more values than requests, so the bounds of parse_checked() are not for them.
  const Json parsed = Json::parse(reply.text, nullptr, false);
  if (!parsed.is_object()) return "an answer is a JSON object";
  if (parsed.contains("return") == parsed.contains("error")) return "an answer is either a result or an error";
  if (parsed.contains("error") != reply.refused) return "an error is counted as one";
  if (!reply.refused) return nullptr;
  const Json& error = parsed["error"];
  const auto text_in = [&](const char* name) {
    return error.contains(name) && error[name].is_string() && !error[name].empty();
  };
  if (!text_in("desc")) return "an error has a desc";
  if (dialect == Dialect::slirp4netns) return error.size() == 1 ? nullptr : "slirp4netns's errors have a desc only";
  if (!text_in("code")) return "an error has a code";
  const std::string desc = error["desc"];
  return text_in("field") || desc.find(": ", std::strlen("bad request: ")) != desc.npos ? nullptr
                                                                                        : "an error names field or rule";
}

/// One connection; nullptr, or the rule that was broken.
const char* run(const std::string& input, Dialect dialect, Random& random, std::uint64_t& answers, std::uint64_t& errors) {
  test::FakeRules rules;
  if (random.once_in(16))
    rules.failure = Error{.code = Code::in_use, .sys_errno = 98, .what = "listening", .field = "host_port"};
  rules.flow_records = {test::sample_flow(3), test::sample_flow(4)};
  const ManualClock clock;
  const Commands commands(test::backend(rules, clock), dialect);
  JsonFraming framing(commands.max_request());
  bool first = true;
  std::size_t changes = 0;
  const auto judge = [&](const Reply& reply) {
    ++answers;
    errors += reply.refused ? 1 : 0;
    first = false;
    const bool as_before = changes == rules.last_id + rules.entries.size();
    changes = rules.last_id + rules.entries.size();
    return as_before || !reply.refused ? check(reply, dialect) : "what is refused changes nothing";
  };
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t size = std::min(input.size() - at, random.once_in(2) ? 1 + random.below(64) : limits::control_read);
    framing.feed(std::string_view(input).substr(at, size));
    at += size;
    while (framing.state() == JsonFraming::State::complete) {
      if (framing.object().size() > commands.max_request()) return "a request keeps its limit";
      const Reply reply = commands.answer(framing.object(), first && framing.ends_bare());
      if (const char* broken = judge(reply)) return broken;
      if (reply.last) return nullptr;
      framing.next();
    }
    if (framing.state() == JsonFraming::State::garbage) return judge(commands.not_an_object(framing.waiting()));
    if (framing.state() == JsonFraming::State::too_large) return judge(commands.too_large());
    if (framing.waiting().size() > commands.max_request() + limits::control_read) return "what waits keeps its limit";
  }
  if (framing.state() == JsonFraming::State::incomplete) return judge(commands.unfinished(random.once_in(2)));
  return nullptr;
}

std::uint64_t number(const char* text) {
  std::uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, problem] = std::from_chars(text, end, value);
  if (problem != std::errc() || stop != end) {
    std::fprintf(stderr, "control_fuzz [INPUTS [FIRST]]\n");
    std::exit(2);
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t inputs = argc > 1 ? number(argv[1]) : default_inputs;
  const std::uint64_t begin = argc > 2 ? number(argv[2]) : 0;
  log::set_up({.level = log::Level::error});
  std::uint64_t answers = 0, errors = 0;
  for (std::uint64_t i = begin; i < begin + inputs; ++i) {
    Random random(i);
    const std::string input = make_input(random);
    const Dialect dialect = random.once_in(3) ? Dialect::slirp4netns : Dialect::native;
    if (const char* broken = run(input, dialect, random, answers, errors)) {
      std::fprintf(stderr, "input %llu breaks: %s\n%s\n", static_cast<unsigned long long>(i), broken, input.c_str());
      return 1;
    }
  }
  std::printf("%llu inputs, %llu answers, %llu of them errors\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(answers), static_cast<unsigned long long>(errors));
  // Were nearly all inputs refused, the commands would not have been tried at all.
  return answers > inputs && errors < answers * 9 / 10 ? 0 : 1;
}
