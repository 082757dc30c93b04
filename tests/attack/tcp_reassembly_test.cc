// SPDX-License-Identifier: BSD-3-Clause
// bdba265 of libslirp 4.8: segments out of order, of which the last one to be handed over ends at
// the sequence number that libslirp mistakes the connection's own memory for (SequenceGate says
// how): it goes on with a wild pointer and dies. Expected: the data arrives, and the process is
// still there. Runs against the real library in a private network.
#include <csignal>
#include <cstdlib>

#include "netstack/frame/wire.h"
#include "netstack/slirp/slirp_stack.h"
#include "src/loop/epoll_set.h"
#include "tests/fuzz/fuzz_driver.h"
#include "tests/fuzz/host_peers.h"
#include "tests/fuzz/private_network.h"
#include "tests/support/catch.h"
#include "tests/support/frames.h"

using namespace nh;
using namespace nh::test;

namespace {

HostPeers& private_host() {
  static HostPeers peers = [] {
    std::signal(SIGPIPE, SIG_IGN);
    if (const auto entered = enter_private_network(true); !entered) cannot_run(entered.error().message());
    auto opened = HostPeers::open(default_seed, true);
    if (!opened) cannot_run(opened.error().message());
    return std::move(opened).value();
  }();
  return peers;
}

// A guest with one connection to a server on the host.
class Connection final : public FrameSink {
 public:
  Connection(bool v4, std::uint32_t first)
      : guest_(at(v4 ? "10.0.2.100" : "fd00::100", 40000)), far_(at(v4 ? "10.0.2.2" : "fd00::2", 7777)) {
    SlirpSetup setup{.plan = plan(), .outbound_v4 = {}, .outbound_v6 = {}};
    setup.allow_host_loopback = true;
    slirp_ = SlirpStack::create(setup, loop_, epoll_, *this).value();
    if (v4) {
      slirp_->input(arp(1, guest_.address, far_.address));
    } else {
      Frame rest{0x20, 0, 0, 0};
      rest.insert(rest.end(), guest_.address.bytes().begin(), guest_.address.bytes().end());
      slirp_->input(icmp(guest_.address, addr("ff02::1"), icmpv6_type::neighbour_advertisement, 0, rest));
    }
    send(first - 1, tcp_flag::syn, {});
    turns();
  }

  void send_to_guest(Bytes frame) override {
    Frame copy(frame.begin(), frame.end());
    const ParsedFrame parsed = parse_packet(copy);
    if (parsed.malformed || !parsed.packet.is_tcp() || parsed.packet.to() != guest_) return;
    acknowledged_ = wire::load32(parsed.packet.l4(), 8);
    const std::uint32_t sequence = wire::load32(parsed.packet.l4(), 4);
    if ((parsed.packet.tcp_flags & tcp_flag::syn) != 0) next_ = sequence + 1;
  }

  void send(std::uint32_t sequence, std::uint8_t flags, const Frame& data) {
    const Frame frame =
        tcp(guest_, far_, {.sequence = sequence, .acknowledgement = next_, .flags = flags, .options = {}}, data);
    slirp_->input(frame);
  }
  void turns() {
    for (int i = 0; i < 50; ++i) {
      epoll_.dispatch();
      slirp_->serve();
      private_host().turn();
    }
  }
  std::uint32_t acknowledged() const { return acknowledged_; }

 private:
  Endpoint guest_, far_;
  Loop loop_;
  EpollSet epoll_ = EpollSet::create(loop_).value();
  std::unique_ptr<SlirpStack> slirp_;
  std::uint32_t next_ = 0, acknowledged_ = 0;
};

}  // namespace

TEST_CASE("a hole that is filled up to the fatal sequence number") {
  const bool v4 = GENERATE(true, false);
  private_host();
  // 0 for both: bytes 4 to 7 of fd00::100 are zero.
  const std::uint32_t fatal = 0;
  Connection connection(v4, fatal - 20);
  REQUIRE(connection.acknowledged() == fatal - 20);
  connection.send(fatal - 10, tcp_flag::ack, Frame(10, 'b'));
  connection.send(fatal - 20, tcp_flag::ack, Frame(10, 'a'));
  connection.turns();
  // With a libslirp that needs the gate, the last byte is missing: the guest sends it again, with
  // what follows.
  const std::uint32_t reached = connection.acknowledged();
  CHECK((reached == fatal - 1 || reached == fatal));
  connection.send(reached, tcp_flag::ack, Frame(100, 'c'));
  connection.send(reached + 100, tcp_flag::ack, Frame(100, 'd'));
  connection.turns();
  CHECK(connection.acknowledged() == reached + 200);
}
