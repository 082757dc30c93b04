// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "src/confine/confine.h"
#include "src/linux/capabilities.h"
#include "src/linux/namespace.h"
#include "tests/confine/confined.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::bit;
using test::Failed;
using test::in_child;

/// In a child: who we are when confinement begins.
void as_ordinary_user() {
  if (geteuid() != 0) return;
  // A user of an own namespace who is not its root, and has none of its capabilities.
  EXPECT(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
void as_root_of_user_namespace() {
  test::enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS);
}
void as_root_of_network_namespace() {
  test::enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET);
}

struct Case {
  const char* name;
  void (*become)();
};
constexpr Case cases[] = {{"an ordinary user", as_ordinary_user},
                          {"root of a user namespace in the host's network", as_root_of_user_namespace},
                          {"root with its own network", as_root_of_network_namespace}};

TEST_CASE("the root is empty but for resolver configuration, and nothing is left to gain", "[sandbox]") {
  test::require_namespaces();
  for (const Case& each : cases) {
    INFO(each.name);
    CHECK(in_child([&] {
            each.become();
            const uid_t uid = geteuid();
            const gid_t gid = getegid();
            const Confinement done = EXPECT_OK(confine_helper({.sandbox = true}));
            EXPECT(done.sandbox && !done.seccomp);
            std::set<std::string> wanted;
            for (const char* name : {"etc", "run"})
              if (access((std::string("/") + name).c_str(), F_OK) == 0) wanted.insert(name);
            EXPECT(test::names_in("/") == wanted);
            EXPECT(mkdir("/new", 0700) != 0 && errno == EROFS);
            EXPECT(mkdir("/etc/new", 0700) != 0 && (errno == EROFS || errno == EACCES));
            EXPECT(geteuid() == uid && getegid() == gid);

            const test::Capabilities found = test::capabilities();
            EXPECT(found.effective == bit(CAP_NET_BIND_SERVICE));
            EXPECT(found.permitted == bit(CAP_NET_BIND_SERVICE));
            EXPECT(found.inheritable == 0 && found.bounding == 0 && found.ambient == 0);
            EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
            EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
            rlimit core{};
            EXPECT(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
          }) == "");
  }
}

TEST_CASE("the guest's user namespace is out of reach, though its maker confined itself", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          as_ordinary_user();
          test::Guest guest;
          const UniqueFd userns(open(("/proc/" + guest.text() + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
          const UniqueFd netns(open(guest.netns().c_str(), O_RDONLY | O_CLOEXEC));
          EXPECT(userns && netns);
          // Before, its maker could.
          EXPECT(in_child([&] { EXPECT_OK(join_namespace(userns.get(), NamespaceType::user)); }) == "");
          // In a child: who is confined cannot end the guest.
          EXPECT(in_child([&] {
                   EXPECT_OK(confine_helper({.sandbox = true}));
                   EXPECT(setns(userns.get(), CLONE_NEWUSER) != 0 && errno == EPERM);
                   EXPECT(setns(netns.get(), CLONE_NEWNET) != 0 && errno == EPERM);
                 }) == "");
        }) == "");
}

TEST_CASE("who may bind low ports keeps that right, and then only stays in its user namespace", "[sandbox]") {
  test::require_namespaces();
  const auto bind_port_80 = [] {
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(80);
    return bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
  };
  CHECK(in_child([&] {
          as_root_of_network_namespace();
          EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(bind_port_80());
        }) == "");
}

TEST_CASE("who starts us may look into us where it is asked for, and a user namespace guards us", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          as_root_of_user_namespace();
          EXPECT_OK(confine_helper({.sandbox = true, .inspectable = true}));
          EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
        }) == "");
  CHECK(in_child([] {
          as_root_of_network_namespace();
          EXPECT_OK(confine_helper({.sandbox = true, .inspectable = true}));
          EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        }) == "");
}

TEST_CASE("the signal at the parent's death is kept", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          as_ordinary_user();
          prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
          EXPECT_OK(confine_helper({.sandbox = true}));
          int signal = 0;
          EXPECT(prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) == 0 && signal == SIGTERM);
        }) == "");
}

TEST_CASE("a kept directory stays, what is above it does not", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          as_ordinary_user();
          char path[] = "/tmp/confine-test.XXXXXX";
          EXPECT(mkdtemp(path) != nullptr);
          const UniqueFd writable(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
          const UniqueFd readable(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
          close(openat(writable.get(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
          struct stat before {
          }, above{};
          EXPECT(fstat(writable.get(), &before) == 0);
          // Removed by who is not confined, whatever happens.
          test::Pipe done;
          const pid_t cleaner = fork();
          if (cleaner == 0) {
            done.write_end.reset();
            char byte = 0;
            if (read(done.read_end.get(), &byte, 1) == 0) {
              unlink((std::string(path) + "/file").c_str());
              rmdir(path);
            }
            _exit(0);
          }
          EXPECT_OK(confine_helper(
              {.sandbox = true, .directories = {{.fd = writable.get(), .writable = true}, {.fd = readable.get()}}}));
          for (const UniqueFd* fd : {&writable, &readable}) {
            EXPECT(fstatat(fd->get(), "..", &above, 0) == 0);
            EXPECT(above.st_ino == before.st_ino && above.st_dev == before.st_dev);
            EXPECT(fstatat(fd->get(), "../../etc/passwd", &above, 0) != 0);
            EXPECT((fcntl(fd->get(), F_GETFD) & FD_CLOEXEC) != 0);
          }
          EXPECT(unlinkat(readable.get(), "file", 0) != 0 && errno == EROFS);
          EXPECT(unlinkat(writable.get(), "file", 0) == 0);
        }) == "");
}

/// In a child: an /etc of our own, and a directory `elsewhere` outside of it.
std::string own_etc() {
  as_root_of_user_namespace();
  EXPECT(mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0);
  EXPECT(mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0);
  EXPECT(mount("tmpfs", "/etc", "tmpfs", 0, nullptr) == 0);
  EXPECT(mkdir("/tmp/elsewhere", 0755) == 0);
  return "/tmp/elsewhere";
}

void create_file(const std::string& path, const std::string& text) {
  close(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  test::write_file(path, text);
}

TEST_CASE("resolv.conf is found wherever it leads", "[sandbox]") {
  test::require_namespaces();
  const auto readable = [](const std::function<void(const std::string&)>& lay_out) {
    return in_child([&] {
      lay_out(own_etc());
      EXPECT_OK(confine_helper({.sandbox = true}));
      EXPECT(test::read_file("/etc/resolv.conf") == "nameserver 192.0.2.1\n");
    });
  };
  const std::string text = "nameserver 192.0.2.1\n";
  CHECK(readable([&](const std::string&) { create_file("/etc/resolv.conf", text); }) == "");
  CHECK(readable([&](const std::string&) {
          create_file("/run/resolv.conf", text);
          EXPECT(symlink("../run/resolv.conf", "/etc/resolv.conf") == 0);
        }) == "");
  CHECK(readable([&](const std::string& elsewhere) {
          create_file(elsewhere + "/resolv.conf", text);
          EXPECT(symlink((elsewhere + "/resolv.conf").c_str(), "/etc/resolv.conf") == 0);
        }) == "");
  // By way of a link into /run, as /var/run is one.
  CHECK(readable([&](const std::string& elsewhere) {
          create_file("/run/resolv.conf", text);
          EXPECT(symlink("/run", (elsewhere + "/run").c_str()) == 0);
          EXPECT(symlink((elsewhere + "/run/resolv.conf").c_str(), "/etc/resolv.conf") == 0);
        }) == "");
  // By way of /run to somewhere else.
  CHECK(readable([&](const std::string& elsewhere) {
          create_file(elsewhere + "/resolv.conf", text);
          EXPECT(symlink((elsewhere + "/resolv.conf").c_str(), "/run/resolv.conf") == 0);
          EXPECT(symlink("/run/resolv.conf", "/etc/resolv.conf") == 0);
        }) == "");
}

TEST_CASE("resolv.conf is followed through links that lead out of /etc", "[sandbox]") {
  test::require_namespaces();
  // As NixOS has it, /opt for /nix: another configuration comes by a change of /etc/static.
  CHECK(in_child([] {
          own_etc();
          EXPECT(mount("tmpfs", "/opt", "tmpfs", 0, nullptr) == 0);
          EXPECT(mkdir("/opt/store", 0755) == 0 && mkdir("/opt/store/first", 0755) == 0 &&
                 mkdir("/opt/store/second", 0755) == 0);
          create_file("/run/resolv.conf", "nameserver 192.0.2.1\n");
          create_file("/opt/store/second/resolv.conf", "nameserver 192.0.2.2\n");
          EXPECT(symlink("/run/resolv.conf", "/opt/store/first/resolv.conf") == 0);
          EXPECT(symlink("/opt/store/first", "/opt/current") == 0);
          EXPECT(symlink("../opt/current", "/etc/static") == 0);
          EXPECT(symlink("static/resolv.conf", "/etc/resolv.conf") == 0);
          const UniqueFd opt(open("/opt", O_PATH | O_DIRECTORY | O_CLOEXEC));
          EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(test::read_file("/etc/resolv.conf") == "nameserver 192.0.2.1\n");
          EXPECT(unlinkat(opt.get(), "current", 0) == 0);
          EXPECT(symlinkat("/opt/store/second", opt.get(), "current") == 0);
          EXPECT(test::read_file("/etc/resolv.conf") == "nameserver 192.0.2.2\n");
        }) == "");
}

TEST_CASE("of what belongs to users only the directory of resolv.conf is shown", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          const std::string elsewhere = own_etc();
          create_file(elsewhere + "/resolv.conf", "nameserver 192.0.2.1\n");
          create_file("/tmp/secret", "secret\n");
          EXPECT(symlink((elsewhere + "/resolv.conf").c_str(), "/etc/resolv.conf") == 0);
          EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(test::read_file("/etc/resolv.conf") == "nameserver 192.0.2.1\n");
          EXPECT(access("/tmp/secret", F_OK) != 0);
        }) == "");
}

TEST_CASE("no resolv.conf, and one that leads nowhere, are no reason to fail", "[sandbox]") {
  test::require_namespaces();
  for (const char* target : {"", "/nowhere/resolv.conf"})
    CHECK(in_child([&] {
            own_etc();
            if (*target != '\0') EXPECT(symlink(target, "/etc/resolv.conf") == 0);
            EXPECT_OK(confine_helper({.sandbox = true}));
          }) == "");
}

TEST_CASE("the sessions' sockets are covered", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          own_etc();
          EXPECT(mkdir("/run/user", 0755) == 0 && mkdir("/run/user/1000", 0755) == 0);
          EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(test::names_in("/run/user").empty());
        }) == "");
}

TEST_CASE("mounts of the one who started us stay, shared or not, and ours do not reach it", "[sandbox]") {
  test::require_namespaces();
  for (const bool own_network : {false, true})
    CHECK(in_child([&] {
            if (own_network)
              as_root_of_network_namespace();
            else
              as_root_of_user_namespace();
            EXPECT(mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0);
            EXPECT(mkdir("/run/foo", 0755) == 0 && mkdir("/run/user", 0755) == 0);
            EXPECT(mount(nullptr, "/run", nullptr, MS_SHARED | MS_REC, nullptr) == 0);
            EXPECT(mount("tmpfs", "/run/foo", "tmpfs", 0, nullptr) == 0);
            const std::string before = test::read_file("/proc/self/mountinfo");
            EXPECT(in_child([] { EXPECT_OK(confine_helper({.sandbox = true})); }) == "");
            EXPECT(test::read_file("/proc/self/mountinfo") == before);
          }) == "");
}

TEST_CASE("abstract Unix sockets of the host are out of reach", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          as_ordinary_user();
          const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
          sockaddr_un name{};
          name.sun_family = AF_UNIX;
          const std::string text = "netns-helper-test." + std::to_string(getpid());
          text.copy(name.sun_path + 1, sizeof name.sun_path - 1);
          const auto* address = reinterpret_cast<const sockaddr*>(&name);
          EXPECT(bind(listener.get(), address, sizeof name) == 0 && listen(listener.get(), 1) == 0);
          const bool scopes = test::has_landlock_scopes();
          const Confinement done = EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(done.notes.empty() == scopes);
          if (!scopes) return test::not_tried_here("abstract Unix sockets: no Landlock scopes (Linux 6.12)");
          const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
          EXPECT(connect(client.get(), address, sizeof name) != 0 && errno == EPERM);
        }) == "");
}

TEST_CASE("a refused user namespace is an error that names the option", "[sandbox]") {
  test::require_namespaces();
  CHECK(in_child([] {
          test::enter_new_namespaces(CLONE_NEWUSER);
          test::write_file("/proc/sys/user/max_user_namespaces", "0");
          EXPECT_OK(keep_capabilities({}, {}));
          const auto refused = confine_helper({.sandbox = true});
          EXPECT(!refused);
          EXPECT(refused.error().field == "sandbox");
          EXPECT(refused.error().message().find("--sandbox") != std::string::npos);
        }) == "");
  // With CAP_SYS_ADMIN it goes on without.
  CHECK(in_child([] {
          as_root_of_user_namespace();
          test::write_file("/proc/sys/user/max_user_namespaces", "0");
          const Confinement done = EXPECT_OK(confine_helper({.sandbox = true}));
          EXPECT(done.sandbox && !done.notes.empty());
          EXPECT(test::capabilities().permitted == bit(CAP_NET_BIND_SERVICE));
        }) == "");
}

}  // namespace
}  // namespace nh
