// SPDX-License-Identifier: BSD-3-Clause
// RelayRig: relays and forwards over loopback for tests, with stand-ins that connect in the same namespace.
//
// NETNS_HELPER_TEST_RELAY_THREADS=N: every flow is handed to one of N relay threads as it opens. What a flow does is the same
// then; what is counted in turns of the loop is not (threaded()).
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "netstack/relay/stream_socket.h"
#include "netstack/tcp/tcp_forward.h"
#include "src/loop/loop.h"
#include "tests/support/frames.h"
#include "tests/support/host_socket.h"
#include "tests/support/kernel_paths.h"

namespace nh::test {

inline constexpr std::size_t mebibyte = 1024 * 1024;

// As the helper does (src/loop/signals.h).
inline const auto ignored = std::signal(SIGPIPE, SIG_IGN);

/// Connects in this namespace, from any port of 127.0.0.1 or ::1. Answers at once, or when the test says so.
class FakeStandIns final : public StandIns {
 public:
  FakeStandIns() { path.set(kernel_path_state(KernelPathState::Phase::ready)); }
  void check(std::function<void()> done) override { checks.push_back(std::move(done)); }
  void drop_check() override { checks.clear(); }
  void end_check() {
    for (const auto& done : std::exchange(checks, {})) done();
  }
  Opening open(const Endpoint& from, const Endpoint& to, Port, Done done) override {
    guest_peers.push_back(from);
    if (path.now().phase == KernelPathState::Phase::off) return {.result = Error{.code = Code::gone, .what = "off"}};
    if (error != 0) return {.result = sys_error(error, "a stand-in")};
    if (!later) {
      auto made = stand_in(to);
      if (made && keeps_duplicate) duplicate.reset(fcntl(made->get(), F_DUPFD_CLOEXEC, 0));
      return {.result = std::move(made)};
    }
    waiting.emplace(++last_ticket_, Waiting{to, std::move(done)});
    return {.ticket = last_ticket_};
  }
  Opening listen(Kind, const Endpoint&, Done) override { return {}; }
  Opening open_udp(const Endpoint&, const Endpoint&, Done) override { return {}; }
  void cancel(std::uint64_t ticket) override { cancelled += waiting.erase(ticket); }

  void answer_all() {
    for (auto& [ticket, entry] : std::exchange(waiting, {})) entry.done(stand_in(entry.to));
  }
  static Result<UniqueFd> stand_in(const Endpoint& to) {
    auto made = dial(to);
    if (made) prepare_stream(made->get());
    return made;
  }
  static Result<UniqueFd> dial(const Endpoint& to) {
    const SockAddr address(to);
    UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return sys_error("a stand-in");
    if (connect(fd.get(), address.get(), address.length) != 0 && errno != EINPROGRESS) return sys_error("a stand-in");
    return fd;
  }

  struct Waiting {
    Endpoint to;
    Done done;
  };
  KernelPath path;  // everything is proved, until a test says otherwise
  bool later = false;
  std::vector<std::function<void()>> checks;
  int error = 0;  // what each answer is, if it is not 0
  std::map<std::uint64_t, Waiting> waiting;
  std::size_t cancelled = 0;
  std::vector<Endpoint> guest_peers;
  bool keeps_duplicate = false;
  UniqueFd duplicate;  // of the last stand-in that was given at once, as the agent may keep one

 private:
  std::uint64_t last_ticket_ = 0;
};

struct FlowLog final : FlowObserver {
  void flow_opened(const FlowRecord& flow) override { opened.push_back(flow); }
  void flow_closed(const FlowRecord& flow, FlowEnd end) override {
    closed.push_back(flow);
    ends.push_back(end);
  }
  std::vector<FlowRecord> opened, closed;
  std::vector<FlowEnd> ends;
};

/// A client of a forward and the service's end of the same flow.
struct Joined {
  UniqueFd client, service;
};

inline unsigned wanted_threads() {
  const char* number = std::getenv("NETNS_HELPER_TEST_RELAY_THREADS");
  return number == nullptr ? 0 : static_cast<unsigned>(std::atoi(number));
}

class RelayRig {
 public:
  struct Threads {
    unsigned count = wanted_threads();
    std::uint64_t offload_threshold = 0;
  };

  explicit RelayRig(std::size_t fds = 4096, std::size_t flows = limits::relay_flows) : RelayRig(fds, flows, Threads()) {}
  explicit RelayRig(const Threads& threads) : RelayRig(4096, limits::relay_flows, threads) {}
  RelayRig(std::size_t fds, std::size_t flows, const Threads& threads)
      : budget(fds),
        relays({.epoll = &epoll,
                .clock = &loop.clock(),
                .fds = &budget,
                .ids = &ids,
                .observer = &log,
                .max_flows = flows,
                .threads = threads.count,
                .offload_threshold = threads.offload_threshold}),
        forward({.epoll = &epoll,
                 .clock = &loop.clock(),
                 .fds = &budget,
                 .relays = &relays,
                 .stand_ins = &stand_ins,
                 .path = &stand_ins.path,
                 .plan = plan()}) {
    relay_deadline_ = loop.deadline([this] { return relays.next_deadline(); }, [this] { relays.run(); });
    forward_deadline_ = loop.deadline([this] { return forward.next_deadline(); }, [this] { forward.expire(); });
    const Result<> started = relays.start_threads();
    REQUIRE(started.ok());
  }
  bool threaded() const { return !relays.thread_flows().empty(); }

  /// Turns the loop until it is true. False after a generous deadline.
  bool until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop.turn(false);
      ++turns;
    }
    return true;
  }

  static UniqueFd listening(const std::string& address, std::uint16_t port = 0) {
    const SockAddr name(at(address, port));
    UniqueFd fd(socket(name.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(bind(fd.get(), name.get(), name.length) == 0);
    REQUIRE(listen(fd.get(), 4096) == 0);
    return fd;
  }
  /// A service, and a forward (listener and rule `number`) that leads to it.
  void serve(std::uint64_t number = 1, const std::string& address = "127.0.0.1") {
    service = listening(address);
    const Endpoint to = local_name(service.get()).value();
    Destination destination;
    destination.port = to.port;
    (to.address.is_v4() ? destination.v4 : destination.v6) = to.address;
    host = open_forward(number, destination);
  }
  Endpoint open_forward(std::uint64_t number, const Destination& destination) {
    UniqueFd fd = listening("127.0.0.1");
    const Endpoint name = local_name(fd.get()).value();
    REQUIRE(forward.add(number, number, std::move(fd), destination).ok());
    return name;
  }
  UniqueFd dial() const { return FakeStandIns::dial(host).value(); }
  UniqueFd accept_service() const {
    return UniqueFd(accept4(service.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  Joined join() {
    Joined joined;
    joined.client = dial();
    const std::uint64_t before = relays.counters().all.flows_opened;
    REQUIRE(until([&] {
      if (!joined.service) joined.service = accept_service();
      return joined.service && relays.counters().all.flows_opened > before;
    }));
    return joined;
  }

  Loop loop;
  EpollSet epoll = EpollSet::create(loop).value();
  FdBudget budget;
  FlowIds ids;
  FlowLog log;
  FakeStandIns stand_ins;
  RelaySet relays;
  TcpForward forward;
  UniqueFd service;
  Endpoint host;
  std::size_t turns = 0;

 private:
  Timer relay_deadline_, forward_deadline_;
};

/// Bytes that tell where in the stream they belong, from any offset at least `chunk` of them in a row: they come again only after
/// a prime number of them, which no buffer's size divides.
inline const std::uint8_t* bytes_at(std::size_t offset, std::size_t chunk) {
  constexpr std::size_t period = 65521;
  static std::vector<std::uint8_t> bytes;
  for (std::size_t i = bytes.size(); i < period + chunk; ++i)
    bytes.push_back(i < period ? static_cast<std::uint8_t>((i * 2654435761U) >> 13 ^ i) : bytes[i - period]);
  return bytes.data() + offset % period;
}

/// One end's writing and checking of such a stream.
class Stream {
 public:
  Stream(int from, int to, std::size_t size, std::size_t chunk)
      : from_(from), to_(to), size_(size), chunk_(chunk), buffer_(chunk) {}

  /// Writes what goes in, reads what is there.
  void step() {
    write_some();
    read_some();
  }
  void write_some() {
    while (sent_ < size_) {
      const std::size_t count = std::min(chunk_, size_ - sent_);
      const ssize_t taken = send(from_, bytes_at(sent_, chunk_), count, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (taken <= 0) return;
      sent_ += static_cast<std::size_t>(taken);
    }
  }
  /// Up to EAGAIN, the end or an error; with `only_its_own` no byte behind the stream's last, which may be another one's first.
  void read_some(bool only_its_own = false) {
    while (!only_its_own || !complete()) {
      const std::size_t most = only_its_own ? std::min(buffer_.size(), size_ - got_) : buffer_.size();
      const ssize_t got = recv(to_, buffer_.data(), most, MSG_DONTWAIT);
      if (got == 0) ended_ = true;
      if (got < 0 && errno != EAGAIN) error_ = errno;
      if (got <= 0) return;
      const auto size = static_cast<std::size_t>(got);
      equal_ = equal_ && std::memcmp(buffer_.data(), bytes_at(got_, chunk_), size) == 0;
      got_ += size;
    }
  }
  std::size_t sent() const { return sent_; }
  std::size_t got() const { return got_; }
  bool equal() const { return equal_; }
  bool ended() const { return ended_; }
  int error() const { return error_; }
  bool complete() const { return got_ == size_; }

 private:
  int from_, to_;
  std::size_t size_, chunk_, sent_ = 0, got_ = 0;
  std::vector<std::uint8_t> buffer_;
  bool equal_ = true, ended_ = false;
  int error_ = 0;
};

}  // namespace nh::test
