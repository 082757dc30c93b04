// SPDX-License-Identifier: BSD-3-Clause
// What a relay asks of a connected stream socket beside its bytes. TCP and Unix sockets alike: what the latter do not have is
// left out.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "src/base/address.h"
#include "src/base/unique_fd.h"

namespace nh {

/// No Nagle delay (a relay would add one to each side's own), urgent bytes kept in their place in the stream (recv(2) stops in
/// front of them), keep-alive probes (limits::relay_probe_*). A listener hands them on to what it accepts (Linux
/// sk_clone_lock), so that they cost a connection nothing there. No TCP_USER_TIMEOUT: it also ends a connection whose peer
/// lives but does not read (tcp_timer.c tcp_probe_timer), which a direct connection would outlast.
void prepare_stream(int fd);

/// SO_ERROR: the error that waits, 0 if none; the socket forgets it.
int take_error(int fd);
/// Bytes that the kernel has taken but not sent yet, for want of a window; 0 for a Unix socket (tcp(7), SIOCOUTQNSD).
std::size_t unsent(int fd);
/// Whether the next byte to read is the urgent one (sockatmark(3)).
bool at_urgent_mark(int fd);
/// Whether calls without a MSG_DONTWAIT of their own (splice, connect, accept) may wait for ever. A socket's O_NONBLOCK is
/// shared with whoever has a duplicate, as the guest agent has of what it made; asked just before, so that a duplicate's owner
/// who means harm has only the moment in between.
bool may_block(int fd);
/// The state that the kernel has the connection in: TCP_ESTABLISHED ... TCP_CLOSING (netinet/tcp.h), by TCP_INFO (tcp(7)).
/// TCP_CLOSE also for what is no TCP socket.
int tcp_state(int fd);
/// After at most this long without a segment from its peer the kernel sends the next keep-alive probe (TCP_KEEPIDLE). Starts
/// anew what is waited for, so that one that is overdue by the new time is sent at the next tick (tcp.c
/// tcp_sock_set_keepidle_locked).
void set_probe_idle(int fd, std::chrono::seconds idle);
/// Closes so that the peer sees a reset (socket(7), SO_LINGER); a Unix peer sees the end.
void reset(UniqueFd fd);
/// Our end of it; nullopt for a Unix socket.
std::optional<Endpoint> local_name(int fd);

}  // namespace nh
