// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/control_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

Result<std::unique_ptr<ControlServer>> ControlServer::open(Loop& loop, Setup setup, const Clock& clock) {
  NH_LET(socket, ControlSocket::open(setup.path, setup.replace_file));
  return std::unique_ptr<ControlServer>(new ControlServer(loop, std::move(setup), std::move(socket), clock));
}

ControlServer::ControlServer(Loop& loop, Setup setup, ControlSocket socket, const Clock& clock)
    : loop_(loop),
      clock_(clock),
      events_(setup.events),
      commands_({.rules = setup.rules, .info = std::move(setup.info), .stats = std::move(setup.stats), .clock = clock},
                setup.dialect),
      socket_(std::move(socket)),
      listener_watch_(loop.watch(socket_.fd(), POLLIN, [this](IoEvents) { on_listener(); })),
      timer_(loop.timer([this] { on_timer(); })) {}

ControlServer::~ControlServer() {
  for (Client& client : clients_) events_.subscribe(client, {});
}

void ControlServer::Client::take_event(std::string_view line) {
  connection.take_event(line);
  follow();
}

void ControlServer::Client::follow() {
  const IoEvents wants = connection.wants();
  if (wants == waits_for) return;
  waits_for = wants;
  watch.set_events(wants);
}

void ControlServer::on_listener() {
  for (std::size_t taken = 0; taken < limits::control_accepts; ++taken) {
    auto client = socket_.accept();
    if (client) {
      admit(std::move(*client));
      continue;
    }
    if (client.error().code == Code::exhausted) {
      // The waiting client keeps the listener readable: without a pause the loop would spin.
      ++counters_.accept_errors;
      log::rate_limited(log::Level::warning, "control_accept", client.error().message());
      paused_ = true;
      resume_ = clock_.now() + limits::control_accept_pause;
      listener_watch_.set_events(0);
    }
    break;  // nobody waits, or this one went away before it was accepted: there is another turn
  }
  arm();
}

void ControlServer::admit(UniqueFd fd) {
  const auto uid = peer_uid(fd.get());
  if (!uid || !peer_allowed(*uid, geteuid())) {
    ++counters_.refused_uid;
    log::rate_limited(log::Level::warning, "control_uid",
                      uid ? "control client of uid " + std::to_string(*uid) + " refused" : uid.error().message());
    return;
  }
  if (clients_.size() >= limits::control_clients) {
    ++counters_.refused_full;
    log::rate_limited(log::Level::warning, "control_full", "control client refused: too many at once");
    return;
  }
  ++counters_.accepted;
  clients_.emplace_front(Connection(std::move(fd), commands_, counters_, clock_.now()));
  const auto client = clients_.begin();
  client->watch = loop_.watch(client->connection.fd(), POLLIN, [this, client](IoEvents) { on_client(client); });
}

void ControlServer::on_client(Clients::iterator client) {
  client->connection.on_ready(clock_.now());
  settle(client);
  arm();
}

void ControlServer::on_timer() {
  const Instant now = clock_.now();
  if (paused_ && resume_ <= now) {
    paused_ = false;
    listener_watch_.set_events(POLLIN);
  }
  for (auto next = clients_.begin(); next != clients_.end();) {
    const auto client = next++;
    if (client->connection.deadline() > now) continue;
    client->connection.on_deadline();
    settle(client);
  }
  arm();
}

/// Takes over what the connection wants now, or lets it go.
void ControlServer::settle(Clients::iterator client) {
  const Connection& connection = client->connection;
  if (connection.ended()) {
    events_.subscribe(*client, {});
    client->watch.reset();  // before its fd
    clients_.erase(client);
    return;
  }
  events_.subscribe(*client, connection.subscription());
  client->follow();
}

void ControlServer::arm() {
  Instant nearest = paused_ ? resume_ : Instant::max();
  for (const Client& client : clients_) nearest = std::min(nearest, client.connection.deadline());
  if (nearest == Instant::max()) return timer_.disarm();
  timer_.arm(nearest - clock_.now());
}

HelperInfo::Numbers ControlServer::numbers() const {
  return {{"control.clients", clients_.size()},
          {"control.accepted", counters_.accepted},
          {"control.refused_uid", counters_.refused_uid},
          {"control.refused_full", counters_.refused_full},
          {"control.accept_errors", counters_.accept_errors},
          {"control.requests", counters_.requests},
          {"control.errors", counters_.errors},
          {"control.idle_ended", counters_.idle_ended},
          {"control.slow_ended", counters_.slow_ended},
          {"control.unread_ended", counters_.unread_ended},
          {"control.fds_refused", counters_.fds_refused},
          {"control.subscribers", events_.subscribers()},
          {"control.events_sent", counters_.events_sent},
          {"control.events_ended", counters_.events_ended}};
}

}  // namespace nh
