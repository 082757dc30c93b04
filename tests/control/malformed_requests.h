// SPDX-License-Identifier: BSD-3-Clause
// Several hundred malformed requests, generated from a few tables, each with what the answer must
// name.
#pragma once

#include <string>
#include <vector>

namespace nh::test {

struct Malformed {
  std::string request;  ///< to be sent as it is, the client then says no more
  std::string field;    ///< the member that the answer must name; empty: none
  std::string rule;     ///< a part of the answer's text
};

std::vector<Malformed> malformed_requests();

}  // namespace nh::test
