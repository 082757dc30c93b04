// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/tap.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstring>

// linux/if_tun.h has it since Linux 5.2.
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

namespace nh {

namespace {

constexpr short wanted_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
/// sizeof(struct virtio_net_hdr), without mergeable buffers (linux/virtio_net.h).
constexpr int vnet_header_size = 10;

Error invalid(std::string what, std::string field = {}) {
  return Error{.code = Code::invalid, .sys_errno = 0, .what = std::move(what), .field = std::move(field)};
}

ifreq request_for(const std::string& name, short flags) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = flags;
  return request;
}

Error open_error(int err) {
  Error error = sys_error(err, "opening /dev/net/tun");
  if (err == ENOENT || err == ENODEV || err == ENXIO)
    error.what += " (load the module: modprobe tun; in a container: pass the device in, --device /dev/net/tun)";
  else if (err == EACCES || err == EPERM)
    error.what += " (distributions ship it with mode 0666: chmod 0666 /dev/net/tun)";
  return error;
}

Error attach_error(int err, const std::string& name) {
  Error error = sys_error(err, "opening TAP " + name);
  if (err == EBUSY) error.what += " (another process has it open)";
  if (err == EINVAL) {
    error.code = Code::invalid;
    error.what += " (an interface of that name exists and is no TAP)";
  }
  if (err == EPERM)
    error.what += " (it needs CAP_NET_ADMIN over the network namespace, or a persistent TAP of our own user)";
  return error;
}

/// Enables the largest set of offloads that this kernel supports; true if there is any.
bool set_offload(int fd) {
  constexpr std::array<unsigned long, 3> sets{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
                                              TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, TUN_F_CSUM};
  for (const unsigned long set : sets)
    if (ioctl(fd, TUNSETOFFLOAD, set) == 0) return true;
  ioctl(fd, TUNSETOFFLOAD, 0UL);
  return false;
}

/// Sets up a TAP, whether opened or received; `opened` is the result of TUNSETIFF or TUNGETIFF.
Result<TapInfo> make_ready(int fd, const ifreq& opened) {
  const std::string name(opened.ifr_name, strnlen(opened.ifr_name, IFNAMSIZ));
  TapInfo info{.name = name, .vnet_hdr = (static_cast<unsigned short>(opened.ifr_flags) & IFF_VNET_HDR) != 0};
  if (info.vnet_hdr) {
    int size = vnet_header_size;
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) return sys_error("setting the header size of TAP " + name);
    info.offload = set_offload(fd);
  } else {
    ioctl(fd, TUNSETOFFLOAD, 0UL);  // without the header a partial checksum could not be told
  }
  ifreq hardware{};
  if (ioctl(fd, SIOCGIFHWADDR, &hardware) != 0) return sys_error("reading the MAC address of TAP " + name);
  std::memcpy(info.mac.bytes.data(), hardware.ifr_hwaddr.sa_data, info.mac.bytes.size());
  const int status = fcntl(fd, F_GETFL);
  if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return sys_error("making TAP " + name + " non-blocking");
  return info;
}

/// Whether frames come without packet information. TUNGETIFF alone does not tell: its IFF_NOFILTER, "no packet filter
/// is attached", is the same bit as IFF_NO_PI (linux/if_tun.h). So a filter that lets everything pass is attached while
/// we ask, unless there is one already.
bool without_packet_information(int fd, unsigned flags) {
  sock_fprog present{};
  if ((flags & IFF_NO_PI) == 0) return false;
  if (ioctl(fd, TUNGETFILTER, &present) != 0 || present.len != 0) return true;
  sock_filter pass_all{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0xffffffff};
  sock_fprog filter{.len = 1, .filter = &pass_all};
  if (ioctl(fd, TUNATTACHFILTER, &filter) != 0) return true;
  ifreq request{};
  const bool asked = ioctl(fd, TUNGETIFF, &request) == 0;
  ioctl(fd, TUNDETACHFILTER, &filter);
  return !asked || (static_cast<unsigned short>(request.ifr_flags) & IFF_NO_PI) != 0;
}

}  // namespace

Result<> check_interface_name(std::string_view name) {
  const auto bad_byte = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '/' || c == ':' || c == '%' || c == 0x7f;
  };
  bool good = !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." && name != "all" && name != "default";
  for (const char c : name) good = good && !bad_byte(c);
  if (good) return Ok{};
  return invalid(
      "an interface name has 1 to 15 bytes, none of them '/', ':', '%' or a space, and is not \".\", \"..\", "
      "\"all\" or \"default\"",
      "tap-name");
}

Result<TapInfo> adopt_tap(int fd) {
  ifreq request{};
  if (ioctl(fd, TUNGETIFF, &request) != 0) {
    if (errno == EBADFD) return invalid("the descriptor is of /dev/net/tun, but has no TAP (TUNSETIFF)");
    if (errno == EBADF) return sys_error("examining the TAP's descriptor");
    return invalid("the descriptor is not a TAP");
  }
  const unsigned flags = static_cast<unsigned short>(request.ifr_flags);
  const std::string name(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ));
  if ((flags & IFF_TUN) != 0) return invalid("device " + name + " is a TUN (IFF_TUN), not a TAP (IFF_TAP)");
  if ((flags & IFF_TAP) == 0) return invalid("device " + name + " is not a TAP (IFF_TAP)");
  if (!without_packet_information(fd, flags))
    return invalid("TAP " + name + " has packet information before its frames; open it with IFF_NO_PI");
  if ((flags & IFF_MULTI_QUEUE) != 0)
    return invalid("TAP " + name + " is multi-queue (IFF_MULTI_QUEUE); frames of its other queues would be lost");

  return make_ready(fd, request);
}

Result<OpenedTap> open_tap(const std::string& name) {
  NH_TRY(check_interface_name(name));
  OpenedTap tap;
  tap.fd.reset(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tap.fd) return open_error(errno);
  ifreq request = request_for(name, wanted_flags);
  if (ioctl(tap.fd.get(), TUNSETIFF, &request) != 0) {
    const int first = errno;
    if (first != EINVAL || if_nametoindex(name.c_str()) == 0) return attach_error(first, name);
    // A persistent multi-queue TAP can be opened as such only; we become one queue of it.
    request = request_for(name, wanted_flags | IFF_MULTI_QUEUE);
    if (ioctl(tap.fd.get(), TUNSETIFF, &request) != 0) return attach_error(errno, name);
  }
  NH_LET(info, make_ready(tap.fd.get(), request));
  tap.info = std::move(info);
  return tap;
}

Result<UniqueFd> netns_of_tap(int fd) {
  UniqueFd netns(ioctl(fd, TUNGETDEVNETNS));
  if (!netns) return sys_error("finding the network namespace of the TAP");
  return netns;
}

}  // namespace nh
