// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/protocol.h"

#include "src/base/limits.h"
#include "tests/support/catch.h"

namespace nh::agent {
namespace {

template <class Message>
Message round_trip(const Message& message) {
  const auto bytes = encode(FromAgent(message));
  REQUIRE(bytes.size() <= max_message);
  auto decoded = decode_from_agent(bytes);
  REQUIRE(decoded);
  REQUIRE(std::holds_alternative<Message>(*decoded));
  return std::get<Message>(*decoded);
}

State full_state() {
  State state{.seq = 7, .state = {}};
  state.state.mac = {{2, 0, 0, 0, 0, 1}};
  state.state.mtu = 65535;
  state.state.up = true;
  state.state.more_addresses = true;
  for (std::uint32_t i = 0; i < limits::tap_addresses; ++i)
    state.state.addresses.push_back(
        i % 2 == 0 ? InterfaceAddress{.address = Address::v4(i), .prefix = 32}
                   : InterfaceAddress{.address = Address::loopback(Family::v6), .prefix = 128, .tentative = true});
  return state;
}

Error trouble() {
  return {.code = Code::exhausted, .sys_errno = 24, .what = "making a socket"};
}

Ports full_ports() {
  Ports ports;
  ports.list.more = true;
  for (std::size_t i = 0; i < limits::guest_listeners; ++i)
    ports.list.listeners.push_back(
        {.udp = i % 2 == 0,
         .at = {.address = Address::any(i % 2 == 0 ? Family::v4 : Family::v6), .port = static_cast<std::uint16_t>(i)}});
  return ports;
}

std::vector<FromAgent> one_of_each() {
  return {Failure{.code = Code::denied, .sys_errno = 13, .what = "opening", .field = "tap-name"},
          TapOpened{.info = {.name = "tap0", .vnet_hdr = true, .offload = true, .mac = {{2, 0, 0, 0, 0, 1}}}},
          Configured{.ra_guard_needed = true, .ipv6_left_out = false, .warnings = {"one", "two"}},
          full_state(),
          LinkGone{},
          SteeringReport{.seq = 8, .steering = {.v4 = {.serves = true, .dials = true}, .v6 = {.serves_reason = "no IPv6"}}},
          Note{.text = "a note"},
          Batch{.family = Family::v6, .count = 3, .error = trouble()},
          Answer{.seq = 5, .has_fd = true, .error = std::nullopt},
          Answer{.seq = 6, .has_fd = false, .error = trouble()},
          full_ports()};
}

std::vector<ToAgent> one_of_each_question() {
  const Endpoint v4{.address = Address::v4(0x0a000264), .port = 80};
  const Endpoint v6{.address = Address::loopback(Family::v6), .port = 65535};
  return {Refresh{.seq = 9},
          SteeringRequest{.seq = 1},
          SteeringRequest{.seq = 2, .dial = {.v4 = v4, .v6 = v6}},
          WantBatch{.family = Family::v6, .count = max_batch},
          OpenBound{.seq = 1, .guest_peer = v6},
          OpenUdp{.seq = 2, .guest_peer = v4, .guest = v4},
          Listen{.seq = 3, .kind = GuestSocketKind::udp, .at = v4},
          Localnet{.seq = 4},
          FollowPorts{.on = true}};
}

TEST_CASE("every message comes out as it went in") {
  const auto failure = round_trip(Failure{.code = Code::denied, .sys_errno = 13, .what = "opening", .field = "tap-name"});
  CHECK(
      (failure.code == Code::denied && failure.sys_errno == 13 && failure.what == "opening" && failure.field == "tap-name"));
  const auto opened =
      round_trip(TapOpened{.info = {.name = "tap0", .vnet_hdr = true, .offload = false, .mac = {{2, 0, 0, 0, 0, 1}}}});
  CHECK((opened.info.name == "tap0" && opened.info.vnet_hdr && !opened.info.offload &&
         opened.info.mac.text() == "02:00:00:00:00:01"));
  const auto outcome = round_trip(Configured{.ra_guard_needed = true, .ipv6_left_out = true, .warnings = {"one", "two"}});
  CHECK((outcome.ra_guard_needed && outcome.ipv6_left_out && outcome.warnings == std::vector<std::string>{"one", "two"}));
  const auto state = round_trip(full_state());
  CHECK(state.seq == 7);
  CHECK(state.state == full_state().state);
  round_trip(LinkGone{});
  auto refresh = decode_to_agent(encode(ToAgent(Refresh{.seq = 9})));
  REQUIRE(refresh);
  CHECK(std::get<Refresh>(*refresh).seq == 9);
}

TEST_CASE("what steering says comes out as it went in, and tells how many descriptors come with it") {
  const FamilySteering v4{.serves = false, .serves_reason = "why", .dials = true}, v6{.serves = true, .dials_reason = "no"};
  const auto steering = round_trip(SteeringReport{.seq = 77, .steering = {.v4 = v4, .v6 = v6}});
  CHECK(steering.seq == 77);
  CHECK(steering.steering.v4 == v4);
  CHECK(steering.steering.v6 == v6);
  CHECK(round_trip(Note{.text = "a note"}).text == "a note");
  const auto batch = round_trip(Batch{.family = Family::v6, .count = 3, .error = trouble()});
  CHECK((batch.family == Family::v6 && batch.count == 3 && batch.error && batch.error->message() == trouble().message()));
  const auto answer = round_trip(Answer{.seq = 7, .has_fd = true, .error = std::nullopt});
  CHECK((answer.seq == 7 && answer.has_fd && !answer.error));
  CHECK(round_trip(full_ports()).list == full_ports().list);
  CHECK(fds_of(steering) == 2);
  CHECK(fds_of(SteeringReport{}) == 0);
  // Behind a firewall that lets in nothing but answers.
  CHECK(fds_of(SteeringReport{.steering = {.v4 = {.serves_reason = "no answer", .dials = true}, .v6 = {}}}) == 2);
  CHECK(fds_of(batch) == 3);
  CHECK(fds_of(answer) == 1);
  CHECK(fds_of(TapOpened{}) == 1);
  CHECK(fds_of(Note{}) == 0);
}

TEST_CASE("every question comes out as it went in, and not if it is shorter or longer") {
  for (const ToAgent& question : one_of_each_question()) {
    auto bytes = encode(question);
    const auto decoded = decode_to_agent(bytes);
    REQUIRE(decoded);
    CHECK(decoded->index() == question.index());
    CHECK(encode(*decoded) == bytes);
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!decode_to_agent(Bytes(bytes).first(size)));
    bytes.push_back(0);
    CHECK(!decode_to_agent(bytes));
  }
}

TEST_CASE("questions that cannot be meant are invalid") {
  CHECK(!decode_to_agent(encode(ToAgent(WantBatch{.family = Family::v4, .count = 0}))));
  CHECK(!decode_to_agent(encode(ToAgent(WantBatch{.family = Family::v4, .count = max_batch + 1}))));
  CHECK(!decode_to_agent(
      encode(ToAgent(OpenUdp{.seq = 1, .guest_peer = {}, .guest = {.address = Address::loopback(Family::v6), .port = 1}}))));
}

TEST_CASE("what is too long is cut, and still decodes") {
  const auto failure =
      round_trip(Failure{.code = Code::failed, .sys_errno = 0, .what = std::string(max_text + 1, 'x'), .field = {}});
  CHECK(failure.what.size() == max_text);
  const auto outcome =
      round_trip(Configured{.warnings = std::vector<std::string>(max_warnings + 1, std::string(max_text + 1, 'y'))});
  CHECK(outcome.warnings.size() == max_warnings);
  State state = full_state();
  state.state.addresses.push_back({.address = Address::v4(1), .prefix = 8});
  CHECK(round_trip(state).state.addresses.size() == limits::tap_addresses);
}

TEST_CASE("a message that is shorter or longer by a byte is invalid") {
  for (const FromAgent& message : one_of_each()) {
    auto bytes = encode(message);
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!decode_from_agent(Bytes(bytes).first(size)));
    bytes.push_back(0);
    CHECK(!decode_from_agent(bytes));
  }
  const auto refresh = encode(ToAgent(Refresh{.seq = 9}));
  for (std::size_t size = 0; size < refresh.size(); ++size) CHECK(!decode_to_agent(Bytes(refresh).first(size)));
  CHECK(!decode_from_agent(refresh));
}

TEST_CASE("values out of their range are invalid") {
  const auto spoilt = [](const FromAgent& message, std::size_t offset, std::uint8_t value) {
    auto bytes = encode(message);
    bytes.at(offset) = value;
    return !decode_from_agent(bytes);
  };
  CHECK(spoilt(LinkGone{}, 0, 99));
  CHECK(spoilt(Failure{}, 4, 200));                            // code
  CHECK(spoilt(Failure{}, 8, 0x80));                           // a negative errno
  CHECK(spoilt(Configured{}, 4, 2));                           // flag
  CHECK(spoilt(Configured{}, 6, 9));                           // more warnings than allowed
  CHECK(spoilt(TapOpened{.info = {.name = "tap0"}}, 8, '/'));  // a name that no interface has
  auto request = encode(ToAgent(SteeringRequest{.seq = 1}));
  CHECK(decode_to_agent(request));
  request[4] = 0;  // a request that no answer could name
  CHECK_FALSE(decode_to_agent(request));
  State state;
  state.state.addresses.push_back({.address = Address::v4(1), .prefix = 32});
  constexpr std::size_t mtu = 4 + 4 + 6, count = mtu + 4 + 2, address = count + 4;
  CHECK(spoilt(state, mtu + 2, 1));                       // above 65535
  CHECK(spoilt(state, count + 1, 1));                     // 257 addresses
  CHECK(spoilt(state, address, 5));                       // family
  CHECK(spoilt(state, address + 17, 33));                 // prefix
  CHECK(spoilt(state, address + 16, 1));                  // bytes after an IPv4 address
  CHECK(spoilt(Batch{.count = 1}, 5, 33));                // more than a batch
  CHECK(spoilt(Answer{.seq = 1, .has_fd = true}, 9, 1));  // both a descriptor and an error
  CHECK(spoilt(Ports{}, 6, 0xff));                        // more ports than are followed
}

TEST_CASE("control characters of an untrusted agent do not reach the log") {
  CHECK(round_trip(Failure{.code = Code::failed, .sys_errno = 0, .what = "a\nb\x1b[2J", .field = {}}).what == "a?b?[2J");
}

TEST_CASE("no bytes whatsoever crash the decoder") {
  std::uint32_t seed = 1;
  const auto next = [&seed] { return static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24); };
  const auto messages = one_of_each();
  for (int i = 0; i < 20000; ++i) {
    auto bytes = encode(messages[static_cast<std::size_t>(i) % messages.size()]);
    for (int flips = 0; flips < 4; ++flips) bytes[(static_cast<std::size_t>(next()) << 8 | next()) % bytes.size()] = next();
    (void)decode_from_agent(bytes).ok();
    (void)decode_to_agent(bytes).ok();
  }
  const auto questions = one_of_each_question();
  for (int i = 0; i < 20000; ++i) {
    auto bytes = encode(questions[static_cast<std::size_t>(i) % questions.size()]);
    for (int flips = 0; flips < 3; ++flips) bytes[next() % bytes.size()] = next();
    (void)decode_to_agent(bytes).ok();
  }
}

}  // namespace
}  // namespace nh::agent
