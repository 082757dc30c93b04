// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/device_nodes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "src/base/unique_fd.h"
#include "src/linux/mount.h"

namespace nh::run {
namespace {

/// Numbers: Documentation/admin-guide/devices.txt of the kernel.
struct Device {
  const char* name;
  unsigned major_number, minor_number;
};
constexpr std::array<Device, 6> devices{
    {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}};

struct Link {
  const char *name, *text;
};
constexpr Link core{"core", "/proc/kcore"};
constexpr std::array<Link, 5> links{{{"fd", "/proc/self/fd"},
                                     {"stdin", "/proc/self/fd/0"},
                                     {"stdout", "/proc/self/fd/1"},
                                     {"stderr", "/proc/self/fd/2"},
                                     {"ptmx", "pts/ptmx"}}};

Result<> make_link(int dev, const Link& link) {
  if (symlinkat(link.text, dev, link.name) == 0 || errno == EEXIST) return Ok{};
  return sys_error(std::string("making the link /dev/") + link.name);
}

bool is(const Device& device, const struct stat& about) {
  return S_ISCHR(about.st_mode) && major(about.st_rdev) == device.major_number &&
         minor(about.st_rdev) == device.minor_number;
}

Result<> bind_device(int dev, int host_dev, const Device& device) {
  const std::string name = std::string("/dev/") + device.name;
  struct stat about {};
  const UniqueFd source(openat(host_dev, device.name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!source || fstat(source.get(), &about) != 0) return sys_error("looking at the host's " + name);
  if (!is(device, about))
    return Error{.code = Code::denied,
                 .what = "the host's " + name + " is not the character device " + std::to_string(device.major_number) + ":" +
                         std::to_string(device.minor_number)};
  UniqueFd target(openat(dev, device.name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!target) {
    const UniqueFd made(openat(dev, device.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!made) return sys_error("making the mount point " + name);
    target.reset(openat(dev, device.name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!target || fstat(target.get(), &about) != 0) return sys_error("opening " + name);
  if (is(device, about)) return Ok{};
  if (S_ISLNK(about.st_mode)) return sys_error(ELOOP, name + " is a symbolic link; a device cannot be put there");
  NH_LET(tree, clone_tree(host_dev, device.name, false));
  if (auto done = attach(tree.get(), target.get()); !done) return std::move(done).error().in(name);
  return Ok{};
}

}  // namespace

Result<> make_device_nodes(int dev, int host_dev) {
  for (const auto& device : devices) NH_TRY(bind_device(dev, host_dev, device));
  for (const auto& link : links) NH_TRY(make_link(dev, link));
  // Not every kernel has it (CONFIG_PROC_KCORE); a link into nothing helps nobody.
  return access(core.text, F_OK) == 0 ? make_link(dev, core) : Result<>(Ok{});
}

}  // namespace nh::run
