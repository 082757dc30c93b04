// SPDX-License-Identifier: BSD-3-Clause
// For tests that need a real ordinary user with subordinate ids, and the host's own newuidmap and newgidmap.
#pragma once

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "src/linux/id_map.h"
#include "tests/support/namespaces.h"

namespace nh::test {

/// What a test's child says when this host has no such user.
inline const std::string no_ordinary_user = "no user with subordinate ids, or no newuidmap, on this host";

/// As root: becomes the first user of /etc/subuid, for good. As anybody else: checks that we are such a user. Throws Failed
/// with no_ordinary_user where that cannot be.
inline void become_ordinary_user() {
  const IdMapCaller caller = IdMapCaller::current();
  if (access("/usr/bin/newuidmap", X_OK) != 0) throw Failed{no_ordinary_user};
  if (caller.uid != 0) {
    if (subordinate_ranges(caller.subuid, caller.user, caller.uid).empty()) throw Failed{no_ordinary_user};
    return;
  }
  const passwd* user = getpwnam(caller.subuid.substr(0, caller.subuid.find(':')).c_str());
  if (user == nullptr) throw Failed{no_ordinary_user};
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  EXPECT(setgroups(0, nullptr) == 0);
  EXPECT(setresgid(gid, gid, gid) == 0);
  EXPECT(setresuid(uid, uid, uid) == 0);
}

/// Whether a child's failure is only that; never where NETNS_HELPER_MUST_WORK is set.
inline bool not_tried(const std::string& failure) {
  const char* must = std::getenv("NETNS_HELPER_MUST_WORK");
  if (failure != no_ordinary_user || (must != nullptr && *must != '\0')) return false;
  std::printf("NOT TRIED: %s\n", failure.c_str());
  return true;
}

}  // namespace nh::test
