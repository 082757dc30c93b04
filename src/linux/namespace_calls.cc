// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace_calls.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "src/linux/namespace.h"
#include "src/linux/pidfd.h"

namespace nh {

namespace {

int outcome(int result) {
  return result < 0 ? -errno : result;
}

class KernelCalls final : public NamespaceCalls {
 public:
  int open(const std::string& path) override {
    return outcome(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  }
  int duplicate(int fd) override { return outcome(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }
  int open_pidfd(pid_t pid) override {
    auto pidfd = nh::open_pidfd(pid);
    return pidfd ? pidfd->release() : -pidfd.error().sys_errno;
  }
  bool has_ended(int pidfd) override { return nh::has_ended(pidfd); }
  int type_of(int fd) override { return outcome(ioctl(fd, NS_GET_NSTYPE)); }
  int owner_of(int fd) override { return outcome(ioctl(fd, NS_GET_USERNS)); }
  int parent_of(int userns) override { return outcome(ioctl(userns, NS_GET_PARENT)); }
  bool same(int a, int b) override { return same_namespace(a, b); }
  int setns(int fd, int flags) override { return outcome(::setns(fd, flags)); }
  int unshare(int flags) override { return outcome(::unshare(flags)); }
};

}  // namespace

NamespaceCalls& kernel_namespace_calls() {
  static KernelCalls calls;
  return calls;
}

}  // namespace nh
