// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/private_network.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>

#include "src/base/unique_fd.h"

namespace nh::test {

Result<> enter_private_network(bool loopback) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return sys_error("making a user and network namespace");
  // Proof rather than trust: a new namespace has one interface, lo.
  std::array<char, IF_NAMESIZE> name{};
  if (if_indextoname(1, name.data()) == nullptr || std::string(name.data()) != "lo") return sys_error("finding lo");
  std::size_t interfaces = 0;
  struct if_nameindex* names = if_nameindex();
  for (const struct if_nameindex* i = names; i != nullptr && i->if_index != 0; ++i) ++interfaces;
  if (names != nullptr) if_freenameindex(names);
  if (names == nullptr || interfaces != 1)
    return Error{.what = "the new network namespace has " + std::to_string(interfaces) + " interfaces instead of lo alone"};
  if (!loopback) return Ok{};
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return sys_error("bringing lo up");
  return Ok{};
}

}  // namespace nh::test
