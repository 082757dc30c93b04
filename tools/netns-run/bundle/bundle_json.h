// SPDX-License-Identifier: BSD-3-Clause
// Members of config.json, checked: every Error names the member by its whole path ("process.rlimits[0].type"), in its
// message and as its field. For bundle*.cc alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/json/json_checked.h"

namespace nh::run {

/// A value and where it stands.
struct JsonPlace {
  const Json* value = nullptr;  ///< nullptr: not there, or null
  std::string path;

  bool is_there() const { return value != nullptr; }
  /// A member of an object; of what is not there nothing is there.
  JsonPlace operator[](std::string_view name) const;
  /// true for null, false, "", [], {} and what holds only those: nothing is asked for.
  bool asks_for_nothing() const;
};

Error refused(Code code, const JsonPlace& place, const std::string& rule);
inline Error invalid_member(const JsonPlace& place, const std::string& rule) {
  return refused(Code::invalid, place, rule);
}
inline Error unsupported_member(const JsonPlace& place, const std::string& rule) {
  return refused(Code::unsupported, place, rule);
}

/// unsupported: one of these members of `object` asks for something.
Result<> refuse_members(const JsonPlace& object, std::span<const std::string_view> names);

// Of the right type, or invalid. What is not there: the value in the second argument, or invalid where there is none.
Result<std::string> text(const JsonPlace& place);  ///< holds no NUL byte
Result<std::string> text(const JsonPlace& place, std::string_view otherwise);
/// A path as it stands if it is absolute, else below `directory`. "" stays "".
std::string absolute(std::string_view path, const std::string& directory);
Result<bool> truth(const JsonPlace& place, bool otherwise);
Result<std::uint64_t> number(const JsonPlace& place, std::uint64_t least, std::uint64_t most);
Result<std::vector<std::string>> texts(const JsonPlace& place);  ///< not there: none

/// Calls `one` for each element of an array; not there: for none.
Result<> for_each(const JsonPlace& array, const std::function<Result<>(const JsonPlace&)>& one);
/// invalid: there, and no object.
Result<> must_be_object(const JsonPlace& place);

}  // namespace nh::run
