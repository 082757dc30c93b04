// SPDX-License-Identifier: BSD-3-Clause
// The texts of the command line, as CLI11 collects them; plan_of() makes a Plan of them.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "src/base/result.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

struct RawOptions {
  // Empty: not given.
  std::array<std::string, all_namespace_types.size()> namespaces;  ///< by NamespaceType
  bool map_auto = false, map_root = false, map_current = false;
  std::vector<std::string> uid_maps, gid_maps;
  std::string setgroups, hostname, domainname;

  std::string root;
  bool read_only = false, proc = false, no_proc = false, dev = false, no_dev = false, no_default_masks = false;
  std::vector<std::pair<std::string, std::string>> mounts;  ///< "bind", "ro-bind" or "tmpfs", and its value; in order
  std::vector<std::string> masks, read_only_paths;

  std::vector<std::string> environment, unset;
  bool clear_environment = false;
  std::string directory;
  std::vector<std::string> cap_add, cap_drop;
  bool keep_caps = false, new_session = false, as_pid_1 = false;
  std::string kill_child;

  bool no_net = false;
  std::string net_plan;
  std::vector<std::string> publish, dns, helper_options;
  std::string helper, mtu, cidr, cidr6, outbound, outbound6, api_socket, confine_helper, on_helper_exit;
  bool no_ipv6 = false, no_dns = false, allow_host_loopback = false, allow_link_local = false;

  std::string info_fd, json_status_fd, block_fd, userns_block_fd, sync_fd, pid_file;
  std::string bundle;
  bool doctor = false, json = false, version = false;
  std::string log_level;

  std::vector<std::string> command;
};

/// invalid, with the option as the field: the rule that is broken.
Result<Plan> plan_of(const RawOptions& raw);

// Its parts that have files of their own.
Result<> fill_network(const RawOptions& raw, Plan& plan);
Result<> fill_status(const RawOptions& raw, Plan& plan);

/// True for `yes`, false for `no`, else the option's error.
Result<bool> parse_word(const std::string& option, const std::string& text, const char* yes, const char* no);
/// As seen from the present directory; a path that does not exist stays as it is, for the error to name it.
std::string absolute(const std::string& path);

/// An Error of Code::invalid for an option, "--option: text".
Error option_error(const std::string& option, const std::string& text);

/// The parse error of one option, with the option's name in front, as the user typed it.
template <class T>
Result<T> of_option(const std::string& option, Result<T> result) {
  if (result) return result;
  Error error = std::move(result).error().in("--" + option);
  error.field = option;
  return error;
}

}  // namespace nh::run
