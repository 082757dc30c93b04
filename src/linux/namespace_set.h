// SPDX-License-Identifier: BSD-3-Clause
// NamespaceSet: the namespaces in which a command shall run, one entry per kind: the host's (the caller's own), a new one, or an
// existing one to join. This is the request only; namespace_steps.h carries it out.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "src/base/result.h"
#include "src/linux/namespace.h"

namespace nh {

struct NamespaceEntry {
  enum class Kind : std::uint8_t { host, fresh, join };
  /// What a joined namespace is named by; `owner` is of the kind user only: the user namespace that owns what else is
  /// joined.
  enum class By : std::uint8_t { path, fd, pid, owner };

  Kind kind = Kind::host;
  By by = By::path;
  std::string path = {};  ///< By::path
  int number = -1;        ///< By::fd: an inherited descriptor, which stays open; By::pid: a process of our pid namespace

  static NamespaceEntry fresh() { return {.kind = Kind::fresh}; }
  static NamespaceEntry join_path(std::string path) { return {.kind = Kind::join, .by = By::path, .path = std::move(path)}; }
  static NamespaceEntry join_fd(int fd) { return {.kind = Kind::join, .by = By::fd, .number = fd}; }
  static NamespaceEntry join_pid(pid_t pid) { return {.kind = Kind::join, .by = By::pid, .number = pid}; }
  static NamespaceEntry join_owner() { return {.kind = Kind::join, .by = By::owner}; }

  /// As it is written: "host", "new", "join:/run/netns/a", "join:fd:3", "join:pid:4711", "join:owner".
  std::string text() const;
  friend bool operator==(const NamespaceEntry&, const NamespaceEntry&) = default;
};

/// `host`, `new`, `join:PATH`, `join:fd:N`, `join:pid:N`, and for the kind user `join:owner`. A path that begins with "fd:"
/// or "pid:" is written "./fd:...". Errors name `type` in their message, and as their field.
Result<NamespaceEntry> parse_namespace_entry(NamespaceType type, std::string_view text);
/// "net=new": a kind's name, '=', and an entry.
Result<std::pair<NamespaceType, NamespaceEntry>> parse_namespace(std::string_view text);

class NamespaceSet {
 public:
  /// in_use: the kind has an entry already, whatever it says (the runtime-spec: a duplicate is an error).
  Result<> set(NamespaceType type, NamespaceEntry entry);
  /// Sets a default: without effect if set() was called for the kind.
  void set_default(NamespaceType type, NamespaceEntry entry);

  /// The entry by its kind; `host` where none was set.
  const NamespaceEntry& entry(NamespaceType type) const;
  /// Was an entry of this kind set, by set() or as a default?
  bool has(NamespaceType type) const;

  bool is_fresh(NamespaceType type) const { return entry(type).kind == NamespaceEntry::Kind::fresh; }
  bool is_joined(NamespaceType type) const { return entry(type).kind == NamespaceEntry::Kind::join; }
  bool is_host(NamespaceType type) const { return entry(type).kind == NamespaceEntry::Kind::host; }
  /// Is any kind but `user` joined? (The id maps and the default of the kind user depend on it.)
  bool joins_any_but_user() const;
  /// A new or joined pid or time namespace holds children only: the command needs a fork after the last step.
  bool needs_fork() const;

 private:
  std::array<std::optional<NamespaceEntry>, all_namespace_types.size()> entries_;
};

}  // namespace nh
