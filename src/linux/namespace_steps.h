// SPDX-License-Identifier: BSD-3-Clause
// OpenedNamespaces: the namespaces of a NamespaceSet, opened and checked, and the steps to make and join them.
//
// Theory of operation. open() opens every namespace to join before anything is joined, because paths mean other files in a joined
// mount namespace, and checks each one's kind (NS_GET_NSTYPE). A process is opened as a pidfd first; all of its namespaces
// are joined by one setns(2) on the pidfd, which joins all or none (Linux 5.8).
//
// plan_namespaces(), a pure function, then puts the steps in this order:
//   1. joins whose owner stands above the user namespace we go to: their privilege ends with step 2. That is every join when
//      the user namespace is a new one, and those that an ancestor of the joined one owns.
//   2. the user namespace, alone or with all else of the same process. The privilege for the rest comes from it.
//   3. joins that it gives the privilege for, in the order of the kinds below, mount aside;
//   4. all that is new, by one unshare(2);
//   5. a joined mount namespace, last: it changes root and working directory.
// Step 2 ends NamespaceStage::user, where the ids are mapped (by the parent) and taken (setresuid) by the caller; the stage
// rest is the rest. pid and time namespaces hold children only: the caller forks after the last step
// (NamespaceSet::needs_fork).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/linux/namespace_calls.h"
#include "src/linux/namespace_set.h"

namespace nh {

enum class NamespaceStage : std::uint8_t { user, rest };

struct NamespaceStep {
  enum class Kind : std::uint8_t { join, unshare };
  NamespaceStage stage = NamespaceStage::rest;
  Kind kind = Kind::join;
  std::vector<NamespaceType> types;  ///< join: of one source, the first of which names it; several: of one process

  friend bool operator==(const NamespaceStep&, const NamespaceStep&) = default;
};

/// What the order depends on besides the set.
struct NamespaceFacts {
  /// Joined kinds that an ancestor of the joined user namespace owns.
  std::vector<NamespaceType> owned_above_user;
  /// Joined kinds where the named namespace is the one that we are in: nothing to do. The kernel would refuse the user
  /// namespace (EINVAL, setns(2)), and want a privilege for the others.
  std::vector<NamespaceType> ours_already;
};

std::vector<NamespaceStep> plan_namespaces(const NamespaceSet& set, const NamespaceFacts& facts);

class OpenedNamespaces {
 public:
  /// Opens and checks what `set` names. Errors name the entry and the step ("opening", "checking"), their field is the
  /// kind's name. unsupported: the kernel has no such kind. invalid: no namespace, or one of another kind. `calls` must
  /// outlive the result.
  static Result<OpenedNamespaces> open(const NamespaceSet& set, NamespaceCalls& calls = kernel_namespace_calls());

  using Filter = std::function<bool(NamespaceType)>;
  /// Makes the steps of a stage, in their order, in the calling process, which must have one thread; stops at the first
  /// error, which names the entry and the step ("joining", "making"). With a filter: only the kinds it accepts.
  Result<> apply(NamespaceStage stage, const Filter& filter = {}) const;

  const std::vector<NamespaceStep>& steps() const { return steps_; }
  const NamespaceSet& set() const { return set_; }
  /// The opened namespace of a joined kind; -1 for other kinds. It stays ours.
  int fd(NamespaceType type) const;

 private:
  struct Source {
    UniqueFd own;    ///< while opening: the namespace of this kind that we are in
    UniqueFd file;   ///< joined: the other one
    UniqueFd pidfd;  ///< By::pid: the process; held by the first kind of this process
  };

  OpenedNamespaces(const NamespaceSet& set, NamespaceCalls& calls) : set_(set), calls_(&calls) {}
  Result<> check_supported(NamespaceType type);
  Result<> open_source(NamespaceType type);
  Result<> check_processes() const;
  Result<> open_owner();
  Result<NamespaceFacts> look_at_relations() const;
  int pidfd_of(pid_t pid) const;
  Error process_gone(NamespaceType type) const;
  Error step_error(int err, const NamespaceStep& step, const std::vector<NamespaceType>& types) const;

  NamespaceSet set_;
  NamespaceCalls* calls_;
  std::array<Source, all_namespace_types.size()> sources_;
  std::vector<NamespaceStep> steps_;
};

}  // namespace nh
