// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: the ways to a stand-in (from the stock, by the agent, again with another port) share what waits.
#include "src/agent/stand_in_stock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <numeric>
#include <utility>

#include "netstack/relay/stream_socket.h"
#include "src/base/limits.h"

namespace nh {

namespace {

// linux/in.h since 6.3; the low half is the first port, the high half the last.
constexpr int ip_local_port_range = 51;

Error out_of_descriptors() {
  return sys_error(EMFILE, "receiving a stand-in");
}

/// What the agent sent is a socket of this protocol that listens or does not, and cannot block us.
Result<> check_socket(int fd, int protocol, bool listens = false) {
  int found = 0;
  socklen_t size = sizeof found;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &found, &size) == 0 && found == protocol && !may_block(fd)) {
    size = sizeof found;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &found, &size) == 0 && (found != 0) == listens) return Ok{};
  }
  return Error{.code = Code::invalid, .sys_errno = 0, .what = "the guest agent sent something that is no stand-in"};
}

Result<> bind_to(int fd, const Address& address, std::uint16_t port) {
  const Endpoint at{.address = address, .port = port};
  const SockAddr name(at);
  if (bind(fd, name.get(), name.length) != 0) return sys_error("binding a stand-in to " + at.text());
  return Ok{};
}

Result<> begin_connect(int fd, const Endpoint& guest) {
  // It may have been in the stock for long.
  if (may_block(fd)) return Error{.code = Code::invalid, .sys_errno = 0, .what = "the guest agent has made a stand-in wait"};
  const SockAddr name(guest);
  if (connect(fd, name.get(), name.length) == 0 || errno == EINPROGRESS) return Ok{};
  return sys_error("connecting to " + guest.text());
}

/// The number of the next question: 0 names none, also after 2^32 of them.
constexpr std::uint32_t after(std::uint32_t seq) {
  return seq == UINT32_MAX ? 1 : seq + 1;
}
static_assert(after(1) == 2 && after(UINT32_MAX) == 1);

bool port_is_taken(const Error& error) {
  return error.sys_errno == EADDRINUSE || error.sys_errno == EADDRNOTAVAIL;
}

}  // namespace

AgentStandIns::AgentStandIns(Loop& loop, AgentLink& link, KernelPath& path, std::size_t full_stock)
    : loop_(loop), link_(link), path_(path), full_stock_(std::max<std::size_t>(full_stock, 1)), timer_(loop.timer([this] {
        while (!waiting_.empty() && waiting_.begin()->second.deadline <= loop_.clock().now())
          finish(waiting_.begin()->first,
                 Error{.code = Code::timeout, .sys_errno = 0, .what = "the guest agent gave no stand-in in time"});
        arm();
      })) {
  link_.set_observer(this);
}

AgentStandIns::~AgentStandIns() {
  link_.set_observer(nullptr);
}

void AgentStandIns::start(const PerFamily<std::optional<Endpoint>>& dial) {
  dial_ = dial;
  if (!ask_for_steering()) turn_off("the guest agent is lost");
}

bool AgentStandIns::ask_for_steering() {
  if (!link_.ask(agent::SteeringRequest{.seq = next_seq_, .dial = dial_})) return false;
  steering_asked_ = std::exchange(next_seq_, after(next_seq_));
  return true;
}

void AgentStandIns::check(std::function<void()> done) {
  // If it cannot be asked, it is lost, which is told soon, or has more to do than it can; then nothing is known either.
  if (ask_for_steering()) on_checked_ = std::move(done);
}

void AgentStandIns::checked() {
  if (const auto done = std::exchange(on_checked_, nullptr)) done();
}

void AgentStandIns::turn_off(std::string reason) {
  KernelPathState next = path_.now();
  next.phase = KernelPathState::Phase::off;
  next.off_reason = std::move(reason);
  next.steering = {};
  path_.set(std::move(next));
}

Error AgentStandIns::not_served() const {
  const std::string why = path_.now().why_no_stand_ins();
  return {.code = Code::unsupported,
          .sys_errno = 0,
          .what = "no stand-in" + (why.empty() ? " of this family: the guest has no address" : ": " + why)};
}

// ---- what the agent says ----

void AgentStandIns::on_steering(const agent::SteeringReport& report, std::vector<UniqueFd> fds) {
  const bool any = report.any();
  if (any && fds.size() != 2) {
    turn_off(out_of_descriptors().message());
  } else {
    if (any) {
      nftables_ = std::move(fds[0]);
      port_range_fd_ = std::move(fds[1]);
      port_range_read_ = Instant::min();
    }
    const PerFamily<FamilySteering>& now = report.steering;
    if (!any) {
      turn_off(steering_reasons(false, false, now.v4.serves_reason, false, now.v6.serves_reason));
    } else {
      KernelPathState next = path_.now();
      next.phase = KernelPathState::Phase::ready;
      next.off_reason.clear();
      next.steering = now;
      path_.set(std::move(next));
    }
  }
  fail_unserved();
  serve_waiting();
  if (report.seq == steering_asked_) checked();
}

void AgentStandIns::on_batch(const agent::Batch& batch, std::vector<UniqueFd> fds) {
  const std::size_t i = index(batch.family);
  if (batches_[i].empty()) return;  // nobody asked: the stock is bounded by our questions
  batches_[i].pop_front();
  for (UniqueFd& fd : fds) {
    if (!check_socket(fd.get(), IPPROTO_TCP)) continue;
    learn_of_ports(fd.get());
    stock_[i].push_back(std::move(fd));
  }
  // First those that get none: to serve them is to ask for a batch again, which would fail again, without end.
  if (stock_[i].empty() && batches_[i].empty() && (batch.error || fds.size() < batch.count))
    fail_waiting(batch.error ? *batch.error : out_of_descriptors(), batch.family);
  serve_waiting();
}

/// Does the kernel keep ports of the guest's range? Asked of the first stand-in, with what it has anyway.
void AgentStandIns::learn_of_ports(int fd) {
  if (std::exchange(ports_are_known_, true)) return;
  const std::uint32_t none = 0;
  KernelPathState next = path_.now();
  next.ports_kept = setsockopt(fd, SOL_IP, ip_local_port_range, &none, sizeof none) == 0;
  path_.set(std::move(next));
}

void AgentStandIns::on_answer(const agent::Answer& answer, UniqueFd fd) {
  const auto found = asked_.find(answer.seq);
  if (found == asked_.end()) return;
  const std::uint64_t ticket = found->second;
  asked_.erase(found);
  if (ticket == 0) {
    loopback_ = answer.error ? Loopback::closed : Loopback::open;
    if (answer.error) {
      std::vector<std::uint64_t> barred;
      for (const auto& [number, waiting] : waiting_)
        if (waiting.guest.address.is_v4() && waiting.guest.address.is_loopback()) barred.push_back(number);
      for (const std::uint64_t number : barred) finish(number, Error(*answer.error));
    }
    return serve_waiting();
  }
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end()) return serve_waiting();  // cancelled, or too late
  Waiting& waiting = at->second;
  waiting.asked = false;
  if (answer.error) {
    if (waiting.what == What::stream && port_is_taken(*answer.error) && waiting.port == Port::may_change)
      other_way(waiting);
    else
      finish(ticket, Error(*answer.error));
  } else if (!fd) {
    finish(ticket, out_of_descriptors());
  } else {
    const bool tcp = waiting.what == What::stream || waiting.what == What::tcp_listener;
    if (auto checked = check_socket(fd.get(), tcp ? IPPROTO_TCP : IPPROTO_UDP, waiting.what == What::tcp_listener); !checked)
      finish(ticket, std::move(checked).error());
    else if (waiting.what != What::stream)
      finish(ticket, std::move(fd));
    else if (auto result = connect_bound(waiting, ticket, std::move(fd)))
      finish(ticket, std::move(*result));
  }
  serve_waiting();
}

void AgentStandIns::on_agent_lost(const Error& error) {
  for (auto& stock : stock_) stock.clear();
  batches_ = {};
  asked_.clear();
  turn_off(error.message());
  fail_waiting({.code = Code::gone, .sys_errno = 0, .what = error.message()}, std::nullopt);
  checked();
}

// ---- requests ----

StandIns::Opening AgentStandIns::open(const Endpoint& guest_peer, const Endpoint& guest, Port port, Done done) {
  NH_BUG_IF(guest_peer.address.family() != guest.address.family());
  return begin({.what = What::stream,
                .guest_peer = guest_peer,
                .guest = guest,
                .done = std::move(done),
                .deadline = {},
                .port = port});
}

StandIns::Opening AgentStandIns::listen(Kind kind, const Endpoint& at, Done done) {
  return begin({.what = kind == Kind::udp ? What::udp_socket : What::tcp_listener,
                .guest_peer = at,
                .guest = {},
                .done = std::move(done),
                .deadline = {}});
}

StandIns::Opening AgentStandIns::open_udp(const Endpoint& guest_peer, const Endpoint& guest, Done done) {
  NH_BUG_IF(guest_peer.address.family() != guest.address.family());
  return begin({.what = What::udp, .guest_peer = guest_peer, .guest = guest, .done = std::move(done), .deadline = {}});
}

void AgentStandIns::cancel(std::uint64_t ticket) {
  waiting_.erase(ticket);
  arm();
}

StandIns::Opening AgentStandIns::begin(Waiting waiting) {
  std::optional<Result<UniqueFd>> result;
  const std::uint64_t ticket = next_ticket_++;
  const bool ordinary = waiting.what == What::tcp_listener || waiting.what == What::udp_socket;
  const KernelPathState::Phase phase = path_.now().phase;
  if (!link_.alive())
    result = Error{.code = Code::gone, .sys_errno = 0, .what = "the guest agent is lost"};
  else if (!ordinary &&
           (phase == KernelPathState::Phase::off || (phase == KernelPathState::Phase::ready && !is_served(waiting))))
    result = not_served();
  else if (waiting_.size() >= limits::stand_in_waiting)
    result = Error{.code = Code::exhausted, .sys_errno = 0, .what = "too many connections wait for a stand-in"};
  else
    result = attempt(waiting, ticket);
  if (result) {
    count(*result);
    return {.result = std::move(result)};
  }
  waiting.deadline = loop_.clock().now() + limits::stand_in_wait;
  waiting_.emplace(ticket, std::move(waiting));
  arm();
  return {.ticket = ticket};
}

std::optional<Result<UniqueFd>> AgentStandIns::attempt(Waiting& waiting, std::uint64_t ticket) {
  if (waiting.asked) return std::nullopt;
  if (waiting.what == What::tcp_listener || waiting.what == What::udp_socket) {
    ask(waiting, ticket);
    return std::nullopt;
  }
  if (path_.now().phase != KernelPathState::Phase::ready) return std::nullopt;
  if (!loopback_is_allowed(waiting.guest)) return std::nullopt;
  if (waiting.what == What::stream) return attempt_stream(waiting, ticket);
  ask(waiting, ticket);
  return std::nullopt;
}

std::optional<Result<UniqueFd>> AgentStandIns::attempt_stream(Waiting& waiting, std::uint64_t ticket) {
  if (waiting.bound_by_agent || (waiting.guest_peer.port != 0 && waiting.guest_peer.port < IPPORT_RESERVED)) {
    ask(waiting, ticket);
    return std::nullopt;
  }
  auto& stock = stock_[index(waiting.guest_peer.address.family())];
  while (true) {
    if (stock.size() <= full_stock_ / 2) restock(waiting.guest_peer.address.family());
    if (stock.empty()) return std::nullopt;
    UniqueFd fd = std::move(stock.back());
    stock.pop_back();
    const std::uint16_t port = waiting.guest_peer.port;
    const auto range = port == 0 ? std::nullopt : port_range();
    // A range that cannot be read is taken for all ports: it is the guest's own connects that an explicit bind would hurt.
    const bool in_range =
        port != 0 && !waiting.bound_explicitly && (!range || (range->first <= port && port <= range->last));
    if (in_range) {
      const std::uint32_t just_this = port | static_cast<std::uint32_t>(port) << 16;
      if (setsockopt(fd.get(), SOL_IP, ip_local_port_range, &just_this, sizeof just_this) != 0) other_way(waiting);
    }
    const bool explicitly = waiting.guest_peer.port != 0 && (!in_range || waiting.bound_explicitly);
    auto done = bind_to(fd.get(), waiting.guest_peer.address, explicitly ? port : 0);
    if (!done && explicitly && (done.error().sys_errno == EADDRINUSE || done.error().sys_errno == EACCES)) {
      waiting.bound_by_agent = true;
      ask(waiting, ticket);
      return std::nullopt;
    }
    if (done) done = begin_connect(fd.get(), waiting.guest);
    if (done) return fd;
    if (waiting.guest_peer.port == 0 || !port_is_taken(done.error()) || !other_way(waiting)) return std::move(done).error();
  }
}

std::optional<Result<UniqueFd>> AgentStandIns::connect_bound(Waiting& waiting, std::uint64_t ticket, UniqueFd fd) {
  auto begun = begin_connect(fd.get(), waiting.guest);
  if (begun) return fd;
  if (!port_is_taken(begun.error()) || !other_way(waiting)) return std::move(begun).error();
  return attempt_stream(waiting, ticket);
}

bool AgentStandIns::other_way(Waiting& waiting) {
  if (waiting.port == Port::must_be_kept) return !waiting.bound_by_agent && !std::exchange(waiting.bound_explicitly, true);
  waiting.guest_peer.port = 0;
  waiting.bound_by_agent = false;
  ++counters_.port_let_go;
  return true;
}

/// If it cannot be asked now, serve_waiting() tries again.
void AgentStandIns::ask(Waiting& waiting, std::uint64_t ticket) {
  if (asked_.size() >= agent::max_asked) return;
  const std::uint32_t seq = next_seq_;
  agent::ToAgent question = agent::OpenBound{.seq = seq, .guest_peer = waiting.guest_peer};
  if (waiting.what == What::udp)
    question = agent::OpenUdp{.seq = seq, .guest_peer = waiting.guest_peer, .guest = waiting.guest};
  else if (waiting.what != What::stream)
    question = agent::Listen{
        .seq = seq,
        .kind = waiting.what == What::udp_socket ? agent::GuestSocketKind::udp : agent::GuestSocketKind::tcp_listener,
        .at = waiting.guest_peer};
  if (!link_.ask(question)) return;
  waiting.asked = true;
  asked_[seq] = ticket;
  next_seq_ = after(seq);
}

void AgentStandIns::allow_guest_loopback() {
  if (loopback_ == Loopback::closed) ask_for_loopback();
}

void AgentStandIns::ask_for_loopback() {
  if (!link_.ask(agent::Localnet{.seq = next_seq_})) return;
  asked_[std::exchange(next_seq_, after(next_seq_))] = 0;
  loopback_ = Loopback::asked;
}

bool AgentStandIns::loopback_is_allowed(const Endpoint& guest) {
  if (!guest.address.is_v4() || !guest.address.is_loopback() || loopback_ == Loopback::open) return true;
  if (loopback_ == Loopback::closed) ask_for_loopback();
  return false;
}

/// Asks for as many batches as fill the stock, and serve those that wait as far as a full stock goes.
void AgentStandIns::restock(Family family) {
  const std::size_t i = index(family);
  const std::size_t wanted = full_stock_ + std::min(waiting_.size(), 2 * full_stock_);
  const std::size_t coming = std::accumulate(batches_[i].begin(), batches_[i].end(), stock_[i].size());
  for (std::size_t have = coming; have < wanted; have += batches_[i].back()) {
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(wanted - have, agent::max_batch));
    if (!link_.ask(agent::WantBatch{.family = family, .count = count})) return;
    batches_[i].push_back(count);
  }
}

void AgentStandIns::serve_waiting() {
  // The callbacks may open and cancel; tickets only grow.
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const std::uint64_t ticket = at->first;
    if (auto result = attempt(at->second, ticket)) finish(ticket, std::move(*result));
    at = waiting_.upper_bound(ticket);
  }
  arm();
}

void AgentStandIns::fail_waiting(const Error& error, std::optional<Family> family) {
  std::vector<std::uint64_t> failing;
  for (const auto& [ticket, waiting] : waiting_) {
    const bool ordinary = waiting.what == What::tcp_listener || waiting.what == What::udp_socket;
    if (!family || (!ordinary && !waiting.asked && waiting.guest_peer.address.family() == *family))
      failing.push_back(ticket);
  }
  for (const std::uint64_t ticket : failing) finish(ticket, Error(error));
  arm();
}

bool AgentStandIns::is_served(const Waiting& waiting) const {
  const Family family = waiting.guest_peer.address.family();
  return waiting.port == Port::must_be_kept ? path_.now().answers_dials(family) : path_.now().takes_forwards(family);
}

void AgentStandIns::fail_unserved() {
  std::vector<std::uint64_t> failing;
  for (const auto& [ticket, waiting] : waiting_) {
    const bool ordinary = waiting.what == What::tcp_listener || waiting.what == What::udp_socket;
    if (!ordinary && !waiting.asked && !is_served(waiting)) failing.push_back(ticket);
  }
  for (const std::uint64_t ticket : failing) finish(ticket, not_served());
  arm();
}

void AgentStandIns::finish(std::uint64_t ticket, Result<UniqueFd> result) {
  const auto found = waiting_.find(ticket);
  if (found == waiting_.end()) return;
  const Done done = std::move(found->second.done);
  waiting_.erase(found);
  count(result);
  done(std::move(result));
}

void AgentStandIns::count(const Result<UniqueFd>& result) {
  ++(result ? counters_.opened : counters_.failed);
}

void AgentStandIns::arm() {
  if (waiting_.empty())
    timer_.disarm();
  else
    timer_.arm(std::max(Duration(0), waiting_.begin()->second.deadline - loop_.clock().now()));
}

std::optional<AgentStandIns::PortRange> AgentStandIns::port_range() {
  const Instant now = loop_.clock().now();
  if (now < port_range_read_ + limits::port_range_age) return port_range_;
  port_range_read_ = now;
  port_range_.reset();
  std::array<char, 64> text{};
  const ssize_t size = pread(port_range_fd_.get(), text.data(), text.size(), 0);
  if (size <= 0) return port_range_;
  const char* end = text.data() + size;
  PortRange range;
  const auto first = std::from_chars(text.data(), end, range.first);
  const char* second = std::find_if(first.ptr, end, [](char c) { return c >= '0' && c <= '9'; });
  if (first.ec == std::errc() && std::from_chars(second, end, range.last).ec == std::errc()) port_range_ = range;
  return port_range_;
}

}  // namespace nh
