// SPDX-License-Identifier: BSD-3-Clause
// The guard and the sequence gate with the real libslirp behind them: nothing that they pass may
// break the library. Reachability is left out on purpose, so that libslirp is asked for more than
// in the helper. Runs in a private network, or not at all.
#include <csignal>
#include <cstdio>

#include "netstack/slirp/slirp_stack.h"
#include "src/loop/epoll_set.h"
#include "tests/fuzz/frame_maker.h"
#include "tests/fuzz/fuzz_driver.h"
#include "tests/fuzz/guard_oracle.h"
#include "tests/fuzz/host_peers.h"
#include "tests/fuzz/private_network.h"

using namespace nh;
using namespace nh::test;

namespace {

// Frames between two turns of libslirp, and between two stacks (which must clean up after
// themselves).
constexpr std::uint64_t frames_a_turn = 8, frames_a_stack = 50'000, frames_an_announcement = 512;

class Bench final : public FrameSink {
 public:
  Bench(std::uint64_t seed, HostPeers& peers) : maker(seed), peers_(peers) {
    guard.set_sources({addr("10.0.2.100"), addr("fd00::100")});
    start_stack();
  }
  ~Bench() override = default;
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void send_to_guest(Bytes frame) override {
    ++answers;
    maker.answer(frame);
  }

  void take(Frame frame) {
    if (count_ % frames_a_stack == frames_a_stack - 1) start_stack();
    if (count_ % frames_an_announcement == 0)
      for (const Frame& announcement : FrameMaker::announcements()) input(announcement);
    input(std::move(frame));
    if (++count_ % frames_a_turn == 0) {
      loop_.turn(false);
      epoll_.dispatch();
      slirp_->serve();
      peers_.turn();
    }
  }

  FrameMaker maker;
  std::uint64_t answers = 0, passed = 0;
  FrameGuard guard{{.plan = plan()}, clock_};

 private:
  void start_stack() {
    slirp_.reset();
    SlirpSetup setup{.plan = plan(), .outbound_v4 = {}, .outbound_v6 = {}};
    setup.allow_host_loopback = true;
    auto stack = SlirpStack::create(setup, loop_, epoll_, *this);
    if (!stack) cannot_run(stack.error().message());
    slirp_ = std::move(stack).value();
    slirp_->serve();
  }

  void input(Frame frame) {
    frame.shrink_to_fit();  // so that AddressSanitizer sees the first byte too many
    const GuardVerdict verdict = guard.inspect(frame);
    check_verdict(verdict, addresses_);
    if (verdict.action != GuardAction::pass || verdict.packet.icmp_error) return;
    ++passed;
    slirp_->input(verdict.packet.frame);
  }

  AddressPlan addresses_ = plan();
  MonotonicClock clock_;
  Loop loop_;
  EpollSet epoll_ = EpollSet::create(loop_).value();
  HostPeers& peers_;
  std::unique_ptr<SlirpStack> slirp_;
  std::uint64_t count_ = 0;
};

HostPeers private_host(std::uint64_t seed) {
  std::signal(SIGPIPE, SIG_IGN);  // libslirp sends without MSG_NOSIGNAL; the helper ignores it too
  if (const auto entered = enter_private_network(true); !entered) cannot_run(entered.error().message());
  auto peers = HostPeers::open(seed);
  if (!peers) cannot_run(peers.error().message());
  return std::move(peers).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static HostPeers peers = private_host(default_seed);
  static Bench bench(default_seed, peers);
  for_each_frame({data, size}, [](Bytes frame) { bench.take({frame.begin(), frame.end()}); });
  return 0;
}

#ifndef NETNS_HELPER_LIBFUZZER
int main(int argc, char** argv) {
  const FuzzRun run = fuzz_run(argc, argv);
  HostPeers peers = private_host(run.seed);
  Bench bench(run.seed, peers);
  for (std::uint64_t i = 0; i < run.runs; ++i) bench.take(bench.maker.next());
  std::printf(
      "libslirp %s: %llu frames, %llu passed, %llu answers, %zu connections established, %llu "
      "bytes at the host\n",
      SlirpStack::library_version().c_str(), static_cast<unsigned long long>(run.runs),
      static_cast<unsigned long long>(bench.passed), static_cast<unsigned long long>(bench.answers),
      bench.maker.established(), static_cast<unsigned long long>(peers.received()));
  // A maker that libslirp never answers, or whose connections carry nothing, would find nothing.
  const bool useful =
      bench.passed > run.runs / 20 && bench.maker.established() > run.runs / 5000 && peers.received() > run.runs;
  if (!useful) std::fprintf(stderr, "the frames do not reach what they should\n");
  return useful ? 0 : 1;
}
#endif
