// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/forward_table.h"

#include <sys/socket.h>

#include "tests/support/catch.h"

using namespace nh;

namespace {

struct NoGuest final : FrameSink {
  void send_to_guest(Bytes) override {}
};

// The table over real paths, listening on the host's loopback only.
struct Table {
  explicit Table(bool v6 = true)
      : plan(AddressPlan::make(Cidr::parse("10.0.2.0/24").value(), v6 ? std::optional(Cidr::parse("fd00::/64").value()) : std::nullopt, 1500).value()) {}

  AddressPlan plan;
  NoGuest sink;
  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  Neighbours neighbours{MacAddress{{2, 0, 0, 0, 0, 1}}};
  std::unique_ptr<SlirpStack> slirp = SlirpStack::create(SlirpSetup{.plan = plan, .outbound_v4 = {}, .outbound_v6 = {}}, loop, epoll, sink).value();
  UdpForward udp{UdpForwardSetup{.epoll = &epoll, .clock = &loop.clock(), .sink = &sink, .neighbours = &neighbours, .plan = plan}};
  ForwardTable forwards{plan, *slirp, udp};

  Result<ForwardEntry> add(const char* text) {
    const auto spec = ForwardSpec::parse(text);
    if (!spec) return spec.error();
    return forwards.add(spec.value());
  }
};

bool can_bind(const ForwardEntry& entry) {
  const bool tcp = entry.spec.transport == Transport::tcp;
  const UniqueFd fd(socket(entry.bound.address.is_v4() ? AF_INET : AF_INET6, tcp ? SOCK_STREAM : SOCK_DGRAM, 0));
  const SockAddr address(entry.bound);
  return bind(fd.get(), address.get(), address.length) == 0;
}

}  // namespace

TEST_CASE("a forward listens at once, tells its port, and stops when it is removed", "[forward]") {
  const char* spec = GENERATE("0:80", "0:80/udp", "[::1]:0:80", "[::1]:0:53/udp");
  Table table;
  const auto entry = table.add(spec);
  REQUIRE(entry.ok());
  CHECK(entry->bound.port != 0);
  CHECK_FALSE(can_bind(*entry));
  CHECK(entry->guest == (entry->bound.address.is_v4() ? table.plan.v4.guest : table.plan.v6->guest));
  REQUIRE(table.forwards.list().size() == 1);
  CHECK(table.forwards.remove(entry->id));
  CHECK(can_bind(*entry));
  CHECK_FALSE(table.forwards.remove(entry->id));
  CHECK(table.forwards.list().empty());
}

TEST_CASE("ids are never used twice and the list is in their order", "[forward]") {
  Table table;
  const auto first = table.add("0:80");
  const auto second = table.add("0:81/udp");
  CHECK(first->id == 1);
  CHECK(second->id == 2);
  table.forwards.remove(2);
  CHECK(table.add("0:82")->id == 3);
  CHECK(table.forwards.list().front().id == 1);
  CHECK(table.forwards.list().back().id == 3);
}

TEST_CASE("a taken port is told as such, for both transports, and leaves nothing behind", "[forward]") {
  const char* suffix = GENERATE("", "/udp");
  Table table;
  const auto first = table.add((std::string("0:80") + suffix).c_str());
  const auto again = table.add((std::to_string(first->bound.port) + ":80" + suffix).c_str());
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().code == Code::in_use);
  CHECK(again.error().field == "host_port");
  CHECK(table.forwards.list().size() == 1);
}

TEST_CASE("addresses that no guest can have are refused", "[forward]") {
  Table table;
  for (const char* spec : {"0:10.0.2.2:80", "0:10.0.2.3:80/udp", "0:127.0.0.1:80", "0:224.0.0.1:80", "0:0.0.0.0:80"}) {
    INFO(spec);
    const auto entry = table.add(spec);
    REQUIRE_FALSE(entry.ok());
    CHECK(entry.error().field == "guest_address");
  }
}

TEST_CASE("TCP between families, and IPv6 without IPv6, are refused with the cure", "[forward]") {
  Table table;
  const auto mixed = table.add("[::1]:0:10.0.2.100:80");
  REQUIRE_FALSE(mixed.ok());
  CHECK(mixed.error().code == Code::unsupported);
  Table v4_only(false);
  const auto off = v4_only.add("[::1]:0:80");
  REQUIRE_FALSE(off.ok());
  CHECK(off.error().code == Code::missing);
  CHECK(off.error().message().find("EAFNOSUPPORT") != std::string::npos);
}
