// SPDX-License-Identifier: BSD-3-Clause
// Flows whose bytes other threads move: which ones, how they come back, and that nothing gets lost in between.
#include "netstack/relay/relay_threads.h"

#include <dirent.h>
#include <sys/resource.h>

#include <csignal>
#include <numeric>
#include <thread>

#include "tests/relay/relay_rig.h"

using namespace nh;
using namespace nh::test;

namespace {

std::size_t open_fds() {
  std::size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  REQUIRE(directory != nullptr);
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

std::size_t with_threads(const RelayRig& rig) {
  const std::vector<std::size_t> flows = rig.relays.thread_flows();
  return std::accumulate(flows.begin(), flows.end(), std::size_t{0});
}

void transfer(RelayRig& rig, int from, int to, std::size_t size, std::size_t chunk) {
  Stream stream(from, to, size, chunk);
  REQUIRE(rig.until([&] {
    stream.step();
    return stream.complete();
  }));
  CHECK(stream.equal());
}

/// As many questions and answers, each of so many bytes.
void converse(RelayRig& rig, const Joined& flow, int rounds, std::size_t size) {
  for (int i = 0; i < rounds; ++i) {
    transfer(rig, flow.client.get(), flow.service.get(), size, size);
    transfer(rig, flow.service.get(), flow.client.get(), size, size);
  }
}

}  // namespace

TEST_CASE("a flow goes to a thread once it is large, and only if it is bulk", "[relay_threads]") {
  RelayRig rig(RelayRig::Threads{.count = 1, .offload_threshold = mebibyte});
  rig.serve();
  const Joined small = rig.join(), large = rig.join();
  constexpr std::size_t message = 8192;
  constexpr int rounds = 2 * mebibyte / message;
  converse(rig, small, rounds, message);
  CHECK(with_threads(rig) == 0);
  transfer(rig, large.client.get(), large.service.get(), mebibyte / 2, mebibyte);
  CHECK(with_threads(rig) == 0);
  transfer(rig, large.client.get(), large.service.get(), 16 * mebibyte, mebibyte);
  CHECK(with_threads(rig) == 1);
  // It stays there, and works as before.
  converse(rig, large, 3, 100);
  transfer(rig, large.service.get(), large.client.get(), 5 * mebibyte, 100000);
  CHECK(with_threads(rig) == 1);

  const std::uint64_t up = 16 * mebibyte + mebibyte / 2 + 300, down = 5 * mebibyte + 300;
  // The thread counts what it has moved, so a moment after the bytes are here.
  REQUIRE(rig.until([&] { return rig.relays.counters().all.bytes_to_host == down + 2 * mebibyte; }));
  REQUIRE(rig.until([&] { return rig.relays.counters().all.bytes_to_guest == up + 2 * mebibyte; }));
  const auto flows = rig.relays.list(0, 10, std::nullopt);
  REQUIRE(flows.size() == 2);
  CHECK(flows[1].bytes_to_guest == up);
  CHECK(flows[1].bytes_to_host == down);
  CHECK(flows[1].host_local == rig.host);
  CHECK(rig.relays.of(1).bytes_to_guest == up + 2 * mebibyte);
}

TEST_CASE("flows are shared out among the threads, and their places are used again", "[relay_threads]") {
  RelayRig rig(RelayRig::Threads{.count = 3});
  rig.serve();
  std::vector<Joined> flows;
  for (int i = 0; i < 6; ++i) flows.push_back(rig.join());
  CHECK(rig.relays.thread_flows() == std::vector<std::size_t>{2, 2, 2});
  flows.erase(flows.begin());
  REQUIRE(rig.until([&] { return rig.relays.size() == 5; }));
  CHECK(rig.relays.thread_flows() == std::vector<std::size_t>{1, 2, 2});
  flows.push_back(rig.join());
  CHECK(rig.relays.thread_flows() == std::vector<std::size_t>{2, 2, 2});
}

TEST_CASE("a flow that is killed while it ends in its thread ends once", "[relay_threads]") {
  constexpr int rounds = 40;
  constexpr std::size_t together = 10;
  RelayRig rig(RelayRig::Threads{.count = 2});
  rig.serve();
  for (int round = 0; round < rounds; ++round) {
    std::vector<Joined> flows;
    for (std::size_t i = 0; i < together; ++i) flows.push_back(rig.join());
    const auto list = rig.relays.list(0, together, std::nullopt);
    REQUIRE(list.size() == together);
    for (std::size_t i = 0; i < together; ++i) {
      if (round % 2 == 0) reset(std::move(flows[i].client));
      CHECK(rig.relays.kill(list[i].id));
      CHECK_FALSE(rig.relays.kill(list[i].id));
      flows[i].client.reset();
    }
    CHECK(rig.relays.list(0, together, std::nullopt).empty());
    REQUIRE(rig.until([&] { return rig.relays.size() == 0; }));
  }
  CHECK(rig.log.ends == std::vector<FlowEnd>(rounds * together, FlowEnd::killed));
  CHECK(with_threads(rig) == 0);
}

TEST_CASE("a segment of a killed flow is nobody's at once", "[relay_threads]") {
  RelayRig rig(RelayRig::Threads{.count = 1});
  rig.serve();
  const Joined flow = rig.join();
  const FlowRecord record = rig.relays.list(0, 1, std::nullopt).at(0);
  CHECK(rig.relays.find(record.guest, record.guest_peer) != nullptr);
  CHECK(rig.relays.kill(record.id));
  CHECK(rig.relays.find(record.guest, record.guest_peer) == nullptr);
}

TEST_CASE("flows that are with threads at the end are closed, whatever they are doing", "[relay_threads]") {
  const std::size_t before = open_fds();
  std::vector<Joined> flows;
  {
    RelayRig rig(RelayRig::Threads{.count = 2});
    rig.serve();
    std::vector<Stream> streams;
    for (int i = 0; i < 20; ++i) {
      flows.push_back(rig.join());
      streams.emplace_back(flows.back().client.get(), flows.back().service.get(), 1024 * mebibyte, mebibyte);
    }
    REQUIRE(rig.until([&] {
      for (Stream& stream : streams) stream.step();
      return rig.relays.counters().all.bytes_to_guest > 64 * mebibyte;
    }));
    // Messages that nobody will read any more.
    for (std::size_t i = 0; i < 5; ++i) rig.relays.kill(rig.relays.list(0, 20, std::nullopt).at(i).id);
  }
  flows.clear();
  CHECK(open_fds() == before);
}

TEST_CASE("where descriptors are few threads copy", "[relay_threads]") {
  RelayRig rig(16, limits::relay_flows, {.count = 2});
  rig.serve();
  const Joined flow = rig.join();
  transfer(rig, flow.client.get(), flow.service.get(), 8 * mebibyte, mebibyte);
  CHECK(rig.relays.pipes() <= 4);
  CHECK(rig.budget.used() <= 16);
}

TEST_CASE("threads that cannot be started are done without", "[relay_threads]") {
  if (geteuid() == 0) return;  // whom RLIMIT_NPROC does not hold back
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NPROC, &limit) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  RelayRig rig(RelayRig::Threads{.count = 0});
  FdBudget budget(100);
  RelaySet relays({.epoll = &rig.epoll, .clock = &rig.loop.clock(), .fds = &budget, .ids = &rig.ids, .threads = 1});
  REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
  const Result<> started = relays.start_threads();
  REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().sys_errno == EAGAIN);
  CHECK(relays.thread_flows().empty());
  CHECK(budget.used() == 0);
}

TEST_CASE("messages of several threads arrive once, in the order of each", "[relay_threads]") {
  constexpr unsigned senders = 3, messages = 20000;
  struct Message {
    unsigned sender, number;
  };
  Mailbox<Message> box;
  REQUIRE(box.open().ok());
  std::vector<std::thread> threads;
  for (unsigned sender = 0; sender < senders; ++sender)
    threads.emplace_back([&box, sender] {
      for (unsigned i = 0; i < messages; ++i) box.post({sender, i});
    });
  std::vector<unsigned> next(senders);
  std::vector<Message> taken;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  bool in_order = true;
  while (std::accumulate(next.begin(), next.end(), 0U) < senders * messages && std::chrono::steady_clock::now() < deadline) {
    box.take(taken);
    for (const Message& message : taken) in_order = in_order && next[message.sender]++ == message.number;
    taken.clear();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(in_order);
  CHECK(next == std::vector<unsigned>(senders, messages));
}
