// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/id_map.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "src/base/number.h"
#include "src/base/unique_fd.h"
#include "src/linux/capabilities.h"

namespace nh {

namespace {

/// (uid_t)-1 is no id (user_namespaces(7)).
constexpr std::uint64_t ids_end = 0xffffffff;

Error malformed(std::string what, std::string_view field) {
  return Error{.code = Code::invalid, .what = std::string(field) + ": " + std::move(what), .field = std::string(field)};
}

bool overlap(std::uint64_t a, std::uint64_t b, std::uint64_t count_a, std::uint64_t count_b) {
  return a < b + count_b && b < a + count_a;
}

std::string range_text(const IdRange& range) {
  return std::to_string(range.inside) + ":" + std::to_string(range.outside) + ":" + std::to_string(range.count);
}

std::string whole_file(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t size = 1; file && size > 0;) {
    size = read(file.get(), part.data(), part.size());
    if (size > 0) text.append(part.data(), static_cast<std::size_t>(size));
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Own id as 0, and behind it the subordinate ones.
Result<std::vector<IdRange>> with_subordinates(std::uint32_t own, std::string_view file, const IdMapCaller& caller,
                                               const char* path) {
  const std::vector<IdRange> found = subordinate_ranges(file, caller.user, caller.uid);
  if (found.empty())
    return Error{.code = Code::missing,
                 .what = std::string(path) + " has no entry for " + caller.user + " (usermod --add-subuids 100000-165535 " +
                         "--add-subgids 100000-165535 " + caller.user + ", or do not ask for automatic ranges)",
                 .field = "map-auto"};
  std::vector<IdRange> ranges{{.inside = 0, .outside = own, .count = 1}};
  std::uint64_t next = 1;
  for (IdRange range : found) {
    if (next + range.count > ids_end || ranges.size() == id_map_lines) break;
    range.inside = static_cast<std::uint32_t>(next);
    next += range.count;
    ranges.push_back(range);
  }
  NH_TRY(check_id_ranges(ranges, path));
  return ranges;
}

}  // namespace

Result<IdRange> parse_id_range(std::string_view text, std::string_view field) {
  const auto parts = split(text, ':');
  if (parts.size() != 3) return malformed("\"" + std::string(text) + "\" is not of the form INSIDE:OUTSIDE:COUNT", field);
  NH_LET(inside, parse_unsigned(parts[0], 0, ids_end - 1, field));
  NH_LET(outside, parse_unsigned(parts[1], 0, ids_end - 1, field));
  NH_LET(count, parse_unsigned(parts[2], 1, ids_end, field));
  if (inside + count > ids_end || outside + count > ids_end)
    return malformed("\"" + std::string(text) + "\" goes beyond the last id, 4294967294", field);
  return IdRange{static_cast<std::uint32_t>(inside), static_cast<std::uint32_t>(outside), static_cast<std::uint32_t>(count)};
}

Result<> check_id_ranges(std::span<const IdRange> ranges, std::string_view field) {
  if (ranges.empty()) return malformed("no range is given", field);
  if (ranges.size() > id_map_lines)
    return malformed(std::to_string(ranges.size()) + " ranges; the kernel takes " + std::to_string(id_map_lines), field);
  for (std::size_t at = 0; at < ranges.size(); ++at) {
    const IdRange& range = ranges[at];
    if (range.count == 0) return malformed("the range " + range_text(range) + " is empty", field);
    if (std::uint64_t{range.inside} + range.count > ids_end || std::uint64_t{range.outside} + range.count > ids_end)
      return malformed("the range " + range_text(range) + " goes beyond the last id, 4294967294", field);
    for (const IdRange& earlier : ranges.first(at))
      if (overlap(earlier.inside, range.inside, earlier.count, range.count) ||
          overlap(earlier.outside, range.outside, earlier.count, range.count))
        return malformed("the ranges " + range_text(earlier) + " and " + range_text(range) + " share an id", field);
  }
  return Ok{};
}

std::string id_map_text(std::span<const IdRange> ranges) {
  std::string text;
  for (const IdRange& range : ranges)
    text += std::to_string(range.inside) + " " + std::to_string(range.outside) + " " + std::to_string(range.count) + "\n";
  return text;
}

IdMapCaller IdMapCaller::current() {
  IdMapCaller caller;
  caller.uid = geteuid();
  caller.gid = getegid();
  const char* named = std::getenv("USER");
  caller.may_map_root = has_capability(CAP_SETFCAP);
  if (const passwd* entry = getpwuid(caller.uid)) {
    caller.user = entry->pw_name;
    caller.passwd_gid = entry->pw_gid;
  } else if (named != nullptr && !without_blanks(named).empty()) {
    caller.user = without_blanks(named);
  } else {
    caller.user = "uid:" + std::to_string(caller.uid);
  }
  caller.subuid = whole_file("/etc/subuid");
  caller.subgid = whole_file("/etc/subgid");
  return caller;
}

std::vector<IdRange> subordinate_ranges(std::string_view file, std::string_view user, uid_t uid) {
  std::vector<IdRange> ranges;
  const std::string number = std::to_string(uid);
  for (std::string_view line : split(file, '\n')) {
    line = without_blanks(line);
    const auto parts = split(line, ':');
    if (line.starts_with('#') || parts.size() != 3) continue;
    if (parts[0] != user && parts[0] != number) continue;
    const auto start = parse_unsigned(parts[1], 0, ids_end - 1, "start");
    const auto count = parse_unsigned(parts[2], 1, ids_end, "count");
    if (!start || !count || *start + *count > ids_end) continue;
    const IdRange range{
        .inside = 0, .outside = static_cast<std::uint32_t>(*start), .count = static_cast<std::uint32_t>(*count)};
    if (std::find(ranges.begin(), ranges.end(), range) != ranges.end()) continue;  // by name and by number
    if (!ranges.empty() && std::uint64_t{ranges.back().outside} + ranges.back().count == range.outside)
      ranges.back().count += range.count;
    else
      ranges.push_back(range);
  }
  return ranges;
}

Result<IdMaps> resolve_id_maps(const IdMapPlan& plan, const IdMapCaller& caller) {
  using Mode = IdMapPlan::Mode;
  IdMaps maps;
  switch (plan.mode) {
    case Mode::none:
      break;
    case Mode::root:
      maps.uids = {{.inside = 0, .outside = caller.uid, .count = 1}};
      maps.gids = {{.inside = 0, .outside = caller.gid, .count = 1}};
      break;
    case Mode::current:
      maps.uids = {{.inside = caller.uid, .outside = caller.uid, .count = 1}};
      maps.gids = {{.inside = caller.gid, .outside = caller.gid, .count = 1}};
      break;
    case Mode::subordinate: {
      NH_LET(uids, with_subordinates(caller.uid, caller.subuid, caller, "/etc/subuid"));
      NH_LET(gids, with_subordinates(caller.gid, caller.subgid, caller, "/etc/subgid"));
      maps.uids = std::move(uids);
      maps.gids = std::move(gids);
      break;
    }
    case Mode::ranges:
      NH_TRY(check_id_ranges(plan.uids, "uid map"));
      NH_TRY(check_id_ranges(plan.gids, "gid map"));
      maps.uids = plan.uids;
      maps.gids = plan.gids;
      break;
  }
  const bool own_gid_alone = maps.gids.size() == 1 && maps.gids[0].outside == caller.gid && maps.gids[0].count == 1;
  maps.deny_setgroups =
      plan.setgroups == IdMapPlan::Setgroups::deny || (plan.setgroups == IdMapPlan::Setgroups::automatic && own_gid_alone);
  maps.uid_alone_will_do = plan.mode == Mode::root || plan.mode == Mode::current;
  return maps;
}

}  // namespace nh
