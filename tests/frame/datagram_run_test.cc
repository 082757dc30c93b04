// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/datagram_run.h"

#include <optional>

#include "netstack/frame/wire.h"
#include "tests/support/catch.h"
#include "tests/support/frame_recorder.h"

namespace nh::test {
namespace {

// Takes runs apart again, as the guest's kernel does.
struct Kernel final : FrameSink {
  void send_to_guest(Bytes frame) override { singles.send_to_guest(frame); }
  bool takes_runs() const override { return knows_runs; }
  bool send_run_to_guest(Bytes frame, std::uint16_t segment) override {
    if (refuses) {
      knows_runs = false;
      return false;
    }
    ++runs;
    Frame whole(frame.begin(), frame.end());
    const Packet packet = parse_packet(whole).packet;
    REQUIRE(packet.is_udp());
    // With the pseudo-header's sum in it, the field becomes right by adding up what follows it.
    Frame checked = whole;
    const std::uint16_t partial = wire::load16(whole, packet.l4_offset + 6);
    fix_checksums(checked);
    wire::store16(checked, packet.l4_offset + 6, partial);
    CHECK(checked == whole);
    last_partial = partial;
    const Bytes payload = packet.payload();
    for (std::size_t at = 0; at < payload.size(); at += segment)
      singles.send_to_guest(
          udp(packet.from(), packet.to(), payload.subspan(at, std::min<std::size_t>(segment, payload.size() - at))));
    return true;
  }
  FrameRecorder singles;
  bool knows_runs = true, refuses = false;
  std::size_t runs = 0;
  std::uint16_t last_partial = 0;
};

struct Fixture {
  Kernel kernel;
  DatagramRun run{kernel, 1500};
  std::vector<Frame> added;
  LinkPath link{MacAddress{{0x52, 0x55, 10, 0, 2, 2}}, guest_mac};

  void add(std::size_t size, std::uint16_t port = 5000, bool v4 = true) {
    added.emplace_back(size, static_cast<std::uint8_t>(added.size()));
    run.add(link, at(v4 ? "192.0.2.7" : "2001:db8::7", port), at(v4 ? "10.0.2.100" : "fd00::100", 53), added.back());
  }
  bool all_there() const {
    const std::vector<Datagram> got = kernel.singles.datagrams();
    if (got.size() != added.size()) return false;
    for (std::size_t i = 0; i < got.size(); ++i)
      if (got[i].payload != added[i]) return false;
    return true;
  }
};

TEST_CASE("neighbours of one flow and size go as one frame") {
  const bool v4 = GENERATE(true, false);
  Fixture f;
  for (int i = 0; i < 10; ++i) f.add(1000, 5000, v4);
  CHECK(f.kernel.singles.frames.empty());
  f.run.flush();
  CHECK(f.kernel.runs == 1);
  CHECK(f.all_there());
  f.run.flush();
  CHECK(f.kernel.runs == 1);
}

TEST_CASE("the checksum field of a run is the sum of its pseudo-header") {
  Fixture f;
  f.add(2);
  f.add(2);
  f.run.flush();
  // 192.0.2.7 + 10.0.2.100 + UDP + length 12, by hand.
  const std::uint32_t sum = 0xc000 + 0x0207 + 0x0a00 + 0x0264 + 17 + 12;
  CHECK(f.kernel.last_partial == (sum & 0xffff) + (sum >> 16));
}

TEST_CASE("a shorter one ends a run; a longer one, another flow, an empty one and one beyond the MTU begin anew") {
  Fixture f;
  for (const std::size_t size : {100, 100, 60, 60, 100, 0, 0, 100, 3000, 100, 100}) f.add(size);
  f.add(100, 5001);
  f.add(100, 5001);
  f.add(100, 5000);
  f.run.flush();
  CHECK(f.all_there());
  CHECK(f.kernel.runs == 3);  // 100 100 60, then 100 100 of each flow; what stands between them goes alone
}

TEST_CASE("a run is no longer than a packet can be, and has no more datagrams than every kernel takes") {
  Fixture f;
  for (int i = 0; i < 100; ++i) f.add(1452);
  for (std::size_t i = 0; i < udp_run_datagrams + 1; ++i) f.add(10);
  f.run.flush();
  CHECK(f.all_there());
  CHECK(f.kernel.runs == 4);  // 45 + 45 + 10 of 1452 bytes, 64 small ones, and one alone
}

TEST_CASE("a kernel that does not know runs gets the datagrams one by one, none is lost") {
  Fixture f;
  f.kernel.refuses = true;
  for (int i = 0; i < 5; ++i) f.add(100);
  f.run.flush();
  CHECK_FALSE(f.kernel.takes_runs());
  for (int i = 0; i < 5; ++i) f.add(100);
  CHECK(f.all_there());
  CHECK(f.kernel.runs == 0);
}

}  // namespace
}  // namespace nh::test
