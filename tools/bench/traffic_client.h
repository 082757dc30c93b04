// SPDX-License-Identifier: BSD-3-Clause
// The client of bench-traffic: one blocking worker thread a flow, each with sockets of its own; their samples are added up.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/address.h"
#include "src/base/result.h"

namespace nh::traffic {

enum class Load : std::uint8_t {
  up,       ///< stream to the server; counted by the server, so what is still on its way does not count
  down,     ///< stream from the server
  rr,       ///< requests and answers, one after the other, on one TCP connection
  crr,      ///< connect, request, answer, close
  connect,  ///< connect alone; the socket is made and closed outside the time that counts
  udp_rr    ///< requests and answers in datagrams; one that is not answered within a second is counted as lost
};

Result<Load> parse_load(std::string_view text);

struct Job {
  Load load = Load::up;
  Endpoint server;
  std::chrono::milliseconds time{3000};
  std::uint64_t bytes = 0;  ///< up and down: of each flow, instead of the time; 0: by time
  unsigned flows = 1;       ///< workers at once
  std::size_t message = 1;  ///< rr, crr, udp_rr: bytes of a request and of its answer
};

struct Sample {
  std::uint64_t bytes = 0;
  std::uint64_t transactions = 0;
  std::uint64_t lost = 0;
  double seconds = 0;                       ///< the longest worker's
  std::vector<std::uint32_t> latencies_us;  ///< one a transaction
};

/// Runs the job. Errors: the server cannot be reached, or a call waited for more than 10 s; for the count at the end of `up`, 60 s.
Result<Sample> run(const Job& job);
/// One line of JSON.
std::string to_json(const Job& job, Sample sample);

}  // namespace nh::traffic
