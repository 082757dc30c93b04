// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace_steps.h"

#include <algorithm>
#include <cerrno>

namespace nh {

namespace {

using By = NamespaceEntry::By;

/// User namespaces nest at most this deep (user_namespaces(7)).
constexpr int deepest_nesting = 33;

bool contains(const std::vector<NamespaceType>& types, NamespaceType type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

bool same_process(const NamespaceEntry& a, const NamespaceEntry& b) {
  return a.by == By::pid && b.by == By::pid && a.number == b.number;
}

/// "net=join:pid:7"
std::string entry_text(const NamespaceSet& set, NamespaceType type) {
  return std::string(namespace_name(type)) + "=" + set.entry(type).text();
}

Error entry_error(int err, NamespaceType type, std::string what) {
  Error error = sys_error(err, std::move(what));
  error.field = namespace_name(type);
  return error;
}

/// The likely cause of a failed unshare(2), by errno.
std::string why_not_made(int err, bool user) {
  if (err == ENOSPC || err == EUSERS)
    return " (a limit of /proc/sys/user/max_*_namespaces is reached, or they are nested too deep)";
  if (err == EINVAL) return " (the kernel has no such kind, or we have several threads)";
  if (err != EPERM) return "";
  if (!user) return " (it needs CAP_SYS_ADMIN: make or join a user namespace too)";
  return " (may unprivileged users make user namespaces here? See kernel.unprivileged_userns_clone, "
         "kernel.apparmor_restrict_unprivileged_userns, and a container's seccomp filter; a chroot is refused too)";
}

/// Collects joins into steps: the joins of one process are one step, at the place of the first.
class Joins {
 public:
  Joins(std::vector<NamespaceStep>& steps, const NamespaceSet& set) : steps_(steps), set_(set), first_(steps.size()) {}

  void add(NamespaceStage stage, NamespaceType type) {
    for (std::size_t at = first_; at < steps_.size(); ++at) {
      NamespaceStep& step = steps_[at];
      if (step.kind != NamespaceStep::Kind::join || !same_process(set_.entry(step.types.front()), set_.entry(type)))
        continue;
      step.types.push_back(type);
      return;
    }
    steps_.push_back({.stage = stage, .kind = NamespaceStep::Kind::join, .types = {type}});
  }

 private:
  std::vector<NamespaceStep>& steps_;
  const NamespaceSet& set_;
  std::size_t first_;
};

}  // namespace

std::vector<NamespaceStep> plan_namespaces(const NamespaceSet& set, const NamespaceFacts& facts) {
  constexpr auto user = NamespaceType::user;
  const auto joined = [&](NamespaceType type) { return set.is_joined(type) && !contains(facts.ours_already, type); };
  const auto goes_with_user = [&](NamespaceType type) {
    return joined(user) && same_process(set.entry(type), set.entry(user));
  };
  const auto before_user = [&](NamespaceType type) {
    if (set.is_fresh(user)) return true;
    return joined(user) && !goes_with_user(type) && contains(facts.owned_above_user, type);
  };
  std::vector<NamespaceStep> steps;

  Joins above(steps, set);
  for (const NamespaceType type : all_namespace_types)
    if (type != user && joined(type) && before_user(type)) above.add(NamespaceStage::user, type);

  if (set.is_fresh(user)) steps.push_back({NamespaceStage::user, NamespaceStep::Kind::unshare, {user}});
  Joins with_user(steps, set);
  if (joined(user)) {
    with_user.add(NamespaceStage::user, user);
    for (const NamespaceType type : all_namespace_types)
      if (type != user && joined(type) && goes_with_user(type)) with_user.add(NamespaceStage::user, type);
  }

  const auto remains = [&](NamespaceType type) {
    return type != user && joined(type) && !before_user(type) && !goes_with_user(type);
  };
  Joins below(steps, set);
  for (const NamespaceType type : all_namespace_types)
    if (type != NamespaceType::mount && remains(type)) below.add(NamespaceStage::rest, type);

  NamespaceStep made{.stage = NamespaceStage::rest, .kind = NamespaceStep::Kind::unshare, .types = {}};
  for (const NamespaceType type : all_namespace_types)
    if (type != user && set.is_fresh(type)) made.types.push_back(type);
  if (!made.types.empty()) steps.push_back(std::move(made));

  if (remains(NamespaceType::mount))
    steps.push_back({NamespaceStage::rest, NamespaceStep::Kind::join, {NamespaceType::mount}});
  return steps;
}

Result<OpenedNamespaces> OpenedNamespaces::open(const NamespaceSet& set, NamespaceCalls& calls) {
  OpenedNamespaces opened(set, calls);
  for (const NamespaceType type : all_namespace_types) {
    if (set.is_host(type)) continue;
    NH_TRY(opened.check_supported(type));
    if (set.is_joined(type) && set.entry(type).by != By::owner) NH_TRY(opened.open_source(type));
  }
  NH_TRY(opened.check_processes());
  if (set.is_joined(NamespaceType::user) && set.entry(NamespaceType::user).by == By::owner) NH_TRY(opened.open_owner());
  NH_LET(facts, opened.look_at_relations());
  opened.steps_ = plan_namespaces(set, facts);
  for (Source& source : opened.sources_) source.own.reset();
  return opened;
}

Result<> OpenedNamespaces::check_supported(NamespaceType type) {
  const std::string path = "/proc/self/ns/" + std::string(proc_name(type));
  const int own = calls_->open(path);
  if (own >= 0) {
    sources_[index_of(type)].own.reset(own);
    return Ok{};
  }
  Error error = entry_error(-own, type, entry_text(set_, type) + ": opening " + path);
  if (own == -ENOENT) {
    error.code = Code::unsupported;
    error.what += " (this kernel has no " + std::string(namespace_name(type)) + " namespaces, or /proc is not mounted)";
  }
  return error;
}

int OpenedNamespaces::pidfd_of(pid_t pid) const {
  for (const NamespaceType type : all_namespace_types) {
    const NamespaceEntry& entry = set_.entry(type);
    const Source& source = sources_[index_of(type)];
    if (source.pidfd && entry.by == By::pid && entry.number == pid) return source.pidfd.get();
  }
  return -1;
}

Result<> OpenedNamespaces::open_source(NamespaceType type) {
  const NamespaceEntry& entry = set_.entry(type);
  const std::string name = entry_text(set_, type);
  Source& source = sources_[index_of(type)];
  std::string path = entry.path;
  if (entry.by == By::pid) {
    if (pidfd_of(entry.number) < 0) {
      const int pidfd = calls_->open_pidfd(entry.number);
      if (pidfd < 0) {
        Error error = entry_error(-pidfd, type, name + ": opening the process");
        if (pidfd == -ESRCH) error.code = Code::missing;
        return error;
      }
      source.pidfd.reset(pidfd);
    }
    path = "/proc/" + std::to_string(entry.number) + "/ns/" + std::string(proc_name(type));
  }
  const int file = entry.by == By::fd ? calls_->duplicate(entry.number) : calls_->open(path);
  if (file < 0) {
    const bool gone = entry.by == By::pid && calls_->has_ended(pidfd_of(entry.number));
    if (gone) return process_gone(type);
    Error error = entry_error(-file, type, name + ": opening " + (entry.by == By::fd ? "the inherited descriptor" : path));
    if (entry.by == By::pid && (file == -EACCES || file == -EPERM))
      error.what += " (the process is not ours, or has made itself not dumpable; name its namespace by path instead)";
    return error;
  }
  source.file.reset(file);
  const int found = calls_->type_of(file);
  if (found == clone_flag(type)) return Ok{};
  Error error{.code = Code::invalid, .what = name + ": checking the kind: ", .field = std::string(namespace_name(type))};
  if (found < 0) error.what += "this is no namespace";
  for (const NamespaceType other : all_namespace_types)
    if (found == clone_flag(other)) error.what += "this is a namespace of the kind " + std::string(namespace_name(other));
  return error;
}

Error OpenedNamespaces::process_gone(NamespaceType type) const {
  return Error{.code = Code::gone,
               .what = entry_text(set_, type) + ": opening: the process has ended",
               .field = std::string(namespace_name(type))};
}

Result<> OpenedNamespaces::check_processes() const {
  // Checked after the opening: if the process still runs, the pid was its own all the time.
  for (const NamespaceType type : all_namespace_types) {
    const UniqueFd& pidfd = sources_[index_of(type)].pidfd;
    if (pidfd && calls_->has_ended(pidfd.get())) return process_gone(type);
  }
  return Ok{};
}

Result<> OpenedNamespaces::open_owner() {
  const std::string name = entry_text(set_, NamespaceType::user);
  int of = fd(NamespaceType::net);  // the namespace that matters most to us
  for (const NamespaceType type : all_namespace_types)
    if (of < 0) of = fd(type);
  if (of < 0)
    return Error{
        .code = Code::invalid, .what = name + ": no other namespace is joined whose owner it could be", .field = "user"};
  const int owner = calls_->owner_of(of);
  if (owner < 0) {
    Error error = entry_error(-owner, NamespaceType::user, name + ": finding the owner of the joined namespace");
    if (owner == -EPERM) error.what += " (it is not below our own user namespace; only its root could join)";
    return error;
  }
  sources_[index_of(NamespaceType::user)].file.reset(owner);
  return Ok{};
}

Result<NamespaceFacts> OpenedNamespaces::look_at_relations() const {
  NamespaceFacts facts;
  const int user = fd(NamespaceType::user);
  for (const NamespaceType type : all_namespace_types) {
    const Source& source = sources_[index_of(type)];
    if (!source.file) continue;
    if (calls_->same(source.file.get(), source.own.get())) {
      facts.ours_already.push_back(type);
      continue;
    }
    if (type == NamespaceType::user || user < 0) continue;
    const UniqueFd owner(calls_->owner_of(source.file.get()));
    if (!owner) {  // not below our own user namespace, so it can be no descendant of the joined one
      facts.owned_above_user.push_back(type);
      continue;
    }
    UniqueFd above(calls_->parent_of(user));
    for (int level = 0; above && level < deepest_nesting; ++level) {
      if (calls_->same(above.get(), owner.get())) {
        facts.owned_above_user.push_back(type);
        break;
      }
      above.reset(calls_->parent_of(above.get()));
    }
  }
  return facts;
}

int OpenedNamespaces::fd(NamespaceType type) const {
  return sources_[index_of(type)].file.get();
}

Result<> OpenedNamespaces::apply(NamespaceStage stage, const Filter& filter) const {
  for (const NamespaceStep& step : steps_) {
    if (step.stage != stage) continue;
    std::vector<NamespaceType> types;
    int flags = 0;
    for (const NamespaceType type : step.types) {
      if (filter && !filter(type)) continue;
      types.push_back(type);
      flags |= clone_flag(type);
    }
    if (types.empty()) continue;
    int done = 0;
    if (step.kind == NamespaceStep::Kind::unshare) done = calls_->unshare(flags);
    // A single one is joined by its file, which also works after its process has ended.
    else if (types.size() == 1)
      done = calls_->setns(fd(types.front()), flags);
    else
      done = calls_->setns(pidfd_of(set_.entry(types.front()).number), flags);
    if (done < 0) return step_error(-done, step, types);
  }
  return Ok{};
}

Error OpenedNamespaces::step_error(int err, const NamespaceStep& step, const std::vector<NamespaceType>& types) const {
  std::string name, kinds;
  for (const NamespaceType type : types) {
    name += (name.empty() ? "" : ", ") + entry_text(set_, type);
    kinds += (kinds.empty() ? "" : " and ") + std::string(namespace_name(type));
  }
  const bool user = types.front() == NamespaceType::user;
  const bool made = step.kind == NamespaceStep::Kind::unshare;
  Error error = entry_error(err, types.front(), name + (made ? ": making the " : ": joining the ") + kinds + " namespace");
  if (made)
    error.what += why_not_made(err, user);
  else if (err == EPERM && user)
    error.what += " (only the user who made it, or root, may; and one that we are outside of)";
  else if (err == EPERM && set_.is_fresh(NamespaceType::user))
    error.what +=
        " (it needs CAP_SYS_ADMIN over the user namespace that owns it, and a new one of ours would have none: "
        "user=join:owner "
        "joins that one instead)";
  else if (err == EPERM && set_.is_host(NamespaceType::user))
    error.what += " (it needs CAP_SYS_ADMIN over the user namespace that owns it: join that one too, user=join:owner)";
  else if (err == EPERM)
    error.what +=
        " (it needs CAP_SYS_ADMIN over the user namespace that owns it; what one process has is joined at once, and more "
        "easily, by join:pid:N)";
  else if (err == ESRCH)
    error.what += " (the process has ended)";
  return error;
}

}  // namespace nh
