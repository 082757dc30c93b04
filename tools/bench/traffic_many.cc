// SPDX-License-Identifier: BSD-3-Clause
#include "tools/bench/traffic_many.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "tools/bench/traffic_socket.h"
#include "tools/bench/traffic_wire.h"

namespace nh::traffic {
namespace {

using SteadyClock = std::chrono::steady_clock;
using namespace std::chrono_literals;

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

/// How many datagrams have arrived so far, as the server counts them.
Result<std::uint64_t> ask_count(const Endpoint& server) {
  NH_LET(fd, dial(server, SOCK_STREAM));
  NH_TRY(send_all(fd.get(), encode(Order{Mode::count, 0})));
  std::array<std::uint8_t, number_size> number{};
  NH_TRY(receive_all(fd.get(), number));
  return decode_number(number);
}

/// The count once it stands still: what is on its way is not lost.
Result<std::uint64_t> settled_count(const Endpoint& server, std::uint64_t expected) {
  constexpr int patience = 5;  // asked so often without a change
  NH_LET(last, ask_count(server));
  for (int same = 0; last < expected && same < patience; ++same) {
    std::this_thread::sleep_for(100ms);
    NH_LET(now, ask_count(server));
    if (now != last) same = 0;
    last = now;
  }
  return last;
}

std::uint64_t drain(int fd, MutableBytes block) {
  std::uint64_t count = 0;
  while (::recv(fd, block.data(), block.size(), MSG_DONTWAIT) >= 0) ++count;
  return count;
}

/// Sends at the rate in small bursts; gives how many answers came meanwhile.
Result<std::uint64_t> send_paced(int fd, const Flood& flood) {
  constexpr auto pause = 200us;  // between bursts; what the rate asks for since then is one
  std::vector<std::uint8_t> datagram(flood.size), block(block_size);
  datagram[0] = flood.echo ? 0 : static_cast<std::uint8_t>(Mode::sink);
  std::uint64_t answers = 0;
  const auto begin = SteadyClock::now();
  for (std::uint64_t sent = 0; sent < flood.datagrams;) {
    const auto due = static_cast<std::uint64_t>(seconds_since(begin) * static_cast<double>(flood.rate)) + 1;
    for (; sent < std::min(due, flood.datagrams); ++sent) {
      if (::send(fd, datagram.data(), datagram.size(), MSG_NOSIGNAL) < 0) return sys_error("sending");
    }
    if (flood.echo) answers += drain(fd, block);
    std::this_thread::sleep_for(pause);
  }
  for (int quiet = 0; flood.echo && answers < flood.datagrams && quiet < 5; ++quiet) {
    std::this_thread::sleep_for(100ms);
    const auto more = drain(fd, block);
    if (more != 0) quiet = 0;
    answers += more;
  }
  return answers;
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

void wait_for_end_of_input() {
  std::array<char, 16> ignored{};
  while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) continue;
}

}  // namespace

Result<Ok> hold(const Endpoint& server, std::size_t connections) {
  raise_file_limit();
  const auto begin = SteadyClock::now();
  std::vector<UniqueFd> held;
  held.reserve(connections);
  std::array<std::uint8_t, order_size + 1> request{};
  std::ranges::copy(encode(Order{Mode::echo, 0}), request.begin());
  for (std::size_t i = 0; i < connections; ++i) {
    auto fd = dial(server, SOCK_STREAM);
    if (!fd) return Error(std::move(fd).error()).in("connection " + std::to_string(i));
    NH_TRY(send_all(fd->get(), request));
    std::array<std::uint8_t, 1> answer{};
    auto answered = receive_all(fd->get(), answer);
    if (!answered) return Error(std::move(answered).error()).in("connection " + std::to_string(i));
    held.push_back(std::move(fd).value());
  }
  std::printf("{\"held\": %zu, \"seconds\": %.6f}\n", held.size(), seconds_since(begin));
  std::fflush(stdout);
  wait_for_end_of_input();
  return Ok{};
}

Result<Ok> pend(const Endpoint& server, std::size_t connections) {
  raise_file_limit();
  const auto begin = SteadyClock::now();
  std::vector<UniqueFd> sockets;
  std::vector<pollfd> pending;
  sockets.reserve(connections);
  pending.reserve(connections);
  for (std::size_t i = 0; i < connections; ++i) {
    NH_LET(fd, open_socket(server, SOCK_STREAM));
    if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return sys_error("making a socket non-blocking");
    auto connected = connect_socket(fd.get(), server);
    if (!connected && connected.error().sys_errno != EINPROGRESS) return std::move(connected).error();
    pending.push_back({.fd = fd.get(), .events = POLLOUT, .revents = 0});
    sockets.push_back(std::move(fd));
  }
  std::printf("{\"pending\": %zu, \"seconds\": %.6f}\n", sockets.size(), seconds_since(begin));
  std::fflush(stdout);
  wait_for_end_of_input();
  const int ended = ::poll(pending.data(), pending.size(), 0);
  if (ended < 0) return sys_error("asking for the connects that ended");
  std::printf("{\"ended\": %d}\n", ended);
  return Ok{};
}

Result<Ok> flood(const Endpoint& server, const Flood& flood) {
  NH_LET(fd, dial(server, SOCK_DGRAM));
  NH_LET(before, ask_count(server));
  // The first datagram makes the flow: address resolution on the way may cost it, as it may cost anybody's.
  const std::uint8_t first = 0;
  std::uint8_t answer = 0;
  for (int i = 0; i < 5; ++i) {
    static_cast<void>(::send(fd.get(), &first, sizeof first, MSG_NOSIGNAL));
    if (::recv(fd.get(), &answer, sizeof answer, 0) == sizeof answer) break;
  }
  const auto begin = SteadyClock::now();
  NH_LET(answers, send_paced(fd.get(), flood));
  const double took = seconds_since(begin);
  std::uint64_t arrived = answers;
  if (!flood.echo) {
    NH_LET(after, settled_count(server, before + flood.datagrams));
    arrived = after - before;
  }
  std::printf("{\"sent\": %llu, \"arrived\": %llu, \"seconds\": %.6f, \"rate\": %.1f}\n",
              static_cast<unsigned long long>(flood.datagrams), static_cast<unsigned long long>(arrived), took,
              static_cast<double>(flood.datagrams) / std::max(took, 1e-9));
  return Ok{};
}

Result<Ok> ask_peer(const Endpoint& server) {
  NH_LET(fd, dial(server, SOCK_STREAM));
  NH_TRY(send_all(fd.get(), encode(Order{Mode::peer, 0})));
  std::array<char, 64> text{};
  std::size_t have = 0;
  for (;;) {
    const auto got = ::recv(fd.get(), text.data() + have, text.size() - 1 - have, 0);
    if (got < 0) return sys_error("receiving");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  if (have == 0) return Error{Code::gone, 0, "receiving: the server closed the connection"};
  std::printf("{\"peer\": \"%s\"}\n", text.data());
  return Ok{};
}

}  // namespace nh::traffic
