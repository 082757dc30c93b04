// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/bundle/bundle_json.h"

#include <algorithm>

namespace nh::run {
namespace {

bool is_nothing(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_array() || value.is_object()) return std::all_of(value.begin(), value.end(), is_nothing);
  return false;
}

/// The rule of json_checked.h's readers, with the member's path.
template <class T>
Result<T> named(const JsonPlace& place, Result<T> read) {
  if (read) return read;
  return invalid_member(place, read.error().what);
}

}  // namespace

JsonPlace JsonPlace::operator[](std::string_view name) const {
  JsonPlace member{.value = nullptr, .path = path.empty() ? std::string(name) : path + "." + std::string(name)};
  if (value == nullptr || !value->is_object()) return member;
  const auto found = value->find(std::string(name));
  if (found != value->end() && !found->is_null()) member.value = &*found;
  return member;
}

bool JsonPlace::asks_for_nothing() const {
  return value == nullptr || is_nothing(*value);
}

Error refused(Code code, const JsonPlace& place, const std::string& rule) {
  return Error{.code = code, .what = place.path + " " + rule, .field = place.path};
}

Result<> refuse_members(const JsonPlace& object, std::span<const std::string_view> names) {
  for (const auto name : names)
    if (const JsonPlace member = object[name]; !member.asks_for_nothing())
      return unsupported_member(member, "is not supported");
  return Ok{};
}

Result<std::string> text(const JsonPlace& place) {
  if (!place.is_there()) return invalid_member(place, "is missing");
  NH_LET(value, named(place, string_of(*place.value, place.path)));
  if (value.find('\0') != std::string::npos) return invalid_member(place, "holds a NUL byte");
  return value;
}

Result<std::string> text(const JsonPlace& place, std::string_view otherwise) {
  return place.is_there() ? text(place) : Result<std::string>(std::string(otherwise));
}

std::string absolute(std::string_view path, const std::string& directory) {
  if (path.empty() || path[0] == '/') return std::string(path);
  return (directory == "/" ? "" : directory) + "/" + std::string(path);
}

Result<bool> truth(const JsonPlace& place, bool otherwise) {
  if (!place.is_there()) return otherwise;
  if (!place.value->is_boolean()) return invalid_member(place, "must be true or false");
  return place.value->get<bool>();
}

Result<std::uint64_t> number(const JsonPlace& place, std::uint64_t least, std::uint64_t most) {
  if (!place.is_there()) return invalid_member(place, "is missing");
  return named(place, integer_of(*place.value, least, most, place.path));
}

Result<std::vector<std::string>> texts(const JsonPlace& place) {
  std::vector<std::string> all;
  NH_TRY(for_each(place, [&all](const JsonPlace& element) -> Result<> {
    NH_LET(one, text(element));
    all.push_back(std::move(one));
    return Ok{};
  }));
  return all;
}

Result<> for_each(const JsonPlace& array, const std::function<Result<>(const JsonPlace&)>& one) {
  if (!array.is_there()) return Ok{};
  if (!array.value->is_array()) return invalid_member(array, "must be an array");
  std::size_t index = 0;
  for (const auto& element : *array.value) {
    const JsonPlace place{.value = element.is_null() ? nullptr : &element,
                          .path = array.path + "[" + std::to_string(index++) + "]"};
    NH_TRY(one(place));
  }
  return Ok{};
}

Result<> must_be_object(const JsonPlace& place) {
  if (place.is_there() && !place.value->is_object()) return invalid_member(place, "must be an object");
  return Ok{};
}

}  // namespace nh::run
