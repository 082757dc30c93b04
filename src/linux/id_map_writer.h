// SPDX-License-Identifier: BSD-3-Clause
// Writing the id maps of a child that has made a user namespace and waits.
//
// Theory of operation. The parent calls this after the child has reported that it is in its new user namespace (before, all
// four ways fail with misleading errors). The ways are tried in this order until one succeeds:
//   1. direct uid/gid map writes: setgroups, uid_map, gid_map
//   2. newuidmap/newgidmap full mapping: setgroups, then the two helpers of the shadow suite, which have the privilege
//   3. direct uid-only mapping          4. newuidmap uid-only mapping
// 3 and 4 only if nothing but our own ids is mapped (IdMaps::uid_alone_will_do). A map can be written only once, so a later way
// continues with what an earlier one has written; a written uid_map with a refused gid_map is a success of 3 or 4. If none
// succeeds, one Error has each way's reason, what this host allows, and advice.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/linux/id_map.h"

namespace nh {

/// How a helper program ended.
struct HelperRun {
  int start_errno = 0;  ///< it could not be executed
  bool timed_out = false;
  int status = 0;  ///< as waitpid(2) has it
  std::string output = {}, errors = {};
};

/// The system calls and programs that the writer uses, as an interface for tests.
class IdMapSystem {
 public:
  virtual ~IdMapSystem() = default;
  /// The whole text by one write(2), as the map files demand: 0 or errno.
  virtual int write(const std::string& path, const std::string& text) = 0;
  virtual std::optional<std::string> read(const std::string& path) = 0;  ///< nullopt: unreadable
  virtual bool exists(const std::string& path) = 0;
  /// The first executable regular file of that name in PATH; nullopt: none.
  virtual std::optional<std::string> find_program(std::string_view name) = 0;
  /// arguments[0] is the program's path. Both outputs are captured, up to helper_output; at its deadline it is killed.
  virtual HelperRun run(const std::vector<std::string>& arguments) = 0;
};

/// Bytes of each of a helper's two outputs that are kept; the rest is read and dropped.
inline constexpr std::size_t helper_output = 4096;
/// A helper queries the user database, which may be on a server; after this time it is killed.
inline constexpr std::chrono::milliseconds helper_time = std::chrono::seconds(10);

/// The kernel, and the programs of this host. `deadline`: of each helper.
std::unique_ptr<IdMapSystem> make_id_map_system(std::chrono::milliseconds deadline = helper_time);
/// The process's instance.
IdMapSystem& real_id_map_system();

enum class IdMapMode : std::uint8_t { nothing, direct_full, helper_full, direct_uid_only, helper_uid_only };
/// "direct uid/gid map writes", "newuidmap/newgidmap full mapping", "direct uid-only mapping", "newuidmap uid-only mapping".
std::string_view id_map_mode_name(IdMapMode mode);

/// Writes `maps` for `child`. Debug lines and warnings go to the log; the result is the way that succeeded.
Result<IdMapMode> write_id_maps(pid_t child, const IdMaps& maps, const IdMapCaller& caller,
                                IdMapSystem& system = real_id_map_system());

}  // namespace nh
