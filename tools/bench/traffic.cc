// SPDX-License-Identifier: BSD-3-Clause
// bench-traffic: the load that tools/bench/bench puts on a network helper, and the server that takes it.
//
//   bench-traffic server [--listen ADDR] [--port N]
//   bench-traffic up|down|rr|crr|connect|udp-rr --to ADDR --port N [--milliseconds N] [--bytes N] [--flows N] [--message N]
//   bench-traffic hold|pend --to ADDR --port N [--connections N]
//   bench-traffic flood|flood-echo --to ADDR --port N [--datagrams N] [--rate N] [--size N]
//   bench-traffic peer --to ADDR --port N
//
// The client prints one line of JSON. Exit codes: 0 done, 1 failed, 2 usage.
#include <cstdio>
#include <span>
#include <string>

#include "src/base/number.h"
#include "tools/bench/traffic_client.h"
#include "tools/bench/traffic_many.h"
#include "tools/bench/traffic_server.h"
#include "tools/bench/traffic_wire.h"

namespace nh::traffic {
namespace {

constexpr unsigned max_flows = 1024;
constexpr std::uint64_t max_milliseconds = 3'600'000;

using Arguments = std::span<char* const>;

constexpr std::uint64_t max_connections = 100'000;
constexpr std::uint64_t max_datagrams = 1'000'000'000;
constexpr std::size_t max_payload = 65'507;

/// The options besides a Job's.
struct More {
  std::size_t connections = 1000;
  Flood flood;
};

Result<Endpoint> parse_server(Arguments arguments) {
  Endpoint at{Address::loopback(Family::v4), 0};
  for (; !arguments.empty(); arguments = arguments.subspan(2)) {
    const std::string_view name = arguments[0];
    if (arguments.size() < 2 || (name != "--listen" && name != "--port")) {
      return Error{Code::invalid, 0, "server takes --listen ADDR and --port N, nothing else"};
    }
    if (name == "--listen") {
      NH_LET(address, Address::parse(arguments[1], name));
      at.address = address;
    } else {
      NH_LET(port, Port::parse(arguments[1], name));
      at.port = port.value();
    }
  }
  return at;
}

Result<Ok> parse_option(Job& job, More& more, std::string_view name, std::string_view value) {
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
  } else if (name == "--connections") {
    NH_LET(connections, parse_unsigned(value, 1, max_connections, name));
    more.connections = static_cast<std::size_t>(connections);
  } else if (name == "--datagrams") {
    NH_LET(datagrams, parse_unsigned(value, 1, max_datagrams, name));
    more.flood.datagrams = datagrams;
  } else if (name == "--rate") {
    NH_LET(rate, parse_unsigned(value, 1, max_datagrams, name));
    more.flood.rate = rate;
  } else if (name == "--size") {
    NH_LET(size, parse_unsigned(value, 1, max_payload, name));
    more.flood.size = static_cast<std::size_t>(size);
  } else {
    return Error{Code::invalid, 0, "unknown option " + std::string(name)};
  }
  return Ok{};
}

Result<Ok> parse_options(Arguments arguments, Job& job, More& more) {
  for (; !arguments.empty(); arguments = arguments.subspan(2)) {
    if (arguments.size() < 2) return Error{Code::invalid, 0, std::string(arguments[0]) + " wants a value"};
    NH_TRY(parse_option(job, more, arguments[0], arguments[1]));
  }
  if (job.server.port == 0) return Error{Code::invalid, 0, "--to ADDR and --port N are needed"};
  return Ok{};
}

int fail(const Error& error, int status) {
  std::fprintf(stderr, "bench-traffic: %s\n", error.message().c_str());
  return status;
}

Result<Ok> run_job(const Job& job) {
  auto sample = run(job);
  if (!sample) return std::move(sample).error();
  std::printf("%s\n", to_json(job, std::move(sample).value()).c_str());
  return Ok{};
}

int main(Arguments arguments) {
  if (arguments.empty()) return fail(Error{Code::invalid, 0, "say server, or a load (traffic.cc)"}, 2);
  const std::string_view what = arguments[0];
  const auto ended = [](const Result<Ok>& result) { return result ? 0 : fail(result.error(), 1); };
  if (what == "server") {
    const auto at = parse_server(arguments.subspan(1));
    return at ? ended(serve(*at)) : fail(at.error(), 2);
  }
  Job job;
  More more;
  more.flood.echo = what == "flood-echo";
  const auto parsed = parse_options(arguments.subspan(1), job, more);
  if (!parsed) return fail(parsed.error(), 2);
  if (what == "hold") return ended(hold(job.server, more.connections));
  if (what == "pend") return ended(pend(job.server, more.connections));
  if (what == "flood" || what == "flood-echo") return ended(flood(job.server, more.flood));
  if (what == "peer") return ended(ask_peer(job.server));
  const auto load = parse_load(what);
  if (!load) return fail(load.error(), 2);
  job.load = *load;
  return ended(run_job(job));
}

}  // namespace
}  // namespace nh::traffic

int main(int argc, char** argv) {
  return nh::traffic::main({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
