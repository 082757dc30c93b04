// SPDX-License-Identifier: BSD-3-Clause
#include "src/json/json_checked.h"

#include <vector>

namespace nh {
namespace {

/// Builds a document from the parser's events; a false answer stops the parser.
class CheckedBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit CheckedBuilder(JsonBounds bounds) : bounds_(bounds) {}

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return put(value) != nullptr; }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return fail("binary values are not JSON"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    if (open_.back()->size() == bounds_.members)
      return fail("more than " + std::to_string(bounds_.members) + " members in an object");
    if (open_.back()->contains(name)) {
      error_.field = shown(name);
      return fail("member " + shown(name) + " is given twice");
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& cause) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: syntax error while parsing
    // value - invalid literal; last read: ...": the middle is what helps; the rest repeats the
    // client's bytes.
    std::string_view reason(cause.what());
    if (const auto dash = reason.find(" - "); dash != reason.npos) reason.remove_prefix(dash + 3);
    reason = reason.substr(0, reason.find("; last read"));
    if (reason.starts_with('[')) reason = "number out of range";
    return fail("byte " + std::to_string(position) + ": " + std::string(reason));
  }

  Error take_error() { return std::move(error_); }
  Json take_document() { return std::move(document_); }

 private:
  Json* put(Json value) {
    if (++values_ > bounds_.values) {
      fail("more than " + std::to_string(bounds_.values) + " values");
      return nullptr;
    }
    if (open_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    // A parent grows only while none of its children is open, so the pointers in open_ stay good.
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool open(Json container) {
    if (open_.size() == bounds_.depth) return fail("more than " + std::to_string(bounds_.depth) + " levels deep");
    Json* const place = put(std::move(container));
    if (place != nullptr) open_.push_back(place);
    return place != nullptr;
  }

  bool leave() {
    open_.pop_back();
    return true;
  }

  bool fail(std::string rule) {
    error_.code = Code::invalid;
    error_.what = std::move(rule);
    return false;
  }

  const JsonBounds bounds_;
  Json document_;
  std::vector<Json*> open_;
  std::string key_;
  std::size_t values_ = 0;
  Error error_;
};

Error wrong(std::string_view name, const std::string& rule, const Json& value) {
  return Error{.code = Code::invalid, .what = "must be " + rule + ", not " + kind_of(value), .field = std::string(name)};
}

}  // namespace

std::string kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return text_of(value);
  }
}

Result<Json> parse_checked(std::string_view text, JsonBounds bounds) {
  CheckedBuilder builder(bounds);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return builder.take_error();
  return builder.take_document();
}

Result<std::uint64_t> integer_of(const Json& value, std::uint64_t min, std::uint64_t max, std::string_view name) {
  // A number of 0 or more is number_unsigned; "-0" is left out on purpose.
  const std::uint64_t number = value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
  if (!value.is_number_unsigned() || number < min || number > max)
    return wrong(name, "an integer from " + std::to_string(min) + " to " + std::to_string(max), value);
  return number;
}

Result<std::string> string_of(const Json& value, std::string_view name) {
  if (!value.is_string()) return wrong(name, "a string", value);
  return value.get_ref<const std::string&>();
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string shown(std::string_view name) {
  constexpr std::size_t longest = 64;
  if (name.empty()) return "\"\"";
  return name.size() <= longest ? std::string(name) : std::string(name.substr(0, longest)) + "...";
}

}  // namespace nh
