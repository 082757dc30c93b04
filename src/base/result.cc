// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace nh {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::missing:
      return "missing";
    case Code::in_use:
      return "in_use";
    case Code::privileged:
      return "privileged";
    case Code::denied:
      return "denied";
    case Code::exhausted:
      return "exhausted";
    case Code::unsupported:
      return "unsupported";
    case Code::gone:
      return "gone";
    case Code::timeout:
      return "timeout";
    case Code::interrupted:
      return "interrupted";
    case Code::failed:
      return "failed";
  }
  return "failed";
}

std::string Error::message() const {
  if (sys_errno == 0) return what;
  std::string text = what + ": " + std::strerror(sys_errno);
  if (const char* name = strerrorname_np(sys_errno)) text += std::string(" (") + name + ")";
  return text;
}

Error Error::in(std::string_view context) && {
  what.insert(0, ": ");
  what.insert(0, context);
  return std::move(*this);
}

namespace {

Code code_of(int err) {
  switch (err) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case EADDRNOTAVAIL:
      return Code::missing;
    case ESRCH:
    case EBADFD:
    case EPIPE:
    case ECONNRESET:
      return Code::gone;
    case EADDRINUSE:
    case EBUSY:
    case EEXIST:
      return Code::in_use;
    case EPERM:
    case EACCES:
      return Code::denied;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC:
      return Code::exhausted;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOTTY:
      return Code::unsupported;
    case ETIMEDOUT:
      return Code::timeout;
    case EINTR:
      return Code::interrupted;
    default:
      return Code::failed;
  }
}

}  // namespace

Error sys_error(int err, std::string what) {
  return Error{.code = code_of(err), .sys_errno = err, .what = std::move(what)};
}

Error sys_error(std::string what) {
  return sys_error(errno, std::move(what));
}

void bug(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "netns-helper: bug at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace nh
