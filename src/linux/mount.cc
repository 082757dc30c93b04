// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256  // Linux 5.10
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000  // Linux 5.14
#endif

namespace nh {
namespace {

constexpr std::array<std::pair<unsigned long, std::uint64_t>, 6> simple_flags{{{MS_RDONLY, MOUNT_ATTR_RDONLY},
                                                                               {MS_NOSUID, MOUNT_ATTR_NOSUID},
                                                                               {MS_NODEV, MOUNT_ATTR_NODEV},
                                                                               {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
                                                                               {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
                                                                               {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW}}};
constexpr unsigned long access_time_flags = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

std::uint64_t attributes_of(unsigned long flags) {
  std::uint64_t attributes = 0;
  for (const auto& [flag, attribute] : simple_flags)
    if ((flags & flag) != 0) attributes |= attribute;
  return attributes;
}

/// One of three values, not a set of bits; relatime is 0.
std::uint64_t access_time_of(unsigned long flags) {
  if ((flags & MS_STRICTATIME) != 0) return MOUNT_ATTR_STRICTATIME;
  return (flags & MS_NOATIME) != 0 ? MOUNT_ATTR_NOATIME : MOUNT_ATTR_RELATIME;
}

int set_attributes(int mount, std::uint64_t set, std::uint64_t clear, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  return mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U), &attributes, sizeof attributes);
}

/// The file system's messages from its configuration (fsopen(2)): lines like "e tmpfs: Bad value for 'size'", one a read.
std::string said_by(int context) {
  constexpr int lines_at_most = 16;
  std::string said;
  std::array<char, 1024> line{};
  for (int i = 0; i < lines_at_most; ++i) {
    const ssize_t size = read(context, line.data(), line.size());
    if (size <= 2) break;
    std::string_view text(line.data(), static_cast<std::size_t>(size));
    while (text.ends_with('\n')) text.remove_suffix(1);
    if (text.starts_with("e ") || text.starts_with("w ")) said += (said.empty() ? " (" : "; ") + std::string(text.substr(2));
  }
  return said.empty() ? said : said + ")";
}

Error filesystem_error(int context, int err, const std::string& what) {
  return sys_error(err, what + said_by(context));
}

Result<> configure(int context, const std::string& type, std::string_view option) {
  const auto equals = option.find('=');
  const std::string key(option.substr(0, equals));
  const std::string value(equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1));
  const int set = equals == std::string_view::npos ? fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0)
                                                   : fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0);
  if (set == 0) return Ok{};
  Error error = filesystem_error(context, errno, "mount option " + std::string(option) + " of " + type);
  error.code = Code::invalid;
  return error;
}

bool is_directory(int fd) {
  struct stat about {};
  return fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
}

constexpr std::array<std::pair<std::string_view, unsigned long>, 8> propagation_words{
    {{"private", MS_PRIVATE},
     {"slave", MS_SLAVE},
     {"shared", MS_SHARED},
     {"unbindable", MS_UNBINDABLE},
     {"rprivate", MS_PRIVATE | MS_REC},
     {"rslave", MS_SLAVE | MS_REC},
     {"rshared", MS_SHARED | MS_REC},
     {"runbindable", MS_UNBINDABLE | MS_REC}}};

}  // namespace

Result<UniqueFd> clone_tree(int at, const std::string& path, bool recursive) {
  UniqueFd tree(open_tree(
      at, path.c_str(),
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (path.empty() ? AT_EMPTY_PATH : 0U) | (recursive ? AT_RECURSIVE : 0U)));
  if (tree) return tree;
  const int err = errno;
  Error error = sys_error(err, path.empty() ? std::string("copying the mount") : "copying the mount of " + path);
  if (err == EINVAL && !recursive)
    error.what += " (it holds locked mounts, which would be uncovered: only a recursive bind can take it)";
  if (err == ENOSYS) error.what += " (needs open_tree, Linux 5.2)";
  return error;
}

Result<UniqueFd> new_filesystem(const std::string& type, const std::string& source, std::string_view options,
                                unsigned long flags) {
  const UniqueFd context(fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context) return sys_error("opening the file system type " + type);
  if (fsconfig(context.get(), FSCONFIG_SET_STRING, "source", source.c_str(), 0) != 0)
    return filesystem_error(context.get(), errno, "naming the source of " + type);
  while (!options.empty()) {
    const auto end = std::min(options.find(','), options.size());
    if (end > 0) NH_TRY(configure(context.get(), type, options.substr(0, end)));
    options.remove_prefix(std::min(end + 1, options.size()));
  }
  if ((flags & MS_SYNCHRONOUS) != 0) NH_TRY(configure(context.get(), type, "sync"));
  if ((flags & MS_DIRSYNC) != 0) NH_TRY(configure(context.get(), type, "dirsync"));
  if ((flags & MS_LAZYTIME) != 0) NH_TRY(configure(context.get(), type, "lazytime"));
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return filesystem_error(context.get(), errno, "making a " + type + " file system");
  const auto attributes = attributes_of(flags) | ((flags & access_time_flags) != 0 ? access_time_of(flags) : 0);
  UniqueFd tree(fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!tree) return filesystem_error(context.get(), errno, "mounting a fresh " + type);
  return tree;
}

Result<> attach(int tree, int target) {
  if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0) return Ok{};
  const int err = errno;
  // EINVAL has about ten causes; this is the one that the user can remove.
  if (is_directory(tree) != is_directory(target))
    return sys_error(ENOTDIR,
                     "putting the mount in its place (a directory can cover a directory only, a file no directory)");
  return sys_error(err, "putting the mount in its place");
}

Result<> detach(int mount) {
  // umount2(2) takes a path only; "." is the one that cannot be redirected. If the working directory cannot be opened, it is "/"
  // afterwards.
  const UniqueFd before(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fchdir(mount) != 0) return sys_error("entering the mount to be taken away");
  const int done = umount2(".", MNT_DETACH);
  const int err = errno;
  if ((!before || fchdir(before.get()) != 0) && chdir("/") != 0) return sys_error("leaving the mount that was taken away");
  if (done != 0) return sys_error(err, "taking the mount away");
  return Ok{};
}

Result<> change_flags(int mount, unsigned long set, unsigned long clear, bool recursive) {
  const std::uint64_t to_set = attributes_of(set), to_clear = attributes_of(clear & ~set);
  const bool access_time = (set & access_time_flags) != 0;
  const std::uint64_t time_set = access_time ? access_time_of(set) : 0, time_clear = access_time ? MOUNT_ATTR__ATIME : 0;
  if ((to_set | to_clear | time_clear) == 0) return Ok{};
  if (set_attributes(mount, to_set | time_set, to_clear | time_clear, recursive) == 0) return Ok{};
  if (errno != EPERM) return sys_error("changing mount flags");
  // Some flags are locked: setting flags must succeed, clearing or replacing them may fail.
  if (to_set != 0 && set_attributes(mount, to_set, 0, recursive) != 0) return sys_error("setting mount flags");
  for (const auto& [flag, attribute] : simple_flags)
    if ((to_clear & attribute) != 0 && set_attributes(mount, 0, attribute, recursive) != 0 && errno != EPERM)
      return sys_error("clearing mount flags");
  if (access_time && set_attributes(mount, time_set, time_clear, recursive) != 0 && errno != EPERM)
    return sys_error("setting how a mount keeps access times");
  return Ok{};
}

Result<> set_propagation(int mount, unsigned long propagation) {
  mount_attr attributes{};
  attributes.propagation = propagation & ~static_cast<unsigned long>(MS_REC);
  const unsigned recursive = (propagation & MS_REC) != 0 ? AT_RECURSIVE : 0U;
  if (mount_setattr(mount, "", AT_EMPTY_PATH | recursive, &attributes, sizeof attributes) == 0) return Ok{};
  const int err = errno;
  Error error = sys_error(err, "making mount propagation " + propagation_name(propagation));
  if (err == ENOSYS) error.what += " (needs mount_setattr, Linux 5.12)";
  return error;
}

Result<unsigned long> parse_propagation(std::string_view word, std::string_view field) {
  for (const auto& [name, value] : propagation_words)
    if (name == word) return value;
  return Error{.code = Code::invalid,
               .what = std::string(field) + ": " + std::string(word) +
                       " is no propagation (private, slave, shared, unbindable, or one of them with an r in front)",
               .field = std::string(field)};
}

std::string propagation_name(unsigned long propagation) {
  for (const auto& [name, value] : propagation_words)
    if (value == propagation) return std::string(name);
  return {};
}

Result<long> filesystem_type(int fd) {
  struct statfs about {};
  if (fstatfs(fd, &about) != 0) return sys_error("asking for the type of a file system");
  return static_cast<long>(about.f_type);
}

}  // namespace nh
