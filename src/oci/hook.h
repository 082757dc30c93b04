// SPDX-License-Identifier: BSD-3-Clause
// `netns-helper oci-hook`: a hook of an OCI runtime (runtime-spec, config.md, "POSIX-platform
// Hooks") that gives a container its network.
//
// Theory of operation. The runtime runs us with the container's state on standard input, and waits.
// At createRuntime (prestart, poststart) we hold the container's process by a pidfd, put the
// command line of a helper together, which is the hook's own and the container's annotations
// (oci_annotations.h), parse it by the one parser there is, and fork: the child becomes the helper,
// in a session of its own, with nothing of the runtime's open, since runc waits until nobody holds
// its pipes. Its standard error is a log file (oci_directory.h). We wait for its ready byte and end
// with 0, or quote the log as the reason. The helper ends with the container's process. At
// poststop, told by the status stopped, what is left is removed.
//
// An unprivileged hook cannot look into a process that has made itself not dumpable, as crun's has
// by then. If config.json names the network namespace by path, that path is taken instead, and the
// helper watches the process all the same.
#pragma once

namespace nh {

/// argv[0] is "oci-hook". Gives the hook's exit code; the forked child ends by exit(3) in here.
/// Must run before any thread exists.
int oci_hook_main(int argc, char** argv);

}  // namespace nh
