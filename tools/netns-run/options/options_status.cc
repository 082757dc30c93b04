// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>

#include <climits>
#include <map>

#include "src/base/number.h"
#include "tools/netns-run/options/raw_options.h"

namespace nh::run {

Result<> fill_status(const RawOptions& raw, Plan& plan) {
  StatusPlan& status = plan.status;
  const struct {
    const std::string& text;
    const char* option;
    int& fd;
  } descriptors[] = {{raw.info_fd, "info-fd", status.info_fd},
                     {raw.json_status_fd, "json-status-fd", status.json_status_fd},
                     {raw.block_fd, "block-fd", status.block_fd},
                     {raw.userns_block_fd, "userns-block-fd", status.userns_block_fd},
                     {raw.sync_fd, "sync-fd", status.sync_fd}};
  std::map<int, std::string> taken;
  for (const auto& [text, option, fd] : descriptors) {
    if (text.empty()) continue;
    NH_LET(number, of_option(option, parse_unsigned(text, 0, INT_MAX, "file descriptor")));
    fd = static_cast<int>(number);
    if (fcntl(fd, F_GETFD) < 0) return option_error(option, "file descriptor " + text + " is not open");
    const auto [other, first] = taken.emplace(fd, option);
    if (!first) return option_error(option, "is the same descriptor as --" + other->second);
  }
  if (status.userns_block_fd >= 0) {
    // The pid that is written to --info-fd must be that of the process that will run the command.
    const bool born = plan.namespaces.is_fresh(NamespaceType::user) && !plan.namespaces.joins_any_but_user() &&
                      plan.namespaces.is_host(NamespaceType::time);
    if (!born) return option_error("userns-block-fd", "needs a new user namespace, no joined one and no new time namespace");
    if (status.info_fd < 0)
      return option_error("userns-block-fd", "needs --info-fd, which tells whose maps are to be written");
    if (plan.ids.mode != IdMapPlan::Mode::root || raw.map_root)
      return option_error("userns-block-fd", "somebody else maps the ids: no --map-... and no --uid-map");
    plan.ids.mode = IdMapPlan::Mode::none;
    plan.process.keep_ids = true;
  }
  status.pid_file =
      raw.pid_file.empty() || raw.pid_file.starts_with('/') ? raw.pid_file : absolute(".") + "/" + raw.pid_file;
  if (!raw.kill_child.empty()) {
    NH_LET(kill, parse_word("kill-child", raw.kill_child, "yes", "no"));
    plan.kill_child = kill;
  }
  return Ok{};
}

}  // namespace nh::run
