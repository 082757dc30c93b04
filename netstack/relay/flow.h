// SPDX-License-Identifier: BSD-3-Clause
// What can be told about a flow, whichever part carries it: the words of `flow.list` and of the events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "src/base/address.h"
#include "src/base/clock.h"
#include "src/base/result.h"
#include "src/base/transport.h"

namespace nh {

/// Which way the bytes go. relay: a host socket and a stand-in (kernel path); frames: UdpForward's frames on the TAP;
/// libslirp: the general path.
enum class FlowPath : std::uint8_t { relay, frames, libslirp };
inline constexpr std::size_t flow_paths = static_cast<std::size_t>(FlowPath::libslirp) + 1;  ///< how many values there are
std::string_view path_name(FlowPath path);  ///< "relay", "frames", "libslirp"

/// Who began it: a host client through a forward, or the guest.
enum class FlowDirection : std::uint8_t { in, out };
std::string_view direction_name(FlowDirection direction);  ///< "in", "out"

/// Why it ended.
enum class FlowEnd : std::uint8_t {
  closed,          ///< both sides said FIN; UDP: never
  reset_by_host,   ///< the host-side peer sent RST, or does not answer any longer
  reset_by_guest,  ///< the guest did
  refused,         ///< the other side refused the connection
  unreachable,     ///< no route, host unreachable, prohibited
  timed_out,       ///< the connection was not answered; UDP: idle
  killed,          ///< by flow.kill, or with its rule
  exhausted,       ///< no fd, memory or stand-in was left for it
  failed           ///< anything else
};
inline constexpr std::size_t flow_ends = static_cast<std::size_t>(FlowEnd::failed) + 1;  ///< how many values there are
std::string_view end_name(FlowEnd end);                                                  ///< "closed", "reset_by_host", ...

/// Why a flow ends whose connect(2), socket or datagram failed with this errno. The errnos that the kernel makes of ICMP errors
/// are those of icmp_err_convert (net/ipv4/icmp.c) and tab_unreach (net/ipv6/icmp.c).
FlowEnd flow_end_of(int error);
/// The same of an Error: of its errno where it has one, else of its code.
FlowEnd flow_end_of(const Error& error);

/// Numbers of flows: one source for all paths.
class FlowIds {
 public:
  std::uint64_t next() { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

struct FlowRecord {
  std::uint64_t id = 0;    ///< never used again within the helper's life
  std::uint64_t rule = 0;  ///< the forward's id; 0: none
  Transport transport = Transport::tcp;
  FlowPath path = FlowPath::relay;
  FlowDirection direction = FlowDirection::in;
  bool open = true;     ///< false: still connecting
  Endpoint host_peer;   ///< the far end on the host side; port 0 for a Unix socket
  Endpoint host_local;  ///< our end of it: the address that the client dialled
  Endpoint guest_peer;  ///< what the guest sees as its peer
  Endpoint guest;       ///< the guest's end
  Instant opened{};
  std::uint64_t bytes_to_guest = 0, bytes_to_host = 0;
};

/// Which flows a list has.
struct FlowQuery {
  std::uint64_t after = 0;                 ///< ids greater than this
  std::size_t limit = 1000;                ///< at most so many
  std::optional<std::uint64_t> rule = {};  ///< of this rule only
};

/// Of a rule, of a listener, or of all. Bytes are those that the receiving socket has taken.
struct FlowCounters {
  std::uint64_t flows = 0;         ///< now, those of TCP that still connect too
  std::uint64_t flows_opened = 0;  ///< since the rule was added
  std::uint64_t flows_failed = 0;  ///< clients that did not get through: refused, unreachable, timed out, exhausted
  std::uint64_t bytes_to_guest = 0, bytes_to_host = 0;

  FlowCounters& operator+=(const FlowCounters& more) {
    flows += more.flows;
    flows_opened += more.flows_opened;
    flows_failed += more.flows_failed;
    bytes_to_guest += more.bytes_to_guest;
    bytes_to_host += more.bytes_to_host;
    return *this;
  }
};

/// Told of each flow that opens, and of the end of each, also of one that never opened (the record's `open` is then false).
/// Neither call may touch the flow's owner.
class FlowObserver {
 public:
  virtual ~FlowObserver() = default;
  /// False: nobody wants to know at present; who has to make a system call for a record makes none.
  virtual bool wants_records() const { return true; }
  virtual void flow_opened(const FlowRecord& flow) = 0;
  virtual void flow_closed(const FlowRecord& flow, FlowEnd end) = 0;
};

}  // namespace nh
