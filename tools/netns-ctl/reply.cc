// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/reply.h"

namespace nh::ctl {
namespace {

// Much larger than any reply; they only bound the memory.
constexpr JsonBounds bounds{.depth = 64, .values = 50'000'000, .members = 100'000};

const Json* at(const Json& value, const std::string& pointer) {
  const Json::json_pointer place(pointer);
  return value.contains(place) ? &value.at(place) : nullptr;
}

}  // namespace

Result<Json> parse_line(const std::string& line) {
  auto parsed = parse_checked(line, bounds);
  if (parsed && parsed->is_object()) return parsed;
  return Error{.code = Code::invalid, .what = "the helper's reply cannot be read: " + line.substr(0, 200)};
}

Result<ParsedReply> parse_reply(const std::string& line) {
  NH_LET(object, parse_line(line));
  ParsedReply reply;
  if (object.contains("error")) {
    reply.error = text_at(object, "/error/desc");
    if (reply.error.empty()) reply.error = text_of(object["error"]);
  } else if (object.contains("return")) {
    reply.value = std::move(object["return"]);
  } else {
    return Error{.code = Code::invalid, .what = "neither result nor error: " + line.substr(0, 200)};
  }
  return reply;
}

std::string text_at(const Json& value, const std::string& pointer) {
  const Json* found = at(value, pointer);
  if (found == nullptr || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : text_of(*found);
}

std::uint64_t number_at(const Json& value, const std::string& pointer) {
  const Json* found = at(value, pointer);
  return found != nullptr && found->is_number_integer() && *found >= 0 ? found->get<std::uint64_t>() : 0;
}

double seconds_at(const Json& value, const std::string& pointer) {
  const Json* found = at(value, pointer);
  return found != nullptr && found->is_number() ? found->get<double>() : 0;
}

const Json& array_at(const Json& value, const std::string& pointer) {
  static const Json none = Json::array();
  const Json* found = at(value, pointer);
  return found != nullptr && found->is_array() ? *found : none;
}

}  // namespace nh::ctl
