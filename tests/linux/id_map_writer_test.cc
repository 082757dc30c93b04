// SPDX-License-Identifier: BSD-3-Clause
// The four ways of writing id maps, by recorded calls. Real refusals: id_map_kernel_test.cc.
#include "src/linux/id_map_writer.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "src/base/log.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh::test {

namespace {

using Calls = std::vector<std::string>;

/// A /proc/7 whose map files take one write each, and two helpers.
class FakeSystem final : public IdMapSystem {
 public:
  int write(const std::string& path, const std::string& text) override {
    const std::string file = path.substr(std::string("/proc/7/").size());
    calls.push_back(file + " " + text.substr(0, text.find('\n')));
    if (errors.contains(file)) return errors[file];
    if (file != "setgroups" && !written.insert(file).second) return EPERM;
    return 0;
  }
  std::optional<std::string> read(const std::string& path) override {
    return proc.contains(path) ? std::optional(proc[path]) : std::nullopt;
  }
  bool exists(const std::string& path) override { return path == "/proc/7/setgroups" && has_setgroups; }
  std::optional<std::string> find_program(std::string_view name) override {
    return programs.contains(std::string(name)) ? std::optional("/bin/" + std::string(name)) : std::nullopt;
  }
  HelperRun run(const std::vector<std::string>& arguments) override {
    std::string call;
    for (const std::string& word : arguments) call += (call.empty() ? "" : " ") + word;
    calls.push_back(call);
    const HelperRun result = programs[arguments[0].substr(5)];
    const std::string file = arguments[0] == "/bin/newuidmap" ? "uid_map" : "gid_map";
    if (result.start_errno == 0 && result.status == 0 && !written.insert(file).second)
      return {.status = 1 << 8, .errors = "write to " + file + " failed: Operation not permitted\n"};
    return result;
  }

  Calls calls;
  std::map<std::string, int> errors;
  std::set<std::string> written;
  std::map<std::string, HelperRun> programs{{"newuidmap", {}}, {"newgidmap", {}}};
  std::map<std::string, std::string> proc;
  bool has_setgroups = true;
};

const IdMapCaller ann{
    .uid = 1001, .gid = 1002, .user = "ann", .subuid = "ann:100000:65536\n", .subgid = "ann:100000:65536\n"};
const HelperRun refusal{.status = 1 << 8, .output = " out \n", .errors = "newgidmap: not allowed\n"};

IdMaps own() {
  return resolve_id_maps({}, ann).value();
}
IdMaps automatic() {
  return resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, ann).value();
}

/// What write_id_maps logs, at level debug.
struct Logged {
  Result<IdMapMode> result;
  std::string log;
};
Logged logged(FakeSystem& system, const IdMaps& maps) {
  Pipe pipe;
  log::set_up({.level = log::Level::debug, .fd = pipe.write_end.get(), .program = "t"});
  auto result = write_id_maps(7, maps, ann, system);
  log::set_up({});
  pipe.write_end.reset();
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t size = 0; (size = read(pipe.read_end.get(), part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(size));
  return {std::move(result), std::move(text)};
}

bool has(const std::string& text, std::string_view part) {
  CAPTURE(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

/// Everything is refused.
FakeSystem refusing() {
  FakeSystem system;
  system.errors = {{"uid_map", EPERM}, {"gid_map", EPERM}};
  system.programs = {{"newuidmap", refusal}, {"newgidmap", refusal}};
  system.proc = {{"/proc/sys/user/max_user_namespaces", "4711\n"}};
  return system;
}
std::string failure(FakeSystem& system, const IdMaps& maps = own(), const IdMapCaller& caller = ann) {
  const auto done = write_id_maps(7, maps, caller, system);
  REQUIRE(!done);
  CHECK(done.error().code == Code::denied);
  return done.error().message();
}

}  // namespace

TEST_CASE("way 1: setgroups, uid_map, gid_map, in this order, and one debug line") {
  FakeSystem system;
  const Logged done = logged(system, own());
  REQUIRE(done.result);
  CHECK(*done.result == IdMapMode::direct_full);
  CHECK(system.calls == Calls{"setgroups deny", "uid_map 0 1001 1", "gid_map 0 1002 1"});
  CHECK(done.log == "t: debug: id maps of process 7: written by direct uid/gid map writes\n");
}

TEST_CASE("where setgroups is allowed, or the kernel has no such file, it is not written") {
  FakeSystem allowed, old;
  REQUIRE(write_id_maps(7, automatic(), ann, allowed));
  CHECK(allowed.calls == Calls{"uid_map 0 1001 1", "gid_map 0 1002 1"});
  old.has_setgroups = false;
  REQUIRE(write_id_maps(7, own(), ann, old));
  CHECK(old.calls == Calls{"uid_map 0 1001 1", "gid_map 0 1002 1"});
}

TEST_CASE("way 2: the helpers, with every range, when the direct way is refused; setgroups is not written again") {
  FakeSystem system;
  system.errors["uid_map"] = EPERM;
  const Logged done = logged(system, automatic());
  REQUIRE(done.result);
  CHECK(*done.result == IdMapMode::helper_full);
  CHECK(system.calls ==
        Calls{"uid_map 0 1001 1", "/bin/newuidmap 7 0 1001 1 1 100000 65536", "/bin/newgidmap 7 0 1002 1 1 100000 65536"});
  CHECK(has(done.log, "newuidmap/newgidmap full mapping"));
  CHECK(has(done.log,
            "direct full mapping error: writing /proc/7/uid_map (is id mapping allowed on this host?): Operation not"));
}

TEST_CASE("way 2 goes on from what way 1 has written") {
  FakeSystem system;
  system.errors["gid_map"] = EPERM;
  const auto done = write_id_maps(7, own(), ann, system);
  REQUIRE(done);
  CHECK(*done == IdMapMode::helper_full);
  CHECK(system.calls == Calls{"setgroups deny", "uid_map 0 1001 1", "gid_map 0 1002 1", "/bin/newgidmap 7 0 1002 1"});
}

TEST_CASE("way 3: uid_map written and the gid map refused by all counts as the uid-only success that it is") {
  FakeSystem system;
  system.errors["gid_map"] = EPERM;
  system.programs["newgidmap"] = refusal;
  const Logged done = logged(system, own());
  REQUIRE(done.result);
  CHECK(*done.result == IdMapMode::direct_uid_only);
  CHECK(std::count(system.calls.begin(), system.calls.end(), "uid_map 0 1001 1") == 1);
  CHECK(has(done.log, "warning: id maps of process 7: only the uid is mapped"));
  CHECK(has(done.log, "direct full mapping error: "));
  CHECK(has(done.log,
            "helper full mapping error: newgidmap for pid 7 ended with exit code 1, stdout \"out\", stderr "
            "\"newgidmap: not allowed\""));
}

TEST_CASE("way 3: setgroups is refused, uid_map is not") {
  FakeSystem system;
  system.errors["setgroups"] = EACCES;
  const auto done = write_id_maps(7, own(), ann, system);
  REQUIRE(done);
  CHECK(*done == IdMapMode::direct_uid_only);
  CHECK(system.calls == Calls{"setgroups deny", "setgroups deny", "uid_map 0 1001 1"});
}

TEST_CASE("way 4: newuidmap alone") {
  FakeSystem system;
  system.errors = {{"setgroups", EPERM}, {"uid_map", EPERM}};
  const auto done = write_id_maps(7, own(), ann, system);
  REQUIRE(done);
  CHECK(*done == IdMapMode::helper_uid_only);
  CHECK(system.calls.back() == "/bin/newuidmap 7 0 1001 1");

  // newuidmap worked in way 2 already, newgidmap did not: it is not run a second time.
  FakeSystem half;
  half.errors["uid_map"] = EPERM;
  half.programs["newgidmap"] = refusal;
  const auto uid_only = write_id_maps(7, own(), ann, half);
  REQUIRE(uid_only);
  CHECK(*uid_only == IdMapMode::helper_uid_only);
  CHECK(std::count(half.calls.begin(), half.calls.end(), "/bin/newuidmap 7 0 1001 1") == 1);
}

TEST_CASE("group ids that were asked for are not silently left out") {
  FakeSystem system;
  system.errors = {{"uid_map", EPERM}};
  system.programs["newgidmap"] = refusal;
  const std::string text = failure(system, automatic());
  CHECK(has(text, "direct uid-only mapping error: not tried"));
  CHECK(has(text, "helper uid-only mapping error: not tried"));
}

TEST_CASE("when all is refused, the error holds the four reasons, the diagnostics in their order, and advice") {
  FakeSystem system = refusing();
  system.programs["newuidmap"] = {.status = 9, .output = {}, .errors = {}};
  system.proc["/proc/sys/kernel/unprivileged_userns_clone"] = " 1 \n";
  CHECK(failure(system) ==
        "failed to write the id maps of process 7: every way was refused\n"
        "direct full mapping error: writing /proc/7/uid_map (is id mapping allowed on this host?): Operation not permitted "
        "(EPERM)\n"
        "helper full mapping error: newuidmap for pid 7 was ended by signal 9, stdout \"\", stderr \"\"\n"
        "direct uid-only mapping error: writing /proc/7/uid_map (is id mapping allowed on this host?): Operation not "
        "permitted "
        "(EPERM)\n"
        "helper uid-only mapping error: newuidmap for pid 7 was ended by signal 9, stdout \"\", stderr \"\"\n"
        "diagnostics:\n"
        "- child pid: 7\n"
        "- current uid/gid: 1001/1002\n"
        "- detected username: ann\n"
        "- /proc/sys/user/max_user_namespaces: 4711\n"
        "- /proc/sys/kernel/unprivileged_userns_clone: 1\n"
        "- newuidmap in PATH: yes\n"
        "- newgidmap in PATH: yes\n"
        "- /etc/subuid entry for ann: yes\n"
        "- /etc/subgid entry for ann: yes\n"
        "- /proc/sys/kernel/apparmor_restrict_unprivileged_userns: unavailable\n"
        "check for a seccomp filter or a security policy that refuses id maps (containers have one), and that newuidmap and "
        "newgidmap still have their privilege (setuid root, or the file capabilities cap_setuid and cap_setgid)");
}

TEST_CASE("each way of a helper's failure has its words") {
  FakeSystem system = refusing();
  system.programs["newuidmap"] = {.start_errno = EACCES, .output = {}, .errors = {}};
  CHECK(has(failure(system), "helper full mapping error: failed to execute /bin/newuidmap: Permission denied"));
  FakeSystem slow = refusing();
  slow.programs["newuidmap"] = {.timed_out = true, .status = 9, .output = {}, .errors = {}};
  CHECK(has(failure(slow), "newuidmap for pid 7 did not end in time and was killed"));
  FakeSystem setgroups = refusing();
  setgroups.errors["setgroups"] = EACCES;
  CHECK(has(failure(setgroups),
            "helper full mapping error: failed to prepare /proc/7/setgroups for the newgidmap fallback path: writing "
            "/proc/7/setgroups (may gid maps be configured on this host?): Permission denied (EACCES)"));
}

TEST_CASE("the first thing that explains the refusal gives the advice") {
  FakeSystem none = refusing();
  none.proc["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1\n";
  CHECK(has(failure(none), "AppArmor restricts"));
  IdMapCaller stranger = ann;
  stranger.passwd_gid = stranger.gid;
  CHECK(has(failure(none, own(), stranger), "AppArmor restricts"));
  stranger.passwd_gid = 1001;
  CHECK(has(failure(none, own(), stranger), "the primary group of the password database, gid 1001, and ours is 1002"));
  IdMaps others = own();
  others.uids.push_back({.inside = 1, .outside = 165530, .count = 7});
  CHECK(has(failure(none, others), "uids 165530-165536 are neither ann's own nor in its ranges of /etc/subuid"));
  others.uids.back() = {.inside = 1, .outside = 165530, .count = 6};
  CHECK(has(failure(none, others), "AppArmor restricts"));
  others.gids.push_back({.inside = 1, .outside = 5, .count = 1});
  CHECK(has(failure(none, others), "gids 5-5 are neither ann's own nor in its ranges of /etc/subgid"));
  IdMapCaller root{.uid = 0, .gid = 0, .user = "root", .subuid = {}, .subgid = {}};
  root.may_map_root = false;
  const IdMaps roots = resolve_id_maps({}, root).value();
  CHECK(has(failure(none, roots, root), "--cap-add=setfcap"));
  root.may_map_root = true;
  CHECK(failure(none, roots, root).find("setfcap") == std::string::npos);
  stranger.subgid.clear();
  CHECK(has(failure(none, own(), stranger), "- /etc/subgid entry for ann: no"));
  CHECK(has(failure(none, own(), stranger), "give ann ranges in both"));
  none.programs.erase("newgidmap");
  CHECK(has(failure(none, own(), stranger), "- newgidmap in PATH: no"));
  CHECK(has(failure(none, own(), stranger), "install newuidmap and newgidmap"));
  none.proc["/proc/sys/kernel/unprivileged_userns_clone"] = "0\n";
  CHECK(has(failure(none, own(), stranger), "user namespaces are disabled"));
  none.proc.erase("/proc/sys/kernel/unprivileged_userns_clone");
  none.proc["/proc/sys/user/max_user_namespaces"] = "0";
  CHECK(has(failure(none, own(), stranger), "user namespaces are disabled"));
}

TEST_CASE("a number that is none is unavailable, not 0") {
  FakeSystem system = refusing();
  system.proc["/proc/sys/user/max_user_namespaces"] = "many";
  const std::string text = failure(system);
  CHECK(has(text, "max_user_namespaces: unavailable"));
  CHECK(text.find("disabled") == std::string::npos);
}

TEST_CASE("without maps nothing is touched") {
  FakeSystem system;
  const Logged done = logged(system, resolve_id_maps({.mode = IdMapPlan::Mode::none}, ann).value());
  REQUIRE(done.result);
  CHECK(*done.result == IdMapMode::nothing);
  CHECK(system.calls.empty());
  CHECK(has(done.log, "none are ours to write"));
}

}  // namespace nh::test
