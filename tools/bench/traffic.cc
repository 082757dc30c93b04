// SPDX-License-Identifier: BSD-3-Clause
// bench-traffic: the load that tools/bench/bench puts on a network helper, and the server that takes it.
//
//   bench-traffic server [--listen ADDR]
//   bench-traffic up|down|rr|crr|udp-rr --to ADDR --port N [--milliseconds N] [--bytes N] [--flows N] [--message N]
//
// The client prints one line of JSON. Exit codes: 0 done, 1 failed, 2 usage.
#include <cstdio>
#include <span>
#include <string>

#include "src/base/number.h"
#include "tools/bench/traffic_client.h"
#include "tools/bench/traffic_server.h"
#include "tools/bench/traffic_wire.h"

namespace nh::traffic {
namespace {

constexpr unsigned max_flows = 1024;
constexpr std::uint64_t max_milliseconds = 3'600'000;

using Arguments = std::span<char* const>;

Result<Address> parse_server(Arguments arguments) {
  if (arguments.empty()) return Address::loopback(Family::v4);
  if (arguments.size() != 2 || std::string_view(arguments[0]) != "--listen") {
    return Error{Code::invalid, 0, "server takes --listen ADDR and nothing else"};
  }
  return Address::parse(arguments[1], "--listen");
}

Result<Ok> parse_option(Job& job, std::string_view name, std::string_view value) {
  if (name == "--to") {
    NH_LET(address, Address::parse(value, name));
    job.server.address = address;
  } else if (name == "--port") {
    NH_LET(port, Port::parse(value, name));
    job.server.port = port.value();
  } else if (name == "--milliseconds") {
    NH_LET(time, parse_unsigned(value, 1, max_milliseconds, name));
    job.time = std::chrono::milliseconds(time);
  } else if (name == "--bytes") {
    NH_LET(bytes, parse_unsigned(value, 1, std::uint64_t{1} << 50, name));
    job.bytes = bytes;
  } else if (name == "--flows") {
    NH_LET(flows, parse_unsigned(value, 1, max_flows, name));
    job.flows = static_cast<unsigned>(flows);
  } else if (name == "--message") {
    NH_LET(message, parse_unsigned(value, 1, message_max, name));
    job.message = static_cast<std::size_t>(message);
  } else {
    return Error{Code::invalid, 0, "unknown option " + std::string(name)};
  }
  return Ok{};
}

Result<Job> parse_job(Arguments arguments) {
  Job job;
  NH_LET(load, parse_load(arguments[0]));
  job.load = load;
  for (arguments = arguments.subspan(1); !arguments.empty(); arguments = arguments.subspan(2)) {
    if (arguments.size() < 2) return Error{Code::invalid, 0, std::string(arguments[0]) + " wants a value"};
    NH_TRY(parse_option(job, arguments[0], arguments[1]));
  }
  if (job.server.port == 0) return Error{Code::invalid, 0, "--to ADDR and --port N are needed"};
  return job;
}

int fail(const Error& error, int status) {
  std::fprintf(stderr, "bench-traffic: %s\n", error.message().c_str());
  return status;
}

int main(Arguments arguments) {
  if (arguments.empty()) return fail(Error{Code::invalid, 0, "say server, up, down, rr, crr or udp-rr"}, 2);
  if (std::string_view(arguments[0]) == "server") {
    const auto address = parse_server(arguments.subspan(1));
    if (!address) return fail(address.error(), 2);
    const auto served = serve(*address);
    return served ? 0 : fail(served.error(), 1);
  }
  const auto job = parse_job(arguments);
  if (!job) return fail(job.error(), 2);
  auto sample = run(*job);
  if (!sample) return fail(sample.error(), 1);
  std::printf("%s\n", to_json(*job, std::move(sample).value()).c_str());
  return 0;
}

}  // namespace
}  // namespace nh::traffic

int main(int argc, char** argv) {
  return nh::traffic::main({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
