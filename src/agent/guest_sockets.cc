// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/guest_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "netstack/relay/stream_socket.h"
#include "src/base/clock.h"
#include "src/base/limits.h"

namespace nh::agent {

namespace {

Result<> set(int fd, int level, int option, int value, const char* words) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) return sys_error(words);
  return Ok{};
}

Result<UniqueFd> make(Family family, int type) {
  UniqueFd fd(socket(family == Family::v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error("making a socket in the guest");
  return fd;
}

Result<UniqueFd> stand_in(Family family, int type, std::uint32_t mark) {
  NH_LET(fd, make(family, type));
  if (family == Family::v4)
    NH_TRY(set(fd.get(), SOL_IP, IP_TRANSPARENT, 1, "making a socket transparent"));
  else
    NH_TRY(set(fd.get(), SOL_IPV6, IPV6_TRANSPARENT, 1, "making a socket transparent"));
  NH_TRY(set(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(mark), "marking a socket"));
  // Stand-ins of one client may share its port; they lead to different ports of the guest.
  NH_TRY(set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "making a socket share its address"));
  return fd;
}

Result<> bind_to(int fd, const Endpoint& at, const char* words) {
  const SockAddr address(at);
  if (bind(fd, address.get(), address.length) != 0) return sys_error(words + at.text());
  return Ok{};
}

}  // namespace

Result<UniqueFd> blank_stand_in(Family family, std::uint32_t mark) {
  NH_LET(fd, stand_in(family, SOCK_STREAM, mark));
  NH_TRY(set(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1, "letting connect choose the port"));
  prepare_stream(fd.get());
  return fd;
}

Result<UniqueFd> bound_stand_in(const Endpoint& guest_peer, std::uint32_t mark) {
  NH_LET(fd, blank_stand_in(guest_peer.address.family(), mark));
  const char* words = "binding a stand-in to ";
  auto bound = bind_to(fd.get(), guest_peer, words);
  if (!bound && bound.error().sys_errno == EADDRINUSE) {
    NH_TRY(set(fd.get(), SOL_TCP, TCP_REPAIR, TCP_REPAIR_ON, "repair mode"));
    bound = bind_to(fd.get(), guest_peer, words);
    NH_TRY(set(fd.get(), SOL_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP, "repair mode"));
    // Repair mode takes it away (tcp.c do_tcp_setsockopt); a guest's server on that port could not start again.
    NH_TRY(set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "making a socket share its address"));
  }
  NH_TRY(std::move(bound));
  return fd;
}

Result<UniqueFd> udp_stand_in(const Endpoint& guest_peer, const Endpoint& guest, std::uint32_t mark) {
  NH_LET(fd, stand_in(guest_peer.address.family(), SOCK_DGRAM, mark));
  const char* words = "binding a UDP stand-in to ";
  auto bound = bind_to(fd.get(), guest_peer, words);
  if (!bound && bound.error().sys_errno == EADDRINUSE)
    bound = bind_to(fd.get(), {.address = guest_peer.address, .port = 0}, words);
  NH_TRY(std::move(bound));
  const SockAddr to(guest);
  if (connect(fd.get(), to.get(), to.length) != 0) return sys_error("connecting a UDP stand-in to " + guest.text());
  return fd;
}

Result<UniqueFd> guest_socket(GuestSocketKind kind, const Endpoint& at) {
  const bool tcp = kind == GuestSocketKind::tcp_listener;
  NH_LET(fd, make(at.address.family(), tcp ? SOCK_STREAM : SOCK_DGRAM));
  // A listener that has just gone may have left connections behind; of UDP two must not share a port.
  if (tcp) NH_TRY(set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "making a socket share its address"));
  NH_TRY(bind_to(fd.get(), at, "binding in the guest to "));
  if (tcp && listen(fd.get(), SOMAXCONN) != 0) return sys_error("listening in the guest on " + at.text());
  return fd;
}

namespace {

Result<> wait_for(int fd, short events, Instant deadline) {
  const MonotonicClock clock;
  pollfd one{.fd = fd, .events = events, .revents = 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now()).count();
    if (left <= 0) return Error{.code = Code::timeout, .sys_errno = 0, .what = "no answer"};
    const int ready = poll(&one, 1, static_cast<int>(left));
    if (ready > 0) return Ok{};
    if (ready < 0 && errno != EINTR) return sys_error("waiting");
  }
}

Result<> carry_a_byte(int from, int to, Instant deadline) {
  const std::uint8_t sent = 1;
  std::uint8_t got = 0;
  if (send(from, &sent, 1, MSG_NOSIGNAL) != 1) return sys_error("sending a byte");
  NH_TRY(wait_for(to, POLLIN, deadline));
  if (recv(to, &got, 1, 0) != 1) return sys_error("receiving a byte");
  return Ok{};
}

/// Gone without a trace: no TIME_WAIT is left.
void reset_at_close(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

Address foreign_client(Family family) {
  if (family == Family::v4) return Address::v4(0xc0000201);
  constexpr std::array<std::uint8_t, 16> documentation{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return Address::from_bytes(documentation);
}

Result<> prove(const Address& guest, std::uint32_t mark) {
  const MonotonicClock clock;
  const Instant deadline = clock.now() + limits::steering_proof;
  const Address client = foreign_client(guest.family());
  NH_LET(listener, guest_socket(GuestSocketKind::tcp_listener, {.address = guest, .port = 0}));
  SockAddr at;
  if (getsockname(listener.get(), at.get(), &at.length) != 0) return sys_error("looking at a listener");
  NH_LET(stand_in, blank_stand_in(guest.family(), mark));
  reset_at_close(stand_in.get());
  NH_TRY(bind_to(stand_in.get(), {.address = client, .port = 0}, "binding a stand-in to "));
  if (connect(stand_in.get(), at.get(), at.length) != 0 && errno != EINPROGRESS) return sys_error("connecting");
  NH_TRY(wait_for(listener.get(), POLLIN, deadline));
  SockAddr from;
  const UniqueFd accepted(accept4(listener.get(), from.get(), &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!accepted) return sys_error("accepting");
  reset_at_close(accepted.get());
  NH_LET(peer, from.endpoint());
  if (peer.address != client)
    return Error{.code = Code::unsupported, .sys_errno = 0, .what = "the guest sees " + peer.text() + " instead"};
  NH_TRY(carry_a_byte(accepted.get(), stand_in.get(), deadline));
  return carry_a_byte(stand_in.get(), accepted.get(), deadline);
}

Result<> dial_and_answer(const Address& guest, const Endpoint& dialled, std::uint32_t mark) {
  const MonotonicClock clock;
  const Instant deadline = clock.now() + limits::steering_proof;
  NH_LET(dialler, make(guest.family(), SOCK_STREAM));
  reset_at_close(dialler.get());
  NH_TRY(bind_to(dialler.get(), {.address = guest, .port = 0}, "binding a socket to "));
  const SockAddr to(dialled);
  if (connect(dialler.get(), to.get(), to.length) != 0 && errno != EINPROGRESS) return sys_error("dialling");
  SockAddr from;
  if (getsockname(dialler.get(), from.get(), &from.length) != 0) return sys_error("looking at a socket");
  NH_LET(stand_in, bound_stand_in(dialled, mark));
  reset_at_close(stand_in.get());
  if (connect(stand_in.get(), from.get(), from.length) != 0 && errno != EINPROGRESS) return sys_error("connecting");
  NH_TRY(wait_for(dialler.get(), POLLOUT, deadline));
  NH_TRY(wait_for(stand_in.get(), POLLOUT, deadline));
  NH_TRY(carry_a_byte(dialler.get(), stand_in.get(), deadline));
  return carry_a_byte(stand_in.get(), dialler.get(), deadline);
}

}  // namespace

Result<> has_way_out(Family family) {
  NH_LET(fd, make(family, SOCK_DGRAM));
  const SockAddr to({.address = foreign_client(family), .port = 9});
  if (connect(fd.get(), to.get(), to.length) != 0) return sys_error("the guest's way out");
  return Ok{};
}

Result<> prove_steering(const Address& guest, std::uint32_t mark) {
  auto proved = prove(guest, mark);
  if (proved) return Ok{};
  return std::move(proved).error().in("a connection from a foreign address to " + guest.text());
}

Result<> prove_dials(const Address& guest, const Endpoint& dialled, std::uint32_t mark) {
  auto proved = dial_and_answer(guest, dialled, mark);
  if (proved) return Ok{};
  return std::move(proved).error().in("a connection that " + guest.text() + " dials");
}

}  // namespace nh::agent
