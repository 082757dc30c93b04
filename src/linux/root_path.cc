// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/root_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <string>

namespace nh {
namespace {

/// openat2(2) fails with EAGAIN when a rename or mount races with it. Bounded, so that an attacker who renames without end cannot
/// keep us here.
constexpr int openat2_tries = 128;
/// The kernel's own limit (path_resolution(7)).
constexpr int links_at_most = 40;

int openat2_retrying(int at, const std::string& path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = resolve;
  int fd = -1;
  for (int i = 0; i < openat2_tries; ++i) {
    fd = static_cast<int>(syscall(SYS_openat2, at, path.c_str(), &how, sizeof how));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

Result<UniqueFd> open_resolving(int root, std::string_view path, int flags, std::uint64_t resolve) {
  UniqueFd fd(openat2_retrying(root, path.empty() ? "." : std::string(path), flags, resolve));
  if (fd) return fd;
  const int err = errno;
  Error error = sys_error(err, "opening " + std::string(path) + " inside the root");
  if (err == ELOOP && (resolve & RESOLVE_NO_SYMLINKS) != 0)
    error.what += " (a symbolic link is on the way; none is allowed here)";
  if (err == ENOSYS) error.what += " (needs openat2, Linux 5.6)";
  return error;
}

std::string_view next_component(std::string_view& rest) {
  const auto begin = rest.find_first_not_of('/');
  if (begin == std::string_view::npos) {
    rest = {};
    return {};
  }
  rest.remove_prefix(begin);
  const auto end = std::min(rest.find('/'), rest.size());
  const std::string_view component = rest.substr(0, end);
  rest.remove_prefix(end);
  return component;
}

bool is_last(std::string_view rest) {
  return rest.find_first_not_of('/') == std::string_view::npos;
}

/// The target of a symbolic link; nullopt: there is none of that name.
Result<std::optional<std::string>> link_text(int directory, const std::string& name, const std::string& shown) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = readlinkat(directory, name.c_str(), text.data(), text.size());
  if (size >= 0) return std::optional(std::string(text.data(), static_cast<std::size_t>(size)));
  if (errno == ENOENT || errno == EINVAL) return std::optional<std::string>();
  return sys_error("reading the link " + shown + " inside the root");
}

Result<> make_one(int directory, const std::string& name, MountPoint kind, const std::string& shown) {
  int made = -1;
  if (kind == MountPoint::directory) {
    made = mkdirat(directory, name.c_str(), 0755);
  } else {
    const UniqueFd file(openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    made = file ? 0 : -1;
  }
  if (made == 0 || errno == EEXIST) return Ok{};
  const int err = errno;
  Error error = sys_error(err, std::string("making the mount point ") + shown + " inside the root");
  if (err == EROFS || err == EACCES || err == EPERM) error.what += " (the root cannot be written; make it beforehand)";
  return error;
}

struct Step {
  UniqueFd found;
  std::string go_on_with;  ///< a dangling link was met: this is the path that it makes of ours
};

/// Follows the path as far as it exists and makes the rest.
Result<Step> make_missing(int root, const std::string& path, MountPoint kind) {
  NH_LET(here, open_in_root(root, "/", O_PATH | O_DIRECTORY));
  std::string walked;
  std::string_view rest = path;
  for (std::string_view component = next_component(rest); !component.empty(); component = next_component(rest)) {
    const std::string name(component), next = walked + "/" + name;
    auto existing = open_in_root(root, next, O_PATH);
    if (!existing && existing.error().sys_errno != ENOENT) return std::move(existing).error();
    if (!existing) {
      NH_LET(link, link_text(here.get(), name, next));
      if (link)
        return Step{.found = UniqueFd(),
                    .go_on_with = (link->starts_with('/') ? *link : walked + "/" + *link) + std::string(rest)};
      NH_TRY(make_one(here.get(), name, is_last(rest) ? kind : MountPoint::directory, next));
      // Opened in the directory where it was made, without following a link that may have taken its place.
      existing = open_resolving(here.get(), name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
      if (!existing) return std::move(existing).error();
    }
    here = std::move(*existing);
    walked = next;
  }
  return Step{.found = std::move(here), .go_on_with = {}};
}

}  // namespace

Result<UniqueFd> open_in_root(int root, std::string_view path, int flags) {
  return open_resolving(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<UniqueFd> open_in_root_no_links(int root, std::string_view path, int flags) {
  return open_resolving(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

Result<UniqueFd> open_or_make_in_root(int root, std::string_view path, MountPoint kind) {
  std::string wanted(path);
  for (int links = 0; links <= links_at_most; ++links) {
    auto found = open_in_root(root, wanted, O_PATH);
    if (found || found.error().sys_errno != ENOENT) return found;
    NH_LET(step, make_missing(root, wanted, kind));
    if (step.found) return std::move(step.found);
    wanted = step.go_on_with;
  }
  return sys_error(ELOOP, "making the mount point " + std::string(path) + " inside the root");
}

}  // namespace nh
