// SPDX-License-Identifier: BSD-3-Clause
// config.json as a plan: what is taken, what is refused by name, and what hostile JSON comes to.
#include "tools/netns-run/bundle/bundle.h"

#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "src/json/json_checked.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::run;

namespace {

/// What `runc spec --rootless` writes, with the terminal switched off.
constexpr std::string_view runc_spec = R"({
  "ociVersion": "1.0.2-dev",
  "process": {
    "terminal": false,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "ambient": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 512}],
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "runc",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
  ],
  "linux": {
    "resources": {"devices": [{"allow": false, "access": "rwm"}]},
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
    "gidMappings": [{"containerID": 0, "hostID": 1001, "size": 1}],
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "user"}],
    "maskedPaths": ["/proc/kcore", "/sys/firmware"],
    "readonlyPaths": ["/proc/sys"]
  }
})";

/// runc's, with the members of another object laid over it (RFC 7396: null takes a member away).
std::string with(std::string_view patch) {
  Json config = Json::parse(runc_spec);
  config.merge_patch(Json::parse(patch));
  return config.dump();
}

Error error_of(std::string_view text) {
  const auto plan = parse_bundle(text, "/bundle");
  if (plan) return Error{.what = "no error"};
  return plan.error();
}

}  // namespace

TEST_CASE("what runc spec writes becomes a plan") {
  const auto parsed = parse_bundle(runc_spec, "/bundle");
  if (!parsed) FAIL(parsed.error().message());
  const Plan& plan = *parsed;
  CHECK(plan.root.directory == "/bundle/rootfs");
  CHECK(plan.root.read_only);
  CHECK(plan.root.default_devices);
  CHECK(plan.root.masked == std::vector<std::string>{"/proc/kcore", "/sys/firmware"});
  CHECK(plan.root.read_only_paths == std::vector<std::string>{"/proc/sys"});
  CHECK(plan.hostname == "runc");

  REQUIRE(plan.root.mounts.size() == 6);
  CHECK(plan.root.mounts[0].kind == MountSpec::Kind::proc);
  CHECK(plan.root.mounts[1].kind == MountSpec::Kind::tmpfs);
  CHECK(plan.root.mounts[1].data == "mode=755,size=65536k");
  CHECK(plan.root.mounts[1].top_set_flags == (MS_NOSUID | MS_STRICTATIME));
  CHECK(plan.root.mounts[2].data == "newinstance,ptmxmode=0666,mode=0620");
  CHECK(plan.root.mounts[4].kind == MountSpec::Kind::bind);
  CHECK(plan.root.mounts[4].recursive);
  CHECK(plan.root.mounts[4].source == "/sys");
  CHECK(plan.root.mounts[4].top_set_flags == (MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY));
  CHECK(plan.root.mounts[4].set_flags == 0);
  CHECK(plan.root.mounts[5].kind == MountSpec::Kind::cgroup2);

  CHECK(plan.process.arguments == std::vector<std::string>{"sh"});
  CHECK(plan.process.clear_environment);
  CHECK(plan.process.set_environment.size() == 2);
  CHECK(plan.process.directory == "/");
  CHECK(plan.process.no_new_privileges);
  CHECK_FALSE(plan.process.own_pid_1);
  CHECK(plan.process.capabilities.bounding == std::vector<unsigned>{CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE});
  CHECK(plan.process.capabilities.inheritable.empty());
  REQUIRE(plan.process.limits.size() == 1);
  CHECK(plan.process.limits[0].second.rlim_cur == 512);

  CHECK(plan.namespaces.is_fresh(NamespaceType::user));
  CHECK(plan.namespaces.is_host(NamespaceType::net));
  CHECK(plan.network.kind == NetworkPlan::Kind::host);
  CHECK(plan.ids.mode == IdMapPlan::Mode::ranges);
  CHECK(plan.ids.uids == std::vector<IdRange>{{.inside = 0, .outside = 1000, .count = 1}});
  CHECK(plan.ids.gids == std::vector<IdRange>{{.inside = 0, .outside = 1001, .count = 1}});
}

TEST_CASE("members that runc spec does not write") {
  const auto parsed = parse_bundle(with(R"({"domainname": "example", "annotations": {"a": "b"}, "unheardOf": {"x": 1},
               "root": {"path": "/abs/rootfs", "readonly": null, "future": true},
               "process": {"user": {"uid": 7, "gid": 8, "umask": 18, "additionalGids": [9, 10]}, "oomScoreAdj": -5,
                           "consoleSize": {"height": 1, "width": 1}, "noNewPrivileges": null, "apparmorProfile": ""},
               "hooks": {"prestart": []},
               "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts", "path": "/run/uts"}, {"type": "time"}],
                         "uidMappings": null, "gidMappings": null, "rootfsPropagation": "rslave", "seccomp": null,
                         "devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}],
                         "resources": {"memory": {}, "devices": null}, "sysctl": {"net.ipv4.ip_forward": "1"}}})"),
                                   "/bundle");
  if (!parsed) FAIL(parsed.error().message());
  CHECK(parsed->domainname == "example");
  CHECK(parsed->root.directory == "/abs/rootfs");
  CHECK_FALSE(parsed->root.read_only);
  CHECK(parsed->root.propagation == (MS_SLAVE | MS_REC));
  CHECK(parsed->root.sysctls.size() == 1);
  CHECK(parsed->process.uid == 7);
  CHECK(parsed->process.gid == 8);
  CHECK(parsed->process.umask == 022);
  CHECK(parsed->process.groups == std::vector<gid_t>{9, 10});
  CHECK(parsed->process.oom_score_adj == -5);
  CHECK_FALSE(parsed->process.no_new_privileges);
  CHECK(parsed->network.kind == NetworkPlan::Kind::loopback);
  CHECK(parsed->ids.mode == IdMapPlan::Mode::none);
  CHECK(parsed->namespaces.entry(NamespaceType::uts) == NamespaceEntry::join_path("/run/uts"));
}

TEST_CASE(
    "mount options: the last of two wins, the tree's and the top's are apart, relative sources start from the bundle") {
  const auto parsed = parse_bundle(with(R"({"mounts": [
      {"destination": "data", "source": "here", "options": ["rbind", "ro", "rw", "rnosuid", "noatime", "relatime", "rprivate"]},
      {"destination": "/dev/", "type": "bind", "source": "/dev"}]})"),
                                   "/bundle");
  if (!parsed) FAIL(parsed.error().message());
  const MountSpec& mount = parsed->root.mounts[0];
  CHECK(mount.target == "/data");
  CHECK(mount.source == "/bundle/here");
  CHECK(mount.top_set_flags == MS_RELATIME);
  CHECK(mount.top_clear_flags == MS_RDONLY);
  CHECK(mount.set_flags == MS_NOSUID);
  CHECK(mount.propagation == (MS_PRIVATE | MS_REC));
  CHECK(mount.data.empty());
  CHECK_FALSE(parsed->root.mounts[1].recursive);
  CHECK_FALSE(parsed->root.default_devices);  // the host's /dev has them
}

TEST_CASE("what asks for more than we do is refused by name") {
  struct Case {
    std::string_view patch, field;
  };
  const Case cases[] = {
      {R"({"ociVersion": "2.0.0"})", "ociVersion"},
      {R"({"ociVersion": null})", "ociVersion"},
      {R"({"hooks": {"prestart": [{"path": "/bin/true"}]}})", "hooks"},
      {R"({"solaris": {"milestone": "x"}})", "solaris"},
      {R"({"root": null})", "root"},
      {R"({"process": null})", "process"},
      {R"({"process": {"terminal": true}})", "process.terminal"},
      {R"({"process": {"apparmorProfile": "x"}})", "process.apparmorProfile"},
      {R"({"process": {"selinuxLabel": "x"}})", "process.selinuxLabel"},
      {R"({"process": {"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}})", "process.ioPriority"},
      {R"({"process": {"scheduler": {"policy": "SCHED_BATCH"}}})", "process.scheduler"},
      {R"({"process": {"args": []}})", "process.args"},
      {R"({"process": {"args": ["a\u0000b"]}})", "process.args[0]"},
      {R"({"process": {"cwd": "relative"}})", "process.cwd"},
      {R"({"process": {"env": ["A=1", "novalue"]}})", "process.env[1]"},
      {R"({"process": {"user": {"uid": -1}}})", "process.user.uid"},
      {R"({"process": {"user": {"uid": 4294967295}}})", "process.user.uid"},
      {R"({"process": {"user": {"username": "x"}}})", "process.user.username"},
      {R"({"process": {"oomScoreAdj": 1001}})", "process.oomScoreAdj"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_BOGUS", "hard": 1, "soft": 1}]}})", "process.rlimits[0].type"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 1, "soft": 2}]}})", "process.rlimits[0].soft"},
      {R"({"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}, {"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]}})",
       "process.rlimits[1].type"},
      {R"({"linux": null})", "linux.namespaces"},
      {R"({"linux": {"namespaces": [{"type": "pid"}]}})", "linux.namespaces"},
      {R"({"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "pid", "path": "/x"}]}})",
       "linux.namespaces[2].type"},
      {R"({"linux": {"namespaces": [{"type": "mnt"}]}})", "linux.namespaces[0].type"},
      {R"({"linux": {"namespaces": [{"type": "mount", "path": "relative"}]}})", "linux.namespaces[0].path"},
      {R"({"linux": {"uidMappings": null}})", "linux.uidMappings"},
      {R"({"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}]}})", "linux.uidMappings"},
      {R"({"linux": {"gidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]}})", "linux.gidMappings[0].size"},
      {R"({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}})", "linux.seccomp"},
      {R"({"linux": {"cgroupsPath": "/x"}})", "linux.cgroupsPath"},
      {R"({"linux": {"intelRdt": {"closID": "x"}}})", "linux.intelRdt"},
      {R"({"linux": {"personality": {"domain": "LINUX32"}}})", "linux.personality"},
      {R"({"linux": {"mountLabel": "x"}})", "linux.mountLabel"},
      {R"({"linux": {"timeOffsets": {"monotonic": {"secs": 1}}}})", "linux.timeOffsets"},
      {R"({"linux": {"netDevices": {"eth0": {"name": "x"}}}})", "linux.netDevices"},
      {R"({"linux": {"resources": {"memory": {"limit": 1}}}})", "linux.resources.memory"},
      {R"({"linux": {"resources": {"devices": [{"allow": true, "access": "rwm"}]}}})", "linux.resources.devices[0]"},
      {R"({"linux": {"devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]}})", "linux.devices[0]"},
      {R"({"linux": {"devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 5}]}})", "linux.devices[0]"},
      {R"({"linux": {"maskedPaths": ["proc/kcore"]}})", "linux.maskedPaths"},
      {R"({"linux": {"readonlyPaths": ["proc"]}})", "linux.readonlyPaths"},
      {R"({"linux": {"rootfsPropagation": "sideways"}})", "linux.rootfsPropagation"},
      {R"({"linux": {"sysctl": {"kernel.panic": "1"}}})", "linux.sysctl"},
      {R"({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}})", "linux.sysctl"},
      {R"({"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}})", "hostname"},
      {R"({"hostname": "box\n192.0.2.1 bank.example"})", "hostname"},
      {R"({"domainname": "a b"})", "domainname"},
      {R"({"mounts": [{"destination": "/a", "type": "overlay", "source": "o"}]})", "mounts[0].type"},
      {R"({"mounts": [{"destination": "/a", "type": "none", "source": "/b"}]})", "mounts[0].type"},
      {R"({"mounts": [{"type": "tmpfs"}]})", "mounts[0].destination"},
      {R"({"mounts": [{"destination": "/a", "options": ["bind"]}]})", "mounts[0].source"},
      {R"({"mounts": [{"destination": "/a", "source": "/b", "options": ["bind", "size=1"]}]})", "mounts[0].options[1]"},
      {R"({"mounts": [{"destination": "/a", "source": "/b", "options": ["bind", "rro"]}]})", "mounts[0].options[1]"},
      {R"({"mounts": [{"destination": "/a", "source": "/b", "options": ["rbind", "idmap"]}]})", "mounts[0].options[1]"},
      {R"({"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["tmpcopyup"]}]})", "mounts[0].options[0]"},
      {R"({"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["size=1,mode=0"]}]})", "mounts[0].options[0]"},
      {R"({"mounts": [{"destination": "/a", "source": "/b", "options": ["rbind"], "uidMappings": [{"size": 1}]}]})",
       "mounts[0].uidMappings"},
  };
  for (const auto& [patch, field] : cases) {
    INFO(patch);
    const Error error = error_of(with(patch));
    CHECK(error.field == field);
    CHECK(error.what.find("config.json: ") == 0);
    CHECK(error.what.find(field) != std::string::npos);
  }
}

TEST_CASE("every member of a wrong type is an error or ignored, never a crash") {
  const std::string_view wrongs[] = {"42", "-1", "\"x\"", "true", "[]", "{}", "[[]]", "[null]", "{\"a\": null}", "null"};
  const Json config = Json::parse(runc_spec), leaves = config.flatten();
  std::size_t tried = 0;
  for (const auto& [pointer, value] : leaves.items()) {
    // Every node on the way to this leaf.
    for (auto end = pointer.find('/', 1);; end = pointer.find('/', end + 1)) {
      for (const auto wrong : wrongs) {
        Json broken = config;
        broken[Json::json_pointer(pointer.substr(0, end))] = Json::parse(wrong);
        const auto plan = parse_bundle(broken.dump(), "/bundle");
        if (!plan) CHECK_FALSE(plan.error().what.empty());
        ++tried;
      }
      if (end == std::string::npos) break;
    }
  }
  CHECK(tried > 1000);
}

TEST_CASE("hostile JSON is an error that says what is wrong with it") {
  CHECK(error_of("").what.find("config.json: byte") == 0);
  CHECK(error_of("[]").what.find("JSON object") != std::string::npos);
  CHECK(error_of("{\"ociVersion\": \"1.0.0\", \"ociVersion\": \"1.0.0\"}").what.find("given twice") != std::string::npos);
  CHECK(error_of("{\"a\": 1e400}").what.find("out of range") != std::string::npos);
  CHECK(error_of(std::string(100, '[')).what.find("levels deep") != std::string::npos);
  std::string many = "[0";
  for (int i = 0; i < 20000; ++i) many += ",0";
  CHECK(error_of(many + "]").what.find("more than") != std::string::npos);
  for (std::size_t size = 0; size < runc_spec.size(); size += 7)
    CHECK(error_of(runc_spec.substr(0, size)).what != "no error");
}

TEST_CASE("a bundle that is not there") {
  const auto none = read_bundle("/does/not/exist");
  REQUIRE(!none);
  CHECK(none.error().code == Code::missing);
  CHECK(none.error().what.find("/does/not/exist") != std::string::npos);
  CHECK(!read_bundle("/usr"));
}

TEST_CASE("a config.json that nobody writes is not waited for") {
  char directory[] = "/tmp/bundle-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string fifo = std::string(directory) + "/config.json";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const auto bundle = read_bundle(directory);
  REQUIRE(!bundle);
  CHECK(bundle.error().what.find("is not a file") != std::string::npos);
  CHECK(unlink(fifo.c_str()) == 0);
  CHECK(rmdir(directory) == 0);
}
