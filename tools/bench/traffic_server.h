// SPDX-License-Identifier: BSD-3-Clause
// The server of bench-traffic: one thread, one epoll, TCP and UDP on one port of one address.
#pragma once

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh::traffic {

/// Listens on `address` (a free port), prints `{"port": N}` on standard output, and serves until it is killed or
/// standard input ends (so that it does not outlive the bench). Errors: the port could not be had, epoll failed.
Result<Ok> serve(const Address& address);

}  // namespace nh::traffic
