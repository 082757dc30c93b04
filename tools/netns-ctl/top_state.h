// SPDX-License-Identifier: BSD-3-Clause
// TopState: totals, rules and flows from the helper's replies, each with its rates since the update before. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/json/json_checked.h"

namespace nh::ctl {

/// Bytes so far, and rates.
struct Traffic {
  std::uint64_t to_guest = 0, to_host = 0;
  double guest_rate = 0, host_rate = 0;  ///< bytes a second
  double rate() const { return guest_rate + host_rate; }
};

struct TopRule {
  std::uint64_t id = 0, flows = 0, failed = 0;
  std::string host, guest, path;
  Traffic traffic;
};

struct TopFlow {
  std::uint64_t id = 0, rule = 0;
  std::string proto, path, state, peer, guest;
  double age = 0;
  Traffic traffic;
};

enum class TopOrder : std::uint8_t { rate, bytes, age };

class TopState {
 public:
  /// An update: the results of stats, forward.list and flow.list (all pages that were asked for). `more`: there are further flows.
  void update(const Json& stats, const Json& rules, const std::vector<Json>& flow_pages, bool more);

  /// There were two updates, so rates are known.
  bool has_rates() const { return updates_ > 1; }
  double uptime() const { return uptime_; }
  const Traffic& total() const { return total_; }
  std::uint64_t flows_now() const { return flows_now_; }
  double opened_rate() const { return opened_rate_; }
  const std::string& by_path() const { return by_path_; }
  bool more_flows() const { return more_flows_; }
  /// By rate, then by id.
  const std::vector<TopRule>& rules() const { return rules_; }
  std::vector<TopFlow> flows(TopOrder order) const;
  std::size_t flow_count() const { return flows_.size(); }

 private:
  Traffic grown(std::uint64_t to_guest, std::uint64_t to_host, const Traffic* before) const;

  unsigned updates_ = 0;
  double time_ = 0, elapsed_ = 0, uptime_ = 0, opened_rate_ = 0;
  Traffic total_;
  std::uint64_t flows_now_ = 0, opened_ = 0;
  std::string by_path_;
  bool more_flows_ = false;
  std::vector<TopRule> rules_;
  std::vector<TopFlow> flows_;
};

}  // namespace nh::ctl
