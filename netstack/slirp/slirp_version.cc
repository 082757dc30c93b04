// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_version.h"

#include <charconv>

namespace nh {

SlirpVersion SlirpVersion::parse(std::string_view text) {
  SlirpVersion version;
  const char* at = text.data();
  const char* end = at + text.size();
  for (int* part : {&version.major, &version.minor, &version.micro}) {
    const auto [stop, problem] = std::from_chars(at, end, *part);
    if (problem != std::errc() || stop == end || *stop != '.') break;
    at = stop + 1;
  }
  return version;
}

std::vector<std::string> known_faults(const SlirpVersion& version) {
  std::vector<std::string> faults;
  if (version < SlirpVersion{4, 8, 0}) {
    faults.emplace_back(
        "TCP reassembly and TFTP memory faults fixed in 4.8.0 (the guard drops TFTP and keeps reassembly from the fatal "
        "sequence numbers)");
    faults.emplace_back("no ICMPv6 echo to the outside before 4.8.0");
  }
  if (version < SlirpVersion{4, 9, 2})
    faults.emplace_back("CVE-2026-9539, TCP urgent data, fixed in 4.9.2 (the guard clears the urgent flag and pointer)");
  return faults;
}

}  // namespace nh
