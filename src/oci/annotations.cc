// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/annotations.h"

#include <algorithm>

#include "src/json/json_checked.h"

namespace nh {
namespace {

constexpr std::string_view prefix = "org.netns-helper.";

enum class Kind : std::uint8_t {
  flag,   // "true" or "false"
  value,  // once
  list,   // separated by semicolons if there is one, else by commas; further ones under KEY.SUFFIX
  name    // TAPNAME
};

struct Row {
  std::string_view option;  // KEY is org.netns-helper.OPTION
  Kind kind;
  AnnotationReach reach;
};

constexpr Row table[] = {
    {"cidr", Kind::value, AnnotationReach::guest},
    {"cidr6", Kind::value, AnnotationReach::guest},
    {"leave-lo", Kind::flag, AnnotationReach::guest},
    {"mac", Kind::value, AnnotationReach::guest},
    {"mtu", Kind::value, AnnotationReach::guest},
    {"no-configure", Kind::flag, AnnotationReach::guest},
    {"no-dns", Kind::flag, AnnotationReach::guest},
    {"no-ipv6", Kind::flag, AnnotationReach::guest},
    {"sandbox", Kind::flag, AnnotationReach::guest},
    {"seccomp", Kind::flag, AnnotationReach::guest},
    {"tap-name", Kind::name, AnnotationReach::guest},
    {"allow-host-loopback", Kind::flag, AnnotationReach::all},
    {"allow-link-local", Kind::flag, AnnotationReach::all},
    {"api-socket", Kind::value, AnnotationReach::all},
    {"dns", Kind::list, AnnotationReach::all},
    {"forward", Kind::list, AnnotationReach::all},
    {"forward-to-loopback", Kind::flag, AnnotationReach::all},
    {"outbound-addr", Kind::value, AnnotationReach::all},
    {"outbound-addr6", Kind::value, AnnotationReach::all},
};

Error refused(const std::string& key, std::string rule, Code code = Code::invalid) {
  return Error{.code = code, .what = "annotation " + shown(key) + ": " + std::move(rule)};
}

// "forward.web" is a second forward.
const Row* row_of(std::string_view name) {
  for (const Row& row : table)
    if (name == row.option || (row.kind == Kind::list && name.starts_with(row.option) && name[row.option.size()] == '.'))
      return &row;
  return nullptr;
}

Result<> add_words(const Row& row, const std::string& key, std::string_view value, std::vector<std::string>& words) {
  const std::string option = "--" + std::string(row.option);
  if (row.kind == Kind::flag) {
    if (value != "true" && value != "false") return refused(key, "must be true or false, not " + shown(value));
    if (value == "true") words.push_back(option);
    return Ok{};
  }
  if (row.kind == Kind::value) {
    words.push_back(option + "=" + std::string(value));
    return Ok{};
  }
  // A rule of --forward may have commas of its own; a semicolon ends it, the last one too.
  const char separator = value.find(';') != value.npos ? ';' : ',';
  if (separator == ';' && value.back() == ';') value.remove_suffix(1);
  while (true) {
    const auto end = value.find(separator);
    const std::string_view one = value.substr(0, end);
    if (one.empty()) return refused(key, "must not be empty");
    words.push_back(option + "=" + std::string(one));
    if (end == value.npos) return Ok{};
    value.remove_prefix(end + 1);
  }
}

}  // namespace

Result<AnnotationReach> parse_annotation_reach(std::string_view text) {
  if (text == "none") return AnnotationReach::none;
  if (text == "guest") return AnnotationReach::guest;
  if (text == "all") return AnnotationReach::all;
  return Error{.code = Code::invalid, .what = "must be none, guest or all, not " + shown(text)};
}

Result<std::vector<std::string>> words_of_annotations(const std::map<std::string, std::string>& annotations,
                                                      AnnotationReach reach) {
  std::vector<std::string> words;
  std::string tap_name;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(prefix)) continue;
    const Row* const row = row_of(std::string_view(key).substr(prefix.size()));
    if (row == nullptr) return refused(key, "there is no such option");
    if (row->reach > reach) return refused(key, "the hook's --annotations does not allow it", Code::denied);
    if (value.empty()) return refused(key, "must not be empty");
    if (value.find('\0') != value.npos) return refused(key, "must not contain NUL");
    if (row->kind == Kind::name)
      tap_name = value;
    else
      NH_TRY(add_words(*row, key, value, words));
  }
  // After "--" nothing is an option any more, whatever the name looks like.
  if (!tap_name.empty()) words.insert(words.end(), {"--", tap_name});
  return words;
}

}  // namespace nh
