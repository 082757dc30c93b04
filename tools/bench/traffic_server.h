// SPDX-License-Identifier: BSD-3-Clause
// The server of bench-traffic: one thread, one epoll, TCP and UDP on one port of one address.
#pragma once

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh::traffic {

/// Listens there (port 0: a free one), prints `{"port": N}` on standard output, and serves until it is killed or
/// standard input ends (so that it does not outlive the bench). Errors: the port could not be had, epoll failed.
Result<Ok> serve(const Endpoint& at);

}  // namespace nh::traffic
