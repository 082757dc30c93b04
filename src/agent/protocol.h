// SPDX-License-Identifier: BSD-3-Clause
// The messages between helper and guest agent: one SOCK_SEQPACKET message each, of a fixed and bounded layout.
//
// Layout: u32 type, then the fields of that type in order, integers in host byte order (both ends are one program). A
// text is a u32 length and its bytes, within max_text; a flag is one byte, 0 or 1; an address is u8 family (4 or 6), u8
// prefix, u8 tentative, 16 bytes (IPv4 in the first four, the rest zero). decode() accepts exactly what encode() makes:
// a message that is too short, too long, or has a value out of its range is invalid.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/linux/tap.h"
#include "src/netlink/address_monitor.h"

namespace nh::agent {

/// Bytes of one text; a longer one is cut by the sender.
inline constexpr std::size_t max_text = 2048;
/// Warnings of one outcome; more are left out by the sender.
inline constexpr std::size_t max_warnings = 8;
/// Bytes of the largest message: an outcome full of warnings.
inline constexpr std::size_t max_message = 64 + max_warnings * (max_text + 4);

// ---- agent to helper ----
/// Attaching or configuring failed; the last message.
struct Failure {
  Code code = Code::failed;
  std::int32_t sys_errno = 0;
  std::string what;
  std::string field;
};
/// The TAP is open; its descriptor comes with this message.
struct TapOpened {
  TapInfo info;
};
/// The plan is applied.
struct Outcome {
  bool ra_guard_needed = false;
  bool ipv6_left_out = false;
  std::vector<std::string> warnings;
};
/// The interface's state. seq 0: on our own account; else the answer to that Refresh.
struct State {
  std::uint32_t seq = 0;
  InterfaceState state;
};
/// The TAP was deleted or taken to another namespace; the last message.
struct LinkGone {};

using FromAgent = std::variant<Failure, TapOpened, Outcome, State, LinkGone>;

// ---- helper to agent ----
/// Dump the state now and answer with it.
struct Refresh {
  std::uint32_t seq = 0;
};

using ToAgent = std::variant<Refresh>;

std::vector<std::uint8_t> encode(const FromAgent& message);
std::vector<std::uint8_t> encode(const ToAgent& message);
/// invalid, naming the rule.
Result<FromAgent> decode_from_agent(Bytes bytes);
Result<ToAgent> decode_to_agent(Bytes bytes);

}  // namespace nh::agent
