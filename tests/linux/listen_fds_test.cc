// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/listen_fds.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "tests/support/catch.h"

using namespace nh;

namespace {

void set(const std::string& pid, const char* fds, const char* names) {
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", fds, 1);
  setenv("LISTEN_FDNAMES", names, 1);
}

UniqueFd stream_socket(bool listening) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  if (listening) REQUIRE(listen(fd.get(), 1) == 0);
  return fd;
}

// Descriptors 3 and 4 belong to the test program: a child has its own.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("listeners come with their names, and the environment is clean afterwards", "[listen_fds]") {
  CHECK(in_child([] {
          if (dup2(STDERR_FILENO, 3) != 3 || dup2(STDERR_FILENO, 4) != 4) return 1;
          set(std::to_string(getpid()), "2", "web");
          const auto found = take_listen_fds();
          if (found.size() != 2 || found[0].fd != 3 || found[0].name != "web" || found[1].fd != 4 ||
              found[1].name != "unknown")
            return 2;
          if ((fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return 3;
          return getenv("LISTEN_PID") == nullptr && getenv("LISTEN_FDS") == nullptr && getenv("LISTEN_FDNAMES") == nullptr
                     ? 0
                     : 4;
        }) == 0);
}

TEST_CASE("what is meant for another process, or says nonsense, is nothing", "[listen_fds]") {
  CHECK(in_child([] {
          const std::string own = std::to_string(getpid());
          int fault = 1;
          const auto nothing = [&](const std::string& pid, const char* fds) {
            set(pid, fds, "a:b");
            ++fault;
            return take_listen_fds().empty() && getenv("LISTEN_FDS") == nullptr;
          };
          if (dup2(STDERR_FILENO, 3) != 3) return 1;
          close(4);
          if (!nothing("1", "1") || !nothing("", "1") || !nothing(own, "") || !nothing(own, "0") || !nothing(own, "-1") ||
              !nothing(own, "2") || !nothing(own, "99999999999") || !nothing(own, "1x"))
            return fault;
          return take_listen_fds().empty() ? 0 : 100;
        }) == 0);
}

TEST_CASE("a listener is found by name or index, and must listen", "[listen_fds]") {
  const UniqueFd web = stream_socket(true), idle = stream_socket(false);
  const std::vector<ListenFd> inherited{{web.get(), "web"}, {idle.get(), "x"}, {web.get(), "x"}};
  for (const char* name : {"web", "0", "2"}) {
    const auto copy = copy_of_listener(inherited, name);
    INFO(name);
    REQUIRE(copy);
    CHECK(copy->get() != web.get());
    CHECK((fcntl(copy->get(), F_GETFL) & O_NONBLOCK) != 0);
  }
  for (const char* name : {"x", "1"}) CHECK(copy_of_listener(inherited, name).error().code == Code::invalid);
  for (const char* name : {"y", "3"}) CHECK(copy_of_listener(inherited, name).error().code == Code::missing);
  CHECK(copy_of_listener({}, "0").error().message().find("LISTEN_FDS") != std::string::npos);
  CHECK(copy_of_listener({}, "0").error().field == "host_fd");
}
