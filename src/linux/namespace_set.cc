// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace_set.h"

#include <climits>

#include "src/base/number.h"

namespace nh {

namespace {

Error entry_error(NamespaceType type, const std::string& what) {
  const std::string name(namespace_name(type));
  return Error{.code = Code::invalid, .what = name + " namespace: " + what, .field = name};
}

Result<NamespaceEntry> parse_join(NamespaceType type, std::string_view source) {
  constexpr std::string_view fd = "fd:", pid = "pid:";
  const std::string name(namespace_name(type));
  if (source.empty()) return entry_error(type, "join: has no namespace; write join:PATH, join:fd:N or join:pid:N");
  if (source == "owner") {
    if (type == NamespaceType::user) return NamespaceEntry::join_owner();
    return entry_error(type, "join:owner is for the user namespace only");
  }
  if (source.starts_with(fd)) {
    NH_LET(number, parse_unsigned(source.substr(fd.size()), 0, INT_MAX, name));
    return NamespaceEntry::join_fd(static_cast<int>(number));
  }
  if (source.starts_with(pid)) {
    NH_LET(number, parse_unsigned(source.substr(pid.size()), 1, INT_MAX, name));
    return NamespaceEntry::join_pid(static_cast<pid_t>(number));
  }
  if (source.find('\0') != std::string_view::npos) return entry_error(type, "the path has a NUL byte in it");
  return NamespaceEntry::join_path(std::string(source));
}

}  // namespace

std::string NamespaceEntry::text() const {
  if (kind == Kind::host) return "host";
  if (kind == Kind::fresh) return "new";
  switch (by) {
    case By::path:
      return "join:" + path;
    case By::fd:
      return "join:fd:" + std::to_string(number);
    case By::pid:
      return "join:pid:" + std::to_string(number);
    case By::owner:
      break;
  }
  return "join:owner";
}

Result<NamespaceEntry> parse_namespace_entry(NamespaceType type, std::string_view text) {
  constexpr std::string_view join = "join:";
  if (text == "host") return NamespaceEntry{};
  if (text == "new") return NamespaceEntry::fresh();
  if (text.starts_with(join)) return parse_join(type, text.substr(join.size()));
  return entry_error(type, "\"" + std::string(text) + "\" is none of host, new, join:PATH, join:fd:N, join:pid:N");
}

Result<std::pair<NamespaceType, NamespaceEntry>> parse_namespace(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos)
    return Error{.code = Code::invalid,
                 .what = "\"" + std::string(text) + "\" is not of the form KIND=ENTRY, for example net=new",
                 .field = "namespace"};
  const auto type = namespace_type(text.substr(0, equals));
  if (!type)
    return Error{.code = Code::unsupported,
                 .what = "\"" + std::string(text.substr(0, equals)) +
                         "\" is no kind of namespace; the kinds are user, pid, uts, ipc, net, cgroup, time, mount",
                 .field = "namespace"};
  NH_LET(entry, parse_namespace_entry(*type, text.substr(equals + 1)));
  return std::pair{*type, std::move(entry)};
}

Result<> NamespaceSet::set(NamespaceType type, NamespaceEntry entry) {
  auto& place = entries_[index_of(type)];
  if (place) {
    Error error = entry_error(type, "named twice: " + place->text() + " and " + entry.text());
    error.code = Code::in_use;
    return error;
  }
  place = std::move(entry);
  return Ok{};
}

void NamespaceSet::set_default(NamespaceType type, NamespaceEntry entry) {
  auto& place = entries_[index_of(type)];
  if (!place) place = std::move(entry);
}

const NamespaceEntry& NamespaceSet::entry(NamespaceType type) const {
  static const NamespaceEntry host;
  const auto& place = entries_[index_of(type)];
  return place ? *place : host;
}

bool NamespaceSet::has(NamespaceType type) const {
  return entries_[index_of(type)].has_value();
}

bool NamespaceSet::joins_any_but_user() const {
  for (const NamespaceType type : all_namespace_types)
    if (type != NamespaceType::user && is_joined(type)) return true;
  return false;
}

bool NamespaceSet::needs_fork() const {
  return !is_host(NamespaceType::pid) || !is_host(NamespaceType::time);
}

}  // namespace nh
