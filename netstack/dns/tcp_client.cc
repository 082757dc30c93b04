// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/tcp_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "netstack/dns/message.h"
#include "src/base/limits.h"

namespace nh {
namespace {
constexpr std::size_t prefix = 2;
}  // namespace

DnsTcpClient::DnsTcpClient(const Setup& setup, UniqueFd fd)
    : setup_(setup), fd_(std::move(fd)), last_progress_(setup.clock->now()) {}

Result<std::unique_ptr<DnsTcpClient>> DnsTcpClient::create(const Setup& setup, UniqueFd fd) {
  std::unique_ptr<DnsTcpClient> client(new DnsTcpClient(setup, std::move(fd)));
  client->events_ = EPOLLIN;
  NH_TRY(setup.epoll->add(client->fd_.get(), client->events_, *client));
  client->watched_ = true;
  return client;
}

DnsTcpClient::~DnsTcpClient() {
  for (const std::uint64_t number : under_way_) setup_.queries->cancel(number);
  if (watched_) setup_.epoll->remove(fd_.get());
}

void DnsTcpClient::on_ready(int, std::uint32_t events) {
  // We never shut down our side first, so EPOLLHUP means a reset: the answers have no receiver.
  bool healthy = (events & (EPOLLERR | EPOLLHUP)) == 0;
  if (healthy && (events & EPOLLOUT) != 0) healthy = flush();
  if (healthy && (events & EPOLLIN) != 0) healthy = read() && take_messages();
  settle(healthy);
}

// Closes the connection if it is done, else sets the events to wait for. May destroy the client.
void DnsTcpClient::settle(bool healthy) {
  const bool waiting = !output_.empty();
  if (!healthy || (input_ended_ && under_way_.empty() && !waiting)) {
    const auto end = setup_.on_end;
    return end();
  }
  const std::uint32_t wanted =
      (may_read() ? static_cast<std::uint32_t>(EPOLLIN) : 0u) | (waiting ? static_cast<std::uint32_t>(EPOLLOUT) : 0u);
  if (wanted != events_) setup_.epoll->modify(fd_.get(), wanted);
  events_ = wanted;
}

bool DnsTcpClient::may_read() const {
  return !input_ended_ && under_way_.size() < limits::dns_tcp_pipeline && input_.size() < prefix + dns::largest_message;
}

bool DnsTcpClient::read() {
  constexpr std::size_t piece = 16 * 1024;
  if (!may_read()) return true;
  const std::size_t had = input_.size();
  input_.resize(had + piece);
  const ssize_t size = recv(fd_.get(), input_.data() + had, piece, MSG_DONTWAIT);
  const int err = errno;
  input_.resize(had + (size > 0 ? static_cast<std::size_t>(size) : 0));
  if (size == 0) input_ended_ = true;
  return size >= 0 || err == EAGAIN || err == EINTR;
}

// Takes whole messages from the input, as many as the pipeline has room for.
bool DnsTcpClient::take_messages() {
  std::size_t taken = 0;
  bool healthy = true;
  while (healthy && under_way_.size() < limits::dns_tcp_pipeline && input_.size() - taken >= prefix) {
    const std::size_t size = std::size_t{input_[taken]} << 8 | input_[taken + 1];
    if (input_.size() - taken - prefix < size) break;
    healthy = take_message(Bytes(input_).subspan(taken + prefix, size));
    taken += prefix + size;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(taken));
  return healthy && flush();
}

bool DnsTcpClient::take_message(Bytes message) {
  // What is no query has no answer; the length prefix tells where the next message begins.
  if (!dns::is_query(message)) {
    ++setup_.counters->malformed;
    return true;
  }
  last_progress_ = setup_.clock->now();
  ++setup_.counters->queries;
  const auto number = setup_.queries->ask(
      Via::tcp, message, [this](std::uint64_t which, Bytes answer, bool good) { on_answer(which, answer, good); });
  if (number) {
    under_way_.insert(*number);
  } else {
    ++setup_.counters->dropped_full;
    reply(dns::error_reply(message, dns::Rcode::server_failure));
  }
  return output_.size() - sent_ <= limits::dns_tcp_output;
}

void DnsTcpClient::on_answer(std::uint64_t number, Bytes answer, bool good) {
  under_way_.erase(number);
  ++(good ? setup_.counters->answered : setup_.counters->failed);
  last_progress_ = setup_.clock->now();
  reply(answer);
  settle(flush() && output_.size() - sent_ <= limits::dns_tcp_output && take_messages());
}

void DnsTcpClient::reply(Bytes answer) {
  output_.push_back(static_cast<std::uint8_t>(answer.size() >> 8));
  output_.push_back(static_cast<std::uint8_t>(answer.size()));
  output_.insert(output_.end(), answer.begin(), answer.end());
}

bool DnsTcpClient::flush() {
  while (sent_ < output_.size()) {
    const ssize_t size = send(fd_.get(), output_.data() + sent_, output_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    sent_ += static_cast<std::size_t>(size);
  }
  if (!output_.empty()) last_progress_ = setup_.clock->now();
  output_.clear();
  sent_ = 0;
  return true;
}

Instant DnsTcpClient::deadline() const {
  return under_way_.empty() ? last_progress_ + limits::dns_tcp_idle : Instant::max();
}

}  // namespace nh
