// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "src/base/limits.h"
#include "src/base/number.h"
#include "src/linux/pidfd.h"

namespace nh {
namespace {

using namespace std::chrono_literals;

constexpr const char* files[] = {"pid", "container-pid", "log", "control"};
constexpr int poll_step_ms = 10;  // nothing tells when a lock is let go

void rest() {
  poll(nullptr, 0, poll_step_ms);
}

struct Base {
  std::string parent;
  std::string name;  ///< of the first directory below it
};

/// Whose directories are ours. Rootless engines run hooks as root of a namespace of theirs: then
/// root as the parent of our user namespace knows it.
std::uint64_t user_id() {
  if (const uid_t uid = geteuid(); uid != 0) return uid;
  std::ifstream map("/proc/self/uid_map");
  for (std::uint64_t inside = 0, outside = 0, count = 0; map >> inside >> outside >> count;)
    if (inside == 0 && count > 0) return outside;
  return 0;
}

// Where it may be, the best first. All are looked at to clean up: podman runs its poststop hooks
// without an environment.
std::vector<Base> bases() {
  std::vector<Base> found;
  const char* const runtime = secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') found.push_back({runtime, "netns-helper"});
  // Not root's own, which goes when root logs out.
  if (const std::uint64_t uid = user_id(); uid != 0) found.push_back({"/run/user/" + std::to_string(uid), "netns-helper"});
  if (geteuid() == 0) found.push_back({"/run", "netns-helper"});
  found.push_back({"/tmp", "netns-helper-" + std::to_string(user_id())});
  return found;
}

/// missing: it is not there and `make` is not set.
Result<UniqueFd> open_own(int at, const char* name, const std::string& path, bool make) {
  if (make && mkdirat(at, name, 0700) != 0 && errno != EEXIST) return sys_error("making " + path);
  UniqueFd fd(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return sys_error("opening " + path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return sys_error("looking at " + path);
  if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
    return Error{.code = Code::denied, .what = path + " is not ours alone (owner and mode 0700)"};
  return fd;
}

struct Opened {
  UniqueFd fd;
  std::string path;
};

Result<Opened> open_base(const Base& base, bool make) {
  UniqueFd parent(open(base.parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return sys_error("opening " + base.parent);
  std::string path = base.parent + "/" + base.name;
  NH_LET(own, open_own(parent.get(), base.name.c_str(), path, make));
  path += "/oci";
  NH_LET(oci, open_own(own.get(), "oci", path, make));
  return Opened{std::move(oci), std::move(path)};
}

std::vector<std::string> entries_of(int directory) {
  std::vector<std::string> names;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : fdopendir(copy), closedir);
  while (stream && names.size() < limits::oci_sweep) {
    const dirent* const entry = readdir(stream.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

}  // namespace

OciDirectory::OciDirectory(UniqueFd base, UniqueFd fd, std::string base_path, std::string name)
    : base_(std::move(base)), fd_(std::move(fd)), name_(std::move(name)), path_(std::move(base_path) + "/" + name_) {}

std::string OciDirectory::name_of(const std::string& id, const std::string& bundle) {
  constexpr std::size_t readable = 20, digits = 16;
  const std::string both = id + '\0' + bundle;
  const std::unique_ptr<char, void (*)(void*)> digest(
      g_compute_checksum_for_data(G_CHECKSUM_SHA256, reinterpret_cast<const unsigned char*>(both.data()), both.size()),
      g_free);
  std::string name;
  for (const char c : id.substr(0, readable)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    name += plain ? c : '_';
  }
  return name + "-" + std::string(digest.get(), digits);
}

Result<bool> OciDirectory::lock() const {
  if (flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return sys_error("locking " + path_);
}

/// False once somebody has removed it: what is locked then is no longer what others find by the
/// name.
bool OciDirectory::is_linked() const {
  struct stat status {};
  return fstat(fd_.get(), &status) == 0 && status.st_nlink > 0;
}

Result<std::optional<OciDirectory>> OciDirectory::make_in(const std::string& base_path, UniqueFd base,
                                                          const std::string& name) {
  NH_LET(fd, open_own(base.get(), name.c_str(), base_path + "/" + name, true));
  OciDirectory made(std::move(base), std::move(fd), base_path, name);
  NH_LET(locked, made.lock());
  if (!locked || !made.is_linked()) return std::optional<OciDirectory>();
  for (const char* file : files) unlinkat(made.fd_.get(), file, 0);
  return std::optional(std::move(made));
}

Result<OciDirectory> OciDirectory::make(const std::string& id, const std::string& bundle, const Clock& clock) {
  const std::string name = name_of(id, bundle);
  const Instant deadline = clock.now() + limits::oci_lock_wait;
  Error nowhere{.code = Code::missing, .what = "there is no place for the container's files"};
  for (const Base& place : bases()) {
    auto base = open_base(place, true);
    if (!base) {
      nowhere.what += "; " + base.error().message();
      continue;
    }
    for (const std::string& other : entries_of(base->fd.get())) {
      auto fd = open_own(base->fd.get(), other.c_str(), base->path + "/" + other, false);
      if (other == name || !fd) continue;
      OciDirectory left(UniqueFd(fcntl(base->fd.get(), F_DUPFD_CLOEXEC, 3)), std::move(*fd), base->path, other);
      if (auto locked = left.lock(); locked && *locked) static_cast<void>(left.remove().ok());
    }
    while (true) {
      UniqueFd copy(fcntl(base->fd.get(), F_DUPFD_CLOEXEC, 3));
      if (!copy) return sys_error("holding " + base->path);
      NH_LET(made, make_in(base->path, std::move(copy), name));
      if (made) return std::move(*made);
      if (clock.now() >= deadline)
        return Error{.code = Code::in_use, .what = "a helper already serves this container: " + base->path + "/" + name};
      rest();
    }
  }
  return nowhere;
}

std::vector<OciDirectory> OciDirectory::find(const std::string& name) {
  std::vector<OciDirectory> found;
  for (const Base& place : bases()) {
    auto base = open_base(place, false);
    if (!base) continue;
    auto fd = open_own(base->fd.get(), name.c_str(), base->path + "/" + name, false);
    if (fd) found.push_back(OciDirectory(std::move(base->fd), std::move(*fd), base->path, name));
  }
  return found;
}

bool OciDirectory::serves(const std::string& id, const std::string& bundle, pid_t container) {
  const auto found = find(name_of(id, bundle));
  return std::any_of(found.begin(), found.end(), [container](const OciDirectory& directory) {
    auto locked = directory.lock();
    return locked && !*locked && directory.read_number("container-pid") == container;
  });
}

Result<> OciDirectory::clean(const std::string& id, const std::string& bundle, const Clock& clock) {
  for (OciDirectory& directory : find(name_of(id, bundle))) {
    NH_TRY(directory.end_holder(clock));
    if (directory.is_linked()) NH_TRY(directory.remove());
  }
  return Ok{};
}

/// Returns with the lock.
Result<> OciDirectory::end_holder(const Clock& clock) {
  const Instant kill_at = clock.now() + limits::oci_stop;
  const Instant give_up_at = kill_at + limits::oci_stop;
  bool asked = false, killed = false;
  while (true) {
    NH_LET(free, lock());
    if (free) return Ok{};
    const bool late = clock.now() >= kill_at;
    if (clock.now() >= give_up_at) return Error{.code = Code::timeout, .what = "the helper does not end: " + path("pid")};
    // A helper that is just being started has not written its number yet.
    const auto pid = read_number("pid");
    if (pid && (!asked || (late && !killed))) {
      auto pidfd = open_pidfd(*pid);
      // Still locked, so the helper lived when its number was looked up.
      NH_LET(gone, lock());
      if (gone) return Ok{};
      if (pidfd) {
        NH_TRY(signal_process(pidfd->get(), late ? SIGKILL : SIGTERM));
        asked = true;
        killed = late;
      }
    }
    rest();
  }
}

std::optional<pid_t> OciDirectory::read_number(const char* file) const {
  const UniqueFd fd(openat(fd_.get(), file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::array<char, 16> text;
  const ssize_t size = fd ? read(fd.get(), text.data(), text.size()) : -1;
  if (size < 2 || text[static_cast<std::size_t>(size) - 1] != '\n') return std::nullopt;
  auto number = parse_unsigned(std::string_view(text.data(), static_cast<std::size_t>(size) - 1), 1, INT_MAX, file);
  if (!number) return std::nullopt;
  return static_cast<pid_t>(*number);
}

Result<> OciDirectory::write_number(const char* file, pid_t number) const {
  const UniqueFd fd(openat(fd_.get(), file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const std::string text = std::to_string(number) + "\n";
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return sys_error("writing " + path(file));
  return Ok{};
}

Result<UniqueFd> OciDirectory::open_log() const {
  UniqueFd fd(openat(fd_.get(), "log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return sys_error("making " + path("log"));
  return fd;
}

Result<> OciDirectory::remove() {
  for (const char* file : files) unlinkat(fd_.get(), file, 0);
  if (unlinkat(base_.get(), name_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return sys_error("removing " + path_);
  return Ok{};
}

}  // namespace nh
