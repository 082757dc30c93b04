// SPDX-License-Identifier: BSD-3-Clause
// What the living agent is: its capabilities, its descriptors, its ties to the helper.
#include <dirent.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "src/linux/pidfd.h"
#include "tests/agent/guest_network.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::Failed;
using test::Guest;
using test::in_child;
using test::plan;
using test::read_file;

/// An attached agent.
struct Lab {
  Guest guest;
  Target target = EXPECT_OK(open_pid_target(guest.text()));
  Attached attached;
  std::unique_ptr<AgentLink> link =
      EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
};

std::string proc_of(pid_t pid, const std::string& name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST_CASE("the agent keeps three capabilities, no new privileges, and ignores what a terminal sends") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          const Lab lab;
          const std::string status = read_file(proc_of(lab.link->pid(), "status"));
          EXPECT(has_line(status, "Name:\tnh-agent"));
          EXPECT(has_line(status, "CapPrm:\t0000000000003400"));  // NET_BIND_SERVICE, NET_ADMIN, NET_RAW
          EXPECT(has_line(status, "CapEff:\t0000000000003400"));
          EXPECT(has_line(status, "CapBnd:\t0000000000003400"));
          EXPECT(has_line(status, "CapInh:\t0000000000000000"));
          EXPECT(has_line(status, "CapAmb:\t0000000000000000"));
          EXPECT(has_line(status, "NoNewPrivs:\t1"));
          EXPECT(has_line(status, "Threads:\t1"));
          for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
            EXPECT(kill(lab.link->pid(), signal) == 0);
            EXPECT(!has_ended(EXPECT_OK(open_pidfd(lab.link->pid())).get()));
          }
        }) == "");
}

std::string link_of(const std::string& path) {
  std::array<char, 256> text{};
  const ssize_t size = readlink(path.c_str(), text.data(), text.size());
  if (size < 0) throw Failed{"reading the link " + path + ": " + sys_error("").message()};
  return std::string(text.data(), static_cast<std::size_t>(size));
}

// /proc/PID/fd of a process that is not dumpable can be read only with CAP_SYS_PTRACE over the user namespace in which
// it (or the process that it was forked from) executed its program. So the test executes itself once more inside a user
// namespace of its own.
TEST_CASE("(inside) the agent's descriptors and namespaces", "[.inside]") {
  const std::string failure = in_child([] {
    Lab lab;
    const pid_t pid = lab.link->pid();
    // Its answer to a question proves that it is through with attaching.
    Loop loop;
    bool answered = false;
    lab.link->serve(
        loop, [&](const TapState&) { answered = true; }, [](const Error&) {});
    lab.link->request_refresh();
    EXPECT(test::until(loop, [&] { return answered; }));
    std::map<int, std::string> fds;
    DIR* directory = opendir(proc_of(pid, "fd").c_str());
    EXPECT(directory != nullptr);
    while (const dirent* entry = readdir(directory))
      if (entry->d_name[0] != '.') fds[std::atoi(entry->d_name)] = link_of(proc_of(pid, std::string("fd/") + entry->d_name));
    closedir(directory);
    EXPECT(fds[0] == "/dev/null");
    EXPECT(fds[1] == "/dev/null");
    EXPECT(fds[2] == link_of("/proc/self/fd/2"));
    // And seven sockets (the helper's, and six for netlink), and one file that tells the guest's range of local ports.
    EXPECT(fds.size() == 11);
    EXPECT(std::count_if(std::next(fds.begin(), 3), fds.end(),
                         [](const auto& fd) { return fd.second.starts_with("socket:"); }) == 7);
    EXPECT(std::any_of(std::next(fds.begin(), 3), fds.end(),
                       [](const auto& fd) { return fd.second == "/proc/sys/net/ipv4/ip_local_port_range"; }));
    EXPECT(link_of(proc_of(pid, "cwd")) == "/");
    EXPECT(link_of(proc_of(pid, "ns/net")) == link_of(proc_of(lab.guest.pid(), "ns/net")));
    EXPECT(link_of(proc_of(pid, "ns/user")) == link_of(proc_of(lab.guest.pid(), "ns/user")));
    for (const char* kept : {"ns/mnt", "ns/pid", "ns/uts", "ns/ipc", "ns/cgroup"})
      EXPECT(link_of(proc_of(pid, kept)) == link_of(std::string("/proc/self/") + kept));
  });
  if (!failure.empty()) std::fprintf(stderr, "%s\n", failure.c_str());
  CHECK(failure == "");
}

TEST_CASE("the agent has standard error, seven sockets and one file, and the guest's user and network namespaces only") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          test::enter_new_namespaces();
          execl("/proc/self/exe", "agent_test", "[.inside]", nullptr);
          throw Failed{"executing the test again: " + sys_error("").message()};
        }) == "");
}

TEST_CASE("nobody can look into the agent from outside of its user namespaces: it is not dumpable") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          if (geteuid() == 0) return;  // root may
          const Lab lab;
          EXPECT(opendir(proc_of(lab.link->pid(), "fd").c_str()) == nullptr);
          EXPECT(errno == EACCES || errno == EPERM);
        }) == "");
}

TEST_CASE("the agent dies with a helper that is killed") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
          test::Pipe told;
          const pid_t helper = fork();
          if (helper == 0) {
            try {
              const Lab lab;
              const pid_t agent = lab.link->pid();
              // One more holder of the agent's socket: its end alone would not tell the agent.
              const pid_t holder = fork();
              if (holder == 0) {
                pause();
                _exit(0);
              }
              const std::array<pid_t, 3> pids{agent, holder, lab.guest.pid()};
              if (write(told.write_end.get(), pids.data(), sizeof pids) != sizeof pids) _exit(1);
              pause();
            } catch (const Failed&) {
              _exit(1);
            }
            _exit(0);
          }
          told.write_end.reset();
          std::array<pid_t, 3> pids{};
          EXPECT(read(told.read_end.get(), pids.data(), sizeof pids) == sizeof pids);
          const UniqueFd agent = EXPECT_OK(open_pidfd(pids[0]));
          EXPECT(!has_ended(agent.get()));
          EXPECT(kill(helper, SIGKILL) == 0);
          const bool died = wait_for_end(agent.get(), 10000);
          for (const pid_t pid : pids) kill(pid, SIGKILL);
          EXPECT(died);
        }) == "");
}

TEST_CASE("attaching and detaching again and again leaves neither process nor descriptor") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          const auto open_fds = [] {
            std::size_t count = 0;
            DIR* directory = opendir("/proc/self/fd");
            while (readdir(directory) != nullptr) ++count;
            closedir(directory);
            return count;
          };
          Guest guest;
          const std::size_t before = open_fds();
          for (int i = 0; i < 50; ++i) {
            const Target target = EXPECT_OK(open_pid_target(guest.text()));
            Attached attached;
            EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          }
          EXPECT(open_fds() == before);
          EXPECT(waitpid(-1, nullptr, WNOHANG) == 0);  // the guest is the only child
        }) == "");
}

}  // namespace
}  // namespace nh
