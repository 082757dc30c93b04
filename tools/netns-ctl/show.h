// SPDX-License-Identifier: BSD-3-Clause
// Formats replies for people; `width` in columns, 0: any. Pure.
#pragma once

#include <string>
#include <vector>

#include "src/json/json_checked.h"

namespace nh::ctl {

/// `rules`: the array of forward.list, forward.add, forward.replace.
std::string show_rules(const Json& rules, std::size_t width);
/// `flows`: the array of flow.list.
std::string show_flows(const Json& flows, std::size_t width);
std::string show_stats(const Json& stats, std::size_t width);
/// Any object: its members with their dotted names.
std::string show_members(const Json& object, std::size_t width);
/// One line for one event, without the newline; `time` of day is put first.
std::string show_event(const Json& event, const std::string& time);

/// The sockets of a rule that differ in their ports only.
struct ListenerGroup {
  std::string proto, host, guest, path, note;
};
std::vector<ListenerGroup> groups_of(const Json& rule);

}  // namespace nh::ctl
