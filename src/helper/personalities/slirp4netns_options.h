// SPDX-License-Identifier: BSD-3-Clause
// slirp4netns's command line (version 1.3) as a translation into our own Options: who starts us in slirp4netns's place gets
// its options, its defaults, its words and its exit codes, and from there on the same helper as everybody.
//
// getopt_long(3) does the reading, so that permutation, abbreviations and its messages are what they are there. Rules that
// slirp4netns has not, but needs, are told in words of our own: netns-helper-slirp4netns.7 has the table.
#pragma once

#include <optional>
#include <string>

#include "src/helper/options.h"

namespace nh {

/// The version of slirp4netns whose command line this is: a machine reads it from --version.
inline constexpr const char* slirp4netns_version = "1.3.1";

struct Slirp4netnsCommandLine {
  std::string out;          ///< for standard output: warnings, help, usage, versions
  std::string err;          ///< for standard error, after what getopt_long has written there
  std::optional<int> exit;  ///< the start ends here, with this code; `options` means nothing then
  Options options;
};

/// argv[0] is the name in messages. Looks at the paths, descriptors and interfaces that the options name, as slirp4netns
/// does at this point; --outbound-addr and --outbound-addr6 become addresses here.
Slirp4netnsCommandLine parse_slirp4netns(int argc, char* const* argv);

}  // namespace nh
