// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/rule_table.h"

#include <algorithm>

#include "src/base/log.h"

namespace nh {
namespace {

// Ports that the kernel chooses for TCP and that UDP does not have free as well: so many are tried.
constexpr int pair_attempts = 16;

Error of_rule(Error error, const RuleSpec& spec, std::size_t index, std::size_t count) {
  if (count < 2) return error;
  const std::string name = "rules[" + std::to_string(index) + "]";
  error.field = error.field.empty() ? name : name + "." + error.field;
  return std::move(error).in(name + " (" + spec.text() + ")");
}

}  // namespace

/// A set of rules on its way into force.
struct RuleTable::Installation {
  std::set<std::uint64_t> dropped;                                ///< rules that go
  std::multimap<std::string, std::uint64_t> pool = {};            ///< their listeners by place
  std::map<std::uint64_t, std::vector<std::uint64_t>> made = {};  ///< new rules' listeners
  std::vector<std::uint64_t> opened = {}, suspended = {};
  std::vector<std::pair<std::uint64_t, std::pair<std::uint64_t, ListenerPlan>>> taken = {};  ///< number, rule, plan
};

RuleTable::RuleTable(RuleTableSetup setup)
    : setup_(std::move(setup)), listeners_([&] {
        ListenersSetup with = setup_.listeners;
        with.failed = [this](std::uint64_t rule, const std::string& reason) { on_failed(rule, reason); };
        return with;
      }()) {}

Result<std::vector<RuleEntry>> RuleTable::add(const std::vector<RuleSpec>& specs) {
  std::vector<std::size_t> all(specs.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  NH_LET(ids, install(specs, all, {}));
  return entries(ids);
}

Result<std::vector<RuleEntry>> RuleTable::replace(const std::vector<RuleSpec>& specs) {
  std::multimap<std::string, std::uint64_t> present;
  std::set<std::uint64_t> dropped;
  for (const auto& [id, rule] : rules_) {
    present.emplace(rule.spec.text(), id);
    dropped.insert(id);
  }
  std::vector<std::uint64_t> ids(specs.size());
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const auto same = present.find(specs[i].text());
    if (same == present.end()) {
      fresh.push_back(i);
      continue;
    }
    ids[i] = same->second;
    dropped.erase(same->second);
    present.erase(same);
  }
  NH_LET(made, install(specs, fresh, std::move(dropped)));
  for (std::size_t i = 0; i < fresh.size(); ++i) ids[fresh[i]] = made[i];
  std::sort(ids.begin(), ids.end());
  return entries(ids);
}

Result<> RuleTable::remove(const std::vector<std::uint64_t>& ids) {
  for (const std::uint64_t id : ids)
    if (!rules_.contains(id))
      return Error{.code = Code::missing, .what = "there is no forward " + std::to_string(id), .field = "id"};
  for (const std::uint64_t id : std::set<std::uint64_t>(ids.begin(), ids.end())) close_rule(id);
  follow_guest();
  ask_for_ports();
  return Ok{};
}

Result<std::vector<std::uint64_t>> RuleTable::install(const std::vector<RuleSpec>& specs,
                                                      const std::vector<std::size_t>& indices,
                                                      std::set<std::uint64_t> dropped) {
  Installation job{.dropped = std::move(dropped)};
  for (const std::uint64_t id : job.dropped)
    for (const std::uint64_t number : rules_.at(id).listeners)
      if (listeners_.works(number)) job.pool.emplace(listeners_.plan(number).place(), number);

  std::vector<std::uint64_t> ids;
  std::uint64_t id = next_id_;
  for (const std::size_t index : indices) {
    const RuleSpec& spec = specs[index];
    job.made[id];
    Result<> opened = Ok{};
    if (spec.kind != RuleSpec::Kind::automatic) {
      auto plans = plan_listeners(spec, setup_.rules);
      opened = plans ? open_all(job, id, *plans) : Result<>(std::move(plans).error());
    }
    if (!opened) {
      undo(job);
      return of_rule(std::move(opened).error(), spec, index, specs.size());
    }
    ids.push_back(id++);
  }

  next_id_ = id;
  for (std::size_t i = 0; i < ids.size(); ++i)
    rules_.emplace(ids[i], Rule{.spec = specs[indices[i]], .listeners = job.made[ids[i]]});
  commit(job);
  ask_for_ports();
  for (const std::uint64_t made : ids)
    if (setup_.events != nullptr && setup_.events->wanted()) publish(RuleAdded{entry(made, rules_.at(made))});
  return ids;
}

Result<> RuleTable::open_all(Installation& job, std::uint64_t id, const std::vector<ListenerPlan>& plans) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (i + 1 < plans.size() && plans[i + 1].same_port) {
      NH_TRY(open_pair(job, id, plans[i], plans[i + 1]));
      ++i;
      continue;
    }
    NH_TRY(open_one(job, id, plans[i], 0));
  }
  return Ok{};
}

Result<> RuleTable::open_pair(Installation& job, std::uint64_t id, const ListenerPlan& tcp, const ListenerPlan& udp) {
  for (int attempt = 1;; ++attempt) {
    NH_LET(first, open_one(job, id, tcp, 0));
    auto second = open_one(job, id, udp, listeners_.bound(first).port);
    if (second) return Ok{};
    if (second.error().code != Code::in_use || attempt == pair_attempts || job.opened.empty() || job.opened.back() != first)
      return std::move(second).error();
    job.opened.pop_back();
    job.made[id].pop_back();
    listeners_.close(first);
  }
}

Result<std::uint64_t> RuleTable::open_one(Installation& job, std::uint64_t id, const ListenerPlan& plan,
                                          std::uint16_t port) {
  const auto [first, last] = job.pool.equal_range(plan.place());
  // With a port that another listener got before, only that one fits.
  const auto same =
      std::find_if(first, last, [&](const auto& one) { return port == 0 || listeners_.bound(one.second).port == port; });
  if (same != last) {
    const std::uint64_t number = same->second;
    NH_TRY(listeners_.may_change(number, plan));
    job.pool.erase(same);
    job.taken.push_back({number, {id, plan}});
    job.made[id].push_back(number);
    return number;
  }
  auto opened = listeners_.open(id, plan, port);
  if (!opened && opened.error().code == Code::in_use) {
    // Whoever goes anyway, or only follows the guest, makes room; but no listener that stays.
    const auto makes_room = [&](std::uint64_t number) {
      const std::uint64_t owner = listeners_.rule(number);
      const auto rule = rules_.find(owner);
      const bool stays =
          std::any_of(job.taken.begin(), job.taken.end(), [&](const auto& one) { return one.first == number; });
      return rule != rules_.end() && !stays &&
             (job.dropped.contains(owner) || rule->second.spec.kind == RuleSpec::Kind::automatic);
    };
    bool any = false;
    for (const std::uint64_t number : listeners_.rivals(plan)) {
      if (!makes_room(number)) continue;
      std::erase_if(job.pool, [&](const auto& one) { return one.second == number; });
      listeners_.suspend(number);
      job.suspended.push_back(number);
      any = true;
    }
    if (any) opened = listeners_.open(id, plan, port);
  }
  if (!opened) return std::move(opened).error();
  job.opened.push_back(*opened);
  job.made[id].push_back(*opened);
  return *opened;
}

void RuleTable::undo(Installation& job) {
  for (const std::uint64_t number : job.opened) listeners_.close(number);
  for (const auto& [id, numbers] : job.made) forget(id);
  for (const std::uint64_t number : job.suspended) listeners_.resume(number);
}

void RuleTable::forget(std::uint64_t id) {
  for (Carrier* carrier : listeners_.carriers()) carrier->forget_rule(id);
}

void RuleTable::commit(Installation& job) {
  for (const auto& [number, heir] : job.taken) {
    std::erase(rules_.at(listeners_.rule(number)).listeners, number);
    listeners_.change(number, heir.first, heir.second);
  }
  // An automatic rule that takes the place of another takes its listeners over before they are closed.
  for (const auto& [id, numbers] : job.made) {
    Rule& rule = rules_.at(id);
    if (rule.spec.kind != RuleSpec::Kind::automatic) continue;
    for (const ListenerPlan& plan : plan_automatic(rule.spec, setup_.rules, guest_ports_, {})) {
      const auto same = job.pool.find(plan.place());
      if (same == job.pool.end()) continue;
      std::erase(rules_.at(listeners_.rule(same->second)).listeners, same->second);
      listeners_.change(same->second, id, plan);
      rule.listeners.push_back(same->second);
      job.pool.erase(same);
    }
  }
  for (const std::uint64_t id : job.dropped) close_rule(id);
  follow_guest();
}

void RuleTable::close_rule(std::uint64_t id) {
  const auto found = rules_.find(id);
  for (const std::uint64_t number : found->second.listeners) listeners_.close(number);
  forget(id);
  RuleRemoved removed{.id = id, .rule = found->second.spec.text()};
  rules_.erase(found);
  publish(removed);
}

void RuleTable::clear() {
  listeners_.clear();
  rules_.clear();
}

void RuleTable::guest_listens(std::vector<GuestPort> ports) {
  guest_ports_ = std::move(ports);
  follow_guest();
}

void RuleTable::follow_guest() {
  for (auto& [id, rule] : rules_)
    if (rule.spec.kind == RuleSpec::Kind::automatic) follow_guest(id, rule);
}

void RuleTable::follow_guest(std::uint64_t id, Rule& rule) {
  std::map<std::string, ListenerPlan> wanted;
  for (ListenerPlan& plan : plan_automatic(rule.spec, setup_.rules, guest_ports_, listeners_.host_ports_without(id))) {
    std::string place = plan.place();
    wanted.emplace(std::move(place), std::move(plan));
  }
  std::erase_if(rule.reported, [&](const std::string& place) { return !wanted.contains(place); });
  std::erase_if(rule.listeners, [&](std::uint64_t number) {
    const auto still = wanted.find(listeners_.plan(number).place());
    if (still == wanted.end() || !listeners_.works(number)) {
      listeners_.close(number);
      return true;
    }
    if (still->second.destination != listeners_.plan(number).destination) listeners_.change(number, id, still->second);
    wanted.erase(still);
    return false;
  });
  for (const auto& [place, plan] : wanted) {
    auto opened = listeners_.open(id, plan);
    if (opened) {
      rule.reported.erase(place);
      rule.listeners.push_back(*opened);
    } else if (rule.reported.insert(place).second) {
      on_failed(id, opened.error().message());
    }
  }
}

void RuleTable::ask_for_ports() {
  const bool wanted = std::any_of(rules_.begin(), rules_.end(),
                                  [](const auto& one) { return one.second.spec.kind == RuleSpec::Kind::automatic; });
  if (wanted == following_) return;
  following_ = wanted;
  if (!wanted) guest_ports_.clear();
  if (setup_.follow_ports) setup_.follow_ports(wanted);
}

void RuleTable::path_changed(const KernelPathState& before, const KernelPathState& now) {
  listeners_.path_changed();
  const bool off = now.phase == KernelPathState::Phase::off;
  if (off != (before.phase == KernelPathState::Phase::off))
    publish(PathChanged{.path = off ? FlowPath::libslirp : FlowPath::relay, .reason = now.forwards_reason()});
}

void RuleTable::on_failed(std::uint64_t id, const std::string& reason) {
  const auto found = rules_.find(id);
  log::rate_limited(log::Level::warning, "forward-failed",
                    "forward " + std::to_string(id) + (found == rules_.end() ? "" : " (" + found->second.spec.text() + ")") +
                        ": " + reason);
  publish(RuleFailed{.id = id, .reason = reason});
}

void RuleTable::publish(const Event& event) {
  if (setup_.events != nullptr && setup_.events->wanted()) setup_.events->publish(event);
}

RuleEntry RuleTable::entry(std::uint64_t id, const Rule& rule) const {
  RuleEntry entry{.id = id, .spec = rule.spec, .listeners = {}, .counters = {}};
  for (const std::uint64_t number : rule.listeners) entry.listeners.push_back(listeners_.entry(number));
  for (const Carrier* carrier : listeners_.carriers()) entry.counters += carrier->of_rule(id);
  return entry;
}

std::vector<RuleEntry> RuleTable::entries(const std::vector<std::uint64_t>& ids) const {
  std::vector<RuleEntry> all;
  for (const std::uint64_t id : ids) all.push_back(entry(id, rules_.at(id)));
  return all;
}

std::vector<RuleEntry> RuleTable::list() const {
  std::vector<RuleEntry> all;
  for (const auto& [id, rule] : rules_) all.push_back(entry(id, rule));
  return all;
}

std::vector<FlowRecord> RuleTable::flows(const FlowQuery& query) const {
  std::vector<FlowRecord> all;
  for (const Carrier* carrier : listeners_.carriers()) {
    auto more = carrier->flows(query);
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(), [](const FlowRecord& a, const FlowRecord& b) { return a.id < b.id; });
  if (all.size() > query.limit) all.resize(query.limit);
  return all;
}

bool RuleTable::kill_flow(std::uint64_t id) {
  const auto& carriers = listeners_.carriers();
  return std::any_of(carriers.begin(), carriers.end(), [id](Carrier* carrier) { return carrier->kill(id); });
}

}  // namespace nh
