// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "src/agent/agent.h"
#include "src/linux/namespace.h"
#include "src/netlink/link.h"
#include "src/netlink/route.h"
#include "tests/agent/guest_network.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::enter_new_namespaces;
using test::Failed;
using test::Guest;
using test::in_child;
using test::in_guest;
using test::plan;
using test::until;

bool has_address(const TapState& state, const std::string& text) {
  return std::any_of(state.addresses.begin(), state.addresses.end(),
                     [&](const InterfaceAddress& a) { return a.address.text() == text; });
}

TEST_CASE("the agent attaches, configures and reports, for an ordinary namespace") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          EXPECT(attached.info.name == "tap0");
          EXPECT(attached.info.vnet_hdr);
          EXPECT(attached.info.offload);
          EXPECT(attached.tap);
          EXPECT((fcntl(attached.tap.get(), F_GETFL) & O_NONBLOCK) != 0);
          EXPECT((fcntl(attached.tap.get(), F_GETFD) & FD_CLOEXEC) != 0);
          EXPECT(attached.warnings.empty());
          EXPECT(!attached.ra_guard_needed);
          EXPECT(attached.state.up);
          EXPECT(attached.state.mtu == 1500);
          EXPECT(attached.state.mac == attached.info.mac);
          EXPECT(has_address(attached.state, "10.0.2.100"));
          EXPECT(has_address(attached.state, "fd00::100"));
          EXPECT(attached.state.addresses.size() == 3);
          for (const auto& address : attached.state.addresses) EXPECT(!address.tentative);
          EXPECT(attached.agent_pid == link->pid());
        }) == "");
}

TEST_CASE("without a plan nothing is configured") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = {}}, attached));
          EXPECT(!attached.state.up);
          EXPECT(attached.state.addresses.empty());
          EXPECT(attached.tap);
        }) == "");
}

TEST_CASE("a namespace whose ids are not mapped is served") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest([] { enter_new_namespaces(CLONE_NEWUSER | CLONE_NEWNET, /* mapped= */ false); });
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          EXPECT(target.userns);
          Attached attached;
          EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          EXPECT(attached.state.up);
        }) == "");
}

TEST_CASE("a guest in a user namespace nested in the owner of its network namespace is served") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest([] {
            enter_new_namespaces();
            enter_new_namespaces(CLONE_NEWUSER);
          });
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          const UniqueFd wrong(open(("/proc/" + guest.text() + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
          EXPECT(wrong);
          EXPECT(!same_namespace(target.userns.get(), wrong.get()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          EXPECT(attached.state.up);
        }) == "");
}

TEST_CASE("a namespace that our own user namespace owns needs no join of a user namespace") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          enter_new_namespaces();
          Guest guest([] { enter_new_namespaces(CLONE_NEWNET); });
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          EXPECT(!target.userns);
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          EXPECT(attached.state.up);
        }) == "");
}

TEST_CASE("real root serves a namespace of the initial user namespace, and one of an ordinary user") {
  test::require_namespaces({test::KernelFeature::ipv6});
  if (geteuid() != 0) return;
  for (const int flags : {CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET})
    CHECK(in_child([flags] {
            Guest guest([flags] {
              if ((flags & CLONE_NEWUSER) != 0 && setresuid(65534, 65534, 65534) != 0) throw Failed{"setresuid"};
              enter_new_namespaces(flags, /* mapped= */ false);
            });
            const Target target = EXPECT_OK(open_pid_target(guest.text()));
            EXPECT(static_cast<bool>(target.userns) == ((flags & CLONE_NEWUSER) != 0));
            Attached attached;
            const auto link =
                EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
            EXPECT(attached.state.up);
          }) == "");
}

TEST_CASE("a TAP that was handed over is configured in its own namespace") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          std::array<int, 2> ends{};
          EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
          Guest guest([&] {
            enter_new_namespaces();
            const OpenedTap tap = EXPECT_OK(open_tap("handed"));
            EXPECT_OK(send_message(ends[1], test::one_byte, tap.fd.get()));
          });
          const UniqueFd ours(ends[0]), theirs(ends[1]);
          MonotonicClock clock;
          const Target target = EXPECT_OK(open_tap_socket_target(std::to_string(ours.get()), clock, -1));
          EXPECT(target.netns);
          EXPECT(target.userns);
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "", .plan = plan()}, attached));
          EXPECT(attached.info.name == "handed");
          EXPECT(attached.state.up);
          EXPECT(has_address(attached.state, "10.0.2.100"));
        }) == "");
}

TEST_CASE("what fails in the agent is told with its step, undone, and leaves no child") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          InterfacePlan bad = plan();
          bad.v4->gateway = Address::v4(0xc0000201);  // 192.0.2.1: not on the link
          Attached attached;
          const auto failed = test::start_agent({.target = &target, .tap_name = "tap0", .plan = bad}, attached);
          EXPECT(!failed);
          EXPECT(failed.error().what.find("configuring tap0: adding the default route via 192.0.2.1") != std::string::npos);
          EXPECT(failed.error().sys_errno == ENETUNREACH);
          EXPECT(!attached.tap);
          EXPECT(waitpid(-1, nullptr, WNOHANG) == 0);  // the guest only
          in_guest(guest, [] {
            EXPECT(if_nametoindex("tap0") == 0);
            auto netlink = EXPECT_OK(NlSocket::connect());
            const RtLink lo = EXPECT_OK(find_link(netlink, "lo"));
            EXPECT((rtnl_link_get_flags(lo.get()) & IFF_UP) == 0);
          });
        }) == "");
}

TEST_CASE("a signal ends the wait") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          sigset_t set;
          sigemptyset(&set);
          sigaddset(&set, SIGTERM);
          sigprocmask(SIG_BLOCK, &set, nullptr);
          const UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC));
          EXPECT(raise(SIGTERM) == 0);
          Attached attached;
          const auto failed = test::start_agent(
              {.target = &target, .tap_name = "tap0", .plan = plan(), .signal_fd = signals.get()}, attached);
          EXPECT(!failed);
          EXPECT(failed.error().code == Code::interrupted);
          EXPECT(waitpid(-1, nullptr, WNOHANG) == 0);
          // Undone although the agent may have been done already when we went away.
          in_guest(guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            const RtLink lo = EXPECT_OK(find_link(netlink, "lo"));
            EXPECT(if_nametoindex("tap0") == 0);
            EXPECT((rtnl_link_get_flags(lo.get()) & IFF_UP) == 0);
          });
        }) == "");
}

TEST_CASE("an agent that has configured, and finds nobody to tell it to, undoes it") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          std::array<int, 2> ends{};
          EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
          UniqueFd ours(ends[0]), theirs(ends[1]);
          // Filled up but for one message: the TAP gets through, and then the agent waits in the middle of its report.
          const int smallest = 1;
          EXPECT(setsockopt(theirs.get(), SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest) == 0);
          const std::array<std::uint8_t, 33> junk{};
          while (send(theirs.get(), junk.data(), junk.size(), MSG_DONTWAIT) > 0) continue;
          std::array<std::uint8_t, 33> taken{};
          EXPECT(recv(ours.get(), taken.data(), taken.size(), 0) == static_cast<ssize_t>(junk.size()));
          const AgentSetup setup{.target = &target, .tap_name = "tap0", .plan = plan()};
          const pid_t helper = getpid();
          const pid_t agent = fork();
          if (agent == 0) agent::run(setup, std::move(theirs), helper);
          theirs.reset();
          // Its IPv6 address is there: lo has long been up.
          bool configured = false;
          for (int i = 0; i < 10000 && !configured; ++i) {
            try {
              in_guest(guest, [] {
                auto netlink = EXPECT_OK(NlSocket::connect());
                EXPECT_OK(wait_until_local(netlink, plan().v6->address));
              });
              configured = true;
            } catch (const Failed&) {
            }
          }
          EXPECT(configured);
          ours.reset();
          int status = 0;
          EXPECT(waitpid(agent, &status, 0) == agent);
          EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
          in_guest(guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            const RtLink lo = EXPECT_OK(find_link(netlink, "lo"));
            EXPECT((rtnl_link_get_flags(lo.get()) & IFF_UP) == 0);
          });
        }) == "");
}

TEST_CASE("changes are reported, questions answered, the loss of the agent and of the TAP noticed") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          Loop loop;
          std::vector<TapState> states;
          std::vector<Error> deaths;
          link->serve(
              loop, [&](const TapState& state) { states.push_back(state); },
              [&](const Error& error) { deaths.push_back(error); });

          link->request_refresh();
          EXPECT(until(loop, [&] { return states.size() == 1; }));
          EXPECT(states[0] == attached.state);

          in_guest(guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            UndoLog undo;
            EXPECT_OK(add_address(netlink, static_cast<int>(if_nametoindex("tap0")),
                                  {.address = Address::v4(0x0a000277), .prefix = 24}, undo));
          });
          EXPECT(until(loop, [&] { return has_address(states.back(), "10.0.2.119"); }));

          in_guest(guest, [] {
            auto netlink = EXPECT_OK(NlSocket::connect());
            const RtLink tap = EXPECT_OK(find_link(netlink, "tap0"));
            EXPECT(rtnl_link_delete(netlink.get(), tap.get()) == 0);
          });
          EXPECT(until(loop, [&] { return !deaths.empty(); }));
          EXPECT(deaths[0].code == Code::gone);
          EXPECT(deaths[0].what.find("deleted") != std::string::npos);
          EXPECT(!link->alive());
          link->request_refresh();
          EXPECT(waitpid(link->pid(), nullptr, WNOHANG) == -1);  // reaped
        }) == "");
}

TEST_CASE("a killed agent is noticed and told with its signal") {
  test::require_namespaces({test::KernelFeature::ipv6});
  CHECK(in_child([] {
          Guest guest;
          const Target target = EXPECT_OK(open_pid_target(guest.text()));
          Attached attached;
          const auto link = EXPECT_OK(test::start_agent({.target = &target, .tap_name = "tap0", .plan = plan()}, attached));
          Loop loop;
          std::vector<Error> deaths;
          link->serve(
              loop, [](const TapState&) {}, [&](const Error& error) { deaths.push_back(error); });
          EXPECT(kill(link->pid(), SIGKILL) == 0);
          EXPECT(until(loop, [&] { return !deaths.empty(); }));
          EXPECT(deaths.size() == 1);
          EXPECT(deaths[0].code == Code::gone);
          EXPECT(deaths[0].what.find("signal 9") != std::string::npos);
        }) == "");
}

}  // namespace
}  // namespace nh
