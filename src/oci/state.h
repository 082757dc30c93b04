// SPDX-License-Identifier: BSD-3-Clause
// What an OCI runtime tells a hook: the container's state on standard input, and config.json in the
// bundle that it names.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "src/base/result.h"

namespace nh {

/// The members of the state that matter here (OCI runtime-spec, runtime.md, "State").
struct ContainerState {
  std::string id;
  bool stopped = false;      ///< status "stopped": poststop
  std::optional<pid_t> pid;  ///< there unless stopped
  std::string bundle;        ///< absolute path
  std::map<std::string, std::string> annotations;
};

/// Members that are not named here may be there; runtimes add some. invalid: what is wrong with
/// which member.
Result<ContainerState> parse_container_state(std::string_view json);

/// linux.namespaces[type=network].path of a config.json; nullopt: none is given, so the runtime
/// makes the namespace.
Result<std::optional<std::string>> network_namespace_path(std::string_view config);

}  // namespace nh
