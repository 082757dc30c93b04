// SPDX-License-Identifier: BSD-3-Clause
// Whether nf_tables, in the network namespace that the caller is in, takes each thing that steering packets to sockets
// needs.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"

namespace nh::run {

/// Makes a table of our own (owner flag, Linux 5.12) with a route chain at output and a filter chain at prerouting, for IPv4
/// and IPv6, a set of addresses, and a rule for each statement: meta mark, ct mark, tcp flags, socket transparent. The table goes with
/// the socket, when this returns. Gives what was refused, each as "ip6 rule with socket transparent: errno's text"; empty:
/// nothing. An error: there is no nf_tables at all.
Result<std::vector<std::string>> try_nf_tables();

}  // namespace nh::run
