// SPDX-License-Identifier: BSD-3-Clause
// Many relays together: memory, bounds of what is held, fairness, lists.
#include "netstack/relay/relay_set.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdio>

#include "tests/relay/relay_rig.h"

using namespace nh;
using namespace nh::test;

namespace {

// A relay between two socket pairs, as if a forward had made it.
Joined join_pairs(RelayRig& rig, std::uint64_t rule) {
  int client[2], service[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, client) == 0);
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, service) == 0);
  REQUIRE(rig.relays.reserve());
  const auto port = static_cast<std::uint16_t>(rig.relays.size() + 1);
  Relay* relay = rig.relays.begin({.rule = rule,
                                   .direction = FlowDirection::in,
                                   .host_peer = at("192.0.2.1", port),
                                   .guest_peer = at("192.0.2.1", port),
                                   .guest = at("10.0.2.100", 80)},
                                  Relay::host, UniqueFd(client[1]), nullptr);
  REQUIRE(relay != nullptr);
  relay->join(UniqueFd(service[1]));
  return {UniqueFd(client[0]), UniqueFd(service[0])};
}

// How many flows of `fds` descriptors each the process may have.
std::size_t flows_possible(std::size_t fds, std::size_t wanted) {
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  constexpr std::size_t others = 100;
  return std::min<std::size_t>(wanted, (limit.rlim_cur - others) / fds);
}

}  // namespace

TEST_CASE("an idle relay costs half a KiB of ours at most, and gives it back", "[relay_set]") {
  const std::size_t count = flows_possible(4, 10000);
  if (count < 10000) std::printf("%zu relays: the descriptors are enough for no more\n", count);
  RelayRig rig(4 * count + 100);
  rig.log.opened.reserve(count);
  rig.log.closed.reserve(count);
  rig.log.ends.reserve(count);
  std::vector<Joined> flows;
  flows.reserve(count);
  const std::size_t before = mallinfo2().uordblks;
  for (std::size_t i = 0; i < count; ++i) flows.push_back(join_pairs(rig, 1));
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == count; }));
  const std::size_t with = mallinfo2().uordblks;
  std::printf("%zu idle relays: %zu bytes each, of them %zu of the relay itself\n", count, (with - before) / count,
              sizeof(Relay));
  CHECK((with - before) / count <= 512);
  flows.clear();
  REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  // Tables keep their size for the next ones.
  CHECK((mallinfo2().uordblks - before) / count <= 64);
}

TEST_CASE("what waits for slow readers is bounded for all flows together", "[relay_set]") {
  constexpr std::size_t count = 300, size = 2 * mebibyte;
  RelayRig rig(flows_possible(1, 4096));
  std::vector<Joined> flows;
  for (std::size_t i = 0; i < count; ++i) flows.push_back(join_pairs(rig, 1));
  std::vector<Stream> streams;
  for (const Joined& flow : flows) streams.emplace_back(flow.client.get(), flow.service.get(), size, std::size_t{200000});
  std::size_t before = 1;
  REQUIRE(rig.until([&] {
    if (rig.turns % 16 != 0) return false;
    std::size_t sent = 0;
    for (Stream& stream : streams) {
      stream.write_some();
      sent += stream.sent();
    }
    return std::exchange(before, sent) == sent;
  }));
  CHECK(rig.relays.pipes() <= limits::relay_pipes);
  CHECK(rig.relays.held() <= limits::relay_held);
  CHECK(before < count * size);
  REQUIRE(rig.until([&] {
    bool complete = true;
    for (Stream& stream : streams) {
      stream.step();
      complete = complete && stream.complete();
    }
    return complete;
  }));
  for (const Stream& stream : streams) CHECK(stream.equal());
  CHECK(rig.relays.held() == 0);
}

TEST_CASE("a flow that moves much leaves the others their turn", "[relay_set]") {
  RelayRig rig;
  const Joined bulk = join_pairs(rig, 1), small = join_pairs(rig, 1);
  constexpr std::size_t endless = 1024 * mebibyte;
  Stream stream(bulk.client.get(), bulk.service.get(), endless, 100000);
  for (int i = 0; i < 100; ++i) {
    stream.step();
    REQUIRE(send(small.client.get(), "x", 1, MSG_NOSIGNAL) == 1);
    char byte = 0;
    const std::size_t turns = rig.turns;
    REQUIRE(rig.until([&] {
      stream.step();
      return recv(small.service.get(), &byte, 1, MSG_DONTWAIT) == 1;
    }));
    if (!rig.threaded()) CHECK(rig.turns - turns <= 4);
  }
  CHECK(stream.got() > 10 * mebibyte);
}

TEST_CASE("all flows together move a bounded number of bytes in a turn", "[relay_set]") {
  constexpr std::size_t count = 64;
  RelayRig rig(RelayRig::Threads{.count = 0});  // a thread does not wait for us to look
  std::vector<Joined> flows;
  for (std::size_t i = 0; i < count; ++i) flows.push_back(join_pairs(rig, 1));
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == count; }));
  std::size_t sent = 0;
  for (const Joined& flow : flows) {
    Stream stream(flow.client.get(), flow.service.get(), mebibyte, 100000);
    stream.write_some();
    sent += stream.sent();
  }
  REQUIRE(sent > 2 * limits::relay_turn);
  const auto moved = [&] { return rig.relays.counters().all.bytes_to_guest; };
  rig.epoll.dispatch();
  CHECK(moved() <= limits::relay_turn + limits::relay_pipe);
  // The rest needs no event, only turns.
  REQUIRE(rig.until([&] { return moved() == sent; }));
}

TEST_CASE("flows are listed by id, from where the last page ended, and by rule", "[relay_set]") {
  RelayRig rig;
  std::vector<Joined> flows;
  for (std::uint64_t i = 0; i < 10; ++i) flows.push_back(join_pairs(rig, 1 + i % 2));
  REQUIRE(rig.until([&] { return rig.relays.counters().all.flows_opened == 10; }));
  const auto page = rig.relays.list(0, 4, std::nullopt);
  REQUIRE(page.size() == 4);
  CHECK(rig.relays.list(page.back().id, 100, std::nullopt).size() == 6);
  const auto odd = rig.relays.list(0, 100, 2);
  REQUIRE(odd.size() == 5);
  for (const FlowRecord& flow : odd) CHECK(flow.rule == 2);
  CHECK(rig.relays.of(2).flows == 5);
  CHECK(rig.relays.of(3).flows == 0);
  CHECK(rig.log.opened.size() == 10);
}

TEST_CASE("without an observer no record is needed", "[relay_set]") {
  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  FdBudget budget(100);
  FlowIds ids;
  RelaySet relays({.epoll = &epoll, .clock = &loop.clock(), .fds = &budget, .ids = &ids});
  REQUIRE(relays.reserve());
  CHECK(budget.used() == 2);
  relays.unreserve();
  CHECK(budget.used() == 0);
  CHECK(RelaySet::allowed(1000) == (1000 - 2 * limits::relay_pipes) / 2);
  CHECK(RelaySet::allowed(10) == 2);
}
