// SPDX-License-Identifier: BSD-3-Clause
// Sockets of the guest's network namespace that the agent makes for the helper (netstack/relay/stand_ins.h). A socket stays in
// the namespace that it was made in, and keeps IP_TRANSPARENT and SO_MARK, which need the agent's capabilities to be set.
#pragma once

#include <cstdint>

#include "src/base/address.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::agent {

/// A stand-in that is bound to nothing yet: a TCP socket, transparent, with the mark, NODELAY, non-blocking, close-on-exec. Its
/// bind to port 0 leaves the port to connect (IP_BIND_ADDRESS_NO_PORT), which then shares ports with the guest.
Result<UniqueFd> blank_stand_in(Family family, std::uint32_t mark);

/// One that is bound to `guest_peer`, port not 0: also below 1024, and where a program of the guest listens on that port of every
/// address (under TCP_REPAIR, which asks nobody).
Result<UniqueFd> bound_stand_in(const Endpoint& guest_peer, std::uint32_t mark);

/// A UDP stand-in connected to `guest`. Where a program of the guest has the port of `guest_peer` on every address, it gets
/// another port.
Result<UniqueFd> udp_stand_in(const Endpoint& guest_peer, const Endpoint& guest, std::uint32_t mark);

/// An ordinary socket of the guest's: listening, or UDP and bound.
enum class GuestSocketKind : std::uint8_t { tcp_listener, udp };
Result<UniqueFd> guest_socket(GuestSocketKind kind, const Endpoint& at);

/// Does the guest have a route to a foreign address? Without one its answers go nowhere, and no packet is sent to find out.
Result<> has_way_out(Family family);

/// Makes a connection from a foreign address to `guest`, an address of the TAP, through the steering, and sends a byte each way;
/// within limits::steering_proof. 192.0.2.1 and 2001:db8::1 (RFC 5737, RFC 3849) play the client: no packet to them can
/// arrive anywhere.
Result<> prove_steering(const Address& guest, std::uint32_t mark);

/// Makes a socket with the address `guest` connect to `dialled`, which nobody answers, and a stand-in with that address connect
/// to it meanwhile (TCP simultaneous open); a byte goes each way, within limits::steering_proof.
Result<> prove_dials(const Address& guest, const Endpoint& dialled, std::uint32_t mark);

}  // namespace nh::agent
