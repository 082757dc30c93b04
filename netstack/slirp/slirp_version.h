// SPDX-License-Identifier: BSD-3-Clause
// What is publicly known to be wrong with the libslirp that we run on: told at start and by `info`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nh {

struct SlirpVersion {
  int major = 0, minor = 0, micro = 0;

  /// "4.7.0" or "4.7.0-git"; what cannot be read is 0.
  static SlirpVersion parse(std::string_view text);
  friend auto operator<=>(const SlirpVersion&, const SlirpVersion&) = default;
};

/// One short sentence for each published fault that this version has and later ones do not; says what our guard does.
std::vector<std::string> known_faults(const SlirpVersion& version);

}  // namespace nh
