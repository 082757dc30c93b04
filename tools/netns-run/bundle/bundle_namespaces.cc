// SPDX-License-Identifier: BSD-3-Clause
#include <array>

#include "tools/netns-run/bundle/bundle_parts.h"

namespace nh::run {
namespace {

Result<std::vector<IdRange>> read_ranges(const JsonPlace& mappings) {
  constexpr std::uint64_t largest = UINT32_MAX - 1;
  std::vector<IdRange> ranges;
  NH_TRY(for_each(mappings, [&ranges](const JsonPlace& entry) -> Result<> {
    NH_LET(inside, number(entry["containerID"], 0, largest));
    NH_LET(outside, number(entry["hostID"], 0, largest));
    NH_LET(size, number(entry["size"], 1, UINT32_MAX));
    ranges.push_back({.inside = static_cast<std::uint32_t>(inside),
                      .outside = static_cast<std::uint32_t>(outside),
                      .count = static_cast<std::uint32_t>(size)});
    return Ok{};
  }));
  if (!ranges.empty()) NH_TRY(check_id_ranges(ranges, mappings.path));
  return ranges;
}

}  // namespace

Result<NamespaceSet> bundle_namespaces(const JsonPlace& namespaces) {
  NamespaceSet set;
  NH_TRY(for_each(namespaces, [&set](const JsonPlace& entry) -> Result<> {
    NH_LET(word, text(entry["type"]));
    // The specification's words: ours but for "network"; "net" and "mnt" are not among them.
    const auto type = word == "net" || word == "mnt" ? std::nullopt : namespace_type(word);
    if (!type) return unsupported_member(entry["type"], "is no namespace that we know: " + word);
    NH_LET(path, text(entry["path"], ""));
    if (absolute(path, "/") != path) return invalid_member(entry["path"], "must be an absolute path");
    if (!set.set(*type, path.empty() ? NamespaceEntry::fresh() : NamespaceEntry::join_path(path)))
      return invalid_member(entry["type"], "is given twice: " + word);
    return Ok{};
  }));
  return set;
}

Result<IdMapPlan> bundle_ids(const JsonPlace& linux_part, const NamespaceSet& namespaces) {
  NH_LET(uids, read_ranges(linux_part["uidMappings"]));
  NH_LET(gids, read_ranges(linux_part["gidMappings"]));
  IdMapPlan plan;
  plan.mode = IdMapPlan::Mode::none;
  const bool is_fresh = namespaces.is_fresh(NamespaceType::user);
  const std::array<std::pair<const char*, const std::vector<IdRange>*>, 2> both{
      {{"uidMappings", &uids}, {"gidMappings", &gids}}};
  for (const auto& [name, ranges] : both) {
    if (is_fresh && ranges->empty()) return invalid_member(linux_part[name], "is missing: a new user namespace needs it");
    if (!is_fresh && !ranges->empty())
      return invalid_member(linux_part[name], "needs a new user namespace among linux.namespaces");
  }
  if (!is_fresh) return plan;
  plan.mode = IdMapPlan::Mode::ranges;
  plan.uids = std::move(uids);
  plan.gids = std::move(gids);
  return plan;
}

}  // namespace nh::run
