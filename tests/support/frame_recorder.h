// SPDX-License-Identifier: BSD-3-Clause
// FrameRecorder: a FrameSink that keeps what it gets, and reads UDP datagrams out of it,
// reassembled from fragments.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "netstack/frame/frame_sink.h"
#include "netstack/frame/packet.h"
#include "tests/support/frames.h"

namespace nh::test {

struct Datagram {
  Endpoint from, to;
  MacAddress mac_source, mac_destination;
  std::vector<std::uint8_t> payload;
  std::size_t frames = 1;  ///< that it came in

  std::string text() const { return {payload.begin(), payload.end()}; }
};

class FrameRecorder final : public FrameSink {
 public:
  void send_to_guest(Bytes frame) override { frames.emplace_back(frame.begin(), frame.end()); }

  /// The UDP datagrams of all frames in the order of their first ones. A frame with a wrong length
  /// or checksum, or a datagram whose fragments do not fit together, is left out: a test that waits
  /// for it fails.
  std::vector<Datagram> datagrams() const {
    std::vector<Datagram> found;
    std::map<std::uint32_t, std::vector<Frame>> pieces;
    for (const Frame& frame : frames) {
      Frame copy = frame;
      const ParsedFrame parsed = parse_packet(copy);
      const Packet& packet = parsed.packet;
      if (parsed.malformed || packet.frame.size() != frame.size()) continue;
      if (packet.is_udp()) add(found, frame, 1);
      if (!packet.fragment || packet.protocol != protocol::udp) continue;
      auto& together = pieces[packet.fragment_id];
      together.push_back(frame);
      if (!packet.more_fragments) add(found, whole(together), together.size());
    }
    return found;
  }

  std::vector<Frame> frames;

 private:
  static void add(std::vector<Datagram>& found, Frame frame, std::size_t count) {
    const ParsedFrame parsed = parse_packet(frame);
    if (parsed.malformed || !parsed.packet.is_udp()) return;
    Frame checked = frame;
    fix_checksums(checked);
    if (checked != frame) return;
    const Packet& packet = parsed.packet;
    const Bytes payload = packet.payload();
    found.push_back(
        {packet.from(), packet.to(), packet.mac_source, packet.mac_destination, {payload.begin(), payload.end()}, count});
  }

  // The frame that these fragments, in order and without gaps, were cut from; empty if they do not
  // fit together.
  static Frame whole(std::vector<Frame>& pieces) {
    std::vector<std::uint8_t> l4;
    Packet first;
    for (Frame& piece : pieces) {
      const Packet packet = parse_packet(piece).packet;
      Frame header_checked = piece;
      fix_checksums(header_checked);
      const bool last = &piece == &pieces.back();
      if (packet.more_fragments == last) return {};
      if (packet.fragment_offset != l4.size() || header_checked != piece) return {};
      if (l4.empty()) first = packet;
      const Bytes part = packet.l4();
      l4.insert(l4.end(), part.begin(), part.end());
    }
    Frame joined = ip(first.source, first.destination, protocol::udp, l4);
    std::copy_n(pieces.front().begin(), 12, joined.begin());
    return joined;
  }
};

}  // namespace nh::test
