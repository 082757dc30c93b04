// SPDX-License-Identifier: BSD-3-Clause
#include "tools/bench/traffic_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <thread>

#include "tools/bench/traffic_socket.h"
#include "tools/bench/traffic_wire.h"

namespace nh::traffic {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct LoadName {
  std::string_view text;
  Load load;
};
constexpr std::array<LoadName, 6> load_names{{{"up", Load::up},
                                              {"down", Load::down},
                                              {"rr", Load::rr},
                                              {"crr", Load::crr},
                                              {"connect", Load::connect},
                                              {"udp-rr", Load::udp_rr}}};

/// One flow: does its share of the job until the job's time or bytes are over.
class Worker {
 public:
  explicit Worker(const Job& job) : job_(job), start_(SteadyClock::now()), block_(block_size) {}

  Result<Sample> run() {
    NH_TRY(work());
    sample_.seconds = std::chrono::duration<double>(SteadyClock::now() - start_).count();
    return std::move(sample_);
  }

 private:
  Result<Ok> work() {
    switch (job_.load) {
      case Load::up:
        return up();
      case Load::down:
        return down();
      case Load::rr:
        return rr();
      case Load::crr:
        return crr();
      case Load::connect:
        return connect();
      case Load::udp_rr:
        return udp_rr();
    }
    return Ok{};
  }

  bool time_left() const { return SteadyClock::now() - start_ < job_.time; }
  bool more(std::uint64_t moved) const { return job_.bytes != 0 ? moved < job_.bytes : time_left(); }

  Result<UniqueFd> begin(const Order& order) {
    NH_LET(fd, dial(job_.server, SOCK_STREAM));
    NH_TRY(send_all(fd.get(), encode(order)));
    return fd;
  }

  Result<Ok> up() {
    NH_LET(fd, begin({Mode::sink, 0}));
    std::uint64_t moved = 0;
    while (more(moved)) {
      std::size_t size = block_.size();
      if (job_.bytes != 0) size = std::min<std::uint64_t>(size, job_.bytes - moved);
      const auto sent = ::send(fd.get(), block_.data(), size, MSG_NOSIGNAL);
      if (sent < 0) return sys_error("sending");
      moved += static_cast<std::uint64_t>(sent);
    }
    if (::shutdown(fd.get(), SHUT_WR) != 0) return sys_error("ending the stream");
    wait_longer(fd.get());
    std::array<std::uint8_t, number_size> count{};
    NH_TRY(receive_all(fd.get(), count));
    sample_.bytes = decode_number(count);
    if (sample_.bytes == moved) return Ok{};
    return Error{Code::failed, 0,
                 "streaming: sent " + std::to_string(moved) + " bytes, the server got " + std::to_string(sample_.bytes)};
  }

  Result<Ok> down() {
    NH_LET(fd, begin({Mode::source, job_.bytes}));
    while (more(sample_.bytes)) {
      const auto got = ::recv(fd.get(), block_.data(), block_.size(), 0);
      if (got < 0) return sys_error("receiving");
      if (got == 0) return Error{Code::gone, 0, "receiving: the stream ended early"};
      sample_.bytes += static_cast<std::uint64_t>(got);
    }
    return Ok{};
  }

  void count_transaction(SteadyClock::time_point since) {
    ++sample_.transactions;
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - since).count();
    sample_.latencies_us.push_back(static_cast<std::uint32_t>(took));
  }

  Result<Ok> rr() {
    NH_LET(fd, begin({Mode::echo, 0}));
    const MutableBytes message(block_.data(), job_.message);
    while (time_left()) {
      const auto since = SteadyClock::now();
      NH_TRY(send_all(fd.get(), message));
      NH_TRY(receive_all(fd.get(), message));
      count_transaction(since);
    }
    return Ok{};
  }

  Result<Ok> crr() {
    // Order and request in one segment, as a client that knows what it wants would send them.
    std::vector<std::uint8_t> request(order_size + job_.message);
    std::ranges::copy(encode({Mode::echo, 0}), request.begin());
    while (time_left()) {
      const auto since = SteadyClock::now();
      NH_LET(fd, dial(job_.server, SOCK_STREAM));
      NH_TRY(send_all(fd.get(), request));
      NH_TRY(receive_all(fd.get(), MutableBytes(block_.data(), job_.message)));
      fd.reset();
      count_transaction(since);
    }
    return Ok{};
  }

  Result<Ok> connect() {
    while (time_left()) {
      NH_LET(fd, open_socket(job_.server, SOCK_STREAM));
      const auto since = SteadyClock::now();
      NH_TRY(connect_socket(fd.get(), job_.server));
      count_transaction(since);
    }
    return Ok{};
  }

  Result<Ok> udp_rr() {
    NH_LET(fd, dial(job_.server, SOCK_DGRAM));
    while (time_left()) {
      const auto since = SteadyClock::now();
      if (::send(fd.get(), block_.data(), job_.message, MSG_NOSIGNAL) < 0) return sys_error("sending");
      if (::recv(fd.get(), block_.data(), block_.size(), 0) >= 0) {
        count_transaction(since);
      } else if (errno == EAGAIN) {
        ++sample_.lost;
      } else {
        return sys_error("receiving");
      }
    }
    return Ok{};
  }

  const Job& job_;
  SteadyClock::time_point start_;
  std::vector<std::uint8_t> block_;
  Sample sample_;
};

}  // namespace

Result<Load> parse_load(std::string_view text) {
  for (const auto& [name, load] : load_names) {
    if (name == text) return load;
  }
  return Error{Code::invalid, 0, "the load must be up, down, rr, crr, connect or udp-rr, not \"" + std::string(text) + "\""};
}

Result<Sample> run(const Job& job) {
  std::vector<std::optional<Result<Sample>>> results(job.flows);
  std::vector<std::thread> threads;
  threads.reserve(job.flows);
  for (auto& result : results) {
    threads.emplace_back([&job, &result] { result = Worker(job).run(); });
  }
  for (auto& thread : threads) thread.join();
  Sample total;
  for (auto& result : results) {
    NH_TRY(*result);
    const Sample& part = **result;
    total.bytes += part.bytes;
    total.transactions += part.transactions;
    total.lost += part.lost;
    total.seconds = std::max(total.seconds, part.seconds);
    total.latencies_us.insert(total.latencies_us.end(), part.latencies_us.begin(), part.latencies_us.end());
  }
  return total;
}

std::string to_json(const Job& job, Sample sample) {
  std::array<char, 512> line{};
  const double seconds = std::max(sample.seconds, 1e-9);
  if (job.load == Load::up || job.load == Load::down) {
    std::snprintf(line.data(), line.size(), R"({"bytes": %llu, "seconds": %.6f, "bits_per_second": %.0f, "flows": %u})",
                  static_cast<unsigned long long>(sample.bytes), seconds, 8.0 * static_cast<double>(sample.bytes) / seconds,
                  job.flows);
    return line.data();
  }
  std::ranges::sort(sample.latencies_us);
  const auto percentile = [&sample](std::size_t percent) -> unsigned {
    const auto& all = sample.latencies_us;
    return all.empty() ? 0 : all[std::min(all.size() - 1, all.size() * percent / 100)];
  };
  std::snprintf(line.data(), line.size(),
                R"({"transactions": %llu, "lost": %llu, "seconds": %.6f, "rate": %.1f, "flows": %u, )"
                R"("latency_us": {"p50": %u, "p90": %u, "p99": %u, "max": %u}})",
                static_cast<unsigned long long>(sample.transactions), static_cast<unsigned long long>(sample.lost), seconds,
                static_cast<double>(sample.transactions) / seconds, job.flows, percentile(50), percentile(90),
                percentile(99), percentile(100));
  return line.data();
}

}  // namespace nh::traffic
