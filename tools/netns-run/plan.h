// SPDX-License-Identifier: BSD-3-Clause
// Plan: what one run of netns-run consists of, parsed, and checked as far as possible without asking the system. The command
// line and an OCI bundle fill the same Plan; the rest of the program does not depend on which of them did.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "src/linux/id_map.h"
#include "src/linux/namespace_set.h"
#include "src/rules/rule_spec.h"

namespace nh::run {

/// One mount inside the new root, in order. `target` is absolute, and resolved inside the root whatever links lie there.
struct MountSpec {
  enum class Kind : std::uint8_t { bind, proc, sysfs, tmpfs, devpts, mqueue, cgroup2, dev };  ///< dev: the minimal /dev
  Kind kind = Kind::bind;
  std::string source = {};  ///< bind: a path of the host
  std::string target;
  bool recursive = true;          ///< bind: rbind
  bool optional = false;          ///< a source that is missing is no error
  unsigned long set_flags = 0;    ///< MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME ... (mount(2))
  unsigned long clear_flags = 0;  ///< taken from what the source has, as far as the kernel lets us (locked flags stay)
  /// The two above count for the whole tree of a recursive bind; these for its topmost mount alone (the runtime-spec's `ro`).
  unsigned long top_set_flags = 0, top_clear_flags = 0;
  unsigned long propagation =
      0;                  ///< MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with or without MS_REC; 0: as it comes
  std::string data = {};  ///< file system options, as mount(2) takes them
};

struct RootPlan {
  std::string directory;  ///< becomes "/" by pivot_root; empty: the host's own tree stays
  bool read_only = false;
  unsigned long propagation = 0;  ///< of the new "/", seen from inside (rootfsPropagation); 0: private
  std::vector<MountSpec> mounts;
  bool default_devices =
      false;  ///< /dev is given the default devices and links after the mounts (runtime-spec); Kind::dev brings its own
  std::vector<std::string> masked, read_only_paths;  ///< absolute, inside the root
  bool write_resolv_conf = false;   ///< resolv.conf that leads to the guest's DNS address, bound over /etc/resolv.conf
  bool write_hosts = false;         ///< hosts with the guest's own name, bound over /etc/hosts
  bool own_sysfs = false;           ///< /sys of the host's tree shows the new network namespace's interfaces
  bool hide_name_services = false;  ///< the host's resolvers behind Unix sockets cannot be reached (masks.h)
  std::vector<std::pair<std::string, std::string>> sysctls;
};

/// Capability sets, by number (linux/capability.h).
struct CapabilityPlan {
  std::vector<unsigned> bounding, effective, inheritable, permitted, ambient;
};

struct ProcessPlan {
  std::vector<std::string> arguments;  ///< [0] is looked up in PATH of the environment inside; never empty
  std::vector<std::pair<std::string, std::string>> set_environment;
  std::vector<std::string> unset_environment;
  bool clear_environment = false;
  bool find_home = false;  ///< HOME, where it is not set, is what /etc/passwd inside says of uid, else "/"
  std::string directory;   ///< empty: the present one if it exists inside, else "/"
  uid_t uid = 0;           ///< inside
  gid_t gid = 0;
  bool keep_ids = false;  ///< uid and gid are what ours have become inside: a user namespace that is not made by us
  std::optional<std::vector<gid_t>> groups;  ///< nullopt: left alone where setgroups is denied, else empty
  std::optional<mode_t> umask;
  CapabilityPlan capabilities;  ///< all empty: none are kept
  std::vector<std::pair<int, rlimit>> limits;
  std::optional<int> oom_score_adj;
  bool no_new_privileges = true;
  bool new_session = false;
  bool own_pid_1 =
      true;  ///< a reaper of ours is pid 1 of a new pid namespace, the command its child; false: the command is pid 1
};

struct NetworkPlan {
  enum class Kind : std::uint8_t { helper, loopback, host, joined };  ///< joined: the namespace comes as it is
  enum class Addresses : std::uint8_t { helper, private_30 };
  enum class HelperExit : std::uint8_t { kill, keep };
  Kind kind = Kind::helper;
  Addresses addresses = Addresses::helper;
  Cidr cidr = Cidr::of(Address::v4(0x0a000200), 24);                           ///< of the helper (netns-helper.1, --cidr)
  std::optional<Cidr> cidr6 = Cidr::of(Address::parse("fd00::").value(), 64);  ///< nullopt: no IPv6
  /// The networks above are yet to be chosen, so that they do not overlap with the host's (src/netlink/host_networks.h).
  bool choose_cidr = true, choose_cidr6 = true;
  unsigned mtu = 1500;
  bool dns = true;
  std::vector<RuleSpec> publish;
  std::string helper_path;                  ///< empty: beside ourselves, then PATH
  std::vector<std::string> helper_options;  ///< more words for netns-helper's command line: --outbound-addr=..., --dns=...
  bool confine_helper = true;               ///< --sandbox and --seccomp of netns-helper(1)
  HelperExit on_helper_exit = HelperExit::kill;
};

/// Descriptors and files by which other programs follow a run (as bubblewrap's); -1 or empty: not asked for.
struct StatusPlan {
  int info_fd = -1, json_status_fd = -1, block_fd = -1, userns_block_fd = -1, sync_fd = -1;
  std::string pid_file;
};

struct Plan {
  NamespaceSet namespaces;
  IdMapPlan ids;
  std::string hostname, domainname;  ///< empty: left alone
  RootPlan root;
  ProcessPlan process;
  NetworkPlan network;
  StatusPlan status;
  bool kill_child = true;  ///< the command dies with us
};

/// Exit codes, as env(1), podman and the shells have them.
inline constexpr int exit_own_failure = 125, exit_not_executable = 126, exit_not_found = 127, exit_signal_base = 128;

}  // namespace nh::run
