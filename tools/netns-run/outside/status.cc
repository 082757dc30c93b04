// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace nh::run {
namespace {

Result<UniqueFd> take_over(int fd, const char* option) {
  if (fd < 0) return UniqueFd();
  // 0, 1 and 2 are the command's too.
  UniqueFd own(fd > STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!own || fcntl(own.get(), F_SETFD, FD_CLOEXEC) != 0)
    return sys_error("--" + std::string(option) + ": descriptor " + std::to_string(fd));
  return own;
}

Result<> write_all(int fd, std::string_view text, const std::string& step) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return sys_error(step);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return Ok{};
}

}  // namespace

std::string info_json(pid_t child, const NamespaceSet& set, const NamespaceInodes& inodes) {
  std::string json = "{\"child-pid\": " + std::to_string(child);
  for (const NamespaceType type : all_namespace_types) {
    const std::uint64_t inode = inodes[static_cast<std::size_t>(type)];
    if (set.is_host(type) || inode == 0) continue;
    json += ", \"" + std::string(proc_name(type)) + "-namespace\": " + std::to_string(inode);
  }
  return json + "}";
}

Result<Status> Status::take(const StatusPlan& plan) {
  Status status;
  const struct {
    int fd;
    const char* option;
    UniqueFd& to;
  } descriptors[] = {{plan.info_fd, "info-fd", status.info_},
                     {plan.json_status_fd, "json-status-fd", status.json_status_},
                     {plan.block_fd, "block-fd", status.block_},
                     {plan.userns_block_fd, "userns-block-fd", status.userns_block_},
                     {plan.sync_fd, "sync-fd", status.sync_}};
  for (const auto& [fd, option, to] : descriptors) {
    NH_LET(own, take_over(fd, option));
    to = std::move(own);
  }
  status.pid_file_ = plan.pid_file;
  return status;
}

Status::~Status() {
  if (!written_.empty()) unlink(written_.c_str());
}

UniqueFd Status::leave_to_child() {
  UniqueFd sync = std::move(sync_);
  info_.reset();
  json_status_.reset();
  block_.reset();
  userns_block_.reset();
  return sync;
}

Result<> Status::tell_info(const std::string& json) {
  if (!info_) return Ok{};
  const UniqueFd last = std::move(info_);
  return write_all(last.get(), json + "\n", "writing to --info-fd");
}

Result<> Status::tell_line(const std::string& json) {
  if (!json_status_) return Ok{};
  return write_all(json_status_.get(), json + "\n", "writing to --json-status-fd");
}

Result<> Status::write_pid_file(pid_t child) {
  if (pid_file_.empty()) return Ok{};
  const std::string step = "writing --pid-file " + pid_file_;
  std::string temporary = pid_file_ + ".XXXXXX";
  const UniqueFd file(mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) return sys_error(step);
  Result<> done = write_all(file.get(), std::to_string(child) + "\n", step);
  if (done && fchmod(file.get(), 0644) != 0) done = sys_error(step);
  if (done && rename(temporary.c_str(), pid_file_.c_str()) != 0) done = sys_error(step);
  if (!done) unlink(temporary.c_str());
  if (done) written_ = pid_file_;
  return done;
}

}  // namespace nh::run
