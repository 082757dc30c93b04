// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/options.h"

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "src/base/number.h"

namespace nh::ctl {
namespace {

/// The texts as CLI11 collects them; each becomes a type below.
struct Raw {
  std::string socket, pid, rule, interval, frames, file;
  std::vector<std::string> rules, rule_ids, flow_ids, events;
  bool json = false, version = false;
};

constexpr std::uint64_t largest_id = std::numeric_limits<std::int64_t>::max();

class Declaration {
 public:
  Declaration(CLI::App& app, Raw& raw) {
    app.set_help_flag("-h,--help", "Print this, or the help of the command before it, and exit");
    app.add_flag("-V,--version", raw.version, "Print the version and exit");
    app.add_option("-s,--socket", raw.socket, "The helper's control socket")->type_name("SOCKET")->check(not_empty);
    app.add_option("--pid", raw.pid, "The helper with this pid, or the one whose guest has it")->type_name("PID");
    app.add_flag("--json", raw.json, "Print the replies themselves, one line each");
    app.fallthrough();
    app.require_subcommand(0, 1);

    CLI::App* forward = command(app, "forward", "The rules of the port forwards");
    forward->require_subcommand(1);
    CLI::App* add = command(*forward, "add", "Add rules, all of them or none");
    add->add_option("RULE", raw.rules, "A rule, as netns-helper(1) takes it")->required();
    verbs_.emplace_back(add, Verb::forward_add);
    CLI::App* remove = command(*forward, "remove", "Remove rules, all of them or none");
    remove->add_option("ID", raw.rule_ids, "A rule's id")->required();
    verbs_.emplace_back(remove, Verb::forward_remove);
    CLI::App* replace = command(*forward, "replace", "Have these rules from now on; those that stay are not touched");
    CLI::Option* rules = replace->add_option("RULE", raw.rules, "A rule");
    replace->add_option("--file", raw.file, "Take the rules from this file: one a line, or JSON (- is standard input)")
        ->type_name("FILE")
        ->check(not_empty)
        ->excludes(rules);
    verbs_.emplace_back(replace, Verb::forward_replace);
    verbs_.emplace_back(command(*forward, "list", "Show the rules"), Verb::forward_list);

    CLI::App* flows = command(app, "flows", "Show the flows");
    flows->add_option("--rule", raw.rule, "Those of this rule only")->type_name("ID");
    verbs_.emplace_back(flows, Verb::flows);
    CLI::App* kill = command(app, "kill", "Reset flows");
    kill->add_option("FLOW", raw.flow_ids, "A flow's id")->required();
    verbs_.emplace_back(kill, Verb::kill);
    verbs_.emplace_back(command(app, "stats", "Show counters"), Verb::stats);
    CLI::App* events = command(app, "events", "Show what happens, until interrupted");
    events->add_option("NAME", raw.events, "A kind of event (all)");
    verbs_.emplace_back(events, Verb::events);
    verbs_.emplace_back(command(app, "info", "Show what the helper says about itself"), Verb::info);
    CLI::App* top = command(app, "top", "Show rules and flows by rate, live (keys: r rate, b bytes, a age, q quit)");
    top->add_option("--interval", raw.interval, "Seconds between two updates, 0.1 to 3600 (1)")->type_name("SECONDS");
    top->add_option("-n,--frames", raw.frames, "End after so many frames")->type_name("COUNT");
    verbs_.emplace_back(top, Verb::top);
  }

  std::optional<Verb> verb() const {
    for (const auto& [app, verb] : verbs_)
      if (app->parsed()) return verb;
    return std::nullopt;
  }

 private:
  static std::string not_empty(const std::string& text) { return text.empty() ? "must not be empty" : ""; }
  static CLI::App* command(CLI::App& parent, const char* name, const char* help) {
    CLI::App* made = parent.add_subcommand(name, help);
    made->fallthrough();
    return made;
  }

  std::vector<std::pair<CLI::App*, Verb>> verbs_;
};

Result<std::vector<std::uint64_t>> parse_ids(const std::vector<std::string>& texts, std::string_view name) {
  std::vector<std::uint64_t> ids;
  for (const std::string& text : texts) {
    NH_LET(id, parse_unsigned(text, 1, largest_id, name));
    ids.push_back(id);
  }
  return ids;
}

/// "1", "0.5", "2.25".
Result<std::chrono::milliseconds> parse_seconds(const std::string& text) {
  constexpr std::uint64_t least = 100, most = 3600 * 1000;
  const auto point = text.find('.');
  std::string fraction = point == text.npos ? "" : text.substr(point + 1);
  const bool too_fine = fraction.size() > 3;
  fraction.resize(3, '0');
  const auto whole = parse_unsigned(text.substr(0, point), 0, most, "interval");
  const auto part = parse_unsigned(fraction, 0, 999, "interval");
  const std::uint64_t ms = whole && part ? *whole * 1000 + *part : 0;
  if (too_fine || ms < least || ms > most)
    return Error{.code = Code::invalid,
                 .what = "--interval " + text + ": must be seconds from 0.1 to 3600, to the millisecond",
                 .field = "interval"};
  return std::chrono::milliseconds(ms);
}

Result<Options> options_of(Raw raw, Verb verb) {
  Options options;
  options.verb = verb;
  options.json = raw.json;
  options.socket = std::move(raw.socket);
  if (!raw.pid.empty()) {
    NH_LET(pid, parse_unsigned(raw.pid, 1, std::numeric_limits<std::int32_t>::max(), "--pid"));
    options.pid = static_cast<std::int64_t>(pid);
  }
  if (options.pid && !options.socket.empty())
    return Error{.code = Code::invalid, .what = "--pid and --socket exclude each other", .field = "pid"};
  options.rules = std::move(raw.rules);
  options.file = std::move(raw.file);
  if (verb == Verb::forward_replace && options.rules.empty() && options.file.empty())
    return Error{.code = Code::invalid, .what = "forward replace: rules or --file are needed", .field = "file"};
  NH_LET(ids, parse_ids(verb == Verb::kill ? raw.flow_ids : raw.rule_ids, verb == Verb::kill ? "FLOW" : "ID"));
  options.ids = std::move(ids);
  if (!raw.rule.empty()) {
    NH_LET(rule, parse_unsigned(raw.rule, 1, largest_id, "--rule"));
    options.rule = rule;
  }
  options.events = std::move(raw.events);
  if (!raw.interval.empty()) {
    NH_LET(interval, parse_seconds(raw.interval));
    options.interval = interval;
  }
  if (!raw.frames.empty()) {
    NH_LET(frames, parse_unsigned(raw.frames, 1, largest_id, "--frames"));
    options.frames = frames;
  }
  return options;
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  Raw raw;
  CLI::App app("Talks to the control socket of a running netns-helper.", "netns-ctl");
  CommandLine line;
  std::optional<Verb> verb;
  // CLI11 reports by exceptions; they end here.
  try {
    const Declaration declaration(app, raw);
    app.parse(argc, argv);
    verb = declaration.verb();
  } catch (const CLI::CallForHelp&) {
    line.print = app.help();
    return line;
  } catch (const CLI::Error& error) {
    return Error{.code = Code::invalid, .what = error.what()};
  }
  if (raw.version) {
    line.print = "netns-ctl version " NETNS_HELPER_VERSION "\n";
    return line;
  }
  if (!verb)
    return Error{.code = Code::invalid, .what = "a command is missing: forward, flows, kill, stats, events, info or top"};
  NH_LET(options, options_of(std::move(raw), *verb));
  line.options = std::move(options);
  return line;
}

}  // namespace nh::ctl
