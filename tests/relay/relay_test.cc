// SPDX-License-Identifier: BSD-3-Clause
// What one flow does through a relay: bytes, ends, resets, back-pressure, the urgent byte.
#include "netstack/relay/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>

#include "tests/relay/relay_rig.h"

using namespace nh;
using namespace nh::test;

namespace {

bool ended_with(const RelayRig& rig, FlowEnd end) {
  return rig.log.ends == std::vector{end};
}

// What read(2) says at the end of the stream: 0, or an errno.
int end_of_stream(RelayRig& rig, int fd, std::size_t* bytes = nullptr) {
  int end = -1;
  REQUIRE(rig.until([&] {
    char buffer[4096];
    const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0 && bytes != nullptr) *bytes += static_cast<std::size_t>(got);
    if (got == 0) end = 0;
    if (got < 0 && errno != EAGAIN) end = errno;
    return end >= 0;
  }));
  return end;
}

}  // namespace

TEST_CASE("bytes arrive as they were sent, both ways at once, in chunks of any size", "[relay]") {
  for (const std::size_t chunk : {std::size_t{1}, std::size_t{1459}, std::size_t{65537}, std::size_t{3000017}}) {
    const std::size_t size = chunk == 1 ? 20000 : 12 * mebibyte + 1;
    RelayRig rig;
    rig.serve();
    const Joined flow = rig.join();
    Stream up(flow.client.get(), flow.service.get(), size, chunk), down(flow.service.get(), flow.client.get(), size, chunk);
    REQUIRE(rig.until([&] {
      up.step();
      down.step();
      return up.complete() && down.complete();
    }));
    CHECK(up.equal());
    CHECK(down.equal());
    // Bytes are counted when they were moved: a relay thread may not have come to it yet when they are here already.
    CHECK(rig.until([&] { return rig.relays.counters().all.bytes_to_guest == size; }));
    CHECK(rig.until([&] { return rig.relays.counters().all.bytes_to_host == size; }));
  }
}

TEST_CASE("an idle flow holds neither pipe nor buffer", "[relay]") {
  RelayRig rig;
  rig.serve();
  const Joined flow = rig.join();
  Stream up(flow.client.get(), flow.service.get(), 8 * mebibyte, 200000);
  REQUIRE(rig.until([&] {
    up.step();
    return up.complete();
  }));
  CHECK(rig.relays.held() == 0);
  CHECK(rig.relays.pipes() <= limits::relay_idle_pipes);
}

TEST_CASE("each side may end its direction and still receive", "[relay]") {
  for (const bool client_first : {true, false}) {
    RelayRig rig;
    rig.serve();
    const Joined flow = rig.join();
    const int first = client_first ? flow.client.get() : flow.service.get();
    const int second = client_first ? flow.service.get() : flow.client.get();
    Stream out(first, second, 3 * mebibyte, 70001);
    out.write_some();
    REQUIRE(rig.until([&] {
      out.write_some();
      if (out.sent() < 3 * mebibyte) out.read_some();
      return out.sent() == 3 * mebibyte;
    }));
    REQUIRE(shutdown(first, SHUT_WR) == 0);
    REQUIRE(rig.until([&] {
      out.read_some();
      return out.ended();
    }));
    CHECK(out.complete());
    CHECK(out.equal());
    Stream back(second, first, 3 * mebibyte, 70001);
    REQUIRE(rig.until([&] {
      back.step();
      return back.complete();
    }));
    CHECK(back.equal());
    CHECK(rig.relays.size() == 1);
    REQUIRE(shutdown(second, SHUT_WR) == 0);
    CHECK(end_of_stream(rig, first) == 0);
    REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
    CHECK(ended_with(rig, FlowEnd::closed));
  }
}

TEST_CASE("a reset is carried on, behind what was sent before it", "[relay]") {
  for (const bool from_client : {true, false}) {
    RelayRig rig;
    rig.serve();
    Joined flow = rig.join();
    UniqueFd& resetting = from_client ? flow.client : flow.service;
    const int other = from_client ? flow.service.get() : flow.client.get();
    // The other side has sent, too: that never arrives, and must not keep the reset from doing so.
    REQUIRE(send(other, "lost", 4, MSG_NOSIGNAL) == 4);
    constexpr std::size_t size = 30000;
    Stream out(resetting.get(), other, size, 5000);
    out.write_some();
    REQUIRE(out.sent() == size);
    REQUIRE(
        rig.until([&] { return unsent(resetting.get()) == 0; }));  // what a reset leaves in its sender's queue never arrives
    reset(std::move(resetting));
    std::size_t got = 0;
    CHECK(end_of_stream(rig, other, &got) == ECONNRESET);
    CHECK(got == size);
    REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
    CHECK(ended_with(rig, from_client ? FlowEnd::reset_by_host : FlowEnd::reset_by_guest));
  }
}

TEST_CASE("a reset reaches a side that does not read", "[relay]") {
  RelayRig rig;
  rig.serve();
  Joined flow = rig.join();
  Stream out(flow.client.get(), flow.service.get(), 64 * mebibyte, 100000);
  std::size_t before = 1;
  // Until nothing goes in any longer.
  REQUIRE(rig.until([&] {
    const std::size_t turns = rig.turns;
    if (turns % 64 != 0) return false;
    out.write_some();
    return std::exchange(before, out.sent()) == out.sent();
  }));
  REQUIRE(out.sent() < 64 * mebibyte);
  reset(std::move(flow.client));
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  CHECK(ended_with(rig, FlowEnd::reset_by_host));
  CHECK(rig.relays.held() == 0);
  std::size_t got = 0;
  CHECK(end_of_stream(rig, flow.service.get(), &got) == ECONNRESET);
  CHECK(got > 0);
}

TEST_CASE("a side that closes with unread bytes resets the other", "[relay]") {
  RelayRig rig;
  rig.serve();
  Joined flow = rig.join();
  REQUIRE(send(flow.service.get(), "unread", 6, MSG_NOSIGNAL) == 6);
  pollfd readable{.fd = flow.client.get(), .events = POLLIN, .revents = 0};
  REQUIRE(rig.until([&] { return poll(&readable, 1, 0) == 1; }));
  flow.client.reset();
  CHECK(end_of_stream(rig, flow.service.get()) == ECONNRESET);
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  CHECK(ended_with(rig, FlowEnd::reset_by_host));
}

TEST_CASE("a side that has closed answers late bytes with a reset", "[relay]") {
  RelayRig rig;
  rig.serve();
  Joined flow = rig.join();
  flow.client.reset();
  CHECK(end_of_stream(rig, flow.service.get()) == 0);
  REQUIRE(send(flow.service.get(), "late", 4, MSG_NOSIGNAL) == 4);
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  CHECK(ended_with(rig, FlowEnd::reset_by_host));
  // As of a direct connection: the FIN came first, so that the error is EPIPE (tcp_input.c tcp_reset).
  CHECK(take_error(flow.service.get()) == EPIPE);
}

TEST_CASE("a side that does not read stops the sender; then everything arrives", "[relay]") {
  for (const bool to_service : {true, false}) {
    RelayRig rig;
    rig.serve();
    const Joined flow = rig.join();
    constexpr std::size_t size = 48 * mebibyte;
    Stream out(to_service ? flow.client.get() : flow.service.get(), to_service ? flow.service.get() : flow.client.get(),
               size, 100001);
    std::size_t before = 1;
    REQUIRE(rig.until([&] {
      if (rig.turns % 64 != 0) return false;
      out.write_some();
      return std::exchange(before, out.sent()) == out.sent();
    }));
    CHECK(out.sent() < size);
    const std::uint64_t visits = rig.relays.counters().visits;
    const std::size_t turns = rig.turns;
    REQUIRE(rig.until([&] { return rig.turns > turns + 1000; }));
    CHECK(rig.relays.counters().visits - visits < 10);  // a full flow does not spin
    REQUIRE(rig.until([&] {
      out.step();
      return out.complete();
    }));
    CHECK(out.equal());
  }
}

TEST_CASE("whoever shares a relay's socket cannot make the loop wait by its status flags", "[relay]") {
  for (const bool to_service : {true, false}) {
    RelayRig rig;
    rig.serve();
    rig.stand_ins.keeps_duplicate = true;
    const Joined flow = rig.join();
    const int from = to_service ? flow.client.get() : flow.service.get();
    const int to = to_service ? flow.service.get() : flow.client.get();
    Stream out(from, to, 48 * mebibyte, 1000003);
    // As far as it goes: the flow is bulk, and its next step is a splice.
    std::size_t before = 1;
    REQUIRE(rig.until([&] {
      if (rig.turns % 64 != 0) return false;
      out.write_some();
      return std::exchange(before, out.sent()) == out.sent() && rig.relays.pipes() > 0;
    }));
    REQUIRE(fcntl(rig.stand_ins.duplicate.get(), F_SETFL, 0) == 0);
    REQUIRE(rig.until([&] {
      out.step();
      return rig.relays.size() == 0;
    }));
    CHECK(ended_with(rig, FlowEnd::reset_by_guest));
  }
}

TEST_CASE("an urgent byte in the middle of a stream keeps its place, its value and its urgency", "[relay]") {
  for (const bool to_service : {true, false}) {
    for (const bool bulk : {true, false}) {
      RelayRig rig;
      rig.serve();
      const Joined flow = rig.join();
      const int from = to_service ? flow.client.get() : flow.service.get();
      const int to = to_service ? flow.service.get() : flow.client.get();
      constexpr std::size_t half = mebibyte / 2;
      constexpr std::uint8_t urgent = '!';
      // Not in line: the byte is out of the stream for recv(2), and comes by MSG_OOB.
      Stream first(from, to, half, bulk ? half : 1000), second(from, to, half, bulk ? half : 1000);
      const std::uint64_t visits = rig.relays.counters().visits;
      REQUIRE(rig.until([&] {
        first.write_some();
        if (!bulk || first.sent() < half) first.read_some(true);
        return first.sent() == half;
      }));
      REQUIRE(send(from, &urgent, 1, MSG_OOB | MSG_NOSIGNAL) == 1);
      bool seen = false;
      REQUIRE(rig.until([&] {
        second.write_some();
        if (!first.complete()) {
          first.read_some(true);
        } else if (!seen) {
          std::uint8_t byte = 0;
          if (!at_urgent_mark(to) || recv(to, &byte, 1, MSG_OOB | MSG_DONTWAIT) != 1) return false;
          seen = byte == urgent;
        } else {
          second.read_some();
        }
        return second.complete();
      }));
      CHECK(seen);
      CHECK(first.equal());
      CHECK(second.equal());
      CHECK(rig.relays.counters().visits - visits < 5000);  // 1 MiB in segments of 1000 bytes at worst
      const std::uint64_t after = rig.relays.counters().visits;
      const std::size_t turns = rig.turns;
      REQUIRE(rig.until([&] { return rig.turns > turns + 1000; }));
      CHECK(rig.relays.counters().visits - after < 10);
    }
  }
}

TEST_CASE("a flow that is killed is reset on both sides", "[relay]") {
  RelayRig rig;
  rig.serve();
  const Joined flow = rig.join();
  const std::uint64_t id = rig.relays.list(0, 10, std::nullopt).at(0).id;
  CHECK_FALSE(rig.relays.kill(id + 1));
  CHECK(rig.relays.kill(id));
  CHECK_FALSE(rig.relays.kill(id));
  CHECK(end_of_stream(rig, flow.client.get()) == ECONNRESET);
  CHECK(end_of_stream(rig, flow.service.get()) == ECONNRESET);
  CHECK(ended_with(rig, FlowEnd::killed));
}
