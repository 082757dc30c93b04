// SPDX-License-Identifier: BSD-3-Clause
// Masks: paths of /proc and /sys that the command cannot read, or cannot write (runtime-spec, config-linux.md "Masked Paths",
// "Readonly Paths").
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"

namespace nh::run {

/// What is masked with a new root unless the user says otherwise: kernel memory, keys, timers, and firmware, as runc and
/// podman have it.
const std::vector<std::string>& default_masked();
/// What is read-only then: the parts of /proc that set the host's kernel.
const std::vector<std::string>& default_read_only();

/// Unix sockets, or their directories, by which the C library asks services of the host for names: nscd(8), systemd-resolved
/// (nss-resolve(8)), avahi (nss-mdns), mDNSResponder. They know the host's network, not the guest's, and a guest without a
/// network would have a way out. The C library goes on with resolv.conf. The system bus is not among them: too much else uses it.
const std::vector<std::string>& host_name_services();

/// invalid, field `field`: a path that is not absolute (the runtime-spec demands it).
Result<> check_absolute(const std::vector<std::string>& paths, std::string_view field);

/// Binds each path onto itself, read-only with all below it; the other flags stay as they are. Resolved inside `root`, a
/// descriptor of a mounted directory; what does not exist there is left out.
Result<> make_read_only(int root, const std::vector<std::string>& paths);

/// Covers each path: a directory by an empty read-only tmpfs (one for all), anything else by `null_device`, a descriptor of
/// the host's /dev/null, which is looked at first (character device 1:3). What does not exist, or cannot be reached, is left
/// out; what is covered by one of these already, by whatever path, stays so.
Result<> mask(int root, const std::vector<std::string>& paths, int null_device);

}  // namespace nh::run
