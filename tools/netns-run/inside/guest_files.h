// SPDX-License-Identifier: BSD-3-Clause
// Guest files: resolv.conf and hosts as the guest needs them. They are on a tmpfs that is visible in the
// command's mount namespace only and ends with it; nothing is written on the host.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh::run {

/// The contents of the files.
struct GuestNames {
  std::vector<Address> nameservers;  ///< where the guest asks for names, in order
  std::string hostname;              ///< the guest's own name; empty: it has none of its own
  std::vector<Address> addresses;    ///< the guest's own, for that name; none: 127.0.1.1, as Debian has it
};

/// resolv.conf(5): the host's `search`, `domain`, `sortlist` and `options` lines, and our name servers in place of its own.
/// No options are added: the helper's DNS answers within the resolver's own patience (5 s, twice), and asks its second
/// server only after 1.5 s, which a `timeout:1` would not wait for.
std::string resolv_conf_text(std::string_view host, std::span<const Address> nameservers);

/// hosts(5): the guest's own name first, then the host's lines but for those that name it too; `localhost` is added where
/// the host's file lacks it.
std::string hosts_text(std::string_view host, const GuestNames& names);

/// A file to be put into the guest: read-write for the guest, mode 0644.
struct GuestFile {
  std::string target;  ///< absolute, resolved inside the root, through links; made if it is missing
  std::string text;
};

/// Binds them all over their targets. `root`: a descriptor of a mounted directory of our mount namespace. The error names
/// the target.
Result<> bind_guest_file(int root, const GuestFile& file);

}  // namespace nh::run
