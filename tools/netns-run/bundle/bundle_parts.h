// SPDX-License-Identifier: BSD-3-Clause
// The parts of config.json, each as its part of a Plan. For bundle.cc alone.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"
#include "tools/netns-run/bundle/bundle_json.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// `process`.
Result<ProcessPlan> bundle_process(const JsonPlace& process);
/// `mounts`; relative sources of binds start from `directory`.
Result<std::vector<MountSpec>> bundle_mounts(const JsonPlace& mounts, const std::string& directory);
/// `linux.namespaces`.
Result<NamespaceSet> bundle_namespaces(const JsonPlace& namespaces);
/// `linux.uidMappings` and `linux.gidMappings`, as they fit the namespaces.
Result<IdMapPlan> bundle_ids(const JsonPlace& linux_part, const NamespaceSet& namespaces);

}  // namespace nh::run
