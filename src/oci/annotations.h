// SPDX-License-Identifier: BSD-3-Clause
// Annotations of a container (org.netns-helper.*) as words of the command line, so that both fill
// the same Options through the one parser. The table in the .cc is netns-helper-oci-hook.1's,
// ANNOTATIONS.
//
// Annotations come from whoever calls the runtime, and some callers take them from the image. So
// each has its reach, and the hook's command line, which is the administrator's, says how far they
// may go. None of them names a descriptor, a process or a log file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/base/result.h"

namespace nh {

/// How far annotations may reach.
enum class AnnotationReach : std::uint8_t {
  none,   ///< any that is an option is refused
  guest,  ///< those that change nothing but the guest's own network
  all     ///< also those that open something of the host: its ports, loopback, resolvers, addresses,
          ///< files
};

/// "none", "guest", "all".
Result<AnnotationReach> parse_annotation_reach(std::string_view text);

/// One word an option, "--mtu=9000"; "--", TAPNAME come last if the interface is named. invalid,
/// denied: `what` names the key. Keys of others, and org.netns-helper itself, are left out.
Result<std::vector<std::string>> words_of_annotations(const std::map<std::string, std::string>& annotations,
                                                      AnnotationReach reach);

}  // namespace nh
