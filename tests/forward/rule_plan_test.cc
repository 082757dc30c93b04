// SPDX-License-Identifier: BSD-3-Clause
#include "src/forward/rule_plan.h"

#include "tests/support/catch.h"

using namespace nh;

namespace {

PlanRules rules(bool v6 = true, bool to_loopback = false) {
  const auto cidr6 = v6 ? std::optional(Cidr::parse("fd00::/64").value()) : std::nullopt;
  return {.plan = AddressPlan::make(Cidr::parse("10.0.2.0/24").value(), cidr6, 1500).value(), .to_loopback = to_loopback};
}

std::vector<ListenerPlan> plans(const char* text, const PlanRules& with = rules()) {
  auto planned = plan_listeners(RuleSpec::parse(text).value(), with);
  if (!planned) FAIL(planned.error().message());
  return *planned;
}

Endpoint at(const char* address, std::uint16_t port) {
  return {Address::parse(address).value(), port};
}

std::vector<ListenerPlan> automatic(const char* text, const std::vector<GuestPort>& ports, bool to_loopback = false,
                                    const PortSet& taken = {}) {
  return plan_automatic(RuleSpec::parse(text).value(), rules(true, to_loopback), ports, taken);
}

}  // namespace

TEST_CASE("ports lead to ports one by one, for each transport", "[rules]") {
  const auto all = plans("0.0.0.0:80,8000-8001:10.1.2.3:90,9000-9001/both");
  REQUIRE(all.size() == 6);
  CHECK(all[0].transport == Transport::tcp);
  CHECK(all[0].at == at("0.0.0.0", 80));
  CHECK(all[0].destination.endpoint(Family::v4) == at("10.1.2.3", 90));
  CHECK(all[1].transport == Transport::udp);
  CHECK(all[5].at == at("0.0.0.0", 8001));
  CHECK(all[5].destination.endpoint(Family::v6) == at("10.1.2.3", 9001));
  CHECK_FALSE(all[1].same_port);
  CHECK(plans("0:53/both")[1].same_port);
}

TEST_CASE("without an address a rule leads to the guest, by the client's family if the guest has it", "[rules]") {
  const Destination destination = plans("[::]:80")[0].destination;
  CHECK(destination.endpoint(Family::v4) == at("10.0.2.100", 80));
  CHECK(destination.endpoint(Family::v6) == at("fd00::100", 80));
  CHECK(plans("[::1]:80", rules(false))[0].destination.endpoint(Family::v6) == at("10.0.2.100", 80));
  const Destination loopback = plans("80", rules(true, true))[0].destination;
  CHECK(loopback.endpoint(Family::v4) == at("127.0.0.1", 80));
  CHECK(loopback.endpoint(Family::v6) == at("::1", 80));
  CHECK(loopback.is_loopback());
  CHECK_FALSE(plans("80:10.0.2.100:80", rules(true, true))[0].destination.is_loopback());
}

TEST_CASE("an interface is all its addresses of both families", "[rules]") {
  const ListenerPlan plan = plans("%lan0:80")[0];
  CHECK(plan.interface == "lan0");
  CHECK(plan.at == at("::", 80));
  CHECK(plan.place() != plans("[::]:80")[0].place());
}

TEST_CASE("sockets by name, and ways back to the host", "[rules]") {
  CHECK(plans("unix:/run/a:80")[0].side == ListenerPlan::Side::host_unix);
  CHECK(plans("unix:/run/a:80")[0].name == "/run/a");
  CHECK(plans("fd:web:80")[0].side == ListenerPlan::Side::host_inherited);
  const auto reverse = plans("reverse:53-54:192.0.2.1:153-154/both");
  REQUIRE(reverse.size() == 4);
  CHECK(reverse[3].side == ListenerPlan::Side::guest);
  CHECK(reverse[3].transport == Transport::udp);
  CHECK(reverse[3].at == at("127.0.0.1", 54));
  CHECK(reverse[3].destination.host == at("192.0.2.1", 154));
  CHECK_FALSE(reverse[3].destination.in_guest());
  CHECK(plans("reverse:[::]:80:unix:/run/b")[0].destination.host_path == "/run/b");
}

TEST_CASE("an address that the guest cannot have is refused with the cure", "[rules]") {
  for (const char* text : {"80:10.0.2.2:80", "80:10.0.2.3:80/udp", "80:[fd00::2]:80"}) {
    const auto planned = plan_listeners(RuleSpec::parse(text).value(), rules());
    INFO(text);
    REQUIRE_FALSE(planned);
    CHECK(planned.error().code == Code::invalid);
    CHECK(planned.error().field == "guest_addr");
  }
  const auto off = plan_listeners(RuleSpec::parse("80:[fd00::100]:80").value(), rules(false));
  REQUIRE_FALSE(off);
  CHECK(off.error().code == Code::missing);
  CHECK(off.error().message().find("EAFNOSUPPORT") != std::string::npos);
}

TEST_CASE("an automatic rule follows what the guest listens on, within its ports", "[rules]") {
  const std::vector<GuestPort> ports = {{Transport::tcp, at("0.0.0.0", 3000)},
                                        {Transport::tcp, at("0.0.0.0", 22)},
                                        {Transport::tcp, at("0.0.0.0", 8080)},
                                        {Transport::udp, at("0.0.0.0", 3000)},
                                        {Transport::tcp, at("::", 4000)}};
  const auto all = automatic("auto:!8080", ports);
  REQUIRE(all.size() == 2);
  CHECK(all[0].at == at("127.0.0.1", 3000));
  CHECK(all[0].destination.endpoint(Family::v6) == at("10.0.2.100", 3000));
  CHECK(all[1].destination.endpoint(Family::v6) == at("fd00::100", 4000));
  CHECK(automatic("auto:0.0.0.0:1-65535/both", ports).size() == 5);
  CHECK(automatic("auto:!8080", ports, false, {{Transport::tcp, 3000}, {Transport::udp, 4000}}).size() == 1);
}

TEST_CASE("of several listeners on a port the widest is taken, and loopback only if asked", "[rules]") {
  const GuestPort loopback{Transport::tcp, at("127.0.0.1", 3000)}, own{Transport::tcp, at("192.168.5.1", 3000)},
      any{Transport::tcp, at("0.0.0.0", 3000)};
  CHECK(automatic("auto", {loopback}).empty());
  CHECK(automatic("auto", {loopback}, true)[0].destination.endpoint(Family::v4) == at("127.0.0.1", 3000));
  CHECK(automatic("auto", {loopback, own}, true)[0].destination.endpoint(Family::v4) == at("192.168.5.1", 3000));
  CHECK(automatic("auto", {loopback, own, any}, true)[0].destination.endpoint(Family::v4) == at("10.0.2.100", 3000));
  CHECK(automatic("auto", {{Transport::tcp, at("10.0.2.2", 3000)}, {Transport::tcp, at("fe80::1", 3001)}}).empty());
}
