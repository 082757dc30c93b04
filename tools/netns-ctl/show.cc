// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/show.h"

#include <algorithm>

#include "tools/netns-ctl/reply.h"
#include "tools/netns-ctl/table.h"

namespace nh::ctl {
namespace {

std::string ends(const Json& flow, const std::string& which) {
  return endpoint_text(text_at(flow, "/" + which + "_addr"), text_at(flow, "/" + which + "_port"));
}

std::string bytes_at(const Json& value, const std::string& pointer) {
  return human_bytes(static_cast<double>(number_at(value, pointer)));
}

std::string or_dash(std::string text) {
  return text.empty() ? "-" : text;
}

void flatten(const Json& value, const std::string& name, Table& table) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) flatten(inner, name.empty() ? key : name + "." + key, table);
    return;
  }
  if (value.is_array()) {
    if (value.empty()) table.add({name, "-"});
    for (const Json& each : value) table.add({name, text_at(each, "")});
    return;
  }
  table.add({name, or_dash(text_at(value, ""))});
}

/// "tcp 192.0.2.7:5000 -> 10.0.2.100:80 relay rule 1"
std::string flow_words(const Json& flow) {
  std::string words = text_at(flow, "/proto") + " " + ends(flow, "peer") + " -> " + ends(flow, "guest");
  if (text_at(flow, "/direction") == "out")
    words = text_at(flow, "/proto") + " " + ends(flow, "guest") + " -> " + ends(flow, "peer");
  words += " " + text_at(flow, "/path");
  if (const auto rule = text_at(flow, "/rule"); !rule.empty()) words += " rule " + rule;
  return words;
}

}  // namespace

std::vector<ListenerGroup> groups_of(const Json& rule) {
  struct Gathered {
    ListenerGroup group;
    std::string host_address, guest_address;
    std::vector<std::uint64_t> host_ports, guest_ports;
  };
  std::vector<Gathered> all;
  for (const Json& listener : array_at(rule, "/listeners")) {
    Gathered one;
    one.group.proto = text_at(listener, "/proto");
    one.group.path = text_at(listener, "/path");
    one.group.note = text_at(listener, "/reason");
    if (text_at(listener, "/paused") == "true")
      one.group.note = one.group.note.empty() ? "paused" : "paused; " + one.group.note;
    one.group.host = text_at(listener, "/host_unix");
    one.host_address = text_at(listener, "/host_addr");
    one.guest_address = text_at(listener, "/guest_addr");
    const auto same = std::find_if(all.begin(), all.end(), [&](const Gathered& other) {
      return other.group.proto == one.group.proto && other.group.path == one.group.path &&
             other.group.note == one.group.note && other.group.host == one.group.host &&
             other.host_address == one.host_address && other.guest_address == one.guest_address;
    });
    Gathered& into = same != all.end() ? *same : all.emplace_back(std::move(one));
    into.host_ports.push_back(number_at(listener, "/host_port"));
    into.guest_ports.push_back(number_at(listener, "/guest_port"));
  }
  std::vector<ListenerGroup> groups;
  for (Gathered& each : all) {
    if (each.group.host.empty()) each.group.host = endpoint_text(each.host_address, ports_text(each.host_ports));
    each.group.guest = endpoint_text(each.guest_address, ports_text(each.guest_ports));
    groups.push_back(std::move(each.group));
  }
  return groups;
}

std::string show_rules(const Json& rules, std::size_t width) {
  Table table({{"ID", true},
               {"KIND", false, 5},
               {"PROTO", false, 2},
               {"HOST"},
               {"GUEST"},
               {"PATH", false, 3},
               {"FLOWS", true, 1},
               {"OPENED", true, 6},
               {"FAILED", true, 4},
               {"TO GUEST", true, 1},
               {"TO HOST", true, 1},
               {"NOTE", false, 7}});
  for (const Json& rule : rules) {
    std::vector<ListenerGroup> groups = groups_of(rule);
    if (groups.empty()) groups.push_back({"", text_at(rule, "/text"), "-", "-", "no listener at present"});
    bool first = true;
    for (const ListenerGroup& group : groups) {
      const auto once = [&](std::string text) { return first ? text : std::string(); };
      table.add({once(text_at(rule, "/id")), once(text_at(rule, "/spec/kind")), group.proto, group.host, group.guest,
                 group.path, once(text_at(rule, "/flows")), once(text_at(rule, "/flows_opened")),
                 once(text_at(rule, "/flows_failed")), once(bytes_at(rule, "/bytes_to_guest")),
                 once(bytes_at(rule, "/bytes_to_host")), group.note});
      first = false;
    }
  }
  return table.text(width);
}

std::string show_flows(const Json& flows, std::size_t width) {
  Table table({{"ID", true},
               {"RULE", true, 4},
               {"PROTO", false, 3},
               {"PATH", false, 2},
               {"STATE", false, 5},
               {"AGE", true, 1},
               {"PEER"},
               {"SEEN AS", false, 7},
               {"HOST", false, 6},
               {"GUEST"},
               {"TO GUEST", true, 1},
               {"TO HOST", true, 1}});
  for (const Json& flow : flows) {
    const std::string peer = ends(flow, "peer"), seen = ends(flow, "seen");
    table.add({text_at(flow, "/id"), or_dash(text_at(flow, "/rule")), text_at(flow, "/proto"), text_at(flow, "/path"),
               text_at(flow, "/state"), human_age(seconds_at(flow, "/age")), peer, seen == peer ? "itself" : seen,
               ends(flow, "host"), ends(flow, "guest"), bytes_at(flow, "/bytes_to_guest"),
               bytes_at(flow, "/bytes_to_host")});
  }
  return table.text(width);
}

std::string show_members(const Json& object, std::size_t width) {
  Table table({{"NAME"}, {"VALUE"}});
  flatten(object, "", table);
  return table.text(width);
}

std::string show_stats(const Json& stats, std::size_t width) {
  Json numbers = stats;
  numbers.erase("rules");
  numbers.erase("limits");
  std::string text = show_members(numbers, width);
  Table limits({{"LIMIT"}, {"USED", true}, {"OF", true}});
  if (stats.contains("limits"))
    for (const auto& [name, use] : stats["limits"].items())
      limits.add({name, text_at(use, "/used"), text_at(use, "/limit")});
  if (!limits.empty()) text += "\n" + limits.text(width);
  Table rules(
      {{"RULE", true}, {"FLOWS", true}, {"OPENED", true, 2}, {"FAILED", true, 1}, {"TO GUEST", true}, {"TO HOST", true}});
  for (const Json& rule : array_at(stats, "/rules"))
    rules.add({text_at(rule, "/id"), text_at(rule, "/flows"), text_at(rule, "/flows_opened"), text_at(rule, "/flows_failed"),
               bytes_at(rule, "/bytes_to_guest"), bytes_at(rule, "/bytes_to_host")});
  if (!rules.empty()) text += "\n" + rules.text(width);
  return text;
}

std::string show_event(const Json& event, const std::string& time) {
  const std::string name = text_at(event, "/event");
  const Json data = event.contains("data") ? event["data"] : Json::object();
  std::string words;
  if (name.starts_with("flow_")) {
    words = "flow " + text_at(data, "/id") + " " + flow_words(data);
    if (name == "flow_closed")
      words += " " + text_at(data, "/end") + " after " + human_age(seconds_at(data, "/age")) + ", " +
               bytes_at(data, "/bytes_to_guest") + " to guest, " + bytes_at(data, "/bytes_to_host") + " to host";
  } else if (name.starts_with("rule_")) {
    words = "rule " + text_at(data, "/id");
    for (const char* member : {"/text", "/reason"})
      if (const auto text = text_at(data, member); !text.empty()) words += " " + text;
  } else {
    for (const auto& [key, value] : data.items()) words += (words.empty() ? "" : " ") + key + "=" + text_at(value, "");
  }
  return time + "  " + plain(name + std::string(name.size() < 13 ? 13 - name.size() : 0, ' ') + " " + words);
}

}  // namespace nh::ctl
