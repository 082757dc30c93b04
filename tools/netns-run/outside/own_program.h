// SPDX-License-Identifier: BSD-3-Clause
// OwnProgram: the file that netns-run is executed from, kept out of the command's reach.
//
// What runs inside can get hold of that file, whatever its root shows: by a script "#!/proc/self/exe", or with capabilities by
// the reaper's /proc/PID/exe. The kernel refuses writes to a program that runs, but a descriptor of it can be kept until it has
// ended. If the caller may write the file, so may the command then, and the caller's next netns-run would be the command's program.
// So we go on as a sealed copy in memory first (memfd_create(2)), as runc and crun do.
#pragma once

#include <string>

#include "src/base/result.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// Is our file one that the caller could write, or make writable? Not if we are the copy.
bool own_file_is_the_callers();
/// Does the command see less of the host than the caller does? Otherwise it may write whatever he may.
bool sees_less_than_caller(const Plan& plan);
/// Executes the copy, with the same words; does not return but with an error.
Result<> go_on_as_copy(char* const* argv);
/// The path of our file, of which we may be the copy; "" if it is not known.
std::string own_path();

}  // namespace nh::run
