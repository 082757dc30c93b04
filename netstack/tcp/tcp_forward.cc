// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/tcp/tcp_forward.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/relay/client_address.h"
#include "netstack/relay/stream_socket.h"
#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {
namespace {

bool out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Whoever shares the socket can shut it down, and the guest's root can destroy what is in its namespace (sock_diag(7),
// SOCK_DESTROY). It then hangs up for ever, which epoll(7) reports whatever it is asked for.
bool listens_no_longer(int error) {
  return error == EINVAL || error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP;
}

}  // namespace

class TcpForward::Listener final : public EpollSet::Handler {
 public:
  Listener(TcpForward& owner, std::uint64_t rule, UniqueFd fd, const Destination& destination)
      : owner_(owner), rule_(rule), destination_(destination), fd_(std::move(fd)) {}
  ~Listener() override {
    if (watched_ && !dead_) owner_.setup_.epoll->remove(fd_.get());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Result<> watch() {
    // What it accepts has the options from it.
    prepare_stream(fd_.get());
    NH_TRY(owner_.setup_.epoll->add(fd_.get(), EPOLLIN, *this));
    watched_ = true;
    return Ok{};
  }
  void change(std::uint64_t rule, const Destination& destination) {
    rule_ = rule;
    destination_ = destination;
  }
  void go_on() {
    if (std::exchange(resting_, false) && !dead_) owner_.setup_.epoll->modify(fd_.get(), EPOLLIN);
  }

  void on_ready(int, std::uint32_t events) override {
    // Also while nobody is accepted: a hang-up cannot be left unwatched in any other way.
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return die("it listens no longer");
    if (may_block(fd_.get())) return die("somebody who shares its socket has made it wait");
    for (std::size_t i = 0; i < limits::relay_accepts && !owner_.paused_; ++i)
      if (!accept_one()) break;
    if (!owner_.paused_ || dead_) return;
    resting_ = true;
    owner_.setup_.epoll->modify(fd_.get(), 0);
  }

 private:
  bool accept_one() {
    RelaySet& relays = *owner_.setup_.relays;
    if (!relays.reserve()) {
      owner_.pause(!relays.is_full());
      return false;
    }
    SockAddr peer;
    UniqueFd client(accept4(fd_.get(), peer.get(), &peer.length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) {
      ++owner_.counters_.accepted;
      owner_.serve(rule_, destination_, std::move(client), peer);
      return true;
    }
    const int error = errno;
    relays.unreserve();
    if (error == EAGAIN) return false;
    if (out_of_resources(error)) {
      log::rate_limited(log::Level::warning, "forward accept", sys_error(error, "accepting a forward's client").message());
      owner_.pause(false);
      return false;
    }
    if (listens_no_longer(error)) {
      die(sys_error(error, "accepting a forward's client").message());
      return false;
    }
    // The rest are errors of one client (accept(2), "Error handling"): the next one may be well.
    ++owner_.counters_.aborted;
    return true;
  }

  void die(const std::string& why) {
    dead_ = true;
    owner_.setup_.epoll->remove(fd_.get());
    log::rate_limited(log::Level::warning, "forward listener",
                      "forward " + std::to_string(rule_) + " takes no clients any more: " + why);
  }

  TcpForward& owner_;
  std::uint64_t rule_;
  Destination destination_;
  UniqueFd fd_;
  bool watched_ = false, resting_ = false, dead_ = false;
};

TcpForward::TcpForward(const TcpForwardSetup& setup) : setup_(setup) {}

TcpForward::~TcpForward() {
  setup_.fds->stop_waiting(*this);
  for (const std::uint64_t ticket : tickets_) setup_.stand_ins->cancel(ticket);
}

Result<> TcpForward::check(const Destination& destination) const {
  if (!destination.in_guest() || destination.v4 || (destination.v6 && setup_.plan.v6)) return Ok{};
  return Error{.code = Code::invalid, .what = "the guest has no address of this family", .field = "guest_addr"};
}

Result<Endpoint> TcpForward::add(std::uint64_t number, std::uint64_t rule, ListenOn on, const Destination& destination) {
  UniqueFd* const socket = std::get_if<UniqueFd>(&on);
  NH_BUG_IF(socket == nullptr || listeners_.contains(number));
  NH_TRY(check(destination));
  const Endpoint bound = bound_endpoint(socket->get());
  auto made = std::make_unique<Listener>(*this, rule, std::move(*socket), destination);
  NH_TRY(made->watch());
  listeners_.emplace(number, std::move(made));
  return bound;
}

Result<> TcpForward::change(std::uint64_t number, std::uint64_t rule, const Destination& destination) {
  NH_TRY(check(destination));
  if (const auto found = listeners_.find(number); found != listeners_.end()) found->second->change(rule, destination);
  return Ok{};
}

void TcpForward::remove(std::uint64_t number) {
  listeners_.erase(number);
}

void TcpForward::set_guest_addresses(const std::vector<Address>& addresses) {
  guest_addresses_ = {addresses.begin(), addresses.end()};
}

void TcpForward::pause(bool until_fds_are_free) {
  if (std::exchange(paused_, true)) return;
  ++counters_.pauses;
  if (until_fds_are_free)
    setup_.fds->wait(*this);
  else
    resume_at_ = setup_.clock->now() + limits::relay_accept_pause;
}

void TcpForward::resume() {
  paused_ = false;
  resume_at_ = Instant::max();
  for (const auto& [number, listener] : listeners_) listener->go_on();
}

void TcpForward::fds_free() {
  resume();
}

void TcpForward::expire() {
  if (resume_at_ <= setup_.clock->now()) resume();
}

void TcpForward::serve(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer) {
  if (destination.in_guest()) return lead_to_guest(rule, destination, std::move(client), peer);
  lead_to_host(rule, destination, std::move(client), peer);
}

/// The client's own family, unless the guest can be reached by the other one alone: a listener on [::] has clients of both.
Family TcpForward::way_to_guest(const Destination& destination, Family client) const {
  const Family other = client == Family::v4 ? Family::v6 : Family::v4;
  const auto leads = [&](Family family) { return destination.address(family) && setup_.plan.net(family) != nullptr; };
  if (!leads(client)) return other;
  const bool only_other =
      leads(other) && !setup_.path->now().takes_forwards(client) && setup_.path->now().takes_forwards(other);
  return only_other ? other : client;
}

void TcpForward::lead_to_guest(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer) {
  const auto from = peer.endpoint();  // none: a Unix socket
  const Family family = way_to_guest(destination, from ? from->address.family() : Family::v4);
  const Endpoint guest = destination.endpoint(family);
  const Endpoint guest_peer =
      from ? as_seen_by_guest(*from, family, setup_.plan, guest_addresses_) : Endpoint{setup_.plan.net(family)->gateway, 0};
  Relay* relay = setup_.relays->begin({.rule = rule,
                                       .direction = FlowDirection::in,
                                       .host_peer = from ? *from : Endpoint{},
                                       .guest_peer = guest_peer,
                                       .guest = guest},
                                      Relay::host, std::move(client), this);
  if (relay == nullptr) return;
  const auto done = [this, relay](Result<UniqueFd> stand_in) {
    tickets_.erase(relay->ticket());
    answered(*relay, std::move(stand_in));
  };
  auto opening = setup_.stand_ins->open(guest_peer, guest, StandIns::Port::may_change, done);
  if (opening.result) return answered(*relay, std::move(*opening.result));
  tickets_.insert(opening.ticket);
  relay->set_ticket(opening.ticket);
  if (setup_.path->now().phase == KernelPathState::Phase::preparing && tickets_.size() >= limits::relay_waiting)
    pause(false);
}

void TcpForward::answered(Relay& relay, Result<UniqueFd> stand_in) {
  if (!stand_in) return relay.fail(flow_end_of(stand_in.error()));
  relay.join(std::move(stand_in).value());
}

void TcpForward::flow_failed(Relay& relay, Relay::Side, int) {
  if (tickets_.erase(relay.ticket()) != 0) setup_.stand_ins->cancel(relay.ticket());
}

void TcpForward::lead_to_host(std::uint64_t rule, const Destination& destination, UniqueFd client, const SockAddr& peer) {
  const auto from = peer.endpoint();
  const Relay::Start start{.rule = rule,
                           .direction = FlowDirection::out,
                           .host_peer = destination.host_endpoint(),
                           .guest_peer = local_name(client.get()).value_or(Endpoint{}),
                           .guest = from ? *from : Endpoint{},
                           .stand_in = false};
  Relay* relay = setup_.relays->begin(start, Relay::guest, std::move(client), this);
  if (relay == nullptr) return;
  auto service = dial(destination);
  if (!service) return relay->fail(flow_end_of(service.error()));
  relay->join(std::move(service).value());
}

Result<UniqueFd> TcpForward::dial(const Destination& destination) const {
  SockAddr to;
  if (!destination.host_path.empty()) {
    if (confined_)
      return Error{.code = Code::unsupported,
                   .what = "a helper with --sandbox or --seccomp reaches no Unix socket: " + destination.host_path};
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (destination.host_path.size() >= sizeof name.sun_path)
      return sys_error(ENAMETOOLONG, "connecting to " + destination.host_path);
    std::copy(destination.host_path.begin(), destination.host_path.end(), name.sun_path);
    to.length = sizeof name;
    std::copy_n(reinterpret_cast<const char*>(&name), sizeof name, reinterpret_cast<char*>(&to.storage));
  } else {
    to = SockAddr(destination.host_endpoint());
  }
  UniqueFd fd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("opening a socket to a host service");
  prepare_stream(fd.get());
  if (connect(fd.get(), to.get(), to.length) != 0 && errno != EINPROGRESS)
    return sys_error("connecting to " +
                     (destination.host_path.empty() ? destination.host_endpoint().text() : destination.host_path));
  return fd;
}

}  // namespace nh
