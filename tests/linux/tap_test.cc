// SPDX-License-Identifier: BSD-3-Clause
#include "src/linux/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "src/linux/namespace.h"
#include "tests/support/catch.h"
#include "tests/support/namespaces.h"

namespace nh {
namespace {

using test::in_child;

/// A device of /dev/net/tun with just these flags; empty if the kernel refuses.
UniqueFd raw_device(const char* name, int flags) {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  std::string(name).copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(flags);
  if (fd && ioctl(fd.get(), TUNSETIFF, &request) != 0) fd.reset();
  return fd;
}

std::string in_new_namespaces(const std::function<void()>& body) {
  test::require_namespaces();
  return in_child([&] {
    test::enter_new_namespaces();
    body();
  });
}

TEST_CASE("interface names") {
  for (const char* good : {"tap0", "a", "123456789012345", "a.b-c_d", "..."}) CHECK(check_interface_name(good));
  for (const char* bad :
       {"", "1234567890123456", ".", "..", "a/b", "a b", "a\tb", "tap%d", "a:b", "all", "default", "a\x7f"}) {
    const auto checked = check_interface_name(bad);
    REQUIRE(!checked);
    CHECK(checked.error().field == "tap-name");
  }
}

TEST_CASE("a new TAP has header and offloads, and cannot be opened a second time") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          EXPECT(tap.info.name == "tap0");
          EXPECT(tap.info.vnet_hdr);
          EXPECT(tap.info.offload);
          EXPECT(!tap.info.mac.is_multicast());
          EXPECT((fcntl(tap.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
          const auto again = open_tap("tap0");
          EXPECT(!again);
          EXPECT(again.error().code == Code::in_use);
          EXPECT(again.error().what.find("another process") != std::string::npos);
        }) == "");
}

TEST_CASE("a name of something else than a TAP is refused") {
  CHECK(in_new_namespaces([] {
          const UniqueFd tun = raw_device("tun0", IFF_TUN | IFF_NO_PI);
          EXPECT(tun);
          for (const char* name : {"lo", "tun0"}) {
            const auto opened = open_tap(name);
            EXPECT(!opened);
            EXPECT(opened.error().code == Code::invalid);
            EXPECT(opened.error().what.find("is no TAP") != std::string::npos);
          }
        }) == "");
}

TEST_CASE("a persistent TAP is opened, whatever flags it was made with, multi-queue too") {
  CHECK(in_new_namespaces([] {
          for (const int flags : {IFF_TAP | IFF_NO_PI, IFF_TAP, IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE}) {
            UniqueFd made = raw_device("keep", flags);
            EXPECT(made);
            EXPECT(ioctl(made.get(), TUNSETPERSIST, 1UL) == 0);
            made.reset();
            const OpenedTap tap = EXPECT_OK(open_tap("keep"));
            EXPECT(tap.info.vnet_hdr);
            EXPECT(ioctl(tap.fd.get(), TUNSETPERSIST, 0UL) == 0);
          }
        }) == "");
}

TEST_CASE("a TAP that is handed over may have the header or not") {
  CHECK(in_new_namespaces([] {
          const UniqueFd plain = raw_device("plain", IFF_TAP | IFF_NO_PI);
          const TapInfo info = EXPECT_OK(adopt_tap(plain.get()));
          EXPECT(!info.vnet_hdr);
          EXPECT(!info.offload);
          EXPECT((fcntl(plain.get(), F_GETFL) & O_NONBLOCK) != 0);
          const UniqueFd headed = raw_device("headed", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
          int size = 12;
          EXPECT(ioctl(headed.get(), TUNSETVNETHDRSZ, &size) == 0);
          EXPECT(EXPECT_OK(adopt_tap(headed.get())).vnet_hdr);
          EXPECT(ioctl(headed.get(), TUNGETVNETHDRSZ, &size) == 0);
          EXPECT(size == 10);
        }) == "");
}

TEST_CASE("a descriptor that is no TAP, a TUN, packet information and multi-queue are refused by name") {
  CHECK(in_new_namespaces([] {
          const auto refused = [](const UniqueFd& fd, const char* text) {
            const auto adopted = adopt_tap(fd.get());
            return !adopted && adopted.error().code == Code::invalid && adopted.error().what.find(text) != std::string::npos;
          };
          EXPECT(refused(raw_device("a", IFF_TUN | IFF_NO_PI), "IFF_TUN"));
          EXPECT(refused(raw_device("b", IFF_TAP), "packet information"));
          EXPECT(refused(raw_device("c", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE), "multi-queue"));
          EXPECT(refused(UniqueFd(open("/dev/net/tun", O_RDWR | O_CLOEXEC)), "has no TAP (TUNSETIFF)"));
          EXPECT(refused(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), "is not a TAP"));
          EXPECT(!adopt_tap(987654));
        }) == "");
}

TEST_CASE("a TAP tells its network namespace to who has power over it") {
  CHECK(in_new_namespaces([] {
          const OpenedTap tap = EXPECT_OK(open_tap("tap0"));
          const UniqueFd netns = EXPECT_OK(netns_of_tap(tap.fd.get()));
          EXPECT(EXPECT_OK(is_own_namespace(netns.get(), NamespaceType::net)));
        }) == "");
}

}  // namespace
}  // namespace nh
