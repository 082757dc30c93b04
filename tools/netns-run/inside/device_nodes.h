// SPDX-License-Identifier: BSD-3-Clause
// Device nodes: what every /dev has (runtime-spec, config-linux.md "Default Devices"; runtime-linux.md "Dev symbolic
// links").
#pragma once

#include "src/base/result.h"

namespace nh::run {

/// null, zero, full, random, urandom and tty, bound from the host's /dev after a look at their numbers (mknod(2) is not for
/// a user namespace), and the links fd, stdin, stdout, stderr, ptmx, and core where the kernel has /proc/kcore. `dev`: a
/// descriptor of the directory, mounted in our mount namespace; `host_dev`: one of the host's. A link that is there already
/// stays; a device that the host lacks is an error.
Result<> make_device_nodes(int dev, int host_dev);

}  // namespace nh::run
