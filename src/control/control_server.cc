// SPDX-License-Identifier: BSD-3-Clause
#include "src/control/control_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

Result<std::unique_ptr<ControlServer>> ControlServer::open(Loop& loop, Setup setup,
                                                           const Clock& clock) {
  NH_LET(socket, ControlSocket::open(setup.path, setup.replace_file));
  return std::unique_ptr<ControlServer>(
      new ControlServer(loop, std::move(setup), std::move(socket), clock));
}

ControlServer::ControlServer(Loop& loop, Setup setup, ControlSocket socket, const Clock& clock)
    : loop_(loop),
      clock_(clock),
      commands_(setup.rules, std::move(setup.info), setup.dialect),
      socket_(std::move(socket)),
      listener_watch_(loop.watch(socket_.fd(), POLLIN, [this](IoEvents) { on_listener(); })),
      timer_(loop.timer([this] { on_timer(); })) {}

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
    log::rate_limited(
        log::Level::warning, "control_uid",
        uid ? "control client of uid " + std::to_string(*uid) + " refused" : uid.error().message());
    return;
  }
  if (clients_.size() >= limits::control_clients) {
    ++counters_.refused_full;
    log::rate_limited(log::Level::warning, "control_full",
                      "control client refused: too many at once");
    return;
  }
  ++counters_.accepted;
  clients_.push_front({Connection(std::move(fd), commands_, counters_, clock_.now()), {}, POLLIN});
  const auto client = clients_.begin();
  client->watch =
      loop_.watch(client->connection.fd(), POLLIN, [this, client](IoEvents) { on_client(client); });
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
  if (client->connection.ended()) {
    client->watch.reset();  // before its fd
    clients_.erase(client);
    return;
  }
  const IoEvents wants = client->connection.wants();
  if (wants == client->waits_for) return;
  client->waits_for = wants;
  client->watch.set_events(wants);
}

void ControlServer::arm() {
  if (clients_.empty() && !paused_) return timer_.disarm();
  Instant nearest = paused_ ? resume_ : Instant::max();
  for (const Client& client : clients_) nearest = std::min(nearest, client.connection.deadline());
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
          {"control.fds_refused", counters_.fds_refused}};
}

}  // namespace nh
