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

// sched.h has it since glibc 2.36; linux/sched.h since Linux 5.6.
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace nh {

namespace {

struct Names {
  NamespaceType type;
  int flag;
  std::string_view name, proc, spec;  // spec: the runtime-spec's, also used in messages
};
constexpr std::array<Names, all_namespace_types.size()> all_names{{
    {NamespaceType::user, CLONE_NEWUSER, "user", "user", "user"},
    {NamespaceType::pid, CLONE_NEWPID, "pid", "pid", "pid"},
    {NamespaceType::uts, CLONE_NEWUTS, "uts", "uts", "uts"},
    {NamespaceType::ipc, CLONE_NEWIPC, "ipc", "ipc", "ipc"},
    {NamespaceType::net, CLONE_NEWNET, "net", "net", "network"},
    {NamespaceType::cgroup, CLONE_NEWCGROUP, "cgroup", "cgroup", "cgroup"},
    {NamespaceType::time, CLONE_NEWTIME, "time", "time", "time"},
    {NamespaceType::mount, CLONE_NEWNS, "mount", "mnt", "mount"},
}};

const Names& names_of(NamespaceType type) {
  return all_names[index_of(type)];
}

std::string type_name(NamespaceType type) {
  return std::string(names_of(type).spec);
}

std::string own_path(NamespaceType type) {
  return "/proc/self/ns/" + std::string(proc_name(type));
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string_view namespace_name(NamespaceType type) {
  return names_of(type).name;
}

std::optional<NamespaceType> namespace_type(std::string_view name) {
  for (const Names& known : all_names)
    if (name == known.name || name == known.proc || name == known.spec) return known.type;
  return std::nullopt;
}

int clone_flag(NamespaceType type) {
  return names_of(type).flag;
}

std::string_view proc_name(NamespaceType type) {
  return names_of(type).proc;
}

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
  UniqueFd own(open(own_path(type).c_str(), O_RDONLY | O_CLOEXEC));
  if (!own) return sys_error("opening " + own_path(type));
  return same_namespace(fd, own.get());
}

Result<> join_namespace(int fd, NamespaceType type) {
  if (setns(fd, clone_flag(type)) == 0) return Ok{};
  Error error = sys_error("joining the " + type_name(type) + " namespace");
  if (error.sys_errno == EPERM)
    error.what += type == NamespaceType::user ? " (only the user who made it, or root, may)"
                                              : " (it needs CAP_SYS_ADMIN over the user namespace that owns it)";
  return error;
}

}  // namespace nh
