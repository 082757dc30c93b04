// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/outside/own_program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "src/base/unique_fd.h"
#include "tools/netns-run/outside/file_size_limit.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3; asked for where the sysctl vm.memfd_noexec is 1, unknown to older kernels
#endif

namespace nh::run {
namespace {

constexpr const char* own_file = "/proc/self/exe";
constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

UniqueFd open_own_file() {
  return UniqueFd(open(own_file, O_RDONLY | O_CLOEXEC));
}

/// No other program runs from a file with these seals.
bool is_copy() {
  const UniqueFd file = open_own_file();
  return file && fcntl(file.get(), F_GET_SEALS) == seals;
}

Result<UniqueFd> make_copy() {
  const RaisedFileSizeLimit limit;
  const UniqueFd file = open_own_file();
  struct stat about {};
  if (!file || fstat(file.get(), &about) != 0) return sys_error("opening it");
  constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd copy(memfd_create("netns-run", flags | MFD_EXEC));
  if (!copy && errno == EINVAL) copy.reset(memfd_create("netns-run", flags));
  if (!copy) return sys_error("memfd_create(2)");
  for (off_t left = about.st_size; left > 0;) {
    const ssize_t sent = sendfile(copy.get(), file.get(), nullptr, static_cast<std::size_t>(left));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return sys_error("copying it");
    if (sent == 0) return sys_error(EIO, "copying it: it has become shorter");
    left -= sent;
  }
  if (fchmod(copy.get(), 0555) != 0 || fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return sys_error("sealing the copy");
  return copy;
}

Error explained(Error error) {
  return std::move(error).in(
      "going on as a copy of " + own_path() +
      ", which the command could overwrite (a netns-run that belongs to somebody else needs no copy)");
}

}  // namespace

bool own_file_is_the_callers() {
  struct stat about {};
  if (stat(own_file, &about) != 0 || is_copy()) return false;
  return about.st_uid == geteuid() || faccessat(AT_FDCWD, own_file, W_OK, AT_EACCESS) == 0;
}

bool sees_less_than_caller(const Plan& plan) {
  const RootPlan& root = plan.root;
  const auto hides = [](const MountSpec& mount) {
    return mount.kind == MountSpec::Kind::bind || mount.kind == MountSpec::Kind::tmpfs;
  };
  return !root.directory.empty() || root.read_only || !root.masked.empty() || !root.read_only_paths.empty() ||
         std::any_of(root.mounts.begin(), root.mounts.end(), hides) || plan.namespaces.is_joined(NamespaceType::mount);
}

Result<> go_on_as_copy(char* const* argv) {
  auto copy = make_copy();
  if (!copy) return explained(std::move(copy).error());
  std::string path = own_path();  // by it the copy knows where it is from
  std::vector<char*> words{path.data()};
  for (char* const* word = argv; *word != nullptr; ++word)
    if (word != argv) words.push_back(*word);
  words.push_back(nullptr);
  fexecve(copy->get(), words.data(), environ);
  return explained(sys_error("executing the copy"));
}

std::string own_path() {
  if (is_copy()) return program_invocation_name;
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink(own_file, path.data(), path.size());
  return {path.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

}  // namespace nh::run
