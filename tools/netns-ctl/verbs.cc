// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/verbs.h"

#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tools/netns-ctl/reply.h"
#include "tools/netns-ctl/show.h"
#include "tools/netns-ctl/terminal.h"

namespace nh::ctl {
namespace {

int fail(int code, const std::string& text) {
  std::fprintf(stderr, "netns-ctl: %s\n", text.c_str());
  return code;
}

/// To standard output; false: its reader has closed it, which is not an error.
bool print(const std::string& text) {
  return write_all(STDOUT_FILENO, text);
}

std::string request(const std::string& name, const Json& arguments = Json::object()) {
  return text_of(Json{{"execute", name}, {"arguments", arguments}});
}

using Show = std::string (*)(const Json& result, std::size_t width);

struct Asked {
  int code = exit_done;
  Json result;
};

/// Sends a request. Prints the reply with --json, else an error of the helper on standard error.
Asked ask(Client& client, const Options& options, const std::string& text) {
  const auto line = client.ask(text);
  if (!line) return {fail(exit_unreached, line.error().message()), {}};
  auto reply = parse_reply(*line);
  if (!reply) return {fail(exit_refused, reply.error().message()), {}};
  if (options.json) print(*line + "\n");
  if (reply->refused()) return {options.json ? exit_refused : fail(exit_refused, reply->error), {}};
  return {exit_done, std::move(reply->value)};
}

int ask_and_show(Client& client, const Options& options, const std::string& text, Show show) {
  const Asked asked = ask(client, options, text);
  if (asked.code == exit_done && !options.json) print(show(asked.result, screen_size(STDOUT_FILENO).columns));
  return asked.code;
}

std::string rules_table(const Json& result, std::size_t width) {
  return show_rules(array_at(result, "/rules"), width);
}
std::string nothing(const Json&, std::size_t) {
  return "";
}

Json strings(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push_back(text);
  return array;
}

Result<std::string> read_file(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return sys_error("reading " + path);
  text << file.rdbuf();
  return text.str();
}

int replace(Client& client, const Options& options) {
  Json rules = strings(options.rules);
  if (!options.file.empty()) {
    const auto text = read_file(options.file);
    if (!text) return fail(exit_usage, text.error().message());
    const auto array = rules_of_text(*text);
    if (!array) return fail(exit_usage, options.file + ": " + array.error().message());
    rules = Json::parse(*array, nullptr, false);
  }
  return ask_and_show(client, options, request("forward.replace", {{"rules", rules}}), rules_table);
}

/// Prints all pages; with --json one line each.
int flows(Client& client, const Options& options) {
  Json all = Json::array();
  std::string after = "0";
  while (!after.empty()) {
    Json arguments{{"after", Json::parse(after, nullptr, false)}};
    if (options.rule) arguments["rule"] = *options.rule;
    Asked asked = ask(client, options, request("flow.list", arguments));
    if (asked.code != exit_done) return asked.code;
    for (const Json& flow : array_at(asked.result, "/flows")) all.push_back(flow);
    after = text_at(asked.result, "/next");
  }
  if (!options.json) print(show_flows(all, screen_size(STDOUT_FILENO).columns));
  return exit_done;
}

/// One request for each flow, so that an id that has ended does not keep the others from being reset.
int kill(Client& client, const Options& options) {
  int code = exit_done;
  for (const std::uint64_t id : options.ids) {
    const int one = ask_and_show(client, options, request("flow.kill", {{"id", id}}), nothing);
    if (one == exit_unreached) return one;
    if (one != exit_done) code = one;
  }
  return code;
}

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[16] = {};
  std::strftime(text, sizeof text, "%H:%M:%S", &local);
  return text;
}

int events(Client& client, const Options& options) {
  Json arguments = Json::object();
  if (!options.events.empty()) arguments["events"] = strings(options.events);
  const Asked asked = ask(client, options, request("events.subscribe", arguments));
  if (asked.code != exit_done) return asked.code;
  for (;;) {
    const auto line = client.next_line();
    if (!line) return fail(exit_unreached, line.error().message());
    const auto event = parse_line(*line);
    if (!event) return fail(exit_refused, event.error().message());
    if (!print((options.json ? *line : show_event(*event, time_of_day())) + "\n")) return exit_done;
  }
}

}  // namespace

Result<std::string> rules_of_text(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return std::string("[]");
  if (text[begin] != '[' && text[begin] != '{') {
    Json rules = Json::array();
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      line.erase(line.find_last_not_of(" \t\r") + 1);
      line.erase(0, line.find_first_not_of(" \t"));
      if (!line.empty() && line.front() != '#') rules.push_back(line);
    }
    return text_of(rules);
  }
  NH_LET(parsed, parse_checked(text, {.values = 10'000'000, .members = 10'000}));
  if (parsed.is_array()) return text_of(parsed);
  const Json* listed = &parsed;
  if (listed->contains("return")) listed = &(*listed)["return"];
  if (!listed->is_object() || !listed->contains("rules") || !(*listed)["rules"].is_array())
    return Error{.code = Code::invalid, .what = "neither an array of rules nor a reply of forward.list"};
  Json rules = Json::array();
  for (const Json& rule : (*listed)["rules"])
    rules.push_back(rule.is_object() && rule.contains("spec") ? rule["spec"] : rule);
  return text_of(rules);
}

int run_verb(Client& client, const Options& options) {
  switch (options.verb) {
    case Verb::forward_add:
      return ask_and_show(client, options, request("forward.add", {{"rules", strings(options.rules)}}), rules_table);
    case Verb::forward_remove: {
      Json ids = Json::array();
      for (const std::uint64_t id : options.ids) ids.push_back(id);
      return ask_and_show(client, options, request("forward.remove", {{"ids", ids}}), nothing);
    }
    case Verb::forward_replace:
      return replace(client, options);
    case Verb::forward_list:
      return ask_and_show(client, options, request("forward.list"), rules_table);
    case Verb::flows:
      return flows(client, options);
    case Verb::kill:
      return kill(client, options);
    case Verb::stats:
      return ask_and_show(client, options, request("stats"), show_stats);
    case Verb::events:
      return events(client, options);
    case Verb::info:
      return ask_and_show(client, options, request("info"), show_members);
    case Verb::top:
      break;
  }
  NH_BUG_IF(true);
}

}  // namespace nh::ctl
