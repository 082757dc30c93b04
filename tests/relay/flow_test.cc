// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/flow.h"

#include <cerrno>
#include <set>
#include <string>

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("an error ends a flow in one way, whichever path it is on", "[flow]") {
  struct Row {
    int error;
    FlowEnd end;
  };
  for (const auto& [error, end] : {
           Row{ECONNREFUSED, FlowEnd::refused},
           Row{ECONNRESET, FlowEnd::refused},
           Row{ETIMEDOUT, FlowEnd::timed_out},
           // All that ICMP "destination unreachable" becomes (icmp_err_convert), "port unreachable" apart.
           Row{ENETUNREACH, FlowEnd::unreachable},
           Row{EHOSTUNREACH, FlowEnd::unreachable},
           Row{ENOPROTOOPT, FlowEnd::unreachable},
           Row{EOPNOTSUPP, FlowEnd::unreachable},
           Row{EHOSTDOWN, FlowEnd::unreachable},
           Row{ENONET, FlowEnd::unreachable},
           Row{EACCES, FlowEnd::unreachable},
           Row{EPERM, FlowEnd::unreachable},
           Row{ENOENT, FlowEnd::unreachable},
           Row{EMFILE, FlowEnd::exhausted},
           Row{ENFILE, FlowEnd::exhausted},
           Row{ENOBUFS, FlowEnd::exhausted},
           Row{ENOMEM, FlowEnd::exhausted},
           Row{ENOSPC, FlowEnd::exhausted},
           Row{EADDRNOTAVAIL, FlowEnd::exhausted},
           Row{EADDRINUSE, FlowEnd::exhausted},
           Row{EAGAIN, FlowEnd::exhausted},
           Row{EIO, FlowEnd::failed},
           Row{EPROTO, FlowEnd::failed},
       }) {
    INFO(strerrorname_np(error));
    CHECK(flow_end_of(error) == end);
    CHECK(flow_end_of(sys_error(error, "connecting")) == end);
  }
}

TEST_CASE("an error without an errno ends a flow as its code says", "[flow]") {
  struct Row {
    Code code;
    FlowEnd end;
  };
  for (const auto& [code, end] : {
           Row{Code::timeout, FlowEnd::timed_out},
           Row{Code::exhausted, FlowEnd::exhausted},
           Row{Code::in_use, FlowEnd::exhausted},
           Row{Code::denied, FlowEnd::unreachable},
           Row{Code::gone, FlowEnd::failed},
           Row{Code::unsupported, FlowEnd::failed},
           Row{Code::invalid, FlowEnd::failed},
       }) {
    INFO(code_name(code));
    CHECK(flow_end_of(Error{.code = code, .what = "no stand-in"}) == end);
  }
}

TEST_CASE("each way that a flow ends has a name of its own", "[flow]") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < flow_ends; ++i) names.emplace(end_name(static_cast<FlowEnd>(i)));
  CHECK(names.size() == flow_ends);
}
