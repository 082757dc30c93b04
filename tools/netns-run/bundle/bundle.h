// SPDX-License-Identifier: BSD-3-Clause
// Bundle: an OCI runtime bundle's config.json (runtime-spec 1.0 to 1.2, config.md and config-linux.md) as a Plan.
//
// What is understood: ociVersion (1.x); root; hostname, domainname; process: args, env, cwd, user (uid, gid, umask,
// additionalGids), capabilities, rlimits, noNewPrivileges, oomScoreAdj; mounts of the types bind (or none), proc, sysfs,
// tmpfs, devpts, mqueue, cgroup and cgroup2; linux: namespaces, uidMappings, gidMappings, maskedPaths, readonlyPaths,
// rootfsPropagation, sysctl.
//
// What the specification knows and we do not do is refused by name, never ignored: process.terminal, apparmorProfile,
// selinuxLabel, ioPriority, scheduler, execCPUAffinity; hooks; linux.seccomp, devices, cgroupsPath, resources, intelRdt,
// personality, mountLabel, timeOffsets, netDevices, memoryPolicy; id mappings of a mount; every mount option that asks for
// more than flags; `solaris`, `windows`, `vm`, `zos`, `freebsd`. An empty value of those (null, "", [], {}, false) asks for nothing and
// is accepted. So are annotations, process.consoleSize and process.commandLine (the specification says that they mean
// nothing here), linux.devices that name only the default devices by their own numbers, and linux.resources whose only
// content is the device rule that denies everything, as `runc spec` writes it: it grants nothing, and no device can be made
// in a user namespace anyway.
//
// What the specification does not know is ignored, as it demands ("Extensibility": runtimes MUST ignore unknown properties).
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"
#include "tools/netns-run/plan.h"

namespace nh::run {

/// Reads DIRECTORY/config.json (limits::oci_config bytes at most). The plan's paths of the host are absolute; its network
/// kind is `loopback` where the bundle asks for a new network namespace, `joined` where it names one, and `host` where it
/// does neither; whether a helper comes to it is the command line's to say. missing: no such file. invalid, unsupported:
/// `what` and `field` name the member, like "process.rlimits[0].type".
Result<Plan> read_bundle(const std::string& directory);

/// The same from the text; `directory` is absolute and is what relative paths start from.
Result<Plan> parse_bundle(std::string_view text, const std::string& directory);

}  // namespace nh::run
