// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/namespace.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <climits>
#include <string>

#include "src/base/number.h"

namespace nh {

namespace {

int clone_flag(NamespaceType type) {
  return type == NamespaceType::user ? CLONE_NEWUSER : CLONE_NEWNET;
}

const char* type_name(NamespaceType type) {
  return type == NamespaceType::user ? "user" : "network";
}

const char* own_path(NamespaceType type) {
  return type == NamespaceType::user ? "/proc/self/ns/user" : "/proc/self/ns/net";
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<> check_namespace(int fd, NamespaceType type, std::string_view name) {
  const int found = ioctl(fd, NS_GET_NSTYPE);
  if (found == clone_flag(type)) return Ok{};
  const std::string wanted = std::string(name) + " is not a " + type_name(type) + " namespace";
  if (found < 0) return Error{.code = Code::invalid, .sys_errno = 0, .what = wanted + " (no namespace at all)"};
  return Error{.code = Code::invalid, .sys_errno = 0, .what = wanted + " (another type of namespace)"};
}

Result<UniqueFd> open_namespace(std::string_view text, NamespaceType type, std::string_view option) {
  const std::string field(option);
  const std::string name = "--" + field + " " + std::string(text);
  UniqueFd fd;
  if (all_digits(text)) {
    NH_LET(number, parse_unsigned(text, 0, INT_MAX, option));
    fd.reset(fcntl(static_cast<int>(number), F_DUPFD_CLOEXEC, 3));
    if (!fd) {
      Error error = sys_error(name + ": taking the inherited descriptor");
      error.field = field;
      return error;
    }
  } else {
    fd.reset(open(std::string(text).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!fd) {
      Error error = sys_error(name + ": opening the namespace");
      error.field = field;
      return error;
    }
  }
  if (auto checked = check_namespace(fd.get(), type, name); !checked) {
    Error error = std::move(checked).error();
    error.field = field;
    return error;
  }
  return fd;
}

Result<UniqueFd> owner_of(int netns) {
  UniqueFd owner(ioctl(netns, NS_GET_USERNS));
  if (!owner) return sys_error("finding the user namespace that owns the network namespace");
  return owner;
}

bool same_namespace(int a, int b) {
  struct stat stat_a {
  }, stat_b{};
  return fstat(a, &stat_a) == 0 && fstat(b, &stat_b) == 0 && stat_a.st_dev == stat_b.st_dev &&
         stat_a.st_ino == stat_b.st_ino;
}

Result<bool> is_own_namespace(int fd, NamespaceType type) {
  UniqueFd own(open(own_path(type), O_RDONLY | O_CLOEXEC));
  if (!own) return sys_error(std::string("opening ") + own_path(type));
  return same_namespace(fd, own.get());
}

Result<> join_namespace(int fd, NamespaceType type) {
  if (setns(fd, clone_flag(type)) == 0) return Ok{};
  Error error = sys_error(std::string("joining the ") + type_name(type) + " namespace");
  if (error.sys_errno == EPERM)
    error.what += type == NamespaceType::user ? " (only the user who made it, or root, may)"
                                              : " (it takes CAP_SYS_ADMIN over the user namespace that owns it)";
  return error;
}

}  // namespace nh
