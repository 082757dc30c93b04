// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/frame_maker.h"

#include <algorithm>

#include "netstack/frame/wire.h"

namespace nh::test {
namespace {

const std::vector<Address>& sources(bool v4) {
  static const std::vector<Address> four{addr("10.0.2.100"), addr("10.0.2.100"), addr("10.0.2.100"), addr("10.0.2.15"),
                                         addr("0.0.0.0"),    addr("10.0.2.2"),   addr("127.0.0.1")};
  static const std::vector<Address> six{addr("fd00::100"), addr("fd00::100"), addr("fd00::100"), addr("fe80::64"),
                                        addr("::"),        addr("fd00::2"),   addr("::1")};
  return v4 ? four : six;
}

const std::vector<Address>& destinations(bool v4) {
  static const std::vector<Address> four{addr("10.0.2.2"),        addr("10.0.2.2"),  addr("10.0.2.3"), addr("192.0.2.1"),
                                         addr("255.255.255.255"), addr("127.0.0.1"), addr("224.0.0.1")};
  static const std::vector<Address> six{addr("fd00::2"), addr("fd00::2"),   addr("fd00::3"), addr("2001:db8::1"),
                                        addr("ff02::1"), addr("ff02::1:2"), addr("fe80::2")};
  return v4 ? four : six;
}

// 7777 is where the fuzzer's own servers listen; the others have services or emulations in
// libslirp.
const std::vector<std::uint16_t> ports{7777, 7777, 7777, 21, 53, 67, 69, 113, 547, 6667, 1, 0, 65535};

void add32(Frame& frame, std::size_t at, std::uint32_t by) {
  const std::uint32_t value = wire::load32(frame, at) + by;
  wire::store16(frame, at, static_cast<std::uint16_t>(value >> 16));
  wire::store16(frame, at + 2, static_cast<std::uint16_t>(value));
}

Frame neighbour_announcement(const Address& address) {
  Frame rest{0x20, 0, 0, 0};
  rest.insert(rest.end(), address.bytes().begin(), address.bytes().end());
  rest.insert(rest.end(), {2, 1});
  rest.insert(rest.end(), guest_mac.bytes.begin(), guest_mac.bytes.end());
  return icmp(address, addr("ff02::1"), icmpv6_type::neighbour_advertisement, 0, rest);
}

}  // namespace

std::vector<Frame> FrameMaker::announcements() {
  return {arp(1, addr("10.0.2.100"), addr("10.0.2.2")), arp(1, addr("10.0.2.15"), addr("10.0.2.2")),
          neighbour_announcement(addr("fd00::100")), neighbour_announcement(addr("fe80::64"))};
}

Frame FrameMaker::next() {
  if (!pending_.empty() && !one_in(4)) {
    Frame frame = std::move(pending_.back());
    pending_.pop_back();
    if (one_in(8)) spoil(frame);
    return frame;
  }
  Frame frame;
  switch (below(20)) {
    case 0:
      frame = make_arp();
      break;
    case 1:
    case 2:
      frame = make_icmp();
      break;
    case 3:
      frame = make_dhcp();
      break;
    case 4:
      frame = make_error();
      break;
    case 5:
      frame = make_junk();
      break;
    case 6:
    case 7:
    case 8:
      frame = make_udp();
      break;
    default:
      frame = make_tcp();
  }
  const bool ip = frame.size() > 60 && (frame[12] == 0x08 || frame[12] == 0x86) && frame[13] != 6;
  if (ip && one_in(12)) {
    pending_ = fragments(frame, 8 * (1 + below(80)), static_cast<std::uint32_t>(below(40)));
    std::shuffle(pending_.begin(), pending_.end(), random_);
    frame = std::move(pending_.back());
    pending_.pop_back();
  }
  if (one_in(3)) spoil(frame);
  return frame;
}

void FrameMaker::answer(Bytes frame) {
  Frame copy(frame.begin(), frame.end());
  const ParsedFrame parsed = parse_packet(copy);
  if (parsed.malformed || !parsed.packet.is_tcp()) return;
  for (Flow& flow : flows_) {
    if (flow.guest != parsed.packet.to() || flow.far != parsed.packet.from()) continue;
    if ((parsed.packet.tcp_flags & tcp_flag::rst) != 0) {
      flow = {};
      return;
    }
    const std::uint32_t sequence = wire::load32(parsed.packet.l4(), 4);
    if ((parsed.packet.tcp_flags & tcp_flag::syn) != 0) {
      flow.acknowledged = sequence + 1;
      flow.next = wire::load32(parsed.packet.l4(), 8);
      if (!flow.open) ++established_;
      flow.open = true;
    } else if (flow.open && sequence == flow.acknowledged) {
      flow.acknowledged +=
          static_cast<std::uint32_t>(parsed.packet.payload().size()) + (parsed.packet.tcp_flags & tcp_flag::fin);
    }
  }
}

Frame FrameMaker::bytes(std::size_t size) {
  Frame out(size);
  for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_());
  return out;
}

std::size_t FrameMaker::payload_size() {
  switch (below(6)) {
    case 0:
      return 0;
    case 1:
      return 1 + below(8);
    case 2:
      return 1400;
    default:
      return below(1400);
  }
}

Address FrameMaker::source(bool v4) {
  return one_in(10) ? pick(sources(v4)) : sources(v4)[0];
}
Address FrameMaker::destination(bool v4) {
  return one_in(3) ? pick(destinations(v4)) : destinations(v4)[0];
}
std::uint16_t FrameMaker::port() {
  return one_in(3) ? pick(ports) : ports[0];
}

Frame FrameMaker::make_tcp() {
  Flow& flow = flows_[below(flows)];
  using namespace tcp_flag;
  if (!flow.open && (flow.guest.port == 0 || one_in(4))) {
    const bool v4 = one_in(2);
    flow.guest = {source(v4), static_cast<std::uint16_t>(40000 + below(64))};
    flow.far = {destination(v4), port()};
    flow.next = one_in(3) ? 0xfffffff0u : static_cast<std::uint32_t>(random_());
  }
  TcpFields fields{.sequence = flow.next, .acknowledgement = flow.acknowledged, .flags = syn};
  if (!flow.open) {
    if (one_in(2)) fields.options = {2, 4, static_cast<std::uint8_t>(random_()), static_cast<std::uint8_t>(random_())};
    const Frame data = one_in(4) ? bytes(payload_size()) : Frame{};
    return tcp(flow.guest, flow.far, fields, data);
  }
  constexpr std::array<int, 12> kinds{ack, ack,       ack, ack, ack | psh, ack | psh, ack | fin, ack | urg, ack | psh | urg,
                                      rst, rst | ack, syn};
  fields.flags = static_cast<std::uint8_t>(kinds[one_in(3) ? below(kinds.size()) : 0]);
  fields.urgent = one_in(4) ? static_cast<std::uint16_t>(random_()) : std::uint16_t{0};
  fields.window = one_in(6) ? static_cast<std::uint16_t>(below(3)) : static_cast<std::uint16_t>(random_());
  const Frame data = bytes(payload_size());
  // Mostly in order; else a hole, an overlap, an old segment, one far off, an acknowledgement of
  // what was never sent.
  switch (below(12)) {
    case 0:
      fields.sequence += static_cast<std::uint32_t>(1 + below(3000));
      break;
    case 1:
      fields.sequence -= static_cast<std::uint32_t>(below(3000));
      break;
    case 2:
      fields.sequence = static_cast<std::uint32_t>(random_());
      break;
    case 3:
      fields.acknowledgement += static_cast<std::uint32_t>(below(3000));
      break;
    case 4:
      fields.acknowledgement = static_cast<std::uint32_t>(random_());
      break;
    default:
      flow.next += static_cast<std::uint32_t>(data.size()) + (fields.flags & fin);
  }
  if ((fields.flags & rst) != 0) flow.open = false;
  return tcp(flow.guest, flow.far, fields, data);
}

Frame FrameMaker::make_udp() {
  const bool v4 = one_in(2);
  return udp({source(v4), static_cast<std::uint16_t>(50000 + below(16))}, {destination(v4), port()},
             bytes(one_in(20) ? 8000 : payload_size()));
}

Frame FrameMaker::make_icmp() {
  const bool v4 = one_in(2);
  const auto type = static_cast<std::uint8_t>(one_in(4) ? random_() : v4 ? 8 : one_in(3) ? 128 : 133 + below(5));
  Frame rest = bytes(4 + below(60));
  if (!v4 && type > 132 && one_in(2)) {
    const Address target = pick(destinations(false));
    rest.resize(28);
    std::copy(target.bytes().begin(), target.bytes().end(), rest.begin() + 4);
    rest[20] = 1;
    rest[21] = 1;
  }
  return icmp(source(v4), destination(v4), type, static_cast<std::uint8_t>(one_in(5) ? random_() : 0), rest);
}

Frame FrameMaker::make_arp() {
  return arp(static_cast<std::uint16_t>(1 + below(2)), pick(sources(true)), pick(destinations(true)));
}

Frame FrameMaker::make_dhcp() {
  const std::array<std::uint8_t, 6> codes{53, 50, 54, 12, 51, 61};
  Frame options{53, 1, static_cast<std::uint8_t>(1 + below(8))};
  for (std::size_t i = below(6); i > 0; --i) {
    const Frame value = bytes(below(12));
    options.push_back(codes[below(codes.size())]);
    options.push_back(static_cast<std::uint8_t>(one_in(10) ? below(256) : value.size()));
    options.insert(options.end(), value.begin(), value.end());
  }
  options.push_back(255);
  if (one_in(5)) {
    Frame message = bytes(4 + below(40));
    message[0] = 11;
    return udp({addr("fe80::64"), 546}, {addr("ff02::1:2"), 547}, message);
  }
  return udp({addr("0.0.0.0"), 68}, {one_in(2) ? addr("255.255.255.255") : addr("10.0.2.2"), 67}, dhcp_message(options));
}

Frame FrameMaker::make_error() {
  const bool v4 = one_in(2);
  const Frame quoted = udp({destination(v4), port()}, {source(v4), 50000}, bytes(below(40)));
  Frame rest(quoted.begin() + ethernet_header - 4, quoted.end());
  rest.resize(4 + below(rest.size() - 3));
  constexpr std::array<std::uint8_t, 6> types{3, 11, 12, 1, 2, 4};
  return icmp(source(v4), destination(v4), types[below(types.size())], static_cast<std::uint8_t>(below(6)), rest);
}

Frame FrameMaker::make_junk() {
  constexpr std::array<std::uint16_t, 5> types{ether_type::ipv4, ether_type::ipv6, ether_type::arp, 0x88f8, 0x8100};
  Frame frame = ethernet(types[below(types.size())], bytes(below(200)));
  if (one_in(4)) frame.resize(below(frame.size()));
  return frame;
}

void FrameMaker::spoil(Frame& frame) {
  for (std::size_t i = 1 + below(3); i > 0 && frame.size() > ethernet_header; --i) {
    const std::size_t at = ethernet_header + below(std::min<std::size_t>(frame.size() - ethernet_header, 80));
    switch (below(6)) {
      case 0:
        frame[at] = static_cast<std::uint8_t>(random_());
        break;
      case 1:
        frame[at] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      case 2:
        frame[at] = one_in(2) ? 0 : 255;
        break;
      case 3:
        frame.resize(ethernet_header + below(frame.size() - ethernet_header));
        break;
      case 4: {
        const Frame more = bytes(below(64));
        frame.insert(frame.end(), more.begin(), more.end());
        break;
      }
      default:
        if (at + 4 <= frame.size()) add32(frame, at, static_cast<std::uint32_t>(1 + below(16)));
    }
  }
  if (!one_in(8)) fix_checksums(frame);
}

}  // namespace nh::test
