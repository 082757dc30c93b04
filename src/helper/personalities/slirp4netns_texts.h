// SPDX-License-Identifier: BSD-3-Clause
// What we say in slirp4netns's place and its callers look for: help, versions, the lines of start and end.
#pragma once

#include <string>

#include "netstack/plan/address_plan.h"
#include "src/helper/options.h"

namespace nh {

/// One line a long option: podman, buildah and RootlessKit look for the options' names in it.
std::string slirp4netns_help(const std::string& program);

/// The first line's third word is read by machines, and so is the one of SLIRP_CONFIG_VERSION_MAX.
std::string slirp4netns_version_text();

std::string slirp4netns_start_text(const Options& options, const AddressPlan& plan);

/// The start text on standard output, written out: when the network stands, before the ready byte.
void say_start(const Options& options, const AddressPlan& plan);
/// Standard error, when the TAP has come from the agent.
void say_tap_arrived(int tap, const std::string& name);
/// Standard error, when the exit fd has had an event.
void say_exit_event();

}  // namespace nh
