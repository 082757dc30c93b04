// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/mount_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>
#include <utility>

#include "src/base/log.h"
#include "src/linux/inherited_fds.h"
#include "src/linux/mount.h"
#include "src/linux/pidfd.h"
#include "src/linux/root_path.h"
#include "tools/netns-run/inside/masks.h"

namespace nh::run {
namespace {

constexpr int links_at_most = 40;    // as the kernel follows (path_resolution(7))
constexpr int blind_interval = 500;  // ms between two looks where a directory cannot be watched

bool is_mount_root(int fd) {
  struct statx about {};
  return statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &about) == 0 && (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/// One of our mounts, and a detached copy of it that will take its place.
class Kept {
 public:
  /// An Error: nothing is mounted there.
  static Result<Kept> adopt(int root, const std::string& path) {
    NH_LET(mount, open_in_root(root, path, O_PATH));
    if (!is_mount_root(mount.get())) return Error{.code = Code::missing, .what = "nothing is mounted on " + path};
    struct stat about {};
    if (fstat(mount.get(), &about) != 0) return sys_error("looking at " + path);
    NH_LET(spare, clone_tree(mount.get(), "", true));
    return Kept(path, S_ISDIR(about.st_mode), std::move(spare));
  }

  const std::string& path() const { return path_; }

  void put_back(int root) {
    auto present = open_in_root(root, path_, O_PATH);
    if (present && is_mount_root(present->get())) return;  // ours, or what the command has mounted over it
    if (!present) present = open_or_make_in_root(root, path_, is_directory_ ? MountPoint::directory : MountPoint::file);
    auto done = present ? attach(spare_.get(), present->get()) : Result<>(std::move(present).error());
    if (done) {
      auto next = clone_tree(spare_.get(), "", true);
      if (next) spare_ = std::move(*next);
      done = next ? Result<>(Ok{}) : Result<>(std::move(next).error());
    }
    if (!done && !told_) log::debug("what was mounted on " + path_ + " is gone for now: " + done.error().message());
    told_ = !done;
  }

 private:
  Kept(std::string path, bool is_directory, UniqueFd spare)
      : path_(std::move(path)), is_directory_(is_directory), spare_(std::move(spare)) {}

  std::string path_;
  bool is_directory_;
  UniqueFd spare_;
  bool told_ = false;
};

/// Reports any change of the names on the way to some paths. "/" is the command's.
class Watches {
 public:
  explicit Watches(const std::vector<Kept>& all) : inotify_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    complete_ = static_cast<bool>(inotify_);
    for (const Kept& kept : all) follow(kept.path());
  }

  int fd() const { return inotify_.get(); }
  /// Every directory is watched. Otherwise (fs.inotify.max_user_instances, an unreadable directory) changes must be looked for.
  bool complete() const { return complete_; }

 private:
  void follow(const std::string& path) {
    std::filesystem::path here = "/";
    std::vector<std::filesystem::path> rest;  // its end comes first
    const auto go_on_with = [&rest](const std::filesystem::path& more) {
      const std::vector<std::filesystem::path> names(more.begin(), more.end());
      rest.insert(rest.end(), names.rbegin(), names.rend());
    };
    go_on_with(std::filesystem::path(path).relative_path());
    for (int links = 0; !rest.empty() && links <= links_at_most;) {
      const std::filesystem::path name = rest.back();
      rest.pop_back();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        here = here.parent_path();
        continue;
      }
      watch(here);
      std::error_code failed;
      const auto text = std::filesystem::read_symlink(here / name, failed);
      if (failed) {
        here /= name;
        continue;
      }
      ++links;
      if (text.is_absolute()) here = "/";
      go_on_with(text.relative_path());
    }
  }

  void watch(const std::filesystem::path& directory) {
    if (!inotify_ || !watched_.insert(directory).second) return;
    constexpr std::uint32_t changes = IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    if (inotify_add_watch(inotify_.get(), directory.c_str(), changes) < 0 && errno != ENOENT && errno != ENOTDIR)
      complete_ = false;
  }

  UniqueFd inotify_;
  bool complete_ = true;
  std::set<std::filesystem::path> watched_;
};

struct Namespaces {
  UniqueFd user, mount, process;
};

Result<Namespaces> open_namespaces(pid_t child) {
  Namespaces opened;
  NH_LET(process, open_pidfd(child));
  opened.process = std::move(process);
  const std::string directory = "/proc/" + std::to_string(child) + "/ns/";
  for (const auto& [name, to] : {std::pair{"user", &opened.user}, std::pair{"mnt", &opened.mount}}) {
    to->reset(open((directory + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!*to) return sys_error("opening " + directory + name);
  }
  return opened;
}

bool is_ours(int user_namespace) {
  struct stat own {
  }, other{};
  return stat("/proc/self/ns/user", &own) == 0 && fstat(user_namespace, &other) == 0 && own.st_dev == other.st_dev &&
         own.st_ino == other.st_ino;
}

Result<> enter(const Namespaces& namespaces) {
  if (!is_ours(namespaces.user.get()) && setns(namespaces.user.get(), CLONE_NEWUSER) != 0)
    return sys_error("entering the command's user namespace");
  if (setns(namespaces.mount.get(), CLONE_NEWNS) != 0) return sys_error("entering the command's mount namespace");
  // The command may have the same uid, and see us where the pid namespace is the host's.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return sys_error("becoming non-dumpable");
  return Ok{};
}

/// Until the process in the namespaces ends.
Result<> keep(const Namespaces& namespaces, const std::vector<std::string>& places, UniqueFd ready) {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null || dup2(null.get(), STDIN_FILENO) < 0 || dup2(null.get(), STDOUT_FILENO) < 0)
    return sys_error("putting /dev/null in place");
  NH_TRY(close_all_but({namespaces.user.get(), namespaces.mount.get(), namespaces.process.get(), ready.get(), null.get()}));
  NH_TRY(enter(namespaces));
  const UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return sys_error("opening the command's root");
  std::vector<Kept> all;
  for (const std::string& place : places) {
    auto kept = Kept::adopt(root.get(), place);
    if (kept)
      all.push_back(std::move(*kept));
    else
      log::debug(kept.error().message());
  }
  while (!all.empty()) {
    // Watched first, then looked at: a change in between is an event already.
    const Watches watches(all);
    for (Kept& kept : all) kept.put_back(root.get());
    ready.reset();
    std::array<pollfd, 2> fds{{{.fd = namespaces.process.get(), .events = POLLIN, .revents = 0},
                               {.fd = watches.fd(), .events = POLLIN, .revents = 0}}};
    while (poll(fds.data(), fds.size(), watches.complete() ? -1 : blind_interval) < 0 && errno == EINTR) {
    }
    if (fds[0].revents != 0) break;
  }
  return Ok{};
}

}  // namespace

std::vector<std::string> places_to_keep(const RootPlan& plan) {
  std::vector<std::string> places;
  const auto add = [&places](const std::string& path) {
    for (const std::string_view top : {"/proc", "/sys", "/dev"})
      if (path == top || path.starts_with(std::string(top) + "/")) return;
    places.push_back(path);
  };
  if (plan.hide_name_services)
    for (const std::string& path : host_name_services()) add(path);
  for (const MountSpec& mount : plan.mounts)
    if (mount.kind == MountSpec::Kind::bind || mount.kind == MountSpec::Kind::tmpfs) add(mount.target);
  if (plan.write_resolv_conf) add("/etc/resolv.conf");
  if (plan.write_hosts) add("/etc/hosts");
  for (const std::string& path : plan.read_only_paths) add(path);
  for (const std::string& path : plan.masked) add(path);
  // What does not exist on the host cannot be covered there.
  if (plan.directory.empty()) std::erase_if(places, [](const std::string& path) { return access(path.c_str(), F_OK) != 0; });
  return places;
}

Result<MountKeeper> MountKeeper::start(pid_t child, std::vector<std::string> places) {
  NH_LET(namespaces, open_namespaces(child));
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return sys_error("making a pipe");
  MountKeeper keeper;
  keeper.ready_.reset(ends[0]);
  UniqueFd ready(ends[1]);
  keeper.pid_ = fork();
  if (keeper.pid_ < 0) return sys_error("forking");
  if (keeper.pid_ == 0) {
    const auto done = keep(namespaces, places, std::move(ready));
    if (!done) log::debug("mounts over files that the host replaces are lost: " + done.error().message());
    _exit(done ? 0 : exit_own_failure);
  }
  return keeper;
}

MountKeeper::MountKeeper(MountKeeper&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ready_(std::move(other.ready_)) {}

MountKeeper::~MountKeeper() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace nh::run
