// SPDX-License-Identifier: BSD-3-Clause
// Stage user_namespace: the helper leaves the user namespace in which it was started (user_namespaces(7)).
//
// A process in the parent of the guest's user namespace, with the uid that made that one, has all capabilities over it, whatever
// its own sets are (security/commoncap.c, cap_capable). Only moving to a sibling of the guest's user namespace ends that.
#pragma once

#include <string>

#include "src/base/result.h"

namespace nh {

struct EnteredUserNamespace {
  bool entered = false;
  std::string note = {};  ///< what became different, if anything
};

/// Should: put the caller into a new user namespace in which its uid and gid mean the same as
/// before (the control socket compares uids), all others nobody. Must not: take the right to bind
/// ports below 1024 from who has it. Whoever has that right here, and CAP_SYS_ADMIN to go on
/// without, stays where it is (root, rootful engines); so does who is refused a new one but has
/// CAP_SYS_ADMIN. Errors: the kernel or the administrator forbids user namespaces.
Result<EnteredUserNamespace> enter_user_namespace();

}  // namespace nh
