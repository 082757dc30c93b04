// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/top_view.h"

#include <algorithm>

#include "tools/netns-ctl/table.h"

namespace nh::ctl {
namespace {

std::string rate_or_dash(const TopState& state, double rate) {
  return state.has_rates() ? human_rate(rate) : "-";
}

std::string bytes_text(std::uint64_t bytes) {
  return human_bytes(static_cast<double>(bytes));
}

std::string order_name(TopOrder order) {
  return order == TopOrder::rate ? "rate" : order == TopOrder::bytes ? "bytes" : "age";
}

std::vector<std::string> head(const TopState& state) {
  const Traffic& total = state.total();
  return {
      "netns-helper up " + human_age(state.uptime()) + "   to guest " + rate_or_dash(state, total.guest_rate) + " (" +
          bytes_text(total.to_guest) + ")   to host " + rate_or_dash(state, total.host_rate) + " (" +
          bytes_text(total.to_host) + ")",
      "flows " + std::to_string(state.flows_now()) + " (" + (state.by_path().empty() ? "-" : state.by_path()) + ")   new " +
          (state.has_rates() ? std::to_string(static_cast<std::uint64_t>(state.opened_rate() + 0.5)) : std::string("-")) +
          "/s"};
}

std::vector<std::string> rule_lines(const TopState& state, std::size_t width) {
  Table table({{"RULE", true},
               {"HOST"},
               {"GUEST", false, 1},
               {"PATH", false, 3},
               {"FLOWS", true},
               {"FAILED", true, 2},
               {"TO GUEST", true},
               {"TO HOST", true},
               {"BYTES", true, 4}});
  for (const TopRule& rule : state.rules())
    table.add({std::to_string(rule.id), rule.host, rule.guest, rule.path, std::to_string(rule.flows),
               std::to_string(rule.failed), rate_or_dash(state, rule.traffic.guest_rate),
               rate_or_dash(state, rule.traffic.host_rate), bytes_text(rule.traffic.to_guest + rule.traffic.to_host)});
  return table.lines(width);
}

std::vector<std::string> flow_lines(const TopState& state, TopOrder order, std::size_t width, std::size_t most) {
  Table table({{"FLOW", true},
               {"RULE", true, 4},
               {"PROTO", false, 3},
               {"PATH", false, 5},
               {"PEER"},
               {"GUEST", false, 1},
               {"AGE", true, 2},
               {"TO GUEST", true},
               {"TO HOST", true},
               {"BYTES", true, 6}});
  for (const TopFlow& flow : state.flows(order)) {
    if (most-- == 0) break;
    table.add({std::to_string(flow.id), flow.rule != 0 ? std::to_string(flow.rule) : "-", flow.proto,
               flow.state == "connecting" ? flow.state : flow.path, flow.peer, flow.guest, human_age(flow.age),
               rate_or_dash(state, flow.traffic.guest_rate), rate_or_dash(state, flow.traffic.host_rate),
               bytes_text(flow.traffic.to_guest + flow.traffic.to_host)});
  }
  return table.lines(width);
}

}  // namespace

std::vector<std::string> draw_top(const TopState& state, TopOrder order, ScreenSize size) {
  std::vector<std::string> lines = head(state);
  const std::size_t rows = size.rows == 0 ? SIZE_MAX : size.rows;

  // Two lines of totals, two empty ones, two of headings, one of keys; of the rest the rules get a third at most, unless the flows
  // leave them more.
  const auto rules = rule_lines(state, size.columns);
  const std::size_t fixed = lines.size() + 5;
  const std::size_t room = rows > fixed ? rows - fixed : 0;
  const std::size_t flows_want = std::min(state.flow_count(), room);
  const std::size_t rules_room = std::max(room / 3, room - flows_want);
  const std::size_t rules_shown = std::min(rules.size() - 1, rules_room);
  lines.emplace_back();
  lines.insert(lines.end(), rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(rules_shown) + 1);
  lines.emplace_back();
  const auto flows = flow_lines(state, order, size.columns, room - rules_shown);
  lines.insert(lines.end(), flows.begin(), flows.end());

  const std::size_t flows_shown = flows.size() - 1;
  std::string last = "sorted by " + order_name(order) + "; r rate, b bytes, a age, q quit";
  if (rules_shown + 1 < rules.size()) last += "; " + std::to_string(rules.size() - 1 - rules_shown) + " more rules";
  if (flows_shown < state.flow_count() || state.more_flows())
    last += "; " + std::to_string(state.flow_count() - flows_shown) + (state.more_flows() ? "+" : "") + " more flows";
  if (lines.size() >= rows) lines.resize(rows);
  if (lines.size() < rows) lines.push_back(last);
  for (std::string& line : lines)
    if (size.columns > 0) line = cut(line, size.columns);
  return lines;
}

std::string terminal_frame(const std::vector<std::string>& lines, ScreenSize size) {
  std::string frame = "\x1b[H";  // cursor home (ECMA-48)
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) frame += "\r\n";
    frame += lines[i];
    if (lines[i].size() < size.columns) frame += "\x1b[K";  // erase to the end of the line
  }
  // Erases what is left of a frame of a larger screen. Not after a full last line, whose last character it would erase.
  if (lines.size() < size.rows) frame += "\r\n\x1b[J";
  return frame;
}

}  // namespace nh::ctl
