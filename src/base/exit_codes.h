// SPDX-License-Identifier: BSD-3-Clause
// Exit codes of netns-helper and of its OCI hook (netns-helper.1, EXIT CODES).
#pragma once

namespace nh {

inline constexpr int exit_asked = 0;    ///< help, version, or ended as asked: exit fd, signal, target gone
inline constexpr int exit_failure = 1;  ///< could not start, or cannot go on
inline constexpr int exit_usage = 2;    ///< the command line breaks a rule

}  // namespace nh
