// SPDX-License-Identifier: BSD-3-Clause
// The messages between helper and guest agent: one SOCK_SEQPACKET message each, of a fixed and bounded layout.
//
// Layout: u32 type, then the fields of that type in order, integers in host byte order (both ends are one program). A
// text is a u32 length and its bytes, within max_text; a flag is one byte, 0 or 1; an address is u8 family (4 or 6) and 16
// bytes (IPv4 in the first four, the rest zero); an endpoint is an address and u16 port; an error is u8 code, i32 errno, a text.
// decode() accepts exactly what encode() makes: a message that is too short, too long, or has a value out of its range is
// invalid. How many descriptors come with a message is told by its content (fds_of).
//
// Questions that carry a seq may be answered in any order; the helper never has more than max_asked of them, and batches of
// stand-ins, unanswered. The agent answers each exactly once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "netstack/relay/kernel_path.h"
#include "src/agent/guest_sockets.h"
#include "src/base/address.h"
#include "src/base/result.h"
#include "src/linux/tap.h"
#include "src/netlink/address_monitor.h"
#include "src/netlink/listener_list.h"

namespace nh::agent {

/// Bytes of one text; a longer one is cut by the sender.
inline constexpr std::size_t max_text = 2048;
/// Warnings of one outcome; more are left out by the sender.
inline constexpr std::size_t max_warnings = 8;
/// Bytes of the largest message: a Configured full of warnings.
inline constexpr std::size_t max_message = 64 + max_warnings * (max_text + 4);
/// Stand-ins of one batch, so descriptors of one message at most.
inline constexpr std::size_t max_batch = 32;
/// Questions of the helper that wait for an answer, together with batches; more make the helper wait.
inline constexpr std::size_t max_asked = 128;

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
struct Configured {
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

/// What the steering can do now: the answer to a SteeringRequest, and again whenever that changes. If anything is possible, two
/// descriptors come with it: the nf_tables socket, whose last descriptor holds the table, and the guest's
/// /proc/sys/net/ipv4/ip_local_port_range, to be read with pread(2).
struct SteeringReport {
  std::uint32_t seq = 0;  ///< the request's; 0: on our own account
  PerFamily<FamilySteering> steering;
  bool any() const { return steering.v4.any() || steering.v6.any(); }
};
/// Something for the log.
struct Note {
  std::string text;
};
/// Blank stand-ins, as many descriptors as `count`; fewer than were asked for if `error` says so.
struct Batch {
  Family family = Family::v4;
  std::uint32_t count = 0;
  std::optional<Error> error = {};
};
/// The answer to a question with a seq: a descriptor (for Localnet none), or an error.
struct Answer {
  std::uint32_t seq = 0;
  bool has_fd = false;
  std::optional<Error> error = {};
};
/// What programs of the guest listen on now.
struct Ports {
  ListenerList list;
};

using FromAgent = std::variant<Failure, TapOpened, Configured, State, LinkGone, SteeringReport, Note, Batch, Answer, Ports>;
/// How many descriptors the sender puts to it.
std::size_t fds_of(const FromAgent& message);

// ---- helper to agent ----
/// Dump the state now and answer with it.
struct Refresh {
  std::uint32_t seq = 0;
};

/// Begin to steer; later ones: repair it and prove it again. It is answered by a SteeringReport in any case, unless another one
/// comes before that: then the newer one is.
struct SteeringRequest {
  std::uint32_t seq = 0;  ///< not 0
  /// Addresses on the helper's side, ports included, that a guest's socket can be connecting to for a proof: frames to them
  /// are dropped by the helper. nullopt: there is none of that family.
  PerFamily<std::optional<Endpoint>> dial = {};
};
/// Make blank stand-ins, 1 to max_batch.
struct WantBatch {
  Family family = Family::v4;
  std::uint32_t count = 0;
};
/// The three calls of StandIns, for the agent to make; see guest_sockets.h.
struct OpenBound {
  std::uint32_t seq = 0;
  Endpoint guest_peer;
};
struct OpenUdp {
  std::uint32_t seq = 0;
  Endpoint guest_peer, guest;  ///< of one family
};
struct Listen {
  std::uint32_t seq = 0;
  GuestSocketKind kind = GuestSocketKind::tcp_listener;
  Endpoint at;
};
/// Let packets of 127.0.0.0/8 go by the TAP (route_localnet): needed by the guest's answers from there.
struct Localnet {
  std::uint32_t seq = 0;
};
/// Send Ports now and after each change, until it is turned off.
struct FollowPorts {
  bool on = false;
};

using ToAgent = std::variant<Refresh, SteeringRequest, WantBatch, OpenBound, OpenUdp, Listen, Localnet, FollowPorts>;

std::vector<std::uint8_t> encode(const FromAgent& message);
std::vector<std::uint8_t> encode(const ToAgent& message);
/// invalid, naming the rule.
Result<FromAgent> decode_from_agent(Bytes bytes);
Result<ToAgent> decode_to_agent(Bytes bytes);

}  // namespace nh::agent
