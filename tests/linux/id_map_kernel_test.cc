// SPDX-License-Identifier: BSD-3-Clause
// Id maps against the kernel, the helpers of the shadow suite, and hosts that refuse: each is a real one, made in a child.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstddef>
#include <sstream>

#include "src/linux/id_map_writer.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"
#include "tests/support/ordinary_user.h"

namespace nh::test {

namespace {

/// A child in a new user namespace that nobody has mapped yet.
Guest unmapped() {
  return Guest([] { enter_new_namespaces(CLONE_NEWUSER, false); });
}

IdMaps own_ids() {
  return EXPECT_OK(resolve_id_maps({}, IdMapCaller::current()));
}

/// A map that the kernel refuses of everybody who is not root of the whole host: an id that we are not.
IdMaps foreign_ids() {
  IdMaps maps = own_ids();
  maps.uids[0].outside = 4711;
  maps.gids[0].outside = 4711;
  return maps;
}

std::string failure(const IdMaps& maps) {
  const Guest guest = unmapped();
  const auto done = write_id_maps(guest.pid(), maps, IdMapCaller::current());
  EXPECT(!done);
  return done.error().message();
}

void expect_in(const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos) throw Failed{"\"" + part + "\" is not in:\n" + text};
}

std::string last_line(const std::string& text) {
  return text.substr(text.rfind('\n') + 1);
}

/// Makes the caller an ordinary user: root of a user namespace, alone there.
void become_ordinary() {
  enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
  EXPECT(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
}

/// The lines of a map file.
std::vector<IdRange> lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<IdRange> ranges;
  for (IdRange range; stream >> range.inside >> range.outside >> range.count;) ranges.push_back(range);
  return ranges;
}

/// Puts a file of our own text over a file of the host's, in our mount namespace.
void cover(const std::string& path, const std::string& text) {
  EXPECT(mount("none", "/mnt", "tmpfs", 0, nullptr) == 0);
  const UniqueFd file(open("/mnt/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
  EXPECT(write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  EXPECT(mount("/mnt/file", path.c_str(), nullptr, MS_BIND, nullptr) == 0);
  EXPECT(umount2("/mnt", MNT_DETACH) == 0);
}

/// A directory of our own in place of /mnt, with programs of these texts.
void programs(const std::vector<std::pair<std::string, std::string>>& scripts, mode_t mode = 0755) {
  EXPECT(mount("none", "/mnt", "tmpfs", 0, nullptr) == 0);
  for (const auto& [name, text] : scripts) {
    const std::string path = "/mnt/" + name;
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode));
    EXPECT(write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  EXPECT(setenv("PATH", "/mnt", 1) == 0);
}

/// From now on this process and its children may open nothing for writing: EPERM.
void refuse_opening_for_writing() {
  constexpr auto flags = static_cast<std::uint32_t>(offsetof(seccomp_data, args[2]));
  std::array<sock_filter, 6> code{
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR, 0, 1),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  sock_fprog program{.len = code.size(), .filter = code.data()};
  EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

}  // namespace

TEST_CASE("the parent writes our own ids directly, and setgroups is denied") {
  require_namespaces();
  CHECK(in_child([] {
          const Guest guest = unmapped();
          const auto mode = EXPECT_OK(write_id_maps(guest.pid(), own_ids(), IdMapCaller::current()));
          EXPECT(mode == IdMapMode::direct_full);
          EXPECT(read_file("/proc/" + guest.text() + "/setgroups") == "deny\n");
          int inside = -1, outside = -1, count = 0;
          EXPECT(sscanf(read_file("/proc/" + guest.text() + "/uid_map").c_str(), "%d %d %d", &inside, &outside, &count) ==
                 3);
          EXPECT(inside == 0 && outside == static_cast<int>(geteuid()) && count == 1);
        }) == "");
}

TEST_CASE("before the child has unshared, all ways fail: the parent has to be told first") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          const Guest guest([] {});
          EXPECT(!write_id_maps(guest.pid(), own_ids(), IdMapCaller::current()));
        }) == "");
}

TEST_CASE("automatic ranges: the host's own helpers map them for an ordinary user, and setgroups stays allowed") {
  require_namespaces();
  const std::string text = in_child([] {
    become_ordinary_user();
    const IdMapCaller caller = IdMapCaller::current();
    const IdMaps maps = EXPECT_OK(resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, caller));
    EXPECT(maps.uids.size() > 1);
    const Guest guest = unmapped();
    EXPECT(EXPECT_OK(write_id_maps(guest.pid(), maps, caller)) == IdMapMode::helper_full);
    EXPECT(read_file("/proc/" + guest.text() + "/setgroups") == "allow\n");
    EXPECT(lines(read_file("/proc/" + guest.text() + "/uid_map")) == maps.uids);
    EXPECT(lines(read_file("/proc/" + guest.text() + "/gid_map")) == maps.gids);
  });
  if (!not_tried(text)) CHECK(text == "");
}

TEST_CASE("what the kernel does not let an ordinary user map directly, it does not let him map by the helpers either") {
  require_namespaces();
  const std::string text = in_child([] {
    become_ordinary_user();
    const IdMapCaller caller = IdMapCaller::current();
    const IdMapPlan plan{
        .mode = IdMapPlan::Mode::ranges, .uids = {{0, caller.uid, 1}, {1, 0, 1}}, .gids = {{0, caller.gid, 1}}};
    const std::string refused = failure(EXPECT_OK(resolve_id_maps(plan, caller)));
    expect_in(refused, "direct full mapping error: writing /proc/");
    expect_in(refused, "stderr \"newuidmap: uid range [1-2) -> [0-1) not allowed\"");
    expect_in(refused, "direct uid-only mapping error: not tried");
  });
  if (!not_tried(text)) CHECK(text == "");
}

TEST_CASE("no user namespaces allowed: the diagnostics show the limit, the advice is about it") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          programs({});
          const Guest guest = unmapped();
          write_file("/proc/sys/user/max_user_namespaces", "0");
          EXPECT(unshare(CLONE_NEWUSER) != 0);
          const auto done = write_id_maps(guest.pid(), foreign_ids(), IdMapCaller::current());
          EXPECT(!done);
          const std::string text = done.error().message();
          expect_in(text, "- /proc/sys/user/max_user_namespaces: 0");
          expect_in(text, "- child pid: " + guest.text());
          expect_in(last_line(text), "user namespaces are disabled for unprivileged users");
        }) == "");
}

TEST_CASE("no helpers in PATH: said in their errors, in the diagnostics, and in the advice") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          programs({});
          const std::string text = failure(foreign_ids());
          expect_in(text, "helper full mapping error: failed to execute newuidmap: it is not in PATH");
          expect_in(text, "direct full mapping error: writing /proc/");
          expect_in(text, "newuidmap in PATH: no\n- newgidmap in PATH: no");
          expect_in(last_line(text), "install newuidmap and newgidmap");
        }) == "");
}

TEST_CASE("files that are not executable, and directories, are no helpers") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          programs({{"newgidmap", "no program"}}, 0644);
          EXPECT(mkdir("/mnt/newuidmap", 0755) == 0);
          expect_in(failure(foreign_ids()), "newuidmap in PATH: no\n- newgidmap in PATH: no");
        }) == "");
}

TEST_CASE("no subordinate ids: said for both files, and in the advice") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          cover("/etc/subuid", "somebody-else:100000:65536\n");
          cover("/etc/subgid", "");
          programs({{"newuidmap", "#!/bin/sh\nexit 1\n"}, {"newgidmap", "#!/bin/sh\nexit 1\n"}});
          const std::string text = failure(foreign_ids());
          const std::string user = IdMapCaller::current().user;
          expect_in(text, "- /etc/subuid entry for " + user + ": no\n- /etc/subgid entry for " + user + ": no");
          expect_in(last_line(text), "ranges in both /etc/subuid and /etc/subgid");
          const auto automatic = resolve_id_maps({.mode = IdMapPlan::Mode::subordinate}, IdMapCaller::current());
          EXPECT(!automatic);
          expect_in(automatic.error().message(), "/etc/subuid has no entry for " + user);
        }) == "");
}

TEST_CASE("a seccomp filter that refuses the map files: everything else is there, and the advice is to look for one") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          const std::string user = IdMapCaller::current().user;
          cover("/etc/subuid", user + ":100000:65536\n");
          cover("/etc/subgid", user + ":100000:65536\n");
          programs({{"newuidmap", "#!/bin/sh\n: > /proc/$1/uid_map\n"}, {"newgidmap", "#!/bin/sh\n: > /proc/$1/gid_map\n"}});
          const Guest guest = unmapped();
          refuse_opening_for_writing();
          const auto done = write_id_maps(guest.pid(), own_ids(), IdMapCaller::current());
          EXPECT(!done);
          const std::string text = done.error().message();
          expect_in(text, "setgroups (may gid maps be configured on this host?): Operation not permitted (EPERM)");
          expect_in(text, "uid_map (is id mapping allowed on this host?): Operation not permitted (EPERM)");
          expect_in(text, "newuidmap for pid " + guest.text() + " ended with exit code ");
          expect_in(last_line(text), "check for a seccomp filter");
        }) == "");
}

TEST_CASE("a helper's words are quoted, within bounds, and it gets the ranges as arguments and nothing to read") {
  require_namespaces();
  CHECK(in_child([] {
          Pipe input;
          EXPECT(write(input.write_end.get(), "ours\n", 5) == 5);
          EXPECT(dup2(input.read_end.get(), STDIN_FILENO) == STDIN_FILENO);
          become_ordinary();
          programs({{"newuidmap",
                     "#!/bin/sh\nread line || line=nothing\necho \"args $2 $3 $4 $line\"\necho why >&2\n"
                     "i=0; while [ $i -lt 4000 ]; do echo 1234567890123456789012345678901234567890; i=$((i+1)); done\n"
                     "exit 3\n"}});
          const std::string text = failure(foreign_ids());
          expect_in(text, "ended with exit code 3, stdout \"args 0 4711 1 nothing\n1234567890");
          expect_in(text, "stderr \"why\"");
          EXPECT(text.size() < 16384);
          programs({{"newuidmap", "#!/bin/sh\nkill -9 $$\n"}});
          expect_in(failure(foreign_ids()), "was ended by signal 9");
        }) == "");
}

TEST_CASE("a helper that leaves a process behind with its output open does not keep us waiting") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          programs({{"newuidmap", "#!/bin/sh\n/bin/sleep 1000 &\necho $! >> /mnt/left\necho started\nexit 4\n"}});
          expect_in(failure(foreign_ids()), "exit code 4, stdout \"started\"");
          std::istringstream left(read_file("/mnt/left"));  // one from each way that asks the helper
          for (pid_t pid = 0; left >> pid;) EXPECT(kill(pid, SIGKILL) == 0);
        }) == "");
}

TEST_CASE("a helper that does not end is killed at its deadline") {
  require_namespaces();
  CHECK(in_child([] {
          become_ordinary();
          programs({{"newuidmap", "#!/bin/sh\necho waiting\nexec /bin/sleep 1000\n"}});
          const auto impatient = make_id_map_system(std::chrono::milliseconds(300));
          const HelperRun run = impatient->run({"/mnt/newuidmap"});
          EXPECT(run.timed_out);
          EXPECT(WIFSIGNALED(run.status) && WTERMSIG(run.status) == SIGKILL);
          EXPECT(run.output == "waiting\n");
        }) == "");
}

}  // namespace nh::test
