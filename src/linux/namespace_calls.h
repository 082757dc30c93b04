// SPDX-License-Identifier: BSD-3-Clause
// NamespaceCalls: the system calls by which namespaces are opened, examined, made and joined, as an interface, so that tests can
// check the order of the calls and every failure.
#pragma once

#include <sys/types.h>

#include <string>

namespace nh {

/// Each returns what the kernel does: 0 or more, or -errno. Descriptors that are returned belong to the caller,
/// close-on-exec.
class NamespaceCalls {
 public:
  virtual ~NamespaceCalls() = default;
  virtual int open(const std::string& path) = 0;  ///< open(2), for reading
  virtual int duplicate(int fd) = 0;              ///< fcntl(2) F_DUPFD_CLOEXEC
  virtual int open_pidfd(pid_t pid) = 0;          ///< pidfd_open(2)
  virtual bool has_ended(int pidfd) = 0;          ///< poll(2)
  virtual int type_of(int fd) = 0;                ///< NS_GET_NSTYPE: a CLONE_NEW... flag
  virtual int owner_of(int fd) = 0;               ///< NS_GET_USERNS
  virtual int parent_of(int userns) = 0;          ///< NS_GET_PARENT
  virtual bool same(int a, int b) = 0;            ///< fstat(2): the same namespace
  virtual int setns(int fd, int flags) = 0;       ///< setns(2)
  virtual int unshare(int flags) = 0;             ///< unshare(2)
};

/// The kernel's.
NamespaceCalls& kernel_namespace_calls();

}  // namespace nh
