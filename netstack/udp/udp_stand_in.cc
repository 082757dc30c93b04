// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/udp/udp_stand_in.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "src/base/limits.h"

namespace nh {
UdpStandIn::UdpStandIn(UdpStandInShared& shared, std::uint64_t owner, Events events)
    : shared_(shared), owner_(owner), events_(std::move(events)) {}

UdpStandIn::~UdpStandIn() {
  if (ticket_ != 0) shared_.stand_ins->cancel(ticket_);
  if (socket_) {
    shared_.queue->flush();
    shared_.epoll->remove(socket_->fd());
  }
  drop_waiting();
}

// The last thing that this object does: the callback may destroy it, and itself with it.
void UdpStandIn::end(FlowEnd why) {
  const auto tell = std::move(events_.end);
  tell(why);
}

std::optional<FlowEnd> UdpStandIn::open(const Endpoint& guest_peer, const Endpoint& guest) {
  auto opening =
      shared_.stand_ins->open_udp(guest_peer, guest, [this](Result<UniqueFd> result) { opened(std::move(result)); });
  if (opening.result) return start(std::move(*opening.result));
  ticket_ = opening.ticket;
  return std::nullopt;
}

void UdpStandIn::opened(Result<UniqueFd> result) {
  ticket_ = 0;
  if (const auto failed = start(std::move(result))) return end(*failed);
  events_.opened();
}

std::optional<FlowEnd> UdpStandIn::start(Result<UniqueFd> result) {
  if (!result) return flow_end_of(result.error());
  auto socket = UdpSocket::adopt(std::move(result).value());
  if (!socket) return flow_end_of(socket.error());
  if (auto added = shared_.epoll->add(socket->fd(), EPOLLIN, *this); !added) return flow_end_of(added.error());
  socket_ = std::move(socket).value();
  for (const auto& datagram : waiting_) forward(datagram);
  drop_waiting();
  shared_.queue->flush();
  return std::nullopt;
}

void UdpStandIn::forward(Bytes payload) {
  shared_.queue->put(owner_, {.fd = socket_->fd(), .connected = true, .remote = {}, .local = {}}, payload);
}

bool UdpStandIn::send(Bytes payload) {
  if (socket_) {
    forward(payload);
    return true;
  }
  const std::size_t cost = payload.size() + sizeof(waiting_.front());
  if (shared_.waiting_bytes + cost > limits::udp_waiting_bytes) return false;
  shared_.waiting_bytes += cost;
  waiting_.emplace_back(payload.begin(), payload.end());
  return true;
}

void UdpStandIn::drop_waiting() {
  for (const auto& datagram : std::exchange(waiting_, {})) shared_.waiting_bytes -= datagram.size() + sizeof(datagram);
}

void UdpStandIn::on_ready(int, std::uint32_t events) {
  if ((events & EPOLLERR) != 0)
    while (const auto error = socket_->next_error(*shared_.batch)) {
      if (error->error == EMSGSIZE) continue;  // the kernel has learnt it, and fragments from now on
      return end(flow_end_of(error->error));
    }
  const std::size_t count = socket_->receive(*shared_.batch);
  for (std::size_t i = 0; i < count; ++i) {
    const ReceivedDatagram datagram = socket_->datagram(*shared_.batch, i);
    const std::size_t step = datagram.segment == 0 ? datagram.payload.size() : datagram.segment;
    std::size_t at = 0;
    do {
      events_.answer(datagram.payload.subspan(at, std::min(step, datagram.payload.size() - at)));
      at += step;
    } while (at < datagram.payload.size());
  }
  shared_.queue->flush();
}

}  // namespace nh
