// SPDX-License-Identifier: BSD-3-Clause
// Id maps of a user namespace (user_namespaces(7)): which host id each id inside stands for.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace nh {

/// One line of uid_map or gid_map: `count` ids from `inside` on are those from `outside` on.
struct IdRange {
  std::uint32_t inside = 0, outside = 0, count = 1;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

/// Lines that the kernel takes (user_namespaces(7), since Linux 4.15); more are an error.
inline constexpr std::size_t id_map_lines = 340;

/// "INSIDE:OUTSIDE:COUNT"; each field 0..4294967294, the count at least 1, and neither side beyond 4294967295 (which is no
/// id).
Result<IdRange> parse_id_range(std::string_view text, std::string_view field);
/// Errors: invalid: no range or more than id_map_lines, a count of 0, an id twice on either side. `field` names the option.
Result<> check_id_ranges(std::span<const IdRange> ranges, std::string_view field);
/// The text for the map file: one line a range.
std::string id_map_text(std::span<const IdRange> ranges);

/// The id maps that the user asked for.
struct IdMapPlan {
  enum class Mode : std::uint8_t {
    none,         ///< we write no maps (joined user namespace, or another process writes them)
    root,         ///< our own uid and gid are 0 inside, no others exist
    current,      ///< our own uid and gid are themselves, no others exist
    subordinate,  ///< 0 is our own id, from 1 on come our ranges of /etc/subuid and /etc/subgid
    ranges        ///< as in `uids` and `gids`
  };
  enum class Setgroups : std::uint8_t {
    automatic,  ///< denied where only our own gid is mapped (the kernel demands it of the unprivileged), else allowed
    allow,
    deny
  };
  Mode mode = Mode::root;
  std::vector<IdRange> uids = {}, gids = {};  ///< Mode::ranges
  Setgroups setgroups = Setgroups::automatic;
};

/// The maps to be written.
struct IdMaps {
  std::vector<IdRange> uids, gids;  ///< both empty: nothing is to be written
  bool deny_setgroups = true;
  /// True if only our own ids are mapped: then a map of the uid alone is better than none (files keep their owner; groups may
  /// differ).
  bool uid_alone_will_do = true;
};

/// The calling user, and the files of subordinate ids.
struct IdMapCaller {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user;            ///< of the password database (newuidmap asks it too), else $USER, else "uid:N"
  std::string subuid, subgid;  ///< the texts of the files; empty: missing
  /// The primary group of the password database, the only one that newuidmap and newgidmap accept; nullopt: it has no entry.
  std::optional<gid_t> passwd_gid = {};
  /// CAP_SETFCAP is in the effective set: since Linux 5.12 uid 0 of the caller's user namespace is not mapped without it.
  bool may_map_root = true;

  /// The calling process's effective ids, /etc/subuid and /etc/subgid.
  static IdMapCaller current();
};

/// The ranges that a user has in a file of subuid(5)'s form, by name or by number, in the file's order; adjoining ones are
/// joined. `inside` is 0. Malformed lines are skipped.
std::vector<IdRange> subordinate_ranges(std::string_view file, std::string_view user, uid_t uid);

/// missing: Mode::subordinate without an entry in one of the files. invalid: ranges that break check_id_ranges.
Result<IdMaps> resolve_id_maps(const IdMapPlan& plan, const IdMapCaller& caller);

}  // namespace nh
