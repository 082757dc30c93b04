// SPDX-License-Identifier: BSD-3-Clause
// TAP devices (Documentation/networking/tuntap.rst): opening one in the present network namespace, and checking a received
// one.
#pragma once

#include <string>
#include <string_view>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh {

struct TapInfo {
  std::string name;
  bool vnet_hdr = false;  ///< each frame is preceded by a struct virtio_net_hdr of 10 bytes
  bool offload = false;   ///< the guest's kernel sends partial checksums and TCP segments of up to 64 KiB
  MacAddress mac = {};    ///< of the guest's end
};

/// 1..15 bytes (IFNAMSIZ), without '/', ':', '%', space and control characters; not ".", "..", "all", "default" (the
/// last two are directories of /proc/sys/net/ipv6/conf). Field `tap-name`.
Result<> check_interface_name(std::string_view name);

struct OpenedTap {
  UniqueFd fd;  ///< O_NONBLOCK, close-on-exec
  TapInfo info;
};

/// Creates the TAP, or opens the persistent one of that name, in the network namespace that the caller is in.
/// in_use: another process has it open; invalid: the interface is no TAP; missing or denied: /dev/net/tun.
Result<OpenedTap> open_tap(const std::string& name);

/// Checks a TAP that was handed over and makes it ready: non-blocking, close-on-exec, header size, offloads. invalid,
/// naming it: no TAP, IFF_TUN, packet information (no IFF_NO_PI), multi-queue (frames of other queues would be lost).
Result<TapInfo> adopt_tap(int fd);

/// The network namespace of a TAP (TUNGETDEVNETNS, Linux 5.2). denied: no CAP_NET_ADMIN there.
Result<UniqueFd> netns_of_tap(int fd);

}  // namespace nh
