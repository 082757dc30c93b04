// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/bridge/tap_output.h"

#include "src/base/limits.h"
#include "tests/bridge/tcp_frames.h"
#include "tests/support/catch.h"

using namespace nh;
using nh::test::TcpFrame;

namespace {

struct FakeDevice final : FrameDevice {
  std::vector<std::vector<std::uint8_t>> written;
  Taken answer = Taken::yes;
  bool can_offload = true;

  Result<MutableBytes> read() override { return MutableBytes(); }
  bool knows_runs = true, takes_run = true;
  Offload last;

  Taken write(Bytes frame, const Offload& offload) override {
    last = offload;
    if (offload.datagrams && !takes_run) {
      knows_runs = false;
      return Taken::lost;
    }
    if (answer == Taken::yes) written.emplace_back(frame.begin(), frame.end());
    return answer;
  }
  bool offloads() const override { return can_offload; }
  bool datagram_runs() const override { return knows_runs; }
  int poll_fd() const override { return -1; }
};

std::vector<std::uint8_t> advertisement() {
  std::vector<std::uint8_t> frame(ethernet_header + ipv6_header + 16);
  frame[12] = 0x86;
  frame[13] = 0xdd;
  frame[ethernet_header] = 0x60;
  frame[ethernet_header + 6] = protocol::icmpv6;
  frame[ethernet_header + ipv6_header] = 134;
  return frame;
}

}  // namespace

TEST_CASE("order holds between merged segments and other frames", "[output]") {
  FakeDevice device;
  TapOutput output(device);
  TcpFrame data;
  data.payload.assign(100, 'a');
  output.send_to_guest(data.build());
  data.sequence += 100;
  output.send_to_guest(data.build());
  CHECK(device.written.empty());
  TcpFrame fin;
  fin.sequence = data.sequence + 100;
  fin.flags |= tcp_flag::fin;
  output.send_to_guest(fin.build());
  REQUIRE(device.written.size() == 2);
  CHECK(device.written[0].size() == data.build().size() + 100);
  CHECK(device.written[1] == fin.build());
  output.flush();
  CHECK(device.written.size() == 2);
  CHECK(output.counters().merged == 1);
  CHECK(output.counters().frames == 2);
}

TEST_CASE("a device without offloads gets each frame at once", "[output]") {
  FakeDevice device;
  device.can_offload = false;
  TapOutput output(device);
  TcpFrame data;
  data.payload.assign(1, 'x');
  output.send_to_guest(data.build());
  CHECK(device.written.size() == 1);
}

TEST_CASE("a full device costs the newest frames, counted, and the kept ones keep their order", "[output]") {
  FakeDevice device;
  device.can_offload = false;
  device.answer = Taken::later;
  TapOutput output(device);
  TcpFrame data;
  for (std::uint16_t i = 0; i < limits::tap_backlog + 10; ++i) {
    data.ip_id = i;
    output.send_to_guest(data.build());
  }
  CHECK(output.waiting());
  CHECK(output.counters().backlog_full == 10);
  device.answer = Taken::yes;
  output.drain();
  CHECK_FALSE(output.waiting());
  REQUIRE(device.written.size() == limits::tap_backlog);
  for (std::size_t i = 0; i < device.written.size(); ++i) {
    data.ip_id = static_cast<std::uint16_t>(i);
    CHECK(device.written[i] == data.build());
  }
}

TEST_CASE("frames that the device refuses are counted, not kept", "[output]") {
  FakeDevice device;
  device.can_offload = false;
  device.answer = Taken::lost;
  TapOutput output(device);
  output.send_to_guest(TcpFrame().build());
  CHECK_FALSE(output.waiting());
  CHECK(output.counters().lost == 1);
  CHECK(output.counters().frames == 0);
}

TEST_CASE("router advertisements are kept from a guest that could not be told to ignore them", "[output]") {
  const bool guarded = GENERATE(true, false);
  FakeDevice device;
  TapOutput output(device);
  if (guarded) output.drop_advertisements();
  output.send_to_guest(advertisement());
  CHECK(device.written.size() == (guarded ? 0u : 1u));
  CHECK(output.counters().advertisements_dropped == (guarded ? 1u : 0u));
}

TEST_CASE("a run of datagrams goes as one frame, until the device says that it does not know them", "[output]") {
  FakeDevice device;
  TapOutput output(device);
  const std::vector<std::uint8_t> frame(300, 'x');
  CHECK(output.takes_runs());
  CHECK(output.send_run_to_guest(frame, 100));
  CHECK(device.written.size() == 1);
  CHECK(device.last.segment_size == 100);
  CHECK(device.last.datagrams);
  CHECK(device.last.partial_checksum);
  device.takes_run = false;
  CHECK_FALSE(output.send_run_to_guest(frame, 100));
  CHECK_FALSE(output.takes_runs());
  CHECK_FALSE(output.send_run_to_guest(frame, 100));
  CHECK(device.written.size() == 1);
  CHECK(output.counters().lost == 0);
}
