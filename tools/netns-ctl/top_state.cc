// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/top_state.h"

#include <algorithm>

#include "tools/netns-ctl/reply.h"
#include "tools/netns-ctl/show.h"
#include "tools/netns-ctl/table.h"

namespace nh::ctl {
namespace {

template <class Entry>
std::map<std::uint64_t, Traffic> by_id(const std::vector<Entry>& entries) {
  std::map<std::uint64_t, Traffic> found;
  for (const Entry& entry : entries) found.emplace(entry.id, entry.traffic);
  return found;
}

const Traffic* find(const std::map<std::uint64_t, Traffic>& all, std::uint64_t id) {
  const auto found = all.find(id);
  return found == all.end() ? nullptr : &found->second;
}

std::string endpoint_of(const Json& flow, const std::string& which) {
  return plain(endpoint_text(text_at(flow, "/" + which + "_addr"), text_at(flow, "/" + which + "_port")));
}

}  // namespace

/// `before`: nullptr if it is new since the last update; then all its bytes are since that, except at the first update.
Traffic TopState::grown(std::uint64_t to_guest, std::uint64_t to_host, const Traffic* before) const {
  Traffic traffic{.to_guest = to_guest, .to_host = to_host};
  if (updates_ < 2 || elapsed_ <= 0) return traffic;
  const auto rate = [&](std::uint64_t now, std::uint64_t then) {
    return now > then ? static_cast<double>(now - then) / elapsed_ : 0;
  };
  traffic.guest_rate = rate(to_guest, before != nullptr ? before->to_guest : 0);
  traffic.host_rate = rate(to_host, before != nullptr ? before->to_host : 0);
  return traffic;
}

void TopState::update(const Json& stats, const Json& rules, const std::vector<Json>& flow_pages, bool more) {
  ++updates_;
  const double time = seconds_at(stats, "/time");
  elapsed_ = time - time_;
  time_ = time;
  uptime_ = seconds_at(stats, "/uptime");
  const Traffic total_before = total_;
  total_ = grown(number_at(stats, "/bytes_to_guest"), number_at(stats, "/bytes_to_host"), &total_before);

  flows_now_ = 0;
  by_path_.clear();
  if (stats.contains("flows") && stats["flows"].contains("now"))
    for (const auto& [path, count] : stats["flows"]["now"].items()) {
      flows_now_ += number_at(count, "");
      by_path_ += (by_path_.empty() ? "" : ", ") + text_at(count, "") + " " + plain(path);
    }
  std::uint64_t opened = 0;
  if (stats.contains("flows") && stats["flows"].contains("opened"))
    for (const auto& [path, count] : stats["flows"]["opened"].items()) opened += number_at(count, "");
  opened_rate_ = updates_ > 1 && elapsed_ > 0 && opened > opened_ ? static_cast<double>(opened - opened_) / elapsed_ : 0;
  opened_ = opened;
  more_flows_ = more;

  const auto rules_before = by_id(rules_);
  rules_.clear();
  for (const Json& rule : array_at(rules, "/rules")) {
    TopRule one;
    one.id = number_at(rule, "/id");
    one.flows = number_at(rule, "/flows");
    one.failed = number_at(rule, "/flows_failed");
    const auto groups = groups_of(rule);
    one.host = plain(groups.empty() ? text_at(rule, "/text") : groups.front().host + (groups.size() > 1 ? " .." : ""));
    one.guest = plain(groups.empty() ? "-" : groups.front().guest);
    one.path = plain(groups.empty() ? "-" : groups.front().path);
    one.traffic = grown(number_at(rule, "/bytes_to_guest"), number_at(rule, "/bytes_to_host"), find(rules_before, one.id));
    rules_.push_back(std::move(one));
  }
  std::stable_sort(rules_.begin(), rules_.end(),
                   [](const TopRule& a, const TopRule& b) { return a.traffic.rate() > b.traffic.rate(); });

  const auto flows_before = by_id(flows_);
  flows_.clear();
  for (const Json& page : flow_pages)
    for (const Json& flow : array_at(page, "/flows")) {
      TopFlow one;
      one.id = number_at(flow, "/id");
      one.rule = number_at(flow, "/rule");
      one.proto = plain(text_at(flow, "/proto"));
      one.path = plain(text_at(flow, "/path"));
      one.state = plain(text_at(flow, "/state"));
      one.peer = endpoint_of(flow, "peer");
      one.guest = endpoint_of(flow, "guest");
      one.age = seconds_at(flow, "/age");
      one.traffic = grown(number_at(flow, "/bytes_to_guest"), number_at(flow, "/bytes_to_host"), find(flows_before, one.id));
      flows_.push_back(std::move(one));
    }
}

std::vector<TopFlow> TopState::flows(TopOrder order) const {
  std::vector<TopFlow> sorted = flows_;
  std::stable_sort(sorted.begin(), sorted.end(), [order](const TopFlow& a, const TopFlow& b) {
    switch (order) {
      case TopOrder::bytes:
        return a.traffic.to_guest + a.traffic.to_host > b.traffic.to_guest + b.traffic.to_host;
      case TopOrder::age:
        return a.age > b.age;
      case TopOrder::rate:
        break;
    }
    return a.traffic.rate() > b.traffic.rate();
  });
  return sorted;
}

}  // namespace nh::ctl
