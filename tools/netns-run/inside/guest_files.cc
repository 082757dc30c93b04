// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/guest_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/unique_fd.h"
#include "src/linux/mount.h"
#include "src/linux/root_path.h"

namespace nh::run {
namespace {

std::string_view next_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(blanks), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

Result<> write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = write(file, text.data(), text.size());
    if (size < 0) return sys_error("writing it");
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return Ok{};
}

/// A file of this text, detached, on a tmpfs of which nothing else can be seen.
Result<UniqueFd> file_tree(int root, std::string_view text) {
  NH_LET(place, new_filesystem("tmpfs", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  UniqueFd file(openat(place.get(), "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file || fchmod(file.get(), 0644) != 0) return sys_error("making it");
  NH_TRY(write_all(file.get(), text));
  file.reset();
  // Only of an attached mount can a part be taken (open_tree(2), until Linux 6.15): so it lies over the root for a moment,
  // where nobody looks: root descriptors see what is below it.
  NH_TRY(attach(place.get(), root));
  auto tree = clone_tree(place.get(), "file", false);
  NH_TRY(detach(place.get()));
  return tree;
}

}  // namespace

std::string resolv_conf_text(std::string_view host, std::span<const Address> nameservers) {
  std::string text;
  for (const auto& nameserver : nameservers) text += "nameserver " + nameserver.text() + "\n";
  while (!host.empty()) {
    const std::string_view line = next_line(host);
    const auto words = words_of(line);
    if (words.empty()) continue;
    if (words[0] == "search" || words[0] == "domain" || words[0] == "sortlist" || words[0] == "options")
      text += std::string(line) + "\n";
  }
  return text;
}

std::string hosts_text(std::string_view host, const GuestNames& names) {
  std::string text, rest;
  if (!names.hostname.empty()) {
    if (names.addresses.empty()) text += "127.0.1.1\t" + names.hostname + "\n";
    for (const auto& address : names.addresses) text += address.text() + "\t" + names.hostname + "\n";
  }
  bool has_localhost = false;
  while (!host.empty()) {
    const std::string_view line = next_line(host);
    const auto words = words_of(line.substr(0, line.find('#')));
    const auto names_it = [&words](std::string_view name) {
      return !words.empty() && std::find(words.begin() + 1, words.end(), name) != words.end();
    };
    if (!names.hostname.empty() && names_it(names.hostname) && !names_it("localhost")) continue;
    has_localhost = has_localhost || names_it("localhost");
    rest += std::string(line) + "\n";
  }
  if (!has_localhost) text += "127.0.0.1\tlocalhost\n::1\tlocalhost\n";
  return text + rest;
}

Result<> bind_guest_file(int root, const GuestFile& file) {
  const auto bind = [&]() -> Result<> {
    NH_LET(tree, file_tree(root, file.text));
    NH_LET(target, open_or_make_in_root(root, file.target, MountPoint::file));
    return attach(tree.get(), target.get());
  };
  if (auto done = bind(); !done) return std::move(done).error().in("our own " + file.target);
  return Ok{};
}

}  // namespace nh::run
