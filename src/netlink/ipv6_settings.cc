// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/ipv6_settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "src/base/unique_fd.h"

namespace nh {

namespace {

Result<std::string> read_setting(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return sys_error("reading " + path);
  std::array<char, 32> text{};
  const ssize_t size = read(file.get(), text.data(), text.size());
  if (size < 0) return sys_error("reading " + path);
  std::string value(text.data(), static_cast<std::size_t>(size));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Result<> write_setting(const std::string& path, const std::string& value) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return sys_error("writing " + path);
  if (write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return sys_error("writing " + path);
  return Ok{};
}

}  // namespace

Result<> set_ipv6_setting(const std::string& interface, const std::string& setting, const std::string& value,
                          UndoLog& undo) {
  const std::string path = "/proc/sys/net/ipv6/conf/" + interface + "/" + setting;
  NH_LET(former, read_setting(path));
  if (former == value) return Ok{};
  NH_TRY(write_setting(path, value));
  undo.add([path, former = former] { return write_setting(path, former); });
  return Ok{};
}

}  // namespace nh
