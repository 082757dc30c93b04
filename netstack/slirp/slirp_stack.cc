// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/slirp/slirp_stack.h"

// libslirp 4.9 marks the int forms of its poll interface as deprecated; 4.7 has no others, and on Linux they are the same.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <glib.h>
#include <libslirp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netstack/slirp/slirp_version.h"
#include "src/base/log.h"

namespace nh {
namespace {

// Version 4 (libslirp 4.7) has all that we need. A later one would make the library read fields that our SlirpConfig may lack.
constexpr std::uint32_t used_config_version = 4;

// Milliseconds. libslirp must be polled once a second at least; it asks for less while it has flows, whose timers tick each 499 ms.
constexpr std::uint32_t longest_wait_ms = 1000;

// Bytes. With segmentation offload a larger segment costs no more, but one or two of the largest fill libslirp's window of 64 KiB,
// and the sender stalls. At MTU 65520 an MSS of this size instead of 65480 took upload from 2.1 to 4.4 Gbit/s and download from 2.1
// to 2.8 and more (medians of 3; 1500, 4096 and 9000 were the same or slower, 32768 was slower).
constexpr unsigned best_segment = 16384;

in_addr to_in(const Address& address) {
  in_addr in{};
  std::memcpy(&in, address.bytes().data(), sizeof in);
  return in;
}

in6_addr to_in6(const Address& address) {
  in6_addr in{};
  std::memcpy(&in, address.bytes().data(), sizeof in);
  return in;
}

std::uint32_t to_epoll(int events) {
  std::uint32_t out = 0;
  if ((events & SLIRP_POLL_IN) != 0) out |= EPOLLIN;
  if ((events & SLIRP_POLL_OUT) != 0) out |= EPOLLOUT;
  if ((events & SLIRP_POLL_PRI) != 0) out |= EPOLLPRI;
  if ((events & SLIRP_POLL_ERR) != 0) out |= EPOLLERR;
  if ((events & SLIRP_POLL_HUP) != 0) out |= EPOLLHUP;
  return out;
}

int to_slirp(std::uint32_t events) {
  int out = 0;
  if ((events & EPOLLIN) != 0) out |= SLIRP_POLL_IN;
  if ((events & EPOLLOUT) != 0) out |= SLIRP_POLL_OUT;
  if ((events & EPOLLPRI) != 0) out |= SLIRP_POLL_PRI;
  if ((events & EPOLLERR) != 0) out |= SLIRP_POLL_ERR;
  if ((events & EPOLLHUP) != 0) out |= SLIRP_POLL_HUP;
  return out;
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

// libslirp logs through GLib, whose default handler writes to standard error and blocks while nobody reads it.
void log_message(const gchar*, GLogLevelFlags level, const gchar* message, gpointer) noexcept {
  const bool severe = (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)) != 0;
  log::rate_limited(severe ? log::Level::warning : log::Level::debug, severe ? "glib-severe" : "glib",
                    std::string("libslirp: ") + message);
}

}  // namespace

struct SlirpStack::Impl {
  Slirp* slirp = nullptr;
  SlirpCb callbacks{};
  sockaddr_in outbound4{};  // libslirp keeps the pointers
  sockaddr_in6 outbound6{};

  ~Impl() {
    if (slirp != nullptr) slirp_cleanup(slirp);
  }
};

/// What libslirp calls back. `opaque` is the SlirpStack.
struct SlirpCallbacks {
  static SlirpStack& stack(void* opaque) { return *static_cast<SlirpStack*>(opaque); }

  static ssize_t send_packet(const void* frame, size_t size, void* opaque) noexcept {
    const Bytes bytes(static_cast<const std::uint8_t*>(frame), size);
    if (stack(opaque).gate_) stack(opaque).gate_->answered(bytes);
    stack(opaque).sink_.send_to_guest(bytes);
    return static_cast<ssize_t>(size);
  }
  static void guest_error(const char* message, void*) noexcept {
    log::rate_limited(log::Level::debug, "slirp-guest-error", std::string("libslirp: ") + message);
  }
  static std::int64_t clock_get_ns(void* opaque) noexcept {
    return stack(opaque).loop_.clock().now().time_since_epoch().count();
  }

  struct RaTimer {
    Timer timer;
  };
  static void* timer_new_opaque(SlirpTimerId id, void* timer_opaque, void* opaque) noexcept {
    SlirpStack& self = stack(opaque);
    auto* timer = new RaTimer;
    timer->timer = self.loop_.timer([&self, id, timer_opaque] { slirp_handle_timer(self.impl_->slirp, id, timer_opaque); });
    return timer;
  }
  static void timer_free(void* timer, void*) noexcept { delete static_cast<RaTimer*>(timer); }
  static void timer_mod(void* timer, std::int64_t expire_ms, void* opaque) noexcept {
    const Instant when{std::chrono::milliseconds(expire_ms)};
    static_cast<RaTimer*>(timer)->timer.arm(when - stack(opaque).loop_.clock().now());
  }

  static void register_poll_fd(int fd, void* opaque) noexcept { stack(opaque).sockets_.opened(fd); }
  static void unregister_poll_fd(int fd, void* opaque) noexcept { stack(opaque).sockets_.closing(fd); }
  // libslirp calls it for data that a guestfwd rule brings; we add none.
  static void notify(void*) noexcept {}

  static int add_poll(int fd, int events, void* opaque) noexcept {
    stack(opaque).sockets_.want(fd, to_epoll(events));
    return fd;
  }
  static int get_revents(int index, void* opaque) noexcept { return to_slirp(stack(opaque).sockets_.ready(index)); }

  /// The listening socket of libslirp's that is not one of the known listeners; -1: there is none. libslirp 4.7 does not announce
  /// the socket that slirp_add_hostxfwd() makes, but slirp_pollfds_fill() names every listening one, and none that is not libslirp's.
  static int find_new_listener(SlirpStack& stack) {
    Search search{.sockets = stack.sockets_};
    std::uint32_t wait_ms = longest_wait_ms;
    slirp_pollfds_fill(stack.impl_->slirp, &wait_ms, see_socket, &search);
    return search.found;
  }
  struct Search {
    const SlirpSockets& sockets;
    int found = -1;
  };
  // The descriptor is the index, as add_poll() has it: what get_revents() is asked for at the next poll stays right.
  static int see_socket(int fd, int, void* search) noexcept {
    auto& [sockets, found] = *static_cast<Search*>(search);
    if (found < 0 && !sockets.is_listener(fd) && is_listening(fd)) found = fd;
    return fd;
  }
};

SlirpStack::SlirpStack(Loop& loop, EpollSet& epoll, FrameSink& sink)
    : impl_(std::make_unique<Impl>()), loop_(loop), sink_(sink), sockets_(epoll) {}

// slirp_cleanup() frees sockets and timers through the callbacks, which use the other members.
SlirpStack::~SlirpStack() {
  impl_.reset();
}

Result<std::unique_ptr<SlirpStack>> SlirpStack::create(const SlirpSetup& setup, Loop& loop, EpollSet& epoll,
                                                       FrameSink& sink) {
  g_log_set_default_handler(log_message, nullptr);
  std::unique_ptr<SlirpStack> stack(new SlirpStack(loop, epoll, sink));
  if (SlirpVersion::parse(library_version()) < SlirpVersion{4, 8, 0}) stack->gate_ = std::make_unique<SequenceGate>();
  Impl& impl = *stack->impl_;

  impl.callbacks.send_packet = SlirpCallbacks::send_packet;
  impl.callbacks.guest_error = SlirpCallbacks::guest_error;
  impl.callbacks.clock_get_ns = SlirpCallbacks::clock_get_ns;
  impl.callbacks.timer_new_opaque = SlirpCallbacks::timer_new_opaque;
  impl.callbacks.timer_free = SlirpCallbacks::timer_free;
  impl.callbacks.timer_mod = SlirpCallbacks::timer_mod;
  impl.callbacks.register_poll_fd = SlirpCallbacks::register_poll_fd;
  impl.callbacks.unregister_poll_fd = SlirpCallbacks::unregister_poll_fd;
  impl.callbacks.notify = SlirpCallbacks::notify;

  const AddressPlan& plan = setup.plan;
  SlirpConfig config{};
  config.version = used_config_version;
  config.in_enabled = true;
  config.vnetwork = to_in(plan.v4.network.network());
  config.vnetmask.s_addr = htonl(~std::uint32_t{0} << (32 - plan.v4.network.prefix()));
  config.vhost = to_in(plan.v4.gateway);
  config.vdhcp_start = to_in(plan.dhcp_start);
  config.vnameserver = to_in(plan.v4.dns);
  if (plan.v6) {
    config.in6_enabled = true;
    config.vprefix_addr6 = to_in6(plan.v6->network.network());
    config.vprefix_len = static_cast<std::uint8_t>(plan.v6->network.prefix());
    config.vhost6 = to_in6(plan.v6->gateway);
    config.vnameserver6 = to_in6(plan.v6->dns);
  }
  // libslirp answers an IPv6 packet longer than if_mtu by "packet too big", but with segmentation offload the guest's packets are
  // longer than its MTU. So this is the greatest value that slirp_new() accepts. The MSS follows from the smaller of the two.
  config.if_mtu = 65521;
  config.if_mru = setup.segment_offload ? std::min(plan.mtu, best_segment) : plan.mtu;
  config.disable_host_loopback = !setup.allow_host_loopback;
  config.disable_dns = !setup.dns;
  if (setup.outbound_v4) {
    const SockAddr from(Endpoint{*setup.outbound_v4, 0});
    std::memcpy(&impl.outbound4, from.get(), sizeof impl.outbound4);
    config.outbound_addr = &impl.outbound4;
  }
  if (setup.outbound_v6) {
    const SockAddr from(Endpoint{*setup.outbound_v6, 0});
    std::memcpy(&impl.outbound6, from.get(), sizeof impl.outbound6);
    config.outbound_addr6 = &impl.outbound6;
  }

  impl.slirp = slirp_new(&config, &impl.callbacks, stack.get());
  if (impl.slirp == nullptr)
    return Error{.code = Code::unsupported,
                 .what = "libslirp " + library_version() + " refuses configuration version " +
                         std::to_string(used_config_version) + " with MTU " + std::to_string(plan.mtu)};
  return stack;
}

void SlirpStack::input(Bytes frame) {
  if (gate_) frame = gate_->admit(frame);
  if (!frame.empty()) slirp_input(impl_->slirp, frame.data(), static_cast<int>(frame.size()));
}

Duration SlirpStack::serve() {
  slirp_pollfds_poll(impl_->slirp, 0, SlirpCallbacks::get_revents, this);
  sockets_.clear_ready();
  sockets_.pause_listeners(tcp_flows() + udp_flows() + icmp_flows() >= budget_);
  std::uint32_t wait_ms = longest_wait_ms;
  sockets_.begin_fill();
  slirp_pollfds_fill(impl_->slirp, &wait_ms, SlirpCallbacks::add_poll, this);
  sockets_.end_fill();
  return std::chrono::milliseconds(wait_ms);
}

Result<Endpoint> SlirpStack::add_forward(const Endpoint& host, const Endpoint& guest) {
  const std::string name = "forwarding TCP " + host.text() + " to " + guest.text();
  if (host.address.family() != guest.address.family())
    return Error{.code = Code::unsupported,
                 .what = name + ": libslirp cannot forward between IPv4 and IPv6; give both addresses of one family",
                 .field = "guest_addr"};
  const SockAddr from(host);
  const SockAddr to(guest);
  // Without V6ONLY an IPv6 wildcard would take the IPv4 port too and hand libslirp clients of the wrong family.
  const int flags = host.address.is_v6() ? SLIRP_HOSTFWD_V6ONLY : 0;
  errno = 0;
  if (slirp_add_hostxfwd(impl_->slirp, from.get(), from.length, to.get(), to.length, flags) != 0) return sys_error(name);
  const int fd = SlirpCallbacks::find_new_listener(*this);
  NH_BUG_IF(fd < 0);
  const auto undo = [&](const Endpoint& at) {
    Error error = sys_error(name);
    remove_forward(at);
    return error;
  };
  SockAddr bound;
  if (getsockname(fd, bound.get(), &bound.length) != 0) return undo(host);
  NH_LET(endpoint, bound.endpoint());
  // libslirp listens with a backlog of 1. The clients of a burst would each wait a second until they send their SYN again.
  if (listen(fd, SOMAXCONN) != 0) return undo(endpoint);
  sockets_.opened_listener(fd);
  // Otherwise the first client would wait for the next serve(), up to a second.
  sockets_.want(fd, EPOLLIN | EPOLLERR | EPOLLHUP);
  return endpoint;
}

void SlirpStack::remove_forward(const Endpoint& host) {
  const SockAddr from(host);
  slirp_remove_hostxfwd(impl_->slirp, from.get(), from.length, host.address.is_v6() ? SLIRP_HOSTFWD_V6ONLY : 0);
}

std::string SlirpStack::library_version() {
  return slirp_version_string();
}
unsigned SlirpStack::config_version() {
  return used_config_version;
}

}  // namespace nh
