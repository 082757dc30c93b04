// SPDX-License-Identifier: BSD-3-Clause
// A probe: one thing tried in a child, which reports what came of it. Whatever it makes or breaks ends with the child.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "src/base/result.h"
#include "tools/netns-run/doctor/doctor.h"

namespace nh::run {

struct Finding {
  CheckState state = CheckState::available;
  std::string detail = {}, cure = {};
};

/// A probe takes some milliseconds, one that loads a module some more.
inline constexpr std::chrono::milliseconds probe_time = std::chrono::seconds(5);

/// Runs `body` in a child of its own; what it returns comes back. A child that crashes, or does not end within `time`, is
/// killed, and `unavailable`.
Finding probe(const std::function<Finding()>& body, std::chrono::milliseconds time = probe_time);

/// For bodies: a new user namespace in which we are root, and with it those of `flags` (CLONE_NEWNET ...). Errors name the
/// step.
Result<> enter_namespaces(int flags);

/// `unavailable` with the error's message.
Finding refused(const Error& error, std::string cure);
/// What a sysctl file holds, without its newline; "" if it cannot be read.
std::string read_sysctl(const std::string& path);

}  // namespace nh::run
